//! `doorward check`: every fault of the settings and of the files that they name, before anything
//! starts; and with `--probe`, whether the services are there.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::check_auth_backends;
use super::check_upstreams;
use super::expectations;
use super::signing_key;
use super::{explain, print_error, print_line};
use crate::authn::api_key;
use crate::authn::api_key::reload::ApiKeyFileError;
use crate::authn::hash::AllowedFormats;
use crate::authn::hash_pool::HashPoolSizing;
use crate::authn::htpasswd::file::{FINDINGS_MAX, HtpasswdParseOptions, UserIndex, parse};
use crate::authn::htpasswd::validate::{
    EMPTY_FILE_MESSAGE, HtpasswdFileError, NO_USERS_LINE, parse_and_validate,
};
use crate::config::table::ConfigValues;
use crate::identity::sanitize_for_display;
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::policy::reload::{self, FILE_BYTES_MAX};
use crate::policy::rules::RegistryHosts;
use crate::reload::wrong_format;
use crate::reload::{SourceFile, displayable_path, is_unexpectedly_empty};
use crate::server::StartError;

/// What a grant to anyone is to docker's tools (they ping `/v2/` without credentials, and send none
/// ever after if that is not refused).
const ANYONE_GRANT_NOTE: &str = "a grant to anyone is for curl, crane and browsers; docker, podman and skopeo ask /v2/ first, are challenged there, and give up without a log-in. For anonymous docker pulls the registry's token protocol is needed";

/// What a grant to anyone is where an upstream wants credentials.
const ANYONE_GRANT_UPSTREAM_NOTE: &str = "who has shown no credentials is challenged where an [[upstream]] has some, whatever a grant to anyone permits, unless it says anyone = true";

/// What a grant of push is where nobody grants pull.
const PUSH_WITHOUT_PULL_WARNING: &str = "a push requires pull too, and no grant permits pull to all whom this one permits push, on the same repositories; add \"pull\" to its actions";

/// The same of a key's scope.
pub(super) const SCOPE_PUSH_WITHOUT_PULL_WARNING: &str =
    "a push requires pull too, and the scope permits push alone; write pull,push:REPOSITORY";

/// What a listener beyond loopback is.
const NO_TLS_WARNING: &str = "other machines can reach this listener, and it has no TLS: whoever can read the network between it and its peers reads credentials";

/// Scopes of keys that are looked at for what they lack.
const SCOPES_MAX: usize = 10_000;

/// From which difference of bcrypt costs on `check` speaks of it: eight times the work.
const BCRYPT_COST_SPREAD_MIN: u8 = 3;

