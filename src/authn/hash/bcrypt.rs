//! bcrypt, by the crate of that name; its bounds are checked here, since the crate takes any cost.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::{BCRYPT_COST_MAX, HashFormatError, MakeHashError};

/// The lowest cost that bcrypt defines.
pub(super) const COST_MIN: u8 = 4;

/// `$2y$10$`, 22 characters of salt and 31 of hash.
const HASH_LENGTH: usize = 60;

const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::BCRYPT, NO_PAD);

/// What [`waste`] checks against: the salt and hash of nobody's password.
const DUMMY_SALT_AND_DIGEST: &str = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ0123.";

/// The cost of a well-formed bcrypt text, within bounds.
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

/// Checks a password. What is beyond 72 bytes is not looked at, as the htpasswd tool, Apache and
/// nginx have it; an error of the crate's is a "no".
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| ::bcrypt::verify(password, text).unwrap_or(false))
}

/// What bcrypt looks at of a password, in bytes.
pub(super) const SIGNIFICANT_PASSWORD_LENGTH: usize = 72;

/// Makes a new text, of the variant that the htpasswd tool writes.
pub(super) fn make_hash(password: &[u8], cost: u8, salt: [u8; 16]) -> Result<String, MakeHashError> {
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

/// Does the work of one check of the given cost, for nobody.
pub(super) fn run_dummy_check(cost: u8, password: &[u8]) {
    let text = format!("$2y${cost:02}${DUMMY_SALT_AND_DIGEST}");
    std::hint::black_box(verify(text.as_bytes(), password));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dummy_check_runs_a_full_bcrypt_computation() {
        // An ill-formed text would be refused at once, and tell an unknown user by its speed.
        let text = format!("$2y$04${DUMMY_SALT_AND_DIGEST}");
        assert_eq!(parse_cost(text.as_bytes()), Ok(4));
        assert!(matches!(::bcrypt::verify("x", &text), Ok(false)));
    }
}
