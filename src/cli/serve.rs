//! `doorward serve`.

use std::process::ExitCode;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::complain;
use crate::server::{Server, StartError};
use crate::settings::Settings;
use crate::telemetry;

/// Serves until it is told to end.
pub(super) fn run(settings: Settings) -> ExitCode {
    let started = Instant::now();
    telemetry::start(settings.log_format, settings.log_level);
    forbid_core_dumps();
    let served = actix_web::rt::System::new().block_on(serve(settings, started));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings, started: Instant) -> Result<(), StartError> {
    Server::bind(settings)?.run(started).await
}

/// A core dump would hold the cache's key and the passwords of requests in flight.
fn forbid_core_dumps() {
    let maximum = getrlimit(Resource::Core).maximum;
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum }) {
        tracing::warn!(%error, "core dumps can't be forbidden; one would hold secrets");
    }
}
