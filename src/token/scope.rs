//! The scopes of the registry token protocol (distribution's docs/content/spec/auth/scope.md), as in
//! `repository:team/app:pull,push`.
//!
//! The type can have a class in brackets, which is deprecated and ignored (`repository(plugin):…`). The name can
//! start with a host and its port (`localhost:5000/team/app`). An action can be `*`. Registries compare names byte by
//! byte, so a name that is not canonical is never granted.

use crate::permissions::actions::Actions;

/// Maximum number of scopes in one request. A push that mounts each layer from another repository has some dozen.
pub(crate) const SCOPES_MAX: usize = 64;

/// Maximum length of a scope, in bytes.
const SCOPE_BYTES_MAX: usize = 1024;

/// One requested scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenScope<'s> {
    /// The type, such as `repository`, without its class.
    pub(crate) kind: &'s str,
    /// The name, as it was sent.
    pub(crate) name: &'s str,
    /// The resource and the requested actions; `None` if doorward never grants scopes of this type.
    pub(crate) requested: Option<RequestedActions<'s>>,
}

/// The actions that are requested on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestedActions<'s> {
    /// The resource.
    pub(crate) resource: ScopeResource<'s>,
    /// The actions; `*` requests all actions of the resource.
    pub(crate) actions: Actions,
}

/// The resource of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeResource<'s> {
    /// A repository.
    Repository(&'s str),
    /// The list of all repositories (`registry:catalog:*`).
    Catalog,
}

/// Parses one scope. Returns `None` if its name is empty, as in the challenge of zot for a request without a
/// repository (`repository::pull`). Such a scope is never granted, and must not invalidate the other scopes.
///
/// # Errors
/// Returns the message for the client.
pub(crate) fn parse_scope(text: &str) -> Result<Option<TokenScope<'_>>, &'static str> {
    if text.len() > SCOPE_BYTES_MAX {
        return Err("a scope is longer than 1024 bytes");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a scope contains a character other than visible ASCII");
    }
    // A name that starts with a host contains a colon of its own.
    let format_error = "a scope must have the form TYPE:NAME:ACTIONS, as in repository:team/app:pull";
    let (kind, rest) = text.split_once(':').ok_or(format_error)?;
    let (name, actions) = rest.rsplit_once(':').ok_or(format_error)?;
    let kind = kind.split_once('(').map_or(Ok(kind), |(kind, class)| {
        let is_class = class.strip_suffix(')').is_some_and(|class| class.bytes().all(is_word));
        if is_class { Ok(kind) } else { Err(format_error) }
    })?;
    if kind.is_empty() || !kind.bytes().all(is_word) || name.matches(':').count() > 1 {
        return Err(format_error);
    }
    let is_valid = |action: &str| action == "*" || action.bytes().all(|b| b.is_ascii_lowercase());
    if !actions.split(',').all(is_valid) {
        return Err("an action must be lower-case letters, or *");
    }
    Ok((!name.is_empty()).then(|| TokenScope {
        kind,
        name,
        requested: parse_requested_actions(kind, name, actions),
    }))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn parse_requested_actions<'s>(kind: &str, name: &'s str, actions: &str) -> Option<RequestedActions<'s>> {
    let (resource, all_actions) = match kind {
        "repository" => {
            (ScopeResource::Repository(name), Actions::PULL.union(Actions::PUSH).union(Actions::DELETE))
        }
        "registry" if name == "catalog" => (ScopeResource::Catalog, Actions::CATALOG),
        _ => return None,
    };
    let actions = if actions.split(',').any(|action| action == "*") {
        all_actions
    } else {
        let named = actions.split(',').filter_map(Actions::from_name);
        named.fold(Actions::default(), Actions::union).intersection(all_actions)
    };
    Some(RequestedActions { resource, actions })
}

/// Parses the scopes of one request, and merges scopes of the same resource. They are in several parameters
/// (token.md), or in one parameter that separates them by spaces (oauth.md).
///
/// # Errors
/// Returns the message for the client if a scope is malformed, or if there are more than [`SCOPES_MAX`].
pub(crate) fn parse_scopes<'s>(
    parameters: impl Iterator<Item = &'s str>,
) -> Result<Vec<TokenScope<'s>>, &'static str> {
    let mut scopes: Vec<TokenScope<'s>> = Vec::new();
    for text in parameters.flat_map(|parameter| parameter.split(' ')).filter(|text| !text.is_empty()) {
        let Some(scope) = parse_scope(text)? else { continue };
        match scopes.iter_mut().find(|other| other.kind == scope.kind && other.name == scope.name) {
            Some(merged) => merge_scope(merged, scope),
            None => scopes.push(scope),
        }
        if scopes.len() > SCOPES_MAX {
            return Err("there are more than 64 scopes");
        }
    }
    Ok(scopes)
}

fn merge_scope(merged: &mut TokenScope<'_>, other: TokenScope<'_>) {
    if let (Some(merged), Some(other)) = (&mut merged.requested, other.requested) {
        merged.actions = merged.actions.union(other.actions);
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
