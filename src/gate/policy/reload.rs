//! Keeping the policy in force the one that is on disk: the file of rules, and the group file. A
//! file with a fault leaves the last good one in force, and says so in the log, on `/readyz` and in
//! the metrics.

use std::sync::Arc;
use std::time::Duration;

use super::Policy;
use super::groups::Groups;
use super::read;
use crate::clock::Moment;
use crate::metrics::Metrics;
use crate::watch::standing::Standing;
use crate::watch::{Freshness, ReadFault, Reload, SETTLE, Seen, Source, Watch};

/// The most bytes of either file. A hundred thousand rules have some ten million.
pub const FILE_MAX: u64 = 16 << 20;

/// How long a group file must have been empty before it counts as the wish to have no groups.
const EMPTY_FOR: Duration = Duration::from_secs(5);

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
    Rules(super::rules::Rules),
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
                let groups = Groups::parse(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
                let said = |fault: super::groups::Fault| format!("{path}:{}: {}", fault.line, fault.what);
                groups.map(Content::Groups).map_err(|faults| faults.into_iter().map(said).collect())
            }
        }
    }
}

/// Watches one of the files.
pub struct Reloader {
    file: File,
    watch: Watch,
    groups_known: GroupsKnown,
    policy: Arc<Policy>,
    standing: Standing,
    metrics: Arc<Metrics>,
}

impl Reloader {
    /// Reads the file for the first time. There is no last good one yet, so a fault is an error.
    pub fn start(
        file: File,
        source: Source,
        groups_known: GroupsKnown,
        policy: Arc<Policy>,
        metrics: Arc<Metrics>,
        now: Moment,
    ) -> Result<Self, PolicyFault> {
        let (watch, text) = Watch::start_settled(source, now, || std::thread::sleep(SETTLE))?;
        let content = file.parse(&watch.source().name(), &text, groups_known).map_err(PolicyFault::Faulty)?;
        policy.replace(content);
        Ok(Self { file, watch, groups_known, policy, standing: Standing::new(file.name()), metrics })
    }

    /// What `/readyz` asks.
    pub fn freshness(&self) -> Arc<Freshness> {
        self.standing.freshness()
    }

    fn fresh(&mut self) {
        if self.standing.fresh(&self.watch.source().path) {
            self.metrics.policy_stale.dec();
        }
    }

    fn refuse(&mut self, faults: &[String]) {
        let (news, was_well) = self.standing.refuse(faults, self.file.phrase());
        if news {
            self.metrics.policy_reload_failures.inc();
        }
        if was_well {
            self.metrics.policy_stale.inc();
        }
    }
}

impl Reload for Reloader {
    fn look(&mut self, now: Moment, forced: bool) {
        match self.watch.look(now, forced) {
            Seen::Nothing => {}
            Seen::InForce => self.fresh(),
            Seen::Fault(fault) => self.refuse(&[fault.to_string()]),
            Seen::New(text, age) => {
                if self.file == File::Groups && text.trim_ascii().is_empty() && age < EMPTY_FOR {
                    return;
                }
                match self.file.parse(&self.watch.source().name(), &text, self.groups_known) {
                    Ok(content) => {
                        self.policy.replace(content);
                        self.watch.taken();
                        self.metrics.policy_reloads.inc();
                        tracing::info!(file = %self.watch.source().path.display(), "{} reloaded", self.file.name());
                        self.fresh();
                    }
                    Err(faults) => {
                        self.watch.passed_over();
                        self.refuse(&faults);
                    }
                }
            }
        }
    }

    fn is_settling(&self) -> bool {
        self.watch.is_settling()
    }
}
