//! The signals that the process handles.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the process handles.
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Signals {
    /// Installs the handlers, so that the signals no longer end the process by themselves. Must be called on the
    /// runtime of the server, before anything that takes time.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Returns when the process receives a signal to shut down. Calls `on_hangup` for each SIGHUP until then.
    pub(super) async fn wait_for_shutdown(&mut self, on_hangup: &impl Fn()) {
        let signal = loop {
            tokio::select! {
                Some(()) = self.term.recv() => break "SIGTERM",
                Some(()) = self.int.recv() => break "SIGINT",
                Some(()) = self.quit.recv() => break "SIGQUIT",
                Some(()) = self.hup.recv() => on_hangup(),
                // Tools that rotate logs send them, and the default is to end the process (signal(7)).
                Some(()) = self.usr1.recv() => log_ignored_signal("SIGUSR1"),
                Some(()) = self.usr2.recv() => log_ignored_signal("SIGUSR2"),
            }
        };
        tracing::info!(signal, "received signal");
    }
}

/// Logs a signal without effect. The log goes to stderr, so there is no file to reopen.
fn log_ignored_signal(signal: &'static str) {
    tracing::info!(signal, "signal ignored");
}
