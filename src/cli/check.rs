//! `doorward check`: every fault of the settings and of the htpasswd file, before anything starts.

use std::path::Path;
use std::process::ExitCode;

use super::{complain, say};
use crate::authn::hash::Allowed;
use crate::authn::htpasswd::file::{FAULTS_MAX, Rules, UserFile, parse};
use crate::authn::htpasswd::source::{FileFault, Source};
use crate::server::StartError;
use crate::settings::Settings;

/// From which difference of bcrypt costs on `check` speaks of it: eight times the work.
const SPREAD: u8 = 3;

/// Checks, tells, and returns 1 where something is wrong.
pub(super) fn run(settings: &Settings) -> ExitCode {
    let Some(path) = settings.htpasswd.clone() else {
        complain(&StartError::NoAuthenticator.to_string());
        return ExitCode::FAILURE;
    };
    let source = Source { path: path.clone(), max_bytes: settings.htpasswd_max_bytes };
    match check(&source, &path, settings.htpasswd_allow) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            complain(&fault.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Says whether every line can be used.
fn check(source: &Source, path: &Path, allowed: Allowed) -> Result<bool, FileFault> {
    // The fingerprints' key does not matter here: they are not looked at.
    let rules = Rules { allowed, ..Rules::default() };
    let text = source.read()?;
    let parsed = parse(text.clone(), &rules);
    let name = path.display();
    for fault in &parsed.faults {
        let kind = if fault.costs_the_line { "" } else { "note: " };
        say(&format!("{name}:{}:{}: {kind}{}", fault.line, fault.column, fault.what));
    }
    if parsed.faults.len() >= FAULTS_MAX {
        say(&format!("{name}: there may be more; only the first {FAULTS_MAX} are listed"));
    }
    source.parse(text, &rules)?;
    notes(&parsed.users, path);
    let bad = parsed.faults.iter().filter(|fault| fault.costs_the_line).count();
    let users = parsed.users.len() - parsed.users.bad_lines();
    let formats: Vec<String> =
        parsed.users.formats().iter().map(|(name, count)| format!("{name} {count}")).collect();
    say(&format!("{name}: users that can log in: {users} ({}); bad lines: {bad}", formats.join(", ")));
    Ok(bad == 0)
}

fn notes(users: &UserFile, path: &Path) {
    if let Some((low, high)) = users.bcrypt_spread().filter(|(low, high)| high - low >= SPREAD) {
        say(&format!(
            "{}: note: the bcrypt costs go from {low} to {high}, and every refusal takes as long as the costliest; set them to one cost with htpasswd -B -C",
            path.display()
        ));
    }
}
