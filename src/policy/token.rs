//! The policy for registry tokens: the access that a token grants when it is issued, and the requests that a presented
//! token permits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::denial::{Denied, PolicyDenial};
use super::rule::Subject;
use super::rules::PolicyRules;
use super::upstream_uri::rewrite_upstream_uri;
use super::{ALLOW_AUTHENTICATED, AllowedRequest, Policy, effective_rules, user_memberships, with_subject};
use crate::authn::Identity;
use crate::permissions::actions::Actions;
use crate::permissions::resource::Resource;
use crate::request::endpoint::RegistryTarget;
use crate::request::grammar::is_repository_name;
use crate::request::registry::{CATALOG_SCOPE, RegistryRequest};
use crate::request::subrequest::Subrequest;
use crate::token::claims::{AccessEntry, Claims};
use crate::token::scope::{ScopeResource, TokenScope};

/// The reason why a token does not permit a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// The request is denied, and another token would not change that.
    Denied(Denied),
    /// A token with more access could permit the request.
    InsufficientScope(InsufficientScope),
}

/// The access that a token lacks for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InsufficientScope {
    /// The missing scope, in the form of the registry token protocol; empty for `/v2/`, which requires none.
    pub(crate) scope: String,
    /// Whether the token is for another host. It can permit the same actions there.
    pub(crate) is_for_other_host: bool,
    /// Whether the token names a user. A client whose token names none must log in.
    pub(crate) has_user: bool,
}

/// The requested access, separated by the decision of the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeDecision {
    /// The access that the policy grants.
    pub(crate) granted: Vec<AccessEntry>,
    /// The access that the policy does not grant. Access that no request can require is not included.
    pub(crate) denied: Vec<AccessEntry>,
}

impl Policy {
    /// Evaluates the scopes that an identity requests for a token; `None` is an anonymous request. A scope is granted only
    /// if a request with it would be permitted.
    ///
    /// # Errors
    /// Returns an error if the header with the client's address or the host is missing, repeated or invalid.
    pub(crate) fn evaluate_scopes(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[TokenScope<'_>],
    ) -> Result<ScopeDecision, Denied> {
        let host = request.host_name()?;
        let active = self.active.load();
        // Without a policy, every user may do everything, and an anonymous request is denied.
        let without_policy = identity.map(|_| &*ALLOW_AUTHENTICATED);
        let rules = effective_rules(active.rules.as_deref(), identity).or(without_policy);
        with_subject(user_memberships(&active.groups, identity), identity, request, |subject| {
            let granted_actions = |resource: &ScopeResource<'_>, requested| match (rules, resource) {
                (None, _) => Actions::default(),
                (Some(rules), ScopeResource::Catalog) => {
                    rules.permitted_actions(subject, &host, &Resource::Catalog, requested)
                }
                (Some(rules), ScopeResource::Repository(name)) => {
                    permitted_repository_actions(rules, subject, &host, name, requested)
                }
            };
            let mut decision = ScopeDecision::default();
            for scope in scopes {
                let Some(requested) = &scope.requested else { continue };
                let resource = &requested.resource;
                let granted = granted_actions(resource, requested.actions);
                decision.granted.extend(access_entry(scope, resource, granted));
                if is_requestable(resource) {
                    let denied = requested.actions.difference(granted);
                    decision.denied.extend(access_entry(scope, resource, denied));
                }
            }
            Ok(decision)
        })
    }

