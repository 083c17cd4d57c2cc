//! What a reload changed, for the log.

use super::file::{Entry, UserFile};

/// Names of each kind that are logged; a reload may change a million.
const NAMES_MAX: usize = 20;

/// Lines of each kind whose names are looked for: each that can't be used takes a diagnosis.
const LOOKED_AT_MAX: usize = 1000;

/// The users of one kind: how many, and the first few by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// All of them.
    pub count: usize,
    /// In no order, a few at the most; only of lines that were understood.
    pub names: Vec<String>,
}

impl Users {
    fn add(&mut self, file: &UserFile, entry: &Entry) {
        self.count += 1;
        if self.names.len() < NAMES_MAX
            && self.count <= LOOKED_AT_MAX
            && let Some(name) = file.name_to_tell(entry)
        {
            self.names.push(String::from_utf8_lossy(name).into_owned());
        }
    }
}

/// What is other in one file than in the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Not there before.
    pub added: Users,
    /// Not there any more.
    pub removed: Users,
    /// There with another hash.
    pub changed: Users,
}

impl Difference {
    /// Compares two files that were read with the same key.
    pub fn between(old: &UserFile, new: &UserFile) -> Self {
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
    use crate::authn::htpasswd::file::{Rules, parse};

    fn read(text: &str) -> UserFile {
        parse(text.as_bytes().to_vec(), &Rules::default()).users
    }

    #[test]
    fn users_are_told_apart_by_their_lines() {
        let old = read("same:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nchanged:$2y$x\nremoved:$2y$y\n");
        let new =
            read("# moved\nadded:$2y$z\nchanged:$2y$w\nsame:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=:comment\n");
        let difference = Difference::between(&old, &new);
        let one = |name: &str| Users { count: 1, names: vec![name.to_owned()] };
        let expected = Difference { added: one("added"), removed: one("removed"), changed: one("changed") };
        assert_eq!(difference, expected);
        assert_eq!(Difference::between(&new, &new), Difference::default());
    }

    #[test]
    fn text_of_a_line_that_was_not_understood_is_no_name_field_c2() {
        let new =
            read("alice wonderland\nSecret-1\nSecret-2:Secret-3\n$2y$05$Secret-4\nalice,Secret-5,10:00\n");
        let difference = Difference::between(&read(""), &new);
        assert_eq!((difference.added.count, difference.added.names), (5, Vec::new()));
    }

    #[test]
    fn of_many_names_a_few_are_kept() {
        let many: String = (0..1000).map(|n| format!("u{n}:$2y$x\n")).collect();
        let difference = Difference::between(&read("a:x\n"), &read(&many));
        assert_eq!((difference.added.count, difference.added.names.len()), (1000, NAMES_MAX));
        assert_eq!(difference.removed.count, 1);
    }
}
