//! A subrequest: the values by which the proxy describes the client's request. The dialect defines the headers that
//! contain them.

use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;

use super::header::RequestHeader;
use super::original::{DeclaredUpstream, OriginalRequest};
use crate::permissions::host::normalize_host;

/// The client's address, as the proxy sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientAddress<'a> {
    /// The proxy does not send it.
    #[default]
    Missing,
    /// The client has no address, because it connected over a unix socket.
    UnixSocket,
    /// The text of the header, not parsed yet.
    Text(&'a [u8]),
}

/// The names of the headers that a dialect reads, for messages.
#[derive(Debug)]
pub(crate) struct HeaderNames {
    /// The header of the client's address.
    pub(crate) client: &'static str,
    /// The header of the method.
    pub(crate) method: &'static str,
    /// The header of the URI.
    pub(crate) uri: &'static str,
    /// The header of the host.
    pub(crate) host: &'static str,
    /// The header of the content type.
    pub(crate) content_type: &'static str,
}

impl HeaderNames {
    /// The headers of our nginx configuration.
    pub(crate) const NGINX: Self = Self {
        client: "X-Real-IP",
        method: "X-Original-Method",
        uri: "X-Original-URI",
        host: "X-Original-Host",
        content_type: "X-Original-Content-Type",
    };
}

/// An error in a header of a subrequest. Such a request is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyHeaderError {
    /// The name of the header.
    pub(crate) header: &'static str,
    /// The kind of error.
    pub(crate) kind: ProxyHeaderErrorKind,
}

/// The kinds of errors in a header of a subrequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeaderErrorKind {
    /// The header is required and missing.
    Missing,
    /// The header is present more than once.
    Repeated,
    /// The value is too long, or is not one that the proxy sends.
    Invalid,
    /// The header is one that only other kinds of proxies send. A client can have sent it.
    Conflicting,
}

impl ProxyHeaderError {
    /// The value of the header with the host is not a host.
    pub(crate) const INVALID_HOST: Self =
        Self { header: HeaderNames::NGINX.host, kind: ProxyHeaderErrorKind::Invalid };
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self.kind {
            ProxyHeaderErrorKind::Missing => "is missing",
            ProxyHeaderErrorKind::Repeated => "is repeated",
            ProxyHeaderErrorKind::Invalid => "is invalid",
            ProxyHeaderErrorKind::Conflicting => {
                "belongs to another kind of proxy; configure this proxy to remove it"
            }
        };
        write!(f, "{} {error}", self.header)
    }
}

/// A subrequest. Each part is parsed when it is first needed, and only once.
#[derive(Debug, Default)]
pub(crate) struct Subrequest<'a> {
    /// The client's `Authorization`.
    pub(crate) authorization: RequestHeader<'a>,
    /// The client's address.
    pub(crate) client: ClientAddress<'a>,
    /// The address of the peer itself; `None` for a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// The client's method.
    pub(crate) method: RequestHeader<'a>,
    /// The client's URI, not decoded.
    pub(crate) uri: RequestHeader<'a>,
    /// The host by which the proxy chose its server.
    pub(crate) host: RequestHeader<'a>,
    /// The client's `Content-Type`; empty if the client sent none.
    pub(crate) content_type: RequestHeader<'a>,
    /// The kind of upstream that the proxy declares.
    pub(crate) declared_upstream: DeclaredUpstream,
    /// Whether the peer sent the proxy secret, and so can receive the credentials of upstreams.
    pub(crate) has_proxy_secret: bool,
    /// The parts that were parsed.
    pub(crate) parsed: ParsedSubrequest<'a>,
}

/// The parts of a subrequest that were parsed so far.
#[derive(Debug, Default)]
pub(crate) struct ParsedSubrequest<'a> {
    /// The client's request. It is boxed, because it is large and most subrequests do not need it.
    original: OnceLock<Box<Result<OriginalRequest<'a>, ProxyHeaderError>>>,
    client_address: OnceLock<Result<Option<IpAddr>, ProxyHeaderError>>,
    user: OnceLock<Box<[u8]>>,
}

impl<'a> Subrequest<'a> {
    /// The names of the headers in messages.
    const HEADER_NAMES: HeaderNames = HeaderNames::NGINX;

    /// Returns the address of the client, or that of the peer if the proxy does not send one; `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if the address cannot be parsed. If it were ignored, the failures of one client would count for
    /// another.
    pub(crate) fn client_address(&self) -> Result<Option<IpAddr>, ProxyHeaderError> {
        let parse = || match self.client {
            ClientAddress::Missing => Ok(self.peer),
            ClientAddress::UnixSocket => Ok(None),
            ClientAddress::Text(text) => match std::str::from_utf8(text).map(str::parse) {
                Ok(Ok(address)) => Ok(Some(address)),
                Ok(Err(_)) | Err(_) => Err(ProxyHeaderError {
                    header: Self::HEADER_NAMES.client,
                    kind: ProxyHeaderErrorKind::Invalid,
                }),
            },
        };
        *self.parsed.client_address.get_or_init(parse)
    }

    /// Returns the client's request. It is parsed once.
    ///
    /// # Errors
    /// Returns an error if a header that describes the request is missing, repeated or invalid.
    pub(crate) fn original_request(&self) -> Result<&OriginalRequest<'a>, ProxyHeaderError> {
        let names = &Self::HEADER_NAMES;
        let parse = || {
            Ok(OriginalRequest::new(
                header_text(self.method, names.method)?,
                header_text(self.uri, names.uri)?,
                header_text(self.host, names.host)?,
                header_text(self.content_type, names.content_type)?,
                self.declared_upstream,
            ))
        };
        let original = self.parsed.original.get_or_init(|| Box::new(parse()));
        (**original).as_ref().map_err(|error| *error)
    }

    /// Returns the host of the client's request, in lower case and without port.
    ///
    /// # Errors
    /// Returns an error if the header is missing or repeated, or its value is not a host.
    pub(crate) fn host_name(&self) -> Result<std::borrow::Cow<'a, str>, ProxyHeaderError> {
        let host = header_text(self.host, Self::HEADER_NAMES.host)?;
        normalize_host(host).map_err(|_| ProxyHeaderError::INVALID_HOST)
    }

    /// Returns the client's URI as text.
    ///
    /// # Errors
    /// Returns an error if the header is missing or repeated, or its value is not UTF-8.
    pub(crate) fn uri_text(&self) -> Result<&'a str, ProxyHeaderError> {
        header_text(self.uri, Self::HEADER_NAMES.uri)
    }

    /// Records the user name in the credentials, for the log. Only the first call has an effect.
    pub(crate) fn set_user(&self, user: &[u8]) {
        let _ = self.parsed.user.set(user.into());
    }

    /// Returns the user name in the credentials; empty if they were not parsed or contain none.
    pub(crate) fn user(&self) -> &[u8] {
        self.parsed.user.get().map_or(b"", |user| user)
    }
}

fn header_text<'a>(header: RequestHeader<'a>, name: &'static str) -> Result<&'a str, ProxyHeaderError> {
    let kind = match header {
        RequestHeader::Once(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(_) => ProxyHeaderErrorKind::Invalid,
        },
        RequestHeader::Absent => ProxyHeaderErrorKind::Missing,
        RequestHeader::Repeated => ProxyHeaderErrorKind::Repeated,
        RequestHeader::Invalid => ProxyHeaderErrorKind::Invalid,
    };
    Err(ProxyHeaderError { header: name, kind })
}
