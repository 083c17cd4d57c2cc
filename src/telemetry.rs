//! The log: lines on stderr, as text or JSON.
//!
//! A thread of its own writes the lines from a bounded queue. If the reader of stderr stalls and the queue is full,
//! further lines are dropped, so that no request waits for the log.

mod escape;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use self::escape::{EscapingWriter, LineFormat};
use crate::config::{LogFormat, LogLevel};

/// Log targets of which only warnings and errors are written. Other events of these crates describe the workers of
/// actix and the connections of the HTTP client.
const WARN_ONLY_TARGETS: [&str; 5] = ["actix_server", "mio", "hyper_util", "reqwest", "rustls"];

/// Log targets of which nothing is written.
///
/// The crate actix-http writes a line for each request that it cannot parse, and a client can send any number of them.
/// The AWS crates, which have the prefix `aws_`, write the id of the access key, and aws-config writes a malformed
/// token of a container. Errors of AWS are logged by doorward itself.
const DISABLED_TARGETS: [&str; 2] = ["actix_http", "aws_"];

/// Maximum number of lines in the queue.
const QUEUED_LINES_MAX: usize = 1024;

/// Changes the level of the log while it is in use.
#[derive(Clone, Debug)]
pub(crate) struct LogLevelHandle(reload::Handle<Targets, Registry>);

impl LogLevelHandle {
    /// Sets the lowest severity that is logged.
    pub(crate) fn set(&self, level: LogLevel) {
        // The only error is that the log has ended.
        let _ = self.0.reload(level_filter(level));
    }
}

/// Returns the filter for a level: our own lines from that level on, and few lines of other crates.
fn level_filter(level: LogLevel) -> Targets {
    let level = LevelFilter::from(level);
    let warn_only = WARN_ONLY_TARGETS.map(|target| (target, level.min(LevelFilter::WARN)));
    let disabled = DISABLED_TARGETS.map(|target| (target, LevelFilter::OFF));
    Targets::new().with_default(level).with_targets(warn_only).with_targets(disabled)
}

/// Starts the log of the process. Dropping the guard writes the queued lines and ends the log.
///
/// A second call changes nothing.
#[must_use = "dropping the guard ends the log"]
pub(crate) fn start(format: LogFormat, level: LogLevel) -> (WorkerGuard, LogLevelHandle) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_LINES_MAX);
    let (writer, guard) = builder.thread_name("doorward-log").finish(std::io::stderr());
    // A level is looked up once for each call site, so the lock of the filter is not taken for each line.
    let (filter, handle) = reload::Layer::new(level_filter(level));
    let line_format = match format {
        LogFormat::Text => LineFormat::Text,
        LogFormat::Json => LineFormat::Json,
    };
    let writer = EscapingWriter { inner: writer, format: line_format };
    let layer = fmt::layer().with_target(false).with_writer(writer);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // This fails if the process has a subscriber already, as in a test that starts two servers.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    (guard, LogLevelHandle(handle))
}
