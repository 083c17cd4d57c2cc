//! The check of the policy file and the group file.

use std::path::Path;

use crate::cli::explain::evaluation::load_policy;
use crate::cli::output::print_line;
use crate::config::table::ConfigValues;
use crate::identity::sanitize_for_display;
use crate::policy::Policy;
use crate::policy::reload::{self, FILE_BYTES_MAX};
use crate::policy::rules::{PolicyRules, RegistryHosts};
use crate::reload::{SourceFile, displayable_path, is_unexpectedly_empty};

/// Note for a grant to anyone in a registry without tokens. Docker clients request `/v2/` without credentials first,
/// and never send credentials if that request is allowed, so it is always challenged.
const ANYONE_GRANT_NOTE: &str = "a grant to anyone works for curl, crane and browsers only; docker, podman and skopeo request /v2/ first, are challenged, and fail without a login. Anonymous docker pulls require the registry token protocol";

/// Note for a grant to anyone beside an upstream with credentials.
const ANYONE_GRANT_UPSTREAM_NOTE: &str = "a request without credentials is challenged if its [[upstream]] has credentials, even if a grant to anyone permits it, unless the [[upstream]] sets allow_anonymous = true";

/// Warning for a grant of push to users that no grant permits to pull.
const PUSH_WITHOUT_PULL_WARNING: &str = "a push also requires pull, and no grant permits pull to all users of this grant on the same repositories; add \"pull\" to its actions";

/// Prints the errors and notes of both files. Returns the policy if there are no errors.
pub(super) fn check_policy(config: &ConfigValues) -> Option<Policy> {
    let policy = match load_policy(config, false) {
        Ok(policy) => policy,
        Err(errors) => {
            errors.iter().for_each(|error| print_line(error));
            return None;
        }
    };
    if let Some(path) = &config.groups.file {
        let source = SourceFile { path: path.clone(), max_bytes: FILE_BYTES_MAX };
        if source.read().is_ok_and(|text| is_unexpectedly_empty(&text, reload::NO_GROUPS_LINE)) {
            print_line(&format!("{}: note: {}", path.display(), reload::NO_GROUPS_MESSAGE));
        }
    }
    if let (Some(rules), Some(path)) = (policy.rules(), &config.policy.file) {
        print_policy_notes(config, &policy, &rules, path);
    }
    Some(policy)
}

fn print_policy_notes(config: &ConfigValues, policy: &Policy, rules: &PolicyRules, path: &Path) {
    let name = path.display();
    print_line(&format!(
        "{name}: rules: {}; users in groups: {}",
        rules.rules().len(),
        policy.groups().user_count()
    ));
    if !config.has_groups_from_remote_sources() {
        for group in rules.referenced_groups() {
            if !policy.groups().has_members(group) {
                let group = sanitize_for_display(group);
                print_line(&format!("{name}: note: a rule names the group {group}, which has no members"));
            }
        }
    }
    let requires_user =
        config.upstreams.iter().any(|upstream| upstream.has_credentials() && !upstream.allow_anonymous);
    if rules.has_anonymous_grant() && requires_user {
        print_line(&format!("{name}: note: {ANYONE_GRANT_UPSTREAM_NOTE}"));
    }
    for line in rules.push_without_pull_lines(&policy.groups()) {
        print_line(&format!("{}:{line}: warning: {PUSH_WITHOUT_PULL_WARNING}", displayable_path(path)));
    }
    let issues_tokens = config.token.signing_keys.is_some();
    if rules.has_anonymous_grant() && !issues_tokens && *rules.registries() != RegistryHosts::None {
        print_line(&format!("{name}: note: {ANYONE_GRANT_NOTE}"));
    }
}
