//! The check of the API key file.

use crate::authn::api_key;
use crate::authn::api_key::reload::ApiKeyFileError;
use crate::cli::api_key::PUSH_WITHOUT_PULL_WARNING;
use crate::cli::output::{print_error, print_line};
use crate::config::table::ConfigValues;
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::{SourceFile, is_unexpectedly_empty, wrong_format};

/// Maximum number of scopes that are checked for push without pull.
const SCOPES_MAX: usize = 10_000;

/// Prints the errors of the file. Returns true if all lines are valid.
pub(super) fn check_api_keys(config: &ConfigValues) -> bool {
    let Some(path) = config.api_keys.file.clone() else { return true };
    let source = SourceFile { path, max_bytes: config.api_keys.max_bytes };
    let name = source.display_path();
    let text = match source.read() {
        Ok(text) => text,
        Err(error) => {
            print_error(&error.to_string());
            return false;
        }
    };
    let parsed = api_key::file::parse(&text, &"keys".into(), None);
    if let Some(format) =
        wrong_format::detect_binary(&text).filter(|_| parsed.index.is_empty() && parsed.invalid_lines > 0)
    {
        print_error(&ApiKeyFileError::NotApiKeyFile(name, format).to_string());
        return false;
    }
    for error in &parsed.line_errors {
        print_line(&format!("{name}:{}: {}", error.line, error.message));
    }
    for (line, scope) in api_key_scopes(&text) {
        if scope.has_push_without_pull() {
            print_line(&format!("{name}:{line}: warning: {PUSH_WITHOUT_PULL_WARNING}"));
        }
    }
    let key_count = parsed.index.records().count();
    print_line(&format!("{name}: API keys: {key_count}; invalid lines: {}", parsed.invalid_lines));
    if is_unexpectedly_empty(&text, api_key::file::NO_KEYS_LINE) {
        print_line(&format!("{name}: note: {}", api_key::reload::EMPTY_FILE_MESSAGE));
    }
    let has_valid_lines = parsed.invalid_lines == 0;
    match api_key::reload::validate(&source, parsed) {
        Ok(_) => has_valid_lines,
        Err(error) => {
            print_error(&error.to_string());
            false
        }
    }
}

/// Returns the first [`SCOPES_MAX`] valid scopes of a file with their line numbers.
fn api_key_scopes(text: &[u8]) -> Vec<(usize, ApiKeyScope)> {
    let scope = |(number, line): (usize, &[u8])| {
        let line = api_key::edit::parse_lines(line).next()?;
        let scope = line.scope?;
        Some((number, ApiKeyScope::parse(scope.iter().map(String::as_str)).ok()?))
    };
    (1..).zip(text.split(|b| *b == b'\n')).filter_map(scope).take(SCOPES_MAX).collect()
}
