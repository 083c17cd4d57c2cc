//! Responses of ECR, error texts and settings. Credentials, signatures and the clock need an environment of their
//! own; they are tested in `tests/ecr/aws.rs`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::{AwsService, EcrError, EcrResponseError, parse_error_code, single_line};
use super::http_client::{AwsResponse, response_error};
use super::response::parse_response;
use super::{AwsAccount, EcrTokenClient, FetchedToken, LIFETIME_MAX, TOKEN_BYTES_MAX};
use crate::authn::remote::error::CallError as Http;

const NOW: u64 = 1_700_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn token(password: &str) -> String {
    STANDARD.encode(format!("AWS:{password}"))
}

fn entry(password: &str, remaining: f64) -> Value {
    json!({ "authorizationToken": token(password), "expiresAt": NOW as f64 + remaining, "proxyEndpoint": "https://r" })
}

fn parse(json: &Value) -> Result<(String, Duration), EcrResponseError> {
    match parse_response(json.to_string().as_bytes(), now()) {
        Ok(token) => Ok((token.token.to_string(), token.lifetime)),
        Err(EcrError::InvalidResponse(bad)) => Err(bad),
        Err(other) => panic!("{other}"),
    }
}

fn parse_entry(entry: Value) -> Result<(String, Duration), EcrResponseError> {
    parse(&json!({ "authorizationData": [entry] }))
}

#[test]
fn ecr_response_is_parsed() {
    let (got, lifetime) = parse_entry(entry("secret", 43_199.5)).unwrap();
    assert_eq!(got, token("secret"));
    assert_eq!(lifetime.as_secs(), 43_199);
    // Other implementations of the protocol return whole seconds.
    let whole = json!({ "authorizationToken": token("a"), "expiresAt": NOW + 60 });
    assert_eq!(parse_entry(whole).unwrap().1, Duration::from_secs(60));
}

#[test]
fn far_expiry_is_capped() {
    for remaining in [43_200.0, 43_201.0, 36.0 * 3600.0, 1e9] {
        assert_eq!(parse_entry(entry("a", remaining)).unwrap().1, LIFETIME_MAX, "{remaining}");
    }
}

#[test]
fn each_invalid_response_has_its_own_error() {
    let with = |name: &str, value: Value| {
        let mut entry = entry("a", 60.0);
        entry[name] = value;
        parse_entry(entry).unwrap_err()
    };
    let read = |body: &[u8]| parse_response(body, now()).map(|_| ()).unwrap_err();
    for body in [
        &b""[..],
        b"<html>",
        b"[]",
        b"\"a\"",
        b"{\"authorizationData\":[{\"expiresAt\":NaN}]}",
        b"{",
        b"\xff",
    ] {
        assert_eq!(read(body), EcrError::InvalidResponse(EcrResponseError::NotJson), "{body:?}");
    }
    for missing in [
        json!({}),
        json!({ "authorizationData": [] }),
        json!({ "authorizationData": {} }),
        json!({ "authorizationData": null }),
    ] {
        assert_eq!(parse(&missing).unwrap_err(), EcrResponseError::MissingData, "{missing}");
    }
    for invalid_entry in [json!(null), json!(1), json!(1.5), json!([])] {
        assert_eq!(parse_entry(invalid_entry).unwrap_err(), EcrResponseError::MissingToken);
    }
    for missing in [json!(null), json!(""), json!(1), json!(["a"])] {
        assert_eq!(with("authorizationToken", missing), EcrResponseError::MissingToken);
    }
    let large = STANDARD.encode("AWS:".to_owned() + &"a".repeat(TOKEN_BYTES_MAX));
    assert_eq!(with("authorizationToken", json!(large)), EcrResponseError::TokenTooLarge);
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
        assert_eq!(with("authorizationToken", json!(bad)), EcrResponseError::InvalidToken, "{bad}");
    }
    assert_eq!(with("expiresAt", json!(null)), EcrResponseError::MissingExpiry);
    for bad in [
        json!("NaN"),
        json!("2026-01-01T00:00:00Z"),
        json!(-1),
        json!(1e300),
        json!(253_402_300_800_u64),
        json!([]),
    ] {
        assert_eq!(with("expiresAt", bad.clone()), EcrResponseError::InvalidExpiry, "{bad}");
    }
    for past in [0, 1, NOW - 1, NOW] {
        assert_eq!(with("expiresAt", json!(past)), EcrResponseError::AlreadyExpired, "{past}");
    }
}

#[test]
fn largest_token_is_accepted() {
    // 12,288 bytes are 16,384 in base64.
    let password = "a".repeat(TOKEN_BYTES_MAX / 4 * 3 - 4);
    assert_eq!(parse_entry(entry(&password, 60.0)).unwrap().0.len(), TOKEN_BYTES_MAX / 4 * 4);
}

