//! Background threads, one for each watched file, that poll the file for changes.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::{Clock, Moment};

/// Maximum number of queued requests for a poll: one for each connection of the admin listener, and one for SIGHUP.
const POLL_REQUESTS_QUEUED_MAX: usize = 65;

/// A message that requests an immediate poll of all files.
#[derive(Clone, Copy, Debug)]
pub struct PollNow;

/// A request to the thread of one file.
#[derive(Debug)]
struct PollRequest {
    /// The file is read even if its stamp is equal.
    is_forced: bool,
    /// Receives a message when the file has no pending change.
    reply: Option<oneshot::Sender<()>>,
}

/// A handle that requests polls from the threads of all files.
#[derive(Clone, Debug, Default)]
pub struct ReloadHandle(Vec<SyncSender<PollRequest>>);

impl ReloadHandle {
    /// Polls all files and waits until none has a pending change. Returns false if this takes longer than `timeout`.
    pub async fn poll_and_wait(&self, timeout: Duration) -> bool {
        let request_poll = |sender: &SyncSender<PollRequest>| {
            let (reply, receiver) = oneshot::channel();
            sender.try_send(PollRequest { is_forced: false, reply: Some(reply) }).ok().map(|()| receiver)
        };
        let receivers: Vec<_> = self.0.iter().map(request_poll).collect();
        let wait_for_all = async {
            for receiver in receivers {
                let Some(receiver) = receiver else { return false };
                if receiver.await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(timeout, wait_for_all).await.unwrap_or(false)
    }
}

/// A watched file.
pub trait PollFile: Send {
    /// Checks the file for a change. With `forced`, the file is read even if its stamp is equal.
    fn poll(&mut self, now: Moment, forced: bool);
    /// Returns the time until the next poll, if it must be earlier than the poll interval.
    fn next_poll_in(&self, now: Moment) -> Option<Duration>;
}

/// Starts a thread for each file, which polls it every `interval`. A message to `wake` requests a forced poll of all
/// files. The threads end when the returned handle and the sender of `wake` are dropped.
///
/// Each file has a thread of its own because reading a large file takes a second, and the other files must be reloaded
/// in time.
///
/// # Errors
/// A thread could not be created.
pub fn spawn_poll_threads(
    reloaders: Vec<Box<dyn PollFile>>,
    interval: Duration,
    clock: &Clock,
    wake: Receiver<PollNow>,
) -> io::Result<ReloadHandle> {
    let mut senders: Vec<SyncSender<PollRequest>> = Vec::new();
    let thread_builder = || thread::Builder::new().name("doorward-reload".into());
    for reloader in reloaders {
        let (sender, receiver) = sync_channel(POLL_REQUESTS_QUEUED_MAX);
        senders.push(sender);
        let clock = clock.clone();
        thread_builder().spawn(move || poll_loop(reloader, interval, &clock, &receiver))?;
    }
    let handle = ReloadHandle(senders);
    let wake_handle = handle.clone();
    thread_builder().spawn(move || {
        for PollNow in wake {
            // If the queue is full, the queued requests are sufficient.
            for sender in &wake_handle.0 {
                let _ = sender.try_send(PollRequest { is_forced: true, reply: None });
            }
        }
    })?;
    Ok(handle)
}

fn poll_loop(
    mut reloader: Box<dyn PollFile>,
    interval: Duration,
    clock: &Clock,
    requests: &Receiver<PollRequest>,
) {
    let mut replies: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        let wait = reloader.next_poll_in(clock.now()).map_or(interval, |wait| wait.min(interval));
        let is_forced = match requests.recv_timeout(wait) {
            Ok(PollRequest { is_forced, reply }) => {
                // The number of replies is bounded by the connections of the admin listener; abandoned ones are
                // removed.
                replies.retain(|reply| !reply.is_closed());
                replies.extend(reply);
                is_forced
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        reloader.poll(clock.now(), is_forced);
        if reloader.next_poll_in(clock.now()).is_none() {
            for reply in replies.drain(..) {
                // The receiver can be dropped already.
                let _ = reply.send(());
            }
        }
    }
}
