//! The thread that has everything look which is kept fresh.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::SETTLE;
use crate::clock::{Clock, Moment};

/// Asks for a look at once.
#[derive(Clone, Copy, Debug)]
pub struct LookNow;

/// What keeps something fresh.
pub trait Reload: Send {
    /// One look. `forced` reads the file even if nothing seems to have changed.
    fn look(&mut self, now: Moment, forced: bool);
    /// Whether another look is wanted soon.
    fn is_settling(&self) -> bool;
}

/// Has each look every `poll`, and whenever it is told to, until the sender is dropped. Holds a
/// thread: a large file takes a while to read.
pub fn run(mut reloaders: Vec<Box<dyn Reload>>, poll: Duration, clock: &Clock, wake: &Receiver<LookNow>) {
    loop {
        let settling = reloaders.iter().any(|reloader| reloader.is_settling());
        let forced = match wake.recv_timeout(if settling { SETTLE } else { poll }) {
            Ok(LookNow) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        reloaders.iter_mut().for_each(|reloader| reloader.look(clock.now(), forced));
    }
}
