//! What an identity may do. A [`Grant`] is made here and nowhere else, and an allowed request can
//! be answered only from one.
//!
//! Without a policy every identity is admitted. With one, nothing is that no `[[grant]]` names;
//! grants add up, in any order, and a `[[deny]]` wins over all of them. The policy is judged on
//! every request, after the cache: a change of it, or of a group, is in force with the next one.
//!
//! What is judged is what the client asked for and what the backend will do. A request that two
//! readers could take for two things is refused ([`registry`], [`site`]).

pub mod explain;
pub mod grammar;
pub mod groups;
pub mod index;
pub mod query;
pub mod read;
pub mod registry;
pub mod reload;
pub mod rule;
pub mod rules;
pub mod site;
mod token;
mod value;

use std::sync::{Arc, LazyLock};

use arc_swap::{ArcSwap, ArcSwapOption};

use self::groups::Groups;
use self::reload::Content;
use self::rule::Subject;
use self::rules::{Asking, Judgement, Rules};
pub use self::token::{Lacking, host};
use super::Subrequest;
use super::verdict::Denied;
use crate::authn::Identity;
use crate::gate::credentials::Header;
use crate::identity::Membership;
use crate::upstream::authorization::Authorization;

/// The proof that the policy permits a request, and whose it is.
#[derive(Clone, Debug)]
pub struct Grant {
    identity: Option<Arc<Identity>>,
    groups: Box<[u8]>,
    uri: Option<String>,
    stale: bool,
    upstream: Option<Authorization>,
}

impl Grant {
    /// Who is admitted; `None` where the policy permits it to anyone, and nobody said who he is.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// The identity's groups, with commas between them.
    pub fn groups(&self) -> &[u8] {
        &self.groups
    }

    /// Whether the authenticator could not be asked, and this is what it said last.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The same, of an identity that could not be confirmed anew.
    #[must_use]
    pub fn stale(self, stale: bool) -> Self {
        Self { stale, ..self }
    }

    /// The same, with what the upstream is shown.
    #[must_use]
    pub(super) fn with(self, upstream: Authorization) -> Self {
        Self { upstream: Some(upstream), ..self }
    }

    /// The same, of which the backend is asked for another URI.
    #[must_use]
    pub(super) fn for_uri(self, uri: String) -> Self {
        Self { uri: Some(uri), ..self }
    }

    /// What the upstream is shown in place of the client's own; `None` where the settings say nothing of it.
    pub fn upstream(&self) -> Option<&Authorization> {
        self.upstream.as_ref()
    }

    /// What the backend must be asked for instead, where that is not what the client asked for.
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }
}

/// What a scope narrows where there is no policy.
static OPEN: LazyLock<Rules> = LazyLock::new(Rules::open);

/// The rules and the groups in force.
#[derive(Debug, Default)]
pub struct Policy {
    rules: ArcSwapOption<Rules>,
    groups: ArcSwap<Groups>,
}

impl Policy {
    /// Puts other rules or groups in force. Each request is judged by the old ones or by the new ones.
    pub fn replace(&self, content: Content) {
        match content {
            Content::Rules(rules) => self.rules.store(Some(Arc::new(rules))),
            Content::Groups(groups) => self.groups.store(Arc::new(groups)),
        }
    }

    /// The rules in force, if there are any.
    pub fn rules(&self) -> Option<Arc<Rules>> {
        self.rules.load_full()
    }

    /// The groups in force.
    pub fn groups(&self) -> Arc<Groups> {
        self.groups.load_full()
    }

    /// Judges one request of `identity`'s, or of nobody's.
    pub fn authorize(
        &self,
        identity: Option<Arc<Identity>>,
        request: &Subrequest<'_>,
    ) -> Result<Grant, Denied> {
        let file = self.groups.load();
        let sources = memberships(&file, identity.as_deref());
        let rules = self.rules.load();
        let uri = match in_force(rules.as_deref(), identity.as_deref()) {
            None if identity.is_some() => None,
            None => return Err(Denied::NotPermitted(Box::default())),
            Some(rules) => {
                match as_subject(sources, identity.as_deref(), request, |subject| {
                    Ok(rules.judge(subject, &asking(request)?))
                })? {
                    Judgement::Allowed { uri } => uri,
                    Judgement::Refused(mut refused) => {
                        refused.key = identity.as_deref().and_then(Identity::key_of_whom);
                        return Err(Denied::NotPermitted(refused));
                    }
                }
            }
        };
        let groups = joined(sources);
        Ok(Grant { identity, groups, uri, stale: false, upstream: None })
    }
}

/// The rules that an identity is judged by, if there are any.
fn in_force<'r>(rules: Option<&'r Rules>, identity: Option<&Identity>) -> Option<&'r Rules> {
    rules.or(identity.and_then(Identity::scope).map(|_| &*OPEN))
}

type Sources<'s> = [Option<&'s Membership>; 2];

/// The groups of the group file, and those that the authenticator named.
fn memberships<'s>(file: &'s Groups, identity: Option<&'s Identity>) -> Sources<'s> {
    let user = identity.map(|identity| identity.user.as_bytes());
    [user.map(|user| file.of(user)), identity.map(|identity| &identity.membership)]
}

/// Has something judged of who asks.
fn as_subject<T>(
    sources: Sources<'_>,
    identity: Option<&Identity>,
    request: &Subrequest<'_>,
    judge: impl FnOnce(&Subject<'_>) -> Result<T, Denied>,
) -> Result<T, Denied> {
    let of: Vec<&[u8]> =
        sources.into_iter().flatten().flat_map(|of| of.groups().iter().map(|group| &**group)).collect();
    // nginx's own address is not the client's: who is not named is in no network.
    let client = match request.real_ip {
        Header::Absent => None,
        _ => request.client()?,
    };
    let user = identity.map(|identity| identity.user.as_bytes());
    let scope = identity.and_then(|identity| identity.scope());
    judge(&Subject { user, groups: &of, client, scope })
}

/// The groups of the group file and those that the authenticator named, each once.
fn joined(sources: Sources<'_>) -> Box<[u8]> {
    match sources.map(|source| source.filter(|of| !of.is_empty())) {
        [None, None] => Box::default(),
        [Some(of), None] | [None, Some(of)] => of.joined().into(),
        [Some(file), Some(own)] => {
            let both = [file, own].into_iter().flat_map(|of| of.groups().iter().map(|group| &**group));
            Membership::new(both.collect()).joined().into()
        }
    }
}

/// What the proxy said of the request. Where something depends on it, all of it has to be there, once.
pub(super) fn asking<'r>(request: &Subrequest<'r>) -> Result<Asking<'r>, Denied> {
    let text = |header: Header<'r>| match header {
        Header::Once(bytes) => std::str::from_utf8(bytes).map_err(|_| Denied::Incomplete),
        Header::Absent | Header::Unclear => Err(Denied::Incomplete),
    };
    let content_type = text(request.content_type)?.strip_prefix("ct:").ok_or(Denied::Incomplete)?;
    Ok(Asking {
        method: text(request.method)?,
        uri: text(request.uri)?,
        host: text(request.host)?,
        content_type,
        rewrites: request.rewrites,
    })
}
