//! `$1$`, Poul-Henning Kamp's MD5 crypt, and Apache's `$apr1$`, the same under another magic (apr's
//! `apr_md5.c`).

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::HashFormatError;

/// The magic of Apache's variant.
pub(super) const APR1_PREFIX: &[u8] = b"$apr1$";

/// The magic of the original.
pub(super) const MD5_CRYPT_PREFIX: &[u8] = b"$1$";

/// More characters of salt are not looked at by the algorithm; a text that has them is damaged.
const SALT_LENGTH_MAX: usize = 8;

/// The characters of the encoded 16-byte digest.
const DIGEST_LENGTH: usize = 22;

/// The alphabet of crypt(3), in the order of its values.
pub(super) const ITOA64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether the last character of a crypt(3) digest can be its last: it holds `bits` bits. No password has a
/// digest that ends otherwise.
pub(super) fn is_valid_last_character(digest: &[u8], bits: u32) -> bool {
    digest.last().is_some_and(|last| ITOA64.iter().take(1 << bits).any(|known| known == last))
}

/// Returns whether crypt(3) can have been given a salt. glibc, libxcrypt and musl differ in the characters that they
/// refuse, and nginx's own `$apr1$` refuses none; so all are taken that end neither the salt nor the text.
pub(super) fn is_valid_salt(salt: &[u8], most: usize) -> bool {
    salt.len() <= most && !salt.iter().any(|b| matches!(b, b'$' | b':' | b'\0' | b'\n' | b'\r'))
}

/// The magic, the salt and the encoded digest of a text.
fn split_hash(text: &[u8]) -> Option<(&'static [u8], &[u8], &[u8])> {
    let magic = [APR1_PREFIX, MD5_CRYPT_PREFIX].into_iter().find(|magic| text.starts_with(magic))?;
    let rest = text.strip_prefix(magic)?;
    let dollar = rest.iter().position(|b| *b == b'$')?;
    let (salt, digest) = rest.split_at_checked(dollar)?;
    let digest = digest.strip_prefix(b"$")?;
    let fits = is_valid_salt(salt, SALT_LENGTH_MAX)
        && digest.len() == DIGEST_LENGTH
        && is_valid_last_character(digest, 2);
    (fits && digest.iter().all(|b| ITOA64.contains(b))).then_some((magic, salt, digest))
}

/// Says whether the text has the shape of such a hash; `name` is what to call it.
pub(super) fn check_shape(text: &[u8], name: &'static str) -> Result<(), HashFormatError> {
    split_hash(text).map(|_| ()).ok_or(HashFormatError::Md5CryptMalformed(name))
}

/// Checks a password against the text.
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    split_hash(text).is_some_and(|(magic, salt, digest)| {
        encode_digest(&compute_digest(magic, salt, password)).ct_eq(digest).into()
    })
}

/// Does the work of one check, for nobody.
pub(super) fn run_dummy_check(password: &[u8]) {
    std::hint::black_box(encode_digest(&compute_digest(APR1_PREFIX, b"nobodyNo", password)));
}

/// The algorithm, step for step as `apr_md5_encode` has it.
fn compute_digest(magic: &[u8], salt: &[u8], password: &[u8]) -> [u8; 16] {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for block in password.chunks(16) {
        outer.update(inner.get(..block.len()).unwrap_or_default());
    }
    let mut bits = password.len();
    while bits != 0 {
        // The original takes a zero where one expects the digest; every htpasswd file depends on it.
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

/// MD5 crypt's own order of bytes and bits.
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
    for (place, index) in text.iter_mut().zip(characters) {
        *place = ITOA64.get(index as usize).copied().unwrap_or(b'.');
    }
    text
}
