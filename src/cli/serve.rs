//! `doorward serve`.

use std::process::ExitCode;
use std::time::Instant;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use super::print_error;
use crate::config::Config;
use crate::config::layers::ConfigSource;
use crate::server::config_reload::ConfigReload;
use crate::server::signals::Signals;
use crate::server::{Server, StartError};
use crate::telemetry;

/// Serves until it is told to end.
pub(super) fn run(settings: Config, source: ConfigSource) -> ExitCode {
    let started = Instant::now();
    let (log, level) = telemetry::start(settings.log.format, settings.log.level);
    disable_core_dumps();
    let reload = ConfigReload { source, set_log_level: Box::new(move |new| level.set(new)) };
    let served = actix_web::rt::System::new().block_on(serve(settings, reload, started));
    // What waits to be written comes before the error that ended it.
    drop(log);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Config, reload: ConfigReload, started: Instant) -> Result<(), StartError> {
    let signals = Signals::catch()?;
    Server::bind_listener(settings)?.run(signals, reload, started).await
}

/// A core dump would hold the cache's key and the passwords of requests in flight. The limit alone
/// does not stop a kernel that hands dumps to a program (core(5)).
fn disable_core_dumps() {
    let maximum = getrlimit(Resource::Core).maximum;
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(undumpable) {
        tracing::warn!(%error, "core dumps can't be forbidden; one would hold secrets");
    }
}
