//! The policy's two files as ones that are kept in force: see [`crate::reload::reloader`].

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Policy;
use super::groups::GroupMemberships;
use super::read;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reload::utf8_bom::{UTF8_BOM, strip_utf8_bom};
use crate::reload::wrong_format;
use crate::reload::{ReadError, ReloadEvent, Reloadable, SourceFile, UnstableFileMode};

/// The most bytes of either file. A hundred thousand rules have some ten million.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// What is said of a group file without groups, in the log, by `check` and on `/readyz`. It is in force like any
/// other.
pub const NO_GROUPS_MESSAGE: &str = "the group file has no groups, so nobody is in one";

/// The line by which a group file says itself that it has no groups.
pub const NO_GROUPS_LINE: &[u8] = b"# no groups";

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFileKind {
    /// The rules.
    Rules,
    /// The groups.
    Groups,
}

/// Whether somebody says who is in which group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSource {
    /// Nobody does.
    Absent,
    /// Somebody does.
    Present,
    /// A service does, but not of an owner of whom there is only a key.
    PresentExceptForApiKeys,
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyLoadError {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// It has these faults, each with its place.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// What a file holds.
pub enum PolicyContent {
    /// Rules.
    Rules(crate::policy::rules::PolicyRules),
    /// Groups.
    Groups(GroupMemberships),
}

impl PolicyFileKind {
    fn log_name(self) -> &'static str {
        match self {
            Self::Rules => "policy file",
            Self::Groups => "groups file",
        }
    }

    fn readiness_message(self) -> &'static str {
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
    pub fn parse(self, path: &str, text: &[u8], known: GroupSource) -> Result<PolicyContent, Vec<String>> {
        match self {
            Self::Rules => {
                if let Some(what) = wrong_format::detect_other_format(text) {
                    return Err(vec![format!("{path}: it is no policy but {what}")]);
                }
                let text = std::str::from_utf8(text).map_err(|_| vec![format!("{path}: it is not UTF-8")])?;
                let rules = read::read_policy(text.strip_prefix(UTF8_BOM).unwrap_or(text));
                let said =
                    |f: read::PolicyFileError| format!("{path}:{}:{}: {}", f.line, f.column, f.message);
                let rules = rules.map_err(|faults| faults.into_iter().map(said).collect::<Vec<_>>())?;
                if known == GroupSource::Absent && !rules.referenced_groups().is_empty() {
                    return Err(vec![format!(
                        "{path}: it names groups, and there is no group file: set groups = \"FILE\""
                    )]);
                }
                if known == GroupSource::PresentExceptForApiKeys
                    && let Some(line) = rules.first_group_deny_line()
                {
                    return Err(vec![format!(
                        "{path}:{line}: it denies to a group that a service names, and of who comes with a key the service is not asked: deny by users, or put the htpasswd file before the service with api_keys.owners = \"htpasswd\""
                    )]);
                }
                Ok(PolicyContent::Rules(rules))
            }
            Self::Groups => {
                if let Some(what) = wrong_format::detect_other_format(text) {
                    return Err(vec![format!("{path}: it is no group file but {what}")]);
                }
                let groups = GroupMemberships::parse(strip_utf8_bom(text));
                let said = |fault: crate::policy::groups::GroupFileError| {
                    format!("{path}:{}: {}", fault.line, fault.message)
                };
                groups.map(PolicyContent::Groups).map_err(|faults| faults.into_iter().map(said).collect())
            }
        }
    }
}

/// One of the files.
pub struct PolicyFile {
    kind: PolicyFileKind,
    group_source: GroupSource,
    policy: Arc<Policy>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl PolicyFile {
    /// A file that is not read yet.
    pub fn new(
        file: PolicyFileKind,
        groups_known: GroupSource,
        policy: Arc<Policy>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { kind: file, group_source: groups_known, policy, clock, metrics }
    }
}

impl Reloadable for PolicyFile {
    type Content = PolicyContent;
    type Error = PolicyLoadError;

    fn label(&self) -> &'static str {
        self.kind.log_name()
    }

    /// A policy that is cut behind a `[[grant]]` lacks the `[[deny]]`, and a group file that lacks a line lacks the
    /// user whom a `[[deny]]` of a group is about.
    fn unstable_mode(&self) -> UnstableFileMode {
        let denies = || self.policy.rules().is_some_and(|rules| rules.first_group_deny_line().is_some());
        match self.kind {
            PolicyFileKind::Groups if !denies() => UnstableFileMode::UseWholeLines,
            PolicyFileKind::Rules | PolicyFileKind::Groups => UnstableFileMode::KeepActive,
        }
    }

    fn no_entries_line(&self) -> &'static [u8] {
        match self.kind {
            PolicyFileKind::Groups => NO_GROUPS_LINE,
            PolicyFileKind::Rules => b"",
        }
    }

    fn empty_file_message(&self) -> Option<&'static str> {
        match self.kind {
            PolicyFileKind::Groups => Some(NO_GROUPS_MESSAGE),
            PolicyFileKind::Rules => None,
        }
    }

    fn parse(
        &self,
        source: &SourceFile,
        text: &mut Zeroizing<Vec<u8>>,
    ) -> Result<PolicyContent, PolicyLoadError> {
        self.kind.parse(&source.display_path(), text, self.group_source).map_err(PolicyLoadError::Invalid)
    }

    fn activate(&mut self, content: PolicyContent, source: &SourceFile, first: bool) {
        self.policy.replace(content);
        if !first {
            self.policy.record_change(self.clock.unix_seconds());
            tracing::info!(file = %source.path.display(), "{} reloaded", self.kind.log_name());
        }
    }

    fn error_lines(&self, fault: &PolicyLoadError) -> Vec<String> {
        match fault {
            PolicyLoadError::Unreadable(fault) => vec![fault.to_string()],
            PolicyLoadError::Invalid(faults) => faults.clone(),
        }
    }

    fn readiness_message(&self, _: &PolicyLoadError) -> &'static str {
        self.kind.readiness_message()
    }

    fn record_event(&self, event: ReloadEvent) {
        match event {
            ReloadEvent::Reloaded => drop(self.metrics.policy_reloads.inc()),
            ReloadEvent::Failed => drop(self.metrics.policy_reload_failures.inc()),
            ReloadEvent::BecameStale => drop(self.metrics.policy_outdated_files.inc()),
            ReloadEvent::BecameCurrent => drop(self.metrics.policy_outdated_files.dec()),
        }
    }
}
