//! Start, listeners, connections and shutdown of the server.

mod connections_and_shutdown;
pub(crate) mod listeners;
mod systemd;
