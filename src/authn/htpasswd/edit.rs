//! Edits the text of an htpasswd file: adds, changes or removes the line of one user.
//!
//! Everything else is kept: comments, the order of lines, line ends and the fields after the hash.

use super::file::{HtpasswdParseOptions, parse};
use super::validate::NO_USERS_LINE;
use crate::authn::hash::AllowedFormats;
use crate::identity::{Username, UsernameError};
use crate::reload::utf8_bom::{UTF8_BOM, strip_utf8_bom};
use crate::reload::wrong_format;

/// The byte order mark, which is kept at the start of the text.
const BOM: &[u8] = UTF8_BOM.as_bytes();

/// The reason why a text cannot be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HtpasswdEditError {
    /// The name cannot be sent by any client.
    #[error("{0}")]
    InvalidName(#[from] UsernameError),
    /// Readers of the file would parse the line as a comment.
    #[error("the user name starts with #, which starts a comment")]
    NameStartsWithHash,
    /// The user to add exists.
    #[error("the user already exists; to change the password, run: doorward user set")]
    UserExists,
    /// The text has another format, and an htpasswd line would corrupt it.
    #[error("the file is {0}; nothing was changed")]
    NotHtpasswd(&'static str),
    /// The file has several lines, and none is valid.
    #[error(
        "none of the {0} lines is NAME:HASH, so the file seems to have another format; nothing was changed"
    )]
    NoUserLines(usize),
    /// The user to change or remove does not exist.
    #[error("the user does not exist; to list all users, run: doorward user list")]
    UserNotFound,
}

