//! `$argon2id$`, by the crate of that name (RFC 9106).

use argon2::password_hash::Error;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier, Version};

use super::{HashFormatError, MEMORY_MAX_KIB};

/// The most passes over the memory.
const PASSES_MAX: u32 = 10;

/// The most lanes; they are worked one after the other.
const LANES_MAX: u32 = 16;

/// The shortest digest: a shorter one is guessed before the password is.
const DIGEST_LENGTH_MIN: usize = 16;

/// What a check costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2Cost {
    fn params(self) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, None).ok()
    }
}

/// The cost of a well-formed text.
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

/// Checks a password. `None` if the crate finds fault with a text that looked well: then it has done
/// no work, and somebody else has to.
pub(super) fn verify(text: &[u8], password: &[u8]) -> Option<bool> {
    match Argon2::default().verify_password(password, std::str::from_utf8(text).ok()?) {
        Ok(()) => Some(true),
        Err(Error::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

/// Does the work of one check, for nobody.
pub(super) fn run_dummy_check(cost: Argon2Cost, password: &[u8]) {
    let Some(params) = cost.params() else { return };
    let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done = argon2.hash_password_into(password, b"nobodynobodynobo", &mut digest);
    std::hint::black_box((done.is_ok(), digest));
}
