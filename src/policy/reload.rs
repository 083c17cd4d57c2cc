//! The policy file and the group file, which are reloaded when they change (see [`crate::reload::reloader`]).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Policy;
use super::groups::{GroupFileError, GroupMemberships};
use super::read::{PolicyFileError, read_policy};
use super::rules::PolicyRules;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reload::utf8_bom::{UTF8_BOM, strip_utf8_bom};
use crate::reload::wrong_format;
use crate::reload::{ReadError, ReloadEvent, Reloadable, SourceFile, UnstableFileMode};

/// Maximum size of either file, in bytes. One hundred thousand rules have about ten million bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 20;

/// The message for a group file without groups, in the log, in `check` and on `/readyz`. Such a file is used like any
/// other.
pub(crate) const NO_GROUPS_MESSAGE: &str = "the group file has no groups, so no user is in a group";

/// The line by which a group file declares that it intentionally has no groups.
pub(crate) const NO_GROUPS_LINE: &[u8] = b"# no groups";

/// The kind of a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyFileKind {
    /// The policy file, with the rules.
    Rules,
    /// The group file.
    Groups,
}

/// The sources of group memberships in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupSource {
    /// No source returns groups.
    Absent,
    /// A source returns groups for every user.
    Present,
    /// A service returns groups, but it is not called for the owner of an API key.
    PresentExceptForApiKeys,
}

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyLoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The file has these errors, each with its place.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// The parsed content of a file.
pub(crate) enum PolicyContent {
    /// The rules of a policy file.
    Rules(PolicyRules),
    /// The groups of a group file.
    Groups(GroupMemberships),
}

impl PolicyFileKind {
    fn log_name(self) -> &'static str {
        match self {
            Self::Rules => "policy file",
            Self::Groups => "group file",
        }
    }

    fn readiness_message(self) -> &'static str {
        match self {
            Self::Rules => "the policy file cannot be used",
            Self::Groups => "the group file cannot be used",
        }
    }

    /// Parses the content of the file at `path`. A rule for groups is rejected if `group_source` has no groups, because a
    /// denial for a group would then never apply.
    ///
    /// # Errors
    /// Returns the errors in the form `path:line:column: message`.
    pub(crate) fn parse(
        self,
        path: &str,
        text: &[u8],
        group_source: GroupSource,
    ) -> Result<PolicyContent, Vec<String>> {
        match self {
            Self::Rules => parse_rules(path, text, group_source).map(PolicyContent::Rules),
            Self::Groups => parse_groups(path, text).map(PolicyContent::Groups),
        }
    }
}

fn parse_rules(path: &str, text: &[u8], group_source: GroupSource) -> Result<PolicyRules, Vec<String>> {
    if let Some(format) = wrong_format::detect_other_format(text) {
        return Err(vec![format!("{path}: not a policy file but {format}")]);
    }
    let text =
        std::str::from_utf8(text).map_err(|_| vec![format!("{path}: not UTF-8; save the file as UTF-8")])?;
    let located =
        |error: PolicyFileError| format!("{path}:{}:{}: {}", error.line, error.column, error.message);
    let rules = read_policy(text.strip_prefix(UTF8_BOM).unwrap_or(text))
        .map_err(|errors| errors.into_iter().map(located).collect::<Vec<_>>())?;
    if group_source == GroupSource::Absent && !rules.referenced_groups().is_empty() {
        return Err(vec![format!(
            "{path}: rules name groups, but there is no group file; set groups.file = \"FILE\""
        )]);
    }
    if group_source == GroupSource::PresentExceptForApiKeys
        && let Some(line) = rules.first_group_deny_line()
    {
        return Err(vec![format!(
            "{path}:{line}: a service names the group of this [[deny]], but is not called for API keys; deny by users, or list the htpasswd file first with api_keys.owners = \"htpasswd\""
        )]);
    }
    Ok(rules)
}

fn parse_groups(path: &str, text: &[u8]) -> Result<GroupMemberships, Vec<String>> {
    if let Some(format) = wrong_format::detect_other_format(text) {
        return Err(vec![format!("{path}: not a group file but {format}")]);
    }
    let located = |error: GroupFileError| format!("{path}:{}: {}", error.line, error.message);
    GroupMemberships::parse(strip_utf8_bom(text)).map_err(|errors| errors.into_iter().map(located).collect())
}

/// A policy file or group file that is reloaded.
pub(crate) struct PolicyFile {
    kind: PolicyFileKind,
    group_source: GroupSource,
    policy: Arc<Policy>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl PolicyFile {
    /// Creates the file without reading it.
    pub(crate) fn new(
        kind: PolicyFileKind,
        group_source: GroupSource,
        policy: Arc<Policy>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { kind, group_source, policy, clock, metrics }
    }
}

impl Reloadable for PolicyFile {
    type Content = PolicyContent;
    type Error = PolicyLoadError;

    fn label(&self) -> &'static str {
        self.kind.log_name()
    }

    /// Keeps the active content while the file is incomplete, if the missing part could be a denial. A policy that is cut
    /// after a `[[grant]]` lacks the next `[[deny]]`. A group file that lacks a line can lack a user of a group that a
    /// `[[deny]]` names.
    fn unstable_mode(&self) -> UnstableFileMode {
        let has_group_deny =
            || self.policy.rules().is_some_and(|rules| rules.first_group_deny_line().is_some());
        match self.kind {
            PolicyFileKind::Groups if !has_group_deny() => UnstableFileMode::UseWholeLines,
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

    fn error_lines(&self, error: &PolicyLoadError) -> Vec<String> {
        match error {
            PolicyLoadError::Unreadable(error) => vec![error.to_string()],
            PolicyLoadError::Invalid(errors) => errors.clone(),
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
