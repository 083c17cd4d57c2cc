//! What the policy makes of the registry's tokens: what goes into one, and what one permits that is shown to
//! doorward itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::backend_uri::rewrite_upstream_uri;
use super::denial::{Denied, PolicyDenial};
use super::rule::Subject;
use super::rules::PolicyRules;
use super::{ALLOW_AUTHENTICATED, AllowedRequest, Policy, effective_rules, user_memberships, with_subject};
use crate::authn::Identity;
use crate::permissions::{Actions, Resource};
use crate::request::grammar::is_repository_name;
use crate::request::registry::{CATALOG_SCOPE, RegistryRequest, RegistryTarget};
use crate::request::subrequest::Subrequest;
use crate::token::claims::{AccessEntry, Claims};
use crate::token::scope::{ScopeResource, TokenScope};

/// Why a token does not do for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// The request is not let through, with another token either.
    Denied(Denied),
    /// A token that permits more would do.
    InsufficientScope(InsufficientScope),
}

/// What a token lacks for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsufficientScope {
    /// The scope, as the registry's token protocol writes it; empty for `/v2/`, which needs none.
    pub scope: String,
    /// Whether the token is for another host, where all of it may be permitted.
    pub is_for_other_host: bool,
    /// Whether the token names a user. A client without a user is asked to log in.
    pub has_user: bool,
}

/// What is granted of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantedAccess {
    /// What a token may say.
    pub granted: Vec<AccessEntry>,
    /// What is not granted of it. What no request can be about is left out.
    pub denied: Vec<AccessEntry>,
}

impl Policy {
    /// What `identity`, or nobody, is given of what is asked for: never more than a request would be
    /// permitted.
    ///
    /// # Errors
    /// If the proxy does not say where the client is, or which host it asked.
    pub fn evaluate_scopes(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[TokenScope<'_>],
    ) -> Result<GrantedAccess, Denied> {
        let host = request.host_name()?;
        let (file, rules) = (self.groups.load(), self.rules.load());
        // Without a policy every user may do everything, and nobody else anything.
        let open = identity.map(|_| &*ALLOW_AUTHENTICATED);
        let rules = effective_rules(rules.as_deref(), identity).or(open);
        with_subject(user_memberships(&file, identity), identity, request, |subject| {
            let granted = |on: &ScopeResource<'_>, wanted| match (rules, on) {
                (None, _) => Actions::default(),
                (Some(rules), ScopeResource::Catalog) => {
                    rules.permitted_actions(subject, &host, &Resource::Catalog, wanted)
                }
                (Some(rules), ScopeResource::Repository(name)) => {
                    permitted_repository_actions(rules, subject, &host, name, wanted)
                }
            };
            let mut all = GrantedAccess::default();
            for (scope, wanted) in scopes.iter().filter_map(|scope| Some((scope, scope.requested.as_ref()?)))
            {
                let actions = granted(&wanted.resource, wanted.actions);
                all.granted.extend(access_entry(scope, &wanted.resource, actions));
                if is_requestable(&wanted.resource) {
                    all.denied.extend(access_entry(
                        scope,
                        &wanted.resource,
                        wanted.actions.difference(actions),
                    ));
                }
            }
            Ok(all)
        })
    }

