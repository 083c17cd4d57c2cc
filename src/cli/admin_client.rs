//! A client for the admin listener of a running doorward.
//!
//! It sends one fixed GET request and reads the whole response. An HTTP library would be larger than this file.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::ListenAddress;

/// Timeout of connect, read and write, each. Container engines send a health check every few seconds.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum size of a response. `/readyz` returns a few hundred bytes, and `/api-keys` about a hundred for each used key.
const RESPONSE_BYTES_MAX: u64 = 64 << 20;

/// Sends `GET path` to `url`, or else to a listener of the settings, and returns the response with its head.
///
/// `token` is the token of the admin listener, which is sent as a bearer token.
pub(super) fn request_admin_listener(
    url: Option<&str>,
    listen: Option<&ListenAddress>,
    path: &str,
    token: Option<&str>,
) -> io::Result<String> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    // The admin listener rejects unknown host names.
    let request = Zeroizing::new(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{token}\r\n"));
    match (url, listen) {
        (Some(url), _) => send_to_url(url, &request),
        (None, Some(listen)) => send_to_address(&connectable_address(listen), &request),
        (None, None) => Err(io::Error::other("admin.listen is empty; use --url")),
    }
}

/// Replaces an unspecified IP address (0.0.0.0, ::) by loopback. Not every system can connect to an unspecified
/// address.
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
    let invalid = || io::Error::other(format!("{url}: write http://HOST:PORT or unix:/path"));
    let authority = url.strip_prefix("http://").ok_or_else(invalid)?.split('/').next().unwrap_or_default();
    let address = authority.to_socket_addrs().map_err(|_| invalid())?.next().ok_or_else(invalid)?;
    send_to_address(&ListenAddress::Tcp(address), request)
}

fn send_to_address(listen: &ListenAddress, request: &str) -> io::Result<String> {
    let with_address = |error: io::Error| match error.kind() {
        // The error of a socket whose timeout has passed.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::other(format!("{listen}: no response within {} s", STEP_TIMEOUT.as_secs()))
        }
        _ => io::Error::other(format!("{listen}: {error}")),
    };
    match listen {
        ListenAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, STEP_TIMEOUT).map_err(with_address)?;
            stream.set_read_timeout(Some(STEP_TIMEOUT))?;
            stream.set_write_timeout(Some(STEP_TIMEOUT))?;
            exchange(stream, request).map_err(with_address)
        }
        ListenAddress::Unix(socket) => {
            let stream = UnixStream::connect(Path::new(socket)).map_err(with_address)?;
            stream.set_read_timeout(Some(STEP_TIMEOUT))?;
            stream.set_write_timeout(Some(STEP_TIMEOUT))?;
            exchange(stream, request).map_err(with_address)
        }
        ListenAddress::Systemd(_) => {
            Err(with_address(io::Error::other("the address is set in a systemd unit; use --url")))
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_string(&mut response)?;
    Ok(response)
}
