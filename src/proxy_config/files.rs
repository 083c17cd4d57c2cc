//! The files that nginx reads: certificates and certificate authorities.

use std::fs::File;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::options::{OptionError, ProxyOptions};
use super::value::ServiceKind;

/// The files with the certificate authorities of the system: Debian and Alpine, Fedora, OpenBSD and others.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Finds the certificate authorities of remote registries, and checks that all files can be read. The administrator
/// sets the certificate of an own server, so `has_certificates` is false for it.
pub(crate) fn find_files(options: &mut ProxyOptions, has_certificates: bool) -> Vec<OptionError> {
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
        if !has_certificates || server.plain_http || !has_checks {
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
    match open_file(path)?.metadata().map(|metadata| metadata.len()) {
        Ok(0) => Err(format!("the file {path} is empty")),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the file {path} cannot be read: {error}")),
    }
}

/// Opens a regular file. A pipe in its place cannot block the command.
pub(super) fn open_file(path: &str) -> Result<File, String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let unreadable = |error: &dyn std::fmt::Display| format!("the file {path} cannot be read: {error}");
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT) => return Err(format!("the file {path} does not exist")),
        Err(error) => return Err(unreadable(&std::io::Error::from(error))),
    };
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(format!("{path} is not a file")),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Returns the remedy for a missing certificate.
fn certificate_help(name: &str) -> String {
    format!(
        "Put your certificate there, or create one for a trial: openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN={name} -addext subjectAltName=DNS:{name} -addext basicConstraints=critical,CA:FALSE -keyout tls.key -out tls.crt. For plain HTTP in a trial or behind a load balancer, set plain_http. If nginx runs on another machine, set file_checks = off"
    )
}
