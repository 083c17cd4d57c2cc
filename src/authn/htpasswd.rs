//! The htpasswd file as an authenticator: the users of the current file, and the lookup of one user's line.

pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod file;
pub(crate) mod line;
pub(crate) mod reload;
pub(crate) mod validate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use self::file::{UserEntry, UserIndex};
use self::line::HtpasswdLineError;
use super::RecordFingerprint;
use super::hash::{HashFormat, PASSWORD_LENGTH_MAX};

/// The fingerprint of a user without a line.
pub(crate) const ABSENT_FINGERPRINT: RecordFingerprint = [0; 16];

/// The users of the current htpasswd file.
#[derive(Debug)]
pub(crate) struct Htpasswd {
    users: ArcSwap<UserIndex>,
    /// A counter that each replacement of the file increments twice.
    generation: AtomicU64,
}

impl Htpasswd {
    /// Creates the authenticator from a parsed file.
    pub(crate) fn new(users: UserIndex) -> Self {
        Self { users: ArcSwap::from_pointee(users), generation: AtomicU64::new(0) }
    }

    /// Replaces the file. Every later lookup uses the new file.
    pub(crate) fn replace(&self, users: UserIndex) {
        // The first increment invalidates cache entries of the old file before the new file is visible. The second
        // one invalidates entries that were written between the increment and the swap.
        self.generation.fetch_add(1, Ordering::SeqCst);
        let old = self.users.swap(Arc::new(users));
        self.generation.fetch_add(1, Ordering::SeqCst);
        // Freeing a million users takes long, so the old file is dropped after the second increment.
        drop(old);
    }

    /// Returns a number that changes with each replacement of the file.
    ///
    /// Read it before a lookup: the result of the lookup is current as long as the number is unchanged.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Returns the users of the current file.
    pub(crate) fn users(&self) -> Arc<UserIndex> {
        self.users.load_full()
    }

    /// Finds the line of `user`. The result keeps the file alive, so a reload does not change it.
    pub(crate) fn look_up(&self, user: &[u8]) -> UserLookup {
        let users = self.users.load_full();
        let entry = users.find(user);
        UserLookup { users, entry }
    }
}

/// The result of a lookup: the line of one user, or its absence, in the file that was current at the time.
#[derive(Clone, Debug)]
pub(crate) struct UserLookup {
    users: Arc<UserIndex>,
    entry: Option<UserEntry>,
}

impl UserLookup {
    /// Returns a fingerprint that changes whenever the line changes.
    pub(crate) fn fingerprint(&self) -> RecordFingerprint {
        self.entry.as_ref().map_or(ABSENT_FINGERPRINT, |entry| entry.fingerprint)
    }

    /// Returns the number of leading password bytes that the check of this line depends on.
    pub(crate) fn significant_password_length(&self) -> usize {
        self.entry
            .as_ref()
            .and_then(|entry| entry.format)
            .map_or(usize::MAX, HashFormat::significant_password_length)
    }

    /// Returns true if the user has a line and the line is valid.
    pub(crate) fn is_valid(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.format.is_some())
    }

    /// Returns the error of the line, if the user has a line and it is invalid.
    pub(crate) fn line_error(&self) -> Option<HtpasswdLineError> {
        self.entry.as_ref().and_then(|entry| self.users.line_error(entry))
    }

    /// Returns the number of the line, counted from 1, if the user has one.
    pub(crate) fn line_number(&self) -> Option<usize> {
        self.entry.as_ref().map(|entry| self.users.line_number(entry))
    }

    /// Returns true if the user has a line, valid or not.
    pub(crate) fn has_line(&self) -> bool {
        self.entry.is_some()
    }

    /// Checks `password`. Returns `None` if the user is unknown.
    ///
    /// Every rejection takes the same time: for an unknown user, an invalid line and a wrong password. A password of
    /// more than [`PASSWORD_LENGTH_MAX`] bytes matches no hash.
    pub(crate) fn check_password(&self, password: &[u8]) -> Option<bool> {
        if password.len() > PASSWORD_LENGTH_MAX {
            return self.entry.as_ref().map(|_| false);
        }
        let format = self.entry.as_ref().and_then(|entry| entry.format);
        if let (Some(entry), Some(format)) = (&self.entry, format)
            && format.verify(self.users.hash_text(entry), password)
        {
            return Some(true);
        }
        for dummy in self.users.timing_equalizer().dummy_work(format) {
            dummy.run_dummy_check(password);
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
