//! The search for secrets, and tests that it detects each form of a secret.
//!
//! The search covers the mark in test secrets, in each form in which a program can write it. It also covers
//! the passwords that most tests use. It detects the shapes of hashes, API keys, signed tokens and private
//! keys. Only the commands in [`creates_a_secret`] print a secret.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// Prefix of the test secrets. It occurs in no other text.
pub(crate) const MARK: &str = "SECRETxyz";

/// Passwords of many tests. They occur in no message.
const PASSWORDS: [&str; 4] = ["wonderland", "looking-glass", "hunter2", "geheim"];

/// Number of bytes of one output that are searched. The log of a service is limited, so few outputs are
/// longer.
const SEARCHED_MAX: usize = 4 << 20;

/// Returns a secret with the mark and with characters that each encoding writes differently.
pub(crate) fn secret(what: &str) -> String {
    format!("{MARK}-{what}+/%&=\"'<?>;{MARK}")
}

/// Returns each form of the mark: the name of the form, and the bytes in lower case.
fn forms() -> Vec<(String, Vec<u8>)> {
    let mut forms: Vec<(String, Vec<u8>)> = vec![("as it is".to_owned(), MARK.into())];
    let each = |write: &dyn Fn(u8) -> String| MARK.bytes().map(write).collect::<Vec<_>>();
    forms.push(("percent-encoded".into(), each(&|byte| format!("%{byte:02x}")).concat().into()));
    forms.push(("in hexadecimal".into(), each(&|byte| format!("{byte:02x}")).concat().into()));
    forms.push(("as a list of bytes".into(), each(&|byte| byte.to_string()).join(", ").into()));
    forms.push(("as escapes of JSON".into(), each(&|byte| format!("\\u{byte:04x}")).concat().into()));
    // Three bytes become four letters, so the encoding depends on the number of bytes before the mark. The
    // letters at both ends also depend on the neighbouring bytes.
    for (name, engine) in [("base64", BASE64_STANDARD_NO_PAD), ("base64 for URLs", BASE64_URL_SAFE_NO_PAD)] {
        for before in 0..3 {
            let whole = engine.encode([&vec![b'x'; before], MARK.as_bytes(), b"xxx"].concat());
            let (start, end) = ((before * 8).div_ceil(6), (before + MARK.len()) * 8 / 6);
            forms.push((format!("in {name}, {before} behind"), whole[start..end].into()));
        }
    }
    forms.iter_mut().for_each(|(_, bytes)| bytes.make_ascii_lowercase());
    forms
}

/// Returns the lines of `text` that contain the mark, with the form of the mark.
pub(crate) fn find(text: &[u8]) -> Vec<String> {
    let forms = forms();
    let mut found = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let low = line.to_ascii_lowercase();
        let holds = |form: &[u8]| low.windows(form.len()).any(|window| window == form);
        if let Some((name, _)) = forms.iter().find(|(_, form)| holds(form)) {
            found.push(format!("{name}: {}", String::from_utf8_lossy(line)));
        }
    }
    found
}

/// Secret formats: the name, the first characters, and the minimum number of characters of the alphabet that
/// follow.
const SHAPES: &[(&str, &str, usize)] = &[
    ("a bcrypt hash", "$2", 56),
    ("an apr1 hash", "$apr1$", 24),
    ("an MD5 crypt hash", "$1$", 24),
    ("a SHA-256 crypt hash", "$5$", 44),
    ("a SHA-512 crypt hash", "$6$", 87),
    ("an argon2 hash", "$argon2id$v=19$", 40),
    ("a yescrypt hash", "$y$", 48),
    ("a SHA-1 hash", "{SHA}", 27),
    ("a salted SHA-1 hash", "{SSHA}", 30),
    ("an API key", "dwk_", 47),
    ("a signed token", "eyJ", 100),
];

/// Returns the hashes, keys and tokens in a text.
fn shapes(text: &str) -> Vec<String> {
    let is_of_hash = |c: char| c.is_ascii_alphanumeric() || "./+=$_-,".contains(c);
    let mut found = Vec::new();
    for line in text.lines() {
        for (name, start, least) in SHAPES {
            let follows = |(at, _)| {
                let rest: &str = &line[at + start.len()..];
                rest.chars().take_while(|c| is_of_hash(*c)).count() >= *least
            };
            if line.match_indices(start).any(follows) {
                found.push(format!("{name}: {line}"));
            }
        }
        // A PEM block, not a text that mentions one.
        if line.trim() == "-----BEGIN PRIVATE KEY-----" {
            found.push("a private key".to_owned());
        }
    }
    found
}

/// Returns true if the command creates a secret and prints it.
fn creates_a_secret(command: &str) -> bool {
    let has = |word: &str| command.contains(&format!("\"{word}\""));
    (has("user") && has("--generate")) || (has("api-key") && has("new"))
}

/// Fails if the output `said` of `command` contains a secret.
pub(crate) fn assert_contains_no_secret(command: &str, said: &str) {
    if creates_a_secret(command) || std::thread::panicking() {
        return;
    }
    let said = String::from_utf8_lossy(&said.as_bytes()[..said.len().min(SEARCHED_MAX)]);
    let mut found = find(said.as_bytes());
    found.extend(shapes(&said));
    let words = |line: &&str| PASSWORDS.iter().any(|password| line.contains(password));
    found.extend(said.lines().filter(words).map(|line| format!("a password: {line}")));
    assert!(found.is_empty(), "{command} tells secrets:\n{}", found[..found.len().min(20)].join("\n"));
}

#[test]
fn secret_marker_is_detected_in_every_encoding() {
    let secret = secret("one");
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut written = vec![
        secret.clone(),
        secret.to_lowercase(),
        percent,
        form,
        format!("{secret:?}"),
        format!("{:?}", secret.as_bytes()),
        serde_json::to_string(&secret).unwrap(),
    ];
    for user in ["a", "ab", "abc", "abcd"] {
        let pair = format!("{user}:{MARK}");
        written.push(crate::support::client::basic(&pair));
        written.push(BASE64_URL_SAFE_NO_PAD.encode(&pair));
    }
    for text in written {
        assert!(!find(format!("before {text} behind").as_bytes()).is_empty(), "{text}");
    }
    for text in ["", "SECRET", "secret-xyz", "U0VDUkVU", "a line about service-key+/%&="] {
        assert!(find(text.as_bytes()).is_empty(), "{text}");
    }
}

#[test]
fn hashes_keys_tokens_and_private_keys_are_detected_and_plain_words_are_not() {
    let key = "dwk_0123456789_abcdefghijklmnopqrstuvwxyz01234X2ODq";
    let line = super::users::alice();
    let token = format!("eyJ{}.eyJ{}.x", "a".repeat(60), "b".repeat(60));
    for text in [
        &line[..],
        key,
        &token,
        "x -----BEGIN PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----\n",
        "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "a $apr1$abcdefgh$FBwExRW4dCc8aL.OvjpIE1 b",
    ] {
        assert!(!shapes(text).is_empty(), "{text}");
    }
    for text in [
        "the bcrypt hash is truncated or malformed ($2y$, a cost of two digits, $, then 53 characters of ./A-Za-z0-9)",
        "key dwk_0123456789 of alice",
        "no PRIVATE KEY; openssl makes one",
        "the $apr1$ hash is truncated or malformed ($apr1$, a salt of at most 8 characters without $, $, then",
    ] {
        assert!(shapes(text).is_empty(), "{text}");
    }
}
