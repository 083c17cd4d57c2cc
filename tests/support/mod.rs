//! Helpers: processes, clients, fake services.

pub(crate) mod api;
pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod doorward;
pub(crate) mod image;
pub(crate) mod keys;
pub(crate) mod message;
pub(crate) mod mounted;
pub(crate) mod nginx;
pub(crate) mod oracle;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod registry;
pub(crate) mod request_corpus;
pub(crate) mod scale;
pub(crate) mod secrets;
pub(crate) mod test_folder;
pub(crate) mod upstream;
pub(crate) mod users;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of any step of a test. It is far longer than a busy machine needs, so only an error reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two attempts of [`eventually`].
const PAUSE: Duration = Duration::from_millis(10);

/// Calls `probe` until it returns a value. Fails with `what` if the time limit passes.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(PAUSE);
    }
}

/// Returns a free port, for a program that cannot choose one itself and report it. The port is below the
/// range that Linux uses for outgoing connections. No two calls in one process return the same port.
pub(crate) fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    for _ in 0..COUNT {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        // The offset depends on the process id, so that parallel test processes start with different ports.
        let port = FIRST + (std::process::id().wrapping_mul(97) + call) % COUNT;
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("there is no free port between {FIRST} and {}", FIRST + COUNT);
}
