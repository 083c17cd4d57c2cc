//! Passwords and hashes on which other programs differ.

use super::{EITHER, KnownDifference, NO, YES};
use crate::htpasswd::differential::Oracle::{Crate, Htpasswd, Maker, Nginx};
use crate::htpasswd::differential::case::Case;
use crate::htpasswd::differential::formats::SIGN_BUG;
use crate::support::oracle::OracleVerdict::{Accepts, Fails, Refuses};

/// Returns true for a bcrypt hash with a password of more than 72 bytes.
fn beyond_72(case: &Case) -> bool {
    case.is(&["$2a$", "$2b$", "$2y$"]) && case.made_of.len().max(case.password.len()) > 72
}

fn is_unpadded(case: &Case) -> bool {
    case.is(&["{SHA}", "{SSHA}"])
        && !case
            .hash
            .len()
            .saturating_sub(case.hash.iter().position(|b| *b == b'}').map_or(0, |at| at + 1))
            .is_multiple_of(4)
}

pub(super) const CLASSES: &[KnownDifference] = &[
    KnownDifference {
        pattern: "a password with a NUL in it",
        holds: |case| case.password.contains(&0),
        who: &[Nginx, Crate],
        says: Accepts,
        doorward: NO,
        why: "C programs stop at the NUL, and bcrypt begins anew behind it, so a password that is not the right one is accepted; doorward refuses all that have one",
    },
    KnownDifference {
        pattern: "an empty password",
        holds: |case| case.password.is_empty(),
        who: &[Maker, Nginx, Htpasswd, Crate],
        says: Accepts,
        doorward: NO,
        why: "doorward takes no empty password, whatever its hash",
    },
    KnownDifference {
        pattern: "a password of more than 255 bytes",
        holds: |case| case.password.len() > 255,
        who: &[Htpasswd],
        says: Fails,
        doorward: EITHER,
        why: "the tool reads no more",
    },
    KnownDifference {
        pattern: "a password of more than 1024 bytes",
        holds: |case| case.password.len() > 1024,
        who: &[Maker, Nginx, Crate],
        says: Accepts,
        doorward: NO,
        why: "doorward's bound: the time of some formats grows with the length",
    },
    KnownDifference {
        pattern: "`$6$`, and a password of 512 bytes or more",
        holds: |case| case.is(&["$6$"]) && case.password.len() >= 512,
        who: &[Nginx],
        says: Refuses,
        doorward: YES,
        why: "libcrypt, which nginx asks, reads no more than 511",
    },
    KnownDifference {
        pattern: "bcrypt, and a password of more than 72 bytes",
        holds: beyond_72,
        who: &[Maker],
        says: Refuses,
        doorward: YES,
        why: "bcrypt looks at the first 72 bytes alone, so passwords that differ behind them are the same to it; nginx and the tool have it so too. `doorward user` makes no such hash",
    },
    KnownDifference {
        pattern: "`$2a$`, and a password with bytes 0xFF",
        holds: |case| case.is(&["$2a$"]) && case.made_of == SIGN_BUG,
        who: &[Maker, Nginx, Htpasswd],
        says: Accepts,
        doorward: NO,
        why: "libcrypt's `$2a$` differs from `$2b$` and `$2y$` for some passwords with such bytes, which no text in UTF-8 has; doorward computes all three alike. Set the password anew",
    },
    KnownDifference {
        pattern: "`$2x$`",
        holds: |case| case.is(&["$2x$"]),
        who: &[Nginx, Htpasswd],
        says: Accepts,
        doorward: NO,
        why: "it marks hashes of a broken implementation, which match wrong passwords; refused by name",
    },
    KnownDifference {
        pattern: "DES crypt (13 characters)",
        holds: Case::is_des,
        who: &[Maker, Nginx, Htpasswd, Crate],
        says: Accepts,
        doorward: NO,
        why: "it reads eight characters of a password, so others accept wrong ones too, and is broken in hours; refused by name",
    },
    KnownDifference {
        pattern: "`_` (BSDi), `$7$`, `$gy$`, `$md5`, `$3$` (NT), `$sha1$`",
        holds: |case| case.is(&["_", "$7$", "$gy$", "$md5", "$3$", "$sha1$"]),
        who: &[Maker, Nginx, Htpasswd],
        says: Accepts,
        doorward: NO,
        why: "libcrypt knows them; doorward does not take them, and says so by name",
    },
    KnownDifference {
        pattern: "`$pbkdf2-sha256$`, `$scrypt$`, `$argon2i$`, `{SSHA256}`, `{SSHA512}`",
        holds: |case| case.is(&["$pbkdf2-sha256$", "$scrypt$", "$argon2i$", "{SSHA256}", "{SSHA512}"]),
        who: &[Maker],
        says: Accepts,
        doorward: NO,
        why: "formats of other programs, which none of the readers takes; refused by name",
    },
    KnownDifference {
        pattern: "the password itself, without `{PLAIN}`",
        holds: |case| case.hash == case.made_of,
        who: &[Maker],
        says: Accepts,
        doorward: NO,
        why: "taken by none of the readers; doorward says what it may be",
    },
    KnownDifference {
        pattern: "`$6$` with more than 1,000,000 rounds, yescrypt with more than 64 MiB",
        holds: |case| case.is(&["$6$rounds=1000001$", "$y$jC"]),
        who: &[Maker, Nginx, Htpasswd],
        says: Accepts,
        doorward: NO,
        why: "a single log-in would stop everybody else's; refused by name, as bcrypt above cost 14 is",
    },
    KnownDifference {
        pattern: "argon2id with more than 64 MiB",
        holds: |case| case.is(&["$argon2id$v=19$m=65537,"]),
        who: &[Maker],
        says: Accepts,
        doorward: NO,
        why: "the same",
    },
    KnownDifference {
        pattern: "`{PLAIN}` of a password with a colon",
        holds: |case| case.is(&["{PLAIN}"]) && case.made_of.contains(&b':'),
        who: &[Maker],
        says: Accepts,
        doorward: NO,
        why: "a colon ends the second field, for nginx too",
    },
    KnownDifference {
        pattern: "`{PLAIN}` of a password with a space at its end",
        holds: |case| case.is(&["{PLAIN}"]) && case.made_of.ends_with(b" "),
        who: &[Maker, Nginx],
        says: Accepts,
        doorward: NO,
        why: "doorward takes spaces at a line's ends for a slip of the editor",
    },
    KnownDifference {
        pattern: "argon2id",
        holds: |case| case.is(&["$argon2id$"]),
        who: &[Nginx, Htpasswd, Crate],
        says: Refuses,
        doorward: YES,
        why: "doorward alone takes it",
    },
    KnownDifference {
        pattern: "`{SHA}` or `{SSHA}` without its padding",
        holds: is_unpadded,
        who: &[Nginx, Htpasswd, Crate],
        says: Refuses,
        doorward: YES,
        why: "others compare the text; doorward compares the digest, which is whole",
    },
];
