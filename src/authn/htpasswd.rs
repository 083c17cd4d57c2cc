//! The htpasswd file as an authenticator: the file in force, and the look-up of one user's line.

pub mod difference;
pub mod edit;
pub mod file;
pub mod line;
pub mod reload;
pub mod source;
pub mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use self::file::{Entry, UserFile};
use self::line::LineFault;
use super::Fingerprint;
use super::hash::{Format, PASSWORD_MAX};

/// The fingerprint of a line that is not there.
pub const ABSENT: Fingerprint = [0; 16];

/// The users of the htpasswd file that is in force.
#[derive(Debug)]
pub struct Htpasswd {
    users: ArcSwap<UserFile>,
    /// How often the file was replaced.
    replaced: AtomicU64,
}

impl Htpasswd {
    /// Starts from a file that was read and found good.
    pub fn new(users: UserFile) -> Self {
        Self { users: ArcSwap::from_pointee(users), replaced: AtomicU64::new(0) }
    }

    /// Puts another file in force, for every look-up from now on.
    pub fn replace(&self, users: UserFile) {
        // Before, so that no note of the old file counts once anybody can see the new one; and after,
        // so that none counts which was written in between.
        self.replaced.fetch_add(1, Ordering::SeqCst);
        let old = self.users.swap(Arc::new(users));
        self.replaced.fetch_add(1, Ordering::SeqCst);
        // To free a million users takes a while.
        drop(old);
    }

    /// How often the file was replaced. Read before a look-up, it is a promise: while the number
    /// is the same, so is what was found.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::SeqCst)
    }

    /// The file in force.
    pub fn users(&self) -> Arc<UserFile> {
        self.users.load_full()
    }

    /// Finds the line of `user`, and holds on to the file that it stands in.
    pub fn look_up(&self, user: &[u8]) -> Lookup {
        let users = self.users.load_full();
        let entry = users.find(user);
        Lookup { users, entry }
    }
}

/// One user's line, or its absence, in the file that was in force at the time.
#[derive(Clone, Debug)]
pub struct Lookup {
    users: Arc<UserFile>,
    entry: Option<Entry>,
}

impl Lookup {
    /// Changes whenever the line does.
    pub fn fingerprint(&self) -> Fingerprint {
        self.entry.as_ref().map_or(ABSENT, |entry| entry.fingerprint)
    }

    /// How many bytes of a password this line's check looks at.
    pub fn password_max(&self) -> usize {
        self.entry.as_ref().and_then(|entry| entry.format).map_or(usize::MAX, Format::password_max)
    }

    /// Whether there is such a line, and it is well.
    pub fn is_usable(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.format.is_some())
    }

    /// Why the line can't be used, if there is one and it can't.
    pub fn fault(&self) -> Option<LineFault> {
        self.entry.as_ref().and_then(|entry| self.users.fault(entry))
    }

    /// The number of the line, from 1, if there is one.
    pub fn line_number(&self) -> Option<usize> {
        self.entry.as_ref().map(|entry| self.users.line_number(entry))
    }

    /// Whether there is such a line, well or damaged.
    pub fn has_line(&self) -> bool {
        self.entry.is_some()
    }

    /// Checks `password`: `None` where there is no such user. Every "no" takes the same time,
    /// whether the user is unknown, his line is damaged, or his password another. A password of more than
    /// [`PASSWORD_MAX`] bytes matches no hash.
    pub fn check(&self, password: &[u8]) -> Option<bool> {
        if password.len() > PASSWORD_MAX {
            return self.entry.as_ref().map(|_| false);
        }
        let format = self.entry.as_ref().and_then(|entry| entry.format);
        if let (Some(entry), Some(format)) = (&self.entry, format)
            && format.verify(self.users.hash_text(entry), password)
        {
            return Some(true);
        }
        for decoy in self.users.costliest().rest_of_refusal(format) {
            decoy.waste(password);
        }
        self.entry.as_ref().map(|_| false)
    }
}

#[cfg(test)]
mod tests {
    use super::file::{Rules, parse};
    use super::*;

    fn htpasswd(text: &str) -> Htpasswd {
        Htpasswd::new(parse(text.as_bytes().to_vec(), &Rules { key: [7; 32], ..Rules::default() }).users)
    }

    const ALICE: &str = "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"; // "password"

    #[test]
    fn the_right_password_is_accepted_and_nothing_else_is() {
        let users = htpasswd(ALICE);
        assert_eq!(users.look_up(b"alice").check(b"password"), Some(true));
        assert_eq!(users.look_up(b"alice").check(b"Password"), Some(false));
        assert_eq!(users.look_up(b"alice").check(b"password\0"), Some(false));
        assert_eq!(users.look_up(b"Alice").check(b"password"), None);
        let long = [b'x'; PASSWORD_MAX + 1];
        assert_eq!(users.look_up(b"alice").check(&long), Some(false));
        assert_eq!(users.look_up(b"nobody").check(&long), None);
    }

    #[test]
    fn a_damaged_line_makes_its_user_rejected_and_not_unknown() {
        let users = htpasswd("alice:$2y$\n");
        assert_eq!(users.look_up(b"alice").check(b"password"), Some(false));
    }

    #[test]
    fn a_look_up_keeps_the_line_that_it_found() {
        let users = htpasswd(ALICE);
        let before = users.look_up(b"alice");
        users.replace(
            parse(
                b"alice:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".to_vec(),
                &Rules { key: [7; 32], ..Rules::default() },
            )
            .users,
        );
        let after = users.look_up(b"alice");
        assert_ne!(before.fingerprint(), after.fingerprint());
        assert_eq!(before.check(b"password"), Some(true));
        assert_eq!(after.check(b"password"), Some(false));
    }

    #[test]
    fn another_users_line_leaves_the_fingerprint_alone() {
        let users = htpasswd(ALICE);
        let before = users.look_up(b"alice").fingerprint();
        users.replace(
            parse(format!("# new\nbob:x\n{ALICE}").into_bytes(), &Rules { key: [7; 32], ..Rules::default() })
                .users,
        );
        assert_eq!(users.look_up(b"alice").fingerprint(), before);
        assert_ne!(users.look_up(b"bob").fingerprint(), users.look_up(b"carol").fingerprint());
    }
}
