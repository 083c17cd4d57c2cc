//! A subrequest: what the proxy says of the client's request, in plain values. Which headers they come from is
//! the dialect's.

use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;

use super::header::RequestHeader;
use super::original::{DeclaredUpstream, OriginalRequest};

/// What the proxy says of the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress<'a> {
    /// Nothing.
    #[default]
    Missing,
    /// The client has none: it came over a unix socket.
    UnixSocket,
    /// This text, which is not parsed yet.
    Text(&'a [u8]),
}

/// The names of the headers that a dialect reads, for messages.
#[derive(Debug)]
pub struct HeaderNames {
    /// Of the client's address.
    pub client: &'static str,
    /// Of the method.
    pub method: &'static str,
    /// Of the URI.
    pub uri: &'static str,
    /// Of the host.
    pub host: &'static str,
    /// Of the content type.
    pub content_type: &'static str,
}

impl HeaderNames {
    /// Those of our nginx configuration.
    pub const NGINX: Self = Self {
        client: "X-Real-IP",
        method: "X-Original-Method",
        uri: "X-Original-URI",
        host: "X-Original-Host",
        content_type: "X-Original-Content-Type",
    };
}

/// A header by which a subrequest is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeaderError {
    /// Its name.
    pub header: &'static str,
    /// What is wrong with it.
    pub kind: ProxyHeaderErrorKind,
}

/// What is wrong with a header of a subrequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderErrorKind {
    /// It is required, and not there.
    Missing,
    /// It is there more than once.
    Repeated,
    /// It is too long, or its value is not what the proxy sends.
    Invalid,
    /// Only proxies of another kind send it, or a client.
    Conflicting,
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.kind {
            ProxyHeaderErrorKind::Missing => "is missing",
            ProxyHeaderErrorKind::Repeated => "is there more than once",
            ProxyHeaderErrorKind::Invalid => "cannot be read",
            ProxyHeaderErrorKind::Conflicting => {
                "belongs to another kind of proxy: this one must not send it, nor pass a client's on"
            }
        };
        write!(f, "{} {fault}", self.header)
    }
}

/// A subrequest. Nothing of it is parsed before it is needed, and nothing twice.
#[derive(Debug, Default)]
pub struct Subrequest<'a> {
    /// The client's `Authorization`.
    pub authorization: RequestHeader<'a>,
    /// The client's address.
    pub client: ClientAddress<'a>,
    /// The address of the peer itself; `None` for a unix socket.
    pub peer: Option<IpAddr>,
    /// The client's method.
    pub method: RequestHeader<'a>,
    /// The client's URI, raw.
    pub uri: RequestHeader<'a>,
    /// The host that the proxy chose its server by.
    pub host: RequestHeader<'a>,
    /// The client's `Content-Type`, empty if it sent none.
    pub content_type: RequestHeader<'a>,
    /// What the proxy says of the backend.
    pub declared_upstream: DeclaredUpstream,
    /// Whether the peer has proved that it may have the upstream's credentials.
    pub has_proxy_secret: bool,
    /// What was parsed of it.
    pub parsed: ParsedSubrequest<'a>,
}

/// What was parsed of a subrequest so far.
#[derive(Debug, Default)]
pub struct ParsedSubrequest<'a> {
    /// In a box, since it is large and most subrequests need none of it.
    original: OnceLock<Box<Result<OriginalRequest<'a>, ProxyHeaderError>>>,
    user: OnceLock<Box<[u8]>>,
}

impl<'a> Subrequest<'a> {
    /// How the headers are called in messages.
    const HEADER_NAMES: HeaderNames = HeaderNames::NGINX;

    /// Returns the client's address, or the peer's own if the proxy does not name the client; `None` if there
    /// is none.
    ///
    /// # Errors
    /// If the address cannot be parsed: to ignore it would count one client's failures against another.
    pub fn client_address(&self) -> Result<Option<IpAddr>, ProxyHeaderError> {
        match self.client {
            ClientAddress::Missing => Ok(self.peer),
            ClientAddress::UnixSocket => Ok(None),
            ClientAddress::Text(text) => match std::str::from_utf8(text).map(str::parse) {
                Ok(Ok(address)) => Ok(Some(address)),
                Ok(Err(_)) | Err(_) => Err(ProxyHeaderError {
                    header: Self::HEADER_NAMES.client,
                    kind: ProxyHeaderErrorKind::Invalid,
                }),
            },
        }
    }

    /// Returns the client's request, parsed once for all who need it.
    ///
    /// # Errors
    /// If the proxy does not describe it completely.
    pub fn original_request(&self) -> Result<&OriginalRequest<'a>, ProxyHeaderError> {
        let names = &Self::HEADER_NAMES;
        let read = || {
            Ok(OriginalRequest::new(
                header_text(self.method, names.method)?,
                header_text(self.uri, names.uri)?,
                header_text(self.host, names.host)?,
                header_text(self.content_type, names.content_type)?,
                self.declared_upstream,
            ))
        };
        let original = self.parsed.original.get_or_init(|| Box::new(read()));
        (**original).as_ref().map_err(|incomplete| *incomplete)
    }

    /// Returns the host that was asked, in lower case and without port.
    ///
    /// # Errors
    /// If the proxy does not say it, or it is not a host.
    pub fn host_name(&self) -> Result<std::borrow::Cow<'a, str>, ProxyHeaderError> {
        let host = header_text(self.host, Self::HEADER_NAMES.host)?;
        crate::request::site::normalize_host(host).map_err(|_| ProxyHeaderError {
            header: Self::HEADER_NAMES.host,
            kind: ProxyHeaderErrorKind::Invalid,
        })
    }

    /// Returns the client's URI as text.
    ///
    /// # Errors
    /// If the proxy does not send it once, or it is not UTF-8.
    pub fn uri_text(&self) -> Result<&'a str, ProxyHeaderError> {
        header_text(self.uri, Self::HEADER_NAMES.uri)
    }

    /// Records who the credentials say that the client is, for the log. The first call counts.
    pub(crate) fn set_user(&self, user: &[u8]) {
        let _ = self.parsed.user.set(user.into());
    }

    /// Returns the user whom the credentials name, if they were parsed and name one.
    pub fn user(&self) -> &[u8] {
        self.parsed.user.get().map_or(b"", |user| user)
    }
}

fn header_text<'a>(header: RequestHeader<'a>, name: &'static str) -> Result<&'a str, ProxyHeaderError> {
    let fault = match header {
        RequestHeader::Once(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(_) => ProxyHeaderErrorKind::Invalid,
        },
        RequestHeader::Absent => ProxyHeaderErrorKind::Missing,
        RequestHeader::Repeated => ProxyHeaderErrorKind::Repeated,
        RequestHeader::Invalid => ProxyHeaderErrorKind::Invalid,
    };
    Err(ProxyHeaderError { header: name, kind: fault })
}
