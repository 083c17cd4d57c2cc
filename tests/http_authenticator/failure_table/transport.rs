//! Rows of the failure table: failures below HTTP, and slow responses.

use std::any::Any;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::ExpectedVerdict::{Granted, Unavailable};
use super::{ACTIVE, CONNECT, FailureCase};
use crate::support::backend::{Backend, Reply};
use crate::support::free_port;

/// Returns a listener with a full queue, which does not answer further connections.
fn full() -> (SocketAddr, impl Any) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    // Connects until an attempt fails with a timeout, which shows that the queue is full.
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue has no end");
    }
    (address, (listener, waiting))
}

const NO: &str = "authenticator vendor: ";

pub(super) fn rows() -> Vec<FailureCase> {
    [slow(), broken(), versions()].into_iter().flatten().collect()
}

/// Rows without a connection or without a response.
fn slow() -> Vec<FailureCase> {
    let (full, kept) = full();
    let unused = format!("http://127.0.0.1:{}", free_port());
    vec![
        FailureCase::saying("none (the other side of it)", Reply::json("{\"active\": true}"), Granted, "")
            .set(ACTIVE),
        FailureCase::new(
            "connection refused",
            &unused,
            Unavailable,
            "authenticator vendor: cannot connect: ",
            (),
        ),
        // The broadcast address of the loopback network: the kernel has no TCP route to it and sends no
        // packet.
        FailureCase::new(
            "no route to the network",
            "http://127.255.255.255:80",
            Unavailable,
            "authenticator vendor: cannot connect: ",
            (),
        ),
        FailureCase::new(
            "the name does not exist",
            "http://nobody.invalid",
            Unavailable,
            "authenticator vendor: the host name cannot be resolved",
            (),
        ),
        FailureCase::new(
            "connecting hangs: a full backlog",
            &format!("http://{full}"),
            Unavailable,
            "authenticator vendor: no connection within 500ms",
            kept,
        )
        .within(CONNECT),
        FailureCase::saying(
            "the head hangs",
            Reply::status(200).held(),
            Unavailable,
            "vendor: no response within 2s",
        ),
        FailureCase::saying(
            "the head comes at a byte a second",
            Reply::json("{\"active\": true}").drip(Duration::from_secs(1)),
            Unavailable,
            "vendor: no response within 2s",
        ),
        drip(),
    ]
}

/// Rows with a response that ends early or is not HTTP.
fn broken() -> Vec<FailureCase> {
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    vec![
        FailureCase::saying(
            "closed without a word",
            Reply::raw("").close(),
            Unavailable,
            "vendor: the connection broke: ",
        ),
        FailureCase::saying(
            "closed in the middle of the head",
            Reply::raw("HTTP/1.1 200 OK\r\nContent-").close(),
            Unavailable,
            "vendor: the connection broke: ",
        ),
        FailureCase::saying(
            "closed in the middle of the body",
            Reply::raw(format!("{ok}Content-Length: 90\r\n\r\n{{\"active\": true}}")).close(),
            Unavailable,
            "vendor: the connection broke: ",
        )
        .set(ACTIVE),
        FailureCase::saying(
            "closed in the middle of a chunk",
            Reply::raw(format!("{ok}Transfer-Encoding: chunked\r\n\r\n40\r\n{{\"active\": true}}")).close(),
            Unavailable,
            "vendor: the connection broke: ",
        )
        .set(ACTIVE),
        FailureCase::saying("no HTTP at all", Reply::raw("SSH-2.0-OpenSSH_9.2\r\n").close(), Unavailable, NO),
        FailureCase::saying("a head without an end", endless(), Unavailable, NO),
        FailureCase::saying(
            "two lengths",
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello").close(),
            Unavailable,
            NO,
        ),
    ]
}

/// Rows with other valid forms of a response.
fn versions() -> Vec<FailureCase> {
    vec![
        FailureCase::saying(
            "a hint before the answer",
            Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Granted,
            "",
        ),
        FailureCase::saying(
            "hints without an end",
            Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000)).drip(Duration::from_millis(1)),
            Unavailable,
            "vendor: no response within 2s",
        ),
        FailureCase::saying(
            "another protocol",
            Reply::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            Unavailable,
            NO,
        ),
        second(),
        version("HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 16\r\n\r\n"),
        version("HTTP/1.0 without a length", "HTTP/1.0 200 OK\r\n\r\n"),
        version("HTTP/1.1 without a length", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    ]
}

/// A row with a complete head and an incomplete body.
fn drip() -> FailureCase {
    // Within the timeout of 2s, the 40 bytes of the head arrive, and only the first bytes of the body.
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"active\": true}";
    let backend = Backend::saying(Reply::raw(bytes).drip(Duration::from_millis(20)));
    let url = format!("http://{}", backend.address);
    let log = "vendor: no response within 2s";
    FailureCase::new("the body drips in", &url, Unavailable, log, backend).set(ACTIVE)
}

fn endless() -> Reply {
    Reply::raw(format!("HTTP/1.1 200 OK\r\nX-Long: {}", "x".repeat(1 << 20))).close()
}

/// A row with a name that has two addresses, ::1 and 127.0.0.1. Only one of them has a listener.
fn second() -> FailureCase {
    let backend = Backend::saying(Reply::status(200));
    let url = format!("http://localhost:{}", backend.address.port());
    FailureCase::new("another address of the name refuses", &url, Granted, "", backend)
}

/// A row with a response of this HTTP version. The end of the connection can be the end of the body.
fn version(failure: &'static str, head: &str) -> FailureCase {
    let reply = Reply::raw(format!("{head}{{\"active\": true}}")).close();
    FailureCase::saying(failure, reply, Granted, "").set(ACTIVE)
}
