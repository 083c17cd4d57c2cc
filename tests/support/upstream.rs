//! Upstreams for nginx: a fake upstream that sends a fixed response and records its input, and a recording
//! proxy in front of a real upstream.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Any free port of 127.0.0.1.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// State that both kinds of upstream share.
#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    connections: AtomicUsize,
    received: Mutex<Vec<u8>>,
}

impl Shared {
    fn keep(&self, bytes: &[u8]) {
        self.received.lock().unwrap().extend(bytes);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
    }
}

/// Accepts connections until stopped. Each connection has its own thread, which ends with it.
fn accept(
    at: SocketAddr,
    shared: Arc<Shared>,
    serve: impl Fn(TcpStream, &Shared) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(at).expect("a port");
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if shared.ended.load(Ordering::SeqCst) {
                return;
            }
            shared.connections.fetch_add(1, Ordering::SeqCst);
            let (shared, serve) = (Arc::clone(&shared), Arc::clone(&serve));
            thread::spawn(move || serve(stream, &shared));
        }
    });
    address
}

fn end(shared: &Shared, address: SocketAddr) {
    shared.ended.store(true, Ordering::SeqCst);
    // This connection wakes the accepting thread. If it fails, the thread has already ended.
    let _ = TcpStream::connect(address);
}

/// An upstream that answers every request with the same response.
pub(crate) struct Upstream {
    shared: Arc<Shared>,
    answer: Arc<Mutex<Vec<u8>>>,
    pub(crate) address: SocketAddr,
}

impl Upstream {
    /// Starts the upstream; `answer` is sent unchanged.
    pub(crate) fn start(answer: &str) -> Self {
        Self::start_at(ANY, answer)
    }

    /// Starts the upstream at this address.
    pub(crate) fn start_at(at: SocketAddr, answer: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let answer = Arc::new(Mutex::new(answer.as_bytes().to_vec()));
        let said = Arc::clone(&answer);
        let address = accept(at, Arc::clone(&shared), move |stream, shared| respond(stream, shared, &said));
        Self { shared, answer, address }
    }

    /// Replaces the response for later requests.
    pub(crate) fn say(&self, answer: &str) {
        *self.answer.lock().unwrap() = answer.as_bytes().to_vec();
    }

    /// Returns all received bytes in order of arrival.
    pub(crate) fn received(&self) -> String {
        self.shared.text()
    }

    /// Returns the number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        end(&self.shared, self.address);
    }
}

/// Answers each request head. Bodies are not parsed, so they must not contain an empty line.
fn respond(mut stream: TcpStream, shared: &Shared, answer: &Mutex<Vec<u8>>) {
    let mut last = Vec::<u8>::new();
    let mut some = [0; 1 << 14];
    while let Ok(count @ 1..) = stream.read(&mut some) {
        shared.keep(&some[..count]);
        last.extend(&some[..count]);
        for _ in last.windows(4).filter(|four| four == b"\r\n\r\n") {
            let answer = answer.lock().unwrap().clone();
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
        // Keeps the last three bytes, which can be the start of the next end of a head.
        last.drain(..last.len().saturating_sub(3));
    }
}

/// Forwards every connection to a real service, counts connections, and records the bytes of the client.
pub(crate) struct Tap {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
}

impl Tap {
    pub(crate) fn start(target: SocketAddr) -> Self {
        let shared = Arc::<Shared>::default();
        let address = accept(ANY, Arc::clone(&shared), move |stream, shared| pass(&stream, target, shared));
        Self { shared, address }
    }

    /// Returns the number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns all bytes that the clients sent.
    pub(crate) fn received(&self) -> String {
        self.shared.text()
    }

    /// Deletes the recorded bytes.
    pub(crate) fn forget(&self) {
        self.shared.received.lock().unwrap().clear();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        end(&self.shared, self.address);
    }
}

fn pass(client: &TcpStream, target: SocketAddr, shared: &Shared) {
    let Ok(service) = TcpStream::connect(target) else { return };
    thread::scope(|scope| {
        scope.spawn(|| {
            copy(client, &service, |bytes| shared.keep(bytes));
        });
        copy(&service, client, |_| {});
    });
}

/// Copies until one side closes, and then closes both sides.
fn copy(mut from: &TcpStream, mut to: &TcpStream, keep: impl Fn(&[u8])) {
    let mut some = [0; 1 << 16];
    loop {
        match from.read(&mut some) {
            Ok(count @ 1..) => {
                keep(&some[..count]);
                if to.write_all(&some[..count]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    // The connections may already be closed.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Returns a response with an empty body, as doorward sends it.
pub(crate) fn empty(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
}
