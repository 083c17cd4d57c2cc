//! The password hashes that an htpasswd line may hold: recognising one, checking a password against
//! it, and the work that makes every refusal take the same time.
//!
//! To add a format: a file beside this one, a variant of [`Format`], a line in each `match` here,
//! and a field of [`Costliest`]. The compiler names the places.

mod argon2;
mod bcrypt;
mod cost_estimate;
mod md5_crypt;
mod plain;
mod sha1;
mod sha_crypt;
mod timing_equalizer;
mod unsupported;
mod yescrypt;

pub use self::cost_estimate::measure_slowdown;
pub(super) use self::cost_estimate::thread_cpu_time;
use self::sha_crypt::ShaCryptVariant;
pub use self::timing_equalizer::TimingEqualizer;

/// The highest bcrypt cost that is taken from a file: 14 is about a second of one core for each
/// check, and a line with more would let its user stop everybody's log-in.
pub const BCRYPT_COST_MAX: u8 = 14;

/// The most memory that one check may need; every hash thread may need it at the same time.
pub const MEMORY_MAX_KIB: u32 = 64 * 1024;

/// The longest password that is compared with a hash, in bytes. The htpasswd tool stops at 255. Some formats take time
/// that grows with the length, and this bounds it. Secrets that are not hashed have no such limit.
pub const PASSWORD_LENGTH_MAX: usize = 1024;

/// Returns whether a password can be compared with a hash: it is not empty, not too long, and has no NUL.
pub fn is_valid_password(password: &[u8]) -> bool {
    (1..=PASSWORD_LENGTH_MAX).contains(&password.len()) && !password.contains(&0)
}

/// The fewest bytes that any format looks at of a password.
pub const SIGNIFICANT_PASSWORD_LENGTH_MIN: usize = bcrypt::SIGNIFICANT_PASSWORD_LENGTH;

/// A password hash in a known format, with a cost that is within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFormat {
    /// `$2a$`, `$2b$` or `$2y$`, of the given cost (a power of two).
    Bcrypt(u8),
    /// `$apr1$`: Apache's own thousand rounds of MD5.
    Apr1,
    /// `$1$`: the original of these.
    Md5Crypt,
    /// `$5$`, with so many rounds.
    Sha256Crypt(u32),
    /// `$6$`, with so many rounds.
    Sha512Crypt(u32),
    /// `$argon2id$`.
    Argon2id(argon2::Argon2Cost),
    /// `$y$`.
    Yescrypt(yescrypt::YescryptCost),
    /// `{SHA}`: one unsalted SHA-1.
    Sha1,
    /// `{SSHA}`: one salted SHA-1.
    SaltedSha1,
    /// `{PLAIN}`: no hash at all.
    Plain,
}

