//! Listen addresses, unix sockets, required peers and secrets at start.

use crate::support::client::{Address, unix};
use crate::support::doorward::{Doorward, doorward};
use crate::support::process::Output;
use crate::support::users;

/// Checks that the program failed: status 1, no output on stdout, and this line on stderr.
pub(crate) fn assert_error(output: &Output, line: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    let found = output.stderr.lines().any(|said| said.ends_with(line));
    assert!(found, "wanted: {line}\n   got: {}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert!(!output.stderr.contains("doorward started"), "{output:?}");
}

/// Returns a folder with a valid htpasswd file.
pub(crate) fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("htpasswd"), users::alice()).unwrap();
    dir
}

/// Runs `doorward serve` with a valid htpasswd file and these flags, which must make it fail.
fn serve(flags: &[&str]) -> Output {
    let dir = folder();
    let htpasswd = dir.path().join("htpasswd");
    doorward(&[&["serve", "--htpasswd", htpasswd.to_str().unwrap()], flags].concat())
}

#[test]
fn port_in_use_is_reported_with_the_remedy() {
    let other = Doorward::start(&users::alice(), &[]);
    let Address::Tcp(address) = other.address else { panic!("not TCP") };
    let output = serve(&["--listen", &address.to_string()]);
    assert_error(
        &output,
        &format!(
            "doorward: {address}: the address is in use; stop the other program, or set another address with --listen"
        ),
    );
    assert_eq!(other.log_in("alice", "wonderland", "192.0.2.1"), 200);
}

#[test]
fn socket_of_a_running_process_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = unix(&dir.path().join("doorward.sock"));
    let other = Doorward::start(&users::alice(), &["--listen", &socket]);
    let output = serve(&["--listen", &socket]);
    assert_error(
        &output,
        &format!("doorward: {socket}: another process listens on this socket; stop it, or set another path"),
    );
    assert_eq!(other.log_in("alice", "wonderland", "192.0.2.1"), 200);
}

#[test]
fn socket_left_by_a_killed_process_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("doorward.sock");
    let mut first = Doorward::start(&users::alice(), &["--listen", &unix(&path)]);
    first.kill();
    assert!(path.exists(), "nobody was left to remove it");
    let second = Doorward::start(&users::alice(), &["--listen", &unix(&path)]);
    assert_eq!(second.log_in("alice", "wonderland", "192.0.2.1"), 200);
}

#[test]
fn listen_path_that_is_not_a_socket_is_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("precious");
    std::fs::write(&file, "letters").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &dir.path().to_owned()] {
        let output = serve(&["--listen", &unix(path)]);
        let line = format!(
            "doorward: {}: the path exists and is not a socket; remove it, or set another path",
            unix(path)
        );
        assert_error(&output, &line);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "letters");
}

#[test]
fn socket_in_a_missing_folder_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let socket = unix(&dir.path().join("nowhere/doorward.sock"));
    let output = serve(&["--listen", &socket]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.starts_with(&format!("doorward: {socket}: cannot listen on this address: ")),
        "{output:?}"
    );
}

#[test]
fn non_loopback_listener_without_trusted_peers_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"] {
        let output = serve(&["--listen", listen]);
        let line = format!(
            "--listen: other machines can reach {listen}: every client that reaches it could pose as nginx; set trusted_peers to the address or network of nginx, e.g. trusted_peers = [\"10.0.0.7\"]"
        );
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.lines().any(|said| said.ends_with(&line)), "{output:?}");
    }
    // One such address among several is enough.
    let output = serve(&["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"]);
    assert!(output.stderr.contains("trusted_peers"), "{output:?}");
}

#[test]
fn non_loopback_listener_with_trusted_peers_starts() {
    let doorward =
        Doorward::start(&users::alice(), &["--listen", "0.0.0.0:0", "--trusted-peers", "127.0.0.1"]);
    assert!(doorward.log().contains("doorward started"));
}

#[test]
fn non_loopback_admin_listener_requires_its_own_peers() {
    let output =
        serve(&["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0", "--trusted-peers", "127.0.0.1"]);
    let line = "--admin-listen: other machines can reach 0.0.0.0:0: set admin.trusted_peers to the peers that can read the metrics";
    assert!(output.stderr.lines().any(|said| said.ends_with(line)), "{output:?}");
}

#[test]
fn non_loopback_token_listener_requires_its_own_peers() {
    let peers =
        ["--listen", "127.0.0.1:0", "--trusted-peers", "127.0.0.1", "--admin-trusted-peers", "127.0.0.1"];
    let output = serve(&[&peers[..], &["--public-listen", "[::]:0"]].concat());
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("--public-listen: other machines can reach [::]:0"), "{output:?}");
    assert!(output.stderr.contains("set public.trusted_peers"), "{output:?}");
}

