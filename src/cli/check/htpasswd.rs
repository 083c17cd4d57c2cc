//! The check of the htpasswd file.

use std::path::Path;
use std::time::Duration;

use crate::authn::hash::AllowedFormats;
use crate::authn::hash_pool::HashPoolSizing;
use crate::authn::htpasswd::file::{FINDINGS_MAX, HtpasswdParseOptions, UserIndex, parse};
use crate::authn::htpasswd::validate::{
    EMPTY_FILE_MESSAGE, HtpasswdFileError, NO_USERS_LINE, parse_and_validate,
};
use crate::cli::output::{print_error, print_line};
use crate::config::table::ConfigValues;
use crate::reload::{SourceFile, displayable_path, is_unexpectedly_empty};
use crate::server::StartError;

/// Difference of bcrypt costs at which `check` prints a note: eight times the work.
const BCRYPT_COST_SPREAD_MIN: u8 = 3;

/// Prints the errors of the file. Returns true if all lines are valid.
pub(super) fn check_htpasswd(config: &ConfigValues) -> bool {
    let Some(path) = config.htpasswd.file.clone() else {
        print_error(&StartError::NoAuthenticatorConfigured.to_string());
        return false;
    };
    let source = SourceFile { path: path.clone(), max_bytes: config.htpasswd.max_bytes };
    match check_file(&source, &path, config.htpasswd.allowed_formats(), config.hash.pool_sizing()) {
        Ok(has_valid_lines) => has_valid_lines,
        Err(error) => {
            print_error(&error.to_string());
            false
        }
    }
}

/// Checks a file. Returns true if all lines are valid.
fn check_file(
    source: &SourceFile,
    path: &Path,
    allowed_formats: AllowedFormats,
    timing: HashPoolSizing,
) -> Result<bool, HtpasswdFileError> {
    // The default key for fingerprints is sufficient, since no fingerprint is compared.
    let options = HtpasswdParseOptions { allowed_formats, ..HtpasswdParseOptions::default() };
    let text = source.read()?;
    let parsed = parse(text.clone(), &options);
    let name = displayable_path(path);
    let has_no_valid_line = parsed.users.len() == parsed.users.invalid_lines();
    // In a file of another kind all lines have the same error, so only the error of the file is printed.
    let is_other_kind = !text.is_empty()
        && has_no_valid_line
        && !parsed.findings.iter().any(|finding| finding.has_known_format);
    // If no line is valid, the error of the file contains the first error of a line.
    let first = parsed.findings.iter().position(|finding| finding.is_line_invalid);
    let first = first.filter(|_| has_no_valid_line);
    for (index, finding) in parsed.findings.iter().enumerate() {
        if is_other_kind || Some(index) == first {
            continue;
        }
        let kind = if finding.is_line_invalid { "" } else { "note: " };
        print_line(&format!("{name}:{}:{}: {kind}{}", finding.line, finding.column, finding.message));
    }
    if parsed.findings.len() >= FINDINGS_MAX && !is_other_kind {
        print_line(&format!("{name}: only the first {FINDINGS_MAX} findings are listed"));
    }
    if is_unexpectedly_empty(&text, NO_USERS_LINE) {
        print_line(&format!("{name}: note: {EMPTY_FILE_MESSAGE}"));
    }
    parse_and_validate(source, text, &options)?;
    print_bcrypt_cost_note(&parsed.users, &name);
    let invalid_lines = parsed.findings.iter().filter(|finding| finding.is_line_invalid).count();
    let users = parsed.users.len() - parsed.users.invalid_lines();
    let formats: Vec<String> =
        parsed.users.count_formats().iter().map(|(format, count)| format!("{format} {count}")).collect();
    print_line(&format!(
        "{name}: users that can log in: {users} ({}); invalid lines: {invalid_lines}",
        formats.join(", ")
    ));
    let rejection_time = parsed.users.timing_equalizer().measure_rejection_time(timing.threads);
    print_line(&format!("{name}: {}", login_capacity_message(rejection_time, timing)));
    Ok(invalid_lines == 0)
}

/// Describes how many users can log in at the same time while no answer is cached: as many as the threads can check
/// before `hash.wait_timeout`. During an attack, networks with recent failures get at most a quarter of the queue.
fn login_capacity_message(rejection_time: Duration, timing: HashPoolSizing) -> String {
    let capacity = timing.queue_capacity(rejection_time);
    format!(
        "capacity: {capacity} users can log in at once while the cache is empty, {} during an attack (a rejection takes {:.1} ms of one core; hash.threads = {}, hash.wait_timeout = {})",
        capacity - capacity.div_ceil(4),
        rejection_time.as_secs_f64() * 1000.0,
        timing.threads,
        humantime::format_duration(timing.wait_max),
    )
}

/// Prints a note if bcrypt costs differ much.
fn print_bcrypt_cost_note(users: &UserIndex, name: &str) {
    let Some((low, high)) = users.bcrypt_cost_range() else { return };
    if high - low >= BCRYPT_COST_SPREAD_MIN {
        print_line(&format!(
            "{name}: note: the bcrypt costs are between {low} and {high}, and every rejection takes as long as the highest; set one cost with htpasswd -B -C"
        ));
    }
}