/// Why the text behind the colon is no hash that can be checked. The message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashFormatError {
    /// Nothing behind the colon.
    #[error("there is no password hash behind the colon")]
    Empty,
    /// A bcrypt text of the wrong length or alphabet.
    #[error(
        "the bcrypt hash is cut short or damaged ($2y$, a cost of two digits, $, then 53 characters of ./A-Za-z0-9)"
    )]
    BcryptMalformed,
    /// A bcrypt cost that is out of bounds.
    #[error("the bcrypt cost {0} is not within 4 to 14")]
    BcryptCostOutOfRange(u8),
    /// `$2x$` marks hashes of a broken implementation.
    #[error("$2x$ marks hashes of a broken bcrypt, which match wrong passwords")]
    BcryptInsecureVariant,
    /// An apr1 or MD5 crypt text of the wrong shape.
    #[error(
        "the {0} hash is cut short or damaged ({0}, a salt of at most 8 characters without $, $, then 22 characters of ./0-9A-Za-z)"
    )]
    Md5CryptMalformed(&'static str),
    /// A SHA crypt text of the wrong shape.
    #[error(
        "the SHA crypt hash is cut short or damaged ($5$ or $6$, perhaps rounds=N$, a salt of at most 16 characters without $, $, then 43 or 86 characters of ./0-9A-Za-z)"
    )]
    ShaCryptMalformed,
    /// SHA crypt rounds that are out of bounds.
    #[error("the {0} rounds of the SHA crypt hash are not within 1000 to 1000000")]
    ShaCryptRoundsOutOfRange(u32),
    /// An argon2 text of the wrong shape.
    #[error(
        "the argon2 hash is cut short or damaged ($argon2id$v=19$m=…,t=…,p=…$salt$digest, the digest of 16 bytes or more)"
    )]
    Argon2Malformed,
    /// argon2i or argon2d.
    #[error("argon2i and argon2d are not taken; argon2id is")]
    Argon2VariantUnsupported,
    /// Argon2 costs that are out of bounds.
    #[error("the argon2 hash costs more than 64 MiB of memory, 10 passes and 16 lanes")]
    Argon2CostTooHigh,
    /// A yescrypt text of the wrong shape.
    #[error(
        "the yescrypt hash is cut short or damaged ($y$, parameters, $, salt, $, then 43 characters of ./0-9A-Za-z)"
    )]
    YescryptMalformed,
    /// Yescrypt costs that are out of bounds.
    #[error(
        "the yescrypt hash costs more than 64 MiB of memory, or has parameters that crypt(3) does not make"
    )]
    YescryptParametersUnsupported,
    /// A `{SHA}` text that does not hold 20 bytes of base64.
    #[error("the {{SHA}} hash is not the base64 of 20 bytes")]
    Sha1Malformed,
    /// An `{SSHA}` text that does not hold 20 bytes and a salt of base64.
    #[error("the {{SSHA}} hash is not the base64 of 20 bytes and a salt")]
    SaltedSha1Malformed,
    /// `{PLAIN}`, which no setting allows.
    #[error(
        "{{PLAIN}} keeps the password in the clear and is refused unless htpasswd.insecure_formats has \"plain\""
    )]
    PlainNotAllowed,
    /// A known format that is not taken.
    #[error("{0} is not taken")]
    UnsupportedFormat(&'static str),
    /// A hash behind the scheme or mark of another program.
    #[error("the hash stands behind {0}")]
    Prefixed(&'static str),
    /// A scheme in braces that is not known.
    #[error("the scheme in braces is not known")]
    UnknownScheme,
    /// A hash whose `$` are doubled.
    #[error("each $ is written twice, as in a compose file")]
    DoubledDollarSigns,
    /// A hash between quotes.
    #[error("there are quotes around the hash or the line")]
    Quoted,
    /// A hash that a comma, a semicolon or a blank follows.
    #[error("something follows the hash that is no part of it")]
    TrailingText,
    /// `!`, `*` or `x`, by which /etc/shadow and /etc/passwd say that there is none.
    #[error("the account is locked, or its hash is in another file (!, * or x, as in /etc/shadow)")]
    AccountLocked,
    /// A line of Apache's htdigest.
    #[error("it is a line of htdigest (NAME:REALM:MD5), which is not taken")]
    HtdigestLine,
    /// Thirteen characters of the DES alphabet.
    #[error("DES crypt, which reads eight characters of a password and is broken in hours, is refused")]
    DesCrypt,
    /// Anything else; most likely the password itself.
    #[error("it is no known hash, perhaps the password itself in the clear")]
    UnknownFormat,
}

impl HashFormatError {
    /// The remedy, for a person who reads the message.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::DoubledDollarSigns => "write each $ once",
            Self::Quoted => "take the quotes away, and what else the other file's format wanted",
            Self::TrailingText => "write one user a line: NAME:HASH",
            Self::Prefixed(_) => "take that away, so that the hash follows the colon",
            Self::Empty
            | Self::BcryptMalformed
            | Self::BcryptCostOutOfRange(_)
            | Self::BcryptInsecureVariant
            | Self::Md5CryptMalformed(_)
            | Self::ShaCryptMalformed
            | Self::ShaCryptRoundsOutOfRange(_)
            | Self::Argon2Malformed
            | Self::Argon2VariantUnsupported
            | Self::Argon2CostTooHigh
            | Self::YescryptMalformed
            | Self::YescryptParametersUnsupported
            | Self::Sha1Malformed
            | Self::SaltedSha1Malformed
            | Self::PlainNotAllowed
            | Self::UnsupportedFormat(_)
            | Self::UnknownScheme
            | Self::AccountLocked
            | Self::HtdigestLine
            | Self::DesCrypt
            | Self::UnknownFormat => "set the password anew with htpasswd -B FILE NAME",
        }
    }

    /// Whether the text is a hash of some known format, so that the line was understood: what stands before the
    /// colon is a name then, and no part of a secret.
    pub fn is_known_format(self) -> bool {
        match self {
            Self::BcryptMalformed
            | Self::BcryptCostOutOfRange(_)
            | Self::BcryptInsecureVariant
            | Self::Md5CryptMalformed(_)
            | Self::ShaCryptMalformed
            | Self::ShaCryptRoundsOutOfRange(_)
            | Self::Argon2Malformed
            | Self::Argon2VariantUnsupported
            | Self::Argon2CostTooHigh
            | Self::YescryptMalformed
            | Self::YescryptParametersUnsupported
            | Self::Sha1Malformed
            | Self::SaltedSha1Malformed
            | Self::PlainNotAllowed
            | Self::UnsupportedFormat(_)
            | Self::Prefixed(_)
            | Self::DoubledDollarSigns
            | Self::DesCrypt => true,
            Self::Empty
            | Self::UnknownScheme
            | Self::Quoted
            | Self::TrailingText
            | Self::AccountLocked
            | Self::HtdigestLine
            | Self::UnknownFormat => false,
        }
    }
}

