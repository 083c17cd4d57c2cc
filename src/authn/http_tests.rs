//! A service as the chain sees it: its queue, and what it says when nobody is there.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::*;

const LIMITS: Limits = Limits { queue: 4, network_share: 4, user_share: 4 };

fn spec(name: &str, url: &str) -> Spec {
    let minute = Duration::from_secs(60);
    let headers = [("authorization", "Key {password}")];
    let template = |text| template::Template::parse(text, template::Place::Header).unwrap();
    Spec {
        name: name.into(),
        question: Question {
            method: reqwest::Method::GET,
            target: request::Target::parse(url).unwrap(),
            headers: headers.map(|(name, text)| (name.parse().unwrap(), template(text))).into(),
            body: request::Body::None,
            wants_json: false,
        },
        reading: Reading {
            accepted: [200].into(),
            rejected: [401].into(),
            unknown: Box::default(),
            conditions: Box::default(),
            username: None,
            groups: Box::default(),
            facts: Box::default(),
            html: false,
        },
        bounds: Bounds { connect_timeout: minute, timeout: minute, max_body: 1024 },
        trusted: Trusted::default(),
        connections: 1,
        limits: LIMITS,
        trust: Trust { fresh: Some(minute), stale: Some(Duration::ZERO) },
    }
}

/// A service for which a test speaks.
pub(in crate::authn) fn mute(name: &str, limits: Limits) -> Service {
    let spec = Spec { limits, ..spec(name, "http://localhost/") };
    Service::build(spec, Clock::manual(), Arc::default()).unwrap()
}

impl Service {
    /// The next question, if there is one; its place is given back.
    pub(in crate::authn) fn try_next(&self) -> Option<Job<Waiting>> {
        self.lanes.try_next()
    }
}

fn credentials(password: &str) -> Arc<Credentials> {
    let framed = format!("{}ann:{password}", "\0".repeat(Credentials::FRAME)).into_bytes();
    Arc::new(Credentials::new(Zeroizing::new(framed)).unwrap())
}

/// Asks a service at `url` that has `millis` for it.
async fn ask(url: &str, password: &str, millis: u64) -> End {
    let service = Arc::new(Service::build(spec("api", url), Clock::manual(), Arc::default()).unwrap());
    let tasks = tokio::spawn(Arc::clone(&service).run());
    let (told, end) = oneshot::channel();
    let asker = Asker { block: 1, network: 1, user: 1 };
    let job = Job {
        asker,
        deadline: Arc::new(std::sync::atomic::AtomicU64::new(millis)),
        work: Inquiry { credentials: credentials(password), accepted_as: None },
        end: Box::new(move |end| told.send(end).unwrap()),
    };
    service.submit(job).ok().unwrap().tell();
    let end = end.await.unwrap();
    assert!(!service.is_full_for(asker));
    service.close();
    tasks.await.unwrap();
    end
}

#[tokio::test]
async fn what_it_answers_is_told_and_its_tasks_end_when_it_is_closed() {
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
    assert!(matches!(ask(&url, "secret", 60_000).await, End::Done(Ok(Outcome::Accepted(_)))));
    assert_eq!(ask(&url, "other", 60_000).await, End::Done(Ok(Outcome::Rejected)));
    assert_eq!(ask(&url, "a\nb", 60_000).await, End::Done(Ok(Outcome::Rejected)));
}

#[tokio::test]
async fn nobody_there_is_trouble_and_who_waits_no_longer_is_not_asked_about() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let End::Done(Err(trouble)) = ask(&url, "secret", 60_000).await else { panic!("an answer") };
    assert!(trouble.to_string().starts_with("authenticator api: can't connect: "), "{trouble}");
    assert_eq!(ask(&url, "secret", 50).await, End::Dropped);
}
