//! The upstream registry refuses the credentials.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{ApiReply, Authority, EcrSetup, NAME, Reply, SECRET, alice, server_named};
use crate::support::client::{Answer, Request};
use crate::support::nginx::{assert_json, assert_request_id};

/// Headers with which ECR refuses a token.
const HEADERS: &str = "WWW-Authenticate: Basic realm=\"https://registry.ecr.test/\",service=\"ecr.amazonaws.com\"\r\nWWW-Authenticate: Bearer realm=\"x\"\r\nSet-Cookie: AWSALB=1\r\nContent-Type: application/json\r\n";
const BODY: &str = r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;

/// Checks that the response comes from doorward and contains nothing of the registry.
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert!(answer.header("x-request-id").is_some());
}

fn assert_page(answer: &Answer) {
    assert_refused(answer);
    assert_json(answer, 503, "UNAVAILABLE");
    assert!(answer.text().contains("the registry refused the credentials of this proxy"), "{answer:?}");
}

#[test]
fn registry_401_and_403_become_503_and_are_reported_to_doorward_pitfalls_p37_and_p42() {
    let setup = EcrSetup::start(|image| image.set("PUSH", "on"), |_| Reply::json("{}"));
    for status in ["401", "403"] {
        setup.ecr.say(Reply::with(&format!("{status} No"), HEADERS, BODY));
        let target = "/v2/a/manifests/x%3A?y=1";
        assert_page(&setup.get(target));
        let told = setup.reported_refusals().pop().unwrap();
        assert_eq!(told.method, "GET");
        let expected = [
            ("x-upstream-status", status),
            ("x-original-uri", target),
            ("x-original-method", "GET"),
            ("x-original-host", "doorward.test"),
            ("x-real-ip", "127.0.0.1"),
            ("x-auth-proxy-secret", SECRET),
            ("authorization", ""),
            ("content-length", ""),
            ("transfer-encoding", ""),
        ];
        for (name, wanted) in expected {
            assert_eq!(told.header(name), wanted, "{name}: {told:?}");
        }
        assert_request_id(told.header("x-request-id"));
        assert_refused(&setup.ask(&alice(Request::new("HEAD", "/v2/a/blobs/x"))));
        for method in ["PUT", "PATCH", "POST", "PROPFIND"] {
            let request = alice(Request::new(method, "/v2/a/blobs/uploads/x"));
            assert_page(&setup.ask(&request.clone().body("hello")));
            assert_page(&setup.ask(&request.chunked(b"hello")));
            let told = setup.reported_refusals().pop().unwrap();
            assert_eq!((told.header("x-original-method"), told.body.len()), (method, 0));
            assert_eq!(told.header("transfer-encoding"), "");
        }
    }
    assert_eq!(setup.reported_refusals().len(), 2 * 10);
    // The registry accepts the credentials again.
    setup.ecr.say(Reply::json("{}"));
    assert_eq!(setup.get("/v2/").status, 200);
    assert_eq!(setup.reported_refusals().len(), 2 * 10);
}

#[test]
fn connection_stays_usable_after_an_upstream_refusal() {
    let setup = EcrSetup::plain();
    let mut client = setup.nginx.client();
    for _ in 0..3 {
        setup.ecr.say(Reply::with("401 No", HEADERS, BODY));
        assert_page(&client.ask(&alice(Request::get("/v2/a"))));
        setup.ecr.say(Reply::json("{}"));
        let answer = client.ask(&alice(Request::get("/v2/a")));
        assert_eq!((answer.status, answer.header("www-authenticate")), (200, None));
    }
}

