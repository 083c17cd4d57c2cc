//! The signals that the process obeys.

use std::io;
use std::sync::mpsc::SyncSender;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::watch::LookNow;

/// The signals that the process obeys.
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves. To be called before anything that
    /// takes time, on the runtime that the server will run on.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is told to end; passes SIGHUP on in the meantime.
    pub(super) async fn wait_for_end(&mut self, look: &SyncSender<LookNow>) {
        let signal = loop {
            tokio::select! {
                Some(()) = self.term.recv() => break "SIGTERM",
                Some(()) = self.int.recv() => break "SIGINT",
                Some(()) = self.quit.recv() => break "SIGQUIT",
                // A look that waits already will do.
                Some(()) = self.hup.recv() => drop(look.try_send(LookNow)),
            }
        };
        tracing::info!(signal, "told to end");
    }
}
