//! What a reload changed, for the log.

use super::file::UserFile;

/// Names of each kind that are logged; a reload may change a million.
const NAMES_MAX: usize = 20;

/// The users of one kind: how many, and the first few by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// All of them.
    pub count: usize,
    /// In no order, a few at the most.
    pub names: Vec<String>,
}

impl Users {
    fn add(&mut self, name: &[u8]) {
        self.count += 1;
        if self.names.len() < NAMES_MAX {
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
                None => difference.added.add(name),
                Some(before) if before.fingerprint != entry.fingerprint => difference.changed.add(name),
                Some(_) => {}
            }
        }
        for (name, _) in old.entries() {
            if new.find(name).is_none() {
                difference.removed.add(name);
            }
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{Rules, parse};
    use super::*;

    fn read(text: &str) -> UserFile {
        parse(text.as_bytes().to_vec(), &Rules::default()).users
    }

    #[test]
    fn users_are_told_apart_by_their_lines() {
        let old = read("same:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\nchanged:x\nremoved:y\n");
        let new = read("# moved\nadded:z\nchanged:w\nsame:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=:comment\n");
        let difference = Difference::between(&old, &new);
        let one = |name: &str| Users { count: 1, names: vec![name.to_owned()] };
        let expected = Difference { added: one("added"), removed: one("removed"), changed: one("changed") };
        assert_eq!(difference, expected);
        assert_eq!(Difference::between(&new, &new), Difference::default());
    }

    #[test]
    fn of_many_names_a_few_are_kept() {
        let many: String = (0..1000).map(|n| format!("u{n}:x\n")).collect();
        let difference = Difference::between(&read("a:x\n"), &read(&many));
        assert_eq!((difference.added.count, difference.added.names.len()), (1000, NAMES_MAX));
        assert_eq!(difference.removed.count, 1);
    }
}
