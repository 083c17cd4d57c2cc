//! The password hashes that an htpasswd line may hold: recognising one, checking a password against
//! it, and the work that makes every refusal take the same time.
//!
//! To add a format: a file beside this one, a variant of [`Format`], a line in each `match` here,
//! and a field of [`Costliest`]. The compiler names the places.

mod bcrypt;
mod md5_crypt;
mod sha1;

/// The highest bcrypt cost that is taken from a file: 14 is about a second of one core for each
/// check, and a line with more would let its user stop everybody's log-in.
pub const BCRYPT_COST_MAX: u8 = 14;

/// A password hash in a known format, with a cost that is within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `$2a$`, `$2b$` or `$2y$`, of the given cost (a power of two).
    Bcrypt(u8),
    /// `$apr1$`: Apache's own thousand rounds of MD5.
    Apr1,
    /// `{SHA}`: one unsalted SHA-1.
    Sha1,
    /// `{SSHA}`: one salted SHA-1.
    SaltedSha1,
}

/// Why the text behind the colon is no hash that can be checked. The message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatFault {
    /// Nothing behind the colon.
    #[error("there is no password hash behind the colon")]
    Empty,
    /// A bcrypt text of the wrong length or alphabet.
    #[error(
        "the bcrypt hash is cut short or damaged ($2y$, a cost of two digits, $, then 53 characters of ./A-Za-z0-9)"
    )]
    BcryptDamaged,
    /// A bcrypt cost that is out of bounds.
    #[error("the bcrypt cost {0} is not within 4 to 14")]
    BcryptCost(u8),
    /// `$2x$` marks hashes of a broken implementation.
    #[error("$2x$ marks hashes of a broken bcrypt, which match wrong passwords")]
    BcryptBroken,
    /// An apr1 text of the wrong shape.
    #[error(
        "the $apr1$ hash is cut short or damaged ($apr1$, a salt of 1 to 8 characters, $, then 22 characters of ./0-9A-Za-z)"
    )]
    Apr1Damaged,
    /// A `{SHA}` text that does not hold 20 bytes of base64.
    #[error("the {{SHA}} hash is not the base64 of 20 bytes")]
    Sha1Damaged,
    /// An `{SSHA}` text that does not hold 20 bytes and a salt of base64.
    #[error("the {{SSHA}} hash is not the base64 of 20 bytes and a salt")]
    SaltedSha1Damaged,
    /// A known format that this version can't check.
    #[error("{0} hashes can't be checked by this version")]
    Unsupported(&'static str),
    /// Thirteen characters of the DES alphabet.
    #[error("DES crypt, which reads eight characters of a password and is broken in hours, is refused")]
    Des,
    /// Anything else; most likely the password itself.
    #[error("it is no known hash, perhaps the password itself in the clear")]
    Unknown,
}

impl Format {
    /// Recognises the hash `text` and checks its shape and cost, so that [`Format::verify`] can't
    /// fail on it later.
    pub fn recognise(text: &[u8]) -> Result<Self, FormatFault> {
        match text {
            [] => Err(FormatFault::Empty),
            [b'$', b'2', b'x', b'$', ..] => Err(FormatFault::BcryptBroken),
            [b'$', b'2', b'a' | b'b' | b'y', b'$', ..] => bcrypt::cost(text).map(Self::Bcrypt),
            _ if text.starts_with(md5_crypt::APR1) => md5_crypt::check(text).map(|()| Self::Apr1),
            _ if text.starts_with(sha1::PLAIN) => sha1::check(text).map(|()| Self::Sha1),
            _ if text.starts_with(sha1::SALTED) => sha1::check_salted(text).map(|()| Self::SaltedSha1),
            _ => Err(unsupported(text)),
        }
    }

    /// Says whether `password` is the one that the hash `text`, which has this format, was made of.
    /// Compares in constant time.
    pub fn verify(self, text: &[u8], password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(_) => bcrypt::verify(text, password),
            Self::Apr1 => md5_crypt::verify(text, password),
            Self::Sha1 => sha1::verify(text, password),
            Self::SaltedSha1 => sha1::verify_salted(text, password),
        }
    }

    /// Does the work of one check in this format, for nobody.
    pub fn waste(self, password: &[u8]) {
        match self {
            Self::Bcrypt(cost) => bcrypt::waste(cost, password),
            Self::Apr1 => md5_crypt::waste(password),
            Self::Sha1 | Self::SaltedSha1 => sha1::waste(password),
        }
    }

    /// The format's name, as `check` counts it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bcrypt(_) => "bcrypt",
            Self::Apr1 => "apr1",
            Self::Sha1 => "sha",
            Self::SaltedSha1 => "ssha",
        }
    }
}

fn unsupported(text: &[u8]) -> FormatFault {
    const KNOWN: [(&[u8], &str); 7] = [
        (b"$1$", "MD5 crypt ($1$)"),
        (b"$5$", "SHA-256 crypt ($5$)"),
        (b"$6$", "SHA-512 crypt ($6$)"),
        (b"$y$", "yescrypt ($y$)"),
        (b"$argon2", "argon2"),
        (b"{PLAIN}", "{PLAIN}"),
        (b"$", "$-style"),
    ];
    if let Some((_, name)) = KNOWN.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return FormatFault::Unsupported(name);
    }
    let des = text.len() == 13 && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    if des { FormatFault::Des } else { FormatFault::Unknown }
}

/// The costliest hash of each family that a file holds. A refusal does the work of all of them, so
/// that the time of a "no" tells neither whether the user exists nor how the password is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costliest {
    bcrypt: Option<u8>,
    apr1: bool,
    sha1: bool,
}

