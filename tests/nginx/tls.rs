//! TLS between clients and nginx.

use std::fs;
use std::process::Command;

use crate::support::client::tcp;
use crate::support::doorward::Doorward;
use crate::support::image::skopeo;
use crate::support::nginx::{Image, Nginx, shipped};
use crate::support::process::{self, Output, program};
use crate::support::registry::Registry;
use crate::support::upstream::{Upstream, empty};
use crate::support::users;

fn plain() -> Image {
    Image::new()
        .set("UPSTREAM", "127.0.0.1:5000")
        .set("AUTH", "127.0.0.1:8000")
        .set("LISTEN", "127.0.0.1:28085")
}

/// nginx with a certificate for registry.test, and the servers that must stay alive with it.
struct TlsServer {
    nginx: Nginx,
    _doorward: Doorward,
    backend: Upstream,
}

fn server(kind: &str, names: &str) -> TlsServer {
    let doorward = Doorward::start(&users::two(), &[]);
    let backend = Upstream::start(&empty("200 OK"));
    let image = Image::new()
        .pair("DNS:registry.test,DNS:other.test")
        .set("KIND", kind)
        .set("SERVER_NAME", names)
        .set("AUTH", tcp(&doorward.address).to_string())
        .set("UPSTREAM", backend.address.to_string());
    TlsServer { nginx: Nginx::of(image), _doorward: doorward, backend }
}

