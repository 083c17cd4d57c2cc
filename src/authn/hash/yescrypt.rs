//! `$y$`: yescrypt, the default of Debian's and Fedora's `mkpasswd`, by the crate of that name.

use yescrypt::password_hash::Error;
use yescrypt::{Mode, Params, PasswordVerifier, Yescrypt, yescrypt};

use super::md5_crypt::is_valid_last_character;
use super::{HashFormatError, MEMORY_MAX_KIB};

/// The characters of the digest. The crate would compare however few there are.
const DIGEST_LENGTH: usize = 43;

/// The most characters of salt (crypt(5)).
const SALT_LENGTH_MAX: usize = 86;

/// What a check costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YescryptCost {
    /// The binary logarithm of yescrypt's N.
    pub log_n: u8,
    /// Its r: blocks of 128 r bytes.
    pub block_size: u32,
}

impl YescryptCost {
    fn params(self) -> Option<Params> {
        Params::new(Mode::default(), 1_u64.checked_shl(u32::from(self.log_n))?, self.block_size, 1).ok()
    }

    /// The memory of a check, in KiB.
    pub fn memory_kib(self) -> u64 {
        (1_u64.checked_shl(u32::from(self.log_n)).unwrap_or(u64::MAX))
            .saturating_mul(u64::from(self.block_size))
            / 8
    }
}

/// The cost of a well-formed text.
pub(super) fn parse_cost(text: &[u8]) -> Result<YescryptCost, HashFormatError> {
    let damaged = HashFormatError::YescryptMalformed;
    let text = std::str::from_utf8(text).map_err(|_| damaged)?;
    let mut fields = text.split('$').skip(2);
    let (Some(params), Some(salt), Some(digest), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(damaged);
    };
    let crypt64 = |field: &str| field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    if !(1..=SALT_LENGTH_MAX).contains(&salt.len())
        || digest.len() != DIGEST_LENGTH
        || !crypt64(salt)
        || !crypt64(digest)
        || !is_valid_last_character(digest.as_bytes(), 4)
    {
        return Err(damaged);
    }
    let params: Params = params.parse().map_err(|_| damaged)?;
    let cost =
        YescryptCost { log_n: params.n().checked_ilog2().unwrap_or_default() as u8, block_size: params.r() };
    // Other flavours, more lanes, more time for the same memory: nothing that crypt(3) makes by itself.
    if cost.params() != Some(params) || cost.memory_kib() > u64::from(MEMORY_MAX_KIB) {
        return Err(HashFormatError::YescryptParametersUnsupported);
    }
    Ok(cost)
}

/// Checks a password. `None` if the crate finds fault with a text that looked well: then it has done
/// no work, and somebody else has to.
pub(super) fn verify(text: &[u8], password: &[u8]) -> Option<bool> {
    match Yescrypt::default().verify_password(password, std::str::from_utf8(text).ok()?) {
        Ok(()) => Some(true),
        Err(Error::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

/// Does the work of one check, for nobody.
pub(super) fn run_dummy_check(cost: YescryptCost, password: &[u8]) {
    let Some(params) = cost.params() else { return };
    let mut digest = [0; 32];
    let done = yescrypt(password, b"nobodynobodynobo", &params, &mut digest);
    std::hint::black_box((done.is_ok(), digest));
}
