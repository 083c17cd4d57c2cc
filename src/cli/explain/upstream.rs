//! The upstream and its credentials in the output of `doorward explain`.

use std::sync::Arc;

use crate::config::Config;
use crate::config::upstream::UpstreamConfig;
use crate::pipeline::upstream_credentials::select_table;
use crate::request::original::OriginalRequest;
use crate::upstream::secret_file::CurrentCredentials;
use crate::upstream::{CredentialSource, UpstreamEntry, Upstreams};

/// The upstream that is selected for a request that the policy allows.
pub(super) struct UpstreamSelection {
    /// The verdict, if the selection of the upstream refuses the request.
    pub(super) verdict: Option<&'static str>,
    /// The credentials that the request gets, or the reason why it gets none.
    pub(super) explanation: String,
    /// The URI that the upstream receives, if the credentials require another one than the original.
    pub(super) uri: Option<String>,
}

/// Selects the upstream for an allowed request; `None` if the settings have no `[[upstream]]`.
pub(super) fn select_upstream(
    config: &Config,
    request: &OriginalRequest<'_>,
    is_identified: bool,
) -> Option<UpstreamSelection> {
    if config.upstreams.is_empty() {
        return None;
    }
    let upstreams = Upstreams::new(config.upstreams.iter().map(entry_without_credentials).collect());
    let (upstream, uri) = match select_table(&upstreams, request) {
        Ok(selection) => selection,
        Err(denied) => {
            let explanation =
                format!("no credentials, refused: the upstream cannot be selected: {}", denied.detail());
            return Some(UpstreamSelection { verdict: Some("forbid"), explanation, uri: None });
        }
    };
    let (verdict, explanation) = match upstream {
        Some(upstream) if !upstream.has_credentials() => {
            (None, format!("no credentials, as set in upstream {}", upstream.name))
        }
        Some(upstream) if is_identified || upstream.is_anonymous_allowed => {
            (None, format!("the credentials of upstream {}", upstream.name))
        }
        Some(upstream) => (
            Some("challenge"),
            format!("no credentials, challenged: upstream {} requires a user", upstream.name),
        ),
        None => (None, "no credentials: no [[upstream]] matches".to_owned()),
    };
    Some(UpstreamSelection { verdict, explanation, uri })
}

/// Returns the entry of an upstream without reading its file: the selection does not depend on the credentials.
fn entry_without_credentials(config: &UpstreamConfig) -> UpstreamEntry {
    UpstreamEntry {
        name: Arc::clone(&config.name),
        hosts: config.hosts.clone(),
        repositories: config.repositories.clone(),
        is_anonymous_allowed: config.allow_anonymous,
        credential_source: if config.has_credentials() {
            CredentialSource::File(Arc::new(CurrentCredentials::empty()))
        } else {
            CredentialSource::None
        },
    }
}
