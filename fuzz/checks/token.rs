//! Parses signing key files that consist of blocks, parts of blocks and other text. A file is accepted or rejected, and a
//! changed file has the expected keys. Only a signed token is accepted.
//!
//! A digit of the input stands for one of ten pieces of a file, and everything else for itself; so no seed
//! needs to hold a key.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use crate::token::claims::Claims;
use crate::token::signing_key::generate::{NewSigningKey, certify_key, generate_key};
use crate::token::signing_key::{SigningKeyFileError, SigningKeys, edit};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

const NOW: u64 = 1_700_000_000;

struct Desk {
    /// The pieces that the digits of the input select.
    pieces: Vec<String>,
    new: NewSigningKey,
    keys: SigningKeys,
    token: String,
}

static DESK: LazyLock<Desk> = LazyLock::new(|| {
    let made = || generate_key(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).unwrap();
    let mut pieces = Vec::new();
    for made in [made(), made()] {
        let cut = made.pem.find("-----BEGIN CERTIFICATE").unwrap();
        let (secret, certificate) = made.pem.split_at(cut);
        pieces.extend([secret.to_owned(), certificate.to_owned(), made.pem.to_string()]);
    }
    for piece in ["-----BEGIN ", "-----END ", "PRIVATE KEY-----\n", "CERTIFICATE-----\n"] {
        pieces.push(piece.to_owned());
    }
    let keys = SigningKeys::parse(pieces[2].as_bytes()).unwrap();
    let claims = Claims {
        iss: "doorward".into(),
        sub: String::new(),
        aud: "registry".into(),
        exp: NOW + 900,
        nbf: NOW,
        iat: NOW,
        jti: "0".into(),
        host: String::new(),
        access: Vec::new(),
        denied: Vec::new(),
    };
    let token = keys.sign(&claims).unwrap();
    Desk { pieces, new: made(), keys, token }
});

fn file(input: &[u8]) {
    let mut text = Vec::new();
    for byte in input {
        match byte {
            b'0'..=b'9' => text.extend_from_slice(DESK.pieces[usize::from(byte - b'0')].as_bytes()),
            other => text.push(*other),
        }
    }
    let keys = match SigningKeys::parse(&text) {
        Ok(keys) => keys,
        Err(fault) => {
            let told = fault.to_string();
            assert!(!told.contains(char::is_control), "{told:?}");
            let lines = text.split(|byte| *byte == b'\n').count();
            match fault {
                SigningKeyFileError::InvalidPem(line, _) | SigningKeyFileError::InvalidBlock { line, .. } => {
                    assert!((1..=lines).contains(&line))
                }
                SigningKeyFileError::NoKey | SigningKeyFileError::NotUtf8 => {}
            }
            let _ = certify_key(&text, SystemTime::UNIX_EPOCH);
            return;
        }
    };
    let kids: Vec<&str> = keys.kids().collect();
    assert_eq!(keys.certificate_bundle().matches("-----BEGIN CERTIFICATE").count(), kids.len());
    assert!(serde_json::from_str::<serde_json::Value>(&keys.jwks()).is_ok());
    let (added, more) = edit::add_key(&text, &DESK.new).unwrap();
    assert_eq!(more.kids().collect::<Vec<_>>(), [&kids[..], &[&DESK.new.kid]].concat());
    let (_, back) = edit::remove_key(added.as_bytes(), &DESK.new.kid).unwrap();
    assert_eq!(back.fingerprint(), keys.fingerprint());
    for kid in &kids {
        let (_, moved) = edit::move_key_first(&text, kid).unwrap();
        let mut expected = kids.clone();
        expected.retain(|other| other != kid);
        expected.insert(0, kid);
        assert_eq!(moved.kids().collect::<Vec<_>>(), expected);
        match edit::remove_key(&text, kid) {
            Ok((_, fewer)) => assert!(fewer.kids().all(|other| other != *kid) && *kid != kids[0]),
            Err(fault) => assert!(fault == edit::SigningKeyEditError::KeyIsActive && *kid == kids[0]),
        }
    }
}

fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert!(DESK.keys.verify(&text, NOW).is_err());
    // Each part of a valid token, replaced or followed by other text.
    let parts: Vec<&str> = DESK.token.split('.').collect();
    let coded = BASE64_URL_SAFE_NO_PAD.encode(input);
    for at in 0..3 {
        for other in [&coded[..], &text] {
            let mut changed = parts.clone();
            changed[at] = other;
            let changed = changed.join(".");
            assert_eq!(DESK.keys.verify(&changed, NOW).is_ok(), changed == DESK.token);
        }
    }
    for (before, behind) in [(&text[..], ""), ("", &text[..])] {
        let changed = format!("{before}{}{behind}", DESK.token);
        assert_eq!(DESK.keys.verify(&changed, NOW).is_ok(), text.is_empty());
    }
}

/// Runs the check with one input of the fuzzer.
pub fn run(input: &[u8]) {
    file(input);
    token(input);
}
