//! Every format, made by every tool that supports it, with passwords of every kind.

use super::case::{Case, LinePosition};
use super::hash_tools::{Maker, Makers};
use super::passwords::{self, tries};
use crate::support::random::Random;
use Kinds::{All, Empty, Few, Long, One, Right, SignBug};
use Maker::{ByHand, Htpasswd, Mkpasswd, Openssl, Passlib};

/// Kinds of passwords to hash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    /// Every kind of password; for some kinds, every similar password is tried.
    All,
    /// Letters, UTF-8 and Latin-1.
    Few,
    /// Letters.
    One,
    /// Letters, and only the right password is tried, because the hash is expensive.
    Right,
    /// Passwords beyond the limits of the tools.
    Long,
    /// The empty password.
    Empty,
    /// Bytes that early versions of bcrypt confused with other bytes.
    SignBug,
}

/// Kinds for which every similar password is tried.
const EXACT: [&str; 3] = ["letters", "72 bytes", "73 bytes"];

/// Lengths of long passwords, around the limits of Apache, libcrypt and doorward.
const LONG: [usize; 6] = [256, 511, 512, 513, 1024, 1025];

/// A password from the tests of crypt_blowfish. The byte 0xFF does not occur in UTF-8 text.
pub(crate) const SIGN_BUG: &[u8] = b"\xff\xff\xa3";

