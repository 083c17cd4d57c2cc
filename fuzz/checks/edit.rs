//! Edits of htpasswd files: a letter (a, s or r for add, set or remove), a name, a line's end, and the
//! file. Afterwards the user's line is as wished, every other line is byte for byte what it was, and
//! the reader finds the same other users with the same hashes.

use crate::authn::htpasswd::edit::{HtpasswdEdit, HtpasswdEditError, apply_edit, check_name};
use crate::authn::htpasswd::file::{HtpasswdParseOptions, UserIndex, parse};

/// A well-formed hash of an unknown password.
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ0123.";

const BOM: &[u8] = b"\xef\xbb\xbf";

fn read(text: &[u8]) -> UserIndex {
    parse(
        text.to_vec(),
        &HtpasswdParseOptions { fingerprint_key: [7; 32], ..HtpasswdParseOptions::default() },
    )
    .users
}

/// The lines of a text, each with its end, except those that the reader takes for lines of `name`.
fn lines_of_others<'t>(text: &'t [u8], name: &[u8]) -> Vec<&'t [u8]> {
    let lines = text.strip_prefix(BOM).unwrap_or(text).split_inclusive(|byte| *byte == b'\n');
    // A byte order mark is one only at the very start, and that was passed over.
    lines.filter(|line| read(&[b"\n", *line].concat()).find(name).is_none()).collect()
}

/// Checks that every other user is unchanged.
fn check_others(before: &UserIndex, after: &UserIndex, name: &[u8]) {
    for (other, entry) in before.entries().filter(|(other, _)| *other != name) {
        let now = after.find(other).expect("the others are still there");
        assert_eq!(now.fingerprint, entry.fingerprint);
        assert_eq!(after.hash_text(&now), before.hash_text(entry));
    }
}

/// Runs the check with one input of the fuzzer.
pub fn run(input: &[u8]) {
    let Some((letter, rest)) = input.split_first() else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (given, text) = (&rest[..end], &rest[end + 1..]);
    let before = read(text);
    // A name of the file's own more often than chance would have it.
    let mut names: Vec<&[u8]> = before.entries().map(|(name, _)| name).collect();
    names.sort_unstable();
    let name = match given {
        [b'0'..=b'9'] => names.get(usize::from(given[0] - b'0')).map_or(given, |name| *name),
        _ => given,
    };
    let edit = match letter {
        b'a' => HtpasswdEdit::Add(HASH),
        b's' => HtpasswdEdit::SetHash(HASH),
        b'r' => HtpasswdEdit::Remove,
        _ => return,
    };
    let known = before.find(name);
    let changed = match apply_edit(text, name, edit) {
        Ok(changed) => changed,
        Err(HtpasswdEditError::UserExists) => return assert!(known.is_some()),
        Err(HtpasswdEditError::UserNotFound) => return assert!(known.is_none()),
        // Text that is something else is not touched.
        Err(HtpasswdEditError::NotHtpasswd(_) | HtpasswdEditError::NoUserLines(_)) => return,
        Err(_) => return assert!(check_name(name).is_err()),
    };
    let after = read(&changed);
    let written = after.find(name).map(|entry| after.hash_text(&entry).to_vec());
    match edit {
        HtpasswdEdit::Remove => assert_eq!(written, None),
        HtpasswdEdit::Add(_) | HtpasswdEdit::SetHash(_) => {
            assert_eq!(written.as_deref(), Some(HASH.as_bytes()))
        }
    }
    let (added, removed) = (matches!(edit, HtpasswdEdit::Add(_)), matches!(edit, HtpasswdEdit::Remove));
    assert_eq!(known.is_some(), !added);
    assert_eq!(after.len() + usize::from(removed), before.len() + usize::from(added));
    check_others(&before, &after, name);
    if added {
        assert!(changed.starts_with(text));
    }
    // If the user has several lines, the second and later ones can remain.
    let (was, is) = (lines_of_others(text, name), lines_of_others(&changed, name));
    assert_eq!(was.concat(), is.concat().get(..was.concat().len()).unwrap_or_default());
}