/// The change to the line of the user.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HtpasswdEdit<'h> {
    /// Adds a line with this hash. The user must not exist.
    Add(&'h str),
    /// Replaces the hash. The user must exist.
    SetHash(&'h str),
    /// Removes every line of the user. The user must exist.
    Remove,
}

/// Checks that a name can be written to the file and read back.
pub(crate) fn check_name(name: &[u8]) -> Result<(), HtpasswdEditError> {
    Username::check(name)?;
    if name.starts_with(b"#") { Err(HtpasswdEditError::NameStartsWithHash) } else { Ok(()) }
}

/// Returns true if the file has a line for a user, valid or not.
pub(crate) fn has_users(text: &[u8]) -> bool {
    split_lines(strip_utf8_bom(text))
        .map(<[u8]>::trim_ascii)
        .any(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// Returns the text with `edit` applied to the line of `name`.
///
/// If a user has several lines, the first one is used, so a new hash is set in the first line. Removing a user
/// removes all lines of the user: otherwise the second line would become valid.
pub(crate) fn apply_edit(
    text: &[u8],
    name: &[u8],
    edit: HtpasswdEdit<'_>,
) -> Result<Vec<u8>, HtpasswdEditError> {
    check_name(name)?;
    check_is_htpasswd(text, edit)?;
    let (bom, text) =
        text.split_at_checked(BOM.len()).filter(|(start, _)| *start == BOM).unwrap_or((b"", text));
    let found = split_lines(text).any(|line| is_line_of_user(line, name));
    match (edit, found) {
        (HtpasswdEdit::Add(_), true) => return Err(HtpasswdEditError::UserExists),
        (HtpasswdEdit::SetHash(_) | HtpasswdEdit::Remove, false) => {
            return Err(HtpasswdEditError::UserNotFound);
        }
        _ => {}
    }
    let mut changed = Vec::with_capacity(bom.len() + text.len() + name.len() + 128);
    changed.extend_from_slice(bom);
    let mut set = false;
    for line in split_lines(text) {
        match edit {
            HtpasswdEdit::SetHash(hash) if !set && is_line_of_user(line, name) => {
                set = true;
                push_line_with_hash(&mut changed, line, hash);
            }
            HtpasswdEdit::Remove if is_line_of_user(line, name) => {}
            _ => changed.extend_from_slice(line),
        }
    }
    if let HtpasswdEdit::Add(hash) = edit {
        let crlf = text.ends_with(b"\r\n");
        if !text.is_empty() && !text.ends_with(b"\n") {
            changed.push(b'\n');
        }
        changed.extend_from_slice(name);
        changed.push(b':');
        changed.extend_from_slice(hash.as_bytes());
        changed.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
    }
    if matches!(edit, HtpasswdEdit::Remove) && !has_users(&changed) {
        // Without this comment, the file would look as if it had been emptied by mistake.
        if changed.last().is_some_and(|last| *last != b'\n') && changed != BOM {
            changed.push(b'\n');
        }
        changed.extend_from_slice(NO_USERS_LINE);
        changed.push(b'\n');
    }
    if bom.is_empty() && changed.starts_with(BOM) {
        // The first line was removed, and the name in the next line starts with these bytes. They must not be read as
        // the byte order mark of the file, so a byte order mark is added.
        changed.splice(..0, BOM.iter().copied());
    }
    Ok(changed)
}

/// Checks that a text is an htpasswd file. A line is added only if the file has at least one recognized line, or at
/// most one invalid line, which may be a mistake.
fn check_is_htpasswd(text: &[u8], edit: HtpasswdEdit<'_>) -> Result<(), HtpasswdEditError> {
    // Every format is allowed: the result does not decide which users can log in.
    let parsed = parse(
        text.to_vec(),
        &HtpasswdParseOptions {
            allowed_formats: AllowedFormats { plain: true },
            ..HtpasswdParseOptions::default()
        },
    );
    let users = &parsed.users;
    let may_be_other_format = wrong_format::is_wide_encoding(text) || users.len() == users.invalid_lines();
    if let Some(what) = wrong_format::detect_other_format(text).filter(|_| may_be_other_format) {
        return Err(HtpasswdEditError::NotHtpasswd(what));
    }
    let HtpasswdEdit::Add(_) = edit else { return Ok(()) };
    let invalid = parsed.findings.iter().filter(|finding| finding.is_line_invalid);
    let is_recognized =
        users.len() > users.invalid_lines() || invalid.clone().any(|finding| finding.has_known_format);
    match invalid.count() {
        lines @ 2.. if !is_recognized => Err(HtpasswdEditError::NoUserLines(lines)),
        _ => Ok(()),
    }
}

/// Returns the lines of a text, each with its line end.
fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Returns true if a line belongs to the user, by the rules of the parser ([`super::file`]).
fn is_line_of_user(line: &[u8], name: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.starts_with(b"#") && line.split(|byte| *byte == b':').next() == Some(name)
}

/// Appends `line` to `output`, with its hash replaced by `hash`.
fn push_line_with_hash(output: &mut Vec<u8>, line: &[u8], hash: &str) {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let (content, line_end) = line.split_at_checked(end).unwrap_or((line, b""));
    let mut fields = content.splitn(3, |byte| *byte == b':');
    let name = fields.next().unwrap_or_default();
    // If the line has no colon, spaces at its end are not part of the name.
    output.extend_from_slice(if content.contains(&b':') { name } else { name.trim_ascii_end() });
    output.push(b':');
    output.extend_from_slice(hash.as_bytes());
    // The old hash is skipped, and the fields after it are kept.
    if let Some(rest) = fields.nth(1) {
        output.push(b':');
        output.extend_from_slice(rest);
    }
    output.extend_from_slice(line_end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, name: &str, edit: HtpasswdEdit<'_>) -> Result<String, HtpasswdEditError> {
        apply_edit(text.as_bytes(), name.as_bytes(), edit).map(|text| String::from_utf8(text).unwrap())
    }

    const TEXT: &str = "# team\nalice:old:Alice\r\n\nbob:$2y$\nalice:second\n  carol:y";

    #[test]
    fn setting_a_hash_changes_only_the_users_first_line() {
        let set = edited(TEXT, "alice", HtpasswdEdit::SetHash("new"));
        assert_eq!(set.unwrap(), "# team\nalice:new:Alice\r\n\nbob:$2y$\nalice:second\n  carol:y");
        assert_eq!(
            edited(TEXT, "carol", HtpasswdEdit::SetHash("new")).unwrap(),
            TEXT.replace("carol:y", "carol:new")
        );
        assert_eq!(edited("alice", "alice", HtpasswdEdit::SetHash("new")).unwrap(), "alice:new");
        // Found by the fuzzer: a line without a colon and with a space at its end.
        assert_eq!(edited(" alice \n", "alice", HtpasswdEdit::SetHash("new")).unwrap(), " alice:new\n");
        assert_eq!(edited(TEXT, "dave", HtpasswdEdit::SetHash("new")), Err(HtpasswdEditError::UserNotFound));
    }

    #[test]
    fn removing_a_user_removes_all_of_the_users_lines() {
        assert_eq!(edited(TEXT, "alice", HtpasswdEdit::Remove).unwrap(), "# team\n\nbob:$2y$\n  carol:y");
        assert_eq!(edited("alice:x\n", "alice", HtpasswdEdit::Remove).unwrap(), "# no users\n");
        assert_eq!(edited("# team\nalice:x", "alice", HtpasswdEdit::Remove).unwrap(), "# team\n# no users\n");
        assert_eq!(edited("\u{feff}alice:x", "alice", HtpasswdEdit::Remove).unwrap(), "\u{feff}# no users\n");
        assert_eq!(edited("# no users\n", "dave", HtpasswdEdit::Add("z")).unwrap(), "# no users\ndave:z\n");
        assert_eq!(edited(TEXT, "ali", HtpasswdEdit::Remove), Err(HtpasswdEditError::UserNotFound));
        assert_eq!(edited("#alice:x\n", "alice", HtpasswdEdit::Remove), Err(HtpasswdEditError::UserNotFound));
    }

    #[test]
    fn new_user_is_appended_as_last_line() {
        assert_eq!(edited(TEXT, "dave", HtpasswdEdit::Add("z")).unwrap(), format!("{TEXT}\ndave:z\n"));
        assert_eq!(edited("", "dave", HtpasswdEdit::Add("z")).unwrap(), "dave:z\n");
        assert_eq!(edited("a:b\r\n", "dave", HtpasswdEdit::Add("z")).unwrap(), "a:b\r\ndave:z\r\n");
        assert_eq!(edited(TEXT, "alice", HtpasswdEdit::Add("z")), Err(HtpasswdEditError::UserExists));
    }

    #[test]
    fn bom_is_stripped_only_at_the_start_of_the_file() {
        let set = edited("\u{feff}alice:x\n\u{feff}bob:y\n", "alice", HtpasswdEdit::SetHash("new"));
        assert_eq!(set.unwrap(), "\u{feff}alice:new\n\u{feff}bob:y\n");
        assert_eq!(
            edited("a:b\n\u{feff}bob:y\n", "bob", HtpasswdEdit::Remove),
            Err(HtpasswdEditError::UserNotFound)
        );
        // Found by the fuzzer: without a second mark, the name of the next line would become bob.
        let removed = edited("a:b\n\u{feff}bob:y\n", "a", HtpasswdEdit::Remove);
        assert_eq!(removed.unwrap(), "\u{feff}\u{feff}bob:y\n");
    }

    #[test]
    fn name_that_cannot_be_read_back_is_rejected() {
        for name in ["", "a:b", "a\nb", "#a", " a", "a ", "a\0"] {
            assert!(edited(TEXT, name, HtpasswdEdit::Add("z")).is_err(), "{name:?}");
        }
        assert!(edited(TEXT, "zoë", HtpasswdEdit::Add("z")).is_ok());
    }
}
