//! What an identity may do. A [`Grant`] is made here and nowhere else, and an allowed request can
//! be answered only from one.
//!
//! Without a policy every identity is admitted. With one, nothing is that no `[[grant]]` names;
//! grants add up, in any order, and a `[[deny]]` wins over all of them. The policy is judged on
//! every request, after the cache: a change of it, or of a group, is in force with the next one.
//!
//! What is judged is what the client asked for and what the backend will do. A request that two
//! readers could take for two things is refused ([`registry`], [`site`]).

mod backend_uri;
mod coverage;
pub mod denial;
mod evaluate;
pub mod explain;
pub mod groups;
pub mod index;
pub mod read;
pub mod reload;
pub mod rule;
pub mod rules;
pub mod token;
mod unknown_key;
mod value;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arc_swap::{ArcSwap, ArcSwapOption};

use self::denial::{Denied, PolicyDenial};
use self::explain::Explanation;
use self::groups::GroupMemberships;
use self::reload::PolicyContent;
use self::rule::Subject;
use self::rules::{PolicyDecision, PolicyRules};
pub use self::token::{GrantedAccess, TokenRefusal};
use crate::authn::Identity;
use crate::identity::Membership;
use crate::request::header::RequestHeader;
use crate::request::original::{DeclaredUpstream, check_below_v2};
use crate::request::subrequest::{ClientAddress, Subrequest};
use crate::upstream::secret_header::SecretHeaderValue;

/// The proof that the policy permits a request, and whose it is.
#[derive(Clone, Debug)]
pub struct AllowedRequest {
    identity: Option<Arc<Identity>>,
    groups_header: Box<[u8]>,
    upstream_uri: Option<String>,
    is_stale: bool,
    upstream_authorization: Option<SecretHeaderValue>,
}

impl AllowedRequest {
    /// Who is admitted; `None` where the policy permits it to anyone, and nobody said who he is.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// The identity's groups, with commas between them.
    pub fn groups_header(&self) -> &[u8] {
        &self.groups_header
    }

    /// Whether the authenticator could not be asked, and this is what it said last.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The same, of an identity that could not be confirmed anew.
    #[must_use]
    pub fn with_stale(self, stale: bool) -> Self {
        Self { is_stale: stale, ..self }
    }

    /// The same, with what the upstream is shown.
    #[must_use]
    pub(crate) fn with_upstream_authorization(self, upstream: SecretHeaderValue) -> Self {
        Self { upstream_authorization: Some(upstream), ..self }
    }

    /// The same, of which the backend is asked for another URI.
    #[must_use]
    pub(crate) fn with_upstream_uri(self, uri: String) -> Self {
        Self { upstream_uri: Some(uri), ..self }
    }

    /// What the upstream is shown in place of the client's own; `None` where the settings say nothing of it.
    pub fn upstream_authorization(&self) -> Option<&SecretHeaderValue> {
        self.upstream_authorization.as_ref()
    }

    /// What the backend must be asked for instead, where that is not what the client asked for.
    pub fn upstream_uri(&self) -> Option<&str> {
        self.upstream_uri.as_deref()
    }
}

/// What a scope narrows where there is no policy.
static ALLOW_AUTHENTICATED: LazyLock<PolicyRules> = LazyLock::new(PolicyRules::allow_authenticated);

/// The rules and the groups in force.
#[derive(Debug, Default)]
pub struct Policy {
    rules: ArcSwapOption<PolicyRules>,
    groups: ArcSwap<GroupMemberships>,
    /// When either of them was replaced last, in seconds since 1970; 0 if they are those of the start.
    changed_at: AtomicU64,
}

impl Policy {
    /// Puts other rules or groups in force. Each request is judged by the old ones or by the new ones.
    pub fn replace(&self, content: PolicyContent) {
        match content {
            PolicyContent::Rules(rules) => self.rules.store(Some(Arc::new(rules))),
            PolicyContent::Groups(groups) => self.groups.store(Arc::new(groups)),
        }
    }

    /// Records that the rules or the groups were replaced at `now`, in seconds since 1970. What a token of before was
    /// not granted may be granted since.
    pub fn record_change(&self, now: u64) {
        self.changed_at.fetch_max(now, Ordering::AcqRel);
    }

    /// The rules in force, if there are any.
    pub fn rules(&self) -> Option<Arc<PolicyRules>> {
        self.rules.load_full()
    }

    /// The groups in force.
    pub fn groups(&self) -> Arc<GroupMemberships> {
        self.groups.load_full()
    }

