//! `doorward health`.

use crate::support::client::{Address, unix};
use crate::support::doorward::{Doorward, doorward};
use crate::support::process::Output;
use crate::support::{eventually, free_port, users};

fn url(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("http://{address}"),
        Address::Unix(path) => unix(path),
    }
}

fn health(url: &str) -> Output {
    doorward(&["health", "--url", url])
}

#[test]
fn health_exits_0_when_ready() {
    let doorward_ = Doorward::start(&users::alice(), &["--admin-listen", "127.0.0.1:0"]);
    let admin = url(&doorward_.admin);
    for url in [admin.clone(), admin.clone() + "/", admin + "/readyz"] {
        let output = health(&url);
        assert_eq!((output.code, &output.stdout[..]), (Some(0), "ready\n"), "{output:?}");
    }
    let Address::Tcp(address) = doorward_.admin else { panic!("not TCP") };
    let output = doorward(&["health", "--admin-listen", &address.to_string()]);
    assert_eq!((output.code, &output.stdout[..]), (Some(0), "ready\n"), "by its listener: {output:?}");
    let output = health(&url(&doorward_.address));
    assert_eq!(output.code, Some(1), "the auth listener has no health page: {output:?}");
}

#[test]
fn health_supports_unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let socket = unix(&dir.path().join("doorward.sock"));
    let running = Doorward::start(&users::alice(), &["--admin-listen", &socket]);
    assert_eq!(health(&socket).code, Some(0));
    assert_eq!(doorward(&["health", "--admin-listen", &socket]).code, Some(0));
    drop(running);
    let output = health(&socket);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.starts_with(&format!("doorward: not ready: {socket}: ")), "{output:?}");
}

#[test]
fn health_exits_1_without_an_answer_or_with_an_unexpected_one() {
    let unused = format!("http://127.0.0.1:{}", free_port());
    let output = health(&unused);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.starts_with("doorward: not ready: 127.0.0.1:"), "{output:?}");
    let other =
        crate::support::upstream::Upstream::start("HTTP/1.0 500 No\r\nContent-Length: 5\r\n\r\nnope\n");
    assert_eq!(health(&format!("http://{}", other.address)).code, Some(1));
    for rubbish in ["127.0.0.1:8000", "https://127.0.0.1:1", "http://", "ftp://x", "unix:"] {
        let output = health(rubbish);
        assert_eq!(output.code, Some(1), "{rubbish}: {output:?}");
        assert!(output.stderr.starts_with("doorward: not ready: "), "{output:?}");
    }
}

#[test]
fn health_exits_1_while_draining_and_0_while_degraded() {
    let doorward = Doorward::start(
        &users::alice(),
        &["--limits-shutdown-delay", "1h", "--reload-poll-interval", "100ms"],
    );
    let url = url(&doorward.admin);
    std::fs::remove_file(doorward.htpasswd()).unwrap();
    let output = eventually("it is degraded", || {
        let output = health(&url);
        output.stdout.contains("degraded").then_some(output)
    });
    assert_eq!(output.code, Some(0));
    doorward.signal(rustix::process::Signal::TERM);
    let output = eventually("it drains", || {
        let output = health(&url);
        output.stderr.contains("draining").then_some(output)
    });
    assert_eq!((output.code, &output.stderr[..]), (Some(1), "doorward: not ready: draining\n"));
}

#[test]
fn health_needs_no_htpasswd_file() {
    let output = doorward(&["health", "--admin-listen", &format!("127.0.0.1:{}", free_port())]);
    assert!(output.stderr.contains("not ready"), "{output:?}");
}
