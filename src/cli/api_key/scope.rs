//! The key that `doorward explain --key` speaks of.

use std::sync::Arc;

use super::text;
use crate::authn::api_key::file::{ApiKeyLine, ApiKeyMatch, parse};
use crate::authn::api_key::format::ApiKeyId;
use crate::authn::api_key::{ApiKeyError, edit};
use crate::authn::htpasswd::{self, Htpasswd};
use crate::clock::Clock;
use crate::config::{ApiKeyOwners, Config};
use crate::identity::sanitize_for_display;
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::SourceFile;

/// The scope of a key of `owner`'s, which has this id or name; for `explain`.
///
/// # Errors
/// Why it would be no good.
pub(in crate::cli) fn find_scope(
    settings: &Config,
    owner: &str,
    wanted: &str,
) -> Result<Option<Arc<ApiKeyScope>>, String> {
    let path = settings.api_keys.file.clone().ok_or("no file of keys is set: use --api-keys FILE")?;
    let source = SourceFile { path, max_bytes: settings.api_keys.max_bytes };
    let content = source.read().map_err(text)?;
    let wanted_id = ApiKeyId::parse(wanted);
    let is_meant =
        |line: &ApiKeyLine| wanted_id.is_some_and(|id| id.as_str() == line.id) || line.name == wanted;
    let ids = edit::parse_lines(&content).filter(|line| line.owner == owner && is_meant(line));
    let ids: Vec<ApiKeyId> = ids.filter_map(|line| ApiKeyId::parse(&line.id)).collect();
    let parsed = parse(&content, &"keys".into(), None);
    let now = Clock::system().unix_seconds();
    let mut fault = format!("{} has no such key", sanitize_for_display(owner.as_bytes()));
    for id in ids {
        match parsed.index.find(&id) {
            Some(ApiKeyMatch::ApiKey(record)) if record.expires_at.is_some_and(|expires| now >= expires) => {
                fault = ApiKeyError::Expired(id).to_string();
            }
            Some(ApiKeyMatch::ApiKey(record)) if is_owner_accepted(settings, owner) => {
                return Ok(record.identity.api_key.as_ref().and_then(|key| key.scope.clone()));
            }
            Some(ApiKeyMatch::ApiKey(_)) => {
                fault =
                    ApiKeyError::OwnerNotInHtpasswd(id, sanitize_for_display(owner.as_bytes())).to_string()
            }
            Some(ApiKeyMatch::InvalidLine(line)) => fault = ApiKeyError::InvalidLine(id, line).to_string(),
            None => {}
        }
    }
    Err(fault)
}

/// Whether an owner's keys count, as far as the htpasswd file has a say.
fn is_owner_accepted(settings: &Config, owner: &str) -> bool {
    let Some(path) =
        settings.htpasswd.file.clone().filter(|_| settings.api_keys.owners == ApiKeyOwners::Htpasswd)
    else {
        return true;
    };
    let source = SourceFile { path, max_bytes: settings.htpasswd.max_bytes };
    let rules = htpasswd::file::HtpasswdParseOptions {
        allowed_formats: settings.htpasswd.allowed_formats(),
        ..Default::default()
    };
    let users = source.read().map(|text| Htpasswd::new(htpasswd::file::parse(text, &rules).users));
    users.is_ok_and(|users| users.look_up(owner.as_bytes()).is_valid())
}
