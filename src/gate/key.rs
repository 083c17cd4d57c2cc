//! The name under which an answer is kept: a keyed hash of all that the answer depends on.
//!
//! Two questions with one key are taken for the same question, so the key must be beyond anyone's
//! power to collide: BLAKE3, keyed with 32 random bytes that live as long as the process. Every
//! part is framed by its length, so that no two pairs of user and password run into each other.

use std::hash::{BuildHasher, Hasher};

use zeroize::Zeroizing;

use crate::authn::{Credentials, Fingerprint, Records};

/// What kind of credential a key stands for; others come with other authenticators.
const BASIC: u8 = b'B';

/// The name of one question: see the top of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Eight of its bytes, to tell one wrong password from another.
    pub fn short(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Makes the keys; has the process's random key, and another derived from it.
pub struct KeyMaker {
    questions: Zeroizing<[u8; 32]>,
    headers: Zeroizing<[u8; 32]>,
}

impl KeyMaker {
    /// With a random key of 32 bytes.
    pub fn new(random: [u8; 32]) -> Self {
        let headers =
            Zeroizing::new(blake3::derive_key("doorward: Authorization headers in a worker's memo", &random));
        Self { questions: Zeroizing::new(random), headers }
    }

    /// The key of the question whether `credentials` are right, given these records.
    pub fn key(&self, credentials: &mut Credentials, records: &Records) -> CacheKey {
        self.framed(credentials, &records.fingerprint(), records.password_max())
    }

    #[cfg(test)]
    pub(super) fn for_test(&self, credentials: &mut Credentials) -> CacheKey {
        self.framed(credentials, &[0; 16], usize::MAX)
    }

    fn framed(&self, credentials: &mut Credentials, records: &Fingerprint, password_max: usize) -> CacheKey {
        CacheKey(blake3::keyed_hash(&self.questions, credentials.frame(BASIC, records, password_max)).into())
    }

    /// What an `Authorization` header is known by, as it was sent.
    pub fn header(&self, value: &[u8]) -> [u8; 32] {
        blake3::keyed_hash(&self.headers, value).into()
    }
}

/// The hasher of maps whose keys are uniform already, and out of a client's control.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uniform(u64);

impl Hasher for Uniform {
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

impl BuildHasher for Uniform {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str, password: &str, records: u8) -> CacheKey {
        let frame = "\0".repeat(Credentials::FRAME);
        let framed = Zeroizing::new(format!("{frame}{user}:{password}").into_bytes());
        let mut credentials = Credentials::new(framed).expect("a colon");
        KeyMaker::new([1; 32]).framed(&mut credentials, &[records; 16], 72)
    }

    #[test]
    fn every_part_makes_another_key() {
        assert_eq!(key("alice", "secret", 0), key("alice", "secret", 0));
        assert_ne!(key("alice", "secret", 0), key("alice", "secret", 1));
        assert_ne!(key("alice", "secret", 0), key("alice", "secreT", 0));
        assert_ne!(key("alice", "secret", 0), key("alic", "secret", 0));
    }

    #[test]
    fn no_two_pairs_run_into_each_other() {
        // Traefik GHSA-6765-c87h-8mrf: user and password in one text without a frame.
        assert_ne!(key("ab", "cd", 0), key("abc", "d", 0));
        assert_ne!(key("a", "b:c", 0), key("a", "b", 0));
        assert_ne!(key("a", "", 0), key("", "a", 0));
    }

    #[test]
    fn a_long_password_counts_as_far_as_it_is_looked_at() {
        let long = "x".repeat(71);
        assert_ne!(key("a", &format!("{long}1"), 0), key("a", &format!("{long}2"), 0));
        assert_eq!(key("a", &format!("{long}11"), 0), key("a", &format!("{long}12"), 0));
    }
}
