//! SHA crypt of Ulrich Drepper (`$5$` and `$6$`), by the crate `sha-crypt`.

use sha_crypt::{Params, sha256_crypt, sha512_crypt};
use subtle::ConstantTimeEq;

use super::HashFormatError;
use super::md5_crypt::{ITOA64, is_valid_last_character, is_valid_salt};

/// The number of rounds of a hash without `rounds=`.
const ROUNDS_DEFAULT: u32 = 5000;

/// The maximum number of rounds, which take half a second of one core.
const ROUNDS_MAX: u32 = 1_000_000;

/// The maximum number of salt characters. The algorithm ignores more.
const SALT_LENGTH_MAX: usize = 16;

/// The variant of SHA crypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShaCryptVariant {
    /// SHA-256 crypt (`$5$`), with a digest of 43 characters.
    Sha256,
    /// SHA-512 crypt (`$6$`), with a digest of 86 characters.
    Sha512,
}

impl ShaCryptVariant {
    fn digest_length(self) -> usize {
        match self {
            Self::Sha256 => 43,
            Self::Sha512 => 86,
        }
    }

    /// Returns the number of digest bits in the last character of the digest.
    fn last_character_bits(self) -> u32 {
        match self {
            Self::Sha256 => 4,
            Self::Sha512 => 2,
        }
    }
}

/// The parts of a hash.
#[derive(Clone, Copy, Debug)]
struct ShaCryptHash<'t> {
    rounds: u32,
    salt: &'t [u8],
    digest: &'t [u8],
}

/// Parses a hash whose prefix was checked. The number of rounds is not compared with the limits.
fn parse_hash(text: &[u8], variant: ShaCryptVariant) -> Option<ShaCryptHash<'_>> {
    let mut fields = text.split(|b| *b == b'$').skip(2);
    let first = fields.next()?;
    let (rounds, salt) = match first.strip_prefix(b"rounds=") {
        None => (ROUNDS_DEFAULT, first),
        // crypt(3) accepts neither a sign nor a leading zero.
        Some(rounds) if rounds.first().is_some_and(|b| matches!(b, b'1'..=b'9')) => {
            (std::str::from_utf8(rounds).ok()?.parse().ok()?, fields.next()?)
        }
        Some(_) => return None,
    };
    let digest = fields.next()?;
    let is_valid = is_valid_salt(salt, SALT_LENGTH_MAX)
        && digest.len() == variant.digest_length()
        && digest.iter().all(|b| ITOA64.contains(b))
        && is_valid_last_character(digest, variant.last_character_bits());
    (is_valid && fields.next().is_none()).then_some(ShaCryptHash { rounds, salt, digest })
}

/// Parses the number of rounds of a hash whose prefix was checked, and checks that the hash is well-formed and within
/// the limits.
pub(super) fn parse_rounds(text: &[u8], variant: ShaCryptVariant) -> Result<u32, HashFormatError> {
    let rounds = parse_hash(text, variant).ok_or(HashFormatError::ShaCryptMalformed)?.rounds;
    if !(Params::ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) {
        return Err(HashFormatError::ShaCryptRoundsOutOfRange(rounds));
    }
    Ok(rounds)
}

/// Checks a password. Returns `None` if the text is malformed. Then no work was done, and the caller must do it.
///
/// The parser of the crate accepts fewer salts than crypt(3), so the crate is used for the digest only.
pub(super) fn verify(text: &[u8], variant: ShaCryptVariant, password: &[u8]) -> Option<bool> {
    let ShaCryptHash { rounds, salt, digest } = parse_hash(text, variant)?;
    let params = Params::new(rounds).ok()?;
    let encoded = match variant {
        ShaCryptVariant::Sha256 => encode_digest(&sha256_crypt(password, salt, params), &SHA256_BYTE_ORDER),
        ShaCryptVariant::Sha512 => encode_digest(&sha512_crypt(password, salt, params), &SHA512_BYTE_ORDER),
    };
    Some(encoded.ct_eq(digest).into())
}

/// The order in which SHA-256 crypt writes the bytes of its digest, with the lowest byte of each group of three first.
#[rustfmt::skip]
const SHA256_BYTE_ORDER: [usize; 32] = [
    20, 10, 0, 11, 1, 21, 2, 22, 12, 23, 13, 3, 14, 4, 24, 5,
    25, 15, 26, 16, 6, 17, 7, 27, 8, 28, 18, 29, 19, 9, 30, 31,
];

/// The order in which SHA-512 crypt writes the bytes of its digest, with the lowest byte of each group of three first.
#[rustfmt::skip]
const SHA512_BYTE_ORDER: [usize; 64] = [
    42, 21, 0, 1, 43, 22, 23, 2, 44, 45, 24, 3, 4, 46, 25, 26,
    5, 47, 48, 27, 6, 7, 49, 28, 29, 8, 50, 51, 30, 9, 10, 52,
    31, 32, 11, 53, 54, 33, 12, 13, 55, 34, 35, 14, 56, 57, 36, 15,
    16, 58, 37, 38, 17, 59, 60, 39, 18, 19, 61, 40, 41, 20, 62, 63,
];

/// Encodes a digest as crypt(3) does: six bits per character, with the lowest bits of each three bytes first.
fn encode_digest(digest: &[u8], order: &[usize]) -> Vec<u8> {
    let byte = |at: &usize| u32::from(digest.get(*at).copied().unwrap_or_default());
    let mut text = Vec::with_capacity(digest.len().div_ceil(3) * 4);
    for group in order.chunks(3) {
        let bits = group.iter().rev().fold(0, |bits, at| bits << 8 | byte(at));
        let characters = (group.len() * 8).div_ceil(6);
        text.extend((0..characters).filter_map(|n| ITOA64.get((bits >> (6 * n) & 63) as usize)));
    }
    text
}

/// Does the work of one check and ignores the result.
pub(super) fn run_dummy_check(variant: ShaCryptVariant, rounds: u32, password: &[u8]) {
    let Ok(params) = Params::new(rounds) else { return };
    match variant {
        ShaCryptVariant::Sha256 => {
            let _ = std::hint::black_box(sha256_crypt(password, b"nobodynobodynobo", params));
        }
        ShaCryptVariant::Sha512 => {
            let _ = std::hint::black_box(sha512_crypt(password, b"nobodynobodynobo", params));
        }
    }
}
