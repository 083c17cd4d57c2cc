//! Parsers for the parts of a permission: methods, actions and patterns. Each error states what to write instead. It
//! quotes at most one character of the text, which can be a secret from another file.

use super::actions::Actions;
use super::glob::{Glob, PatternSyntax};

/// Parses an HTTP method.
///
/// # Errors
/// Returns an error if the text is not in capitals.
pub fn parse_method(text: &str) -> Result<Box<str>, String> {
    let is_method = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    is_method.then(|| text.into()).ok_or_else(|| "not an HTTP method; write it in capitals, as in GET".into())
}

/// Parses the name of an action.
///
/// # Errors
/// Returns an error if there is no such action.
pub fn parse_action(text: &str) -> Result<Actions, String> {
    Actions::from_name(text)
        .ok_or_else(|| "unknown action; the actions are pull, push, delete and catalog".into())
}

/// Parses a pattern of repository names.
///
/// # Errors
/// Returns an error if the pattern is invalid, or has a character that no repository name contains.
pub fn parse_repository_glob(text: &str) -> Result<Glob, String> {
    let is_invalid_char =
        |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    Glob::parse(
        text,
        PatternSyntax { noun: "repository name", is_invalid_char, is_trailing_slash_allowed: false },
    )
    .map_err(|error| error.to_string())
}

/// Parses a pattern of paths, which starts with a slash.
///
/// # Errors
/// Returns an error if the pattern is invalid, percent-encoded, or has a character that no accepted path contains.
pub fn parse_path_glob(text: &str) -> Result<Glob, String> {
    let inner = text.strip_prefix('/').ok_or("the path must start with a slash")?;
    if inner.replace("%2F", "").contains('%') {
        return Err(
            "the path is percent-encoded; write it decoded, and only a slash within a segment as %2F".into(),
        );
    }
    let is_invalid_char = |c: char| c.is_control() || matches!(c, '\\' | ';' | '?' | '#');
    Glob::parse(inner, PatternSyntax { noun: "path", is_invalid_char, is_trailing_slash_allowed: true })
        .map_err(|error| error.to_string())
}
