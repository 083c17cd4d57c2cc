//! The policy decides what an identity may do. Only this module creates an [`AllowedRequest`], and only from one can a
//! request be allowed.
//!
//! Without a policy file, every user may do everything. With one, a request is denied unless a `[[grant]]` permits it.
//! Grants add up in any order, and a `[[deny]]` overrides all of them. The policy is evaluated on every request, after
//! the cache, so a change of the policy or of a group applies to the next request.
//!
//! The request is evaluated as the upstream will read it. A request that two programs could read differently is denied
//! (see [`crate::request::registry`] and [`crate::request::site`]).

mod coverage;
pub(crate) mod denial;
mod evaluate;
pub(crate) mod explain;
pub(crate) mod groups;
pub(crate) mod index;
pub(crate) mod read;
pub(crate) mod reload;
pub(crate) mod rule;
pub(crate) mod rules;
#[cfg(test)]
mod test_random;
pub(crate) mod token;
mod unknown_key;
mod upstream_uri;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use bytes::Bytes;

use self::denial::{Denied, PolicyDenial};
use self::explain::Explanation;
use self::groups::GroupMemberships;
use self::reload::PolicyContent;
use self::rule::Subject;
use self::rules::{PolicyDecision, PolicyRules};
use crate::authn::Identity;
use crate::identity::Membership;
use crate::request::header::RequestHeader;
use crate::request::original::{DeclaredUpstream, check_below_v2};
use crate::request::subrequest::{ClientAddress, Subrequest};
use crate::upstream::secret_header::SecretHeaderValue;

/// The proof that the policy permits a request, with the values for the response.
#[derive(Clone, Debug)]
pub(crate) struct AllowedRequest {
    identity: Option<Arc<Identity>>,
    groups_header: Bytes,
    upstream_uri: Option<String>,
    is_stale: bool,
    upstream_authorization: Option<SecretHeaderValue>,
}

impl AllowedRequest {
    /// Returns the identity; `None` for an anonymous request that the policy permits to anyone.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// Returns the groups of the identity, separated by commas.
    pub(crate) fn groups_header(&self) -> &Bytes {
        &self.groups_header
    }

    /// Returns true if the authenticator was unavailable, and its last answer was used.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Sets whether the last answer of an unavailable authenticator was used.
    #[must_use]
    pub(crate) fn with_stale(self, stale: bool) -> Self {
        Self { is_stale: stale, ..self }
    }

    /// Sets the `Authorization` value that the upstream receives.
    #[must_use]
    pub(crate) fn with_upstream_authorization(self, value: SecretHeaderValue) -> Self {
        Self { upstream_authorization: Some(value), ..self }
    }

    /// Sets the URI that the upstream receives.
    #[must_use]
    pub(crate) fn with_upstream_uri(self, uri: String) -> Self {
        Self { upstream_uri: Some(uri), ..self }
    }

    /// Returns the `Authorization` value that the upstream receives; `None` if the settings do not configure it.
    pub(crate) fn upstream_authorization(&self) -> Option<&SecretHeaderValue> {
        self.upstream_authorization.as_ref()
    }

    /// Returns the URI that the upstream must receive, if it differs from the client's URI.
    pub(crate) fn upstream_uri(&self) -> Option<&str> {
        self.upstream_uri.as_deref()
    }
}

/// The rules that apply without a policy file. The scope of an API key still limits them.
static ALLOW_AUTHENTICATED: LazyLock<PolicyRules> = LazyLock::new(PolicyRules::allow_authenticated);

/// The active rules and groups, which are read together.
#[derive(Clone, Debug, Default)]
struct ActivePolicy {
    /// The rules; `None` without a policy file.
    rules: Option<Arc<PolicyRules>>,
    groups: Arc<GroupMemberships>,
}

/// The policy in force, which can be replaced.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    active: ArcSwap<ActivePolicy>,
    /// The time of the last change of the rules or groups, in seconds since 1970; 0 if they did not change since the
    /// start.
    changed_at: AtomicU64,
}

impl Policy {
    /// Activates other rules or groups. Each request is evaluated with either the old ones or the new ones.
    pub(crate) fn replace(&self, content: PolicyContent) {
        match content {
            PolicyContent::Rules(rules) => {
                let rules = Some(Arc::new(rules));
                self.active.rcu(|active| ActivePolicy { rules: rules.clone(), ..(**active).clone() });
            }
            PolicyContent::Groups(groups) => {
                let groups = Arc::new(groups);
                self.active.rcu(|active| ActivePolicy { groups: Arc::clone(&groups), ..(**active).clone() });
            }
        }
    }

    /// Records that the rules or groups changed at `now`, in seconds since 1970. The changed policy can permit actions
    /// that an earlier token does not grant.
    pub(crate) fn record_change(&self, now: u64) {
        self.changed_at.fetch_max(now, Ordering::AcqRel);
    }

    /// Returns the active rules, if there is a policy file.
    pub(crate) fn rules(&self) -> Option<Arc<PolicyRules>> {
        self.active.load().rules.clone()
    }

    /// Returns the active groups.
    pub(crate) fn groups(&self) -> Arc<GroupMemberships> {
        Arc::clone(&self.active.load().groups)
    }

