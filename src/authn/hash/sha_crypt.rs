//! `$5$` and `$6$`: Ulrich Drepper's SHA crypt, by the crate of that name.

use sha_crypt::password_hash::Error;
use sha_crypt::{Params, PasswordVerifier, ShaCrypt, sha256_crypt, sha512_crypt};

use super::FormatFault;
use super::md5_crypt::can_end;

/// Rounds where the text names none.
const ROUNDS_DEFAULT: u32 = 5000;

/// The most rounds that are taken: half a second of one core.
pub(super) const ROUNDS_MAX: u32 = 1_000_000;

/// More characters of salt are not looked at by the algorithm.
const SALT_MAX: usize = 16;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// `$5$`, with 43 characters of digest.
    Sha256,
    /// `$6$`, with 86.
    Sha512,
}

impl Variant {
    fn digest_length(self) -> usize {
        match self {
            Self::Sha256 => 43,
            Self::Sha512 => 86,
        }
    }

    /// Of the digest, in its last character.
    fn last_bits(self) -> u32 {
        match self {
            Self::Sha256 => 4,
            Self::Sha512 => 2,
        }
    }
}

/// The rounds of a well-formed text, whose first three characters were recognised.
pub(super) fn rounds(text: &[u8], variant: Variant) -> Result<u32, FormatFault> {
    let text = std::str::from_utf8(text).map_err(|_| FormatFault::ShaCryptDamaged)?;
    let mut fields = text.split('$').skip(2);
    let mut next = || fields.next().ok_or(FormatFault::ShaCryptDamaged);
    let first = next()?;
    let (rounds, salt) = match first.strip_prefix("rounds=") {
        None => (ROUNDS_DEFAULT, first),
        Some(rounds) if rounds.starts_with(|c: char| matches!(c, '1'..='9')) => {
            (rounds.parse().map_err(|_| FormatFault::ShaCryptDamaged)?, next()?)
        }
        Some(_) => return Err(FormatFault::ShaCryptDamaged),
    };
    let digest = next()?;
    let crypt64 = |field: &str| field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    let salt_fits = (1..=SALT_MAX).contains(&salt.len()) && crypt64(salt);
    let digest_fits = digest.len() == variant.digest_length()
        && crypt64(digest)
        && can_end(digest.as_bytes(), variant.last_bits());
    if !salt_fits || !digest_fits || fields.next().is_some() {
        return Err(FormatFault::ShaCryptDamaged);
    }
    if !(Params::ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) {
        return Err(FormatFault::ShaCryptRounds(rounds));
    }
    Ok(rounds)
}

/// Checks a password. `None` if the crate finds fault with a text that looked well: then it has done
/// no work, and somebody else has to.
pub(super) fn verify(text: &[u8], password: &[u8]) -> Option<bool> {
    match ShaCrypt::SHA512.verify_password(password, std::str::from_utf8(text).ok()?) {
        Ok(()) => Some(true),
        Err(Error::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

/// Does the work of one check, for nobody.
pub(super) fn waste(variant: Variant, rounds: u32, password: &[u8]) {
    let Ok(params) = Params::new(rounds) else { return };
    match variant {
        Variant::Sha256 => drop(std::hint::black_box(sha256_crypt(password, b"nobodynobodynobo", params))),
        Variant::Sha512 => drop(std::hint::black_box(sha512_crypt(password, b"nobodynobodynobo", params))),
    }
}
