//! Argon2id (`$argon2id$`, RFC 9106), by the crate `argon2`.

use argon2::password_hash::Error;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier, Version};

use super::{HashFormatError, MEMORY_MAX_KIB};

/// The maximum number of passes over the memory.
const PASSES_MAX: u32 = 10;

/// The maximum number of lanes, which are computed one after the other.
const LANES_MAX: u32 = 16;

/// The minimum length of a digest, in bytes. A wrong password could match a shorter one.
const DIGEST_LENGTH_MIN: usize = 16;

/// The cost parameters of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argon2Cost {
    /// The memory in KiB.
    pub(crate) memory_kib: u32,
    /// The number of passes over the memory.
    pub(crate) passes: u32,
    /// The number of lanes.
    pub(crate) lanes: u32,
}

impl Argon2Cost {
    fn params(self) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, None).ok()
    }
}

/// Parses the cost of a hash and checks that the hash is well-formed and within the limits.
pub(super) fn parse_cost(text: &[u8]) -> Result<Argon2Cost, HashFormatError> {
    let text = std::str::from_utf8(text).map_err(|_| HashFormatError::Argon2Malformed)?;
    let hash = PasswordHash::new(text).map_err(|_| HashFormatError::Argon2Malformed)?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err(HashFormatError::Argon2VariantUnsupported);
    }
    let params = Params::try_from(&hash).map_err(|_| HashFormatError::Argon2Malformed)?;
    let digest = hash.hash.as_ref().map_or(0, |digest| digest.as_bytes().len());
    if digest < DIGEST_LENGTH_MIN || hash.salt.is_none() {
        return Err(HashFormatError::Argon2Malformed);
    }
    let cost = Argon2Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
    if cost.memory_kib > MEMORY_MAX_KIB || cost.passes > PASSES_MAX || cost.lanes > LANES_MAX {
        return Err(HashFormatError::Argon2CostTooHigh);
    }
    Ok(cost)
}

/// Checks a password. Returns `None` if the crate rejects a text that [`parse_cost`] accepted. Then no work was done,
/// and the caller must do it.
pub(super) fn verify(text: &[u8], password: &[u8]) -> Option<bool> {
    match Argon2::default().verify_password(password, std::str::from_utf8(text).ok()?) {
        Ok(()) => Some(true),
        Err(Error::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

/// Does the work of one check and ignores the result.
pub(super) fn run_dummy_check(cost: Argon2Cost, password: &[u8]) {
    let Some(params) = cost.params() else { return };
    let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let result = argon2.hash_password_into(password, b"nobodynobodynobo", &mut digest);
    std::hint::black_box((result.is_ok(), digest));
}
