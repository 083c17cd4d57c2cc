//! One rule: who, from where, and on what.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::permissions::api_key_scope::ApiKeyScope;
use crate::permissions::glob::{Glob, PlaceholderValues};
use crate::permissions::host::HostPattern;
use crate::permissions::{Actions, Resource, ResourcePattern};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It permits. Grants add up.
    Grant,
    /// It forbids, whatever is granted.
    Deny,
}

/// Whom a rule is about, besides those that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleWho {
    /// Only those that it names.
    NamedOnly,
    /// Whoever has proved who he is.
    Authenticated,
    /// Also who has not.
    Anyone,
}

/// One `[[grant]]` or `[[deny]]` of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it begins in the file.
    pub line: usize,
    /// What it does.
    pub effect: Effect,
    /// Sorted.
    pub users: Box<[Box<[u8]>]>,
    /// Sorted.
    pub groups: Box<[Box<[u8]>]>,
    /// Whom else it is about.
    pub who: RuleWho,
    /// None of them means from anywhere.
    pub networks: Box<[IpNet]>,
    /// None of them means at any.
    pub hosts: Box<[HostPattern]>,
    /// What it is on.
    pub resource: ResourcePattern,
}

/// Who asks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// `None` for who has not proved to be anybody.
    pub user: Option<&'s [u8]>,
    /// The user's groups.
    pub groups: &'s [&'s [u8]],
    /// `None` where the proxy could not say.
    pub client_address: Option<IpAddr>,
    /// All that may be permitted, whatever is granted; `None` is everything.
    pub api_key_scope: Option<&'s ApiKeyScope>,
}

/// What may be wrong between a rule and a request, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleMismatch {
    /// It is about others.
    Subject,
    /// It is for other networks.
    Network,
    /// It is for other hosts.
    Host,
    /// It is on something else.
    Resource,
}

impl Rule {
    /// The actions that the rule is about in this request; a site knows one action only.
    ///
    /// # Errors
    /// All that keeps the rule from being about this request.
    pub fn applicable_actions(
        &self,
        subject: &Subject<'_>,
        host: &str,
        object: &Resource<'_>,
    ) -> Result<Actions, RuleMismatch> {
        if !self.matches_subject(subject) {
            return Err(RuleMismatch::Subject);
        }
        if !self.matches_network(subject.client_address) {
            return Err(RuleMismatch::Network);
        }
        if !self.matches_host(host) {
            return Err(RuleMismatch::Host);
        }
        self.actions_on(subject, object).ok_or(RuleMismatch::Resource)
    }

    /// Whether it is about this subject.
    pub fn matches_subject(&self, subject: &Subject<'_>) -> bool {
        let everybody = match self.who {
            RuleWho::Anyone => true,
            RuleWho::Authenticated => subject.user.is_some(),
            RuleWho::NamedOnly => false,
        };
        let named = |user: &[u8]| self.users.binary_search_by(|known| (**known).cmp(user)).is_ok();
        everybody
            || subject.user.is_some_and(named)
            || subject.groups.iter().any(|group| self.has_group(group))
    }

    fn has_group(&self, group: &[u8]) -> bool {
        self.groups.binary_search_by(|known| (**known).cmp(group)).is_ok()
    }

    /// A client whose address is not known gets no grant that is tied to a network, and is hit by
    /// every such denial.
    pub fn matches_network(&self, client: Option<IpAddr>) -> bool {
        match client {
            _ if self.networks.is_empty() => true,
            Some(address) => {
                let address = address.to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
            None => self.effect == Effect::Deny,
        }
    }

    /// Whether it is for this host, which is in lower case.
    pub fn matches_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// The actions that it is about on this object, if it is on it.
    pub(super) fn actions_on(&self, subject: &Subject<'_>, object: &Resource<'_>) -> Option<Actions> {
        let all = Actions::PULL.union(Actions::PUSH).union(Actions::DELETE).union(Actions::CATALOG);
        match (&self.resource, object) {
            (ResourcePattern::Everything, Resource::Path(..)) => Some(Actions::PULL),
            (ResourcePattern::Everything, _) => Some(all),
            // To find out whether one's credentials are good takes none of these.
            (ResourcePattern::Registry { .. }, Resource::Ping | Resource::Path(..)) => None,
            (ResourcePattern::Registry { actions, .. }, Resource::Catalog) => {
                Some(actions.intersection(Actions::CATALOG)).filter(|actions| !actions.is_empty())
            }
            (ResourcePattern::Registry { repositories, actions }, Resource::Repository(segments)) => {
                self.matches_any_glob(repositories, |_| true, segments, subject).then_some(*actions)
            }
            (ResourcePattern::Site { paths, methods }, Resource::Path(segments, method)) => {
                let known = methods.is_empty() || methods.iter().any(|one| **one == **method);
                (known && self.matches_path(paths, segments, subject)).then_some(Actions::PULL)
            }
            (ResourcePattern::Site { .. }, _) => None,
        }
    }

    /// Many a site serves `/closed/` as it does `/closed`, so a denial is of both.
    fn matches_path(&self, globs: &[Glob], segments: &[&str], subject: &Subject<'_>) -> bool {
        if self.matches_any_glob(globs, |_| true, segments, subject) {
            return true;
        }
        match (self.effect, segments) {
            (Effect::Grant, _) | (_, [] | [""]) => false,
            (Effect::Deny, [before @ .., ""]) => self.matches_any_glob(globs, |_| true, before, subject),
            (Effect::Deny, _) => {
                self.matches_any_glob(globs, Glob::has_trailing_slash, &[segments, &[""]].concat(), subject)
            }
        }
    }

    fn matches_any_glob(
        &self,
        globs: &[Glob],
        which: fn(&Glob) -> bool,
        segments: &[&str],
        subject: &Subject<'_>,
    ) -> bool {
        if globs.is_empty() {
            return true;
        }
        // `{group}` is one by which the rule is about him, where it names any.
        let by: Vec<&[u8]>;
        let groups = if self.groups.is_empty() || subject.groups.is_empty() {
            subject.groups
        } else {
            by = subject.groups.iter().copied().filter(|group| self.has_group(group)).collect();
            &by
        };
        globs
            .iter()
            .filter(|glob| which(glob))
            .any(|glob| glob.matches(segments, PlaceholderValues { user: subject.user, groups }))
    }
}
