//! Password hashes of htpasswd lines: detects the format of a hash, checks a password, and does the work that makes
//! every rejection take the same time.
//!
//! To add a format, add a file to `hash/`, a variant to [`HashFormat`], and a prefix to [`HashFormat::detect`]. The
//! compiler reports every `match` that must handle the variant: here, in `timing_equalizer` and in `cost_estimate`.

mod argon2;
pub(crate) mod bcrypt;
pub(super) mod cost_estimate;
mod md5_crypt;
mod plain;
mod sha1;
mod sha_crypt;
pub(crate) mod timing_equalizer;
mod unsupported;
mod yescrypt;

use self::sha_crypt::ShaCryptVariant;

/// The maximum bcrypt cost of a hash in the file. A check of cost 14 takes about one second of one core. With a higher
/// cost, one user could block the logins of all users.
pub(crate) const BCRYPT_COST_MAX: u8 = 14;

/// The maximum memory of one check, in KiB. Every hash thread can need it at the same time.
const MEMORY_MAX_KIB: u32 = 64 * 1024;

/// The maximum length of a password that is compared with a hash, in bytes. It bounds the time of a check, which grows
/// with the length in some formats. The htpasswd tool stops at 255 bytes. Secrets that are not hashed have no such
/// limit.
pub(crate) const PASSWORD_LENGTH_MAX: usize = 1024;

/// Returns true if a password can be compared with a hash: it is not empty, not too long, and contains no NUL.
pub(crate) fn is_valid_password(password: &[u8]) -> bool {
    (1..=PASSWORD_LENGTH_MAX).contains(&password.len()) && !password.contains(&0)
}

/// The number of password bytes that every format uses. Some formats ignore the bytes after it.
pub(crate) const SIGNIFICANT_PASSWORD_LENGTH_MIN: usize = bcrypt::SIGNIFICANT_PASSWORD_LENGTH;

/// The format of a password hash, with its cost, which is within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashFormat {
    /// bcrypt (`$2a$`, `$2b$` or `$2y$`). The cost is the binary logarithm of the number of rounds.
    Bcrypt(u8),
    /// The MD5 crypt of Apache (`$apr1$`), with 1,000 rounds.
    Apr1,
    /// The original MD5 crypt (`$1$`), with 1,000 rounds.
    Md5Crypt,
    /// SHA-256 crypt (`$5$`), with its number of rounds.
    Sha256Crypt(u32),
    /// SHA-512 crypt (`$6$`), with its number of rounds.
    Sha512Crypt(u32),
    /// Argon2id (`$argon2id$`).
    Argon2id(argon2::Argon2Cost),
    /// yescrypt (`$y$`).
    Yescrypt(yescrypt::YescryptCost),
    /// One SHA-1 without a salt (`{SHA}`).
    Sha1,
    /// One SHA-1 with a salt (`{SSHA}`).
    SaltedSha1,
    /// The password itself (`{PLAIN}`).
    Plain,
}

