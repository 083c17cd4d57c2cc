//! Tests of the outcome of responses.

use zeroize::Zeroizing;

use super::*;
use crate::identity::GROUPS_OF_USER_MAX;

fn pointer(text: &str) -> JsonPointer {
    JsonPointer::parse(text).unwrap()
}

fn wants(at: &str, value: impl Into<Value>) -> JsonCondition {
    JsonCondition { pointer: pointer(at), expected: ExpectedValue::Value(value.into()) }
}

fn plain() -> ResponseRules {
    ResponseRules {
        accepted_statuses: [200].into(),
        rejected_statuses: [401].into(),
        unknown_statuses: [404].into(),
        conditions: Box::default(),
        username_pointer: None,
        groups: Box::default(),
        facts: Box::default(),
        is_html_allowed: false,
    }
}

fn groups(at: &str) -> GroupsSource {
    GroupsSource {
        source: ValueSource::Pointer(pointer(at)),
        name_pointer: None,
        conditions: Box::default(),
        separator: None,
        prefix: "".into(),
        is_optional: false,
    }
}

fn reply(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> BackendResponse {
    let pairs = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    let status = StatusCode::from_u16(status).unwrap();
    BackendResponse { status, headers: pairs.collect(), body: body.as_bytes().to_vec() }
}

/// Returns the outcome as text: the user and the groups if the user is accepted.
fn read(reading: &ResponseRules, reply: &BackendResponse) -> String {
    let framed = format!("{}ann:secret", "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH)).into_bytes();
    let credentials = Credentials::new(Zeroizing::new(framed)).unwrap();
    match reading.evaluate(reply, &credentials, &"api".into()) {
        Ok(Outcome::Accepted(identity)) => {
            format!("{} {}", identity.user, String::from_utf8_lossy(identity.membership.header_value()))
                .trim()
                .to_owned()
        }
        Ok(Outcome::Rejected) => "rejected".into(),
        Ok(Outcome::UnknownUser) => "unknown".into(),
        Err(error) => format!("error: {error}"),
    }
}

fn of_json(reading: &ResponseRules, json: &str) -> String {
    read(reading, &reply(200, &[], json))
}

#[test]
fn unlisted_status_is_an_error() {
    let of = |status| read(&plain(), &reply(status, &[], ""));
    assert_eq!([of(200), of(401), of(404)], ["ann", "rejected", "unknown"]);
    for status in [204, 301, 302, 400, 403, 418, 429, 500, 503] {
        assert!(of(status).starts_with(&format!("error: responded with {status}")), "{}", of(status));
    }
}

#[test]
fn html_response_is_an_error_unless_allowed() {
    let page = reply(200, &[("content-type", "Text/HTML; charset=utf-8")], "<html>");
    assert!(read(&plain(), &page).starts_with("error: responded with a web page"));
    assert_eq!(read(&ResponseRules { is_html_allowed: true, ..plain() }, &page), "ann");
    assert_eq!(read(&plain(), &reply(401, &[("content-type", "text/html")], "")), "rejected");
}

#[test]
fn unmet_condition_rejects_the_user() {
    let email = JsonCondition { pointer: pointer("/email"), expected: ExpectedValue::Username };
    let conditions = [wants("/active", true), wants("/level", 2), wants("/kind", "staff"), email];
    let reading = ResponseRules { conditions: conditions.into(), ..plain() };
    let good = r#"{"active":true,"level":2.0,"kind":"staff","email":"ann"}"#;
    assert_eq!(of_json(&reading, good), "ann");
    for (part, other) in [
        ("true", "false"),
        ("true", "null"),
        ("2.0", "3"),
        ("staff", "guest"),
        ("ann", "bob"),
        ("\"active\":true,", ""),
    ] {
        assert_eq!(of_json(&reading, &good.replace(part, other)), "rejected", "{other}");
    }
    for (part, other) in [("true", "\"true\""), ("true", "1"), ("2.0", "\"2\""), ("\"ann\"", "[]")] {
        assert!(of_json(&reading, &good.replace(part, other)).starts_with("error"), "{other}");
    }
}

#[test]
fn large_integers_are_compared_exactly() {
    let reading = ResponseRules { conditions: [wants("/id", 9_007_199_254_740_993_u64)].into(), ..plain() };
    assert_eq!(of_json(&reading, r#"{"id":9007199254740993}"#), "ann");
    assert_eq!(of_json(&reading, r#"{"id":9007199254740992}"#), "rejected");
}

#[test]
fn invalid_json_is_an_error() {
    let reading = ResponseRules { conditions: [wants("/active", true)].into(), ..plain() };
    for body in ["", "{", "{\"active\":true} x", "<html>", "\u{feff}{\"active\":true}", &"[".repeat(1000)] {
        assert!(of_json(&reading, body).starts_with("error: the response is not JSON"), "{body}");
    }
    assert_eq!(read(&reading, &reply(401, &[], "<html>")), "rejected");
}

#[test]
fn groups_are_read_from_name_list_object_list_or_text() {
    let with = |groups: GroupsSource| ResponseRules { groups: [groups].into(), ..plain() };
    assert_eq!(of_json(&with(groups("/g")), r#"{"g":["ops","devs","ops"]}"#), "ann devs,ops");
    assert_eq!(of_json(&with(groups("/g")), r#"{"g":[]}"#), "ann");
    let separated = GroupsSource { separator: Some(';'), prefix: "t-".into(), ..groups("/g") };
    assert_eq!(of_json(&with(separated), r#"{"g":"ops; devs;"}"#), "ann t-devs,t-ops");
    let licences = || GroupsSource {
        name_pointer: Some(pointer("/product/id")),
        conditions: [wants("/valid", true)].into(),
        ..groups("/licences")
    };
    let json = r#"{"licences":[{"product":{"id":"a"},"valid":true},{"product":{"id":"b"},"valid":false},{"product":{"id":"c"}}]}"#;
    assert_eq!(of_json(&with(licences()), json), "ann a");
    let shape = json.replace("\"product\":{\"id\":\"a\"}", "\"product\":1");
    assert!(of_json(&with(licences()), &shape).starts_with("error: /licences"));
    assert!(of_json(&with(licences()), r#"{"licences":["a"]}"#).starts_with("error: /licences"));
}

#[test]
fn missing_or_malformed_groups_are_an_error() {
    let with = |groups: GroupsSource| ResponseRules { groups: [groups].into(), ..plain() };
    for json in [
        r#"{}"#,
        r#"{"g":null}"#,
        r#"{"g":1}"#,
        r#"{"g":{}}"#,
        r#"{"g":[1]}"#,
        r#"{"g":["a b"]}"#,
        r#"{"g":["a,b"]}"#,
        r#"{"g":["a\n"]}"#,
        r#"{"g":[""]}"#,
    ] {
        assert!(of_json(&with(groups("/g")), json).starts_with("error"), "{json}");
    }
    let optional = GroupsSource { is_optional: true, ..groups("/g") };
    assert_eq!(of_json(&with(optional), "{}"), "ann");
    let many: Vec<String> = (0..=GROUPS_OF_USER_MAX).map(|n| format!("\"g{n}\"")).collect();
    assert!(
        of_json(&with(groups("/g")), &format!("{{\"g\":[{}]}}", many.join(","))).contains("more than 64")
    );
}

#[test]
fn groups_and_facts_are_read_from_headers() {
    let spot = |name| ValueSource::Header(HeaderName::from_static(name));
    let groups = GroupsSource { source: spot("x-groups"), separator: Some(','), ..groups("") };
    let reading =
        ResponseRules { groups: [groups].into(), facts: [("plan".into(), spot("x-plan"))].into(), ..plain() };
    assert_eq!(
        read(&reading, &reply(200, &[("x-groups", "ops, devs"), ("x-plan", "gold")], "")),
        "ann devs,ops"
    );
    assert!(read(&reading, &reply(200, &[], "")).contains("x-groups"));
}

#[test]
fn user_name_is_taken_from_the_response_if_configured() {
    let reading = ResponseRules { username_pointer: Some(pointer("/login")), ..plain() };
    assert_eq!(of_json(&reading, r#"{"login":"Ann"}"#), "Ann");
    for json in ["{}", r#"{"login":""}"#, r#"{"login":7}"#, r#"{"login":"a\r\nb"}"#] {
        assert!(of_json(&reading, json).starts_with("error: /login"), "{json}");
    }
}

#[test]
fn fact_that_does_not_fit_a_header_is_an_error() {
    let reading =
        ResponseRules { facts: [("n".into(), ValueSource::Pointer(pointer("/n")))].into(), ..plain() };
    for json in [r#"{"n":"x"}"#, r#"{"n":7}"#, r#"{"n":true}"#, r#"{}"#] {
        assert_eq!(of_json(&reading, json), "ann", "{json}");
    }
    for json in [r#"{"n":[]}"#, r#"{"n":"a\nb"}"#, &format!("{{\"n\":\"{}\"}}", "x".repeat(257))] {
        assert!(of_json(&reading, json).starts_with("error"), "{json}");
    }
}

#[test]
fn invalid_json_pointer_is_rejected() {
    assert!(JsonPointer::parse("").is_ok() && JsonPointer::parse("/a~1b/~0/0").is_ok());
    assert!(JsonPointer::parse("a").is_err() && JsonPointer::parse("/a~2").is_err());
}
