//! The policy's two files as ones that are kept in force: see [`crate::reload::reloader`].

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Policy;
use super::groups::Groups;
use super::read;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reload::{Event, FileReloader, ReadFault, Reloadable, Source, Unsettled, foreign};

/// The most bytes of either file. A hundred thousand rules have some ten million.
pub const FILE_MAX: u64 = 16 << 20;

/// What is said of a group file without groups, in the log, by `check` and on `/readyz`. It is in force like any
/// other.
pub const EMPTIED: &str = "the group file has no groups, so nobody is in one";

/// The line by which a group file says itself that it has no groups.
pub const NONE_LINE: &[u8] = b"# no groups";

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The rules.
    Rules,
    /// The groups.
    Groups,
}

/// Whether somebody says who is in which group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupsKnown {
    /// Nobody does.
    No,
    /// Somebody does.
    Yes,
    /// A service does, but not of an owner of whom there is only a key.
    NotOfKeys,
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFault {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadFault),
    /// It has these faults, each with its place.
    #[error("{}", .0.join("\n"))]
    Faulty(Vec<String>),
}

/// What a file holds.
pub enum Content {
    /// Rules.
    Rules(crate::policy::rules::Rules),
    /// Groups.
    Groups(Groups),
}

impl File {
    fn name(self) -> &'static str {
        match self {
            Self::Rules => "policy file",
            Self::Groups => "groups file",
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Rules => "the policy file can't be used",
            Self::Groups => "the group file can't be used",
        }
    }

    /// Reads what was read from the file at `path`. A rule on groups means nothing where nobody says who is
    /// in one, and a denial would then never apply.
    ///
    /// # Errors
    /// Every fault, as `path:line:column: what`.
    pub fn parse(self, path: &str, text: &[u8], known: GroupsKnown) -> Result<Content, Vec<String>> {
        match self {
            Self::Rules => {
                if let Some(what) = foreign::not_lines(text) {
                    return Err(vec![format!("{path}: it is no policy but {what}")]);
                }
                let text = std::str::from_utf8(text).map_err(|_| vec![format!("{path}: it is not UTF-8")])?;
                let rules = read::read(text.strip_prefix('\u{feff}').unwrap_or(text));
                let said = |f: read::Fault| format!("{path}:{}:{}: {}", f.line, f.column, f.what);
                let rules = rules.map_err(|faults| faults.into_iter().map(said).collect::<Vec<_>>())?;
                if known == GroupsKnown::No && !rules.groups().is_empty() {
                    return Err(vec![format!(
                        "{path}: it names groups, and there is no group file: set groups = \"FILE\""
                    )]);
                }
                if known == GroupsKnown::NotOfKeys
                    && let Some(line) = rules.denies_groups()
                {
                    return Err(vec![format!(
                        "{path}:{line}: it denies to a group that a service names, and of who comes with a key the service is not asked: deny by users, or put the htpasswd file before the service with keys_owners = \"htpasswd\""
                    )]);
                }
                Ok(Content::Rules(rules))
            }
            Self::Groups => {
                if let Some(what) = foreign::not_lines(text) {
                    return Err(vec![format!("{path}: it is no group file but {what}")]);
                }
                let groups = Groups::parse(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
                let said =
                    |fault: crate::policy::groups::Fault| format!("{path}:{}: {}", fault.line, fault.what);
                groups.map(Content::Groups).map_err(|faults| faults.into_iter().map(said).collect())
            }
        }
    }
}

/// Keeps one of the files in force.
pub type Reloader = FileReloader<PolicyFile>;

/// One of the files.
pub struct PolicyFile {
    file: File,
    groups_known: GroupsKnown,
    policy: Arc<Policy>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl PolicyFile {
    /// A file that is not read yet.
    pub fn new(
        file: File,
        groups_known: GroupsKnown,
        policy: Arc<Policy>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { file, groups_known, policy, clock, metrics }
    }
}

impl Reloadable for PolicyFile {
    type Content = Content;
    type Fault = PolicyFault;

    fn name(&self) -> &'static str {
        self.file.name()
    }

    /// A policy that is cut behind a `[[grant]]` lacks the `[[deny]]`, and a group file that lacks a line lacks the
    /// user whom a `[[deny]]` of a group is about.
    fn unsettled(&self) -> Unsettled {
        let denies = || self.policy.rules().is_some_and(|rules| rules.denies_groups().is_some());
        match self.file {
            File::Groups if !denies() => Unsettled::WholeLines,
            File::Rules | File::Groups => Unsettled::Nothing,
        }
    }

    fn none_line(&self) -> &'static [u8] {
        match self.file {
            File::Groups => NONE_LINE,
            File::Rules => b"",
        }
    }

    fn emptied(&self) -> Option<&'static str> {
        match self.file {
            File::Groups => Some(EMPTIED),
            File::Rules => None,
        }
    }

    fn parse(&self, source: &Source, text: &mut Zeroizing<Vec<u8>>) -> Result<Content, PolicyFault> {
        self.file.parse(&source.name(), text, self.groups_known).map_err(PolicyFault::Faulty)
    }

    fn replace(&mut self, content: Content, source: &Source, first: bool) {
        self.policy.replace(content);
        if !first {
            self.policy.note_change(self.clock.unix());
            tracing::info!(file = %source.path.display(), "{} reloaded", self.file.name());
        }
    }

    fn faults(&self, fault: &PolicyFault) -> Vec<String> {
        match fault {
            PolicyFault::Unreadable(fault) => vec![fault.to_string()],
            PolicyFault::Faulty(faults) => faults.clone(),
        }
    }

    fn phrase(&self, _: &PolicyFault) -> &'static str {
        self.file.phrase()
    }

    fn count(&self, event: Event) {
        match event {
            Event::Reloaded => drop(self.metrics.policy_reloads.inc()),
            Event::Failed => drop(self.metrics.policy_reload_failures.inc()),
            Event::Stale => drop(self.metrics.policy_stale.inc()),
            Event::Fresh => drop(self.metrics.policy_stale.dec()),
        }
    }
}