    /// What a token permits of a request that came with it. The policy was asked when it was issued, for one
    /// host; what it denies by now is denied all the same.
    pub fn authorize_token(
        &self,
        claims: &Claims,
        identity: Option<Arc<Identity>>,
        request: &Subrequest<'_>,
    ) -> Result<AllowedRequest, TokenRefusal> {
        let (file, rules) = (self.groups.load(), self.rules.load());
        let original =
            request.original_request().map_err(|incomplete| TokenRefusal::Denied(incomplete.into()))?;
        let host = original.host_name().map_err(unreadable_request)?;
        let rules: &PolicyRules = rules.as_deref().unwrap_or(&ALLOW_AUTHENTICATED);
        if !rules.is_registry(host, original.has_uri_rewrite()) {
            return Err(unreadable_request("a token is for a registry, and this host is none"));
        }
        let asked = original.registry_request().map_err(unreadable_request)?;
        check_repository_name(asked)?;
        let token =
            PresentedToken { claims, is_current: self.is_current(claims), is_for_host: claims.host == host };
        token.check(asked)?;
        let who = identity.as_deref();
        let mount = with_subject(user_memberships(&file, who), who, request, |subject| {
            let of = |name: &str, wanted| {
                let segments: Vec<&str> = name.split('/').collect();
                let denied = rules.deny_header(subject, host, &Resource::Repository(&segments), wanted);
                denied.map_err(|refused| {
                    Box::new(PolicyDenial { repository: Some(name.to_owned()), ..*refused })
                })
            };
            let denied = match asked.target {
                RegistryTarget::Ping => rules.deny_header(subject, host, &Resource::Ping, Actions::PULL),
                RegistryTarget::Catalog => {
                    rules.deny_header(subject, host, &Resource::Catalog, asked.required_actions)
                }
                RegistryTarget::Repository(name) => of(name, asked.required_actions),
            };
            denied.map_err(Denied::ByPolicy)?;
            // What may not be pulled any more may not be mounted from either.
            Ok(match asked.mount_source.as_ref().map(|source| &*source.repository) {
                None => MountDecision::Decided(Ok(())),
                Some(source) if token.has_granted(source, Actions::PULL) => {
                    MountDecision::Decided(of(source, Actions::PULL))
                }
                Some(source)
                    if !token.has_denied(source, Actions::PULL)
                        && !permitted_repository_actions(rules, subject, host, source, Actions::PULL)
                            .is_empty() =>
                {
                    MountDecision::NeedsAnotherToken(source)
                }
                Some(source) => MountDecision::Decided(Err(Box::new(PolicyDenial {
                    repository: Some(source.to_owned()),
                    denied_actions: Actions::PULL,
                    is_denied_by_token: token.has_denied(source, Actions::PULL),
                    ..PolicyDenial::default()
                }))),
            })
        })
        .map_err(TokenRefusal::Denied)?;
        let mount = match mount {
            MountDecision::Decided(mount) => mount,
            MountDecision::NeedsAnotherToken(source) => {
                return Err(token.insufficient_scope(Some(source), Actions::PULL));
            }
        };
        let uri =
            rewrite_upstream_uri(asked, host, mount, original.has_uri_rewrite()).map_err(|refused| {
                if refused.request_error.is_some()
                    || refused.is_denied_by_token
                    || refused.deny_rule_index.is_some()
                {
                    return TokenRefusal::Denied(Denied::ByPolicy(refused));
                }
                token.insufficient_scope(
                    asked.mount_source.as_ref().map(|source| &*source.repository),
                    Actions::PULL,
                )
            })?;
        Ok(AllowedRequest {
            identity,
            groups_header: Box::default(),
            upstream_uri: uri,
            is_stale: false,
            upstream_authorization: None,
        })
    }

    /// Whether a token was issued under the rules and groups in force.
    fn is_current(&self, claims: &Claims) -> bool {
        let changed = self.changed_at.load(Ordering::Acquire);
        changed == 0 || claims.iat > changed
    }
}

/// What becomes of a mount.
enum MountDecision<'r> {
    /// It goes on, or goes on as an upload.
    Decided(Result<(), Box<PolicyDenial>>),
    /// The policy grants this user a pull on the source, and the token does not say so.
    NeedsAnotherToken(&'r str),
}

/// A token that came with a request.
struct PresentedToken<'t> {
    claims: &'t Claims,
    /// Whether it was issued under the rules in force.
    is_current: bool,
    /// Whether it is for the host that was asked.
    is_for_host: bool,
}