    /// Evaluates a request of an identity; `None` is an anonymous request.
    ///
    /// # Errors
    /// Returns the reason if the request is denied.
    pub(crate) fn authorize(
        &self,
        identity: Option<Arc<Identity>>,
        request: &Subrequest<'_>,
    ) -> Result<AllowedRequest, Denied> {
        let active = self.active.load();
        let memberships = user_memberships(&active.groups, identity.as_deref());
        let decision = match effective_rules(active.rules.as_deref(), identity.as_deref()) {
            None => evaluate_without_policy(identity.is_some(), request),
            Some(rules) => with_subject(memberships, identity.as_deref(), request, |subject| {
                Ok(rules.evaluate(subject, request.original_request()?))
            }),
        };
        let upstream_uri = match decision {
            Ok(PolicyDecision::Allowed { upstream_uri }) => upstream_uri,
            Ok(PolicyDecision::Denied(mut denial)) => {
                denial.api_key = identity.as_deref().and_then(Identity::describe_api_key);
                return Err(record_denied_user(identity.as_deref(), request, Denied::ByPolicy(denial)));
            }
            Err(denied) => return Err(record_denied_user(identity.as_deref(), request, denied)),
        };
        let groups_header = join_groups(memberships);
        Ok(AllowedRequest {
            identity,
            groups_header,
            upstream_uri,
            is_stale: false,
            upstream_authorization: None,
        })
    }

    /// Evaluates a request in the same way as [`Policy::authorize`], and explains the decision. The caller sets the
    /// groups and the scope of the subject.
    ///
    /// # Errors
    /// Returns an error if a header that describes the request is missing, repeated or invalid.
    pub(crate) fn explain(
        &self,
        subject: &Subject<'_>,
        request: &Subrequest<'_>,
    ) -> Result<Explanation, Denied> {
        let active = self.active.load();
        match active.rules.as_deref().or(subject.api_key_scope.map(|_| &*ALLOW_AUTHENTICATED)) {
            Some(rules) => Ok(rules.explain(subject, request.original_request()?)),
            None => evaluate_without_policy(subject.user.is_some(), request).map(Explanation::without_policy),
        }
    }
}

/// Evaluates a request if there is neither a policy nor a scope: every user may do everything, and an anonymous request
/// is denied. The path of a request to a registry is still checked.
fn evaluate_without_policy(is_identified: bool, request: &Subrequest<'_>) -> Result<PolicyDecision, Denied> {
    if !is_identified {
        return Ok(PolicyDecision::Denied(Box::<PolicyDenial>::default()));
    }
    match check_confined(request) {
        Ok(()) => Ok(PolicyDecision::Allowed { upstream_uri: None }),
        Err(Denied::ByPolicy(denial)) => Ok(PolicyDecision::Denied(denial)),
        Err(denied) => Err(denied),
    }
}

/// Checks that a request stays below `/v2/` if the proxy declares a registry. With a policy, the parser for registry
/// requests is stricter.
fn check_confined(request: &Subrequest<'_>) -> Result<(), Denied> {
    match (request.declared_upstream, request.uri) {
        (DeclaredUpstream::Unspecified | DeclaredUpstream::Other, _) => Ok(()),
        (DeclaredUpstream::Registry, RequestHeader::Once(uri)) => {
            check_below_v2(uri).map_err(Denied::ambiguous_path)
        }
        (
            DeclaredUpstream::Registry,
            RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid,
        ) => Ok(request.uri_text().map(|_| ())?),
    }
}

/// Records the user of a denied request for the log.
fn record_denied_user(identity: Option<&Identity>, request: &Subrequest<'_>, denied: Denied) -> Denied {
    if let Some(identity) = identity {
        request.set_user(identity.user.as_bytes());
    }
    denied
}

/// Returns the rules that apply to an identity; `None` if there is neither a policy nor a scope.
fn effective_rules<'r>(
    rules: Option<&'r PolicyRules>,
    identity: Option<&Identity>,
) -> Option<&'r PolicyRules> {
    rules.or(identity.and_then(Identity::scope).map(|_| &*ALLOW_AUTHENTICATED))
}

/// The groups of a user from the group file, and those from the authenticator.
type UserMemberships<'s> = [Option<&'s Membership>; 2];

/// Returns the groups of an identity from the group file and from the authenticator.
fn user_memberships<'s>(
    file_groups: &'s GroupMemberships,
    identity: Option<&'s Identity>,
) -> UserMemberships<'s> {
    let user = identity.map(|identity| identity.user.as_bytes());
    [user.map(|user| file_groups.of_user(user)), identity.map(|identity| &identity.membership)]
}

/// Calls `evaluate` with the subject of a request.
fn with_subject<T>(
    memberships: UserMemberships<'_>,
    identity: Option<&Identity>,
    request: &Subrequest<'_>,
    evaluate: impl FnOnce(&Subject<'_>) -> Result<T, Denied>,
) -> Result<T, Denied> {
    let groups: Vec<&[u8]> = group_names(memberships.into_iter().flatten()).collect();
    // The address of the proxy is not that of the client. If the proxy sends none, the client is in no network.
    let client_address = match request.client {
        ClientAddress::Missing | ClientAddress::UnixSocket => None,
        ClientAddress::Text(_) => request.client_address()?,
    };
    let user = identity.map(|identity| identity.user.as_bytes());
    let api_key_scope = identity.and_then(|identity| identity.scope());
    evaluate(&Subject { user, groups: &groups, client_address, api_key_scope })
}

fn group_names<'s>(memberships: impl Iterator<Item = &'s Membership>) -> impl Iterator<Item = &'s [u8]> {
    memberships.flat_map(|membership| membership.groups().iter().map(|group| &**group))
}

/// Returns the groups of both sources, separated by commas and without duplicates.
fn join_groups(memberships: UserMemberships<'_>) -> Bytes {
    match memberships.map(|source| source.filter(|membership| !membership.is_empty())) {
        [None, None] => Bytes::new(),
        [Some(membership), None] | [None, Some(membership)] => membership.header_value().clone(),
        [Some(of_file), Some(of_authenticator)] => {
            let names = group_names([of_file, of_authenticator].into_iter());
            Membership::new(names.collect()).header_value().clone()
        }
    }
}
