//! Requests and responses.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Every header that doorward can send.
pub(crate) const OF_DOORWARD: &[&str] = &[
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "www-authenticate",
    "x-auth-by",
    "x-auth-fact-customer",
    "x-auth-fact-plan",
    "x-auth-groups",
    "x-auth-reason",
    "x-auth-error",
    "x-auth-scope",
    "x-auth-stale",
    "x-upstream-authorization",
    "x-upstream-uri",
    "x-auth-user",
    "x-request-id",
];

/// Every header that can come through nginx, including headers of the registry. The headers between doorward
/// and nginx are not included.
pub(crate) const OF_NGINX: &[&str] = &[
    "accept-ranges",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "docker-content-digest",
    "docker-distribution-api-version",
    "docker-upload-uuid",
    "etag",
    "link",
    "location",
    "range",
    "retry-after",
    "server",
    "transfer-encoding",
    "www-authenticate",
    "x-content-type-options",
    "x-request-id",
];

/// Returns `Basic …` for a pair of any bytes.
pub(crate) fn basic(pair: impl AsRef<[u8]>) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// A request under construction.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            head: format!("{method} {target} HTTP/1.1\r\n").into(),
            body: Vec::new(),
        }
        .header("Host", "doorward.test")
    }

    /// Returns the path without the query.
    pub(crate) fn path(&self) -> &str {
        let line = self.head.split(|b| *b == b'\r').next().unwrap_or_default();
        let target =
            std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Returns the subrequest that nginx sends.
    pub(crate) fn auth() -> Self {
        Self::get("/auth")
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend([name.as_bytes(), b": ", value.as_ref(), b"\r\n"].concat());
        self
    }

    /// Sets another host than `doorward.test`.
    pub(crate) fn host(mut self, host: &str) -> Self {
        let head = String::from_utf8(self.head).expect("text so far");
        self.head = head.replace("Host: doorward.test\r\n", &format!("Host: {host}\r\n")).into();
        self
    }

    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        self.header("Authorization", basic(format!("{user}:{password}")))
    }

    /// Sets the client address as nginx does.
    pub(crate) fn from(self, address: &str) -> Self {
        self.header("X-Real-IP", address)
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    /// Sets the body, in chunks of at most 64 KiB.
    pub(crate) fn chunked(mut self, body: &[u8]) -> Self {
        for chunk in body.chunks(1 << 16) {
            self.body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            self.body.extend([chunk, b"\r\n"].concat());
        }
        self.body.extend(b"0\r\n\r\n");
        self.header("Transfer-Encoding", "chunked")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.head[..], b"\r\n", &self.body].concat()
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns the value of a header, which must not occur twice.
    pub(crate) fn raw(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| &value[..]);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice: {self:?}");
        value
    }

    /// Returns the value of a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.raw(name).map(|value| std::str::from_utf8(value).expect("a header in UTF-8"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the parts of the response by which a client can distinguish it from another one. The values of
    /// headers that depend on the time are removed.
    pub(crate) fn face(&self) -> Self {
        let mut face = self.clone();
        for (name, value) in &mut face.headers {
            if matches!(&name[..], "date" | "retry-after" | "x-request-id") {
                value.clear();
            }
        }
        face.headers.sort();
        face
    }
}
