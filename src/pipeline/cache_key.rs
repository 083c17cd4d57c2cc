//! The name under which an answer is kept: a keyed hash of all that the answer depends on.
//!
//! Two questions with one key are taken for the same question, so the key must be beyond anyone's
//! power to collide: BLAKE3, keyed with 32 random bytes that live as long as the process. Every
//! part is framed by its length, so that no two pairs of user and password run into each other.
//!
//! A question and the good answer to it have names of their own, see [`Names`].

use std::hash::{BuildHasher, Hasher};

use zeroize::Zeroizing;

use crate::authn::hash::{PASSWORD_LENGTH_MAX, SIGNIFICANT_PASSWORD_LENGTH_MIN};
use crate::authn::{Credentials, LocalRecord, RecordFingerprint};

/// What kind of credential a key stands for; others come with other authenticators.
const CREDENTIAL_TYPE_BASIC: u8 = b'B';

/// The name of one question: see the top of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Eight of its bytes, to tell one wrong password from another.
    pub fn attempt_id(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// What a question is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKeys {
    /// The question itself, by the whole password. The throttle, the rejections and the checks under way
    /// go by it, since it says nothing of how the user's password is kept, or whether there is one.
    pub check_key: CacheKey,
    /// The good answer to it, by as much of the password as is looked at: who has a long password must not
    /// have a hash done for each of its endings.
    pub answer_key: CacheKey,
}

/// Makes the keys; has the process's random key, and another derived from it.
pub struct CacheKeyMaker {
    cache_key_secret: Zeroizing<[u8; 32]>,
    header_key_secret: Zeroizing<[u8; 32]>,
}

impl CacheKeyMaker {
    /// With a random key of 32 bytes.
    pub fn new(random: [u8; 32]) -> Self {
        let headers =
            Zeroizing::new(blake3::derive_key("doorward: Authorization headers in a worker's memo", &random));
        Self { cache_key_secret: Zeroizing::new(random), header_key_secret: headers }
    }

    /// The names of the question whether `credentials` are right, given these records.
    pub fn derive_keys_for(&self, credentials: &mut Credentials, records: &LocalRecord) -> CacheKeys {
        self.derive_keys(credentials, &records.fingerprint(), records.significant_password_length())
    }

    #[cfg(test)]
    pub(super) fn check_key_for_test(&self, credentials: &mut Credentials) -> CacheKey {
        self.derive_keys(credentials, &[0; 16], usize::MAX).check_key
    }

    fn derive_keys(
        &self,
        credentials: &mut Credentials,
        records: &RecordFingerprint,
        password_max: usize,
    ) -> CacheKeys {
        let is_long = credentials.password().len() > SIGNIFICANT_PASSWORD_LENGTH_MIN;
        // Compared with no hash, so it shares no answer with one that is.
        let is_hashed = credentials.password().len() <= PASSWORD_LENGTH_MAX;
        let least = credentials.cache_key_input_length(SIGNIFICANT_PASSWORD_LENGTH_MIN);
        let frame = credentials.encode_cache_key_input(CREDENTIAL_TYPE_BASIC, records);
        let question = CacheKey(blake3::keyed_hash(&self.cache_key_secret, frame).into());
        // Whoever the user is, a long password is named twice: the work says nothing either.
        let start = frame.get(..least).filter(|_| is_long);
        let cut = start.map(|start| CacheKey(blake3::keyed_hash(&self.cache_key_secret, start).into()));
        let is_cut = password_max <= SIGNIFICANT_PASSWORD_LENGTH_MIN && is_hashed;
        let answer = cut.filter(|_| is_cut).unwrap_or(question);
        CacheKeys { check_key: question, answer_key: answer }
    }

    /// What a bearer token is known by to the throttle.
    pub fn token_attempt_id(&self, token: &str) -> u64 {
        CacheKey(self.hash_header(token.as_bytes())).attempt_id()
    }

    /// What an `Authorization` header is known by, as it was sent.
    pub fn hash_header(&self, value: &[u8]) -> [u8; 32] {
        blake3::keyed_hash(&self.header_key_secret, value).into()
    }
}

/// The hasher of maps whose keys are uniform already, and out of a client's control.
#[derive(Clone, Copy, Debug, Default)]
pub struct UniformKeyHasher(u64);

impl Hasher for UniformKeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for UniformKeyHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(user: &str, password: &str, records: u8, password_max: usize) -> CacheKeys {
        let frame = "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH);
        let framed = Zeroizing::new(format!("{frame}{user}:{password}").into_bytes());
        let mut credentials = Credentials::new(framed).expect("a colon");
        CacheKeyMaker::new([1; 32]).derive_keys(&mut credentials, &[records; 16], password_max)
    }

    fn check_key_for(user: &str, password: &str, records: u8) -> CacheKey {
        names(user, password, records, usize::MAX).check_key
    }

    #[test]
    fn changed_user_password_or_record_changes_check_key() {
        assert_eq!(check_key_for("alice", "secret", 0), check_key_for("alice", "secret", 0));
        assert_ne!(check_key_for("alice", "secret", 0), check_key_for("alice", "secret", 1));
        assert_ne!(check_key_for("alice", "secret", 0), check_key_for("alice", "secreT", 0));
        assert_ne!(check_key_for("alice", "secret", 0), check_key_for("alic", "secret", 0));
    }

    #[test]
    fn different_splits_of_user_and_password_give_different_keys() {
        // Traefik GHSA-6765-c87h-8mrf: user and password in one text without a frame.
        assert_ne!(check_key_for("ab", "cd", 0), check_key_for("abc", "d", 0));
        assert_ne!(check_key_for("a", "b:c", 0), check_key_for("a", "b", 0));
        assert_ne!(check_key_for("a", "", 0), check_key_for("", "a", 0));
    }

    #[test]
    fn bytes_after_72_change_check_key_but_not_answer_key() {
        let long = "x".repeat(71);
        for (a, b, is_one) in [("1", "2", false), ("11", "12", true), ("1", "12", true)] {
            let [a, b] = [a, b].map(|end| names("a", &format!("{long}{end}"), 0, 72));
            assert_eq!(a.answer_key == b.answer_key, is_one);
            assert_ne!(a.check_key, b.check_key);
        }
        let [one, beyond] = [1024, 1025].map(|length| names("a", &"x".repeat(length), 0, 72));
        assert_ne!(
            one.answer_key, beyond.answer_key,
            "no answer is shared with a password that no hash is compared with"
        );
        for password in ["short".to_owned(), format!("{long}123")] {
            let whole = names("a", &password, 0, usize::MAX);
            assert_eq!(whole.answer_key, whole.check_key);
        }
    }
}
