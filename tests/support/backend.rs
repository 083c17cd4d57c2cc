//! A service that doorward asks over HTTP: it does as it is told, counts who comes, and keeps what it
//! heard. It is written by hand, over plain sockets and threads, so that it can misbehave in any way.

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

/// Between two looks at a connection whose answer is being held back.
const LOOK: Duration = Duration::from_millis(5);

type Behaviour = Arc<dyn Fn(&ReceivedRequest) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    ended: bool,
    /// Whether the answers that are held back may go.
    released: bool,
    connections: usize,
    /// Of these, those that it closed, and the other side too since.
    closed: usize,
    in_flight: usize,
    most_in_flight: usize,
    heard: Vec<ReceivedRequest>,
    /// To close them at the end.
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
    /// Starts it on a free port of loopback; `behaviour` says what it answers.
    pub(crate) fn start(behaviour: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None, behaviour)
    }

    /// Starts one that always answers the same.
    pub(crate) fn saying(reply: Reply) -> Self {
        Self::start(move |_| reply.clone())
    }

    /// Starts one that speaks TLS and always answers the same.
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

    /// From now on it does this.
    pub(crate) fn behave(&self, behaviour: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) {
        *self.shared.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// From now on it always answers this.
    pub(crate) fn say(&self, reply: Reply) {
        self.behave(move |_| reply.clone());
    }

    /// Lets every answer go that is held back, and those to come.
    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().released = true;
        self.shared.changed.notify_all();
    }

    /// What it heard so far, in the order in which it came.
    pub(crate) fn heard(&self) -> Vec<ReceivedRequest> {
        self.shared.state.lock().unwrap().heard.clone()
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.shared.state.lock().unwrap().heard.len()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// How many requests are waiting for their answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.state.lock().unwrap().in_flight
    }

    /// The most there ever were at one time.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.shared.state.lock().unwrap().most_in_flight
    }

    /// Waits until `count` requests came.
    pub(crate) fn await_requests(&self, count: usize) {
        self.wait_for("requests", count, |state| state.heard.len());
    }

    /// Waits until it has closed `count` connections, and the other side too.
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
                // It may be closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        // So that it notices; and only when it has gone, nobody listens at the address any more.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Accepts until the end; each connection gets a thread.
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
        // An answer that is written in two steps is not to wait for the other side's word.
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

/// Says that there is no more, and waits until the other side has heard it.
fn close(mut stream: TcpStream, shared: &Shared) {
    // Whoever has closed already has heard it.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    // The list of those that are open holds it open otherwise.
    let _ = stream.shutdown(Shutdown::Both);
    shared.state.lock().unwrap().closed += 1;
    shared.changed.notify_all();
}

/// Hears and answers, until one of the two has had enough.
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
        // Before the first byte of the answer: whoever has it may ask again at once, and is then not two.
        shared.state.lock().unwrap().in_flight -= 1;
        shared.changed.notify_all();
        if !wanted || reply.write(&mut wire).is_err() || reply.closes() {
            return;
        }
    }
}

/// Waits as long as the answer is to take: whether the other side is still there.
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

/// Whether the other side has hung up.
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