#[test]
fn first_valid_entry_is_used() {
    let several = json!({ "authorizationData": [entry("a", -1.0), {}, entry("b", 60.0), entry("c", 90.0)] });
    assert_eq!(parse(&several).unwrap().0, token("b"));
    assert_eq!(
        parse(&json!({ "authorizationData": [entry("a", -1.0), {}] })).unwrap_err(),
        EcrResponseError::AlreadyExpired
    );
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> AwsResponse {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    AwsResponse { status, headers: map, body: Zeroizing::new(body.as_bytes().to_vec()), date: now() }
}

#[test]
fn aws_error_code_is_found_in_header_json_and_xml() {
    let code_of = |reply: &AwsResponse| match response_error(AwsService::Ecr, reply) {
        EcrError::Rejected { code, .. } => code,
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
    for missing in [
        "",
        "<html>",
        "{}",
        "[1]",
        r#"{"__type":7}"#,
        "<Code>",
        "<Code>a b</Code>",
        "<Code>\u{1b}[31m</Code>",
    ] {
        assert_eq!(code_of(&reply(400, &[], missing)), "", "{missing}");
    }
    assert_eq!(parse_error_code(&"A".repeat(500)).len(), 64);
}

#[test]
fn throttling_is_detected_by_code_or_status_with_retry_after() {
    let json = |code: &str| format!(r#"{{"__type":"{code}"}}"#);
    let retry_after_of = |status, headers: &[(&str, &str)], code: &str| match response_error(
        AwsService::Ecr,
        &reply(status, headers, &json(code)),
    ) {
        EcrError::RetryLater { retry_after: after, .. } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(retry_after_of(400, &[], "ThrottlingException"), None);
    assert_eq!(retry_after_of(429, &[("retry-after", "7")], ""), Some(Duration::from_secs(7)));
    assert_eq!(
        retry_after_of(503, &[("retry-after", "Tue, 14 Nov 2023 22:14:20 GMT")], ""),
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        retry_after_of(503, &[("retry-after", "Tue, 14 Nov 2023 22:00:00 GMT")], ""),
        Some(Duration::ZERO)
    );
    assert_eq!(retry_after_of(429, &[("retry-after", "99999999")], ""), Some(Duration::from_secs(3600)));
    assert_eq!(retry_after_of(429, &[("retry-after", "soon")], ""), None);
    assert!(matches!(
        response_error(AwsService::Ecr, &reply(500, &[], "")),
        EcrError::Failed { status: 500, .. }
    ));
    assert!(matches!(
        response_error(AwsService::Ecr, &reply(302, &[], "")),
        EcrError::Rejected { status: 302, .. }
    ));
}

#[test]
fn error_message_is_one_bounded_line_with_a_remedy() {
    let refused = |who, status, code: &str| EcrError::Rejected { service: who, status, code: code.into() };
    let text = refused(AwsService::Ecr, 400, "AccessDeniedException").to_string();
    assert!(text.starts_with(
        "ECR rejected the call: 400 AccessDeniedException; allow the IAM action ecr:GetAuthorizationToken"
    ));
    assert!(refused(AwsService::Ecr, 403, "").to_string().contains("ecr:GetAuthorizationToken"));
    assert!(refused(AwsService::Sts, 403, "AccessDenied").to_string().contains("allow sts:AssumeRole"));
    assert!(refused(AwsService::Ecr, 400, "InvalidSignatureException").to_string().contains("clock"));
    assert!(refused(AwsService::Ecr, 404, "").to_string().contains("not the registry (dkr.ecr)"));
    assert!(
        refused(AwsService::Ecr, 400, "UnrecognizedClientException")
            .to_string()
            .contains("the access key does not exist")
    );
    assert!(refused(AwsService::Ecr, 400, "ExpiredTokenException").to_string().contains("have expired"));
    let name = EcrError::CallFailed(AwsService::Ecr, Http::NameNotResolved("no such host".into()));
    assert_eq!(
        name.to_string(),
        "ECR: the host name cannot be resolved: no such host; check the name of the region, and the resolver"
    );
    assert!(EcrError::TimedOut(super::FETCH_TIMEOUT).to_string().contains("within 20s"));
    let text = single_line(&format!("a\nb\t\u{1b}{}", "é".repeat(1000)));
    assert!(text.starts_with("a b  é") && text.chars().count() == 200);
    assert!(EcrError::UnknownRegion.to_string().contains("AWS_REGION"));
}

#[test]
fn fetched_token_debug_shows_no_secret() {
    let fetched = FetchedToken {
        token: Zeroizing::new(token("hush")),
        lifetime: Duration::from_secs(1),
        credentials_lifetime: None,
    };
    assert_eq!(format!("{fetched:?}"), "FetchedToken { lifetime: 1s, credentials_lifetime: None, .. }");
}

#[test]
fn invalid_account_is_rejected_without_a_call() {
    let account = AwsAccount { endpoint: Some("registry.example".into()), ..AwsAccount::default() };
    assert!(matches!(EcrTokenClient::new(account).unwrap_err(), EcrError::InvalidSetting(_)));
    let account = AwsAccount { region: Some("eu-central-1.evil.example/".into()), ..AwsAccount::default() };
    assert!(matches!(EcrTokenClient::new(account).unwrap_err(), EcrError::InvalidSetting(_)));
    let account = AwsAccount { endpoint: Some("http://127.0.0.1:9".into()), ..AwsAccount::default() };
    let aws = EcrTokenClient::new(account).unwrap();
    // The future must be usable on any thread.
    fn assert_send(_: impl Send) {}
    assert_send(aws.fetch_token());
}
