//! Signed tokens, published keys, and tokens that must be rejected.

use std::time::{Duration, SystemTime};

use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::key_pair::Jwk;
use super::verify::TokenVerifyError;
use super::*;
use crate::token::claims::AccessEntry;
use crate::token::signing_key::generate::{NewSigningKey, certify_key, generate_key};

/// 14 November 2023.
const NOW: u64 = 1_700_000_000;

fn new_key() -> NewSigningKey {
    generate_key(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).unwrap()
}

fn keys(new_key: &[&NewSigningKey]) -> SigningKeys {
    let text: String = new_key.iter().map(|new_key| &new_key.pem[..]).collect();
    SigningKeys::parse(text.as_bytes()).unwrap()
}

fn claims() -> Claims {
    let access =
        AccessEntry { kind: "repository".into(), name: "team/app".into(), actions: vec!["pull".into()] };
    Claims {
        iss: "doorward".into(),
        sub: "ann".into(),
        aud: "registry.example.com".into(),
        exp: NOW + 900,
        nbf: NOW - 60,
        iat: NOW,
        jti: "0".repeat(32),
        host: String::new(),
        access: vec![access],
        denied: Vec::new(),
    }
}

fn encode(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn header(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

/// Returns a token with this header and a valid signature of the key.
fn signed(keys: &SigningKeys, header: &str, claims: &str) -> String {
    let text = format!("{header}.{claims}");
    let signature = keys.active_key.key_pair.sign(text.as_bytes(), &keys.rng).unwrap();
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn signed_token_verifies_and_has_the_published_header_and_jwk() {
    let new_key = new_key();
    let keys = keys(&[&new_key]);
    let token = keys.sign(&claims()).unwrap();
    assert_eq!(keys.verify(&token, NOW), Ok(claims()));
    let published = keys.published_keys().next().unwrap();
    let x5c = BASE64_STANDARD.encode(published.certificate_der);
    assert_eq!(header(&token), json!({"alg": "ES256", "typ": "JWT", "kid": new_key.kid, "x5c": [x5c]}));
    assert_eq!((published.kid, published.is_active), (&new_key.kid[..], true));
    assert_eq!(published.certificate_not_after, NOW + 3652 * 24 * 3600);
    let set: Value = serde_json::from_str(&keys.jwks()).unwrap();
    let key = &set["keys"][0];
    assert_eq!(
        (&key["kid"], &key["alg"], &key["use"]),
        (&new_key.kid[..].into(), &"ES256".into(), &"sig".into())
    );
    assert_eq!((&key["kty"], &key["crv"], &key["x5c"][0]), (&"EC".into(), &"P-256".into(), &x5c.into()));
    let coordinate = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    assert!([coordinate("x"), coordinate("y")].iter().all(|c| c.len() == 32 && c[0] != 0));
    assert_eq!(new_key.pem.matches(&keys.certificate_bundle()).count(), 1);
}

#[test]
fn thumbprint_matches_the_example_of_rfc_7638() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let key = Jwk::Rsa { e: "AQAB".into(), kty: "RSA", n: n.into() };
    assert_eq!(key.thumbprint().unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn first_key_signs_and_removed_key_no_longer_verifies() {
    let (one, two) = (new_key(), new_key());
    let (both, swapped, alone) = (keys(&[&one, &two]), keys(&[&two, &one]), keys(&[&two]));
    let (by_one, by_two) = (both.sign(&claims()).unwrap(), swapped.sign(&claims()).unwrap());
    assert_eq!(
        (&header(&by_one)["kid"], &header(&by_two)["kid"]),
        (&one.kid[..].into(), &two.kid[..].into())
    );
    for token in [&by_one, &by_two] {
        assert_eq!((both.verify(token, NOW), swapped.verify(token, NOW)), (Ok(claims()), Ok(claims())));
    }
    assert_eq!(
        (alone.verify(&by_one, NOW), alone.verify(&by_two, NOW)),
        (Err(TokenVerifyError::UnknownKey), Ok(claims()))
    );
    assert!(both.fingerprint() != swapped.fingerprint() && both.fingerprint() != alone.fingerprint());
    assert_eq!(both.fingerprint(), keys(&[&one, &two]).fingerprint());
    assert_eq!(both.kids().collect::<Vec<_>>(), [&one.kid, &two.kid]);
}

#[test]
fn token_is_valid_within_its_lifetime_and_the_clock_leeway() {
    let keys = keys(&[&new_key()]);
    let token = keys.sign(&claims()).unwrap();
    let at = |now| keys.verify(&token, now).map(drop);
    assert_eq!((at(NOW + 960), at(NOW + 961)), (Ok(()), Err(TokenVerifyError::Expired)));
    assert_eq!((at(NOW - 120), at(NOW - 121)), (Ok(()), Err(TokenVerifyError::NotYetValid)));
    assert_eq!((at(0), at(u64::MAX)), (Err(TokenVerifyError::NotYetValid), Err(TokenVerifyError::Expired)));
}

#[test]
fn token_with_unexpected_header_is_rejected() {
    let (new_key, stranger) = (new_key(), new_key());
    let keys = keys(&[&new_key]);
    let token = keys.sign(&claims()).unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let with = |change: Value| {
        let mut header = header(&token);
        header.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        keys.verify(&signed(&keys, &encode(&header), payload), NOW).map(drop)
    };
    assert_eq!(with(json!({})), Ok(()));
    for alg in ["none", "None", "HS256", "RS256", "ES384", "es256", ""] {
        assert_eq!(with(json!({ "alg": alg })), Err(TokenVerifyError::AlgorithmMismatch), "{alg}");
    }
    for typ in ["jwt", "at+jwt", "", "JWT "] {
        assert_eq!(with(json!({ "typ": typ })), Err(TokenVerifyError::InvalidHeader), "{typ}");
    }
    for kid in [&stranger.kid[..], "", "../../etc/passwd"] {
        assert_eq!(with(json!({ "kid": kid })), Err(TokenVerifyError::UnknownKey), "{kid}");
    }
    for more in
        [json!({"crit": []}), json!({"crit": ["exp"], "exp": 1}), json!({"jwk": {}}), json!({"b64": false})]
    {
        assert_eq!(with(more), Err(TokenVerifyError::InvalidHeader));
    }
    for bad in
        ["{}", "[]", "", "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"x\"}", "{\"alg\":1}"]
    {
        let token = signed(&keys, &BASE64_URL_SAFE_NO_PAD.encode(bad), payload);
        assert_eq!(keys.verify(&token, NOW), Err(TokenVerifyError::InvalidHeader), "{bad}");
    }
    // A signature of an unknown key, with the ID of a known key.
    let other = self::keys(&[&stranger]);
    let forged = signed(&other, &encode(&header(&token)), payload);
    assert_eq!(keys.verify(&forged, NOW), Err(TokenVerifyError::InvalidSignature));
}

#[test]
fn token_with_another_spelling_or_signature_is_rejected() {
    let keys = keys(&[&new_key()]);
    let token = keys.sign(&claims()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{token}") };
    let is = |text: String| keys.verify(&text, NOW).unwrap_err();
    assert_eq!(is(format!("{header}.{payload}.")), TokenVerifyError::InvalidSignature);
    for text in [
        format!("{header}.{payload}"),
        header.to_owned(),
        String::new(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}. {signature}"),
        format!("{header}.{payload}\n.{signature}"),
        format!(" {token}"),
        format!("{header}.{payload}.+{}", &signature[1..]),
    ] {
        assert_eq!(is(text.clone()), TokenVerifyError::Malformed, "{text}");
    }
    // The last character of 64 encoded bytes has four unused bits. Only one of their values is accepted.
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let taken = alphabet.chars().filter(|c| keys.verify(&format!("{rest}{c}"), NOW).is_ok());
    assert_eq!(taken.collect::<String>(), last);
    // A signature in DER encoding, which other implementations accept.
    let der = BASE64_URL_SAFE_NO_PAD.encode([0x30, 6, 2, 1, 1, 2, 1, 1]);
    assert_eq!(is(format!("{header}.{payload}.{der}")), TokenVerifyError::InvalidSignature);
    assert_eq!(is("a".repeat(TOKEN_BYTES_MAX + 1)), TokenVerifyError::TooLong);
    assert_eq!(is("a".repeat(TOKEN_BYTES_MAX)), TokenVerifyError::Malformed);
}

#[test]
fn token_with_one_changed_character_is_rejected() {
    let keys = keys(&[&new_key()]);
    let token = keys.sign(&claims()).unwrap();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(keys.verify(std::str::from_utf8(&bytes).unwrap(), NOW).is_err(), "at {at}");
    }
}

#[test]
fn signed_token_with_invalid_claims_is_rejected() {
    let keys = keys(&[&new_key()]);
    let header = keys.active_key.encoded_header.clone();
    for text in ["{}", "", "[]", "{\"exp\":1.5}"] {
        let token = signed(&keys, &header, &BASE64_URL_SAFE_NO_PAD.encode(text));
        assert_eq!(keys.verify(&token, NOW), Err(TokenVerifyError::InvalidClaims), "{text}");
    }
}

#[test]
fn oversized_token_is_not_signed() {
    let keys = keys(&[&new_key()]);
    let mut claims = claims();
    claims.sub = "a".repeat(TOKEN_BYTES_MAX);
    assert!(matches!(keys.sign(&claims), Err(SignError::TooLong)));
}

#[test]
fn private_key_is_never_published_or_printed() {
    let new_key = new_key();
    let keys = keys(&[&new_key]);
    assert_eq!(format!("{keys:?}"), format!("[(Es256, {:?})]", new_key.kid));
    // The private number follows the identifier of P-256 in PKCS#8.
    let base64: String = new_key.pem.lines().skip(2).take_while(|line| !line.starts_with('-')).collect();
    let pkcs8 = BASE64_STANDARD.decode(base64).unwrap();
    let (before, secret) = (&pkcs8[..36], &pkcs8[36..68]);
    assert!(before.ends_with(&[2, 1, 1, 4, 32]));
    let set: Value = serde_json::from_str(&keys.jwks()).unwrap();
    let set = set["keys"][0].as_object().unwrap();
    assert_eq!(set.keys().collect::<Vec<_>>(), ["alg", "crv", "kid", "kty", "use", "x", "x5c", "y"]);
    let certificate = keys.published_keys().next().unwrap().certificate_der;
    assert!(!certificate.windows(32).any(|bytes| bytes == secret));
    assert_eq!(keys.certificate_bundle().matches("-----BEGIN").count(), 1);
}

#[test]
fn imported_key_gets_a_certificate() {
    let new_key = new_key();
    let (start, end) =
        (new_key.pem.find("-----BEGIN").unwrap(), new_key.pem.find("-----BEGIN CERT").unwrap());
    let alone = &new_key.pem[start..end];
    let again = certify_key(alone.as_bytes(), SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).unwrap();
    assert_eq!(again.kid, new_key.kid);
    keys(&[&again]);
    let error_of = |text: &str| {
        certify_key(text.as_bytes(), SystemTime::now()).map(|new_key| new_key.kid).unwrap_err().to_string()
    };
    assert!(error_of(&new_key.pem).contains("block 2 (CERTIFICATE, line"));
    assert!(error_of("").contains("it contains no key"));
}