    /// Judges one request of `identity`'s, or of nobody's.
    pub fn authorize(
        &self,
        identity: Option<Arc<Identity>>,
        request: &Subrequest<'_>,
    ) -> Result<AllowedRequest, Denied> {
        let file = self.groups.load();
        let rules = self.rules.load();
        let sources = user_memberships(&file, identity.as_deref());
        let judged = match effective_rules(rules.as_deref(), identity.as_deref()) {
            None => evaluate_without_policy(identity.is_some(), request),
            Some(rules) => with_subject(sources, identity.as_deref(), request, |subject| {
                Ok(rules.evaluate(subject, request.original_request()?))
            }),
        };
        let uri = match judged {
            Ok(PolicyDecision::Allowed { upstream_uri: uri }) => uri,
            Ok(PolicyDecision::Denied(mut refused)) => {
                refused.api_key = identity.as_deref().and_then(Identity::describe_api_key);
                return Err(record_denied_user(identity.as_deref(), request, Denied::ByPolicy(refused)));
            }
            Err(denied) => return Err(record_denied_user(identity.as_deref(), request, denied)),
        };
        let groups = join_groups(sources);
        Ok(AllowedRequest {
            identity,
            groups_header: groups,
            upstream_uri: uri,
            is_stale: false,
            upstream_authorization: None,
        })
    }

    /// Judges one request as [`Policy::authorize`] does, and says why. The subject has the groups and the scope
    /// that its identity would have.
    ///
    /// # Errors
    /// If the proxy does not describe the request completely.
    pub fn explain(&self, subject: &Subject<'_>, request: &Subrequest<'_>) -> Result<Explanation, Denied> {
        let rules = self.rules.load();
        match rules.as_deref().or(subject.api_key_scope.map(|_| &*ALLOW_AUTHENTICATED)) {
            Some(rules) => Ok(rules.explain(subject, request.original_request()?)),
            None => evaluate_without_policy(subject.user.is_some(), request).map(Explanation::without_policy),
        }
    }
}

/// The judgement if there is no policy and no scope: every user may do everything, and nobody else anything.
/// Which path a request to a registry reaches is checked all the same.
fn evaluate_without_policy(is_identified: bool, request: &Subrequest<'_>) -> Result<PolicyDecision, Denied> {
    if !is_identified {
        return Ok(PolicyDecision::Denied(Box::<PolicyDenial>::default()));
    }
    match check_confined(request) {
        Ok(()) => Ok(PolicyDecision::Allowed { upstream_uri: None }),
        Err(Denied::ByPolicy(refused)) => Ok(PolicyDecision::Denied(refused)),
        Err(denied) => Err(denied),
    }
}

/// Checks that a request of which the proxy says that it goes to a registry stays below `/v2/` there. Where a policy
/// is in force, its grammar is stricter.
fn check_confined(request: &Subrequest<'_>) -> Result<(), Denied> {
    match (request.declared_upstream, request.uri) {
        (DeclaredUpstream::Unspecified | DeclaredUpstream::Other, _) => Ok(()),
        (DeclaredUpstream::Registry, RequestHeader::Once(uri)) => {
            check_below_v2(uri).map_err(Denied::ambiguous_request)
        }
        (
            DeclaredUpstream::Registry,
            RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid,
        ) => Ok(request.uri_text().map(|_| ())?),
    }
}

/// Records whose request is denied, for the log.
fn record_denied_user(identity: Option<&Identity>, request: &Subrequest<'_>, denied: Denied) -> Denied {
    if let Some(identity) = identity {
        request.set_user(identity.user.as_bytes());
    }
    denied
}

/// The rules that an identity is judged by, if there are any.
fn effective_rules<'r>(
    rules: Option<&'r PolicyRules>,
    identity: Option<&Identity>,
) -> Option<&'r PolicyRules> {
    rules.or(identity.and_then(Identity::scope).map(|_| &*ALLOW_AUTHENTICATED))
}

type UserMemberships<'s> = [Option<&'s Membership>; 2];

/// The groups of the group file, and those that the authenticator named.
fn user_memberships<'s>(file: &'s GroupMemberships, identity: Option<&'s Identity>) -> UserMemberships<'s> {
    let user = identity.map(|identity| identity.user.as_bytes());
    [user.map(|user| file.of_user(user)), identity.map(|identity| &identity.membership)]
}

/// Has something judged of who asks.
fn with_subject<T>(
    sources: UserMemberships<'_>,
    identity: Option<&Identity>,
    request: &Subrequest<'_>,
    judge: impl FnOnce(&Subject<'_>) -> Result<T, Denied>,
) -> Result<T, Denied> {
    let of: Vec<&[u8]> =
        sources.into_iter().flatten().flat_map(|of| of.groups().iter().map(|group| &**group)).collect();
    // nginx's own address is not the client's: who is not named is in no network.
    let client = match request.client {
        ClientAddress::Missing | ClientAddress::UnixSocket => None,
        ClientAddress::Text(_) => request.client_address()?,
    };
    let user = identity.map(|identity| identity.user.as_bytes());
    let scope = identity.and_then(|identity| identity.scope());
    judge(&Subject { user, groups: &of, client_address: client, api_key_scope: scope })
}

/// The groups of the group file and those that the authenticator named, each once.
fn join_groups(sources: UserMemberships<'_>) -> Box<[u8]> {
    match sources.map(|source| source.filter(|of| !of.is_empty())) {
        [None, None] => Box::default(),
        [Some(of), None] | [None, Some(of)] => of.header_value().into(),
        [Some(file), Some(own)] => {
            let both = [file, own].into_iter().flat_map(|of| of.groups().iter().map(|group| &**group));
            Membership::new(both.collect()).header_value().into()
        }
    }
}
