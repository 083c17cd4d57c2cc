//! Cache keys: keyed hashes of everything that an answer depends on.
//!
//! Two checks with the same key are the same check, so no client may be able to find a collision. The hash is
//! BLAKE3, keyed with 32 random bytes of the process. The length of every part is part of the input, so that
//! different pairs of user and password never have the same input.
//!
//! A check and its accepted answer have different keys, see [`CacheKeys`].

use std::hash::{BuildHasher, Hasher};

use zeroize::Zeroizing;

use crate::authn::hash::{PASSWORD_LENGTH_MAX, SIGNIFICANT_PASSWORD_LENGTH_MIN};
use crate::authn::{Credentials, LocalRecord, RecordFingerprint};

/// The type of credentials in the input of the hash: a user name and a password.
const CREDENTIAL_TYPE_BASIC: u8 = b'B';

/// The key of a check or of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Returns eight of its bytes. The throttle distinguishes wrong passwords by them.
    pub fn attempt_id(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// The keys of a check and of its accepted answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKeys {
    /// The key of the check, over the whole password. The throttle, stored rejections and single flight use it. It
    /// does not depend on the user's hash format or on whether the user exists, so it reveals neither.
    pub check_key: CacheKey,
    /// The key of the accepted answer, over the significant bytes of the password. If the user's hash ignores the
    /// end of a long password, passwords that differ only there share one hash.
    pub answer_key: CacheKey,
}

/// Derives the keys. It contains the random key of the process, and a second key derived from it.
pub struct CacheKeyMaker {
    cache_key_secret: Zeroizing<[u8; 32]>,
    header_key_secret: Zeroizing<[u8; 32]>,
}

impl CacheKeyMaker {
    /// Creates the maker from 32 random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        let header_key_secret =
            Zeroizing::new(blake3::derive_key("doorward: Authorization headers in a worker cache", &random));
        Self { cache_key_secret: Zeroizing::new(random), header_key_secret }
    }

    /// Returns the keys for a check of `credentials` against these records.
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
        significant_password_length: usize,
    ) -> CacheKeys {
        let is_long = credentials.password().len() > SIGNIFICANT_PASSWORD_LENGTH_MIN;
        // A longer password is compared with no hash, so it must not share an answer with one that is.
        let is_hashed = credentials.password().len() <= PASSWORD_LENGTH_MAX;
        let truncated_length = credentials.cache_key_input_length(SIGNIFICANT_PASSWORD_LENGTH_MIN);
        let input = credentials.encode_cache_key_input(CREDENTIAL_TYPE_BASIC, records);
        let check_key = CacheKey(blake3::keyed_hash(&self.cache_key_secret, input).into());
        // A long password is always hashed twice, so that the time does not reveal the user's hash format.
        let truncated = input.get(..truncated_length).filter(|_| is_long);
        let truncated_key =
            truncated.map(|input| CacheKey(blake3::keyed_hash(&self.cache_key_secret, input).into()));
        let is_truncated = significant_password_length <= SIGNIFICANT_PASSWORD_LENGTH_MIN && is_hashed;
        let answer_key = truncated_key.filter(|_| is_truncated).unwrap_or(check_key);
        CacheKeys { check_key, answer_key }
    }

    /// Returns the attempt id of a bearer token for the throttle.
    pub fn token_attempt_id(&self, token: &str) -> u64 {
        CacheKey(self.hash_header(token.as_bytes())).attempt_id()
    }

    /// Returns the keyed hash of an `Authorization` header as it was sent.
    pub fn hash_header(&self, value: &[u8]) -> [u8; 32] {
        blake3::keyed_hash(&self.header_key_secret, value).into()
    }
}

/// A hasher for keys that are already uniform and that no client controls: it returns the first eight bytes.
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

    fn keys_for(user: &str, password: &str, record: u8, significant_length: usize) -> CacheKeys {
        let header = "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH);
        let buffer = Zeroizing::new(format!("{header}{user}:{password}").into_bytes());
        let mut credentials = Credentials::new(buffer).expect("a colon");
        CacheKeyMaker::new([1; 32]).derive_keys(&mut credentials, &[record; 16], significant_length)
    }

    fn check_key_for(user: &str, password: &str, record: u8) -> CacheKey {
        keys_for(user, password, record, usize::MAX).check_key
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
        // Traefik GHSA-6765-c87h-8mrf: user and password in one text without a length.
        assert_ne!(check_key_for("ab", "cd", 0), check_key_for("abc", "d", 0));
        assert_ne!(check_key_for("a", "b:c", 0), check_key_for("a", "b", 0));
        assert_ne!(check_key_for("a", "", 0), check_key_for("", "a", 0));
    }

    #[test]
    fn bytes_after_72_change_check_key_but_not_answer_key() {
        let long = "x".repeat(71);
        for (a, b, is_shared) in [("1", "2", false), ("11", "12", true), ("1", "12", true)] {
            let [a, b] = [a, b].map(|end| keys_for("a", &format!("{long}{end}"), 0, 72));
            assert_eq!(a.answer_key == b.answer_key, is_shared);
            assert_ne!(a.check_key, b.check_key);
        }
        let [hashed, too_long] = [1024, 1025].map(|length| keys_for("a", &"x".repeat(length), 0, 72));
        assert_ne!(
            hashed.answer_key, too_long.answer_key,
            "a password that is too long for a hash shares no answer"
        );
        for password in ["short".to_owned(), format!("{long}123")] {
            let keys = keys_for("a", &password, 0, usize::MAX);
            assert_eq!(keys.answer_key, keys.check_key);
        }
    }
}