#[test]
fn non_loopback_listener_without_tls_is_warned_about_at_start_and_by_check() {
    let open = ["--listen", "0.0.0.0:0", "--trusted-peers", "127.0.0.1"];
    let doorward_ = Doorward::start(&users::alice(), &open);
    let warned = |log: &str, key: &str| {
        log.lines().any(|line| line.contains("without TLS") && line.contains(&format!("setting=\"{key}\"")))
    };
    assert!(warned(&doorward_.log(), "listen"), "{}", doorward_.log());
    assert!(!warned(&doorward_.log(), "admin.listen") && !warned(&doorward_.log(), "public.listen"));
    let dir = folder();
    let htpasswd = dir.path().join("htpasswd");
    let check = |flags: &[&str]| {
        let output = doorward(&[&["check", "--htpasswd", htpasswd.to_str().unwrap()], flags].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.stdout
    };
    assert!(check(&open).contains("listen: warning: 0.0.0.0:0: other machines can reach"));
    assert!(!check(&["--listen", "127.0.0.1:0", "--admin-listen", "[::1]:0"]).contains("warning"));
    let admin = ["--admin-listen", "192.0.2.1:8001", "--admin-trusted-peers", "192.0.2.0/24"];
    assert!(check(&admin).contains("admin.listen: warning: 192.0.2.1:8001"));
}

#[test]
fn upstream_credentials_without_a_proxy_secret_are_refused_with_the_remedy_field_c7() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let table = format!("[[upstream]]\ntype = \"bearer\"\ntoken_file = \"{}\"\n", at("token"));
    std::fs::write(at("token"), "s3cret").unwrap();
    std::fs::write(at("doorward.toml"), format!("htpasswd.file = \"{}\"\n{table}", at("htpasswd"))).unwrap();
    for command in ["serve", "check"] {
        // A unix socket is also refused, because a published location reaches doorward through the socket of
        // the proxy.
        let socket = unix(&dir.path().join("doorward.sock"));
        let output = doorward(&[command, "--config", &at("doorward.toml"), "--listen", &socket]);
        assert_eq!(output.code, Some(1), "{output:?}");
        let line = output.stderr.lines().find(|line| line.contains("proxy_secret_file")).unwrap_or_default();
        assert!(
            line.starts_with(&format!("doorward: {}:2:1: upstream bearer", at("doorward.toml"))),
            "{output:?}"
        );
        assert!(
            line.contains("openssl rand -hex 32") && line.contains("NGX_DOORWARD_PROXY_SECRET_FILE"),
            "{line}"
        );
    }
    std::fs::write(at("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let output = doorward(&["check", "--config", &at("doorward.toml"), "--proxy-secret-file", &at("secret")]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn tokens_without_a_token_listener_are_refused_with_the_remedy() {
    let dir = folder();
    let keys = dir.path().join("keys.pem");
    let keys = keys.to_str().unwrap();
    assert_eq!(doorward(&["signing-key", "init", "--signing-keys", keys]).code, Some(0));
    let flags = ["--listen", "127.0.0.1:0", "--token-signing-keys", keys, "--token-service", "registry.test"];
    let output = serve(&flags);
    assert!(
        output.stderr.contains("--token-signing-keys: public.listen is missing: set it to"),
        "{output:?}"
    );
}

#[test]
fn trusted_peers_that_cover_every_address_are_refused() {
    for any_address in ["0.0.0.0/0", "::/0"] {
        let output = serve(&["--listen", "127.0.0.1:0", "--trusted-peers", any_address]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(
            output
                .stderr
                .contains("--trusted-peers: must not be all addresses; name those from which nginx connects")
        );
    }
}

#[test]
fn misleading_realm_is_refused_pitfall_p36() {
    for realm in ["Basic access", "my BEARER", "a \"quote\"", "back\\slash", "line\nbreak", ""] {
        let output = serve(&["--listen", "127.0.0.1:0", "--realm", realm]);
        assert_eq!(output.code, Some(2), "{realm:?}: {output:?}");
        assert!(output.stderr.contains("realm"), "{realm:?}: {output:?}");
    }
}

#[test]
fn start_without_an_authenticator_is_an_error_with_the_remedy() {
    for command in ["serve", "check"] {
        assert_error(
            &doorward(&[command]),
            "doorward: no source of users is set: use --htpasswd FILE, DOORWARD_HTPASSWD, or htpasswd.file = \"FILE\" or an [[authenticator]] in the settings file",
        );
    }
}
