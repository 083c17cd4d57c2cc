//! One check: a file, a user and a password.

/// Position of the lines of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinePosition {
    /// The lines share a file with other cases.
    Among,
    /// The lines are at the top of their own file.
    Top,
    /// The lines are at the end of their own file.
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Description of the hash, the line and the password.
    pub(crate) what: String,
    /// The shape of the line.
    pub(crate) shape: &'static str,
    pub(crate) place: LinePosition,
    /// One line, or several lines that belong together.
    pub(crate) text: Vec<u8>,
    /// The hash in the line.
    pub(crate) hash: Vec<u8>,
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
    /// The password from which `hash` was made.
    pub(crate) made_of: Vec<u8>,
    /// True if `hash` was modified after it was made.
    pub(crate) damaged: bool,
}

/// Prefix of a hash, and the name of its format.
const FORMATS: [(&str, &str); 25] = [
    ("$2a$", "bcrypt ($2a$)"),
    ("$2b$", "bcrypt ($2b$)"),
    ("$2y$", "bcrypt ($2y$)"),
    ("$2x$", "bcrypt ($2x$)"),
    ("$apr1$", "apr1 ($apr1$)"),
    ("$1$", "MD5 crypt ($1$)"),
    ("{SHA}", "{SHA}"),
    ("{SSHA}", "{SSHA}"),
    ("{PLAIN}", "{PLAIN}"),
    ("$5$", "SHA-256 crypt ($5$)"),
    ("$6$", "SHA-512 crypt ($6$)"),
    ("$argon2id$", "argon2id"),
    ("$argon2i$", "argon2i"),
    ("$y$", "yescrypt ($y$)"),
    ("_", "BSDi crypt (_)"),
    ("$7$", "scrypt ($7$)"),
    ("$scrypt$", "scrypt ($scrypt$)"),
    ("$gy$", "gost-yescrypt ($gy$)"),
    ("$md5,", "Sun MD5 ($md5)"),
    ("$md5$", "Sun MD5 ($md5)"),
    ("$3$", "NT hash ($3$)"),
    ("$sha1$", "SHA-1 crypt ($sha1$)"),
    ("$pbkdf2-sha256$", "PBKDF2"),
    ("{SSHA256}", "{SSHA256}, {SSHA512}"),
    ("{SSHA512}", "{SSHA256}, {SSHA512}"),
];

impl Case {
    /// Returns true if the hash has one of these prefixes.
    pub(crate) fn is(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| self.hash.starts_with(prefix.as_bytes()))
    }

    /// Returns true if the hash is 13 characters of the DES alphabet.
    pub(crate) fn is_des(&self) -> bool {
        let of_des = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
        self.hash.len() == 13 && self.hash.iter().all(of_des)
    }

    /// Returns the format of the hash, according to its prefix.
    pub(crate) fn format(&self) -> &'static str {
        let named = FORMATS.iter().find(|(prefix, _)| self.is(&[prefix]));
        match named {
            Some((_, name)) => name,
            None if self.is_des() => "DES crypt",
            None => "none",
        }
    }

    /// Returns true if the hash was made from the password.
    pub(crate) fn is_right(&self) -> bool {
        self.password == self.made_of
    }

    /// Returns the batch of the case; all cases of a batch share a file. A refusal takes as long as the most
    /// expensive hash of the file, so hashes of different cost are in different batches.
    pub(crate) fn batch(&self) -> String {
        if self.place != LinePosition::Among {
            return self.what.clone();
        }
        let text = String::from_utf8_lossy(&self.hash);
        let mut fields = text.split('$').skip(1);
        match (fields.next(), fields.next()) {
            (Some(prefix @ ("2a" | "2b" | "2y")), Some(cost)) => format!("{} {cost:.2}", &prefix[..1]),
            (Some(prefix @ ("5" | "6")), Some(rounds)) if rounds.starts_with("rounds=") => {
                format!("{prefix} {rounds}")
            }
            (Some(prefix @ ("5" | "6" | "y" | "argon2id")), _) => prefix.to_owned(),
            _ => "quick".to_owned(),
        }
    }
}
