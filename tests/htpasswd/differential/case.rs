//! One question to everybody: a file, a user, a password.

/// Where the text of a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinePosition {
    /// In a file with others.
    Among,
    /// At the top of a file of its own.
    Top,
    /// At the end of a file of its own.
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Which hash, which line, which password, in words.
    pub(crate) what: String,
    /// The shape of the line.
    pub(crate) shape: &'static str,
    pub(crate) place: LinePosition,
    /// The line, or the lines that belong together.
    pub(crate) text: Vec<u8>,
    /// The hash that was put into it.
    pub(crate) hash: Vec<u8>,
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
    /// The password that `hash` was made of.
    pub(crate) made_of: Vec<u8>,
    /// Whether `hash` is as its maker made it.
    pub(crate) damaged: bool,
}

/// What tells a format: how the hash begins, and the format's name.
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
    /// Whether the hash begins in one of these ways.
    pub(crate) fn is(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| self.hash.starts_with(prefix.as_bytes()))
    }

    /// Whether it is 13 characters of the DES alphabet.
    pub(crate) fn is_des(&self) -> bool {
        let of_des = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
        self.hash.len() == 13 && self.hash.iter().all(of_des)
    }

    /// The format that the hash has, or claims to have.
    pub(crate) fn format(&self) -> &'static str {
        let named = FORMATS.iter().find(|(prefix, _)| self.is(&[prefix]));
        match named {
            Some((_, name)) => name,
            None if self.is_des() => "DES crypt",
            None => "none",
        }
    }

    /// The password is the one that the hash was made of.
    pub(crate) fn is_right(&self) -> bool {
        self.password == self.made_of
    }

    /// The cases of one batch share a file. A refusal does the work of the costliest hashes of its
    /// file, so hashes of another cost are another batch.
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