const RECIPES: &[(Maker, Kinds)] = &[
    (Htpasswd(&["-B", "-C", "4"]), All),
    (Htpasswd(&["-B", "-C", "5"]), Few),
    (Htpasswd(&["-B", "-C", "6"]), One),
    (Mkpasswd("bcrypt", &["-R", "5"]), All),
    (Mkpasswd("bcrypt", &["-R", "6"]), One),
    (Mkpasswd("bcrypt-a", &["-R", "5"]), Few),
    (Mkpasswd("bcrypt-a", &["-R", "6"]), One),
    (Mkpasswd("bcrypt-a", &["-R", "5"]), SignBug),
    (Mkpasswd("bcrypt", &["-R", "5"]), SignBug),
    (Htpasswd(&["-m"]), All),
    (Passlib("apr_md5_crypt", r#"{"salt": ""}"#), Few),
    (Openssl(&["-apr1", "-salt", "1"]), One),
    (Openssl(&["-apr1", "-salt", "22"]), One),
    (Openssl(&["-apr1", "-salt", "333"]), One),
    (Openssl(&["-apr1", "-salt", "4444"]), One),
    (Openssl(&["-apr1", "-salt", "55555"]), One),
    (Openssl(&["-apr1", "-salt", "666666"]), One),
    (Openssl(&["-apr1", "-salt", "7777777"]), One),
    (Openssl(&["-apr1", "-salt", "88888888"]), Few),
    (Passlib("apr_md5_crypt", r#"{"salt_size": 8}"#), Long),
    (Passlib("apr_md5_crypt", r#"{"salt_size": 8}"#), Empty),
    (Mkpasswd("md5crypt", &[]), All),
    (Passlib("md5_crypt", r#"{"salt": ""}"#), One),
    (Openssl(&["-1", "-salt", "1"]), One),
    (Openssl(&["-1", "-salt", "4444"]), One),
    (Openssl(&["-1", "-salt", "88888888"]), Few),
    (Htpasswd(&["-s"]), All),
    (Passlib("ldap_sha1", "{}"), Long),
    (Passlib("ldap_sha1", "{}"), Empty),
    (Passlib("ldap_salted_sha1", r#"{"salt_size": 4}"#), All),
    (Passlib("ldap_salted_sha1", r#"{"salt_size": 8}"#), Few),
    (Passlib("ldap_salted_sha1", r#"{"salt_size": 16}"#), Few),
    (ByHand("{PLAIN}"), All),
    (Mkpasswd("sha256crypt", &["-R", "1000"]), All),
    (Htpasswd(&["-2", "-r", "1001"]), Few),
    (Openssl(&["-5", "-salt", "1"]), One),
    (Openssl(&["-5", "-salt", "sixteensixteen16"]), One),
    (Passlib("sha256_crypt", r#"{"rounds": 1000, "salt": ""}"#), One),
    (Mkpasswd("sha512crypt", &["-R", "1000"]), All),
    (Htpasswd(&["-5", "-r", "1001"]), Few),
    (Openssl(&["-6", "-salt", "1"]), One),
    (Openssl(&["-6", "-salt", "sixteensixteen16"]), One),
    (Openssl(&["-6", "-salt", "a_b-c"]), One),
    (Passlib("sha512_crypt", r#"{"rounds": 1000, "salt": ""}"#), One),
    (Passlib("sha512_crypt", r#"{"rounds": 1000, "salt": "salt"}"#), Long),
    (Mkpasswd("sha512crypt", &["-R", "1000001"]), Right),
    (Passlib("argon2", r#"{"type": "ID", "memory_cost": 64, "time_cost": 1, "parallelism": 1}"#), All),
    (Passlib("argon2", r#"{"type": "ID", "memory_cost": 256, "time_cost": 2, "parallelism": 2}"#), One),
    (Passlib("argon2", r#"{"type": "I", "memory_cost": 64, "time_cost": 1, "parallelism": 1}"#), One),
    (Passlib("argon2", r#"{"type": "ID", "memory_cost": 65537, "time_cost": 1, "parallelism": 1}"#), Right),
    (Mkpasswd("yescrypt", &["-R", "1"]), All),
    (Mkpasswd("yescrypt", &["-R", "2"]), One),
    (Mkpasswd("yescrypt", &["-R", "8"]), Right),
    (Mkpasswd("descrypt", &[]), All),
    (Htpasswd(&["-d"]), Few),
    (Mkpasswd("bsdicrypt", &["-R", "5"]), Few),
    (Mkpasswd("scrypt", &["-R", "6"]), Few),
    (Mkpasswd("gost-yescrypt", &["-R", "1"]), One),
    (Mkpasswd("sunmd5", &[]), One),
    (Mkpasswd("nt", &[]), One),
    (Passlib("sha1_crypt", r#"{"rounds": 1000}"#), One),
    (Passlib("pbkdf2_sha256", r#"{"rounds": 1000}"#), One),
    (Passlib("scrypt", r#"{"rounds": 4}"#), One),
    (Passlib("ldap_salted_sha256", "{}"), One),
    (Passlib("ldap_salted_sha512", "{}"), One),
    (ByHand(""), Few),
];

/// Returns one password of each requested kind, with the name of the kind.
fn chosen(kinds: Kinds, random: &mut Random) -> Vec<(String, Vec<u8>)> {
    let named = |list: Vec<(&'static str, Vec<u8>)>| list.into_iter().map(|(k, p)| (k.to_owned(), p));
    match kinds {
        All => named(passwords::passwords(random)).collect(),
        Few => named(passwords::passwords(random))
            .filter(|(k, _)| ["letters", "UTF-8", "Latin-1"].contains(&&k[..]))
            .collect(),
        One | Right => named(passwords::passwords(random)).take(1).collect(),
        Empty => vec![("nothing".to_owned(), Vec::new())],
        SignBug => vec![("bytes with the sign bit".to_owned(), SIGN_BUG.to_owned())],
        Long => {
            LONG.iter().map(|length| (format!("{length} bytes"), random.letters(*length).into())).collect()
        }
    }
}

pub(crate) fn cases(makers: &Makers, random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    for (maker, kinds) in RECIPES {
        for (kind, right) in chosen(*kinds, random) {
            let hash = makers.make(*maker, &right);
            let count = match kinds {
                All if EXACT.contains(&&kind[..]) => usize::MAX,
                Right => 1,
                _ => 2,
            };
            for (which, password) in tries(&right).into_iter().take(count) {
                let user = format!("f{}", cases.len()).into_bytes();
                cases.push(Case {
                    what: format!("{maker:?} of {kind}, {which}"),
                    shape: "",
                    place: LinePosition::Among,
                    text: [&user, &b":"[..], &hash, b"\n"].concat(),
                    hash: hash.clone(),
                    user,
                    password,
                    made_of: right.clone(),
                    damaged: false,
                });
            }
        }
    }
    cases
}
