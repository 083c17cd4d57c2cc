//! Test vectors of every format, malformed hashes, and the equal work of all rejections.

use std::cell::RefCell;

use super::timing_equalizer::TimingEqualizer;
use super::*;

thread_local! {
    /// The checks that this thread has done, dummy checks included.
    static PERFORMED_CHECKS: RefCell<Vec<HashFormat>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn record_check(format: HashFormat) {
    PERFORMED_CHECKS.with_borrow_mut(|checks| checks.push(format));
}

/// Returns the work of the checks of this thread since the last call.
pub(crate) fn take_performed_work() -> CheckWork {
    summarize_work(&PERFORMED_CHECKS.take())
}

/// Hashes of "password", created with `htpasswd -nbB -C 4`, `openssl passwd -apr1`, `mkpasswd`, argon2-cffi,
/// `htpasswd -nbs`, and by the rule of RFC 2307.
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

const ALL: AllowedFormats = AllowedFormats { plain: true };

fn detect(text: &[u8]) -> Result<HashFormat, HashFormatError> {
    HashFormat::detect(text, ALL)
}

#[test]
fn every_format_accepts_only_its_own_password() {
    for (name, text) in VECTORS {
        let format = detect(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(format.name(), name);
        assert!(format.verify(text.as_bytes(), b"password"), "{text}");
        for wrong in [&b"passwore"[..], b"Password", b"password ", b"passwor", b""] {
            assert!(!format.verify(text.as_bytes(), wrong), "{text}");
        }
    }
}

#[test]
fn malformed_hash_is_rejected_with_specific_error() {
    let bcrypt = |cost: &str| format!("$2y${cost}$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK");
    let argon2 = |rest: &str| format!("$argon2id$v=19${rest}");
    // A digest for argon2, and for $5$ and $y$, in which the last character has four bits.
    let digest = "09//TONOU3oZUKsqyfMaojRq9pLVmRmlz2sFoHfCgcA";
    let cases: Vec<(String, HashFormatError)> = vec![
        (String::new(), HashFormatError::Empty),
        ("$2y$".into(), HashFormatError::BcryptMalformed),
        (bcrypt("99"), HashFormatError::BcryptCostOutOfRange(99)),
        (bcrypt("15"), HashFormatError::BcryptCostOutOfRange(15)),
        (bcrypt("03"), HashFormatError::BcryptCostOutOfRange(3)),
        (bcrypt("xx"), HashFormatError::BcryptMalformed),
        (bcrypt("04").trim_end_matches('K').into(), HashFormatError::BcryptMalformed),
        (bcrypt("04").replace("2y", "2x"), HashFormatError::BcryptInsecureVariant),
        ("$apr1$".into(), HashFormatError::Md5CryptMalformed("$apr1$")),
        ("$apr1$abc$x".into(), HashFormatError::Md5CryptMalformed("$apr1$")),
        ("$1$123456789$FBwExRW4dCc8aL.OvjpIE1".into(), HashFormatError::Md5CryptMalformed("$1$")),
        ("$1$12345678$FBwExRW4dCc8aL.OvjpIEz".into(), HashFormatError::Md5CryptMalformed("$1$")),
        ("$5$".into(), HashFormatError::ShaCryptMalformed),
        (format!("$5$salt${}z", "a".repeat(42)), HashFormatError::ShaCryptMalformed),
        (format!("$6$salt${}2", "a".repeat(85)), HashFormatError::ShaCryptMalformed),
        (format!("$y$j75$WjM61OBMG1PVFjpKnAQ9j0${}z", "a".repeat(42)), HashFormatError::YescryptMalformed),
        ("$6$salt$short".into(), HashFormatError::ShaCryptMalformed),
        (format!("$5$rounds=999$salt${digest}"), HashFormatError::ShaCryptRoundsOutOfRange(999)),
        (
            format!("$5$rounds=999999999$salt${digest}"),
            HashFormatError::ShaCryptRoundsOutOfRange(999_999_999),
        ),
        (format!("$5$rounds=x$salt${digest}"), HashFormatError::ShaCryptMalformed),
        ("$argon2id$".into(), HashFormatError::Argon2Malformed),
        (
            argon2(&format!("m=131072,t=1,p=1$CaIABNxriImTiMCPUu36Tg${digest}")),
            HashFormatError::Argon2CostTooHigh,
        ),
        (
            argon2(&format!("m=64,t=11,p=1$CaIABNxriImTiMCPUu36Tg${digest}")),
            HashFormatError::Argon2CostTooHigh,
        ),
        (argon2("m=64,t=1,p=1$CaIABNxriImTiMCPUu36Tg$AAAA"), HashFormatError::Argon2Malformed),
        (argon2("m=64,t=1,p=1$CaIABNxriImTiMCPUu36Tg"), HashFormatError::Argon2Malformed),
        (
            format!("$argon2i$v=19$m=64,t=1,p=1$CaIABNxriImTiMCPUu36Tg${digest}"),
            HashFormatError::Argon2VariantUnsupported,
        ),
        ("$y$j75$WjM61OBMG1PVFjpKnAQ9j0$18Cv".into(), HashFormatError::YescryptMalformed),
        (format!("$y$jFT$t87jUxo3CSUEs0BU6jQg31${digest}"), HashFormatError::YescryptParametersUnsupported),
        ("{SHA}".into(), HashFormatError::Sha1Malformed),
        ("{SHA}!!!".into(), HashFormatError::Sha1Malformed),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".into(), HashFormatError::SaltedSha1Malformed),
        ("rl0uE0e2WKB0.".into(), HashFormatError::DesCrypt),
        ("hunter2".into(), HashFormatError::UnknownFormat),
    ];
    for (text, error) in cases {
        assert_eq!(detect(text.as_bytes()), Err(error), "{text}");
    }
    assert!(matches!(
        HashFormat::diagnose(b"$7$x", b"$7$x", ALL),
        Err(HashFormatError::UnsupportedFormat(_))
    ));
}

#[test]
fn plain_password_is_accepted_only_if_format_is_allowed() {
    let none = AllowedFormats::default();
    assert_eq!(HashFormat::detect(b"{PLAIN}password", none), Err(HashFormatError::PlainNotAllowed));
    assert_eq!(HashFormat::detect(b"{PLAIN}password", ALL), Ok(HashFormat::Plain));
}

#[test]
fn mutated_hash_neither_panics_nor_runs_long() {
    for (_, text) in VECTORS {
        for at in 0..text.len() {
            for byte in [0_u8, b'$', b'9', 0xff, b' '] {
                let mut mutated = text.as_bytes().to_vec();
                mutated[at] = byte;
                let cheap = match detect(&mutated) {
                    Ok(HashFormat::Bcrypt(cost)) => cost < 6,
                    Ok(HashFormat::Sha256Crypt(rounds) | HashFormat::Sha512Crypt(rounds)) => rounds < 2000,
                    Ok(_) => true,
                    Err(_) => false,
                };
                if cheap && let Ok(format) = detect(&mutated) {
                    format.verify(&mutated, b"x");
                }
            }
            let _ = detect(&text.as_bytes()[..at]);
        }
    }
}

/// The total of bcrypt rounds, the number of bcrypt checks, and the names of the other checks.
pub(crate) type CheckWork = ((u32, usize), Vec<String>);

/// Returns the work of `formats`.
fn summarize_work(formats: &[HashFormat]) -> CheckWork {
    let costs =
        || formats.iter().filter_map(|f| if let HashFormat::Bcrypt(cost) = f { Some(*cost) } else { None });
    let bcrypt = (costs().map(|cost| 1 << cost).sum(), costs().count());
    let name = |format: &HashFormat| match format {
        HashFormat::Md5Crypt => "Apr1".to_owned(),
        HashFormat::SaltedSha1 | HashFormat::Plain => "Sha1".to_owned(),
        other => format!("{other:?}"),
    };
    let others = formats.iter().filter(|format| !matches!(format, HashFormat::Bcrypt(_)));
    let mut names: Vec<String> = others.map(name).collect();
    names.sort();
    (bcrypt, names)
}

#[test]
fn every_rejection_does_the_same_work() {
    // Traefik CVE-2026-41263, tinyauth CVE-2026-77582: the time of a rejection revealed which users exist.
    let mut formats: Vec<HashFormat> =
        VECTORS.iter().map(|(_, text)| detect(text.as_bytes()).unwrap()).collect();
    formats.extend([HashFormat::Bcrypt(10), HashFormat::Bcrypt(8)]);
    let mut equalizer = TimingEqualizer::default();
    formats.iter().for_each(|format| equalizer.include(*format));
    let expected = summarize_work(&equalizer.dummy_work(None));
    // Each step from the lowest cost, which is 4 here, adds two checks of the minimum cost.
    assert_eq!(expected.0, ((1 << 10) + 6 * 2 * (1 << 4), 1 + 6 * 2));
    for format in formats {
        let mut all = equalizer.dummy_work(Some(format));
        all.push(format);
        assert_eq!(summarize_work(&all), expected, "{format:?}");
    }
    assert_eq!(TimingEqualizer::default().dummy_work(None), []);
}

#[test]
fn single_bcrypt_cost_needs_no_extra_dummy_work() {
    let mut equalizer = TimingEqualizer::default();
    (0..2).for_each(|_| equalizer.include(HashFormat::Bcrypt(10)));
    assert_eq!(equalizer.dummy_work(None), [HashFormat::Bcrypt(10)]);
    assert_eq!(equalizer.dummy_work(Some(HashFormat::Bcrypt(10))), []);
}

#[test]
fn dummy_work_is_bounded_for_many_different_costs() {
    let mut equalizer = TimingEqualizer::default();
    (1..=100).for_each(|n| equalizer.include(HashFormat::Sha512Crypt(n * 1000)));
    let work = equalizer.dummy_work(None);
    assert_eq!(work, [97, 98, 99, 100].map(|n| HashFormat::Sha512Crypt(n * 1000)));
}
