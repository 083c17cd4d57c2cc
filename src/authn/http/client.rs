//! Builds the HTTP client of one authenticator. It follows no redirects, uses no proxy from the environment, and never
//! repeats a request by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use reqwest::{Certificate, Client, Identity, redirect, retry};
use zeroize::Zeroizing;

use crate::authn::remote::client::ClientBuildError;
use crate::reload::displayable_path;

/// The time for which an idle connection is kept. It is shorter than the keep-alive time of common servers (nginx: 75 s,
/// Node: 5 s). A request on a connection that was closed meanwhile is sent on a new one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The largest file with a certificate, a key or a secret, in bytes.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// The trusted authorities and the client certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFiles {
    /// A PEM file of trusted authorities, which replaces those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// The PEM files of the client certificate and its key.
    pub(crate) client_cert: Option<(PathBuf, PathBuf)>,
}

/// Builds the client of a service with up to `connections` connections.
///
/// # Errors
/// If a file is unusable, or TLS cannot be set up.
pub(crate) fn build_client(
    tls: &TlsFiles,
    is_https: bool,
    connect_timeout: Duration,
    connections: usize,
) -> Result<Client, ClientBuildError> {
    // An error means that another authenticator has installed the provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let invalid_file = |key: &'static str, path: &Path, reason: String| {
        ClientBuildError::InvalidFile(key, displayable_path(path), reason)
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
    match (&tls.ca_file, is_https) {
        (Some(path), _) => {
            let pem = read_file(path).map_err(|reason| invalid_file("ca_file", path, reason))?;
            let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(invalid_file("ca_file", path, "no certificate found; use the PEM format".into()));
            }
            builder = builder.tls_certs_only(certificates);
        }
        // The authorities of the system are read only if they are needed: a container image may have none.
        (None, true) => {}
        (None, false) => builder = builder.tls_certs_only([]),
    }
    if let Some((certificate, key)) = &tls.client_cert {
        let mut pem =
            read_file(certificate).map_err(|reason| invalid_file("client_cert_file", certificate, reason))?;
        let key_pem = read_file(key).map_err(|reason| invalid_file("client_key_file", key, reason))?;
        pem.reserve_exact(key_pem.len() + 1);
        pem.push(b'\n');
        pem.extend_from_slice(&key_pem);
        let identity = Identity::from_pem(&pem).map_err(|_| {
            invalid_file(
                "client_cert_file",
                certificate,
                "not a certificate that matches the key in client_key_file; use the PEM format".into(),
            )
        })?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        ClientBuildError::TlsSetupFailed(cause)
    })
}

/// Reads a secret of a template: the content of the file without surrounding white space. It must be visible ASCII,
/// because it can be sent in a header.
///
/// # Errors
/// If the file cannot be read, is empty, or has other characters.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ClientBuildError> {
    let invalid =
        |reason: &str| ClientBuildError::InvalidFile("the file", displayable_path(path), reason.into());
    let text = read_file(path).map_err(|reason| invalid(&reason))?;
    let text = Zeroizing::new(text.trim_ascii().to_vec());
    if text.is_empty() {
        return Err(invalid("it is empty"));
    }
    if !text.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
        return Err(invalid("it has other characters than visible ASCII"));
    }
    Ok(text)
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "the file does not exist".to_owned(),
        _ => format!("cannot be read: {error}; the user that runs doorward must be allowed to read it"),
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_SIZE_MAX {
        return Err("not a file of at most 1 MiB".into());
    }
    fs::read(path).map(Zeroizing::new).map_err(unreadable)
}
