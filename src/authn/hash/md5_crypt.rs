//! MD5 crypt: `$1$` of Poul-Henning Kamp, and `$apr1$` of Apache (`apr_md5.c`), which differ in the prefix only.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::HashFormatError;

/// The prefix of the Apache variant.
pub(super) const APR1_PREFIX: &[u8] = b"$apr1$";

/// The prefix of the original.
pub(super) const MD5_CRYPT_PREFIX: &[u8] = b"$1$";

/// The maximum number of salt characters. The algorithm ignores more, so a text with more is malformed.
const SALT_LENGTH_MAX: usize = 8;

/// The number of characters of the encoded 16-byte digest.
const DIGEST_LENGTH: usize = 22;

/// The alphabet of crypt(3), in the order of its values.
pub(super) const ITOA64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Returns true if the last character of a crypt(3) digest encodes a value of `bits` bits. No password has a digest
/// with another last character.
pub(super) fn is_valid_last_character(digest: &[u8], bits: u32) -> bool {
    digest.last().is_some_and(|last| ITOA64.iter().take(1 << bits).any(|known| known == last))
}

/// Returns true if a salt has at most `length_max` bytes, and no byte that ends the salt or the text.
///
/// glibc, libxcrypt and musl differ in the characters that they reject, and the `$apr1$` of nginx rejects none. So
/// every other character is accepted.
pub(super) fn is_valid_salt(salt: &[u8], length_max: usize) -> bool {
    salt.len() <= length_max && !salt.iter().any(|b| matches!(b, b'$' | b':' | b'\0' | b'\n' | b'\r'))
}

/// Splits a hash into the prefix, the salt and the encoded digest.
fn split_hash(text: &[u8]) -> Option<(&'static [u8], &[u8], &[u8])> {
    let prefix = [APR1_PREFIX, MD5_CRYPT_PREFIX].into_iter().find(|prefix| text.starts_with(prefix))?;
    let rest = text.strip_prefix(prefix)?;
    let dollar = rest.iter().position(|b| *b == b'$')?;
    let (salt, digest) = rest.split_at_checked(dollar)?;
    let digest = digest.strip_prefix(b"$")?;
    let is_valid = is_valid_salt(salt, SALT_LENGTH_MAX)
        && digest.len() == DIGEST_LENGTH
        && is_valid_last_character(digest, 2);
    (is_valid && digest.iter().all(|b| ITOA64.contains(b))).then_some((prefix, salt, digest))
}

/// Checks the form of a hash. The error contains `name`, the prefix.
pub(super) fn check_shape(text: &[u8], name: &'static str) -> Result<(), HashFormatError> {
    split_hash(text).map(|_| ()).ok_or(HashFormatError::Md5CryptMalformed(name))
}

/// Checks a password against a hash.
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    split_hash(text).is_some_and(|(prefix, salt, digest)| {
        encode_digest(&compute_digest(prefix, salt, password)).ct_eq(digest).into()
    })
}

/// Does the work of one check and ignores the result.
pub(super) fn run_dummy_check(password: &[u8]) {
    std::hint::black_box(encode_digest(&compute_digest(APR1_PREFIX, b"nobodyNo", password)));
}

/// Computes the digest in the steps of `apr_md5_encode`.
fn compute_digest(prefix: &[u8], salt: &[u8], password: &[u8]) -> [u8; 16] {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(prefix).chain_update(salt);
    for block in password.chunks(16) {
        outer.update(inner.get(..block.len()).unwrap_or_default());
    }
    let mut bits = password.len();
    while bits != 0 {
        // The original implementation uses a zero byte here, not a byte of the digest. Every hash depends on it.
        outer.update(if bits & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() });
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1000_u32 {
        let mut next = Md5::new();
        let odd = round & 1 == 1;
        next.update(if odd { password } else { &digest });
        if !round.is_multiple_of(3) {
            next.update(salt);
        }
        if !round.is_multiple_of(7) {
            next.update(password);
        }
        next.update(if odd { &digest[..] } else { password });
        digest = next.finalize();
    }
    digest.into()
}

/// Encodes a digest in the order of bytes and bits of MD5 crypt.
fn encode_digest(digest: &[u8; 16]) -> [u8; DIGEST_LENGTH] {
    let [d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, d10, d11, d12, d13, d14, d15] = digest.map(u32::from);
    let groups = [
        (d0 << 16 | d6 << 8 | d12, 4),
        (d1 << 16 | d7 << 8 | d13, 4),
        (d2 << 16 | d8 << 8 | d14, 4),
        (d3 << 16 | d9 << 8 | d15, 4),
        (d4 << 16 | d10 << 8 | d5, 4),
        (d11, 2),
    ];
    let mut text = [0; DIGEST_LENGTH];
    let characters =
        groups.into_iter().flat_map(|(bits, count)| (0..count).map(move |i| bits >> (6 * i) & 63));
    for (character, index) in text.iter_mut().zip(characters) {
        *character = ITOA64.get(index as usize).copied().unwrap_or(b'.');
    }
    text
}
