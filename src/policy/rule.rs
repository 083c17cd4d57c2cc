//! One rule: who, from where, and on what.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::permissions::glob::{Glob, Names};
use crate::permissions::host::HostPattern;
use crate::permissions::scope::Scope;
use crate::permissions::{Actions, Object, On};

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
pub enum Everybody {
    /// Only those that it names.
    No,
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
    pub everybody: Everybody,
    /// None of them means from anywhere.
    pub networks: Box<[IpNet]>,
    /// None of them means at any.
    pub hosts: Box<[HostPattern]>,
    /// What it is on.
    pub on: On,
}

/// Who asks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// `None` for who has not proved to be anybody.
    pub user: Option<&'s [u8]>,
    /// The user's groups.
    pub groups: &'s [&'s [u8]],
    /// `None` where the proxy could not say.
    pub client: Option<IpAddr>,
    /// All that may be permitted, whatever is granted; `None` is everything.
    pub scope: Option<&'s Scope>,
}

/// What may be wrong between a rule and a request, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It is about others.
    Who,
    /// It is for other networks.
    Network,
    /// It is for other hosts.
    Host,
    /// It is on something else.
    Object,
}

impl Rule {
    /// The actions that the rule is about in this request; a site knows one action only.
    ///
    /// # Errors
    /// All that keeps the rule from being about this request.
    pub fn applies(&self, subject: &Subject<'_>, host: &str, object: &Object<'_>) -> Result<Actions, Lack> {
        if !self.is_about(subject) {
            return Err(Lack::Who);
        }
        if !self.is_for(subject.client) {
            return Err(Lack::Network);
        }
        if !self.is_at(host) {
            return Err(Lack::Host);
        }
        self.on(subject, object).ok_or(Lack::Object)
    }

    /// Whether it is about this subject.
    pub fn is_about(&self, subject: &Subject<'_>) -> bool {
        let everybody = match self.everybody {
            Everybody::Anyone => true,
            Everybody::Authenticated => subject.user.is_some(),
            Everybody::No => false,
        };
        let named = |user: &[u8]| self.users.binary_search_by(|known| (**known).cmp(user)).is_ok();
        everybody
            || subject.user.is_some_and(named)
            || subject.groups.iter().any(|group| self.names_group(group))
    }

    fn names_group(&self, group: &[u8]) -> bool {
        self.groups.binary_search_by(|known| (**known).cmp(group)).is_ok()
    }

    /// A client whose address is not known gets no grant that is tied to a network, and is hit by
    /// every such denial.
    pub fn is_for(&self, client: Option<IpAddr>) -> bool {
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
    pub fn is_at(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.fits(host))
    }

    /// The actions that it is about on this object, if it is on it.
    pub(super) fn on(&self, subject: &Subject<'_>, object: &Object<'_>) -> Option<Actions> {
        let all = Actions::PULL.and(Actions::PUSH).and(Actions::DELETE).and(Actions::CATALOG);
        match (&self.on, object) {
            (On::Everything, Object::Path(..)) => Some(Actions::PULL),
            (On::Everything, _) => Some(all),
            // To find out whether one's credentials are good takes none of these.
            (On::Registry { .. }, Object::Ping | Object::Path(..)) => None,
            (On::Registry { actions, .. }, Object::Catalog) => {
                Some(actions.common(Actions::CATALOG)).filter(|actions| !actions.is_empty())
            }
            (On::Registry { repositories, actions }, Object::Repository(segments)) => {
                self.fits(repositories, |_| true, segments, subject).then_some(*actions)
            }
            (On::Site { paths, methods }, Object::Path(segments, method)) => {
                let known = methods.is_empty() || methods.iter().any(|one| **one == **method);
                (known && self.fits_path(paths, segments, subject)).then_some(Actions::PULL)
            }
            (On::Site { .. }, _) => None,
        }
    }

    /// Many a site serves `/closed/` as it does `/closed`, so a denial is of both.
    fn fits_path(&self, globs: &[Glob], segments: &[&str], subject: &Subject<'_>) -> bool {
        if self.fits(globs, |_| true, segments, subject) {
            return true;
        }
        match (self.effect, segments) {
            (Effect::Grant, _) | (_, [] | [""]) => false,
            (Effect::Deny, [before @ .., ""]) => self.fits(globs, |_| true, before, subject),
            (Effect::Deny, _) => self.fits(globs, Glob::ends_open, &[segments, &[""]].concat(), subject),
        }
    }

    fn fits(
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
            by = subject.groups.iter().copied().filter(|group| self.names_group(group)).collect();
            &by
        };
        globs
            .iter()
            .filter(|glob| which(glob))
            .any(|glob| glob.matches(segments, Names { user: subject.user, groups }))
    }
}
