//! Tests of the token from AWS: what its answers are taken for, and what a fault tells. Credentials, signature
//! and clock need an environment of their own: `tests/ecr/aws.rs` has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answer::read;
use super::fault::{Bad, Who, code, line};
use super::wire::{Reply, refusal};
use super::{Account, Aws, Fault, Fetched, LIFE_MAX, TOKEN_MAX};
use crate::authn::http::fault::Fault as Http;

const NOW: u64 = 1_700_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn token(password: &str) -> String {
    STANDARD.encode(format!("AWS:{password}"))
}

fn entry(password: &str, left: f64) -> Value {
    json!({ "authorizationToken": token(password), "expiresAt": NOW as f64 + left, "proxyEndpoint": "https://r" })
}

fn of(json: &Value) -> Result<(String, Duration), Bad> {
    match read(json.to_string().as_bytes(), now()) {
        Ok(token) => Ok((token.token.to_string(), token.life)),
        Err(Fault::Answer(bad)) => Err(bad),
        Err(other) => panic!("{other}"),
    }
}

fn one(entry: Value) -> Result<(String, Duration), Bad> {
    of(&json!({ "authorizationData": [entry] }))
}

#[test]
fn an_answer_as_aws_gives_it() {
    let (got, life) = one(entry("secret", 43_199.5)).unwrap();
    assert_eq!(got, token("secret"));
    assert_eq!(life.as_secs(), 43_199);
    // Whole seconds, as other services that speak the same protocol have them.
    let whole = json!({ "authorizationToken": token("a"), "expiresAt": NOW + 60 });
    assert_eq!(one(whole).unwrap().1, Duration::from_secs(60));
}

#[test]
fn a_far_date_is_cut() {
    for left in [43_200.0, 43_201.0, 36.0 * 3600.0, 1e9] {
        assert_eq!(one(entry("a", left)).unwrap().1, LIFE_MAX, "{left}");
    }
}

#[test]
fn each_fault_of_an_answer_is_its_own() {
    let with = |name: &str, value: Value| {
        let mut entry = entry("a", 60.0);
        entry[name] = value;
        one(entry).unwrap_err()
    };
    let read = |body: &[u8]| read(body, now()).map(|_| ()).unwrap_err();
    for body in [
        &b""[..],
        b"<html>",
        b"[]",
        b"\"a\"",
        b"{\"authorizationData\":[{\"expiresAt\":NaN}]}",
        b"{",
        b"\xff",
    ] {
        assert_eq!(read(body), Fault::Answer(Bad::NotJson), "{body:?}");
    }
    for none in [
        json!({}),
        json!({ "authorizationData": [] }),
        json!({ "authorizationData": {} }),
        json!({ "authorizationData": null }),
    ] {
        assert_eq!(of(&none).unwrap_err(), Bad::NoData, "{none}");
    }
    for nothing in [json!(null), json!(1), json!(1.5), json!([])] {
        assert_eq!(one(nothing).unwrap_err(), Bad::NoToken);
    }
    for none in [json!(null), json!(""), json!(1), json!(["a"])] {
        assert_eq!(with("authorizationToken", none), Bad::NoToken);
    }
    let large = STANDARD.encode("AWS:".to_owned() + &"a".repeat(TOKEN_MAX));
    assert_eq!(with("authorizationToken", json!(large)), Bad::TokenLarge);
    let bad = [
        "QVdTOg==",
        "YXdzOmE=",
        "dXNlcjpwYXNz",
        "not base64",
        "QVdTOmE",
        "QVdTOmE=\r\nX: y",
        "QVdTOmE=\n",
        "é",
    ];
    for bad in bad {
        assert_eq!(with("authorizationToken", json!(bad)), Bad::TokenForm, "{bad}");
    }
    assert_eq!(with("expiresAt", json!(null)), Bad::NoExpiry);
    for bad in [
        json!("NaN"),
        json!("2026-01-01T00:00:00Z"),
        json!(-1),
        json!(1e300),
        json!(253_402_300_800_u64),
        json!([]),
    ] {
        assert_eq!(with("expiresAt", bad.clone()), Bad::ExpiryForm, "{bad}");
    }
    for past in [0, 1, NOW - 1, NOW] {
        assert_eq!(with("expiresAt", json!(past)), Bad::Expired, "{past}");
    }
}

#[test]
fn the_largest_token_is_taken() {
    // 12,288 bytes are 16,384 in base64.
    let password = "a".repeat(TOKEN_MAX / 4 * 3 - 4);
    assert_eq!(one(entry(&password, 60.0)).unwrap().0.len(), TOKEN_MAX / 4 * 4);
}

#[test]
fn the_first_entry_that_is_well_counts() {
    let several = json!({ "authorizationData": [entry("a", -1.0), {}, entry("b", 60.0), entry("c", 90.0)] });
    assert_eq!(of(&several).unwrap().0, token("b"));
    assert_eq!(of(&json!({ "authorizationData": [entry("a", -1.0), {}] })).unwrap_err(), Bad::Expired);
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Reply { status, headers: map, body: Zeroizing::new(body.as_bytes().to_vec()), date: now() }
}

