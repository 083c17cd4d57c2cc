//! What a refusal costs, whoever is refused: the checks that are done for it, in number and kind, and what the
//! client sees, for every format and for lengths on both sides of what bcrypt looks at.

use crate::authn::hash::tests::{CheckWork, take_performed_work};
use crate::pipeline::tests::{HOME, TestPipeline, test_pipeline};

const PASSWORD_LENGTHS: [usize; 5] = [8, 72, 73, 100, 200];

/// A line of every format and two of bcrypt's costs, as cheap as there are; nobody's password but "password".
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

/// Passwords that share their first 72 bytes, as far as they have them, and are all different and wrong.
fn wrong_passwords(length: usize) -> Vec<String> {
    (0..14)
        .map(|number| {
            let ending = format!("{number:02}");
            format!("{}{ending}", "x".repeat(length - ending.len()))
        })
        .collect()
}

/// What a client sees that guesses, and what is done for it.
async fn measure_rejections(
    house: &TestPipeline,
    user: &str,
    length: usize,
) -> (Vec<String>, Vec<CheckWork>) {
    let network = format!("10.{}.{}.1", length, u32::from(user.as_bytes()[0]));
    let (mut answers, mut work) = (Vec::new(), Vec::new());
    let mut guesses = wrong_passwords(length);
    // Some of them again: those are remembered.
    guesses.extend_from_within(..5);
    drop(take_performed_work());
    for guess in guesses {
        answers.push(house.answer(user, &guess, &network).await);
        work.push(take_performed_work());
    }
    (answers, work)
}

#[tokio::test]
async fn unknown_user_costs_the_same_as_any_hash_format_at_every_length_field_s2() {
    let house = test_pipeline();
    let names = || ('a'..).zip(HASH_FORMATS).map(|(name, (format, text))| (name.to_string(), format, text));
    let users = house.set_users_of_any_format(
        &names().map(|(name, _, text)| format!("{name}:{text}\n")).collect::<String>(),
    );
    assert_eq!(users.invalid_lines(), 1, "only the one that should be");
    for length in PASSWORD_LENGTHS {
        let unknown = measure_rejections(&house, "Unknown", length).await;
        assert_eq!(
            unknown.0.iter().filter(|answer| *answer == "challenge wrong_credentials").count(),
            3,
            "{unknown:?}"
        );
        assert_eq!(unknown.1.iter().filter(|work| work.0.1 > 0).count(), 3, "{unknown:?}");
        for (name, format, _) in names() {
            assert_eq!(measure_rejections(&house, &name, length).await, unknown, "{format}, {length} bytes");
        }
    }
    let (answers, _) = measure_rejections(&house, "b", 7).await;
    assert_eq!(answers.last().unwrap(), "limited throttled");
    // And the right password is one.
    assert_eq!(house.answer("a", "password", HOME).await, "allow");
}

/// The flaw itself: keys that are cut where the user has a bcrypt line. The measure above must see it.
#[tokio::test]
async fn measurement_detects_user_whose_guesses_share_a_check_key() {
    let house = test_pipeline();
    let mut seen = Vec::new();
    for guess in wrong_passwords(73) {
        // What a cut key does to it.
        let answer = house.answer("alice", &guess[..72], HOME).await;
        seen.push((answer, take_performed_work()));
    }
    assert!(seen.iter().all(|(answer, _)| answer == "challenge wrong_credentials"));
    let unknown = measure_rejections(&house, "Unknown", 73).await;
    assert_ne!(seen.iter().map(|(answer, _)| answer.clone()).collect::<Vec<_>>(), unknown.0[..14]);
}
