//! `{SHA}` and `{SSHA}`: one round of SHA-1, in base64 (RFC 2307's userPassword schemes).

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::HashFormatError;

/// The scheme without a salt.
pub(super) const SHA_PREFIX: &[u8] = b"{SHA}";

/// The scheme with one, behind the digest.
pub(super) const SSHA_PREFIX: &[u8] = b"{SSHA}";

const DIGEST_LENGTH: usize = 20;

/// Some tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decode(text: &[u8], scheme: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut digest = BASE64.decode(text.strip_prefix(scheme)?).ok()?;
    (digest.len() >= DIGEST_LENGTH).then(|| {
        let salt = digest.split_off(DIGEST_LENGTH);
        (digest, salt)
    })
}

/// Says whether the text is a `{SHA}` hash.
pub(super) fn check_shape(text: &[u8]) -> Result<(), HashFormatError> {
    match decode(text, SHA_PREFIX) {
        Some((_, salt)) if salt.is_empty() => Ok(()),
        _ => Err(HashFormatError::Sha1Malformed),
    }
}

/// Says whether the text is an `{SSHA}` hash; an empty salt is damage.
pub(super) fn check_salted_shape(text: &[u8]) -> Result<(), HashFormatError> {
    match decode(text, SSHA_PREFIX) {
        Some((_, salt)) if !salt.is_empty() => Ok(()),
        _ => Err(HashFormatError::SaltedSha1Malformed),
    }
}

/// Checks a password against a `{SHA}` text.
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    decode(text, SHA_PREFIX).is_some_and(|(digest, _)| Sha1::digest(password)[..].ct_eq(&digest).into())
}

/// Checks a password against an `{SSHA}` text.
pub(super) fn verify_salted(text: &[u8], password: &[u8]) -> bool {
    decode(text, SSHA_PREFIX).is_some_and(|(digest, salt)| {
        Sha1::new().chain_update(password).chain_update(salt).finalize()[..].ct_eq(&digest).into()
    })
}

/// Does the work of one check, for nobody.
pub(super) fn run_dummy_check(password: &[u8]) {
    std::hint::black_box(verify(b"{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=", password));
}