#[test]
fn codes_are_found_wherever_aws_puts_them() {
    let code_of = |reply: &Reply| match refusal(Who::Ecr, reply) {
        Fault::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        code_of(&reply(400, &[], r#"{"__type":"AccessDeniedException","Message":"User: x"}"#)),
        "AccessDeniedException"
    );
    assert_eq!(
        code_of(&reply(400, &[], r#"{"__type":"com.amazonaws.ecr#ServerException"}"#)),
        "ServerException"
    );
    let header = [("x-amzn-ErrorType", "InvalidParameterException:http://internal.amazon.com/coral/")];
    assert_eq!(code_of(&reply(400, &header, "{}")), "InvalidParameterException");
    let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>";
    assert_eq!(code_of(&reply(403, &[], xml)), "AccessDenied");
    for none in [
        "",
        "<html>",
        "{}",
        "[1]",
        r#"{"__type":7}"#,
        "<Code>",
        "<Code>a b</Code>",
        "<Code>\u{1b}[31m</Code>",
    ] {
        assert_eq!(code_of(&reply(400, &[], none)), "", "{none}");
    }
    assert_eq!(code(&"A".repeat(500)).len(), 64);
}

#[test]
fn throttling_is_told_by_code_or_status_with_the_time_to_wait() {
    let json = |code: &str| format!(r#"{{"__type":"{code}"}}"#);
    let waits = |status, headers: &[(&str, &str)], code: &str| match refusal(
        Who::Ecr,
        &reply(status, headers, &json(code)),
    ) {
        Fault::Later { after, .. } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(400, &[], "ThrottlingException"), None);
    assert_eq!(waits(429, &[("retry-after", "7")], ""), Some(Duration::from_secs(7)));
    assert_eq!(
        waits(503, &[("retry-after", "Tue, 14 Nov 2023 22:14:20 GMT")], ""),
        Some(Duration::from_secs(60))
    );
    assert_eq!(waits(503, &[("retry-after", "Tue, 14 Nov 2023 22:00:00 GMT")], ""), Some(Duration::ZERO));
    assert_eq!(waits(429, &[("retry-after", "99999999")], ""), Some(Duration::from_secs(3600)));
    assert_eq!(waits(429, &[("retry-after", "soon")], ""), None);
    assert!(matches!(refusal(Who::Ecr, &reply(500, &[], "")), Fault::Failed { status: 500, .. }));
    assert!(matches!(refusal(Who::Ecr, &reply(302, &[], "")), Fault::Refused { status: 302, .. }));
}

#[test]
fn a_text_has_a_remedy_one_line_and_an_end() {
    let refused = |who, status, code: &str| Fault::Refused { who, status, code: code.into() };
    let text = refused(Who::Ecr, 400, "AccessDeniedException").to_string();
    assert!(text.starts_with(
        "ECR refused: 400 AccessDeniedException; allow the IAM action ecr:GetAuthorizationToken"
    ));
    assert!(refused(Who::Ecr, 403, "").to_string().contains("ecr:GetAuthorizationToken"));
    assert!(refused(Who::Sts, 403, "AccessDenied").to_string().contains("allow sts:AssumeRole"));
    assert!(refused(Who::Ecr, 400, "InvalidSignatureException").to_string().contains("clock"));
    assert!(refused(Who::Ecr, 404, "").to_string().contains("not the registry's (dkr.ecr)"));
    assert!(refused(Who::Ecr, 400, "UnrecognizedClientException").to_string().contains("no such access key"));
    assert!(refused(Who::Ecr, 400, "ExpiredTokenException").to_string().contains("have expired"));
    let name = Fault::Call(Who::Ecr, Http::Name("no such host".into()));
    assert_eq!(
        name.to_string(),
        "ECR: the name can't be resolved: no such host; see the region's name, and the resolver"
    );
    assert!(Fault::Whole(super::WHOLE).to_string().contains("within 20s"));
    let told = line(&format!("a\nb\t\u{1b}{}", "é".repeat(1000)));
    assert!(told.starts_with("a b  é") && told.chars().count() == 200);
    assert!(Fault::Region.to_string().contains("AWS_REGION"));
}

#[test]
fn debug_shows_no_secret() {
    let fetched =
        Fetched { token: Zeroizing::new(token("hush")), life: Duration::from_secs(1), session: None };
    assert_eq!(format!("{fetched:?}"), "Fetched { life: 1s, session: None, .. }");
}

#[test]
fn an_account_that_can_not_be_is_refused_before_anybody_is_asked() {
    let account = Account { endpoint: Some("registry.example".into()), ..Account::default() };
    assert_eq!(Aws::new(account).unwrap_err().kind(), "settings");
    let account = Account { region: Some("eu-central-1.evil.example/".into()), ..Account::default() };
    assert_eq!(Aws::new(account).unwrap_err().kind(), "settings");
    let account = Account { endpoint: Some("http://127.0.0.1:9".into()), ..Account::default() };
    let aws = Aws::new(account).unwrap();
    // It may be asked from any thread.
    fn assert_send(_: impl Send) {}
    assert_send(aws.token());
}