impl TlsServer {
    /// Sends GET /v2/ with curl, which trusts only this certificate. The output is the status and the HTTP version.
    fn curl(&self, name: &str, flags: &[&str]) -> Output {
        let port = self.nginx.address.port();
        let mut command = Command::new(program("curl", "curl"));
        command.env_clear().args(["-q", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}"]);
        command.arg("--cacert").arg(self.nginx.image().path("etc/nginx/tls/tls.crt"));
        command.args(["--resolve", &format!("{name}:{port}:127.0.0.1")]).args(flags);
        command.arg(format!("https://{name}:{port}/v2/"));
        process::run(command)
    }

    fn assert(&self, name: &str, flags: &[&str], said: &str) {
        let output = self.curl(name, flags);
        assert_eq!((output.code, &output.stdout[..]), (Some(0), said), "{name} {flags:?}: {output:?}");
    }
}

const ALICE: [&str; 2] = ["-u", "alice:wonderland"];

#[test]
fn registry_over_tls_is_protected_and_speaks_http_1() {
    let server = server("registry", "_");
    for name in ["registry.test", "other.test"] {
        server.assert(name, &[], "401 1.1");
        server.assert(name, &["-u", "alice:x"], "401 1.1");
        server.assert(name, &ALICE, "200 1.1");
    }
    let received = server.backend.received();
    assert_eq!(received.matches("GET /v2/ HTTP/1.1\r\n").count(), 2, "{received}");
    assert!(received.contains("\r\nX-Forwarded-Proto: https\r\n"), "{received}");
}

#[test]
fn site_speaks_http_2_if_negotiated() {
    let server = server("site", "_");
    server.assert("registry.test", &["--http2"], "401 2");
    server.assert("registry.test", &[&ALICE[..], &["--http2"]].concat(), "200 2");
    server.assert("registry.test", &[&ALICE[..], &["--http1.1"]].concat(), "200 1.1");
    // The `Host` header contains the port, in both HTTP versions.
    let host = format!("\r\nHost: registry.test:{}\r\n", server.nginx.address.port());
    assert_eq!(server.backend.received().matches(&host).count(), 2, "{}", server.backend.received());
}

#[test]
fn tls_1_0_and_1_1_are_refused() {
    let server = server("registry", "_");
    for version in ["1.2", "1.3"] {
        server.assert("registry.test", &[&ALICE[..], &["--tls-max", version]].concat(), "200 1.1");
    }
    for version in ["1.0", "1.1"] {
        let output = server
            .curl("registry.test", &["--ciphers", "ALL:@SECLEVEL=0", "--tlsv1.0", "--tls-max", version]);
        assert_ne!(output.code, Some(0), "{output:?}");
    }
    let cipher = server.curl("registry.test", &["--tls-max", "1.2", "--ciphers", "AES128-SHA"]);
    assert_ne!(cipher.code, Some(0), "no forward secrecy: {cipher:?}");
}

#[test]
fn only_the_configured_server_name_is_served() {
    for kind in ["registry", "site"] {
        let server = server(kind, "registry.test,*.dev.test");
        server.assert("registry.test", &["--http1.1"], "401 1.1");
        server.assert("registry.test", &[&ALICE[..], &["--http1.1"]].concat(), "200 1.1");
        // A client that requests another name gets no response. nginx before 1.19.4 sends this status.
        let other = server.curl("other.test", &[&ALICE[..], &["--http1.1"]].concat());
        assert!(other.code != Some(0) || other.stdout == "421 1.1", "{other:?}");
        server.assert(
            "registry.test",
            &[&ALICE[..], &["--http1.1", "-H", "Host: other.test"]].concat(),
            "421 1.1",
        );
        server.assert("a.dev.test", &["-k", "--http1.1", "-u", "bob:builder"], "200 1.1");
        assert_eq!(server.backend.received().matches("GET /v2/ HTTP/1.1\r\n").count(), 2);
    }
}

#[test]
fn missing_certificate_is_refused_and_the_suggested_command_creates_one() {
    let output = plain().tls_paths().set("SERVER_NAME", "a.test,b.test").try_out();
    assert_eq!(output.code, Some(1), "{output:?}");
    let said = output.stderr;
    assert!(said.contains("NGX_DOORWARD_TLS_CERTIFICATE: the file /"), "{said}");
    assert!(said.contains("tls.crt does not exist") && said.contains("set plain_http"), "{said}");
    let command =
        said.split("openssl req ").nth(1).and_then(|rest| rest.split(". ").next()).expect("a command");
    let line = format!("openssl req {command}");
    assert!(line.contains("DNS:a.test "), "{line}");
    let image = plain().tls_paths();
    let folder = image.path("etc/nginx/tls");
    fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(&line).current_dir(&folder);
    let made = process::run(command);
    assert_eq!(made.code, Some(0), "{line}: {}", made.stderr);
    let output = image.try_out();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(!output.stderr.contains("plain HTTP"), "{}", output.stderr);
}

#[test]
fn compose_certificate_is_trusted_as_a_ca_file_and_signs_no_other() {
    let image = Image::new().tls_paths().set("KIND", "registry");
    let folder = image.path("etc/nginx/tls");
    fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new("sh");
    command.arg(shipped().join("make-certificate.sh")).arg(&folder).arg("localhost");
    let made = process::run(command);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let mut show = Command::new(program("openssl", "openssl"));
    show.args(["x509", "-noout", "-text", "-in"]).arg(folder.join("tls.crt"));
    let text = process::run(show).stdout;
    assert!(text.contains("CA:FALSE") && !text.contains("CA:TRUE"), "{text}");
    assert!(text.contains("DNS:localhost") && text.contains("IP Address:127.0.0.1"), "{text}");

    let doorward = Doorward::start(&users::two(), &[]);
    let registry = Registry::start();
    let image = image.set("AUTH", tcp(&doorward.address).to_string());
    let nginx = Nginx::of(image.set("UPSTREAM", registry.address.to_string()));
    let pair = nginx.image().path("etc/nginx/tls/tls.crt");
    let at = format!("localhost:{}", nginx.address.port());
    // OpenSSL (curl) and Go (skopeo) both trust the certificate. skopeo reads ca.crt in a folder, as docker and podman
    // do.
    let mut curl = Command::new(program("curl", "curl"));
    curl.env_clear().args(["-q", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-u", "alice:wonderland"]);
    let output = process::run({
        curl.arg("--cacert").arg(&pair).arg(format!("https://{at}/v2/"));
        curl
    });
    assert_eq!((output.code, &output.stdout[..]), (Some(0), "200"), "{output:?}");
    let home = tempfile::tempdir().unwrap();
    let log_in = |trusted: bool| {
        let certificates = tempfile::tempdir().unwrap();
        if trusted {
            fs::copy(&pair, certificates.path().join("ca.crt")).unwrap();
        }
        let folder = certificates.path().display().to_string();
        let login = ["login", "--cert-dir", &folder, "-u", "alice", "-p", "wonderland", &at];
        skopeo(home.path(), &login)
    };
    let output = log_in(true);
    assert_eq!(output.code, Some(0), "{output:?}");
    let output = log_in(false);
    assert!(output.code != Some(0) && output.stderr.contains("x509"), "{output:?}");
}

#[test]
fn certificate_without_key_or_key_without_certificate_is_refused() {
    for (file, option) in [("tls.crt", "TLS_CERTIFICATE"), ("tls.key", "TLS_KEY")] {
        let image = plain().pair("DNS:registry.test");
        fs::remove_file(image.path("etc/nginx/tls").join(file)).unwrap();
        let output = image.try_out();
        assert_eq!(output.code, Some(1), "{output:?}");
        let said = format!("NGX_DOORWARD_{option}: the file /");
        assert!(
            output.stderr.contains(&said) && output.stderr.contains("does not exist"),
            "{}",
            output.stderr
        );
        let output = image.file(&format!("etc/nginx/tls/{file}"), "").try_out();
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("is empty"), "{}", output.stderr);
    }
    let strange = plain().pair("DNS:registry.test").file("etc/nginx/tls/tls.key", "no key\n").try_out();
    assert_ne!(strange.code, Some(0));
    assert!(strange.stderr.contains("cannot load certificate key"), "{}", strange.stderr);
}

#[test]
fn plain_http_is_served_only_if_configured_and_warned_about() {
    let image = plain().pair("DNS:registry.test").set("PLAIN_HTTP", "on");
    let output = image.try_out();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("warning: plain HTTP: passwords are sent without"), "{}", output.stderr);
    let quiet = image.set("SCHEME", "https").try_out();
    assert_eq!(quiet.code, Some(0));
    assert!(!quiet.stderr.contains("plain HTTP"), "{}", quiet.stderr);
}

#[test]
fn site_redirects_http_to_https_and_a_registry_does_not() {
    let written = |kind: &str, listen: &str| {
        let image =
            plain().pair("DNS:a.test").set("KIND", kind).set("LISTEN", listen).set("SERVER_NAME", "a.test");
        let output = process::run(image.command());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        image.written()
    };
    let site = written("site", "");
    assert!(site.contains("listen 80;") && site.contains("return 301 https://$host$request_uri;"), "{site}");
    assert!(site.contains("listen 443 ssl"), "{site}");
    for (kind, listen) in [("registry", ""), ("site", "127.0.0.1:28086")] {
        let text = written(kind, listen);
        assert!(!text.contains("return 301") && !text.contains("listen 80"), "{text}");
        assert!(text.contains(" ssl"), "{text}");
    }
}
