//! Verification of tokens: a token must be signed by one of the keys, with the algorithm of that key, and must not
//! have expired.
//!
//! The algorithm in the token is only compared with the algorithm of the key. A token can select a key only by the ID
//! of a known key. Keys and certificates in the token are ignored.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::SigningKeys;
use super::key::JWT_TYPE;
use crate::token::claims::Claims;

/// Maximum length of a token, in bytes. nginx and other servers accept 8 KiB for a header line, including
/// `Authorization: Bearer `. The token of a push with some twenty mounts has 2,000.
pub const TOKEN_BYTES_MAX: usize = 8000;

/// Maximum difference between the clocks of the issuer and of this machine, in seconds. Registries use the same value
/// (distribution's registry/auth/token/token.go).
pub const CLOCK_LEEWAY_SECS: u64 = 60;

/// The reason why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenVerifyError {
    /// The token has more than [`TOKEN_BYTES_MAX`] bytes.
    #[error("it has more than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// The token does not consist of three parts of base64url without padding.
    #[error("it does not have the form of a token")]
    Malformed,
    /// The header differs from the headers that doorward writes: another `typ`, an extension (`crit`), or an embedded
    /// key.
    #[error("its header was not written by doorward")]
    InvalidHeader,
    /// No current key has this ID.
    #[error("its key ID is not in the key file")]
    UnknownKey,
    /// The algorithm is not the algorithm of the key; `none` is one such value.
    #[error("its algorithm is not the algorithm of its key")]
    AlgorithmMismatch,
    /// The token was signed with another key, or was modified.
    #[error("its signature is invalid")]
    InvalidSignature,
    /// The signature is valid, but the claims cannot be parsed.
    #[error("its claims cannot be parsed")]
    InvalidClaims,
    /// The issuer is not `token.issuer`.
    #[error("its issuer is not token.issuer")]
    WrongIssuer,
    /// The audience is not `token.service`.
    #[error("its audience is not token.service")]
    WrongAudience,
    /// The user name is not allowed for any user.
    #[error("its user name is not allowed")]
    InvalidUser,
    /// The token has expired.
    #[error("it has expired")]
    Expired,
    /// The token is not valid yet.
    #[error(
        "it is not valid yet: the clock of the machine that issued it is ahead of the clock of this machine"
    )]
    NotYetValid,
}

/// The fields that a header can contain. `x5c` is for registries, and is ignored here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParsedJwsHeader {
    alg: String,
    typ: String,
    kid: String,
    #[serde(rename = "x5c", default)]
    _x5c: serde::de::IgnoredAny,
}

/// Decodes base64url strictly: without padding, blanks or unused bits, so that a token has exactly one encoding.
fn decode_part(part: &str) -> Result<Vec<u8>, TokenVerifyError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenVerifyError::Malformed)
}

impl SigningKeys {
    /// Verifies a token at `now`, in seconds since 1970, and returns its claims. The caller must check issuer,
    /// audience and access.
    ///
    /// # Errors
    /// Returns the reason why the token is rejected.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenVerifyError> {
        let claims = self.verify_signature(token)?;
        check_validity_period(&claims, now)?;
        Ok(claims)
    }

    /// Verifies a token without its validity period; see [`check_validity_period`].
    ///
    /// # Errors
    /// Returns the reason why the token is rejected.
    pub fn verify_signature(&self, token: &str) -> Result<Claims, TokenVerifyError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenVerifyError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenVerifyError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenVerifyError::Malformed)?;
        let (header, claims, signature) =
            (decode_part(header)?, decode_part(claims)?, decode_part(signature)?);
        let header: ParsedJwsHeader =
            serde_json::from_slice(&header).map_err(|_| TokenVerifyError::InvalidHeader)?;
        let key = self.iter().find(|key| key.kid == header.kid).ok_or(TokenVerifyError::UnknownKey)?;
        if header.alg != key.key_pair.algorithm().name() {
            return Err(TokenVerifyError::AlgorithmMismatch);
        }
        if header.typ != JWT_TYPE {
            return Err(TokenVerifyError::InvalidHeader);
        }
        if !key.key_pair.is_valid_signature(signed.as_bytes(), &signature) {
            return Err(TokenVerifyError::InvalidSignature);
        }
        serde_json::from_slice(&claims).map_err(|_| TokenVerifyError::InvalidClaims)
    }
}

/// Checks that a token is valid at `now`, in seconds since 1970.
///
/// # Errors
/// Returns an error if the token has expired, or is not valid yet.
pub fn check_validity_period(claims: &Claims, now: u64) -> Result<(), TokenVerifyError> {
    if now > claims.exp.saturating_add(CLOCK_LEEWAY_SECS) {
        return Err(TokenVerifyError::Expired);
    }
    if now.saturating_add(CLOCK_LEEWAY_SECS) < claims.nbf {
        return Err(TokenVerifyError::NotYetValid);
    }
    Ok(())
}
