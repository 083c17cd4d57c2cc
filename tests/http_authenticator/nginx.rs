//! Acceptance, rejection and failure of a service through nginx.

use std::time::{Duration, Instant};

use super::{config, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Address, Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::eventually;
use crate::support::nginx::{Nginx, Template};
use crate::support::upstream::Upstream;

/// The proxy_read_timeout of nginx.
const NGINX: Duration = Duration::from_secs(10);

struct ProtectedService {
    nginx: Nginx,
    doorward: Doorward,
    protected: Upstream,
}

/// Starts nginx and doorward, which calls the service with the default timeouts.
fn protected(backend: &Backend) -> ProtectedService {
    let dir = tempfile::tempdir().unwrap();
    let flags = config(dir.path(), &vendor(backend.address, ""));
    // The default of the tests is longer than the timeout of nginx.
    let flags = [&flags.each_ref().map(String::as_str)[..], &["--hash-wait-timeout", "5s"]].concat();
    let doorward = Doorward::start_in(dir, &flags);
    let Address::Tcp(address) = doorward.address else { panic!("not TCP") };
    let protected = Upstream::start("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecret\n");
    let nginx = Nginx::start(Template::Registry, address, protected.address);
    ProtectedService { nginx, doorward, protected }
}

fn ask(protected: &ProtectedService, user: &str) -> Answer {
    protected.nginx.ask(&Request::get("/v2/").basic(user, "sings"))
}

#[test]
fn acceptance_rejection_and_failure_reach_the_client_through_nginx() {
    let backend = super::service_with_carol();
    let protected = protected(&backend);
    let yes = ask(&protected, "carol");
    assert_eq!((yes.status, yes.text()), (200, "secret\n".into()));
    let no = protected.nginx.ask(&Request::get("/v2/").basic("carol", "x"));
    assert_eq!(no.status, 401, "{no:?}");
    let trouble = ask(&protected, "nobody");
    assert_eq!(trouble.status, 503, "{trouble:?}");
    assert!(trouble.text().contains("\"UNAVAILABLE\""), "{trouble:?}");
    let received = protected.protected.received();
    assert_eq!(received.matches("GET /v2/").count(), 1, "{received}");
    assert!(!received.to_lowercase().contains("authorization:"), "{received}");
}

#[test]
fn hanging_service_gets_503_before_the_timeout_of_nginx() {
    let backend = Backend::saying(Reply::status(200).held());
    let protected = protected(&backend);
    let begin = Instant::now();
    let answer = ask(&protected, "carol");
    let took = begin.elapsed();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(took < NGINX, "{took:?}");
    // The timeout of doorward ended the request, not that of nginx.
    let nginx = protected.nginx.log();
    assert!(!nginx.contains("upstream timed out"), "{nginx}");
    // Another thread writes the log.
    let log = eventually("the log says what was refused", || {
        let log = protected.doorward.log();
        log.contains(" request denied").then_some(log)
    });
    assert!(log.contains("authenticator vendor: no response within 4s"), "{log}");
    assert_eq!(protected.protected.received(), "");
    // Control: the released service accepts a user.
    backend.release();
    assert_eq!(ask(&protected, "dora").status, 200);
}