/// A new bcrypt hash (`$2y$`) of `password`, under a salt that nobody else has.
///
/// # Errors
/// A password that bcrypt would not look at the whole of (more than 72 bytes), or a cost that is
/// not within 4 to [`BCRYPT_COST_MAX`].
pub fn make_bcrypt_hash(password: &[u8], cost: u8, salt: [u8; 16]) -> Result<String, MakeHashError> {
    bcrypt::make_hash(password, cost, salt)
}

/// Why there is no new hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeHashError {
    /// Nothing, or a NUL in it: what reads credentials refuses both.
    #[error("a password can't be empty or have a NUL in it")]
    PasswordEmptyOrNul,
    /// More than 72 bytes.
    #[error("bcrypt looks at the first 72 bytes of a password only; this one is longer")]
    PasswordTooLong,
    /// A cost that is out of bounds.
    #[error("the cost is not within 4 to 14")]
    CostOutOfRange,
}

/// Formats that are taken only where a setting names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowedFormats {
    /// `{PLAIN}`.
    pub plain: bool,
}

impl HashFormat {
    /// Recognises the hash `text` and checks its shape and cost, so that [`Format::verify`] can't
    /// fail on it later.
    pub fn detect(text: &[u8], allowed: AllowedFormats) -> Result<Self, HashFormatError> {
        match text {
            [] => Err(HashFormatError::Empty),
            [b'$', b'2', b'x', b'$', ..] => Err(HashFormatError::BcryptInsecureVariant),
            [b'$', b'2', b'a' | b'b' | b'y', b'$', ..] => bcrypt::parse_cost(text).map(Self::Bcrypt),
            [b'$', b'5', b'$', ..] => {
                sha_crypt::parse_rounds(text, ShaCryptVariant::Sha256).map(Self::Sha256Crypt)
            }
            [b'$', b'6', b'$', ..] => {
                sha_crypt::parse_rounds(text, ShaCryptVariant::Sha512).map(Self::Sha512Crypt)
            }
            [b'$', b'y', b'$', ..] => yescrypt::parse_cost(text).map(Self::Yescrypt),
            _ if text.starts_with(b"$argon2") => argon2::parse_cost(text).map(Self::Argon2id),
            _ if text.starts_with(md5_crypt::APR1_PREFIX) => {
                md5_crypt::check_shape(text, "$apr1$").map(|()| Self::Apr1)
            }
            _ if text.starts_with(md5_crypt::MD5_CRYPT_PREFIX) => {
                md5_crypt::check_shape(text, "$1$").map(|()| Self::Md5Crypt)
            }
            _ if text.starts_with(sha1::SHA_PREFIX) => sha1::check_shape(text).map(|()| Self::Sha1),
            _ if text.starts_with(sha1::SSHA_PREFIX) => {
                sha1::check_salted_shape(text).map(|()| Self::SaltedSha1)
            }
            _ if text.starts_with(plain::PLAIN_PREFIX) && allowed.plain => Ok(Self::Plain),
            _ if text.starts_with(plain::PLAIN_PREFIX) => Err(HashFormatError::PlainNotAllowed),
            _ if is_des_crypt(text) => Err(HashFormatError::DesCrypt),
            _ => Err(HashFormatError::UnknownFormat),
        }
    }

