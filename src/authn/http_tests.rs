//! A service as the chain sees it: its queue, and what it says when nobody is there.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::*;

const LIMITS: QueueLimits = QueueLimits { total: 4, network_share: 4, user_share: 4 };

fn spec(name: &str, url: &str) -> AuthBackendSpec {
    let minute = Duration::from_secs(60);
    let headers = [("authorization", "Key {password}")];
    let template = |text| template::Template::parse(text, template::EncodingContext::Header).unwrap();
    AuthBackendSpec {
        name: name.into(),
        request: RequestTemplate {
            method: reqwest::Method::GET,
            url: request_template::UrlTemplate::parse(url).unwrap(),
            headers: headers.map(|(name, text)| (name.parse().unwrap(), template(text))).into(),
            body: request_template::BodyTemplate::None,
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
        call_limits: CallLimits { connect_timeout: minute, timeout: minute, body_size_max: 1024 },
        tls: TlsFiles::default(),
        connections_max: 1,
        queue_limits: LIMITS,
        lifetime: AnswerLifetime { cache_ttl: Some(minute), stale_ttl: Some(Duration::ZERO) },
    }
}

/// A service for which a test speaks.
pub(in crate::authn) fn manual_backend(name: &str, limits: QueueLimits) -> AuthBackend {
    let spec = AuthBackendSpec { queue_limits: limits, ..spec(name, "http://localhost/") };
    AuthBackend::build(spec, Clock::manual(), Arc::default()).unwrap()
}

impl AuthBackend {
    /// The next question, if there is one; its place is given back.
    pub(in crate::authn) fn try_next(&self) -> Option<Job<QueuedQuery>> {
        self.queues.try_next()
    }
}

fn credentials(password: &str) -> Arc<Credentials> {
    let framed = format!("{}ann:{password}", "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH)).into_bytes();
    Arc::new(Credentials::new(Zeroizing::new(framed)).unwrap())
}

/// Asks a service at `url` that has `millis` for it.
async fn ask(url: &str, password: &str, millis: u64) -> JobResult {
    let service = Arc::new(AuthBackend::build(spec("api", url), Clock::manual(), Arc::default()).unwrap());
    let tasks = tokio::spawn(Arc::clone(&service).run());
    let (told, end) = oneshot::channel();
    let asker = RequesterId { block_tag: 1, network_tag: 1, network_user_tag: 1 };
    let job = Job {
        requester: asker,
        deadline_millis: Arc::new(std::sync::atomic::AtomicU64::new(millis)),
        work: BackendQuery { credentials: credentials(password), previous_identity: None },
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
async fn backend_answers_are_returned_and_tasks_end_on_close() {
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
    assert!(trouble.to_string().starts_with("authenticator api: can't connect: "), "{trouble}");
    assert_eq!(ask(&url, "secret", 50).await, JobResult::Dropped);
}
