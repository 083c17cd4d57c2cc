//! The format of an API key: `dwk_`, an id of 10 characters, `_`, a secret of 30 characters, and a checksum of 6
//! characters. All characters are letters and digits.
//!
//! The checksum is the CRC-32 (zlib, RFC 1952) of the text before it, in base 62 with the digits `0-9A-Za-z`. A secret
//! scanner can find keys with the pattern `dwk_[0-9A-Za-z]{10}_[0-9A-Za-z]{36}`. A truncated or mistyped key is detected
//! without a lookup in the file.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// The prefix of every key.
const API_KEY_PREFIX: &str = "dwk_";
/// The number of id characters. They have 59 bits, so two keys do not get the same id by chance.
const ID_LENGTH: usize = 10;
/// The number of secret characters. They have 178 bits.
const SECRET_LENGTH: usize = 30;
/// The number of checksum characters. 62^6 is more than 2^32.
const CHECKSUM_LENGTH: usize = 6;
/// The number of characters of a key.
const API_KEY_LENGTH: usize = API_KEY_PREFIX.len() + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH;

const BASE62_ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public part of a key, by which the key is looked up. It can be logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKeyId([u8; ID_LENGTH]);

impl ApiKeyId {
    /// Parses an id without a prefix, as it is in the file.
    pub(crate) fn parse_without_prefix(text: &str) -> Option<Self> {
        let bytes: [u8; ID_LENGTH] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// Parses an id with or without the prefix. Returns the id of a whole key too.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(API_KEY_PREFIX).unwrap_or(text);
        match text.split_once('_') {
            Some((id, _)) => Self::parse_without_prefix(id),
            None => Self::parse_without_prefix(text),
        }
    }

    /// Returns the id without the prefix.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{API_KEY_PREFIX}{}", self.as_str())
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SHA-256 digest of a whole key. The file contains only the digest of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyDigest([u8; 32]);

impl ApiKeyDigest {
    /// A digest that no known key has.
    pub(crate) const UNMATCHABLE: Self = Self([0; 32]);

    fn from_api_key(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Parses `sha256:` followed by 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64)?.as_bytes();
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            let digit = |c: u8| (c as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(digest))
    }
}

impl ConstantTimeEq for ApiKeyDigest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for ApiKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A well-formed API key that a client presented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PresentedApiKey {
    /// The id of the key.
    pub(crate) id: ApiKeyId,
    /// The digest of the key, which proves that the client has the secret.
    pub(crate) digest: ApiKeyDigest,
}

/// Returns true if a secret starts with the prefix of API keys, even after whitespace or in a truncated key. Such a
/// secret is not sent to another authenticator.
pub(crate) fn has_api_key_prefix(secret: &[u8]) -> bool {
    secret.trim_ascii_start().starts_with(API_KEY_PREFIX.as_bytes())
}

impl PresentedApiKey {
    /// Parses a key. Returns `None` if it is truncated, mistyped or has another form.
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(key).ok().filter(|text| text.len() == API_KEY_LENGTH)?;
        let (checked, checksum) = text.split_at_checked(API_KEY_LENGTH - CHECKSUM_LENGTH)?;
        let (id, secret) = checked.strip_prefix(API_KEY_PREFIX)?.split_once('_')?;
        let is_valid = secret.len() == SECRET_LENGTH && secret.bytes().all(|b| b.is_ascii_alphanumeric());
        let id = ApiKeyId::parse_without_prefix(id).filter(|_| is_valid)?;
        (checksum.as_bytes() == compute_checksum(checked))
            .then(|| Self { id, digest: ApiKeyDigest::from_api_key(key) })
    }
}

fn compute_checksum(text: &str) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest % 62);
        rest /= 62;
    }
    digits
}

fn base62_digit(number: u32) -> u8 {
    usize::try_from(number).ok().and_then(|index| BASE62_ALPHABET.get(index)).copied().unwrap_or(b'0')
}

