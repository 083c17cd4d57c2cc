//! Start, listeners, connections, shutdown.

pub(crate) mod listeners;
mod shutdown;
mod slow_clients;
mod systemd;
