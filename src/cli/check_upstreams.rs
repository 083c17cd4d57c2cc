//! `doorward check` of the upstreams: whether their files can be used, and, with `--probe`, whether AWS gives
//! a token.

use std::sync::Arc;

use super::print_error;
#[cfg(feature = "ecr")]
use super::print_line;
use crate::clock::Clock;
use crate::config::table::ConfigValues;
use crate::config::upstream::UpstreamConfig;
use crate::metrics::Metrics;
use crate::pipeline::upstream_credentials::select_table;
use crate::request::original::OriginalRequest;
use crate::server::file_reloaders::FileReloaders;
use crate::server::upstreams::{
    UpstreamParts as Built, start_admin_token_reloader, start_proxy_secret_reloader,
};
use crate::upstream::secret_file::CurrentCredentials;
use crate::upstream::{CredentialSource, UpstreamEntry, Upstreams};

/// Says what is wrong with them. Whether all is well.
pub(super) fn check_upstreams(settings: &ConfigValues, ask: bool) -> bool {
    // A fault of one hides none of another.
    let mut well = true;
    for one in &settings.upstreams {
        let mut alone = settings.clone();
        alone.upstreams = vec![one.clone()];
        (alone.proxy_secret_file, alone.admin.token_file) = (None, None);
        well &= check_upstream(&alone);
    }
    let clock = Clock::system();
    for fault in [
        start_proxy_secret_reloader(settings, &clock).err(),
        start_admin_token_reloader(settings, &clock).err(),
    ]
    .into_iter()
    .flatten()
    {
        print_error(&fault.to_string());
        well = false;
    }
    well && (!ask || tokens(settings))
}

/// What becomes of an allowed request at the upstreams.
pub(super) struct UpstreamSelection {
    /// The verdict, if it is not to be allowed after all.
    pub(super) verdict: Option<&'static str>,
    /// With which credentials it goes on, or why it does not.
    pub(super) explanation: String,
    /// The URI that the upstream is asked for instead, if that is because of the credentials.
    pub(super) uri: Option<String>,
}

/// With which credentials a request would go on, where it is allowed; `None` where the settings say nothing of it.
pub(super) fn explain_upstream(
    settings: &ConfigValues,
    request: &OriginalRequest<'_>,
    is_identified: bool,
) -> Option<UpstreamSelection> {
    if settings.upstreams.is_empty() {
        return None;
    }
    let table = |one: &UpstreamConfig| UpstreamEntry {
        name: Arc::clone(&one.name),
        hosts: one.hosts.clone(),
        repositories: one.repositories.clone(),
        is_anonymous_allowed: one.allow_anonymous,
        // Nothing is read, nor given, to say which it would be.
        credential_source: if one.has_credentials() {
            CredentialSource::File(Arc::new(CurrentCredentials::empty()))
        } else {
            CredentialSource::None
        },
    };
    let upstreams = Upstreams::new(settings.upstreams.iter().map(table).collect());
    let (table, uri) = match select_table(&upstreams, request) {
        Ok(selected) => selected,
        Err(denied) => {
            let told =
                format!("nothing, and is refused, since the choice can't be made: {}", denied.detail());
            return Some(UpstreamSelection { verdict: Some("forbid"), explanation: told, uri: None });
        }
    };
    let (refusal, told) = match table {
        Some(table) if !table.has_credentials() => {
            (None, format!("nothing, as upstream {} says", table.name))
        }
        Some(table) if is_identified || table.is_anonymous_allowed => {
            (None, format!("the credentials of upstream {}", table.name))
        }
        Some(table) => (
            Some("challenge"),
            format!("nothing, and is challenged: upstream {} is not for anyone", table.name),
        ),
        None => (None, "nothing: no [[upstream]] fits".to_owned()),
    };
    Some(UpstreamSelection { verdict: refusal, explanation: told, uri })
}

fn check_upstream(settings: &ConfigValues) -> bool {
    match Built::build(
        settings,
        &Clock::system(),
        &Arc::new(Metrics::default()),
        &mut FileReloaders::default(),
    ) {
        Ok(_) => true,
        Err(fault) => {
            print_error(&fault.to_string());
            false
        }
    }
}

#[cfg(not(feature = "ecr"))]
fn tokens(_: &ConfigValues) -> bool {
    true
}

/// Fetches a token for each account, as serving would.
#[cfg(feature = "ecr")]
fn tokens(settings: &ConfigValues) -> bool {
    let Ok(kept) = Built::build(
        settings,
        &Clock::system(),
        &Arc::new(Metrics::default()),
        &mut FileReloaders::default(),
    ) else {
        return false;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("AWS can't be asked: {error}"));
            return false;
        }
    };
    let mut well = true;
    for (account, lease) in kept.ecr_leases {
        let name = lease.name();
        let asked = crate::upstream::ecr::aws::EcrTokenClient::new(account);
        match asked.and_then(|aws| runtime.block_on(aws.fetch_token())) {
            Ok(fetched) => {
                let life = std::time::Duration::from_secs(fetched.lifetime.as_secs() / 60 * 60);
                print_line(&format!(
                    "upstream {name}: AWS gave a token that is good for {}",
                    humantime::format_duration(life)
                ));
            }
            Err(fault) => {
                print_line(&format!("upstream {name}: {fault}"));
                well = false;
            }
        }
    }
    well
}
