//! An HTTP service for tests. A closure of the test answers each call, and every call is recorded. The
//! service can leave a call unanswered, close connections, stop, and start again at the same address.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::eventually;

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The header names are in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// Returns the value of a header that occurs once, or an empty string if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| &value[..]);
        let value = values.next().unwrap_or_default();
        assert_eq!(values.next(), None, "{name} is there twice: {self:?}");
        value
    }

    /// Returns the names of all headers, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| &name[..]).collect();
        names.sort_unstable();
        names
    }

    /// Returns the user name and the password of the Basic credentials.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header("authorization").strip_prefix("Basic ")?;
        let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
        pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// Returns the path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Parses the body, which must be JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Response to a call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status, headers, and a body.
    Say(u16, Vec<(String, String)>, Vec<u8>),
    /// Raw bytes, sent unchanged; the connection is closed afterwards.
    Raw(Vec<u8>),
    /// No response until the client gives up.
    Hang,
    /// The connection is closed without a response.
    Break,
}

impl Reply {
    /// Returns a response with a status, no headers and no body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Say(status, Vec::new(), Vec::new())
    }

    /// Returns a response with status 200 and this JSON body.
    pub(crate) fn json(text: impl ToString) -> Self {
        let kind = ("Content-Type".to_owned(), "application/json".to_owned());
        Self::Say(200, vec![kind], text.to_string().into_bytes())
    }

    /// Adds a header.
    pub(crate) fn with(self, name: &str, value: impl ToString) -> Self {
        match self {
            Self::Say(status, mut headers, body) => {
                headers.push((name.to_owned(), value.to_string()));
                Self::Say(status, headers, body)
            }
            other => panic!("{other:?} has no headers"),
        }
    }
}

type Handler = dyn Fn(&Call) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    calls: Mutex<Vec<Call>>,
    ended: AtomicBool,
    /// Open connections, closed when the service stops.
    streams: Mutex<Vec<TcpStream>>,
}

/// The running service.
pub(crate) struct Api {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    pub(crate) address: SocketAddr,
}

impl Api {
    /// Starts the service on a free port of 127.0.0.1.
    pub(crate) fn start(handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            calls: Mutex::default(),
            ended: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let mut backend = Self { shared, accepting: None, address: any };
        backend.come();
        backend
    }

    /// Starts the service again after [`Api::go`], at the same address.
    pub(crate) fn come(&mut self) {
        assert!(self.accepting.is_none(), "it is there");
        self.shared.ended.store(false, Ordering::SeqCst);
        // Another program can use the port for an outgoing connection for a moment, so the bind is retried.
        let listener = eventually("a port", || TcpListener::bind(self.address).ok());
        self.address = listener.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(thread::spawn(move || accept(&listener, &shared)));
    }

    /// Stops the service: closes all connections and refuses new ones.
    pub(crate) fn go(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.ended.store(true, Ordering::SeqCst);
        // This connection wakes the accepting thread. If it fails, the thread has already ended.
        let _ = TcpStream::connect(self.address);
        let _ = accepting.join();
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            // The connection may already be closed.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Returns every call received so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// Returns the number of calls.
    pub(crate) fn count(&self) -> usize {
        self.shared.calls.lock().unwrap().len()
    }

    /// Returns the URL without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.go();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        shared.streams.lock().unwrap().push(stream.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // The client may have closed the connection before the response, which is not an error.
            let _ = serve(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

/// Answers each call of a connection until the connection ends.
fn serve(mut stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut unread = Vec::new();
    while let Some(call) = read(stream, &mut unread)? {
        shared.calls.lock().unwrap().push(call.clone());
        match (shared.handler)(&call) {
            Reply::Say(status, headers, body) => {
                let mut answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n", body.len());
                headers.iter().for_each(|(name, value)| answer.push_str(&format!("{name}: {value}\r\n")));
                let body = if call.method == "HEAD" { &[][..] } else { &body };
                stream.write_all(&[answer.as_bytes(), b"\r\n", body].concat())?;
            }
            Reply::Raw(bytes) => return stream.write_all(&bytes),
            Reply::Hang => while stream.read(&mut [0; 64])? > 0 {},
            Reply::Break => return Ok(()),
        }
    }
    Ok(())
}

/// Reads one request; returns `None` at the end of the connection.
fn read(mut stream: &TcpStream, unread: &mut Vec<u8>) -> std::io::Result<Option<Call>> {
    let mut more = |unread: &mut Vec<u8>| {
        let mut some = [0; 1 << 14];
        let count = stream.read(&mut some)?;
        unread.extend(&some[..count]);
        Ok::<_, std::io::Error>(count > 0)
    };
    let end = loop {
        match unread.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            // The first byte of a TLS handshake. The service answers as a plain HTTP service does.
            None if unread.first() == Some(&0x16) => {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
                return Ok(None);
            }
            None if more(unread)? => {}
            None => return Ok(None),
        }
    };
    let head: Vec<u8> = unread.drain(..end).collect();
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let [method, target] = [first.next(), first.next()].map(Option::unwrap_or_default);
    let mut call = Call { method, target, headers, body: Vec::new() };
    let length = call.header("content-length").parse().unwrap_or(0);
    while unread.len() < length {
        if !more(unread)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    call.body = unread.drain(..length).collect();
    Ok(Some(call))
}
