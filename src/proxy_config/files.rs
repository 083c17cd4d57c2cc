//! The files that nginx reads: certificates and certificate authorities.

use std::fs::File;

use super::options::{OptionError, ProxyOptions};
use super::value::ServiceKind;

/// The files with the certificate authorities of the system: Debian and Alpine, Fedora, OpenBSD and others.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Finds the certificate authorities of remote registries, and checks that all files can be read.
pub(crate) fn find_files(options: &mut ProxyOptions) -> Vec<OptionError> {
    let mut errors = Vec::new();
    let has_checks = options.common.file_checks;
    for (number, server) in options.servers.iter_mut().enumerate() {
        let mut report = |option: &'static str, message: String| {
            errors.push(OptionError { option, server: Some(number), message });
        };
        if server.kind == ServiceKind::Ecr {
            match &server.upstream_ca {
                Some(path) if has_checks => {
                    if let Err(error) = check_file(path) {
                        report("upstream_ca", error);
                    }
                }
                Some(_) => {}
                None => {
                    let found =
                        SYSTEM_AUTHORITIES.into_iter().find(|path| !has_checks || check_file(path).is_ok());
                    match found {
                        Some(path) => server.upstream_ca = Some(path.to_owned()),
                        None => report(
                            "upstream_ca",
                            "there is no /etc/ssl/certs/ca-certificates.crt, so no certificate can be verified; install ca-certificates, or set another file".into(),
                        ),
                    }
                }
            }
        }
        if server.plain_http || !has_checks {
            continue;
        }
        if let Err(error) = check_file(&server.tls_certificate) {
            let names = server.server_name.iter().map(String::as_str);
            let name = names.into_iter().find(|name| *name != "_" && !name.starts_with('*'));
            report(
                "tls_certificate",
                format!("{error}. {}", certificate_help(name.unwrap_or("registry.example.com"))),
            );
        }
        if let Err(error) = check_file(&server.tls_key) {
            report("tls_key", error);
        }
    }
    errors
}

/// Returns an error if a file is missing, empty or unreadable.
fn check_file(path: &str) -> Result<(), String> {
    let metadata = File::open(path).and_then(|file| file.metadata()).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("the file {path} does not exist"),
        _ => format!("the file {path} cannot be read: {error}"),
    })?;
    match (metadata.is_file(), metadata.len()) {
        (false, _) => Err(format!("{path} is not a file")),
        (true, 0) => Err(format!("the file {path} is empty")),
        (true, _) => Ok(()),
    }
}

/// Returns the remedy for a missing certificate.
fn certificate_help(name: &str) -> String {
    format!(
        "Put your certificate there, or create one for a trial: openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN={name} -addext subjectAltName=DNS:{name} -addext basicConstraints=critical,CA:FALSE -keyout tls.key -out tls.crt. For plain HTTP in a trial or behind a load balancer, set plain_http. If nginx runs on another machine, set file_checks = off"
    )
}
