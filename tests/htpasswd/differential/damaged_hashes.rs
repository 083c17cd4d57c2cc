//! Hashes that are truncated, mistyped or invented.

use super::case::{Case, LinePosition};
use super::hash_tools::{Maker, Makers};
use crate::support::random::Random;

/// Makers of the hashes that are damaged.
const OF: [Maker; 11] = [
    Maker::Htpasswd(&["-B", "-C", "4"]),
    Maker::Mkpasswd("bcrypt", &["-R", "5"]),
    Maker::Openssl(&["-apr1", "-salt", "damaged."]),
    Maker::Openssl(&["-1", "-salt", "damaged."]),
    Maker::Htpasswd(&["-s"]),
    Maker::Passlib("ldap_salted_sha1", r#"{"salt_size": 8}"#),
    Maker::Mkpasswd("sha256crypt", &["-R", "1000"]),
    Maker::Mkpasswd("sha512crypt", &["-R", "1000"]),
    Maker::Passlib("argon2", r#"{"type": "ID", "memory_cost": 64, "time_cost": 1, "parallelism": 1}"#),
    Maker::Mkpasswd("yescrypt", &["-R", "1"]),
    Maker::Mkpasswd("descrypt", &[]),
];

/// Function that damages a hash.
type Damage = fn(&str) -> String;

const DAMAGES: &[(&str, Damage)] = &[
    ("without its last character", |hash| hash[..hash.len() - 1].to_owned()),
    ("with a character more", |hash| format!("{hash}A")),
    ("with another last character", |hash| with_last(hash, |last| if last == 'A' { 'B' } else { 'A' })),
    ("with the next last character", |hash| with_last(hash, next)),
    ("with a last character that is not of the alphabet", |hash| with_last(hash, |_| '!')),
    ("cut in half", |hash| hash[..hash.len() / 2].to_owned()),
    ("cut behind its prefix", |hash| hash[..prefix(hash)].to_owned()),
    ("with its prefix in the other case", |hash| {
        let (head, rest) = hash.split_at(prefix(hash));
        let swap = |c: char| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        head.chars().map(swap).chain(rest.chars()).collect()
    }),
    ("with an é in the middle", |hash| {
        format!("{}é{}", &hash[..hash.len() / 2], &hash[hash.len() / 2 + 1..])
    }),
    ("without its padding", |hash| hash.trim_end_matches('=').to_owned()),
    ("with a space in the middle", |hash| format!("{} {}", &hash[..hash.len() / 2], &hash[hash.len() / 2..])),
];

/// Damages for a single format: the maker, the text to replace, and its replacement.
const OF_ONE: &[(Maker, &str, &str)] = &[
    (OF[0], "$2y$", "$2x$"),
    (OF[0], "$2y$", "$2$"),
    (OF[0], "$2y$", "$2z$"),
    (OF[0], "$04$", "$4$"),
    (OF[0], "$04$", "$03$"),
    (OF[0], "$04$", "$32$"),
    (OF[0], "$04$", "$99$"),
    (OF[0], "$04$", "$xx$"),
    (OF[2], "damaged.", "damaged.."),
    (OF[3], "damaged.", "damaged.."),
    (OF[6], "rounds=1000", "rounds=01000"),
    (OF[6], "rounds=1000", "rounds=+1000"),
    (OF[6], "rounds=1000", "rounds=999"),
    (OF[6], "rounds=1000", "rounds=0"),
    (OF[7], "rounds=1000", "rounds=01000"),
    (OF[7], "rounds=1000", "rounds=+1000"),
    (OF[7], "rounds=1000", "rounds="),
    (OF[7], "rounds=1000", "rounds=99999999999"),
    (OF[8], "v=19$", ""),
    (OF[8], "v=19", "v=16"),
    (OF[8], "m=64", "m=064"),
    (OF[9], "$j75$", "$j7$"),
    (OF[9], "$j75$", "$/75$"),
];

/// Invented hashes.
const MADE_UP: [&str; 10] = ["", "x", "!", "*", "*0", "x x", "$", "$$", "{}", "{CRYPT}x"];

/// Returns the length of the prefix that identifies the format.
fn prefix(hash: &str) -> usize {
    let end = hash.find('}').or_else(|| hash[1..].find('$').map(|at| at + 1));
    end.map_or(2, |at| at + 1)
}

fn next(c: char) -> char {
    match c {
        'z' => 'a',
        'Z' => 'A',
        '9' | '.' | '/' => '0',
        _ => char::from_u32(u32::from(c) + 1).expect("a character"),
    }
}

/// Changes the last character before the padding.
fn with_last(hash: &str, change: impl Fn(char) -> char) -> String {
    let bare = hash.trim_end_matches('=');
    let (head, last) = bare.split_at(bare.len() - 1);
    format!("{head}{}{}", change(last.chars().next().expect("a character")), &hash[bare.len()..])
}

pub(crate) fn cases(makers: &Makers, random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |what: String, hash: String, password: &str| {
        let user = format!("d{}", cases.len());
        cases.push(Case {
            what,
            shape: "",
            place: LinePosition::Among,
            text: format!("{user}:{hash}\n").into_bytes(),
            damaged: true,
            hash: hash.into_bytes(),
            user: user.into_bytes(),
            password: password.as_bytes().to_owned(),
            made_of: password.as_bytes().to_owned(),
        });
    };
    let right = random.letters(8);
    let made = |maker| String::from_utf8(makers.make(maker, right.as_bytes())).expect("a hash in ASCII");
    for maker in OF {
        let hash = made(maker);
        for (how, damage) in DAMAGES {
            // In the first pass, passlib hashes are empty and cannot be damaged.
            let damaged = if hash.is_empty() { String::new() } else { damage(&hash) };
            if damaged != hash {
                add(format!("{maker:?} {how}"), damaged, &right);
            }
        }
    }
    for (maker, from, to) in OF_ONE {
        let hash = made(*maker);
        assert!(hash.is_empty() || hash.contains(from), "{hash} has no {from}");
        add(format!("{maker:?} with {to} for {from}"), hash.replacen(from, to, 1), &right);
    }
    for hash in MADE_UP {
        add(format!("{hash:?}, made up"), hash.to_owned(), &right);
        if !hash.is_empty() {
            add(format!("{hash:?}, made up, itself"), hash.to_owned(), hash);
        }
    }
    cases
}
