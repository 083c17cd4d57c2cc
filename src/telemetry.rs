//! Where log lines go: to stderr, as text or as JSON.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::settings::LogFormat;

/// What actix says of its workers is of no use to an administrator, unless it is a warning.
const QUIET: [&str; 3] = ["actix_server", "actix_http", "mio"];

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(format: LogFormat, level: LevelFilter) {
    let quiet = QUIET.map(|target| (target, level.min(LevelFilter::WARN)));
    let filter = Targets::new().with_default(level).with_targets(quiet);
    let layer = fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // The error is that there is a subscriber already, as in a test that starts two servers.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}
