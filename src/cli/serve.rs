//! `doorward serve`: runs the service.

use std::process::ExitCode;
use std::time::Instant;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use super::output::print_error;
use crate::config::Config;
use crate::config::layers::ConfigSource;
use crate::server::config_reload::ConfigReloadDependencies;
use crate::server::signals::Signals;
use crate::server::{Server, StartError};
use crate::telemetry;

/// Serves until the process receives a signal to terminate.
pub(super) fn run(config: Config, source: ConfigSource) -> ExitCode {
    let started = Instant::now();
    let (log, level) = telemetry::start(config.log.format, config.log.level);
    disable_core_dumps();
    let reload = ConfigReloadDependencies { source, set_log_level: Box::new(move |new| level.set(new)) };
    let result = actix_web::rt::System::new().block_on(serve(config, reload, started));
    // Queued log lines are written before the final error.
    drop(log);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config, reload: ConfigReloadDependencies, started: Instant) -> Result<(), StartError> {
    let signals = Signals::catch()?;
    Server::bind_listener(config)?.run(signals, reload, started).await
}

/// Disables core dumps, which would contain the key of the cache and the passwords of requests in flight.
///
/// The resource limit alone does not stop a kernel that pipes dumps to a program (core(5)).
fn disable_core_dumps() {
    let maximum = getrlimit(Resource::Core).maximum;
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(undumpable) {
        tracing::warn!(%error, "core dumps not disabled, a dump would contain secrets");
    }
}
