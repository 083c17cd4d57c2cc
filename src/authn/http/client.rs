//! The HTTP client of one service: what it trusts, how long it waits, and what it never does (follow a
//! redirect, take a proxy from the environment, ask twice).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::reload::displayable_path;
use reqwest::{Certificate, Client, Identity, redirect, retry};
use zeroize::Zeroizing;

/// How long a connection that nobody uses is kept: shorter than what servers commonly grant (nginx: 75 s,
/// Node: 5 s), and a question on one that was closed meanwhile is asked on a new one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The most bytes of a file with a certificate, a key or a secret.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// Whom to trust, and with which certificate to speak.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificates of authorities, in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, in PEM, and its key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
}

/// Why a client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// A file can't be used: the key that names it, its path, and why.
    #[error("{0} {1}: {2}")]
    InvalidFile(&'static str, String, String),
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}; set ca_file to the certificates of the authorities that are trusted")]
    TlsSetupFailed(String),
}

/// Makes the client.
pub fn build_client(
    trusted: &TlsFiles,
    https: bool,
    connect_timeout: Duration,
    connections: usize,
) -> Result<Client, ClientBuildError> {
    let fault = |key: &'static str, path: &Path, what: String| {
        ClientBuildError::InvalidFile(key, displayable_path(path), what)
    };
    let mut builder = Client::builder()
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .http1_only()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(connections);
    match (&trusted.ca_file, https) {
        (Some(path), _) => {
            let pem = read_file(path).map_err(|what| fault("ca_file", path, what))?;
            let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(fault(
                    "ca_file",
                    path,
                    "there is no certificate in it; write them in PEM".into(),
                ));
            }
            builder = builder.tls_certs_only(certificates);
        }
        // The system's are read, but only where they are needed: an image may have none.
        (None, true) => {}
        (None, false) => builder = builder.tls_certs_only([]),
    }
    if let Some((certificate, key)) = &trusted.client_cert {
        let mut pem = read_file(certificate).map_err(|what| fault("client_cert_file", certificate, what))?;
        let key_pem = read_file(key).map_err(|what| fault("client_key_file", key, what))?;
        pem.reserve_exact(key_pem.len() + 1);
        pem.push(b'\n');
        pem.extend_from_slice(&key_pem);
        let identity = Identity::from_pem(&pem).map_err(|_| {
            fault("client_cert_file", certificate, "with its key it is no certificate in PEM".into())
        })?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        ClientBuildError::TlsSetupFailed(cause)
    })
}

/// A secret of a template: the file's content without the line's end; visible ASCII, since it may be sent in a
/// header.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ClientBuildError> {
    let fault = |what: &str| ClientBuildError::InvalidFile("the file", displayable_path(path), what.into());
    let text = read_file(path).map_err(|what| fault(&what))?;
    let text = Zeroizing::new(text.trim_ascii().to_vec());
    if text.is_empty() {
        return Err(fault("it is empty"));
    }
    if !text.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
        return Err(fault("it has other characters than visible ASCII"));
    }
    Ok(text)
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable =
        |error| format!("can't be read: {error}; the user that doorward runs as needs to read it");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_SIZE_MAX {
        return Err("it is not a file of at most 1 MiB".into());
    }
    fs::read(path).map(Zeroizing::new).map_err(unreadable)
}
