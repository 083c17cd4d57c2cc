//! Parses the response of ECR: the token and its expiry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::error::{EcrError, EcrResponseError};
use super::{LIFETIME_MAX, TOKEN_BYTES_MAX};

/// Maximum valid date, in seconds since 1970: the end of the year 9999.
const UNIX_SECONDS_MAX: f64 = 253_402_300_799.0;

/// The user name in a token, with the colon (Amazon ECR API Reference, AuthorizationData).
const USER_PREFIX: &[u8] = b"AWS:";

/// A token and its lifetime.
pub struct EcrToken {
    /// Base64, 1 to [`TOKEN_BYTES_MAX`] bytes.
    pub token: Zeroizing<String>,
    /// More than zero, at most [`LIFETIME_MAX`].
    pub lifetime: Duration,
}

/// Parses the body of a response that was sent at `now`, by the AWS clock. If there are several entries, the first
/// valid one is used, because all are valid for the same registries. If none is valid, the error of the first is
/// returned.
pub fn parse_response(body: &[u8], now: SystemTime) -> Result<EcrToken, EcrError> {
    let mut json: Value =
        serde_json::from_slice(body).map_err(|_| EcrError::InvalidResponse(EcrResponseError::NotJson))?;
    if !json.is_object() {
        return Err(EcrError::InvalidResponse(EcrResponseError::NotJson));
    }
    let entries = json.get_mut("authorizationData").and_then(Value::as_array_mut);
    let mut first_error = EcrResponseError::MissingData;
    for entry in entries.into_iter().flatten() {
        match parse_entry(entry, now) {
            Ok(token) => return Ok(token),
            Err(error) if first_error == EcrResponseError::MissingData => first_error = error,
            Err(_) => {}
        }
    }
    Err(EcrError::InvalidResponse(first_error))
}

fn parse_entry(entry: &mut Value, now: SystemTime) -> Result<EcrToken, EcrResponseError> {
    let Some(Value::String(token)) = entry.get_mut("authorizationToken").map(Value::take) else {
        return Err(EcrResponseError::MissingToken);
    };
    let token = Zeroizing::new(token);
    match token.len() {
        0 => return Err(EcrResponseError::MissingToken),
        1..=TOKEN_BYTES_MAX => {}
        _ => return Err(EcrResponseError::TokenTooLarge),
    }
    let decoded =
        STANDARD.decode(token.as_bytes()).map(Zeroizing::new).map_err(|_| EcrResponseError::InvalidToken)?;
    if decoded.strip_prefix(USER_PREFIX).is_none_or(<[u8]>::is_empty) {
        return Err(EcrResponseError::InvalidToken);
    }
    let seconds = match entry.get("expiresAt") {
        None | Some(Value::Null) => return Err(EcrResponseError::MissingExpiry),
        Some(value) => value.as_f64().filter(|seconds| (0.0..=UNIX_SECONDS_MAX).contains(seconds)),
    };
    let expiry = UNIX_EPOCH + seconds.map(Duration::from_secs_f64).ok_or(EcrResponseError::InvalidExpiry)?;
    let lifetime = expiry.duration_since(now).unwrap_or_default().min(LIFETIME_MAX);
    if lifetime.is_zero() { Err(EcrResponseError::AlreadyExpired) } else { Ok(EcrToken { token, lifetime }) }
}
