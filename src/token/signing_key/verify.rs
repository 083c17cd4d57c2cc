//! Whether a token is one of ours: signed by one of the keys, by that key's own algorithm, and not over.
//!
//! What a token says of its algorithm is compared and never followed, and the only key that it can name is one
//! of ours by its id; keys and certificates that it brings along are not looked at.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::SigningKeys;
use super::key::JWT_TYPE;
use crate::token::claims::Claims;

/// The longest token, in bytes: nginx takes 8 KiB for a header's line, `Authorization: Bearer ` included, and so do
/// other servers. That of a push with some twenty mounts has 2,000.
pub const TOKEN_BYTES_MAX: usize = 8000;

/// How far the clock of whoever signed may be from ours, in seconds: as far as registries let it
/// (distribution's registry/auth/token/token.go).
pub const CLOCK_LEEWAY_SECS: u64 = 60;

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenVerifyError {
    /// More than [`TOKEN_MAX`].
    #[error("it has more than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts of base64url without padding.
    #[error("it is not of a token's form")]
    Malformed,
    /// The header is not as we write it: another `typ`, an extension (`crit`), a key of its own.
    #[error("its header is not one of ours")]
    InvalidHeader,
    /// None of the keys has this id, or no longer.
    #[error("it names a key that is none of ours")]
    UnknownKey,
    /// Another algorithm than the key's own, `none` included.
    #[error("it names another algorithm than its key's")]
    AlgorithmMismatch,
    /// Somebody else signed it, or it was changed.
    #[error("its signature is wrong")]
    InvalidSignature,
    /// Signed by us, and not to be read.
    #[error("its claims can't be read")]
    InvalidClaims,
    /// Another issuer than `token.issuer`.
    #[error("its issuer is not token.issuer")]
    WrongIssuer,
    /// Another audience than `token.service`.
    #[error("its audience is not token.service")]
    WrongAudience,
    /// A user name that no user can have.
    #[error("its user name cannot be one")]
    InvalidUser,
    /// It is over.
    #[error("it has expired")]
    Expired,
    /// It counts only later.
    #[error("it is not valid yet: the clock of the machine that issued it is ahead of this one's")]
    NotYetValid,
}

/// What a header may hold; `x5c` is there for registries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParsedJwsHeader {
    alg: String,
    typ: String,
    kid: String,
    #[serde(rename = "x5c", default)]
    _x5c: serde::de::IgnoredAny,
}

/// Strict: no padding, no blanks, and no bits left over, so that a token has one spelling.
fn decode_part(part: &str) -> Result<Vec<u8>, TokenVerifyError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenVerifyError::Malformed)
}

impl SigningKeys {
    /// Checks a token at `now` (seconds since 1970), and tells its claims. Issuer, audience and access are for
    /// the caller to compare.
    ///
    /// # Errors
    /// Why it is not to be taken.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenVerifyError> {
        let claims = self.verify_signature(token)?;
        check_validity_period(&claims, now)?;
        Ok(claims)
    }

    /// The same at any time: see [`check_time`].
    ///
    /// # Errors
    /// Why it is not to be taken.
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

/// Checks that a token counts at `now` (seconds since 1970).
///
/// # Errors
/// That it has expired, or is not valid yet.
pub fn check_validity_period(claims: &Claims, now: u64) -> Result<(), TokenVerifyError> {
    if now > claims.exp.saturating_add(CLOCK_LEEWAY_SECS) {
        return Err(TokenVerifyError::Expired);
    }
    if now.saturating_add(CLOCK_LEEWAY_SECS) < claims.nbf {
        return Err(TokenVerifyError::NotYetValid);
    }
    Ok(())
}