    /// Recognises a hash, and names the program that an unknown text seems to come from. `rest` is the line behind its
    /// first colon, and `text` is the first field of `rest`.
    pub fn diagnose(text: &[u8], rest: &[u8], allowed: AllowedFormats) -> Result<Self, HashFormatError> {
        Self::detect(text, allowed).map_err(|fault| unsupported::refine_error(text, rest, fault, allowed))
    }

    /// Says whether `password` is the one that the hash `text`, which has this format, was made of.
    /// Compares in constant time.
    pub fn verify(self, text: &[u8], password: &[u8]) -> bool {
        let checked = match self {
            Self::Bcrypt(_) => Some(bcrypt::verify(text, password)),
            Self::Apr1 | Self::Md5Crypt => Some(md5_crypt::verify(text, password)),
            Self::Sha256Crypt(_) => sha_crypt::verify(text, ShaCryptVariant::Sha256, password),
            Self::Sha512Crypt(_) => sha_crypt::verify(text, ShaCryptVariant::Sha512, password),
            Self::Argon2id(_) => argon2::verify(text, password),
            Self::Yescrypt(_) => yescrypt::verify(text, password),
            Self::Sha1 => Some(sha1::verify(text, password)),
            Self::SaltedSha1 => Some(sha1::verify_salted(text, password)),
            Self::Plain => Some(plain::verify(text, password)),
        };
        #[cfg(test)]
        checked.iter().for_each(|_| tests::record_check(self));
        checked.unwrap_or_else(|| {
            // Or a damaged hash would be told by the speed of its refusal.
            self.run_dummy_check(password);
            false
        })
    }

    /// Does the work of one check in this format, for nobody.
    pub fn run_dummy_check(self, password: &[u8]) {
        #[cfg(test)]
        tests::record_check(self);
        match self {
            Self::Bcrypt(cost) => bcrypt::run_dummy_check(cost, password),
            Self::Apr1 | Self::Md5Crypt => md5_crypt::run_dummy_check(password),
            Self::Sha256Crypt(rounds) => {
                sha_crypt::run_dummy_check(ShaCryptVariant::Sha256, rounds, password)
            }
            Self::Sha512Crypt(rounds) => {
                sha_crypt::run_dummy_check(ShaCryptVariant::Sha512, rounds, password)
            }
            Self::Argon2id(cost) => argon2::run_dummy_check(cost, password),
            Self::Yescrypt(cost) => yescrypt::run_dummy_check(cost, password),
            Self::Sha1 | Self::SaltedSha1 | Self::Plain => sha1::run_dummy_check(password),
        }
    }

    /// How many bytes of a password the format looks at.
    pub fn significant_password_length(self) -> usize {
        match self {
            Self::Bcrypt(_) => bcrypt::SIGNIFICANT_PASSWORD_LENGTH,
            Self::Apr1
            | Self::Md5Crypt
            | Self::Sha256Crypt(_)
            | Self::Sha512Crypt(_)
            | Self::Argon2id(_)
            | Self::Yescrypt(_)
            | Self::Sha1
            | Self::SaltedSha1
            | Self::Plain => usize::MAX,
        }
    }

    /// The cost, if it is bcrypt's.
    pub fn bcrypt_cost(self) -> Option<u8> {
        match self {
            Self::Bcrypt(cost) => Some(cost),
            Self::Apr1
            | Self::Md5Crypt
            | Self::Sha256Crypt(_)
            | Self::Sha512Crypt(_)
            | Self::Argon2id(_)
            | Self::Yescrypt(_)
            | Self::Sha1
            | Self::SaltedSha1
            | Self::Plain => None,
        }
    }

    /// The format's name, as `check` counts it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bcrypt(_) => "bcrypt",
            Self::Apr1 => "apr1",
            Self::Md5Crypt => "md5-crypt",
            Self::Sha256Crypt(_) => "sha256-crypt",
            Self::Sha512Crypt(_) => "sha512-crypt",
            Self::Argon2id(_) => "argon2id",
            Self::Yescrypt(_) => "yescrypt",
            Self::Sha1 => "sha",
            Self::SaltedSha1 => "ssha",
            Self::Plain => "plain",
        }
    }
}

/// DES crypt is 13 characters of its alphabet.
fn is_des_crypt(text: &[u8]) -> bool {
    text.len() == 13 && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'))
}

#[cfg(test)]
#[path = "hash_tests.rs"]
pub(crate) mod tests;