/// Generates a random key. Returns the key, and the id and the digest for the file.
///
/// # Errors
/// Returns an error if the system provides no random numbers.
pub fn generate_api_key() -> Result<(Zeroizing<String>, ApiKeyId, ApiKeyDigest), getrandom::Error> {
    let mut key = Zeroizing::new(String::with_capacity(API_KEY_LENGTH));
    key.push_str(API_KEY_PREFIX);
    push_random_characters(&mut key, ID_LENGTH)?;
    key.push('_');
    push_random_characters(&mut key, SECRET_LENGTH)?;
    let checksum = compute_checksum(&key);
    key.extend(checksum.iter().map(|byte| char::from(*byte)));
    let id = key.get(API_KEY_PREFIX.len()..API_KEY_PREFIX.len() + ID_LENGTH).and_then(ApiKeyId::parse);
    let digest = ApiKeyDigest::from_api_key(key.as_bytes());
    // The id was generated above, so it is always valid.
    id.map(|id| (key, id, digest)).ok_or(getrandom::Error::UNEXPECTED)
}

fn push_random_characters(key: &mut Zeroizing<String>, count: usize) -> Result<(), getrandom::Error> {
    let mut remaining = count;
    while remaining > 0 {
        let mut random = Zeroizing::new([0_u8; SECRET_LENGTH]);
        getrandom::fill(&mut *random)?;
        // Only byte values below 4 * 62 are used, so that all characters are equally likely.
        for byte in random.iter().filter(|byte| **byte < 248).take(remaining) {
            key.push(char::from(base62_digit(u32::from(*byte) % 62)));
            remaining -= 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of README.md and tests/compat, computed by another program.
    const VECTOR: &str = "dwk_0123456789_abcdefghijklmnopqrstuvwxyz0123";

    #[test]
    fn generated_api_key_is_parsed_back() {
        let (key, id, digest) = generate_api_key().unwrap();
        assert_eq!(key.len(), API_KEY_LENGTH);
        let read = PresentedApiKey::parse(key.as_bytes()).unwrap();
        assert_eq!((read.id, read.digest), (id, digest));
        assert_eq!(ApiKeyDigest::parse(&digest.to_string()), Some(digest));
        assert_ne!(*generate_api_key().unwrap().0, *key);
    }

    #[test]
    fn any_changed_character_is_detected() {
        let (key, ..) = generate_api_key().unwrap();
        for at in 0..API_KEY_LENGTH {
            let mut other = key.as_bytes().to_vec();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert!(PresentedApiKey::parse(&other).is_none(), "at {at}");
        }
        assert!(PresentedApiKey::parse(&key.as_bytes()[..API_KEY_LENGTH - 1]).is_none());
        assert!(PresentedApiKey::parse(format!("{}x", *key).as_bytes()).is_none());
        assert!(PresentedApiKey::parse(b"").is_none());
    }

    #[test]
    fn checksum_matches_zlib_crc32() {
        // python3: zlib.crc32(b"dwk_0123456789_abcdefghijklmnopqrstuvwxyz0123"), and in base 62
        let checksum = compute_checksum(VECTOR);
        assert_eq!(std::str::from_utf8(&checksum).unwrap(), "4X2ODq");
    }

    #[test]
    fn invalid_digest_is_rejected() {
        for text in ["", "sha256:", "sha256:zz", &"0".repeat(64), &format!("sha256:{}", "g".repeat(64))] {
            assert_eq!(ApiKeyDigest::parse(text), None, "{text}");
        }
    }

    #[test]
    fn id_is_shown_with_prefix_and_parsed_with_or_without_it() {
        let id = ApiKeyId::parse("0123456789").unwrap();
        assert_eq!(id.to_string(), "dwk_0123456789");
        assert_eq!(ApiKeyId::parse("dwk_0123456789"), Some(id));
        assert_eq!(ApiKeyId::parse("012345678"), None);
        assert_eq!(ApiKeyId::parse("01234567_9"), None);
        assert_eq!(ApiKeyId::parse("dwk_0123456789_rest"), Some(id));
        assert_eq!(ApiKeyId::parse_without_prefix("dwk_0123456789"), None);
    }
}
