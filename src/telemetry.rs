//! Where log lines go: to stderr, as text or as JSON, by way of a bounded queue with a writer of its
//! own. Whoever reads stderr may stall; what does not fit then is dropped, and no request waits.

mod escape;

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use self::escape::{EscapingWriter, LineFormat};
use crate::config::{LogFormat, LogLevel};

/// What actix says of its workers, and the HTTP client of its connections, is of no use to an administrator,
/// unless it is a warning.
const WARN_ONLY_TARGETS: [&str; 5] = ["actix_server", "mio", "hyper_util", "reqwest", "rustls"];

/// actix-http writes a line for each request that it can't parse, and a client can send as many of those as it
/// likes. The AWS crates (all whose names begin so) name the key that they use, and aws-config writes a
/// container's token that is malformed; what went wrong there is told by our own faults.
const DISABLED_TARGETS: [&str; 2] = ["actix_http", "aws_"];

/// Lines that may wait to be written.
const QUEUED_LINES_MAX: usize = 1024;

/// Changes the level of the log while it is in use.
#[derive(Clone, Debug)]
pub struct LogLevelHandle(reload::Handle<Targets, Registry>);

impl LogLevelHandle {
    /// Sets the lowest severity that is logged.
    pub fn set(&self, level: LogLevel) {
        // The only error is that the log has ended.
        let _ = self.0.reload(level_filter(level));
    }
}

/// Returns the filter for a level: our own lines from that level on, and few lines of other crates.
fn level_filter(level: LogLevel) -> Targets {
    let level = LevelFilter::from(level);
    let quiet = WARN_ONLY_TARGETS.map(|target| (target, level.min(LevelFilter::WARN)));
    let silent = DISABLED_TARGETS.map(|target| (target, LevelFilter::OFF));
    Targets::new().with_default(level).with_targets(quiet).with_targets(silent)
}

/// Starts logging for the whole process, until the guard is dropped. A second call changes nothing.
#[must_use = "dropping the guard writes what waits and ends the log"]
pub fn start(format: LogFormat, level: LogLevel) -> (WorkerGuard, LogLevelHandle) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_LINES_MAX);
    let (writer, guard) = builder.thread_name("doorward-log").finish(std::io::stderr());
    // A level is looked up once for each call site, so the lock of the filter is not taken for each line.
    let (filter, handle) = reload::Layer::new(level_filter(level));
    let colours = std::io::stderr().is_terminal();
    let escaped = match format {
        LogFormat::Text => LineFormat::Text { has_colors: colours },
        LogFormat::Json => LineFormat::Json,
    };
    let writer = EscapingWriter { inner: writer, format: escaped };
    let layer = fmt::layer().with_target(false).with_ansi(colours).with_writer(writer);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // The error is that there is a subscriber already, as in a test that starts two servers.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    (guard, LogLevelHandle(handle))
}
