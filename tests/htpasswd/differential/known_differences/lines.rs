//! Lines on which other programs differ, and formats that the crate does not support.

use super::{EITHER, KnownDifference, NO, YES};
use crate::htpasswd::differential::Oracle::{Crate, Htpasswd, Nginx};
use crate::htpasswd::differential::case::Case;
use crate::support::oracle::OracleVerdict::{Accepts, Fails, Panics, Refuses};

/// Returns true if the text between the colon and the LF is not exactly the hash, or the hash is damaged.
fn unclean(case: &Case) -> bool {
    let clean = [b":", &case.hash[..], b"\n"].concat();
    case.damaged || !case.text.windows(clean.len()).any(|window| window == clean)
}

/// Returns true for an apr1 salt of fewer than eight characters.
fn short_salt(case: &Case) -> bool {
    case.is(&["$apr1$"]) && case.hash.get(14) != Some(&b'$')
}

pub(super) const CLASSES: &[KnownDifference] = &[
    KnownDifference {
        pattern: "`{SSHA}`, `{PLAIN}`",
        holds: |case| case.is(&["{SSHA}", "{PLAIN}"]),
        who: &[Htpasswd],
        says: Refuses,
        doorward: YES,
        why: "the tool does not know them; nginx does",
    },
    KnownDifference {
        pattern: "`$2a$`, `$2b$`, `$1$`, `$5$`, `$6$`, `$y$`, `{SSHA}`, `{PLAIN}`",
        holds: |case| case.is(&["$2a$", "$2b$", "$1$", "$5$", "$6$", "$y$", "{SSHA}", "{PLAIN}"]),
        who: &[Crate],
        says: Refuses,
        doorward: YES,
        why: "the crate takes them for DES",
    },
    KnownDifference {
        pattern: "`$apr1$` with a salt of fewer than eight characters",
        holds: short_salt,
        who: &[Crate],
        says: Refuses,
        doorward: YES,
        why: "the crate cuts the text at fixed places",
    },
    KnownDifference {
        pattern: "`$2y$` with damage, or with anything behind it (CR, space, third field, NUL); `$apr1$` with nothing behind it",
        holds: |case| case.is(&["$2y$"]) && unclean(case) || case.hash == b"$apr1$",
        who: &[Crate],
        says: Panics,
        doorward: EITHER,
        why: "the crate unwraps an error, or cuts beyond the end",
    },
    KnownDifference {
        pattern: "`$2y$4$`",
        holds: |case| case.is(&["$2y$4$"]),
        who: &[Crate],
        says: Accepts,
        doorward: NO,
        why: "bcrypt writes two digits of cost, and all others want them",
    },
    KnownDifference {
        pattern: "`$2y$` with a cost that there is not, or with nothing behind it; no hash at all",
        holds: |case| {
            let line_ends = case.hash.is_empty() || case.shape == "two lines, the first without a hash";
            case.is(&["$2y$"]) && case.damaged || line_ends
        },
        who: &[Htpasswd],
        says: Fails,
        doorward: NO,
        why: "the tool says that it can't check, which is no \"yes\" either",
    },
    KnownDifference {
        pattern: "CR before the LF, or at the end of the file",
        holds: |case| case.text.ends_with(b"\r\n") || case.text.ends_with(b"\r"),
        who: &[Crate],
        says: Refuses,
        doorward: YES,
        why: "the crate takes the CR for a part of the hash",
    },
    KnownDifference {
        pattern: "a space or a tab behind the hash",
        holds: |case| case.shape.ends_with("behind the hash") && !case.text.contains(&0),
        who: &[Nginx, Htpasswd, Crate],
        says: Refuses,
        doorward: YES,
        why: "they take it for a part of the hash; doorward, for a slip of the editor",
    },
    KnownDifference {
        pattern: "a space or a tab before the name",
        holds: |case| matches!(case.shape, "a space before the name" | "a tab before the name"),
        who: &[Nginx, Crate],
        says: Refuses,
        doorward: YES,
        why: "the same, of the name; `htpasswd -v` skips it too",
    },
    KnownDifference {
        pattern: "a NUL behind the hash",
        holds: |case| case.text.contains(&0),
        who: &[Nginx, Htpasswd],
        says: Accepts,
        doorward: NO,
        why: "C programs stop there; to doorward the hash is damaged",
    },
    KnownDifference {
        pattern: "a third field",
        holds: |case| case.shape.contains("third field"),
        who: &[Htpasswd, Crate],
        says: Refuses,
        doorward: YES,
        why: "they take it for a part of the hash; nginx ignores it",
    },
    KnownDifference {
        pattern: "a line of more than 255 bytes",
        holds: |case| case.text.split(|b| *b == b'\n').any(|line| line.len() > 255),
        who: &[Htpasswd],
        says: Fails,
        doorward: EITHER,
        why: "the tool reads lines in pieces of that length, and takes the rest for another line; so it can't check a name of 255 bytes",
    },
    KnownDifference {
        pattern: "a BOM before the first name",
        holds: |case| case.shape == "a BOM",
        who: &[Nginx, Htpasswd, Crate],
        says: Refuses,
        doorward: YES,
        why: "they take it for a part of the name; doorward, for what an editor put there",
    },
    KnownDifference {
        pattern: "a BOM before a comment; a line without a colon",
        holds: |case| matches!(case.shape, "a BOM before a comment" | "two lines, the first without a colon"),
        who: &[Htpasswd],
        says: Fails,
        doorward: EITHER,
        why: "the tool refuses the whole file for a line without a colon; others lose that line",
    },
    KnownDifference {
        pattern: "two lines for one user",
        holds: |case| case.shape.starts_with("two lines"),
        who: &[Crate],
        says: Accepts,
        doorward: NO,
        why: "to the crate the last one counts, and one without a colon is none; to nginx and doorward the first one counts, whatever is wrong with it",
    },
    KnownDifference {
        pattern: "two whole lines for one user",
        holds: |case| case.shape.starts_with("two lines, this one"),
        who: &[Htpasswd, Crate],
        says: Refuses,
        doorward: YES,
        why: "the same of the crate; `htpasswd -v` wants the password to fit both",
    },
    KnownDifference {
        pattern: "a name that begins with `#`",
        holds: |case| case.user.starts_with(b"#"),
        who: &[Crate],
        says: Accepts,
        doorward: NO,
        why: "the crate knows no comments: a user who was commented out still gets in",
    },
    KnownDifference {
        pattern: "a name with a space at one end, or with a tab",
        holds: |case| case.user.trim_ascii() != case.user || case.user.contains(&b'\t'),
        who: &[Nginx, Htpasswd, Crate],
        says: Accepts,
        doorward: NO,
        why: "the registry would get the name in a header, which loses the space, and so another's name; RFC 7617 forbids control characters",
    },
    KnownDifference {
        pattern: "a name of more than 255 bytes",
        holds: |case| case.user.len() > 255,
        who: &[Nginx, Crate],
        says: Accepts,
        doorward: NO,
        why: "the htpasswd tool's bound, and doorward's",
    },
    KnownDifference {
        pattern: "no name",
        holds: |case| case.user.is_empty(),
        who: &[Htpasswd, Crate],
        says: Accepts,
        doorward: NO,
        why: "nobody is no user, for nginx too",
    },
];
