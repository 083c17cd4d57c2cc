//! The backend that records raw request lines.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request that reached the backend.
#[derive(Clone, Debug)]
pub(super) struct ReceivedLine {
    /// The request line without the method and the version.
    pub(super) target: Vec<u8>,
    pub(super) authorization: String,
}

#[derive(Default)]
struct Shared {
    reached: Mutex<Vec<ReceivedLine>>,
    ended: AtomicBool,
}

pub(super) struct RecordingBackend {
    shared: Arc<Shared>,
    pub(super) address: SocketAddr,
}

impl RecordingBackend {
    /// Starts the backend on a free port. It uses TLS if `tls` is set.
    pub(super) fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if all.ended.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_nodelay(true).unwrap();
                let (shared, tls) = (Arc::clone(&all), tls.clone());
                thread::spawn(move || match tls {
                    None => converse(stream, &shared),
                    Some(tls) => {
                        let session = ServerConnection::new(tls).unwrap();
                        converse(StreamOwned::new(session, stream), &shared);
                    }
                });
            }
        });
        Self { shared, address }
    }

    /// Returns the requests that were received since the last call.
    pub(super) fn take(&self) -> Vec<ReceivedLine> {
        std::mem::take(&mut *self.shared.reached.lock().unwrap())
    }
}

impl Drop for RecordingBackend {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which may have ended already.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers each request head. The tests send no bodies.
fn converse(mut wire: impl Read + Write, shared: &Shared) {
    let mut unread = Vec::new();
    let mut some = [0; 1 << 14];
    loop {
        while let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = unread.drain(..end + 4).collect();
            let is_head = head.starts_with(b"HEAD ");
            shared.reached.lock().unwrap().push(reached(&head));
            let body = if is_head { "" } else { "{}" };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}");
            if wire.write_all(answer.as_bytes()).and_then(|()| wire.flush()).is_err() {
                return;
            }
        }
        match wire.read(&mut some) {
            Ok(count @ 1..) => unread.extend_from_slice(&some[..count]),
            Ok(0) | Err(_) => return,
        }
    }
}

fn reached(head: &[u8]) -> ReceivedLine {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let from = first.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
    let to = first.windows(6).rposition(|some| some == b" HTTP/").unwrap_or(first.len());
    let value = |line: &[u8]| {
        let line = String::from_utf8_lossy(line).into_owned();
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    };
    ReceivedLine {
        target: first.get(from..to.max(from)).unwrap_or_default().to_vec(),
        authorization: lines.find_map(value).unwrap_or_default(),
    }
}

impl ReceivedLine {
    /// Returns true if a service could route the request outside `root`, which begins and ends with a slash. Checks the
    /// raw bytes, and every combination of decoding, parameters, backslashes, fragments and dot segments.
    pub(super) fn is_outside(&self, root: &str) -> bool {
        !self.target.starts_with(root.as_bytes())
            || readings(&self.target).iter().any(|path| !path.starts_with(root.as_bytes()))
    }
}

/// Returns every path as which a service could read a target.
fn readings(target: &[u8]) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    for decodings in 0..=2 {
        for cuts in [&b"?"[..], b"?#"] {
            let mut path = cut(target, cuts);
            for _ in 0..decodings {
                path = cut(&decode(&path), b"\0");
            }
            // Some services decode the path before they split off the query.
            for path in [path.clone(), cut(&path, b"?#")] {
                for backslashes in [false, true] {
                    for parameters in [false, true] {
                        paths.push(resolve(&path, backslashes, parameters));
                    }
                }
            }
        }
    }
    paths
}

fn cut(text: &[u8], at: &[u8]) -> Vec<u8> {
    text.iter().copied().take_while(|byte| !at.contains(byte)).collect()
}

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                found.push(u8::try_from(high * 16 + low).expect("two digits"));
                at += 3;
            }
            (byte, ..) => {
                found.push(byte);
                at += 1;
            }
        }
    }
    // Overlong UTF-8, which some decoders accept.
    let text = found.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = text.replace("c0ae", "2e").replace("c0af", "2f").replace("e080ae", "2e");
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).expect("hex")).collect()
}

/// Removes dot segments and empty segments, as RFC 3986 and most routers do.
fn resolve(path: &[u8], backslashes: bool, parameters: bool) -> Vec<u8> {
    let is_separator = |byte: &u8| *byte == b'/' || backslashes && *byte == b'\\';
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in path.split(is_separator) {
        let segment =
            if parameters { segment.split(|byte| *byte == b';').next().unwrap_or_default() } else { segment };
        ends_open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut found: Vec<u8> = kept.iter().flat_map(|segment| [b"/", *segment].concat()).collect();
    if ends_open {
        found.push(b'/');
    }
    found
}

#[test]
fn path_readings_detect_escapes_and_accept_plain_paths() {
    let is_outside = |target: &str| {
        ReceivedLine { target: target.as_bytes().to_vec(), authorization: String::new() }.is_outside("/v2/")
    };
    for target in [
        "/api",
        "/v2",
        "//v2/",
        "/v2/../api",
        "/v2/%2e%2e/api",
        "/v2/%252e%252e/api",
        "/v2/..%2fapi",
        "/v2/..\\api",
        "/v2/..;/api",
        "/v2/%c0%ae%c0%ae/api",
        "/v2/#/../../api",
        "/v2/%3f/../../api",
        "/x/../v2/",
        "v2/",
        "?/v2/",
        "http://x/v2/",
        "/v2/..",
    ] {
        assert!(is_outside(target), "{target}");
    }
    for target in ["/v2/", "/v2/a/manifests/b", "/v2/?/../../api", "/v2/a%2Fb", "/v2/a/.../b", "/v2/a:b"] {
        assert!(!is_outside(target), "{target}");
    }
}
