//! Bodies, kept connections, pipelining and malformed HTTP.

use std::io::ErrorKind;

use super::{assert_allow, assert_challenge};
use crate::support::client::{Client, Request, basic};
use crate::support::doorward::Doorward;
use crate::support::users;

/// Checks that the connection is closed, or that the next request over it gets its own response.
fn assert_usable_or_closed(client: &mut Client) {
    match client.try_ask(&Request::auth()) {
        Ok(answer) => assert_challenge(&answer),
        Err(error) => {
            assert!(
                !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "it hangs: {error}"
            );
        }
    }
}

#[test]
fn request_body_is_ignored_unread_with_every_framing() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let right = || Request::new("POST", "/auth").basic("alice", "wonderland");
    for size in [0, 1, 100, 1 << 16, 2 << 20] {
        let body = vec![b'x'; size];
        for request in [right().body(body.clone()), right().chunked(&body)] {
            let mut client = doorward.client();
            assert_allow(&client.ask(&request), b"alice");
            assert_usable_or_closed(&mut client);
        }
    }
}

#[test]
fn missing_request_body_is_not_waited_for_pitfall_p2() {
    let doorward = Doorward::start(&users::alice(), &[]);
    for framing in ["Content-Length: 2097152\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = format!(
            "PUT /auth HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n{framing}\r\n",
            basic("alice:wonderland")
        );
        let mut client = doorward.client();
        client.send(head.as_bytes()).unwrap();
        assert_allow(&client.receive(false).unwrap(), b"alice");
    }
}

#[test]
fn request_inside_a_body_is_never_answered() {
    let doorward = Doorward::start(&users::alice(), &[]);
    // If the body were read as a request, it would be answered with 200.
    let hidden =
        &format!("GET /auth HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n", basic("alice:wonderland"));
    for request in [
        Request::new("POST", "/auth").body(hidden.as_bytes()),
        Request::new("POST", "/auth").chunked(hidden.as_bytes()),
    ] {
        let mut client = doorward.client();
        assert_challenge(&client.ask(&request));
        assert_usable_or_closed(&mut client);
    }
}

#[test]
fn requests_on_one_connection_get_their_own_answers() {
    let doorward = Doorward::start(&users::two(), &[]);
    let mut client = doorward.client();
    for _ in 0..20 {
        assert_allow(&client.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
        assert_challenge(&client.ask(&Request::auth()));
        assert_allow(&client.ask(&Request::auth().basic("bob", "builder")), b"bob");
        assert_challenge(&client.ask(&Request::auth().basic("bob", "wonderland")));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let doorward = Doorward::start(&users::two(), &[]);
    let mut client = doorward.client();
    let ahead = [
        Request::auth().basic("alice", "wonderland").bytes(),
        Request::auth().bytes(),
        Request::auth().basic("bob", "builder").bytes(),
    ];
    client.send(&ahead.concat()).unwrap();
    assert_allow(&client.receive(false).unwrap(), b"alice");
    assert_challenge(&client.receive(false).unwrap());
    assert_allow(&client.receive(false).unwrap(), b"bob");
}

#[test]
fn http_1_0_request_is_answered() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let mut client = doorward.client();
    let head = format!("GET /auth HTTP/1.0\r\nAuthorization: {}\r\n\r\n", basic("alice:wonderland"));
    client.send(head.as_bytes()).unwrap();
    assert_allow(&client.receive(false).unwrap(), b"alice");
    assert!(client.is_at_end(), "HTTP/1.0 without keep-alive");
}

#[test]
fn malformed_request_never_succeeds() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let auth = format!("Authorization: {}\r\n", basic("alice:wonderland"));
    let cases = [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\r\n\r\n".to_owned(),
        format!("GET\r\n{auth}\r\n"),
        format!("GET /auth\r\n{auth}\r\n"),
        format!("GET /auth HTTP/9.9\r\n{auth}\r\n"),
        format!("GET /auth HTTP/1.1\r\n{auth}Host\r\n\r\n"),
        format!("GET /auth HTTP/1.1\r\nHost : x\r\n{auth}\r\n"),
        format!("GET /auth HTTP/1.1\r\nAuthorization : Basic x\r\n{auth}\r\n"),
        format!("GET /auth HTTP/1.1\r\nX: a\0b\r\n{auth}\r\n"),
        format!("POST /auth HTTP/1.1\r\n{auth}Content-Length: x\r\n\r\n"),
        format!("POST /auth HTTP/1.1\r\n{auth}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        format!("POST /auth HTTP/1.1\r\n{auth}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ];
    for case in cases {
        let mut client = doorward.client();
        client.send(case.as_bytes()).unwrap();
        if let Ok(answer) = client.receive(false) {
            assert!(answer.status >= 400, "{case:?}: {answer:?}");
        }
        assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
    }
}

#[test]
fn upgrade_and_expect_headers_change_nothing() {
    let doorward = Doorward::start(&users::alice(), &[]);
    for (name, value) in
        [("Upgrade", "websocket"), ("Upgrade", "h2c"), ("Expect", "100-continue"), ("TE", "trailers")]
    {
        let request = || Request::new("POST", "/auth").header(name, value).header("Connection", name);
        let mut client = doorward.client();
        assert_challenge(&client.ask(&request().body("x")));
        assert_usable_or_closed(&mut client);
        assert_allow(&doorward.ask(&request().basic("alice", "wonderland")), b"alice");
    }
    let mut client = doorward.client();
    client.send(b"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n").unwrap();
    if let Ok(answer) = client.receive(false) {
        assert!(answer.status >= 400, "a tunnel was opened: {answer:?}");
    }
}

#[test]
fn request_with_too_many_headers_is_refused() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let many = |request: Request| {
        (0..2000).fold(request, |request, number| request.header(&format!("X-{number}"), "x"))
    };
    let mut client = doorward.client();
    if let Ok(answer) = client.try_ask(&many(Request::auth())) {
        assert!(answer.status >= 400, "{answer:?}");
    }
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
}
