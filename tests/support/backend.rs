//! An HTTP service that doorward calls in tests. It behaves as configured, counts connections and records
//! requests. It uses plain sockets and threads, so that it can violate the protocol in any way.

mod certificates;
mod heard;
mod reply;
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;
pub(crate) use certificates::{Authority, server, server_for, server_named};
pub(crate) use heard::ReceivedRequest;
pub(crate) use reply::Reply;

/// Interval between two checks of a connection whose response is held back.
const LOOK: Duration = Duration::from_millis(5);

type Behaviour = Arc<dyn Fn(&ReceivedRequest) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    ended: bool,
    /// True if the responses that were held back may be sent.
    released: bool,
    connections: usize,
    /// Number of connections that both sides have closed.
    closed: usize,
    in_flight: usize,
    most_in_flight: usize,
    heard: Vec<ReceivedRequest>,
    /// Open connections, closed when the service stops.
    open: Vec<TcpStream>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    behaviour: Mutex<Behaviour>,
    tls: Option<Arc<ServerConfig>>,
}

/// A running service.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    acceptor: Option<thread::JoinHandle<()>>,
    pub(crate) address: SocketAddr,
}

impl Backend {
    /// Starts the service on a free loopback port; `behaviour` returns the response to each request.
    pub(crate) fn start(behaviour: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None, behaviour)
    }

    /// Starts a service that always sends this response.
    pub(crate) fn saying(reply: Reply) -> Self {
        Self::start(move |_| reply.clone())
    }

    /// Starts a TLS service that always sends this response.
    pub(crate) fn secure(tls: Arc<ServerConfig>, reply: Reply) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Some(tls), move |_| reply.clone())
    }

    pub(crate) fn start_at(
        at: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        behaviour: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).expect("a port");
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            behaviour: Mutex::new(Arc::new(behaviour)),
            tls,
        });
        let all = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, &all));
        Self { shared, acceptor: Some(acceptor), address }
    }

    /// Replaces the behaviour for all later requests.
    pub(crate) fn behave(&self, behaviour: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) {
        *self.shared.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// Sends this response to all later requests.
    pub(crate) fn say(&self, reply: Reply) {
        self.behave(move |_| reply.clone());
    }

    /// Sends every response that is held back, and holds back no later one.
    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().released = true;
        self.shared.changed.notify_all();
    }

    /// Returns the requests received so far, in order of arrival.
    pub(crate) fn heard(&self) -> Vec<ReceivedRequest> {
        self.shared.state.lock().unwrap().heard.clone()
    }

    /// Returns the number of requests received.
    pub(crate) fn requests(&self) -> usize {
        self.shared.state.lock().unwrap().heard.len()
    }

    /// Returns the number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// Returns the number of requests that wait for their response.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.state.lock().unwrap().in_flight
    }

    /// Returns the highest number of requests that waited at the same time.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.shared.state.lock().unwrap().most_in_flight
    }

    /// Waits until `count` requests were received.
    pub(crate) fn await_requests(&self, count: usize) {
        self.wait_for("requests", count, |state| state.heard.len());
    }

    /// Waits until both sides have closed `count` connections.
    pub(crate) fn await_closed(&self, count: usize) {
        self.wait_for("connections to be closed", count, |state| state.closed);
    }

    fn wait_for(&self, what: &str, count: usize, figure: impl Fn(&State) -> usize) {
        let state = self.shared.state.lock().unwrap();
        let missing = |state: &mut State| figure(state) < count;
        let (state, waited) = self.shared.changed.wait_timeout_while(state, PATIENCE, missing).unwrap();
        assert!(!waited.timed_out(), "waited for {count} {what}: there are {}", figure(&state));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state.lock().unwrap();
            state.ended = true;
            for stream in state.open.drain(..) {
                // The connection may already be closed.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        // This connection wakes the accepting thread. The port is free only after that thread has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Accepts connections until the service stops; each connection has its own thread.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        {
            let mut state = shared.state.lock().unwrap();
            if state.ended {
                return;
            }
            state.connections += 1;
            state.open.push(stream.try_clone().unwrap());
        }
        // Without this, a response written in two steps waits for the acknowledgement of the first.
        stream.set_nodelay(true).unwrap();
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let beside = stream.try_clone().unwrap();
            match &shared.tls {
                None => converse(stream, &beside, &shared),
                Some(config) => {
                    let session = ServerConnection::new(Arc::clone(config)).unwrap();
                    converse(StreamOwned::new(session, stream), &beside, &shared);
                }
            }
            close(beside, &shared);
        });
    }
}

/// Sends the end of the stream, and waits until the peer has closed too.
fn close(mut stream: TcpStream, shared: &Shared) {
    // The shutdown fails if the peer has already closed, which is not an error.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    // The list of open connections holds a clone of the stream, which would keep it open.
    let _ = stream.shutdown(Shutdown::Both);
    shared.state.lock().unwrap().closed += 1;
    shared.changed.notify_all();
}

/// Reads requests and sends responses until one side closes the connection.
fn converse(mut wire: impl Read + Write, beside: &TcpStream, shared: &Shared) {
    let mut unread = Vec::new();
    while let Some(heard) = heard::read(&mut wire, &mut unread) {
        let behaviour = Arc::clone(&shared.behaviour.lock().unwrap());
        {
            let mut state = shared.state.lock().unwrap();
            state.heard.push(heard.clone());
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
        }
        shared.changed.notify_all();
        let reply = behaviour(&heard);
        let wanted = wait(&reply, beside, shared);
        // Decremented before the first byte of the response. A client that receives it can send the next
        // request at once, and must not be counted twice.
        shared.state.lock().unwrap().in_flight -= 1;
        shared.changed.notify_all();
        if !wanted || reply.write(&mut wire).is_err() || reply.closes() {
            return;
        }
    }
}

/// Waits for the configured delay. Returns true if the peer is still connected.
fn wait(reply: &Reply, beside: &TcpStream, shared: &Shared) -> bool {
    if !reply.is_held() {
        thread::sleep(reply.delay());
        return true;
    }
    let mut state = shared.state.lock().unwrap();
    while !state.released && !state.ended {
        state = shared.changed.wait_timeout(state, LOOK).unwrap().0;
        drop(state);
        if is_closed(beside) {
            return false;
        }
        state = shared.state.lock().unwrap();
    }
    !state.ended
}

/// Returns true if the peer has closed the connection.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_read_timeout(None).unwrap();
    match peeked {
        Ok(count) => count == 0,
        Err(error) => {
            !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
        }
    }
}
