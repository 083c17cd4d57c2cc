//! What ECR answers: the token, and until when.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::fault::{Bad, Fault};
use super::{LIFE_MAX, TOKEN_MAX};

/// A date beyond this, in seconds since 1970, is no date: the end of the year 9999.
const DATE_MAX: f64 = 253_402_300_799.0;

/// What a token's user name is, with the colon (Amazon ECR API Reference, AuthorizationData).
const USER: &[u8] = b"AWS:";

/// A token and its time.
pub struct Token {
    /// Base64, 1 to [`TOKEN_MAX`] bytes.
    pub token: Zeroizing<String>,
    /// More than zero, at most [`LIFE_MAX`].
    pub life: Duration,
}

/// Reads the body of an answer that was sent at `now`, by AWS's clock. Of several entries the first that is
/// well counts: they are good for the same registries. If none is, the first one's fault is told.
pub fn read(body: &[u8], now: SystemTime) -> Result<Token, Fault> {
    let mut json: Value = serde_json::from_slice(body).map_err(|_| Fault::Answer(Bad::NotJson))?;
    if !json.is_object() {
        return Err(Fault::Answer(Bad::NotJson));
    }
    let entries = json.get_mut("authorizationData").and_then(Value::as_array_mut);
    let mut first = Bad::NoData;
    for entry in entries.into_iter().flatten() {
        match read_one(entry, now) {
            Ok(token) => return Ok(token),
            Err(bad) if first == Bad::NoData => first = bad,
            Err(_) => {}
        }
    }
    Err(Fault::Answer(first))
}

fn read_one(entry: &mut Value, now: SystemTime) -> Result<Token, Bad> {
    let Some(Value::String(token)) = entry.get_mut("authorizationToken").map(Value::take) else {
        return Err(Bad::NoToken);
    };
    let token = Zeroizing::new(token);
    match token.len() {
        0 => return Err(Bad::NoToken),
        1..=TOKEN_MAX => {}
        _ => return Err(Bad::TokenLarge),
    }
    let decoded = STANDARD.decode(token.as_bytes()).map(Zeroizing::new).map_err(|_| Bad::TokenForm)?;
    if decoded.strip_prefix(USER).is_none_or(<[u8]>::is_empty) {
        return Err(Bad::TokenForm);
    }
    let seconds = match entry.get("expiresAt") {
        None | Some(Value::Null) => return Err(Bad::NoExpiry),
        Some(value) => value.as_f64().filter(|seconds| (0.0..=DATE_MAX).contains(seconds)),
    };
    let expires = UNIX_EPOCH + seconds.map(Duration::from_secs_f64).ok_or(Bad::ExpiryForm)?;
    let life = expires.duration_since(now).unwrap_or_default().min(LIFE_MAX);
    if life.is_zero() { Err(Bad::Expired) } else { Ok(Token { token, life }) }
}