/// Checks, tells, and returns 1 where something is wrong. `expectations` is a file of what the policy
/// should say; with `ask` the services are asked. Of settings that are not `whole`, what there is is
/// checked; so are `files` that the command line names, without settings that `serve` could start with.
pub(super) fn run_check(
    settings: &ConfigValues,
    expectations: Option<&str>,
    ask: bool,
    whole: bool,
    files: bool,
) -> ExitCode {
    // All of it, so that every fault is told at once.
    let nobody = settings.authenticators.is_empty() && expectations.is_none() && whole && !files;
    let users = if settings.htpasswd.file.is_some() || nobody { check_htpasswd(settings) } else { true };
    if settings.authenticators.is_empty() && files {
        print_line(
            "note: no htpasswd file and no [[authenticator]] is set, so only the files that are named were checked",
        );
    }
    let services = check_auth_backends::check_auth_backends(settings, ask && whole);
    let keys = check_api_keys(settings);
    let upstreams = check_upstreams::check_upstreams(settings, ask && whole);
    let tokens = settings.token.signing_keys.as_deref().is_none_or(signing_key::check_signing_keys);
    let policy = check_policy(settings, expectations);
    for (key, address) in settings.non_loopback_listeners() {
        print_line(&format!("{key}: warning: {address}: {NO_TLS_WARNING}"));
    }
    if users && services && keys && upstreams && tokens && policy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn check_policy(settings: &ConfigValues, expectations: Option<&str>) -> bool {
    let policy = match explain::load_policy(settings, false) {
        Ok(policy) => policy,
        Err(faults) => {
            faults.iter().for_each(|fault| print_line(fault));
            return false;
        }
    };
    if let Some(path) = &settings.groups.file {
        let source = SourceFile { path: path.clone(), max_bytes: FILE_BYTES_MAX };
        if source.read().is_ok_and(|text| is_unexpectedly_empty(&text, reload::NO_GROUPS_LINE)) {
            print_line(&format!("{}: note: {}", path.display(), reload::NO_GROUPS_MESSAGE));
        }
    }
    if let (Some(rules), Some(path)) = (policy.rules(), &settings.policy.file) {
        print_line(&format!(
            "{}: rules: {}; users in groups: {}",
            path.display(),
            rules.rules().len(),
            policy.groups().user_count()
        ));
        let of_file = !settings.has_groups_from_auth_backends();
        for group in rules
            .referenced_groups()
            .into_iter()
            .filter(|group| of_file && !policy.groups().has_members(group))
        {
            print_line(&format!(
                "{}: note: nobody is in the group {}, which a rule names",
                path.display(),
                sanitize_for_display(group)
            ));
        }
        if rules.has_anonymous_grant()
            && settings.upstreams.iter().any(|one| one.has_credentials() && !one.allow_anonymous)
        {
            print_line(&format!("{}: note: {ANYONE_GRANT_UPSTREAM_NOTE}", path.display()));
        }
        for line in rules.push_without_pull_lines(&policy.groups()) {
            print_line(&format!("{}:{line}: warning: {PUSH_WITHOUT_PULL_WARNING}", displayable_path(path)));
        }
        let by_tokens = settings.token.signing_keys.is_some();
        if rules.has_anonymous_grant() && !by_tokens && *rules.registries() != RegistryHosts::All(false) {
            print_line(&format!("{}: note: {ANYONE_GRANT_NOTE}", path.display()));
        }
    }
    let Some(path) = expectations else { return true };
    let source = SourceFile { path: path.into(), max_bytes: FILE_BYTES_MAX };
    let text = match source.read() {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(fault) => {
            print_error(&fault.to_string());
            return false;
        }
    };
    let (met, faults) =
        expectations::check_expectations(&policy, settings.policy.file.as_deref(), path, &text);
    faults.iter().for_each(|fault| print_line(fault));
    print_line(&format!("{path}: as expected: {met}; otherwise: {}", faults.len()));
    faults.is_empty()
}

/// Says whether every line of the file of keys can be used.
fn check_api_keys(settings: &ConfigValues) -> bool {
    let Some(path) = settings.api_keys.file.clone() else { return true };
    let source = SourceFile { path, max_bytes: settings.api_keys.max_bytes };
    let name = source.display_path();
    let text = match source.read() {
        Ok(text) => text,
        Err(fault) => {
            print_error(&fault.to_string());
            return false;
        }
    };
    let parsed = api_key::file::parse(&text, &"keys".into(), None);
    if let Some(what) =
        wrong_format::detect_binary(&text).filter(|_| parsed.index.is_empty() && parsed.invalid_lines > 0)
    {
        print_error(&ApiKeyFileError::NotApiKeyFile(name, what).to_string());
        return false;
    }
    for fault in &parsed.line_errors {
        print_line(&format!("{name}:{}: {}", fault.line, fault.message));
    }
    for (line, scope) in api_key_scopes(&text) {
        if scope.has_push_without_pull() {
            print_line(&format!("{name}:{line}: warning: {SCOPE_PUSH_WITHOUT_PULL_WARNING}"));
        }
    }
    let good = parsed.index.records().count();
    print_line(&format!("{name}: keys: {good}; bad lines: {}", parsed.invalid_lines));
    if is_unexpectedly_empty(&text, api_key::file::NO_KEYS_LINE) {
        print_line(&format!("{name}: note: {}", api_key::reload::EMPTY_FILE_MESSAGE));
    }
    let well = parsed.invalid_lines == 0;
    match api_key::reload::validate(&source, parsed) {
        Ok(_) => well,
        Err(fault) => {
            print_error(&fault.to_string());
            false
        }
    }
}

/// The scopes of a file of keys, each with the number of its line; the first few of them.
fn api_key_scopes(text: &[u8]) -> Vec<(usize, ApiKeyScope)> {
    let scope = |(number, line): (usize, &[u8])| {
        let line = api_key::edit::parse_lines(line).next()?;
        let scope = line.scope?;
        Some((number, ApiKeyScope::parse(scope.iter().map(String::as_str)).ok()?))
    };
    (1..).zip(text.split(|b| *b == b'\n')).filter_map(scope).take(SCOPES_MAX).collect()
}

fn check_htpasswd(settings: &ConfigValues) -> bool {
    let Some(path) = settings.htpasswd.file.clone() else {
        print_error(&StartError::NoAuthenticatorConfigured.to_string());
        return false;
    };
    let source = SourceFile { path: path.clone(), max_bytes: settings.htpasswd.max_bytes };
    match check_htpasswd_file(
        &source,
        &path,
        settings.htpasswd.allowed_formats(),
        settings.hash.pool_sizing(),
    ) {
        Ok(whole) => whole,
        Err(fault) => {
            print_error(&fault.to_string());
            false
        }
    }
}

/// Says whether every line can be used.
fn check_htpasswd_file(
    source: &SourceFile,
    path: &Path,
    allowed: AllowedFormats,
    timing: HashPoolSizing,
) -> Result<bool, HtpasswdFileError> {
    // The fingerprints' key does not matter here: they are not looked at.
    let rules = HtpasswdParseOptions { allowed_formats: allowed, ..HtpasswdParseOptions::default() };
    let text = source.read()?;
    let parsed = parse(text.clone(), &rules);
    let name = displayable_path(path);
    // Of a file that is something else, all lines have the same fault.
    let is_other = !text.is_empty()
        && parsed.users.len() == parsed.users.invalid_lines()
        && !parsed.findings.iter().any(|fault| fault.has_known_format);
    // The first one is told by the fault of the file, if none of its lines can be used.
    let is_unusable = parsed.users.len() == parsed.users.invalid_lines();
    let first = parsed.findings.iter().position(|fault| fault.is_line_invalid).filter(|_| is_unusable);
    let listed = parsed.findings.iter().enumerate().filter(|(at, _)| !is_other && Some(*at) != first);
    for (_, fault) in listed {
        let kind = if fault.is_line_invalid { "" } else { "note: " };
        print_line(&format!("{name}:{}:{}: {kind}{}", fault.line, fault.column, fault.message));
    }
    if parsed.findings.len() >= FINDINGS_MAX && !is_other {
        print_line(&format!("{name}: there may be more; only the first {FINDINGS_MAX} are listed"));
    }
    if is_unexpectedly_empty(&text, NO_USERS_LINE) {
        print_line(&format!("{name}: note: {EMPTY_FILE_MESSAGE}"));
    }
    parse_and_validate(source, text, &rules)?;
    print_htpasswd_notes(&parsed.users, path);
    let bad = parsed.findings.iter().filter(|fault| fault.is_line_invalid).count();
    let users = parsed.users.len() - parsed.users.invalid_lines();
    let formats: Vec<String> =
        parsed.users.count_formats().iter().map(|(name, count)| format!("{name} {count}")).collect();
    print_line(&format!("{name}: users that can log in: {users} ({}); bad lines: {bad}", formats.join(", ")));
    print_line(&format!(
        "{name}: {}",
        login_capacity_message(
            parsed.users.timing_equalizer().measure_rejection_time(timing.threads),
            timing
        )
    ));
    Ok(bad == 0)
}

/// How many users can log in for the first time at once, before their answers are cached: what the threads
/// hash in time. Networks that failed of late get a fourth of the turns at the most.
fn login_capacity_message(refusal: Duration, timing: HashPoolSizing) -> String {
    let places = timing.queue_capacity(refusal);
    format!(
        "a refusal takes {:.1} ms of a core, measured here; hash.threads = {} within nine tenths of hash.wait_timeout = {}: {places} first log-ins at once, {} of them under attack",
        refusal.as_secs_f64() * 1000.0,
        timing.threads,
        humantime::format_duration(timing.wait_max),
        places - places.div_ceil(4),
    )
}

fn print_htpasswd_notes(users: &UserIndex, path: &Path) {
    if let Some((low, high)) =
        users.bcrypt_cost_range().filter(|(low, high)| high - low >= BCRYPT_COST_SPREAD_MIN)
    {
        print_line(&format!(
            "{}: note: the bcrypt costs go from {low} to {high}, and every refusal takes as long as the costliest; set them to one cost with htpasswd -B -C",
            displayable_path(path)
        ));
    }
}
