//! Changing an htpasswd file's text: one user's line, and nothing else. Comments, order, line ends
//! and what stands behind the hash stay as they are.

use super::file::{Rules, parse};
use super::source::NONE_LINE;
use crate::authn::hash::Allowed;
use crate::identity::{Username, UsernameError};
use crate::reload::foreign;

/// What some editors put before the text; the reader passes it over.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why a text can't be changed as wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditFault {
    /// A name that no client could send.
    #[error("{0}")]
    Name(#[from] UsernameError),
    /// A name that the file's own readers would take for a comment.
    #[error("a line that begins with # is a comment")]
    Comment,
    /// There is such a user already.
    #[error("there is such a user already; change the password with: doorward user set")]
    Exists,
    /// Text that is no htpasswd file, and would be spoilt by a line of one.
    #[error("the file is {0}; nothing was changed")]
    Foreign(&'static str),
    /// Lines of which none is a user's.
    #[error("none of the file's {0} lines is NAME:HASH, so it seems to be another file; nothing was changed")]
    NoUsers(usize),
    /// There is no such user.
    #[error("there is no such user; doorward user list shows them all")]
    Absent,
}

/// What is to become of the user's line.
#[derive(Clone, Copy, Debug)]
pub enum Edit<'h> {
    /// A new line, for a user who is not there.
    Add(&'h str),
    /// Another hash, for a user who is.
    Set(&'h str),
    /// No line at all, for a user who is.
    Remove,
}

/// Whether a name can be written so that it is read back.
pub fn check_name(name: &[u8]) -> Result<(), EditFault> {
    Username::check(name)?;
    if name.starts_with(b"#") { Err(EditFault::Comment) } else { Ok(()) }
}

/// Whether somebody is in the file, be it in a line that can't be read.
pub fn has_users(text: &[u8]) -> bool {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    lines(text).map(<[u8]>::trim_ascii).any(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// The text with `edit` done to the line of `name`.
///
/// Of several lines for one user the first counts, so that is the one that is set; all are removed,
/// or the second would come into force.
pub fn apply(text: &[u8], name: &[u8], edit: Edit<'_>) -> Result<Vec<u8>, EditFault> {
    check_name(name)?;
    check_file(text, edit)?;
    let (bom, text) = text.split_at_checked(3).filter(|(start, _)| *start == BOM).unwrap_or((b"", text));
    let found = lines(text).any(|line| is_of(line, name));
    match (edit, found) {
        (Edit::Add(_), true) => return Err(EditFault::Exists),
        (Edit::Set(_) | Edit::Remove, false) => return Err(EditFault::Absent),
        _ => {}
    }
    let mut changed = Vec::with_capacity(bom.len() + text.len() + name.len() + 128);
    changed.extend_from_slice(bom);
    let mut set = false;
    for line in lines(text) {
        match edit {
            Edit::Set(hash) if !set && is_of(line, name) => {
                set = true;
                push_with_hash(&mut changed, line, hash);
            }
            Edit::Remove if is_of(line, name) => {}
            _ => changed.extend_from_slice(line),
        }
    }
    if let Edit::Add(hash) = edit {
        let crlf = text.ends_with(b"\r\n");
        if !text.is_empty() && !text.ends_with(b"\n") {
            changed.push(b'\n');
        }
        changed.extend_from_slice(name);
        changed.push(b':');
        changed.extend_from_slice(hash.as_bytes());
        changed.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
    }
    if matches!(edit, Edit::Remove) && !has_users(&changed) {
        // Or the file would look like one that somebody emptied by mistake.
        if changed.last().is_some_and(|last| *last != b'\n') && changed != BOM {
            changed.push(b'\n');
        }
        changed.extend_from_slice(NONE_LINE);
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
fn check_file(text: &[u8], edit: Edit<'_>) -> Result<(), EditFault> {
    // With every format, since it is not asked who may log in.
    let parsed = parse(text.to_vec(), &Rules { allowed: Allowed { plain: true }, ..Rules::default() });
    let users = &parsed.users;
    let is_other = foreign::is_wide(text) || users.len() == users.bad_lines();
    if let Some(what) = foreign::not_lines(text).filter(|_| is_other) {
        return Err(EditFault::Foreign(what));
    }
    let Edit::Add(_) = edit else { return Ok(()) };
    let bad = parsed.faults.iter().filter(|fault| fault.costs_the_line);
    let understood = users.len() > users.bad_lines() || bad.clone().any(|fault| fault.is_understood);
    match bad.count() {
        lines @ 2.. if !understood => Err(EditFault::NoUsers(lines)),
        _ => Ok(()),
    }
}

/// The lines of a text, each with its end.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Whether a line is the user's, as the reader (`file.rs`) sees it.
fn is_of(line: &[u8], name: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.starts_with(b"#") && line.split(|byte| *byte == b':').next() == Some(name)
}

/// Writes a line with another hash in the place of its own.
fn push_with_hash(changed: &mut Vec<u8>, line: &[u8], hash: &str) {
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

    fn edited(text: &str, name: &str, edit: Edit<'_>) -> Result<String, EditFault> {
        apply(text.as_bytes(), name.as_bytes(), edit).map(|text| String::from_utf8(text).unwrap())
    }

    const TEXT: &str = "# team\nalice:old:Alice\r\n\nbob:$2y$\nalice:second\n  carol:y";

    #[test]
    fn the_first_line_is_set_and_all_else_stays() {
        let set = edited(TEXT, "alice", Edit::Set("new"));
        assert_eq!(set.unwrap(), "# team\nalice:new:Alice\r\n\nbob:$2y$\nalice:second\n  carol:y");
        assert_eq!(edited(TEXT, "carol", Edit::Set("new")).unwrap(), TEXT.replace("carol:y", "carol:new"));
        assert_eq!(edited("alice", "alice", Edit::Set("new")).unwrap(), "alice:new");
        // Found by the fuzzer: a line without a colon, and with a space at its end.
        assert_eq!(edited(" alice \n", "alice", Edit::Set("new")).unwrap(), " alice:new\n");
        assert_eq!(edited(TEXT, "dave", Edit::Set("new")), Err(EditFault::Absent));
    }

    #[test]
    fn all_lines_of_a_user_are_removed() {
        assert_eq!(edited(TEXT, "alice", Edit::Remove).unwrap(), "# team\n\nbob:$2y$\n  carol:y");
        assert_eq!(edited("alice:x\n", "alice", Edit::Remove).unwrap(), "# no users\n");
        assert_eq!(edited("# team\nalice:x", "alice", Edit::Remove).unwrap(), "# team\n# no users\n");
        assert_eq!(edited("\u{feff}alice:x", "alice", Edit::Remove).unwrap(), "\u{feff}# no users\n");
        assert_eq!(edited("# no users\n", "dave", Edit::Add("z")).unwrap(), "# no users\ndave:z\n");
        assert_eq!(edited(TEXT, "ali", Edit::Remove), Err(EditFault::Absent));
        assert_eq!(edited("#alice:x\n", "alice", Edit::Remove), Err(EditFault::Absent));
    }

    #[test]
    fn a_new_line_is_added_at_the_end() {
        assert_eq!(edited(TEXT, "dave", Edit::Add("z")).unwrap(), format!("{TEXT}\ndave:z\n"));
        assert_eq!(edited("", "dave", Edit::Add("z")).unwrap(), "dave:z\n");
        assert_eq!(edited("a:b\r\n", "dave", Edit::Add("z")).unwrap(), "a:b\r\ndave:z\r\n");
        assert_eq!(edited(TEXT, "alice", Edit::Add("z")), Err(EditFault::Exists));
    }

    #[test]
    fn a_bom_is_one_only_before_the_first_line() {
        let set = edited("\u{feff}alice:x\n\u{feff}bob:y\n", "alice", Edit::Set("new"));
        assert_eq!(set.unwrap(), "\u{feff}alice:new\n\u{feff}bob:y\n");
        assert_eq!(edited("a:b\n\u{feff}bob:y\n", "bob", Edit::Remove), Err(EditFault::Absent));
        // Found by the fuzzer: it would have made bob of somebody else.
        let removed = edited("a:b\n\u{feff}bob:y\n", "a", Edit::Remove);
        assert_eq!(removed.unwrap(), "\u{feff}\u{feff}bob:y\n");
    }

    #[test]
    fn a_name_that_would_not_be_read_back_is_refused() {
        for name in ["", "a:b", "a\nb", "#a", " a", "a ", "a\0"] {
            assert!(edited(TEXT, name, Edit::Add("z")).is_err(), "{name:?}");
        }
        assert!(edited(TEXT, "zoë", Edit::Add("z")).is_ok());
    }
}