impl PresentedToken<'_> {
    /// Checks that the token permits what is asked for, the source of a mount aside.
    ///
    /// # Errors
    /// What it lacks. If just this was not granted when the token was issued, another token would lack it too: the
    /// client is denied, rather than sent to `/token` for ever.
    fn check(&self, asked: &RegistryRequest<'_>) -> Result<(), TokenRefusal> {
        let (name, granted) = match asked.target {
            // Whoever has a token has been there.
            RegistryTarget::Ping if self.is_for_host => return Ok(()),
            RegistryTarget::Ping => (None, Actions::default()),
            RegistryTarget::Catalog => (None, catalog_actions(&self.claims.access)),
            RegistryTarget::Repository(name) => (Some(name), repository_actions(&self.claims.access, name)),
        };
        let granted = if self.is_for_host { granted } else { Actions::default() };
        let missing = asked.required_actions.difference(granted);
        if missing.is_empty() && self.is_for_host {
            return Ok(());
        }
        let denied = match name {
            None => catalog_actions(&self.claims.denied).intersection(missing),
            Some(name) => repository_actions(&self.claims.denied, name).intersection(missing),
        };
        if denied.is_empty() || !self.is_for_host || !self.is_current || !self.has_user() {
            return Err(self.insufficient_scope(name, missing));
        }
        let repository = name.map(str::to_owned);
        let refused = PolicyDenial {
            repository,
            denied_actions: denied,
            is_denied_by_token: true,
            ..PolicyDenial::default()
        };
        Err(TokenRefusal::Denied(Denied::ByPolicy(Box::new(refused))))
    }

    fn has_user(&self) -> bool {
        !self.claims.sub.is_empty()
    }

    fn has_granted(&self, repository: &str, wanted: Actions) -> bool {
        wanted.difference(repository_actions(&self.claims.access, repository)).is_empty()
    }

    /// Whether one of these actions was not granted when the token was issued, under the rules in force.
    fn has_denied(&self, repository: &str, wanted: Actions) -> bool {
        self.is_current
            && !repository_actions(&self.claims.denied, repository).intersection(wanted).is_empty()
    }

    /// The answer to a client that lacks these actions in a repository, or else in the list of all of them.
    fn insufficient_scope(&self, repository: Option<&str>, missing: Actions) -> TokenRefusal {
        let scope = match repository {
            Some(name) => format!("repository:{name}:{}", missing.names().collect::<Vec<_>>().join(",")),
            None if missing == Actions::CATALOG => CATALOG_SCOPE.to_owned(),
            None => String::new(),
        };
        TokenRefusal::InsufficientScope(InsufficientScope {
            scope,
            has_user: self.has_user(),
            is_for_other_host: !self.is_for_host,
        })
    }
}

/// Refuses a malformed repository name: no token is for one.
fn check_repository_name(asked: &RegistryRequest<'_>) -> Result<(), TokenRefusal> {
    match (asked.target, asked.malformed_reference) {
        (RegistryTarget::Repository(name), Some(malformed)) if !is_repository_name(name) => {
            Err(unreadable_request(malformed.message))
        }
        (RegistryTarget::Ping | RegistryTarget::Catalog | RegistryTarget::Repository(_), _) => Ok(()),
    }
}

fn unreadable_request(why: &'static str) -> TokenRefusal {
    TokenRefusal::Denied(Denied::ambiguous_request(why))
}

fn permitted_repository_actions(
    rules: &PolicyRules,
    subject: &Subject<'_>,
    host: &str,
    name: &str,
    wanted: Actions,
) -> Actions {
    if !is_repository_name(name) {
        return Actions::default();
    }
    let segments: Vec<&str> = name.split('/').collect();
    rules.permitted_actions(subject, host, &Resource::Repository(&segments), wanted)
}

/// Whether a request can be about this.
fn is_requestable(on: &ScopeResource<'_>) -> bool {
    match on {
        ScopeResource::Catalog => true,
        ScopeResource::Repository(name) => is_repository_name(name),
    }
}

fn access_entry(scope: &TokenScope<'_>, on: &ScopeResource<'_>, actions: Actions) -> Option<AccessEntry> {
    if actions.is_empty() {
        return None;
    }
    let actions = match on {
        // Registries look for this word, and no other.
        ScopeResource::Catalog => vec!["*".to_owned()],
        ScopeResource::Repository(_) => actions.names().map(str::to_owned).collect(),
    };
    Some(AccessEntry { kind: scope.kind.to_owned(), name: scope.name.to_owned(), actions })
}

/// What `access` has of the list of all repositories.
fn catalog_actions(access: &[AccessEntry]) -> Actions {
    let is_all = |one: &AccessEntry| {
        one.kind == "registry" && one.name == "catalog" && one.actions.iter().any(|action| action == "*")
    };
    if access.iter().any(is_all) { Actions::CATALOG } else { Actions::default() }
}

/// What `access` has of a repository.
fn repository_actions(access: &[AccessEntry], repository: &str) -> Actions {
    let of = access.iter().filter(|access| access.kind == "repository" && access.name == repository);
    let known = of.flat_map(|access| &access.actions).filter_map(|action| Actions::from_name(action));
    known.fold(Actions::default(), Actions::union)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
