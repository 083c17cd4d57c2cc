//! Socket activation and the systemd units.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::listeners::folder;
use crate::support::client::{self, Address, Client, OF_DOORWARD, Request, unix};
use crate::support::free_port;
use crate::support::process::{Process, program, run};

/// Starts doorward with the sockets of systemd, each with address and name. The process starts at the first
/// connection.
fn activate(dir: &Path, sockets: &[(&str, &str)], flags: &[&str]) -> Process {
    let mut command = Command::new(program("systemd-socket-activate", "systemd"));
    for (address, _) in sockets {
        command.args(["-l", address]);
    }
    let names: Vec<&str> = sockets.iter().map(|(_, name)| *name).collect();
    command.arg(format!("--fdname={}", names.join(":")));
    command.arg(format!("--setenv=NOTIFY_SOCKET={}", dir.join("notify").display()));
    command.arg(env!("CARGO_BIN_EXE_doorward")).arg("serve").args(flags);
    command.arg("--htpasswd").arg(dir.join("htpasswd"));
    if !flags.contains(&"--admin-listen") {
        command.args(["--admin-listen", "127.0.0.1:0"]);
    }
    let mut process = Process::spawn(command, &dir.join("log"));
    process
        .ready("systemd listens", |log| (log.matches("Listening on").count() == sockets.len()).then_some(()));
    process
}

/// Sends one login over a new connection and returns the status.
fn log_in(address: &Address, password: &str) -> u16 {
    client::ask(address, OF_DOORWARD, &Request::auth().basic("alice", password)).status
}

#[test]
fn systemd_sockets_are_served_by_name() {
    let dir = folder();
    let notified = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let path = dir.path().join("auth.sock");
    let tcp = format!("127.0.0.1:{}", free_port());
    let admin = format!("127.0.0.1:{}", free_port());
    let mut process = activate(
        dir.path(),
        &[(path.to_str().unwrap(), "auth"), (&tcp, "auth"), (&admin, "private")],
        &["--listen", "systemd:auth", "--admin-listen", "systemd:private", "--hash-wait-timeout", "60s"],
    );
    for address in [unix(&path), tcp] {
        let address = Address::parse(&address);
        assert_eq!(log_in(&address, "wonderland"), 200);
        assert_eq!(log_in(&address, "wrong"), 401);
    }
    let metrics = Request::get("/metrics").host("localhost");
    assert_eq!(client::ask(&Address::parse(&admin), OF_DOORWARD, &metrics).status, 200);
    let mut told = [0; 64];
    let length = notified.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"READY=1\n");

    process.signal(Signal::TERM);
    let length = notified.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"STOPPING=1\n");
    assert_eq!(process.wait().code(), Some(0));
    assert!(path.exists(), "the path is systemd's, which still listens there");
}

/// Returns the line of the error that contains `why`, for a start that must fail.
fn refusal(sockets: &[(&str, &str)], flags: &[&str], why: &str) -> String {
    let dir = folder();
    let mut process = activate(dir.path(), sockets, flags);
    // The first connection starts the process, and is closed without a response.
    let first = Client::connect(&Address::parse(sockets[0].0), OF_DOORWARD);
    assert_eq!(process.wait().code(), Some(1));
    drop(first);
    let log = process.log();
    let line = log.lines().find(|line| line.starts_with("doorward: ") && line.contains(why));
    line.unwrap_or_else(|| panic!("no {why} in {log}")).to_owned()
}

#[test]
fn socket_name_not_passed_by_systemd_is_reported_with_the_passed_names() {
    let tcp = format!("127.0.0.1:{}", free_port());
    let line = refusal(&[(&tcp, "auth")], &["--listen", "systemd:door"], "systemd:door");
    assert!(line.starts_with("doorward: systemd:door: systemd passed no socket of this name"), "{line}");
    assert!(line.contains("(passed: auth)"), "{line}");
}

#[test]
fn non_loopback_systemd_socket_requires_trusted_peers() {
    let port = free_port();
    let (any, local) = (format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"));
    let line = refusal(&[(&any, "auth")], &["--listen", "systemd:auth"], "trusted_peers");
    assert!(line.starts_with(&format!("doorward: systemd:auth: other machines can reach {any}")), "{line}");

    let dir = folder();
    let trusting =
        ["--listen", "systemd:auth", "--trusted-peers", "10.0.0.7,127.0.0.1", "--hash-wait-timeout", "60s"];
    let _notified = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let _process = activate(dir.path(), &[(&any, "auth")], &trusting);
    assert_eq!(log_in(&Address::parse(&local), "wonderland"), 200);
}

#[test]
fn systemd_units_are_valid_and_sandboxed() {
    let dir = tempfile::tempdir().unwrap();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let shipped = [
        "doorward.service",
        "doorward-secret.service",
        "doorward.socket",
        "doorward-public.socket",
        "doorward-admin.socket",
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx/make-secret.sh").display().to_string();
    for unit in shipped {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        // systemd-analyze reports programs that are not installed.
        let text = text.replace("/usr/local/bin/doorward", env!("CARGO_BIN_EXE_doorward"));
        let text = text.replace("/usr/local/lib/doorward/make-secret.sh", &script);
        std::fs::write(dir.path().join(unit), text).unwrap();
    }
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new(program("systemd-analyze", "systemd"));
        command.args(arguments).arg(dir.path().join("doorward.service"));
        run(command)
    };
    let verified = analyze(&["verify", "--man=no"]);
    assert!(!format!("{verified:?}").contains("doorward.s"), "a fault names its file: {verified:?}");
    // The threshold is in tenths; systemd-analyze calls values up to 2.0 "safe".
    let sandbox = analyze(&["security", "--offline=true", "--threshold=10", "--no-pager"]);
    assert_eq!(sandbox.code, Some(0), "{sandbox:?}");
}
