//! Tests of a remote source: its queue, its calls, and what it does without a service. The calls are made over HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::*;
use crate::authn::http::HttpSpec;
use crate::authn::http::call::CallLimits;
use crate::authn::http::client::TlsFiles;
use crate::authn::http::request_template::{BodyTemplate, RequestTemplate, UrlTemplate};
use crate::authn::http::response::ResponseRules;
use crate::authn::http::template::{EncodingContext, Template};

const LIMITS: QueueLimits = QueueLimits { total: 4, network_share: 4, user_share: 4 };

fn spec(name: &str, url: &str) -> RemoteSourceSpec {
    let minute = Duration::from_secs(60);
    let headers = [("authorization", "Key {password}")];
    let template = |text| Template::parse(text, EncodingContext::Header).unwrap();
    let http = HttpSpec {
        request: RequestTemplate {
            method: reqwest::Method::GET,
            url: UrlTemplate::parse(url).unwrap(),
            headers: headers.map(|(name, text)| (name.parse().unwrap(), template(text))).into(),
            body: BodyTemplate::None,
            is_json_expected: false,
        },
        response_rules: ResponseRules {
            accepted_statuses: [200].into(),
            rejected_statuses: [401].into(),
            unknown_statuses: Box::default(),
            conditions: Box::default(),
            username_pointer: None,
            groups: Box::default(),
            facts: Box::default(),
            is_html_allowed: false,
        },
        call_limits: CallLimits { connect_timeout: minute, body_size_max: 1024 },
        tls: TlsFiles::default(),
    };
    RemoteSourceSpec {
        name: name.into(),
        timeout: minute,
        connections_max: 1,
        queue_limits: LIMITS,
        lifetime: AnswerLifetime { cache_ttl: Some(minute), stale_ttl: Some(Duration::ZERO) },
        kind: RemoteKind::Http(Box::new(http)),
    }
}

/// Returns a source whose queries a test answers itself.
pub(in crate::authn) fn manual_source(name: &str, limits: QueueLimits) -> RemoteSource {
    let spec = RemoteSourceSpec { queue_limits: limits, ..spec(name, "http://localhost/") };
    RemoteSource::build(spec, Clock::manual(), Arc::default()).unwrap()
}

impl RemoteSource {
    /// Returns the next query, if there is one, and gives its place back.
    pub(in crate::authn) fn try_next(&self) -> Option<Job<QueuedQuery>> {
        self.queues.try_next()
    }
}

fn credentials(password: &str) -> Arc<Credentials> {
    let framed = format!("{}ann:{password}", "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH)).into_bytes();
    Arc::new(Credentials::new(Zeroizing::new(framed)).unwrap())
}

/// Sends a query to a service at `url` with a deadline of `millis`.
async fn ask(url: &str, password: &str, millis: u64) -> JobResult {
    let service = Arc::new(RemoteSource::build(spec("api", url), Clock::manual(), Arc::default()).unwrap());
    let tasks = tokio::spawn(Arc::clone(&service).run());
    let (told, end) = oneshot::channel();
    let asker = RequesterId { block_tag: 1, network_tag: 1, network_user_tag: 1 };
    let job = Job {
        requester: asker,
        deadline_millis: Arc::new(std::sync::atomic::AtomicU64::new(millis)),
        work: RemoteQuery { credentials: credentials(password), previous_identity: None },
        on_complete: Box::new(move |end| told.send(end).unwrap()),
    };
    service.submit(job).ok().unwrap().notify_dropped();
    let end = end.await.unwrap();
    assert!(!service.is_full_for(asker));
    service.close();
    tasks.await.unwrap();
    end
}

#[tokio::test]
async fn answers_are_returned_and_tasks_end_on_close() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.unwrap();
            let right = request[..length].windows(10).any(|part| part == b"Key secret");
            let status = if right { "200 OK" } else { "401 Unauthorized" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    assert!(matches!(ask(&url, "secret", 60_000).await, JobResult::Completed(Ok(Outcome::Accepted(_)))));
    assert_eq!(ask(&url, "other", 60_000).await, JobResult::Completed(Ok(Outcome::Rejected)));
    assert_eq!(ask(&url, "a\nb", 60_000).await, JobResult::Completed(Ok(Outcome::Rejected)));
}

#[tokio::test]
async fn refused_connection_is_an_error_and_expired_query_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let JobResult::Completed(Err(trouble)) = ask(&url, "secret", 60_000).await else { panic!("an answer") };
    assert!(trouble.to_string().starts_with("authenticator api: cannot connect: "), "{trouble}");
    assert_eq!(ask(&url, "secret", 50).await, JobResult::Dropped);
}