/// The reason why the text after the colon is not a valid hash. [`HashFormatError::remedy`] is what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashFormatError {
    /// The text is empty.
    #[error("there is no password hash after the colon")]
    Empty,
    /// A bcrypt hash has the wrong length or characters.
    #[error(
        "the bcrypt hash is truncated or malformed ($2y$, a cost of two digits, $, then 53 characters of ./A-Za-z0-9)"
    )]
    BcryptMalformed,
    /// The bcrypt cost is outside the limits.
    #[error("the bcrypt cost {0} is not between 4 and 14")]
    BcryptCostOutOfRange(u8),
    /// The prefix `$2x$` marks hashes of a broken implementation.
    #[error("$2x$ marks hashes of a broken bcrypt implementation, which match wrong passwords")]
    BcryptInsecureVariant,
    /// An apr1 or MD5 crypt hash has the wrong form.
    #[error(
        "the {0} hash is truncated or malformed ({0}, a salt of at most 8 characters without $, $, then 22 characters of ./0-9A-Za-z)"
    )]
    Md5CryptMalformed(&'static str),
    /// A SHA crypt hash has the wrong form.
    #[error(
        "the SHA crypt hash is truncated or malformed ($5$ or $6$, optionally rounds=N$, a salt of at most 16 characters without $, $, then 43 or 86 characters of ./0-9A-Za-z)"
    )]
    ShaCryptMalformed,
    /// The number of SHA crypt rounds is outside the limits.
    #[error("the SHA crypt hash has {0} rounds, which is not between 1000 and 1000000")]
    ShaCryptRoundsOutOfRange(u32),
    /// An argon2 hash has the wrong form.
    #[error(
        "the argon2 hash is truncated or malformed ($argon2id$v=19$m=…,t=…,p=…$salt$digest, with a digest of at least 16 bytes)"
    )]
    Argon2Malformed,
    /// The variant is argon2i or argon2d.
    #[error("argon2i and argon2d are not supported; argon2id is")]
    Argon2VariantUnsupported,
    /// An argon2 parameter exceeds its limit.
    #[error("the argon2 hash exceeds a limit: 64 MiB of memory, 10 passes or 16 lanes")]
    Argon2CostTooHigh,
    /// A yescrypt hash has the wrong form.
    #[error(
        "the yescrypt hash is truncated or malformed ($y$, parameters, $, salt, $, then 43 characters of ./0-9A-Za-z)"
    )]
    YescryptMalformed,
    /// A yescrypt parameter is outside the limits.
    #[error(
        "the yescrypt hash needs more than 64 MiB of memory, or has parameters that crypt(3) does not generate"
    )]
    YescryptParametersUnsupported,
    /// A `{SHA}` hash does not decode to 20 bytes.
    #[error("the {{SHA}} hash is not the base64 of 20 bytes")]
    Sha1Malformed,
    /// An `{SSHA}` hash does not decode to 20 bytes and a salt.
    #[error("the {{SSHA}} hash is not the base64 of 20 bytes and a salt")]
    SaltedSha1Malformed,
    /// The setting `htpasswd.insecure_formats` does not allow `{PLAIN}`.
    #[error(
        "{{PLAIN}} stores the password unencrypted and is rejected unless htpasswd.insecure_formats contains \"plain\""
    )]
    PlainNotAllowed,
    /// The format is known, but not supported.
    #[error("{0} is not supported")]
    UnsupportedFormat(&'static str),
    /// A supported hash follows the prefix of another program.
    #[error("the hash follows {0}")]
    Prefixed(&'static str),
    /// The scheme in braces is unknown.
    #[error("the scheme in braces is unknown")]
    UnknownScheme,
    /// Each `$` of the hash is doubled.
    #[error("each $ is written twice, as in a compose file")]
    DoubledDollarSigns,
    /// The hash is in quotes.
    #[error("there are quotes around the hash or the line")]
    Quoted,
    /// A comma, a semicolon or whitespace follows the hash.
    #[error("the hash is followed by other text")]
    TrailingText,
    /// The text is `!`, `*` or `x`, which mark an account without a hash in /etc/shadow and /etc/passwd.
    #[error("the account is locked, or its hash is in another file (!, * or x, as in /etc/shadow)")]
    AccountLocked,
    /// The line was written by the htdigest tool of Apache.
    #[error("the line is from htdigest (NAME:REALM:MD5), which is not supported")]
    HtdigestLine,
    /// The text is 13 characters of the DES crypt alphabet.
    #[error("DES crypt is rejected: it uses eight characters of a password and is broken in hours")]
    DesCrypt,
    /// The text has no known format. Most likely it is the password itself.
    #[error("the hash format is unknown, perhaps it is the password itself")]
    UnknownFormat,
}

impl HashFormatError {
    /// Returns the remedy, as an imperative that follows the message.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::DoubledDollarSigns => "write each $ once",
            Self::Quoted => "remove the quotes, and other syntax that is not NAME:HASH",
            Self::TrailingText => "write one user per line: NAME:HASH",
            Self::Prefixed(_) => "remove it, so that the hash follows the colon",
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
            | Self::UnknownFormat => "set the password again with htpasswd -B FILE NAME",
        }
    }

    /// Returns true if the text is a hash of a known format. Then the text before the colon is a user name and not a
    /// part of a secret.
    pub(crate) fn is_known_format(self) -> bool {
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

/// The formats that are accepted only if a setting allows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllowedFormats {
    /// Whether `{PLAIN}` is accepted.
    pub(crate) plain: bool,
}

impl HashFormat {
    /// Detects the format of the hash `text`, and checks its form and cost so that [`HashFormat::verify`] cannot fail
    /// on it later.
    pub(crate) fn detect(text: &[u8], allowed: AllowedFormats) -> Result<Self, HashFormatError> {
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
            // Texts cannot be listed exhaustively: every text that no arm above recognizes has no known format.
            _ => Err(HashFormatError::UnknownFormat),
        }
    }

    /// Detects the format of a hash as [`HashFormat::detect`] does, with a more specific error that names the program
    /// that wrote the text. `rest` is the line after its first colon, and `text` is the first field of `rest`.
    pub(crate) fn diagnose(
        text: &[u8],
        rest: &[u8],
        allowed: AllowedFormats,
    ) -> Result<Self, HashFormatError> {
        Self::detect(text, allowed).map_err(|error| unsupported::refine_error(text, rest, error, allowed))
    }

    /// Returns true if `password` matches the hash `text`, which must have this format. Compares in constant time.
    pub(crate) fn verify(self, text: &[u8], password: &[u8]) -> bool {
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
            // The hash was not computed. Without this work, a malformed hash would be recognized by a fast rejection.
            self.run_dummy_check(password);
            false
        })
    }

    /// Does the work of one check in this format and ignores the result.
    pub(crate) fn run_dummy_check(self, password: &[u8]) {
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

    /// Returns the number of leading password bytes that the hash depends on.
    pub(crate) fn significant_password_length(self) -> usize {
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

    /// Returns the cost of a bcrypt hash, and `None` for any other format.
    pub(crate) fn bcrypt_cost(self) -> Option<u8> {
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

    /// Returns the name of the format, as `check` prints it.
    pub(crate) fn name(self) -> &'static str {
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

/// Returns true if a text has the form of a DES crypt hash: 13 characters of its alphabet.
fn is_des_crypt(text: &[u8]) -> bool {
    text.len() == 13 && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'))
}

#[cfg(test)]
#[path = "hash_tests.rs"]
pub(crate) mod tests;
