//! Changing an htpasswd file's text: one user's line, and nothing else. Comments, order, line ends
//! and what stands behind the hash stay as they are.

use super::file::{HtpasswdParseOptions, parse};
use super::validate::NO_USERS_LINE;
use crate::authn::hash::AllowedFormats;
use crate::identity::{Username, UsernameError};
use crate::reload::wrong_format;

/// What some editors put before the text; the reader passes it over.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why a text can't be changed as wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HtpasswdEditError {
    /// A name that no client could send.
    #[error("{0}")]
    InvalidName(#[from] UsernameError),
    /// A name that the file's own readers would take for a comment.
    #[error("a line that begins with # is a comment")]
    NameStartsWithHash,
    /// There is such a user already.
    #[error("there is such a user already; change the password with: doorward user set")]
    UserExists,
    /// Text that is no htpasswd file, and would be spoilt by a line of one.
    #[error("the file is {0}; nothing was changed")]
    NotHtpasswd(&'static str),
    /// Lines of which none is a user's.
    #[error("none of the file's {0} lines is NAME:HASH, so it seems to be another file; nothing was changed")]
    NoUserLines(usize),
    /// There is no such user.
    #[error("there is no such user; doorward user list shows them all")]
    UserNotFound,
}

/// What is to become of the user's line.
#[derive(Clone, Copy, Debug)]
pub enum HtpasswdEdit<'h> {
    /// A new line, for a user who is not there.
    Add(&'h str),
    /// Another hash, for a user who is.
    SetHash(&'h str),
    /// No line at all, for a user who is.
    Remove,
}

/// Whether a name can be written so that it is read back.
pub fn check_name(name: &[u8]) -> Result<(), HtpasswdEditError> {
    Username::check(name)?;
    if name.starts_with(b"#") { Err(HtpasswdEditError::NameStartsWithHash) } else { Ok(()) }
}

/// Whether somebody is in the file, be it in a line that can't be read.
pub fn has_users(text: &[u8]) -> bool {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    split_lines(text).map(<[u8]>::trim_ascii).any(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// The text with `edit` done to the line of `name`.
///
/// Of several lines for one user the first counts, so that is the one that is set; all are removed,
/// or the second would come into force.
pub fn apply_edit(text: &[u8], name: &[u8], edit: HtpasswdEdit<'_>) -> Result<Vec<u8>, HtpasswdEditError> {
    check_name(name)?;
    check_is_htpasswd(text, edit)?;
    let (bom, text) = text.split_at_checked(3).filter(|(start, _)| *start == BOM).unwrap_or((b"", text));
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
        // Or the file would look like one that somebody emptied by mistake.
        if changed.last().is_some_and(|last| *last != b'\n') && changed != BOM {
            changed.push(b'\n');
        }
        changed.extend_from_slice(NO_USERS_LINE);
        changed.push(b'\n');
    }
    if bom.is_empty() && changed.starts_with(BOM) {
        // The line before is gone, and these bytes of a name must not become the file's mark.
        changed.splice(..0, BOM.iter().copied());
    }
    Ok(changed)
}

/// Whether a text can take a line of ours. A new line is added to lines of users only; one line that can't be read
/// may be a slip.
fn check_is_htpasswd(text: &[u8], edit: HtpasswdEdit<'_>) -> Result<(), HtpasswdEditError> {
    // With every format, since it is not asked who may log in.
    let parsed = parse(
        text.to_vec(),
        &HtpasswdParseOptions {
            allowed_formats: AllowedFormats { plain: true },
            ..HtpasswdParseOptions::default()
        },
    );
    let users = &parsed.users;
    let is_other = wrong_format::is_wide_encoding(text) || users.len() == users.invalid_lines();
    if let Some(what) = wrong_format::detect_other_format(text).filter(|_| is_other) {
        return Err(HtpasswdEditError::NotHtpasswd(what));
    }
    let HtpasswdEdit::Add(_) = edit else { return Ok(()) };
    let bad = parsed.findings.iter().filter(|fault| fault.is_line_invalid);
    let understood = users.len() > users.invalid_lines() || bad.clone().any(|fault| fault.has_known_format);
    match bad.count() {
        lines @ 2.. if !understood => Err(HtpasswdEditError::NoUserLines(lines)),
        _ => Ok(()),
    }
}

/// The lines of a text, each with its end.
fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Whether a line is the user's, as the reader (`file.rs`) sees it.
fn is_line_of_user(line: &[u8], name: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.starts_with(b"#") && line.split(|byte| *byte == b':').next() == Some(name)
}

/// Writes a line with another hash in the place of its own.
fn push_line_with_hash(changed: &mut Vec<u8>, line: &[u8], hash: &str) {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let (content, line_end) = line.split_at_checked(end).unwrap_or((line, b""));
    let mut fields = content.splitn(3, |byte| *byte == b':');
    let named = fields.next().unwrap_or_default();
    // Without a colon behind it, the name ended before the spaces at the line's end.
    changed.extend_from_slice(if content.contains(&b':') { named } else { named.trim_ascii_end() });
    changed.push(b':');
    changed.extend_from_slice(hash.as_bytes());
    // Skips the old hash, and keeps what stands behind it.
    if let Some(rest) = fields.nth(1) {
        changed.push(b':');
        changed.extend_from_slice(rest);
    }
    changed.extend_from_slice(line_end);
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
        // Found by the fuzzer: a line without a colon, and with a space at its end.
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
        // Found by the fuzzer: it would have made bob of somebody else.
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
