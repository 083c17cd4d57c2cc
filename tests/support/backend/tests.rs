//! Tests of the fake HTTP service.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::support::backend::{Authority, Backend, Reply, server, server_for};
use crate::support::eventually;
use crate::support::process::{Output, program, run};

const ASK: &[u8] = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody";

fn send(backend: &Backend) -> TcpStream {
    let mut stream = TcpStream::connect(backend.address).unwrap();
    stream.write_all(ASK).unwrap();
    stream
}

/// Reads until the peer closes the connection.
fn all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // If the connection is reset, the bytes received before are returned.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn test_service_records_requests_and_counts_waiting_calls() {
    let backend = Backend::saying(Reply::json("{}").held().close());
    let streams: Vec<TcpStream> = (0..3).map(|_| send(&backend)).collect();
    backend.await_requests(3);
    assert_eq!((backend.in_flight(), backend.connections()), (3, 3));
    let heard = backend.heard().remove(0);
    assert_eq!((&heard.method[..], &heard.target[..], &heard.body[..]), ("POST", "/a?b=c", &b"body"[..]));
    assert_eq!((heard.header("x-a"), heard.header("x-b")), (Some(&b"1"[..]), None));
    backend.release();
    for stream in streams {
        assert!(all(stream).ends_with("\r\n\r\n{}"));
    }
    assert_eq!((backend.in_flight(), backend.most_in_flight()), (0, 3));
}

#[test]
fn test_service_stops_counting_closed_connections() {
    let backend = Backend::saying(Reply::status(200).held());
    let stream = send(&backend);
    backend.await_requests(1);
    drop(stream);
    eventually("nobody waits", || (backend.in_flight() == 0).then_some(()));
    assert_eq!(backend.requests(), 1);
}

#[test]
fn test_service_sends_slowly_and_breaks_off() {
    let backend = Backend::saying(Reply::raw("abc").drip(Duration::from_millis(1)).close());
    assert_eq!(all(send(&backend)), "abc");
    backend.say(Reply::raw("").close());
    assert_eq!(all(send(&backend)), "");
}

#[test]
fn test_service_closes_all_connections_when_dropped() {
    let backend = Backend::saying(Reply::status(200).held());
    let (stream, address) = (send(&backend), backend.address);
    backend.await_requests(1);
    drop(backend);
    assert_eq!(all(stream), "");
    assert!(TcpStream::connect(address).is_err());
}

/// Calls the service with curl and these flags.
fn curl(tls: &Arc<rustls::ServerConfig>, flags: &[&str]) -> Output {
    let backend = Backend::secure(Arc::clone(tls), Reply::status(200));
    let mut command = Command::new(program("curl", "curl"));
    command.env_clear().args(["-q", "-sS", "-w", "%{http_code}"]).args(flags);
    command.arg(format!("https://{}/", backend.address));
    run(command)
}

#[test]
fn test_certificates_are_valid_and_invalid_as_declared() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let ca = ours.file(dir.path());
    let ca = ["--cacert", ca.to_str().unwrap()];
    let pair = ours.good();
    let [certificate, key] = pair.files(dir.path());
    let own = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    assert_eq!(curl(&server(&pair), &ca).stdout, "200");
    for bad in [ours.pair("127.0.0.1", 2020), ours.pair("other.test", 2099), theirs.good()] {
        assert_eq!(curl(&server(&bad), &ca).code, Some(60), "curl does not trust it");
    }
    let demanding = server_for(&pair, &ours);
    assert_eq!(curl(&demanding, &[&ca[..], &own].concat()).stdout, "200");
    assert_ne!(curl(&demanding, &ca).code, Some(0));
    assert_ne!(curl(&server_for(&pair, &theirs), &[&ca[..], &own].concat()).code, Some(0));
}