    /// Evaluates a request that a token was presented with. The policy granted the access of the token when it was
    /// issued, for one host. A `[[deny]]` that applies now still denies the request.
    ///
    /// # Errors
    /// Returns the reason if the token does not permit the request.
    pub(crate) fn authorize_token(
        &self,
        claims: &Claims,
        identity: Option<Arc<Identity>>,
        request: &Subrequest<'_>,
    ) -> Result<AllowedRequest, TokenRefusal> {
        let active = self.active.load();
        let original = request.original_request().map_err(|error| TokenRefusal::Denied(error.into()))?;
        let host = original.host_name().map_err(ambiguous_request)?;
        let rules: &PolicyRules = active.rules.as_deref().unwrap_or(&ALLOW_AUTHENTICATED);
        if !rules.is_registry(host, original.has_uri_rewrite()) {
            return Err(ambiguous_request("a token is only valid for a registry, and this host is a site"));
        }
        let registry = original.registry_request().map_err(ambiguous_request)?;
        check_repository_name(registry)?;
        let token =
            PresentedToken { claims, is_current: self.is_current(claims), is_for_host: claims.host == host };
        token.check(registry)?;
        let user = identity.as_deref();
        let mount_source = registry.mount_source.as_ref().map(|source| &*source.repository);
        let mount = with_subject(user_memberships(&active.groups, user), user, request, |subject| {
            let check_not_denied =
                |resource: &Resource<'_>, actions| rules.check_not_denied(subject, host, resource, actions);
            let check_repository = |name: &str, actions| {
                let segments: Vec<&str> = name.split('/').collect();
                check_not_denied(&Resource::Repository(&segments), actions)
                    .map_err(|denial| Box::new(PolicyDenial { repository: Some(name.to_owned()), ..*denial }))
            };
            let result = match registry.target {
                RegistryTarget::Ping => check_not_denied(&Resource::Ping, Actions::PULL),
                RegistryTarget::Catalog => check_not_denied(&Resource::Catalog, registry.required_actions),
                RegistryTarget::Repository(name) => check_repository(name, registry.required_actions),
            };
            result.map_err(Denied::ByPolicy)?;
            let Some(source) = mount_source else {
                return Ok(MountDecision::Decided(Ok(())));
            };
            // A repository that the policy now denies to pull from cannot be a mount source either.
            if token.has_granted(source, Actions::PULL) {
                return Ok(MountDecision::Decided(check_repository(source, Actions::PULL)));
            }
            let permitted = permitted_repository_actions(rules, subject, host, source, Actions::PULL);
            Ok(token.decide_mount_without_pull(source, permitted))
        })
        .map_err(TokenRefusal::Denied)?;
        let mount = match mount {
            MountDecision::Decided(mount) => mount,
            MountDecision::NeedsAnotherToken(source) => {
                return Err(token.insufficient_scope(Some(source), Actions::PULL));
            }
        };
        let upstream_uri =
            rewrite_upstream_uri(registry, host, mount, original.has_uri_rewrite()).map_err(|denial| {
                if denial.request_error.is_some()
                    || denial.is_denied_by_token
                    || denial.deny_rule_index.is_some()
                {
                    return TokenRefusal::Denied(Denied::ByPolicy(denial));
                }
                token.insufficient_scope(mount_source, Actions::PULL)
            })?;
        Ok(AllowedRequest {
            identity,
            groups_header: Bytes::new(),
            upstream_uri,
            is_stale: false,
            upstream_authorization: None,
        })
    }

    /// Returns true if the rules and groups have not changed since the token was issued.
    fn is_current(&self, claims: &Claims) -> bool {
        let changed = self.changed_at.load(Ordering::Acquire);
        changed == 0 || claims.iat > changed
    }
}

/// The decision on a mount.
enum MountDecision<'r> {
    /// The mount is permitted, or it is denied and can become an ordinary upload.
    Decided(Result<(), Box<PolicyDenial>>),
    /// The policy grants the user pull on this source, but the token does not contain it.
    NeedsAnotherToken(&'r str),
}

/// A token that was presented with a request.
struct PresentedToken<'t> {
    claims: &'t Claims,
    /// Whether the rules and groups have not changed since the token was issued.
    is_current: bool,
    /// Whether the token is for the host of the request.
    is_for_host: bool,
}

