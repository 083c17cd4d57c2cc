//! `doorward health`: for a container's health check, in an image that has no other program.
//!
//! One fixed request and the first line of its answer; no library for it would be smaller.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{print_error, print_line};
use crate::config::{Config, ListenAddress};

/// How long each step may take. Health checks are asked every few seconds.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// The most of an answer that is read; that of `/readyz` has a few hundred bytes, and that of `/keys` some
/// hundred for each key that was used.
const RESPONSE_BYTES_MAX: u64 = 64 << 20;

/// Asks `/readyz` at `url`, or else at the first admin listener of the settings.
pub(super) fn run(settings: &Config, url: Option<&str>) -> ExitCode {
    let asked = request_admin_listener(url, settings.admin.listen.first(), "/readyz", None);
    match asked {
        Ok(answer) => {
            let mut lines = answer.lines();
            let ready = lines.next().is_some_and(|line| line.split(' ').nth(1) == Some("200"));
            let body =
                lines.skip_while(|line| !line.is_empty()).nth(1).unwrap_or("no answer that could be read");
            if ready {
                print_line(body);
                return ExitCode::SUCCESS;
            }
            print_error(&format!("not ready: {body}"));
        }
        Err(error) => print_error(&format!("not ready: {error}")),
    }
    ExitCode::FAILURE
}

/// The answer to a request for `path` at `url`, or else at a listener of the settings; with the token of the admin
/// listener if there is one.
pub(super) fn request_admin_listener(
    url: Option<&str>,
    listen: Option<&ListenAddress>,
    path: &str,
    token: Option<&str>,
) -> io::Result<String> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    // The admin listener serves no name that it does not know.
    let request = Zeroizing::new(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{token}\r\n"));
    match (url, listen) {
        (Some(url), _) => send_to_url(url, &request),
        (None, Some(listen)) => send_to_address(&connectable_address(listen), &request),
        (None, None) => Err(io::Error::other("admin.listen names no listener; use --url")),
    }
}

/// An address that is listened on may be "all of them", which can't be connected to everywhere.
fn connectable_address(listen: &ListenAddress) -> ListenAddress {
    match listen {
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            let ip = match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            ListenAddress::Tcp(SocketAddr::new(ip, address.port()))
        }
        other => other.clone(),
    }
}

fn send_to_url(url: &str, request: &str) -> io::Result<String> {
    if let Some(socket) = url.strip_prefix("unix:") {
        return send_to_address(&ListenAddress::Unix(socket.into()), request);
    }
    let wrong = || io::Error::other(format!("{url}: write http://HOST:PORT or unix:/path"));
    let authority = url.strip_prefix("http://").ok_or_else(wrong)?.split('/').next().unwrap_or_default();
    let address = authority.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)?;
    send_to_address(&ListenAddress::Tcp(address), request)
}

fn send_to_address(listen: &ListenAddress, request: &str) -> io::Result<String> {
    let at = |error: io::Error| io::Error::other(format!("{listen}: {error}"));
    match listen {
        ListenAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, STEP_TIMEOUT).map_err(at)?;
            stream.set_read_timeout(Some(STEP_TIMEOUT))?;
            stream.set_write_timeout(Some(STEP_TIMEOUT))?;
            exchange(stream, request).map_err(at)
        }
        ListenAddress::Unix(socket) => {
            let stream = UnixStream::connect(Path::new(socket)).map_err(at)?;
            stream.set_read_timeout(Some(STEP_TIMEOUT))?;
            stream.set_write_timeout(Some(STEP_TIMEOUT))?;
            exchange(stream, request).map_err(at)
        }
        ListenAddress::Systemd(_) => Err(at(io::Error::other("only systemd knows where that is; use --url"))),
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
