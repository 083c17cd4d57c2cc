//! Rows of the failure table: TLS errors, which are always failures.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use tempfile::TempDir;

use super::ExpectedVerdict::{Granted, Unavailable};
use super::{CONNECT, ExpectedVerdict, FailureCase};
use crate::support::backend::{Authority, Backend, Reply, server, server_for};

const TLS: &str = "authenticator vendor: TLS: ";

/// A row with a TLS service that accepts every user. doorward trusts the certificates in `ca`.
fn secure(
    failure: &'static str,
    tls: Arc<ServerConfig>,
    ca: &Path,
    dir: &Arc<TempDir>,
    verdict: ExpectedVerdict,
) -> FailureCase {
    let backend = Backend::secure(tls, Reply::status(200));
    let url = format!("https://{}", backend.address);
    let log = if matches!(verdict, Granted) { "" } else { TLS };
    let row = FailureCase::new(failure, &url, verdict, log, (backend, Arc::clone(dir)));
    row.set(&format!("ca_file = \"{}\"\n", ca.display()))
}

/// Returns settings with the client certificate and key in this folder.
fn client(folder: &Path) -> String {
    let [certificate, key] = ["client.pem", "client.key"].map(|name| folder.join(name).display().to_string());
    format!("client_cert_file = \"{certificate}\"\nclient_key_file = \"{key}\"\n")
}

pub(super) fn rows() -> Vec<FailureCase> {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let ca = ours.file(dir.path());
    let [right, wrong] = ["right", "wrong"].map(|name| {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    });
    ours.good().files(&right);
    theirs.good().files(&wrong);
    let row = |failure, tls, verdict| secure(failure, tls, &ca, &dir, verdict);
    let asks = || server_for(&ours.good(), &ours);
    vec![
        row("a certificate of one's own authority (the other side of it)", server(&ours.good()), Granted),
        row("an expired certificate", server(&ours.pair("127.0.0.1", 2020)), Unavailable),
        row("a certificate for another name", server(&ours.pair("other.test", 2099)), Unavailable),
        row("a certificate for another address", server(&ours.pair("127.0.0.2", 2099)), Unavailable),
        row("a certificate of an unknown authority", server(&theirs.good()), Unavailable),
        public(&theirs, &dir),
        row("a client certificate is demanded, and shown", asks(), Granted).set(&client(&right)),
        row("a client certificate is demanded, and none is shown", asks(), Unavailable),
        row("a client certificate is demanded, and a stranger's is shown", asks(), Unavailable)
            .set(&client(&wrong)),
        plain(&ca, &dir),
        mute(&ca, &dir),
    ]
}

/// A row with the certificate authorities of the machine, which do not include the authority of the test.
fn public(theirs: &Authority, dir: &Arc<TempDir>) -> FailureCase {
    let backend = Backend::secure(server(&theirs.good()), Reply::status(200));
    let url = format!("https://{}", backend.address);
    FailureCase::new(
        "an unknown authority, by the machine's list",
        &url,
        Unavailable,
        TLS,
        (backend, Arc::clone(dir)),
    )
}

/// A row with an https URL of a plain HTTP service, which responds with an error at once.
fn plain(ca: &Path, dir: &Arc<TempDir>) -> FailureCase {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // The client may have closed the connection, which is not an error.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let row = FailureCase::new("http where https is spoken", &url, Unavailable, TLS, Arc::clone(dir));
    row.set(&format!("ca_file = \"{}\"\n", ca.display()))
}

/// A row with a service that reads the TLS handshake and never answers.
fn mute(ca: &Path, dir: &Arc<TempDir>) -> FailureCase {
    let backend = Backend::saying(Reply::status(200));
    let url = format!("https://{}", backend.address);
    let log = "vendor: no connection within 500ms";
    let row = FailureCase::new("the handshake hangs", &url, Unavailable, log, (backend, Arc::clone(dir)));
    row.set(&format!("ca_file = \"{}\"\n", ca.display())).within(CONNECT)
}