impl PresentedToken<'_> {
    /// Checks that the token permits the request, apart from the source of a mount.
    ///
    /// # Errors
    /// Returns the missing access. If this access was requested for the token and not granted, another token would not
    /// have it either. Then the request is denied, because a challenge would send the client to `/token` without end.
    fn check(&self, request: &RegistryRequest<'_>) -> Result<(), TokenRefusal> {
        let (name, granted) = match request.target {
            // A ping requires only a token for this host.
            RegistryTarget::Ping if self.is_for_host => return Ok(()),
            RegistryTarget::Ping => (None, Actions::default()),
            RegistryTarget::Catalog => (None, catalog_actions(&self.claims.access)),
            RegistryTarget::Repository(name) => (Some(name), repository_actions(&self.claims.access, name)),
        };
        let granted = if self.is_for_host { granted } else { Actions::default() };
        let missing = request.required_actions.difference(granted);
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
        let denial = PolicyDenial {
            repository,
            denied_actions: denied,
            is_denied_by_token: true,
            ..PolicyDenial::default()
        };
        Err(TokenRefusal::Denied(Denied::ByPolicy(Box::new(denial))))
    }

    fn has_user(&self) -> bool {
        !self.claims.sub.is_empty()
    }

    fn has_granted(&self, repository: &str, actions: Actions) -> bool {
        actions.difference(repository_actions(&self.claims.access, repository)).is_empty()
    }

    /// Returns true if one of these actions was requested for the token and not granted, and the policy has not changed
    /// since.
    fn has_denied(&self, repository: &str, actions: Actions) -> bool {
        self.is_current
            && !repository_actions(&self.claims.denied, repository).intersection(actions).is_empty()
    }

    /// Returns the decision on a mount if the token does not contain pull on its source. `permitted` are the actions
    /// that the policy permits on the source now.
    fn decide_mount_without_pull<'r>(&self, source: &'r str, permitted: Actions) -> MountDecision<'r> {
        let is_denied_by_token = self.has_denied(source, Actions::PULL);
        if !is_denied_by_token && !permitted.is_empty() {
            return MountDecision::NeedsAnotherToken(source);
        }
        MountDecision::Decided(Err(Box::new(PolicyDenial {
            repository: Some(source.to_owned()),
            denied_actions: Actions::PULL,
            is_denied_by_token,
            ..PolicyDenial::default()
        })))
    }

    /// Returns the refusal for missing actions on a repository, or on the list of all repositories if it is `None`.
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

/// Rejects a malformed repository name, because a token can never contain it.
fn check_repository_name(request: &RegistryRequest<'_>) -> Result<(), TokenRefusal> {
    match (request.target, request.malformed_reference) {
        (RegistryTarget::Repository(name), Some(malformed)) if !is_repository_name(name) => {
            Err(ambiguous_request(malformed.message))
        }
        (RegistryTarget::Ping | RegistryTarget::Catalog | RegistryTarget::Repository(_), _) => Ok(()),
    }
}

fn ambiguous_request(message: &'static str) -> TokenRefusal {
    TokenRefusal::Denied(Denied::ambiguous_request(message))
}

fn permitted_repository_actions(
    rules: &PolicyRules,
    subject: &Subject<'_>,
    host: &str,
    name: &str,
    requested: Actions,
) -> Actions {
    if !is_repository_name(name) {
        return Actions::default();
    }
    let segments: Vec<&str> = name.split('/').collect();
    rules.permitted_actions(subject, host, &Resource::Repository(&segments), requested)
}

/// Returns true if a valid request can require access to the resource.
fn is_requestable(resource: &ScopeResource<'_>) -> bool {
    match resource {
        ScopeResource::Catalog => true,
        ScopeResource::Repository(name) => is_repository_name(name),
    }
}

fn access_entry(
    scope: &TokenScope<'_>,
    resource: &ScopeResource<'_>,
    actions: Actions,
) -> Option<AccessEntry> {
    if actions.is_empty() {
        return None;
    }
    let actions = match resource {
        // Registries require exactly this action for the catalog.
        ScopeResource::Catalog => vec!["*".to_owned()],
        ScopeResource::Repository(_) => actions.names().map(str::to_owned).collect(),
    };
    Some(AccessEntry { kind: scope.kind.to_owned(), name: scope.name.to_owned(), actions })
}

/// Returns the actions on the list of all repositories in `access`.
fn catalog_actions(access: &[AccessEntry]) -> Actions {
    let is_catalog = |entry: &AccessEntry| {
        entry.kind == "registry"
            && entry.name == "catalog"
            && entry.actions.iter().any(|action| action == "*")
    };
    if access.iter().any(is_catalog) { Actions::CATALOG } else { Actions::default() }
}

/// Returns the actions on a repository in `access`.
fn repository_actions(access: &[AccessEntry], repository: &str) -> Actions {
    access
        .iter()
        .filter(|entry| entry.kind == "repository" && entry.name == repository)
        .flat_map(|entry| &entry.actions)
        .filter_map(|action| Actions::from_name(action))
        .fold(Actions::default(), Actions::union)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
