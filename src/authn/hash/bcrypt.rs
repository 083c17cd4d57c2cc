//! bcrypt (`$2a$`, `$2b$`, `$2y$`), by the crate `bcrypt`. The crate accepts any cost, so the limits are checked here.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::{BCRYPT_COST_MAX, HashFormatError};

/// The lowest cost that bcrypt defines.
pub(super) const COST_MIN: u8 = 4;

/// The length of a hash: `$2y$10$`, 22 characters of salt and 31 of digest.
const HASH_LENGTH: usize = 60;

const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::BCRYPT, NO_PAD);

/// The salt and the digest that [`run_dummy_check`] compares with. They match no known password.
const DUMMY_SALT_AND_DIGEST: &str = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ0123.";

/// Parses the cost of a hash and checks that the hash is well-formed and within the limits.
pub(super) fn parse_cost(text: &[u8]) -> Result<u8, HashFormatError> {
    let (Some(&[tens, ones, b'$']), Some((salt, hash))) =
        (text.get(4..7), text.get(7..HASH_LENGTH).and_then(|rest| rest.split_at_checked(22)))
    else {
        return Err(HashFormatError::BcryptMalformed);
    };
    let cost = match (tens, ones) {
        (b'0'..=b'9', b'0'..=b'9') => (tens - b'0') * 10 + (ones - b'0'),
        _ => return Err(HashFormatError::BcryptMalformed),
    };
    let decodes = BCRYPT_BASE64.decode_slice(salt, &mut [0; 16]).is_ok()
        && BCRYPT_BASE64.decode_slice(hash, &mut [0; 23]).is_ok();
    if text.len() != HASH_LENGTH || !decodes {
        return Err(HashFormatError::BcryptMalformed);
    }
    if !(COST_MIN..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(HashFormatError::BcryptCostOutOfRange(cost));
    }
    Ok(cost)
}

/// Checks a password. Bytes after the first 72 are ignored, as in the htpasswd tool, Apache and nginx. An error of the
/// crate is a rejection.
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| ::bcrypt::verify(password, text).unwrap_or(false))
}

/// The number of leading password bytes that bcrypt uses.
pub(super) const SIGNIFICANT_PASSWORD_LENGTH: usize = 72;

/// The reason why no hash can be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeHashError {
    /// The password is empty or contains a NUL. The parser of credentials rejects both.
    #[error("the password must not be empty or contain a NUL")]
    PasswordEmptyOrNul,
    /// The password is longer than 72 bytes.
    #[error("the password is longer than 72 bytes, and bcrypt ignores the rest; choose a shorter one")]
    PasswordTooLong,
    /// The cost is outside the limits.
    #[error("the bcrypt cost must be between 4 and 14")]
    CostOutOfRange,
}

/// Creates a bcrypt hash of `password`, in the variant that the htpasswd tool writes (`$2y$`). Each hash must have a
/// random `salt` of its own.
///
/// # Errors
/// Returns an error if the password is empty, contains a NUL, or is longer than the 72 bytes that bcrypt uses. Returns
/// an error if the cost is not between 4 and 14.
pub fn make_hash(password: &[u8], cost: u8, salt: [u8; 16]) -> Result<String, MakeHashError> {
    if password.is_empty() || password.contains(&0) {
        return Err(MakeHashError::PasswordEmptyOrNul);
    }
    if password.len() > SIGNIFICANT_PASSWORD_LENGTH {
        return Err(MakeHashError::PasswordTooLong);
    }
    if !(COST_MIN..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(MakeHashError::CostOutOfRange);
    }
    let parts = ::bcrypt::hash_with_salt(password, u32::from(cost), salt)
        .map_err(|_| MakeHashError::CostOutOfRange)?;
    Ok(parts.format_for_version(::bcrypt::Version::TwoY))
}

/// Does the work of one check of the given cost and ignores the result.
pub(super) fn run_dummy_check(cost: u8, password: &[u8]) {
    let text = format!("$2y${cost:02}${DUMMY_SALT_AND_DIGEST}");
    std::hint::black_box(verify(text.as_bytes(), password));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dummy_check_runs_a_full_bcrypt_computation() {
        // A malformed hash would be rejected at once, and the fast rejection would reveal an unknown user.
        let text = format!("$2y$04${DUMMY_SALT_AND_DIGEST}");
        assert_eq!(parse_cost(text.as_bytes()), Ok(4));
        assert!(matches!(::bcrypt::verify("x", &text), Ok(false)));
    }
}
