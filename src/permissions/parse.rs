//! The words of rights, read from text: one small function for each kind.

use super::actions::Actions;
use super::glob::{Glob, PatternSyntax};

/// A method of HTTP.
///
/// # Errors
/// What would do instead; here and below.
pub fn parse_method(text: &str) -> Result<Box<str>, String> {
    let well = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    well.then(|| text.into()).ok_or_else(|| "a method is written in capitals, as in GET".into())
}

/// An action in a registry.
pub fn parse_action(text: &str) -> Result<Actions, String> {
    Actions::from_name(text).ok_or_else(|| "there are pull, push, delete and catalog".into())
}

/// A pattern of repositories.
pub fn parse_repository_glob(text: &str) -> Result<Glob, String> {
    let foreign = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    Glob::parse(
        text,
        PatternSyntax { noun: "repository", is_invalid_char: foreign, is_trailing_slash_allowed: false },
    )
    .map_err(|fault| fault.to_string())
}

/// A pattern of paths, which begins with a slash.
pub fn parse_path_glob(text: &str) -> Result<Glob, String> {
    let inner = text.strip_prefix('/').ok_or("a path begins with a slash")?;
    if inner.replace("%2F", "").contains('%') {
        return Err("write it decoded; only a slash within a segment is written %2F".into());
    }
    let foreign = |c: char| c.is_control() || matches!(c, '\\' | ';' | '?' | '#');
    Glob::parse(
        inner,
        PatternSyntax { noun: "path", is_invalid_char: foreign, is_trailing_slash_allowed: true },
    )
    .map_err(|fault| fault.to_string())
}
