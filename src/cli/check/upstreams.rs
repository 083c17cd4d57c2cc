//! The check of the upstreams: their files and, with `--probe`, one token request to AWS for each ECR account.

use std::sync::Arc;

use crate::cli::output::print_error;
#[cfg(feature = "ecr")]
use crate::cli::output::print_line;
use crate::clock::Clock;
use crate::config::table::ConfigValues;
use crate::metrics::Metrics;
use crate::server::file_reloaders::FileReloaders;
use crate::server::upstreams::{UpstreamParts, start_admin_token_reloader, start_proxy_secret_reloader};

/// Prints the errors of the upstreams. Returns true if there are none.
pub(super) fn check_upstreams(config: &ConfigValues, probe: bool) -> bool {
    let mut is_valid = true;
    // Each upstream is checked alone, so that an error of one does not hide an error of another.
    for upstream in &config.upstreams {
        let mut separate_config = config.clone();
        separate_config.upstreams = vec![upstream.clone()];
        (separate_config.proxy_secret_file, separate_config.admin.token_file) = (None, None);
        is_valid &= check_upstream(&separate_config);
    }
    let clock = Clock::system();
    let secret_errors =
        [start_proxy_secret_reloader(config, &clock).err(), start_admin_token_reloader(config, &clock).err()];
    for error in secret_errors.into_iter().flatten() {
        print_error(&error.to_string());
        is_valid = false;
    }
    is_valid && (!probe || fetch_tokens(config))
}

fn check_upstream(config: &ConfigValues) -> bool {
    match UpstreamParts::build(
        config,
        &Clock::system(),
        &Arc::new(Metrics::default()),
        &mut FileReloaders::default(),
    ) {
        Ok(_) => true,
        Err(error) => {
            print_error(&error.to_string());
            false
        }
    }
}

#[cfg(not(feature = "ecr"))]
fn fetch_tokens(_: &ConfigValues) -> bool {
    true
}

/// Fetches a token for each ECR account, with the same code as the service.
#[cfg(feature = "ecr")]
fn fetch_tokens(config: &ConfigValues) -> bool {
    let Ok(parts) = UpstreamParts::build(
        config,
        &Clock::system(),
        &Arc::new(Metrics::default()),
        &mut FileReloaders::default(),
    ) else {
        return false;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("AWS cannot be called: {error}"));
            return false;
        }
    };
    let mut is_valid = true;
    for (account, token_store) in parts.ecr_token_stores {
        let name = token_store.name();
        let client = crate::upstream::ecr::aws::EcrTokenClient::new(account);
        match client.and_then(|client| runtime.block_on(client.fetch_token())) {
            Ok(token) => {
                let lifetime = std::time::Duration::from_secs(token.lifetime.as_secs() / 60 * 60);
                print_line(&format!(
                    "upstream {name}: AWS returned a token, valid for {}",
                    humantime::format_duration(lifetime)
                ));
            }
            Err(error) => {
                print_line(&format!("upstream {name}: {error}"));
                is_valid = false;
            }
        }
    }
    is_valid
}
