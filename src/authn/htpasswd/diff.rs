//! What a reload changed, for the log.

use super::file::{UserEntry, UserIndex};

/// Names of each kind that are logged; a reload may change a million.
const LOGGED_NAMES_MAX: usize = 20;

/// Lines of each kind whose names are looked for: each that can't be used takes a diagnosis.
const DIAGNOSED_LINES_MAX: usize = 1000;

/// The users of one kind: how many, and the first few by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedUsers {
    /// All of them.
    pub count: usize,
    /// In no order, a few at the most; only of lines that were understood.
    pub names: Vec<String>,
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

/// What is other in one file than in the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HtpasswdDiff {
    /// Not there before.
    pub added: ChangedUsers,
    /// Not there any more.
    pub removed: ChangedUsers,
    /// There with another hash.
    pub changed: ChangedUsers,
}

impl HtpasswdDiff {
    /// Compares two files that were read with the same key.
    pub fn between(old: &UserIndex, new: &UserIndex) -> Self {
        let mut difference = Self::default();
        for (name, entry) in new.entries() {
            match old.find(name) {
                None => difference.added.add(new, entry),
                Some(before) if before.fingerprint != entry.fingerprint => difference.changed.add(new, entry),
                Some(_) => {}
            }
        }
        for (name, entry) in old.entries() {
            if new.find(name).is_none() {
                difference.removed.add(old, entry);
            }
        }
        difference
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
