//! Background threads that poll the watched files.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, Moment};

/// Requests to look at a file that wait; more say nothing new.
const LOOKS_WAITING: usize = 1;

/// Asks for a look at once.
#[derive(Clone, Copy, Debug)]
pub struct LookNow;

/// What keeps something fresh.
pub trait Reload: Send {
    /// One look. `forced` reads the file even if nothing seems to have changed.
    fn look(&mut self, now: Moment, forced: bool);
    /// When to look again, if sooner than usual.
    fn next_look(&self, now: Moment) -> Option<Duration>;
}

/// Starts a thread for each file, which looks every `poll`, and whenever `wake` receives a message, until its sender
/// is dropped. Each file has its own, since a large one takes a second to read, and the others have to be in force
/// in time meanwhile.
///
/// # Errors
/// The system gave no thread.
pub fn spawn(
    reloaders: Vec<Box<dyn Reload>>,
    poll: Duration,
    clock: &Clock,
    wake: Receiver<LookNow>,
) -> io::Result<()> {
    let mut senders: Vec<SyncSender<LookNow>> = Vec::new();
    let named = || thread::Builder::new().name("doorward-reload".into());
    for reloader in reloaders {
        let (sender, receiver) = sync_channel(LOOKS_WAITING);
        senders.push(sender);
        let clock = clock.clone();
        named().spawn(move || run(reloader, poll, &clock, &receiver))?;
    }
    named().spawn(move || {
        for LookNow in wake {
            // A look that waits already will do.
            for sender in &senders {
                let _ = sender.try_send(LookNow);
            }
        }
    })?;
    Ok(())
}

fn run(mut reloader: Box<dyn Reload>, poll: Duration, clock: &Clock, wake: &Receiver<LookNow>) {
    loop {
        let wait = reloader.next_look(clock.now()).map_or(poll, |soon| soon.min(poll));
        let forced = match wake.recv_timeout(wait) {
            Ok(LookNow) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        reloader.look(clock.now(), forced);
    }
}
