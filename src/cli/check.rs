//! `doorward check`: every fault of the settings and of the files that they name, before anything
//! starts; and with `--probe`, whether the services are there.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::signing_key;
use super::{complain, expect, explain, probe, say, upstreams};
use crate::authn::api_key;
use crate::authn::api_key::reload::KeysFault;
use crate::authn::hash::Allowed;
use crate::authn::hash_pool::Timing;
use crate::authn::htpasswd::file::{FAULTS_MAX, Rules, UserFile, parse};
use crate::authn::htpasswd::source::{EMPTIED, FileFault, NONE_LINE, usable};
use crate::config::Settings;
use crate::identity::sanitize_for_display;
use crate::permissions::scope::ApiKeyScope;
use crate::policy::reload::{self, FILE_BYTES_MAX};
use crate::policy::rules::RegistryHosts;
use crate::reload::{Source, foreign, is_emptied, shown_path};
use crate::server::StartError;

/// What a grant to anyone is to docker's tools (they ping `/v2/` without credentials, and send none
/// ever after if that is not refused).
const ANYONE: &str = "a grant to anyone is for curl, crane and browsers; docker, podman and skopeo ask /v2/ first, are challenged there, and give up without a log-in. For anonymous docker pulls the registry's token protocol is needed";

/// What a grant to anyone is where an upstream wants credentials.
const NOBODY_GOES_ON: &str = "who has shown no credentials is challenged where an [[upstream]] has some, whatever a grant to anyone permits, unless it says anyone = true";

/// What a grant of push is where nobody grants pull.
const PUSH_ALONE: &str = "a push requires pull too, and no grant permits pull to all whom this one permits push, on the same repositories; add \"pull\" to its actions";

/// The same of a key's scope.
pub(super) const PUSH_ALONE_IN_SCOPE: &str =
    "a push requires pull too, and the scope permits push alone; write pull,push:REPOSITORY";

/// What a listener beyond loopback is.
const NO_TLS: &str = "other machines can reach this listener, and it has no TLS: whoever can read the network between it and its peers reads credentials";

/// Scopes of keys that are looked at for what they lack.
const SCOPES_MAX: usize = 10_000;

/// From which difference of bcrypt costs on `check` speaks of it: eight times the work.
const SPREAD: u8 = 3;

