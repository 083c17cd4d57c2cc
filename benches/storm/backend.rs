//! Somebody's authentication API: it takes Basic and answers 200 or 401, and can be made to go away,
//! to hang, or to answer 500.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::Fallible;

/// What it does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It answers.
    Up,
    /// Nobody listens, and every connection is closed.
    Away,
    /// It takes questions and answers none.
    Hanging,
    /// It answers 500.
    Failing,
}

struct State {
    mode: Mode,
    /// Whose password is not taken any more.
    revoked: HashSet<String>,
    streams: Vec<TcpStream>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service, which ends when this goes.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    address: SocketAddr,
}

/// The password that is right for a user.
pub(crate) fn right(user: &str) -> String {
    format!("right-{user}")
}

impl Backend {
    pub(crate) fn start() -> Fallible<Self> {
        let state = State { mode: Mode::Away, revoked: HashSet::new(), streams: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let mut backend = Self { shared, accepting: None, address: ([127, 0, 0, 1], 0).into() };
        backend.set(Mode::Up)?;
        Ok(backend)
    }

    /// When this returns, every question is met so, those that it has already had included.
    pub(crate) fn set(&mut self, mode: Mode) -> Fallible<()> {
        self.shared.state().mode = mode;
        self.shared.changed.notify_all();
        match (mode, self.accepting.take()) {
            (Mode::Away, Some(accepting)) => {
                // So that it notices.
                let _ = TcpStream::connect(self.address);
                accepting.join().map_err(|_| "the backend panicked")?;
                for stream in self.shared.state().streams.drain(..) {
                    // One that is closed already is as good.
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            (Mode::Away, None) => {}
            (_, Some(accepting)) => self.accepting = Some(accepting),
            (_, None) => {
                let listener = TcpListener::bind(self.address)?;
                self.address = listener.local_addr()?;
                let shared = Arc::clone(&self.shared);
                self.accepting = Some(thread::spawn(move || accept(&listener, &shared)));
            }
        }
        Ok(())
    }

    /// From now on this user's password is wrong.
    pub(crate) fn revoke(&self, user: &str) {
        self.shared.state().revoked.insert(user.to_owned());
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // There is nobody to tell of an error.
        let _ = self.set(Mode::Away);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let mut state = shared.state();
        if state.mode == Mode::Away {
            return;
        }
        state.streams.extend(stream.try_clone());
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // Whoever hung up wants no answer.
            let _ = serve(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared) -> Fallible<()> {
    let (mut unread, mut some) = (Vec::new(), [0; 4096]);
    loop {
        let end = loop {
            match unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => match stream.read(&mut some)? {
                    0 => return Ok(()),
                    count => unread.extend_from_slice(some.get(..count).unwrap_or_default()),
                },
            }
        };
        // A body is taken for the beginning of the next head, where it does no harm.
        let head: Vec<u8> = unread.drain(..end).collect();
        let Some(status) = judge(&String::from_utf8_lossy(&head), shared) else { return Ok(()) };
        stream.write_all(format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
    }
}

/// The status; none where the connection is to be closed, which for one that hangs is when that is over.
fn judge(head: &str, shared: &Shared) -> Option<u16> {
    let mut state = shared.state();
    match state.mode {
        Mode::Failing => return Some(500),
        Mode::Away => return None,
        Mode::Hanging => {
            while state.mode == Mode::Hanging {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            return None;
        }
        Mode::Up => {}
    }
    let lines = || head.lines().filter_map(|line| line.split_once(':'));
    let value = lines().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?.1.trim();
    let pair = String::from_utf8(BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    // For `storm memory`, whose passwords are not those of the rule.
    match user.split('-').next() {
        Some("accepted") => return Some(200),
        Some("odd") => return Some(418),
        _ => {}
    }
    Some(if password == right(user) && !state.revoked.contains(user) { 200 } else { 401 })
}
