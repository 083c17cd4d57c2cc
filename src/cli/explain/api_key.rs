//! The API key of `doorward explain --api-key`.

use std::sync::Arc;

use crate::authn::api_key::file::{ApiKeyLine, ApiKeyMatch, parse};
use crate::authn::api_key::format::ApiKeyId;
use crate::authn::api_key::{ApiKeyError, edit};
use crate::authn::htpasswd::{self, Htpasswd};
use crate::cli::arguments::error_message;
use crate::clock::Clock;
use crate::config::{ApiKeyOwners, Config};
use crate::identity::sanitize_for_display;
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::SourceFile;

/// Returns the scope of the API key of `owner` that has this id or name; `None` for a key without a scope.
///
/// # Errors
/// The reason for which doorward would reject the key.
pub(super) fn find_scope(
    config: &Config,
    owner: &str,
    id_or_name: &str,
) -> Result<Option<Arc<ApiKeyScope>>, String> {
    let path = config.api_keys.file.clone().ok_or("no API key file is set; use --api-keys FILE")?;
    let source = SourceFile { path, max_bytes: config.api_keys.max_bytes };
    let content = source.read().map_err(error_message)?;
    let wanted_id = ApiKeyId::parse(id_or_name);
    let is_selected =
        |line: &ApiKeyLine| wanted_id.is_some_and(|id| id.as_str() == line.id) || line.name == id_or_name;
    let lines = edit::parse_lines(&content).filter(|line| line.owner == owner && is_selected(line));
    let ids: Vec<ApiKeyId> = lines.filter_map(|line| ApiKeyId::parse(&line.id)).collect();
    let parsed = parse(&content, &"keys".into(), None);
    let now = Clock::system().unix_seconds();
    let mut error = format!("{} has no such API key", sanitize_for_display(owner.as_bytes()));
    for id in ids {
        match parsed.index.find(&id) {
            Some(ApiKeyMatch::ApiKey(record)) if record.expires_at.is_some_and(|expires| now >= expires) => {
                error = ApiKeyError::Expired(id).to_string();
            }
            Some(ApiKeyMatch::ApiKey(record)) if is_owner_accepted(config, owner) => {
                return Ok(record.identity.api_key.as_ref().and_then(|key| key.scope.clone()));
            }
            Some(ApiKeyMatch::ApiKey(_)) => {
                error =
                    ApiKeyError::OwnerNotInHtpasswd(id, sanitize_for_display(owner.as_bytes())).to_string()
            }
            Some(ApiKeyMatch::InvalidLine(line)) => error = ApiKeyError::InvalidLine(id, line).to_string(),
            None => {}
        }
    }
    Err(error)
}

/// Returns true unless `api_keys.owners = "htpasswd"` is set and the owner has no valid line in the htpasswd file.
fn is_owner_accepted(config: &Config, owner: &str) -> bool {
    let Some(path) =
        config.htpasswd.file.clone().filter(|_| config.api_keys.owners == ApiKeyOwners::Htpasswd)
    else {
        return true;
    };
    let source = SourceFile { path, max_bytes: config.htpasswd.max_bytes };
    let options = htpasswd::file::HtpasswdParseOptions {
        allowed_formats: config.htpasswd.allowed_formats(),
        ..Default::default()
    };
    let users = source.read().map(|text| Htpasswd::new(htpasswd::file::parse(text, &options).users));
    users.is_ok_and(|users| users.look_up(owner.as_bytes()).is_valid())
}
