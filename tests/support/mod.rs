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

/// How long anything may take before a test gives up: far beyond what a busy machine needs, so that
/// only a fault reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks of [`eventually`].
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `probe` has an answer; fails with `what` when there is none.
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

/// A port that nobody listens on, for a program that can't be told to choose one and say which. It
/// is below the range from which Linux takes the ports of outgoing connections, and no two calls in
/// one process return the same.
pub(crate) fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    for _ in 0..COUNT {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        // Two test processes at one time begin in different places.
        let port = FIRST + (std::process::id().wrapping_mul(97) + call) % COUNT;
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("there is no free port between {FIRST} and {}", FIRST + COUNT);
}
