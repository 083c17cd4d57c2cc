//! Vectors of every format, damaged ones, and the equal work of refusals.

use std::cell::RefCell;

use super::*;

thread_local! {
    /// Every check that this thread has done, for somebody or for nobody.
    static DONE: RefCell<Vec<Format>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn note(format: Format) {
    DONE.with_borrow_mut(|done| done.push(format));
}

/// The work of the checks that this thread has done since it was last asked; see [`work`].
pub(crate) fn work_done() -> Work {
    work(&DONE.take())
}

/// All of "password". Made with `htpasswd -nbB -C 4`, `openssl passwd -apr1`, `mkpasswd`,
/// argon2-cffi, `htpasswd -nbs`, and RFC 2307's rule.
const VECTORS: [(&str, &str); 13] = [
    ("bcrypt", "$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK"),
    ("apr1", "$apr1$abcdefgh$FBwExRW4dCc8aL.OvjpIE1"),
    ("apr1", "$apr1$x$JzZzpGvcyRmaRIUjVzP42/"),
    ("md5-crypt", "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"),
    ("sha256-crypt", "$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC."),
    (
        "sha512-crypt",
        "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
    ),
    (
        "sha512-crypt",
        "$6$rounds=10000$saltsalt$ZqOTO2O04D/DgwZlm.rZTgWxvBaIf4LQsZKtXFEu9UHJ4CvgmdLAGxKUzJ0mPO98OevETdY6oK/Oac6j2Axxq/",
    ),
    (
        "argon2id",
        "$argon2id$v=19$m=64,t=1,p=1$2cqyLayLNH5UojWw5ugBHw$09//TONOU3oZUKsqyfMaojRq9pLVmRmlz2sFoHfCgcM",
    ),
    ("yescrypt", "$y$j75$WjM61OBMG1PVFjpKnAQ9j0$18CvD7CXK0Bxu..37bKZXDXJJOowHOKN.5fQnnhYVsA"),
    ("sha", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
    ("ssha", "{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0"),
    ("plain", "{PLAIN}password"),
    ("bcrypt", "$2b$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK"),
];

const ALL: Allowed = Allowed { plain: true };

fn recognise(text: &[u8]) -> Result<Format, FormatFault> {
    Format::recognise(text, ALL)
}

#[test]
fn every_format_takes_its_password_and_no_other() {
    for (name, text) in VECTORS {
        let format = recognise(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!(format.name(), name);
        assert!(format.verify(text.as_bytes(), b"password"), "{text}");
        for wrong in [&b"passwore"[..], b"Password", b"password ", b"passwor", b""] {
            assert!(!format.verify(text.as_bytes(), wrong), "{text}");
        }
    }
}

#[test]
fn a_damaged_hash_is_refused_by_name() {
    let bcrypt = |cost: &str| format!("$2y${cost}$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK");
    let argon2 = |rest: &str| format!("$argon2id$v=19${rest}");
    // As long as argon2's digest, and as those of $5$ and $y$, whose last character has four bits.
    let long = "09//TONOU3oZUKsqyfMaojRq9pLVmRmlz2sFoHfCgcA";
    let cases: Vec<(String, FormatFault)> = vec![
        (String::new(), FormatFault::Empty),
        ("$2y$".into(), FormatFault::BcryptDamaged),
        (bcrypt("99"), FormatFault::BcryptCost(99)),
        (bcrypt("15"), FormatFault::BcryptCost(15)),
        (bcrypt("03"), FormatFault::BcryptCost(3)),
        (bcrypt("xx"), FormatFault::BcryptDamaged),
        (bcrypt("04").trim_end_matches('K').into(), FormatFault::BcryptDamaged),
        (bcrypt("04").replace("2y", "2x"), FormatFault::BcryptBroken),
        ("$apr1$".into(), FormatFault::Md5CryptDamaged("$apr1$")),
        ("$apr1$abc$x".into(), FormatFault::Md5CryptDamaged("$apr1$")),
        ("$1$123456789$FBwExRW4dCc8aL.OvjpIE1".into(), FormatFault::Md5CryptDamaged("$1$")),
        ("$1$12345678$FBwExRW4dCc8aL.OvjpIEz".into(), FormatFault::Md5CryptDamaged("$1$")),
        ("$5$".into(), FormatFault::ShaCryptDamaged),
        (format!("$5$salt${}z", "a".repeat(42)), FormatFault::ShaCryptDamaged),
        (format!("$6$salt${}2", "a".repeat(85)), FormatFault::ShaCryptDamaged),
        (format!("$y$j75$WjM61OBMG1PVFjpKnAQ9j0${}z", "a".repeat(42)), FormatFault::YescryptDamaged),
        ("$6$salt$short".into(), FormatFault::ShaCryptDamaged),
        (format!("$5$rounds=999$salt${long}"), FormatFault::ShaCryptRounds(999)),
        (format!("$5$rounds=999999999$salt${long}"), FormatFault::ShaCryptRounds(999_999_999)),
        (format!("$5$rounds=x$salt${long}"), FormatFault::ShaCryptDamaged),
        ("$argon2id$".into(), FormatFault::Argon2Damaged),
        (argon2(&format!("m=131072,t=1,p=1$CaIABNxriImTiMCPUu36Tg${long}")), FormatFault::Argon2Cost),
        (argon2(&format!("m=64,t=11,p=1$CaIABNxriImTiMCPUu36Tg${long}")), FormatFault::Argon2Cost),
        (argon2("m=64,t=1,p=1$CaIABNxriImTiMCPUu36Tg$AAAA"), FormatFault::Argon2Damaged),
        (argon2("m=64,t=1,p=1$CaIABNxriImTiMCPUu36Tg"), FormatFault::Argon2Damaged),
        (format!("$argon2i$v=19$m=64,t=1,p=1$CaIABNxriImTiMCPUu36Tg${long}"), FormatFault::Argon2Variant),
        ("$y$j75$WjM61OBMG1PVFjpKnAQ9j0$18Cv".into(), FormatFault::YescryptDamaged),
        (format!("$y$jFT$t87jUxo3CSUEs0BU6jQg31${long}"), FormatFault::YescryptCost),
        ("{SHA}".into(), FormatFault::Sha1Damaged),
        ("{SHA}!!!".into(), FormatFault::Sha1Damaged),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".into(), FormatFault::SaltedSha1Damaged),
        ("rl0uE0e2WKB0.".into(), FormatFault::Des),
        ("hunter2".into(), FormatFault::Unknown),
    ];
    for (text, fault) in cases {
        assert_eq!(recognise(text.as_bytes()), Err(fault), "{text}");
    }
    assert!(matches!(Format::diagnose(b"$7$x", b"$7$x", ALL), Err(FormatFault::Unsupported(_))));
}

#[test]
fn the_password_in_the_clear_is_taken_only_where_it_is_allowed_by_name() {
    let none = Allowed::default();
    assert_eq!(Format::recognise(b"{PLAIN}password", none), Err(FormatFault::PlainNotAllowed));
    assert_eq!(Format::recognise(b"{PLAIN}password", ALL), Ok(Format::Plain));
}

#[test]
fn no_mutated_hash_makes_a_check_panic_or_take_long() {
    for (_, text) in VECTORS {
        for at in 0..text.len() {
            for byte in [0_u8, b'$', b'9', 0xff, b' '] {
                let mut mutated = text.as_bytes().to_vec();
                mutated[at] = byte;
                let cheap = match recognise(&mutated) {
                    Ok(Format::Bcrypt(cost)) => cost < 6,
                    Ok(Format::Sha256Crypt(rounds) | Format::Sha512Crypt(rounds)) => rounds < 2000,
                    Ok(_) => true,
                    Err(_) => false,
                };
                if cheap && let Ok(format) = recognise(&mutated) {
                    format.verify(&mutated, b"x");
                }
            }
            let _ = recognise(&text.as_bytes()[..at]);
        }
    }
}

/// Rounds of bcrypt and their set-ups, and the names of the others.
pub(crate) type Work = ((u32, usize), Vec<String>);

/// The work of some checks.
fn work(formats: &[Format]) -> Work {
    let costs =
        || formats.iter().filter_map(|f| if let Format::Bcrypt(cost) = f { Some(*cost) } else { None });
    let bcrypt = (costs().map(|cost| 1 << cost).sum(), costs().count());
    let name = |format: &Format| match format {
        Format::Md5Crypt => "Apr1".to_owned(),
        Format::SaltedSha1 | Format::Plain => "Sha1".to_owned(),
        other => format!("{other:?}"),
    };
    let others = formats.iter().filter(|format| !matches!(format, Format::Bcrypt(_)));
    let mut names: Vec<String> = others.map(name).collect();
    names.sort();
    (bcrypt, names)
}

#[test]
fn every_refusal_does_the_same_work() {
    // Traefik CVE-2026-41263, tinyauth CVE-2026-77582: the time of a "no" told who exists.
    let mut held: Vec<Format> = VECTORS.iter().map(|(_, text)| recognise(text.as_bytes()).unwrap()).collect();
    held.extend([Format::Bcrypt(10), Format::Bcrypt(8)]);
    let mut costliest = Costliest::default();
    held.iter().for_each(|format| costliest.include(*format));
    let of_nobody = work(&costliest.rest_of_refusal(None));
    // Each step from the lowest cost, 4 here, adds two of the least cost.
    assert_eq!(of_nobody.0, ((1 << 10) + 6 * 2 * (1 << 4), 1 + 6 * 2));
    for format in held {
        let mut all = costliest.rest_of_refusal(Some(format));
        all.push(format);
        assert_eq!(work(&all), of_nobody, "{format:?}");
    }
    assert_eq!(Costliest::default().rest_of_refusal(None), []);
}

#[test]
fn a_file_of_one_bcrypt_cost_pays_for_no_equalising() {
    let mut costliest = Costliest::default();
    (0..2).for_each(|_| costliest.include(Format::Bcrypt(10)));
    assert_eq!(costliest.rest_of_refusal(None), [Format::Bcrypt(10)]);
    assert_eq!(costliest.rest_of_refusal(Some(Format::Bcrypt(10))), []);
}

#[test]
fn a_file_of_many_costs_makes_no_refusal_do_all_of_them() {
    let mut costliest = Costliest::default();
    (1..=100).for_each(|n| costliest.include(Format::Sha512Crypt(n * 1000)));
    let rest = costliest.rest_of_refusal(None);
    assert_eq!(rest, [97, 98, 99, 100].map(|n| Format::Sha512Crypt(n * 1000)));
}