impl Costliest {
    /// Takes one more line of the file into account.
    pub fn include(&mut self, format: Format) {
        match format {
            Format::Bcrypt(cost) => self.bcrypt = self.bcrypt.max(Some(cost)),
            Format::Apr1 => self.apr1 = true,
            Format::Sha1 | Format::SaltedSha1 => self.sha1 = true,
        }
    }

    /// The checks for nobody that are left of a refusal's work after `done` was checked in vain:
    /// all of it where there was nothing to check.
    pub fn rest_of_refusal(&self, done: Option<Format>) -> Vec<Format> {
        let mut rest = Vec::new();
        match (self.bcrypt, done) {
            // Bcrypt's work is 2^cost, and 2^c + 2^(c+1) + … + 2^(C-1) = 2^C - 2^c.
            (Some(highest), Some(Format::Bcrypt(cost))) => rest.extend((cost..highest).map(Format::Bcrypt)),
            (highest, _) => rest.extend(highest.map(Format::Bcrypt)),
        }
        if self.apr1 && done != Some(Format::Apr1) {
            rest.push(Format::Apr1);
        }
        if self.sha1 && !matches!(done, Some(Format::Sha1 | Format::SaltedSha1)) {
            rest.push(Format::Sha1);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with `htpasswd -nbB -C 4`, `openssl passwd -apr1`, `htpasswd -nbs`, and slappasswd's rule.
    const VECTORS: [(&str, Format); 5] = [
        ("$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK", Format::Bcrypt(4)),
        ("$apr1$abcdefgh$FBwExRW4dCc8aL.OvjpIE1", Format::Apr1),
        ("$apr1$x$JzZzpGvcyRmaRIUjVzP42/", Format::Apr1),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", Format::Sha1),
        ("{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0", Format::SaltedSha1),
    ];

    #[test]
    fn every_format_takes_its_password_and_no_other() {
        for (text, format) in VECTORS {
            assert_eq!(Format::recognise(text.as_bytes()), Ok(format), "{text}");
            assert!(format.verify(text.as_bytes(), b"password"), "{text}");
            assert!(!format.verify(text.as_bytes(), b"passwore"), "{text}");
            assert!(!format.verify(text.as_bytes(), b""), "{text}");
        }
    }

    #[test]
    fn a_damaged_hash_is_refused_by_name() {
        let cases: [(&str, FormatFault); 16] = [
            ("", FormatFault::Empty),
            ("$2y$", FormatFault::BcryptDamaged),
            ("$2y$99$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK", FormatFault::BcryptCost(99)),
            ("$2y$15$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK", FormatFault::BcryptCost(15)),
            ("$2y$03$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK", FormatFault::BcryptCost(3)),
            ("$2y$xx$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK", FormatFault::BcryptDamaged),
            ("$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmB", FormatFault::BcryptDamaged),
            ("$2x$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK", FormatFault::BcryptBroken),
            ("$apr1$", FormatFault::Apr1Damaged),
            ("$apr1$abc$x", FormatFault::Apr1Damaged),
            ("$apr1$123456789$FBwExRW4dCc8aL.OvjpIE1", FormatFault::Apr1Damaged),
            ("{SHA}", FormatFault::Sha1Damaged),
            ("{SHA}!!!", FormatFault::Sha1Damaged),
            ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", FormatFault::SaltedSha1Damaged),
            ("rl0uE0e2WKB0.", FormatFault::Des),
            ("hunter2", FormatFault::Unknown),
        ];
        for (text, fault) in cases {
            assert_eq!(Format::recognise(text.as_bytes()), Err(fault), "{text}");
        }
        assert!(matches!(Format::recognise(b"$6$salt$x"), Err(FormatFault::Unsupported(_))));
    }

    #[test]
    fn recognising_never_panics_on_a_mutated_hash() {
        for (text, _) in VECTORS {
            for at in 0..text.len() {
                for byte in [0u8, b'$', b'9', 0xff, b' '] {
                    let mut mutated = text.as_bytes().to_vec();
                    mutated[at] = byte;
                    if let Ok(format) = Format::recognise(&mutated)
                        && !matches!(format, Format::Bcrypt(5..))
                    {
                        format.verify(&mutated, b"x");
                    }
                    let _ = Format::recognise(&text.as_bytes()[..at]);
                }
            }
        }
    }

    /// The work of a check, in units of one bcrypt round; a cheap format has a name instead.
    fn work(formats: &[Format]) -> (u32, usize, usize) {
        let bcrypt = formats.iter().map(|f| if let Format::Bcrypt(cost) = f { 1 << cost } else { 0 }).sum();
        let count = |name: &str| formats.iter().filter(|f| f.name().trim_start_matches('s') == name).count();
        (bcrypt, count("apr1"), count("ha"))
    }

    #[test]
    fn every_refusal_does_the_same_work() {
        // Traefik CVE-2026-41263, tinyauth CVE-2026-77582: the time of a "no" told who exists.
        let mut costliest = Costliest::default();
        let held = [
            Format::Bcrypt(5),
            Format::Bcrypt(10),
            Format::Bcrypt(8),
            Format::Apr1,
            Format::Sha1,
            Format::SaltedSha1,
        ];
        held.into_iter().for_each(|format| costliest.include(format));
        let of_nobody = work(&costliest.rest_of_refusal(None));
        assert_eq!(of_nobody, (1 << 10, 1, 1));
        for format in held {
            let mut all = costliest.rest_of_refusal(Some(format));
            all.push(format);
            assert_eq!(work(&all), of_nobody, "{format:?}");
        }
        assert_eq!(Costliest::default().rest_of_refusal(None), []);
    }
}
