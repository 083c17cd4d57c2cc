//! The difference between two htpasswd files, logged after a reload.

use super::file::{UserEntry, UserIndex};

/// The maximum number of names that are logged of added, removed and changed users each. A reload can change a
/// million.
const LOGGED_NAMES_MAX: usize = 20;

/// The maximum number of lines of each kind whose names are collected. An invalid line must be diagnosed first.
const DIAGNOSED_LINES_MAX: usize = 1000;

/// The added, removed or changed users: their number, and the names of a few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangedUsers {
    /// The number of users.
    pub(crate) count: usize,
    /// The names of at most `LOGGED_NAMES_MAX` users, in no order. A name is included only if its line was recognized:
    /// in any other line, the text before the colon may be a password.
    pub(crate) names: Vec<String>,
}

impl ChangedUsers {
    fn add(&mut self, file: &UserIndex, entry: &UserEntry) {
        self.count += 1;
        if self.names.len() < LOGGED_NAMES_MAX
            && self.count <= DIAGNOSED_LINES_MAX
            && let Some(name) = file.loggable_name(entry)
        {
            self.names.push(String::from_utf8_lossy(name).into_owned());
        }
    }
}

/// The users that differ between two files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HtpasswdDiff {
    /// Users only in the new file.
    pub(crate) added: ChangedUsers,
    /// Users only in the old file.
    pub(crate) removed: ChangedUsers,
    /// Users in both files, with different hashes.
    pub(crate) changed: ChangedUsers,
}

impl HtpasswdDiff {
    /// Compares two files that were parsed with the same fingerprint key.
    pub(crate) fn between(old: &UserIndex, new: &UserIndex) -> Self {
        let mut diff = Self::default();
        for (name, entry) in new.entries() {
            match old.find(name) {
                None => diff.added.add(new, entry),
                Some(before) if before.fingerprint != entry.fingerprint => diff.changed.add(new, entry),
                Some(_) => {}
            }
        }
        for (name, entry) in old.entries() {
            if new.find(name).is_none() {
                diff.removed.add(old, entry);
            }
        }
        diff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::htpasswd::file::{HtpasswdParseOptions, parse};

    fn read(text: &str) -> UserIndex {
        parse(text.as_bytes().to_vec(), &HtpasswdParseOptions::default()).users
    }

    #[test]
    fn diff_lists_added_removed_and_changed_users() {
        let old = read("same:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nchanged:$2y$x\nremoved:$2y$y\n");
        let new =
            read("# moved\nadded:$2y$z\nchanged:$2y$w\nsame:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=:comment\n");
        let difference = HtpasswdDiff::between(&old, &new);
        let one = |name: &str| ChangedUsers { count: 1, names: vec![name.to_owned()] };
        let expected = HtpasswdDiff { added: one("added"), removed: one("removed"), changed: one("changed") };
        assert_eq!(difference, expected);
        assert_eq!(HtpasswdDiff::between(&new, &new), HtpasswdDiff::default());
    }

    #[test]
    fn invalid_line_is_counted_without_its_text_field_c2() {
        let new =
            read("alice wonderland\nSecret-1\nSecret-2:Secret-3\n$2y$05$Secret-4\nalice,Secret-5,10:00\n");
        let difference = HtpasswdDiff::between(&read(""), &new);
        assert_eq!((difference.added.count, difference.added.names), (5, Vec::new()));
    }

    #[test]
    fn number_of_logged_names_is_bounded() {
        let many: String = (0..1000).map(|n| format!("u{n}:$2y$x\n")).collect();
        let difference = HtpasswdDiff::between(&read("a:x\n"), &read(&many));
        assert_eq!((difference.added.count, difference.added.names.len()), (1000, LOGGED_NAMES_MAX));
        assert_eq!(difference.removed.count, 1);
    }
}
