//! yescrypt (`$y$`), the default of `mkpasswd` in Debian and Fedora, by the crate `yescrypt`.

use yescrypt::password_hash::Error;
use yescrypt::{Mode, Params, PasswordVerifier, Yescrypt, yescrypt};

use super::md5_crypt::is_valid_last_character;
use super::{HashFormatError, MEMORY_MAX_KIB};

/// The number of characters of a digest. The crate would accept a shorter one and compare only its characters.
const DIGEST_LENGTH: usize = 43;

/// The maximum number of salt characters (crypt(5)).
const SALT_LENGTH_MAX: usize = 86;

/// The cost parameters of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct YescryptCost {
    /// The binary logarithm of the parameter N.
    log_n: u8,
    /// The parameter r: a block has 128 r bytes.
    block_size: u32,
}

impl YescryptCost {
    fn params(self) -> Option<Params> {
        Params::new(Mode::default(), 1_u64.checked_shl(u32::from(self.log_n))?, self.block_size, 1).ok()
    }

    /// Returns the memory of a check, in KiB.
    pub(crate) fn memory_kib(self) -> u64 {
        (1_u64.checked_shl(u32::from(self.log_n)).unwrap_or(u64::MAX))
            .saturating_mul(u64::from(self.block_size))
            / 8
    }
}

/// Parses the cost of a hash and checks that the hash is well-formed and within the limits.
pub(super) fn parse_cost(text: &[u8]) -> Result<YescryptCost, HashFormatError> {
    let malformed = HashFormatError::YescryptMalformed;
    let text = std::str::from_utf8(text).map_err(|_| malformed)?;
    let mut fields = text.split('$').skip(2);
    let (Some(params), Some(salt), Some(digest), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(malformed);
    };
    let is_crypt64 =
        |field: &str| field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    if !(1..=SALT_LENGTH_MAX).contains(&salt.len())
        || digest.len() != DIGEST_LENGTH
        || !is_crypt64(salt)
        || !is_crypt64(digest)
        || !is_valid_last_character(digest.as_bytes(), 4)
    {
        return Err(malformed);
    }
    let params: Params = params.parse().map_err(|_| malformed)?;
    let cost =
        YescryptCost { log_n: params.n().checked_ilog2().unwrap_or_default() as u8, block_size: params.r() };
    // crypt(3) generates no other flavours, no more lanes, and no extra time for the same memory.
    if cost.params() != Some(params) || cost.memory_kib() > u64::from(MEMORY_MAX_KIB) {
        return Err(HashFormatError::YescryptParametersUnsupported);
    }
    Ok(cost)
}

/// Checks a password. Returns `None` if the crate rejects a text that [`parse_cost`] accepted. Then no work was done,
/// and the caller must do it.
pub(super) fn verify(text: &[u8], password: &[u8]) -> Option<bool> {
    match Yescrypt::default().verify_password(password, std::str::from_utf8(text).ok()?) {
        Ok(()) => Some(true),
        Err(Error::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

/// Does the work of one check and ignores the result.
pub(super) fn run_dummy_check(cost: YescryptCost, password: &[u8]) {
    let Some(params) = cost.params() else { return };
    let mut digest = [0; 32];
    let result = yescrypt(password, b"nobodynobodynobo", &params, &mut digest);
    std::hint::black_box((result.is_ok(), digest));
}
