//! `{SHA}` and `{SSHA}`: one SHA-1, encoded as base64. They are the userPassword schemes of RFC 2307.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::HashFormatError;

/// The prefix of a hash without a salt.
pub(super) const SHA_PREFIX: &[u8] = b"{SHA}";

/// The prefix of a hash with a salt, which follows the digest.
pub(super) const SSHA_PREFIX: &[u8] = b"{SSHA}";

const DIGEST_LENGTH: usize = 20;

/// Base64 with optional padding: some tools omit it.
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

/// Checks that a text is a well-formed `{SHA}` hash.
pub(super) fn check_shape(text: &[u8]) -> Result<(), HashFormatError> {
    match decode(text, SHA_PREFIX) {
        Some((_, salt)) if salt.is_empty() => Ok(()),
        _ => Err(HashFormatError::Sha1Malformed),
    }
}

/// Checks that a text is a well-formed `{SSHA}` hash. An empty salt is an error.
pub(super) fn check_salted_shape(text: &[u8]) -> Result<(), HashFormatError> {
    match decode(text, SSHA_PREFIX) {
        Some((_, salt)) if !salt.is_empty() => Ok(()),
        _ => Err(HashFormatError::SaltedSha1Malformed),
    }
}

/// Checks a password against a `{SHA}` hash.
pub(super) fn verify(text: &[u8], password: &[u8]) -> bool {
    decode(text, SHA_PREFIX).is_some_and(|(digest, _)| Sha1::digest(password)[..].ct_eq(&digest).into())
}

/// Checks a password against an `{SSHA}` hash.
pub(super) fn verify_salted(text: &[u8], password: &[u8]) -> bool {
    decode(text, SSHA_PREFIX).is_some_and(|(digest, salt)| {
        Sha1::new().chain_update(password).chain_update(salt).finalize()[..].ct_eq(&digest).into()
    })
}

/// Does the work of one check and ignores the result.
pub(super) fn run_dummy_check(password: &[u8]) {
    std::hint::black_box(verify(b"{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=", password));
}
