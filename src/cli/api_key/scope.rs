//! The key that `doorward explain --key` speaks of.

use std::sync::Arc;

use super::text;
use crate::authn::api_key::file::{Found, Line, parse};
use crate::authn::api_key::secret::Id;
use crate::authn::api_key::{KeyFault, edit};
use crate::authn::htpasswd::{self, Htpasswd};
use crate::clock::Clock;
use crate::config::{KeyOwners, Settings};
use crate::identity::sanitize_for_display;
use crate::permissions::scope::ApiKeyScope;
use crate::reload::Source;

/// The scope of a key of `owner`'s, which has this id or name; for `explain`.
///
/// # Errors
/// Why it would be no good.
pub(in crate::cli) fn scope(
    settings: &Settings,
    owner: &str,
    wanted: &str,
) -> Result<Option<Arc<ApiKeyScope>>, String> {
    let path = settings.keys.clone().ok_or("no file of keys is set: use --keys FILE")?;
    let source = Source { path, max_bytes: settings.keys_max_bytes };
    let content = source.read().map_err(text)?;
    let wanted_id = Id::parse(wanted);
    let is_meant = |line: &Line| wanted_id.is_some_and(|id| id.as_str() == line.id) || line.name == wanted;
    let ids = edit::lines(&content).filter(|line| line.owner == owner && is_meant(line));
    let ids: Vec<Id> = ids.filter_map(|line| Id::parse(&line.id)).collect();
    let parsed = parse(&content, &"keys".into(), None);
    let now = Clock::system().unix_seconds();
    let mut fault = format!("{} has no such key", sanitize_for_display(owner.as_bytes()));
    for id in ids {
        match parsed.file.find(&id) {
            Some(Found::ApiKey(record)) if record.expires.is_some_and(|expires| now >= expires) => {
                fault = KeyFault::Expired(id).to_string();
            }
            Some(Found::ApiKey(record)) if may_log_in(settings, owner) => {
                return Ok(record.identity.key.as_ref().and_then(|key| key.scope.clone()));
            }
            Some(Found::ApiKey(_)) => fault = KeyFault::OwnerGone(id, sanitize_for_display(owner.as_bytes())).to_string(),
            Some(Found::Bad(line)) => fault = KeyFault::Line(id, line).to_string(),
            None => {}
        }
    }
    Err(fault)
}

/// Whether an owner's keys count, as far as the htpasswd file has a say.
fn may_log_in(settings: &Settings, owner: &str) -> bool {
    let Some(path) = settings.htpasswd.clone().filter(|_| settings.keys_owners == KeyOwners::Htpasswd) else {
        return true;
    };
    let source = Source { path, max_bytes: settings.htpasswd_max_bytes };
    let rules = htpasswd::file::Rules { allowed: settings.htpasswd_allow, ..Default::default() };
    let users = source.read().map(|text| Htpasswd::new(htpasswd::file::parse(text, &rules).users));
    users.is_ok_and(|users| users.look_up(owner.as_bytes()).is_usable())
}