#[test]
fn upstream_refusal_gets_503_in_json_whatever_doorward_answers() {
    let setup = EcrSetup::plain();
    setup.ecr.say(Reply::with("401 No", HEADERS, BODY));
    let redirect = ApiReply::status(302).with("Location", "http://evil.test/");
    let ours = [ApiReply::Hang, ApiReply::Break, redirect];
    let statuses = [301, 400, 401, 403, 404, 405, 429, 500, 502, 504];
    let challenge = |status| ApiReply::status(status).with("WWW-Authenticate", "Basic realm=\"x\"");
    for said in ours.into_iter().chain(statuses.map(challenge)) {
        *setup.page.lock().unwrap() = said.clone();
        for request in [alice(Request::get("/v2/a")), alice(Request::new("HEAD", "/v2/a"))] {
            let begun = Instant::now();
            let answer = setup.ask(&request);
            assert_eq!(answer.status, 503, "{said:?}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{said:?}");
            assert_eq!((answer.header("location"), answer.header("cache-control")), (None, Some("no-store")));
            assert_eq!(answer.header("www-authenticate"), None, "{said:?}: {answer:?}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{said:?}: {:?}", begun.elapsed());
        }
    }
    // The status is 503 even if doorward answers 200.
    *setup.page.lock().unwrap() = ApiReply::json("{}");
    assert_refused(&setup.get("/v2/a"));
}

/// Starts a registry that answers a ping. It refuses every other request after the head, before it receives the body.
fn early(tls: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut wire = StreamOwned::new(ServerConnection::new(Arc::clone(&tls)).unwrap(), stream);
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut some = [0; 1 << 14];
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    match wire.read(&mut some) {
                        Ok(count @ 1..) => head.extend(&some[..count]),
                        _ => return,
                    }
                }
                let ping = head.starts_with(b"GET /v2/ ");
                let (status, headers) = if ping { ("200 OK", "") } else { ("401 No", HEADERS) };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n{headers}\r\n{{}}"
                );
                if wire.write_all(answer.as_bytes()).and_then(|()| wire.flush()).is_ok() {
                    // The response is complete. The rest of the request is read and discarded, as a load balancer does.
                    while wire.read(&mut some).is_ok_and(|count| count > 0) {}
                }
            });
        }
    });
    address
}

#[test]
fn upload_refused_midway_is_answered_before_its_end() {
    let authority = Authority::new("Test Authority");
    let at = early(server_named(&authority.pair(NAME, 2099), NAME));
    let backend = format!("{NAME}:{}", at.port());
    let setup = EcrSetup::over(authority, None, |image| image.set("PUSH", "on").set("UPSTREAM", &backend));
    setup.found();
    for (method, length) in [("PATCH", "Content-Length: 50000000"), ("PUT", "Transfer-Encoding: chunked")] {
        for part in [0, 1 << 10, 1 << 19] {
            let mut client = setup.nginx.client();
            let head =
                String::from_utf8(alice(Request::new(method, "/v2/a/blobs/uploads/x")).bytes()).unwrap();
            let head = head.replace("\r\n\r\n", &format!("\r\n{length}\r\n\r\n"));
            client.send(head.as_bytes()).unwrap();
            if length.starts_with('T') && part > 0 {
                client.send(format!("{part:x}\r\n").as_bytes()).unwrap();
            }
            // nginx may close the connection before the whole body was sent.
            let sent = client.send(&vec![b'x'; part]);
            let answer = client.receive(false);
            let answer = answer
                .unwrap_or_else(|error| panic!("{method} {part} {sent:?}: {error}\n{}", setup.nginx.log()));
            assert_page(&answer);
        }
    }
    assert_eq!(setup.reported_refusals().len(), 6);
    // doorward fails at the same time.
    *setup.page.lock().unwrap() = ApiReply::Break;
    let mut client = setup.nginx.client();
    let head = String::from_utf8(alice(Request::new("PATCH", "/v2/a/blobs/uploads/x")).bytes()).unwrap();
    client.send(head.replace("\r\n\r\n", "\r\nContent-Length: 50000000\r\n\r\nhello").as_bytes()).unwrap();
    assert_refused(&client.receive(false).unwrap());
}
