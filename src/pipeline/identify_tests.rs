//! Tests that every rejection costs the same work and gets the same response. They use every hash format, and
//! passwords shorter and longer than the 72 bytes that bcrypt hashes.

use crate::authn::hash::tests::{CheckWork, take_performed_work};
use crate::pipeline::tests::{HOME, TestPipeline, test_pipeline};

const PASSWORD_LENGTHS: [usize; 5] = [8, 72, 73, 100, 200];

/// A hash of each format, with the lowest costs, and of two costs of bcrypt. The password is "password".
const HASH_FORMATS: [(&str, &str); 12] = [
    ("bcrypt 4", "$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK"),
    ("bcrypt 5", "$2y$05$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK"),
    ("apr1", "$apr1$abcdefgh$FBwExRW4dCc8aL.OvjpIE1"),
    ("md5-crypt", "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"),
    ("sha256-crypt", "$5$rounds=1000$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC."),
    (
        "sha512-crypt",
        "$6$rounds=1000$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
    ),
    (
        "argon2id",
        "$argon2id$v=19$m=64,t=1,p=1$2cqyLayLNH5UojWw5ugBHw$09//TONOU3oZUKsqyfMaojRq9pLVmRmlz2sFoHfCgcM",
    ),
    ("yescrypt", "$y$j05$WjM61OBMG1PVFjpKnAQ9j0$18CvD7CXK0Bxu..37bKZXDXJJOowHOKN.5fQnnhYVsA"),
    ("sha", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
    ("ssha", "{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0"),
    ("plain", "{PLAIN}password"),
    ("damaged", "$2y$10$damaged"),
];

/// Returns different wrong passwords of this length. Passwords of more than 73 bytes have the same first 72 bytes.
fn wrong_passwords(length: usize) -> Vec<String> {
    (0..14)
        .map(|number| {
            let ending = format!("{number:02}");
            format!("{}{ending}", "x".repeat(length - ending.len()))
        })
        .collect()
}

/// Sends wrong passwords for one user, and returns the verdicts and the work that was done.
async fn measure_rejections(
    setup: &TestPipeline,
    user: &str,
    length: usize,
) -> (Vec<String>, Vec<CheckWork>) {
    let network = format!("10.{}.{}.1", length, u32::from(user.as_bytes()[0]));
    let (mut answers, mut work) = (Vec::new(), Vec::new());
    let mut guesses = wrong_passwords(length);
    // Some of them are repeated, and their rejection is stored.
    guesses.extend_from_within(..5);
    drop(take_performed_work());
    for guess in guesses {
        answers.push(setup.answer(user, &guess, &network).await);
        work.push(take_performed_work());
    }
    (answers, work)
}

#[tokio::test]
async fn unknown_user_costs_the_same_as_any_hash_format_at_every_length_field_s2() {
    let setup = test_pipeline();
    let users = || ('a'..).zip(HASH_FORMATS).map(|(user, (format, hash))| (user.to_string(), format, hash));
    let index = setup.set_users_of_any_format(
        &users().map(|(user, _, hash)| format!("{user}:{hash}\n")).collect::<String>(),
    );
    assert_eq!(index.invalid_lines(), 1, "only the damaged line is invalid");
    for length in PASSWORD_LENGTHS {
        let unknown = measure_rejections(&setup, "Unknown", length).await;
        assert_eq!(
            unknown.0.iter().filter(|answer| *answer == "challenge wrong_credentials").count(),
            3,
            "{unknown:?}"
        );
        assert_eq!(unknown.1.iter().filter(|work| work.0.1 > 0).count(), 3, "{unknown:?}");
        for (user, format, _) in users() {
            assert_eq!(measure_rejections(&setup, &user, length).await, unknown, "{format}, {length} bytes");
        }
    }
    let (answers, _) = measure_rejections(&setup, "b", 7).await;
    assert_eq!(answers.last().unwrap(), "limited throttled");
    // The correct password is still accepted.
    assert_eq!(setup.answer("a", "password", HOME).await, "allow");
}

/// Simulates the flaw: a check key over the first 72 bytes for users with a bcrypt line. The measurement must
/// detect it.
#[tokio::test]
async fn measurement_detects_check_keys_over_72_bytes() {
    let setup = test_pipeline();
    let mut truncated = Vec::new();
    for guess in wrong_passwords(73) {
        // A key over 72 bytes has the effect of a password of 72 bytes.
        let answer = setup.answer("alice", &guess[..72], HOME).await;
        truncated.push((answer, take_performed_work()));
    }
    assert!(truncated.iter().all(|(answer, _)| answer == "challenge wrong_credentials"));
    let unknown = measure_rejections(&setup, "Unknown", 73).await;
    assert_ne!(truncated.iter().map(|(answer, _)| answer.clone()).collect::<Vec<_>>(), unknown.0[..14]);
}
