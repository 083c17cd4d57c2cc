//! A request as the backend received it. Every part is decoded strictly and without code of doorward.

use std::io::Read;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    /// The header names are in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

/// A name and a value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

impl ReceivedRequest {
    /// Returns the value of a header, which must not occur twice.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| &value[..]);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice: {self:?}");
        value
    }

    /// Returns the segments of the path, each decoded.
    pub(crate) fn segments(&self) -> Vec<Vec<u8>> {
        let path = self.target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or_else(|| panic!("no path: {}", self.target));
        path.split('/').map(|segment| decoded(segment.as_bytes(), false)).collect()
    }

    /// Returns the pairs of the query.
    pub(crate) fn query(&self) -> Vec<Pair> {
        self.target.split_once('?').map_or_else(Vec::new, |(_, query)| pairs(query.as_bytes()))
    }

    /// Returns the pairs of a form body.
    pub(crate) fn form(&self) -> Vec<Pair> {
        assert_eq!(self.header("content-type"), Some(&b"application/x-www-form-urlencoded"[..]), "{self:?}");
        pairs(&self.body)
    }

    /// Parses the JSON body.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some(&b"application/json"[..]), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the user name and the password of `Authorization: Basic`.
    pub(crate) fn basic(&self) -> Option<Pair> {
        let pair = self.header("authorization")?.strip_prefix(b"Basic ")?;
        let pair = BASE64_STANDARD.decode(pair).expect("base64");
        let colon = pair.iter().position(|byte| *byte == b':').expect("a colon");
        Some((pair[..colon].to_vec(), pair[colon + 1..].to_vec()))
    }

    /// Returns the user name and the password as text.
    pub(crate) fn who(&self) -> (String, String) {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (user, password) = self.basic().expect("credentials");
        (text(user), text(password))
    }
}

/// Parses the pairs of `a=b&c=d` as in a form, where a plus is a space.
fn pairs(text: &[u8]) -> Vec<Pair> {
    let pair = |pair: &[u8]| {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or_else(|| panic!("no =: {pair:?}"));
        (decoded(&pair[..equals], true), decoded(&pair[equals + 1..], true))
    };
    text.split(|byte| *byte == b'&').map(pair).collect()
}

/// Decodes percent-encoding once. Panics if `%` is not followed by two hexadecimal digits.
fn decoded(text: &[u8], plus: bool) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        found.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(*d).to_digit(16)).expect("a digit");
                u8::try_from(digit() * 16 + digit()).unwrap()
            }
            b'+' if plus => b' ',
            byte => *byte,
        });
    }
    found
}

/// Reads one request. Returns `None` if the peer has closed the connection or the bytes are not HTTP.
pub(super) fn read(wire: &mut impl Read, unread: &mut Vec<u8>) -> Option<ReceivedRequest> {
    let head = take_until(wire, unread, b"\r\n\r\n")?;
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8(lines.next()?.to_vec()).ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let headers: Vec<(String, Vec<u8>)> = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = String::from_utf8(line[..colon].to_ascii_lowercase()).ok()?;
            Some((name, line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]).to_vec()))
        })
        .collect::<Option<_>>()?;
    let mut heard =
        ReceivedRequest { method, target, version, headers, body: Vec::new(), at: Instant::now() };
    heard.body = body(wire, unread, &heard)?;
    // The time at which the whole request had arrived.
    heard.at = Instant::now();
    Some(heard)
}

fn body(wire: &mut impl Read, unread: &mut Vec<u8>, heard: &ReceivedRequest) -> Option<Vec<u8>> {
    if let Some(length) = heard.header("content-length") {
        let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
        return take(wire, unread, length);
    }
    if heard.header("transfer-encoding") != Some(b"chunked") {
        return Some(Vec::new());
    }
    let mut body = Vec::new();
    loop {
        let size = take_until(wire, unread, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&size).ok()?.trim(), 16).ok()?;
        body.extend(take(wire, unread, size)?);
        take(wire, unread, 2)?;
        if size == 0 {
            return Some(body);
        }
    }
}

fn more(wire: &mut impl Read, unread: &mut Vec<u8>) -> Option<()> {
    let mut some = [0; 1 << 14];
    let count = wire.read(&mut some).ok().filter(|count| *count > 0)?;
    unread.extend(&some[..count]);
    Some(())
}

fn take(wire: &mut impl Read, unread: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    while unread.len() < count {
        more(wire, unread)?;
    }
    Some(unread.drain(..count).collect())
}

fn take_until(wire: &mut impl Read, unread: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = unread.windows(end.len()).position(|some| some == end) {
            return take(wire, unread, at + end.len());
        }
        more(wire, unread)?;
    }
}
