//! Reads the settings file again on SIGHUP, and applies what can change at run time.
//!
//! Flags and environment stay as they were at the start. A file with an error changes nothing, and neither does an
//! emptied file: a program can have truncated it and not written it yet. A changed setting that
//! cannot be applied is logged on each SIGHUP for as long as it differs from the start.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use super::start_error::StartError;
use crate::config::layers::ConfigSource;
use crate::config::{Config, LogLevel};
use crate::http::AppState;

/// The most errors of one file that are logged. `doorward check` reports all of them.
const LOGGED_ERRORS_MAX: usize = 20;

/// The error of a settings file without settings, when the previous one had settings.
const EMPTIED_FILE: &str = "the file has no settings, but the previous one had; write the default values, or restart to use the defaults";

/// A request to read the settings file again.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConfigReloadRequest;

/// The source of the configuration, and the parts of a reload that the caller of the server provides.
pub(crate) struct ConfigReloadDependencies {
    /// The source of the configuration.
    pub(crate) source: ConfigSource,
    /// Changes the level of the log.
    pub(crate) set_log_level: Box<dyn Fn(LogLevel) + Send>,
}

/// Applies changed settings to a running server.
pub(super) struct ConfigReloader {
    dependencies: ConfigReloadDependencies,
    /// The configuration of the start, with the values of all settings that require a restart.
    started: Config,
    /// The last valid configuration, with the values of all other settings.
    applied: Config,
    app_state: Arc<AppState>,
}

impl ConfigReloader {
    pub(super) fn new(
        dependencies: ConfigReloadDependencies,
        started: Config,
        app_state: Arc<AppState>,
    ) -> Self {
        Self { dependencies, applied: started.clone(), started, app_state }
    }

    /// Starts the thread that reloads the configuration for each request, until the sender is dropped.
    pub(super) fn spawn(mut self, requests: Receiver<ConfigReloadRequest>) -> io::Result<()> {
        let run = move || {
            for ConfigReloadRequest in requests {
                self.reload();
            }
        };
        thread::Builder::new().name("doorward-config".into()).spawn(run).map(drop)
    }

    fn reload(&mut self) {
        let Some(path) = self.dependencies.source.path().map(str::to_owned) else { return };
        let config = match self.dependencies.source.read_stable().into_config() {
            Ok(config) if config.is_file_empty && !self.applied.is_file_empty => {
                tracing::error!(file = %path, error = EMPTIED_FILE, "settings rejected, previous ones stay in force");
                return;
            }
            Ok(config) if config.authenticators.is_empty() => {
                tracing::error!(file = %path, error = %StartError::NoAuthenticatorConfigured, "settings rejected, previous ones stay in force");
                return;
            }
            Ok(config) => config,
            Err(errors) => {
                for error in errors.iter().take(LOGGED_ERRORS_MAX) {
                    tracing::error!(%error, "settings rejected, previous ones stay in force");
                }
                if let Some(more @ 1..) = errors.len().checked_sub(LOGGED_ERRORS_MAX) {
                    tracing::error!(file = %path, errors = more, "further errors in settings, see doorward check");
                }
                return;
            }
        };
        let fixed = self.started.differing_settings(&config).into_iter().filter(|one| !one.is_reloadable);
        for setting in fixed.map(|one| one.key).chain(self.started.differing_tables(&config)) {
            tracing::warn!(setting, "setting changed, restart required");
        }
        let changed = self.applied.differing_settings(&config).into_iter().filter(|one| one.is_reloadable);
        let changed: Vec<&str> = changed.map(|one| one.key).collect();
        // At the more verbose of both levels, so that the change of the level itself is logged.
        (self.dependencies.set_log_level)(config.log.level.max(self.applied.log.level));
        self.apply(&config);
        tracing::info!(file = %path, changed = changed.join(","), "settings reloaded");
        (self.dependencies.set_log_level)(config.log.level);
        self.applied = config;
    }

    /// Applies every setting of the table that is marked `reload`, except the level of the log.
    fn apply(&self, config: &Config) {
        self.app_state.pipeline.set_limits(&config.cache.limits(), &config.throttle.limits());
        self.app_state.set_log_limits(config.log.allowed_requests, config.log.denials_per_second);
    }
}