/// Checks, tells, and returns 1 where something is wrong. `expectations` is a file of what the policy
/// should say; with `ask` the services are asked. Of settings that are not `whole`, what there is is
/// checked; so are `files` that the command line names, without settings that `serve` could start with.
pub(super) fn run(
    settings: &Settings,
    expectations: Option<&str>,
    ask: bool,
    whole: bool,
    files: bool,
) -> ExitCode {
    // All of it, so that every fault is told at once.
    let nobody = settings.authenticators.is_empty() && expectations.is_none() && whole && !files;
    let users = if settings.htpasswd.is_some() || nobody { users(settings) } else { true };
    if settings.authenticators.is_empty() && files {
        say(
            "note: no htpasswd file and no [[authenticator]] is set, so only the files that are named were checked",
        );
    }
    let services = probe::run(settings, ask && whole);
    let keys = keys(settings);
    let upstreams = upstreams::run(settings, ask && whole);
    let tokens = settings.token_keys.as_deref().is_none_or(signing_key::check);
    let policy = policy(settings, expectations);
    for (key, address) in settings.beyond_loopback() {
        say(&format!("{key}: warning: {address}: {NO_TLS}"));
    }
    if users && services && keys && upstreams && tokens && policy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn policy(settings: &Settings, expectations: Option<&str>) -> bool {
    let policy = match explain::policy(settings, false) {
        Ok(policy) => policy,
        Err(faults) => {
            faults.iter().for_each(|fault| say(fault));
            return false;
        }
    };
    if let Some(path) = &settings.groups {
        let source = Source { path: path.clone(), max_bytes: FILE_BYTES_MAX };
        if source.read().is_ok_and(|text| is_emptied(&text, reload::NO_GROUPS_LINE)) {
            say(&format!("{}: note: {}", path.display(), reload::NO_GROUPS_MESSAGE));
        }
    }
    if let (Some(rules), Some(path)) = (policy.rules(), &settings.policy) {
        say(&format!(
            "{}: rules: {}; users in groups: {}",
            path.display(),
            rules.rules().len(),
            policy.groups().user_count()
        ));
        let of_file = !settings.services_name_groups();
        for group in rules.referenced_groups().into_iter().filter(|group| of_file && !policy.groups().has_members(group)) {
            say(&format!(
                "{}: note: nobody is in the group {}, which a rule names",
                path.display(),
                sanitize_for_display(group)
            ));
        }
        if rules.has_anonymous_grant()
            && settings.upstreams.iter().any(|one| one.has_credentials() && !one.anyone)
        {
            say(&format!("{}: note: {NOBODY_GOES_ON}", path.display()));
        }
        for line in rules.push_without_pull_lines(&policy.groups()) {
            say(&format!("{}:{line}: warning: {PUSH_ALONE}", shown_path(path)));
        }
        let by_tokens = settings.token_keys.is_some();
        if rules.has_anonymous_grant() && !by_tokens && *rules.registries() != RegistryHosts::All(false) {
            say(&format!("{}: note: {ANYONE}", path.display()));
        }
    }
    let Some(path) = expectations else { return true };
    let source = Source { path: path.into(), max_bytes: FILE_BYTES_MAX };
    let text = match source.read() {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(fault) => {
            complain(&fault.to_string());
            return false;
        }
    };
    let (met, faults) = expect::check(&policy, settings.policy.as_deref(), path, &text);
    faults.iter().for_each(|fault| say(fault));
    say(&format!("{path}: as expected: {met}; otherwise: {}", faults.len()));
    faults.is_empty()
}

/// Says whether every line of the file of keys can be used.
fn keys(settings: &Settings) -> bool {
    let Some(path) = settings.keys.clone() else { return true };
    let source = Source { path, max_bytes: settings.keys_max_bytes };
    let name = source.name();
    let text = match source.read() {
        Ok(text) => text,
        Err(fault) => {
            complain(&fault.to_string());
            return false;
        }
    };
    let parsed = api_key::file::parse(&text, &"keys".into(), None);
    if let Some(what) = foreign::not_text(&text).filter(|_| parsed.file.is_empty() && parsed.bad > 0) {
        complain(&KeysFault::Foreign(name, what).to_string());
        return false;
    }
    for fault in &parsed.faults {
        say(&format!("{name}:{}: {}", fault.line, fault.what));
    }
    for (line, scope) in scopes(&text) {
        if scope.has_push_without_pull() {
            say(&format!("{name}:{line}: warning: {PUSH_ALONE_IN_SCOPE}"));
        }
    }
    let good = parsed.file.records().count();
    say(&format!("{name}: keys: {good}; bad lines: {}", parsed.bad));
    if is_emptied(&text, api_key::file::NONE_LEFT) {
        say(&format!("{name}: note: {}", api_key::reload::EMPTIED));
    }
    let well = parsed.bad == 0;
    match api_key::reload::usable(&source, parsed) {
        Ok(_) => well,
        Err(fault) => {
            complain(&fault.to_string());
            false
        }
    }
}

/// The scopes of a file of keys, each with the number of its line; the first few of them.
fn scopes(text: &[u8]) -> Vec<(usize, ApiKeyScope)> {
    let scope = |(number, line): (usize, &[u8])| {
        let line = api_key::edit::lines(line).next()?;
        let scope = line.scope?;
        Some((number, ApiKeyScope::parse(scope.iter().map(String::as_str)).ok()?))
    };
    (1..).zip(text.split(|b| *b == b'\n')).filter_map(scope).take(SCOPES_MAX).collect()
}

fn users(settings: &Settings) -> bool {
    let Some(path) = settings.htpasswd.clone() else {
        complain(&StartError::NoAuthenticator.to_string());
        return false;
    };
    let source = Source { path: path.clone(), max_bytes: settings.htpasswd_max_bytes };
    match check(&source, &path, settings.htpasswd_allow, settings.hash_timing()) {
        Ok(whole) => whole,
        Err(fault) => {
            complain(&fault.to_string());
            false
        }
    }
}

/// Says whether every line can be used.
fn check(source: &Source, path: &Path, allowed: Allowed, timing: Timing) -> Result<bool, FileFault> {
    // The fingerprints' key does not matter here: they are not looked at.
    let rules = Rules { allowed, ..Rules::default() };
    let text = source.read()?;
    let parsed = parse(text.clone(), &rules);
    let name = shown_path(path);
    // Of a file that is something else, all lines have the same fault.
    let is_other = !text.is_empty()
        && parsed.users.len() == parsed.users.bad_lines()
        && !parsed.faults.iter().any(|fault| fault.is_understood);
    // The first one is told by the fault of the file, if none of its lines can be used.
    let is_unusable = parsed.users.len() == parsed.users.bad_lines();
    let first = parsed.faults.iter().position(|fault| fault.costs_the_line).filter(|_| is_unusable);
    let listed = parsed.faults.iter().enumerate().filter(|(at, _)| !is_other && Some(*at) != first);
    for (_, fault) in listed {
        let kind = if fault.costs_the_line { "" } else { "note: " };
        say(&format!("{name}:{}:{}: {kind}{}", fault.line, fault.column, fault.what));
    }
    if parsed.faults.len() >= FAULTS_MAX && !is_other {
        say(&format!("{name}: there may be more; only the first {FAULTS_MAX} are listed"));
    }
    if is_emptied(&text, NONE_LINE) {
        say(&format!("{name}: note: {EMPTIED}"));
    }
    usable(source, text, &rules)?;
    notes(&parsed.users, path);
    let bad = parsed.faults.iter().filter(|fault| fault.costs_the_line).count();
    let users = parsed.users.len() - parsed.users.bad_lines();
    let formats: Vec<String> =
        parsed.users.formats().iter().map(|(name, count)| format!("{name} {count}")).collect();
    say(&format!("{name}: users that can log in: {users} ({}); bad lines: {bad}", formats.join(", ")));
    say(&format!("{name}: {}", bound(parsed.users.costliest().measure(timing.threads), timing)));
    Ok(bad == 0)
}

/// How many users can log in for the first time at once, before their answers are cached: what the threads
/// hash in time. Networks that failed of late get a fourth of the turns at the most.
fn bound(refusal: Duration, timing: Timing) -> String {
    let places = timing.places(refusal);
    format!(
        "a refusal takes {:.1} ms of a core, measured here; hash.threads = {} within nine tenths of hash.wait = {}: {places} first log-ins at once, {} of them under attack",
        refusal.as_secs_f64() * 1000.0,
        timing.threads,
        humantime::format_duration(timing.wait),
        places - places.div_ceil(4),
    )
}

fn notes(users: &UserFile, path: &Path) {
    if let Some((low, high)) = users.bcrypt_spread().filter(|(low, high)| high - low >= SPREAD) {
        say(&format!(
            "{}: note: the bcrypt costs go from {low} to {high}, and every refusal takes as long as the costliest; set them to one cost with htpasswd -B -C",
            shown_path(path)
        ));
    }
}
