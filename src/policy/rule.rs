//! A rule of the policy: the users, networks, hosts and resources that it applies to.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::permissions::actions::Actions;
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::permissions::glob::{Glob, PlaceholderValues};
use crate::permissions::host::HostPattern;
use crate::permissions::resource::{Resource, ResourcePattern};

/// The effect of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The rule permits actions. Grants add up.
    Grant,
    /// The rule denies actions, even if a grant permits them.
    Deny,
}

/// The users that a rule applies to in addition to those that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleWho {
    /// The rule applies only to the users and groups that it names.
    NamedOnly,
    /// The rule applies to every authenticated user.
    Authenticated,
    /// The rule applies to every request, also without credentials.
    Anyone,
}

/// A `[[grant]]` or `[[deny]]` of the policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The line in the file where the rule starts.
    pub(crate) line: usize,
    /// The effect of the rule.
    pub(crate) effect: Effect,
    /// The user names, sorted.
    pub(crate) users: Box<[Box<[u8]>]>,
    /// The group names, sorted.
    pub(crate) groups: Box<[Box<[u8]>]>,
    /// The users that the rule applies to in addition to `users` and `groups`.
    pub(crate) who: RuleWho,
    /// The networks of clients. An empty list means every network.
    pub(crate) networks: Box<[IpNet]>,
    /// The hosts. An empty list means every host.
    pub(crate) hosts: Box<[HostPattern]>,
    /// The resources.
    pub(crate) resource: ResourcePattern,
}

/// The subject of a request: the user and the address of the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'s> {
    /// The authenticated user; `None` for an anonymous request.
    pub(crate) user: Option<&'s [u8]>,
    /// The groups of the user.
    pub(crate) groups: &'s [&'s [u8]],
    /// The address of the client; `None` if the proxy does not send it.
    pub(crate) client_address: Option<IpAddr>,
    /// The scope of the API key, which limits the grants; `None` means no limit.
    pub(crate) api_key_scope: Option<&'s ApiKeyScope>,
}

/// The first part of a rule that does not match a request. The variants are in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleMismatch {
    /// The rule applies to other users.
    Subject,
    /// The rule applies to other networks.
    Network,
    /// The rule applies to other hosts.
    Host,
    /// The rule applies to other resources.
    Resource,
}

impl Rule {
    /// Returns the actions of the rule if it applies to a request. For a site, the only action is [`Actions::PULL`].
    ///
    /// # Errors
    /// Returns the first part of the rule that does not match.
    pub(crate) fn applicable_actions(
        &self,
        subject: &Subject<'_>,
        host: &str,
        resource: &Resource<'_>,
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
        self.actions_on(subject, resource).ok_or(RuleMismatch::Resource)
    }

    /// Returns true if the rule applies to this subject, regardless of its network.
    pub(crate) fn matches_subject(&self, subject: &Subject<'_>) -> bool {
        let applies_to_all = match self.who {
            RuleWho::Anyone => true,
            RuleWho::Authenticated => subject.user.is_some(),
            RuleWho::NamedOnly => false,
        };
        let is_listed = |user: &[u8]| self.users.binary_search_by(|known| (**known).cmp(user)).is_ok();
        applies_to_all
            || subject.user.is_some_and(is_listed)
            || subject.groups.iter().any(|group| self.has_group(group))
    }

    fn has_group(&self, group: &[u8]) -> bool {
        self.groups.binary_search_by(|known| (**known).cmp(group)).is_ok()
    }

    /// Returns true if the rule applies to clients with this address. If the address is unknown, no grant with networks
    /// applies, and every denial with networks does.
    pub(crate) fn matches_network(&self, client_address: Option<IpAddr>) -> bool {
        match client_address {
            _ if self.networks.is_empty() => true,
            Some(address) => {
                let address = address.to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
            None => self.effect == Effect::Deny,
        }
    }

    /// Returns true if the rule applies to this host, which must be in lower case.
    pub(crate) fn matches_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Returns the actions of the rule on this resource; `None` if it applies to other resources.
    pub(super) fn actions_on(&self, subject: &Subject<'_>, resource: &Resource<'_>) -> Option<Actions> {
        let all = Actions::PULL.union(Actions::PUSH).union(Actions::DELETE).union(Actions::CATALOG);
        match (&self.resource, resource) {
            (ResourcePattern::Everything, Resource::Path(..)) => Some(Actions::PULL),
            (ResourcePattern::Everything, _) => Some(all),
            // A ping requires no action of a registry rule.
            (ResourcePattern::Registry { .. }, Resource::Ping | Resource::Path(..)) => None,
            (ResourcePattern::Registry { actions, .. }, Resource::Catalog) => {
                Some(actions.intersection(Actions::CATALOG)).filter(|actions| !actions.is_empty())
            }
            (ResourcePattern::Registry { repositories, actions }, Resource::Repository(segments)) => {
                self.matches_any_glob(repositories, |_| true, segments, subject).then_some(*actions)
            }
            (ResourcePattern::Site { paths, methods }, Resource::Path(segments, method)) => {
                let is_method = methods.is_empty() || methods.iter().any(|known| **known == **method);
                (is_method && self.matches_path(paths, segments, subject)).then_some(Actions::PULL)
            }
            (ResourcePattern::Site { .. }, _) => None,
        }
    }

    /// Returns true if the rule applies to this path. Many sites serve `/closed/` and `/closed` as one resource, so a
    /// denial of one also applies to the other.
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
        include: fn(&Glob) -> bool,
        segments: &[&str],
        subject: &Subject<'_>,
    ) -> bool {
        if globs.is_empty() {
            return true;
        }
        // If the rule names groups, `{group}` represents only those.
        let named_groups: Vec<&[u8]>;
        let groups = if self.groups.is_empty() || subject.groups.is_empty() {
            subject.groups
        } else {
            named_groups = subject.groups.iter().copied().filter(|group| self.has_group(group)).collect();
            &named_groups
        };
        globs
            .iter()
            .filter(|glob| include(glob))
            .any(|glob| glob.matches(segments, PlaceholderValues { user: subject.user, groups }))
    }
}
