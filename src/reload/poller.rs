//! Background threads that poll the watched files.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::{Clock, Moment};

/// Requests to look at a file that wait: one for each connection of the admin listener, and one for SIGHUP.
const POLL_REQUESTS_QUEUED_MAX: usize = 65;

/// Asks for a look at once.
#[derive(Clone, Copy, Debug)]
pub struct PollNow;

/// A look that is asked of the thread of one file.
#[derive(Debug)]
struct PollRequest {
    /// Whether the file is read even if nothing seems to have changed.
    is_forced: bool,
    /// Told when no change of the file is pending any more.
    reply: Option<oneshot::Sender<()>>,
}

/// Asks the threads of all files for a look.
#[derive(Clone, Debug, Default)]
pub struct ReloadHandle(Vec<SyncSender<PollRequest>>);

impl ReloadHandle {
    /// Has all files looked at, and waits until no change is pending, for `within` at most. Returns whether none is.
    pub async fn poll_and_wait(&self, within: Duration) -> bool {
        let ask = |sender: &SyncSender<PollRequest>| {
            let (settled, is_settled) = oneshot::channel();
            sender.try_send(PollRequest { is_forced: false, reply: Some(settled) }).ok().map(|()| is_settled)
        };
        let asked: Vec<_> = self.0.iter().map(ask).collect();
        let all = async {
            for one in asked {
                let Some(is_settled) = one else { return false };
                if is_settled.await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(within, all).await.unwrap_or(false)
    }
}

/// What keeps something fresh.
pub trait PollFile: Send {
    /// One look. `forced` reads the file even if nothing seems to have changed.
    fn poll(&mut self, now: Moment, forced: bool);
    /// When to look again, if sooner than usual.
    fn next_poll_in(&self, now: Moment) -> Option<Duration>;
}

/// Starts a thread for each file, which looks every `poll`, and whenever `wake` receives a message, until its sender
/// is dropped. Each file has its own, since a large one takes a second to read, and the others have to be in force
/// in time meanwhile. What is returned asks for looks as well.
///
/// # Errors
/// The system gave no thread.
pub fn spawn_poll_threads(
    reloaders: Vec<Box<dyn PollFile>>,
    poll: Duration,
    clock: &Clock,
    wake: Receiver<PollNow>,
) -> io::Result<ReloadHandle> {
    let mut senders: Vec<SyncSender<PollRequest>> = Vec::new();
    let named = || thread::Builder::new().name("doorward-reload".into());
    for reloader in reloaders {
        let (sender, receiver) = sync_channel(POLL_REQUESTS_QUEUED_MAX);
        senders.push(sender);
        let clock = clock.clone();
        named().spawn(move || poll_loop(reloader, poll, &clock, &receiver))?;
    }
    let looks = ReloadHandle(senders);
    let all = looks.clone();
    named().spawn(move || {
        for PollNow in wake {
            // Looks that wait already will do.
            for sender in &all.0 {
                let _ = sender.try_send(PollRequest { is_forced: true, reply: None });
            }
        }
    })?;
    Ok(looks)
}

fn poll_loop(mut reloader: Box<dyn PollFile>, poll: Duration, clock: &Clock, wake: &Receiver<PollRequest>) {
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        let wait = reloader.next_poll_in(clock.now()).map_or(poll, |soon| soon.min(poll));
        let forced = match wake.recv_timeout(wait) {
            Ok(PollRequest { is_forced: forced, reply: settled }) => {
                // Those that wait have a connection each; of the others none is kept.
                waiting.retain(|one| !one.is_closed());
                waiting.extend(settled);
                forced
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        reloader.poll(clock.now(), forced);
        if reloader.next_poll_in(clock.now()).is_none() {
            for one in waiting.drain(..) {
                // Whoever asked may have gone.
                let _ = one.send(());
            }
        }
    }
}
