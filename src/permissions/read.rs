//! The words of rights, read from text: one small function for each kind.

use super::actions::Actions;
use super::glob::{Glob, NamesOf};

/// A method of HTTP.
///
/// # Errors
/// What would do instead; here and below.
pub fn method(text: &str) -> Result<Box<str>, String> {
    let well = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    well.then(|| text.into()).ok_or_else(|| "a method is written in capitals, as in GET".into())
}

/// An action in a registry.
pub fn action(text: &str) -> Result<Actions, String> {
    Actions::named(text).ok_or_else(|| "there are pull, push, delete and catalog".into())
}

/// A pattern of repositories.
pub fn repository(text: &str) -> Result<Glob, String> {
    let foreign = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    Glob::parse(text, NamesOf { what: "repository", foreign, open_end: false })
        .map_err(|fault| fault.to_string())
}

/// A pattern of paths, which begins with a slash.
pub fn path(text: &str) -> Result<Glob, String> {
    let inner = text.strip_prefix('/').ok_or("a path begins with a slash")?;
    if inner.replace("%2F", "").contains('%') {
        return Err("write it decoded; only a slash within a segment is written %2F".into());
    }
    let foreign = |c: char| c.is_control() || matches!(c, '\\' | ';' | '?' | '#');
    Glob::parse(inner, NamesOf { what: "path", foreign, open_end: true }).map_err(|fault| fault.to_string())
}
