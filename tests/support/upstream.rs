//! What a test puts at the other end of nginx: an upstream that answers what it is told and keeps
//! what it was sent, and a tap on the way to a real one.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A free port of 127.0.0.1.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the two have in common.
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

/// Accepts until told to end; each connection gets a thread, which ends with it.
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
    // So that it notices. If it can't be reached it has ended already.
    let _ = TcpStream::connect(address);
}

/// An upstream that answers every request in the same way.
pub(crate) struct Upstream {
    shared: Arc<Shared>,
    answer: Arc<Mutex<Vec<u8>>>,
    pub(crate) address: SocketAddr,
}

impl Upstream {
    /// Starts it; `answer` is what it sends, as it stands.
    pub(crate) fn start(answer: &str) -> Self {
        Self::start_at(ANY, answer)
    }

    /// The same at an address of the test's.
    pub(crate) fn start_at(at: SocketAddr, answer: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let answer = Arc::new(Mutex::new(answer.as_bytes().to_vec()));
        let said = Arc::clone(&answer);
        let address = accept(at, Arc::clone(&shared), move |stream, shared| respond(stream, shared, &said));
        Self { shared, answer, address }
    }

    /// From now on it says this.
    pub(crate) fn say(&self, answer: &str) {
        *self.answer.lock().unwrap() = answer.as_bytes().to_vec();
    }

    /// Every byte it was sent, in the order in which it came.
    pub(crate) fn received(&self) -> String {
        self.shared.text()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        end(&self.shared, self.address);
    }
}

/// Answers each head that comes. Bodies are not told from heads, so they must have no empty line.
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
        // Of an end that is not complete, what there is.
        last.drain(..last.len().saturating_sub(3));
    }
}

/// Passes every connection on to a real service, counts them, and keeps what the client's side sends.
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

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Every byte of the client's side.
    pub(crate) fn received(&self) -> String {
        self.shared.text()
    }

    /// Forgets what was received so far.
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

/// Copies until one side closes, and then closes both.
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
    // One that is closed already is as good.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// An answer with an empty body, as doorward's are.
pub(crate) fn empty(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
}
