//! Rows of the fault table: what happens below HTTP, and how long an answer takes.

use std::any::Any;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::ExpectedVerdict::{Granted, Unavailable};
use super::{ACTIVE, CONNECT, FailureCase};
use crate::support::backend::{Backend, Reply};
use crate::support::free_port;

/// A listener whose queue is full: whoever else comes hears nothing.
fn full() -> (SocketAddr, impl Any) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    // Until one of them finds no place, which takes a time-out.
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

/// There is no connection, or no answer.
fn slow() -> Vec<FailureCase> {
    let (full, kept) = full();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    vec![
        FailureCase::saying("none (the other side of it)", Reply::json("{\"active\": true}"), Granted, "")
            .set(ACTIVE),
        FailureCase::new(
            "connection refused",
            &nobody,
            Unavailable,
            "authenticator vendor: cannot connect: ",
            (),
        ),
        // The broadcast address of loopback: the kernel knows no way for TCP, and sends nothing.
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

/// It breaks off, or says what is no HTTP.
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

/// An end of the answer that is as good as another.
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

/// The head comes, and of the body some.
fn drip() -> FailureCase {
    // The head's 40 bytes come within a second, and of the body all but 984.
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"active\": true}";
    let backend = Backend::saying(Reply::raw(bytes).drip(Duration::from_millis(20)));
    let url = format!("http://{}", backend.address);
    let log = "vendor: no response within 2s";
    FailureCase::new("the body drips in", &url, Unavailable, log, backend).set(ACTIVE)
}

fn endless() -> Reply {
    Reply::raw(format!("HTTP/1.1 200 OK\r\nX-Long: {}", "x".repeat(1 << 20))).close()
}

/// A name with two addresses, ::1 and 127.0.0.1, of which one listens.
fn second() -> FailureCase {
    let backend = Backend::saying(Reply::status(200));
    let url = format!("http://localhost:{}", backend.address.port());
    FailureCase::new("another address of the name refuses", &url, Granted, "", backend)
}

/// An answer of this version, whose end may be that of the connection.
fn version(fault: &'static str, head: &str) -> FailureCase {
    let reply = Reply::raw(format!("{head}{{\"active\": true}}")).close();
    FailureCase::saying(fault, reply, Granted, "").set(ACTIVE)
}
