//! The htpasswd file as an authenticator: the file in force, and the look-up of one user's line.

pub mod diff;
pub mod edit;
pub mod file;
pub mod line;
pub mod reload;
pub mod validate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use self::file::{UserEntry, UserIndex};
use self::line::HtpasswdLineError;
use super::RecordFingerprint;
use super::hash::{HashFormat, PASSWORD_LENGTH_MAX};

/// The fingerprint of a line that is not there.
pub const ABSENT_FINGERPRINT: RecordFingerprint = [0; 16];

/// The users of the htpasswd file that is in force.
#[derive(Debug)]
pub struct Htpasswd {
    users: ArcSwap<UserIndex>,
    /// How often the file was replaced.
    generation: AtomicU64,
}

impl Htpasswd {
    /// Starts from a file that was read and found good.
    pub fn new(users: UserIndex) -> Self {
        Self { users: ArcSwap::from_pointee(users), generation: AtomicU64::new(0) }
    }

    /// Puts another file in force, for every look-up from now on.
    pub fn replace(&self, users: UserIndex) {
        // Before, so that no note of the old file counts once anybody can see the new one; and after,
        // so that none counts which was written in between.
        self.generation.fetch_add(1, Ordering::SeqCst);
        let old = self.users.swap(Arc::new(users));
        self.generation.fetch_add(1, Ordering::SeqCst);
        // To free a million users takes a while.
        drop(old);
    }

    /// How often the file was replaced. Read before a look-up, it is a promise: while the number
    /// is the same, so is what was found.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The file in force.
    pub fn users(&self) -> Arc<UserIndex> {
        self.users.load_full()
    }

    /// Finds the line of `user`, and holds on to the file that it stands in.
    pub fn look_up(&self, user: &[u8]) -> UserLookup {
        let users = self.users.load_full();
        let entry = users.find(user);
        UserLookup { users, entry }
    }
}

/// One user's line, or its absence, in the file that was in force at the time.
#[derive(Clone, Debug)]
pub struct UserLookup {
    users: Arc<UserIndex>,
    entry: Option<UserEntry>,
}

impl UserLookup {
    /// Changes whenever the line does.
    pub fn fingerprint(&self) -> RecordFingerprint {
        self.entry.as_ref().map_or(ABSENT_FINGERPRINT, |entry| entry.fingerprint)
    }

    /// How many bytes of a password this line's check looks at.
    pub fn significant_password_length(&self) -> usize {
        self.entry
            .as_ref()
            .and_then(|entry| entry.format)
            .map_or(usize::MAX, HashFormat::significant_password_length)
    }

    /// Whether there is such a line, and it is well.
    pub fn is_valid(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.format.is_some())
    }

    /// Why the line can't be used, if there is one and it can't.
    pub fn line_error(&self) -> Option<HtpasswdLineError> {
        self.entry.as_ref().and_then(|entry| self.users.line_error(entry))
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
    pub fn check_password(&self, password: &[u8]) -> Option<bool> {
        if password.len() > PASSWORD_LENGTH_MAX {
            return self.entry.as_ref().map(|_| false);
        }
        let format = self.entry.as_ref().and_then(|entry| entry.format);
        if let (Some(entry), Some(format)) = (&self.entry, format)
            && format.verify(self.users.hash_text(entry), password)
        {
            return Some(true);
        }
        for decoy in self.users.timing_equalizer().dummy_work(format) {
            decoy.run_dummy_check(password);
        }
        self.entry.as_ref().map(|_| false)
    }
}

#[cfg(test)]
mod tests {
    use super::file::{HtpasswdParseOptions, parse};
    use super::*;

    fn htpasswd(text: &str) -> Htpasswd {
        Htpasswd::new(
            parse(
                text.as_bytes().to_vec(),
                &HtpasswdParseOptions { fingerprint_key: [7; 32], ..HtpasswdParseOptions::default() },
            )
            .users,
        )
    }

    const ALICE: &str = "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"; // "password"

    #[test]
    fn only_the_right_password_is_accepted() {
        let users = htpasswd(ALICE);
        assert_eq!(users.look_up(b"alice").check_password(b"password"), Some(true));
        assert_eq!(users.look_up(b"alice").check_password(b"Password"), Some(false));
        assert_eq!(users.look_up(b"alice").check_password(b"password\0"), Some(false));
        assert_eq!(users.look_up(b"Alice").check_password(b"password"), None);
        let long = [b'x'; PASSWORD_LENGTH_MAX + 1];
        assert_eq!(users.look_up(b"alice").check_password(&long), Some(false));
        assert_eq!(users.look_up(b"nobody").check_password(&long), None);
    }

    #[test]
    fn user_with_invalid_line_is_rejected_and_not_unknown() {
        let users = htpasswd("alice:$2y$\n");
        assert_eq!(users.look_up(b"alice").check_password(b"password"), Some(false));
    }

    #[test]
    fn lookup_keeps_its_line_after_a_reload() {
        let users = htpasswd(ALICE);
        let before = users.look_up(b"alice");
        users.replace(
            parse(
                b"alice:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".to_vec(),
                &HtpasswdParseOptions { fingerprint_key: [7; 32], ..HtpasswdParseOptions::default() },
            )
            .users,
        );
        let after = users.look_up(b"alice");
        assert_ne!(before.fingerprint(), after.fingerprint());
        assert_eq!(before.check_password(b"password"), Some(true));
        assert_eq!(after.check_password(b"password"), Some(false));
    }

    #[test]
    fn change_of_another_users_line_keeps_the_fingerprint() {
        let users = htpasswd(ALICE);
        let before = users.look_up(b"alice").fingerprint();
        users.replace(
            parse(
                format!("# new\nbob:x\n{ALICE}").into_bytes(),
                &HtpasswdParseOptions { fingerprint_key: [7; 32], ..HtpasswdParseOptions::default() },
            )
            .users,
        );
        assert_eq!(users.look_up(b"alice").fingerprint(), before);
        assert_ne!(users.look_up(b"bob").fingerprint(), users.look_up(b"carol").fingerprint());
    }
}
