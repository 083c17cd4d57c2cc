//! `$y$`: yescrypt, the default of Debian's and Fedora's `mkpasswd`, by the crate of that name.

use yescrypt::password_hash::Error;
use yescrypt::{Mode, Params, PasswordVerifier, Yescrypt, yescrypt};

use super::md5_crypt::can_end;
use super::{FormatFault, MEMORY_MAX_KIB};

/// The characters of the digest. The crate would compare however few there are.
const DIGEST_LENGTH: usize = 43;

/// The most characters of salt (crypt(5)).
const SALT_MAX: usize = 86;

/// What a check costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The binary logarithm of yescrypt's N.
    pub log_n: u8,
    /// Its r: blocks of 128 r bytes.
    pub r: u32,
}

impl Cost {
    fn params(self) -> Option<Params> {
        Params::new(Mode::default(), 1_u64.checked_shl(u32::from(self.log_n))?, self.r, 1).ok()
    }

    /// The memory of a check, in KiB.
    pub fn memory_kib(self) -> u64 {
        (1_u64.checked_shl(u32::from(self.log_n)).unwrap_or(u64::MAX)).saturating_mul(u64::from(self.r)) / 8
    }
}

/// The cost of a well-formed text.
pub(super) fn cost(text: &[u8]) -> Result<Cost, FormatFault> {
    let damaged = FormatFault::YescryptDamaged;
    let text = std::str::from_utf8(text).map_err(|_| damaged)?;
    let mut fields = text.split('$').skip(2);
    let (Some(params), Some(salt), Some(digest), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(damaged);
    };
    let crypt64 = |field: &str| field.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    if !(1..=SALT_MAX).contains(&salt.len())
        || digest.len() != DIGEST_LENGTH
        || !crypt64(salt)
        || !crypt64(digest)
        || !can_end(digest.as_bytes(), 4)
    {
        return Err(damaged);
    }
    let params: Params = params.parse().map_err(|_| damaged)?;
    let cost = Cost { log_n: params.n().checked_ilog2().unwrap_or_default() as u8, r: params.r() };
    // Other flavours, more lanes, more time for the same memory: nothing that crypt(3) makes by itself.
    if cost.params() != Some(params) || cost.memory_kib() > u64::from(MEMORY_MAX_KIB) {
        return Err(FormatFault::YescryptCost);
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
pub(super) fn waste(cost: Cost, password: &[u8]) {
    let Some(params) = cost.params() else { return };
    let mut digest = [0; 32];
    let done = yescrypt(password, b"nobodynobodynobo", &params, &mut digest);
    std::hint::black_box((done.is_ok(), digest));
}
