//! Sends any credentials to an HTTP authenticator, and parses any response. The request contains exactly the credentials,
//! each value in its place. A user is accepted only if the settings accept the response.

use std::sync::{Arc, LazyLock};

use crate::authn::http::HttpSpec;
use crate::authn::http::response::BackendResponse;
use crate::authn::remote::kind::RemoteKind;
use crate::authn::{Credentials, Outcome};
use crate::config::authenticator::AuthenticatorType;
use crate::config::file::parse;
use crate::identity::{Username, check_group_name};
use crate::pipeline::credentials::check_password;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Request, StatusCode};
use serde_json::Value;
use zeroize::Zeroizing;

const SETTINGS: &str = r#"
[[authenticator]]
type = "http"
name = "json"
url = "https://localhost/u/{username}/me?q={username}&z=1"
headers = { X-Key = "Key {password}" }
json = { login = "{username}", list = ["{password}", { a = "<{username}>" }] }
accepted_if = { "/active" = true, "/email" = "{username}" }
username_pointer = "/login"
groups = [{ pointer = "/licences", name_pointer = "/id", where = { "/valid" = true } }]
facts = { plan = "/plan" }

[[authenticator]]
type = "http"
name = "form"
url = "http://localhost/"
headers = { Authorization = "Basic {basic}" }
form = { user = "{username}", password = "-{password}" }
"#;

static SPECS: LazyLock<Vec<HttpSpec>> = LazyLock::new(|| {
    let mut faults = Vec::new();
    let (_, chain) = parse("x", SETTINGS, &mut faults).authenticators.expect("a chain");
    assert!(faults.is_empty(), "{faults:?}");
    let spec = |kind| match kind {
        AuthenticatorType::Remote(spec) => match spec.kind {
            RemoteKind::Http(spec) => Some(*spec),
        },
        AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => None,
    };
    chain.into_iter().filter_map(|one| spec(one.settings)).collect()
});

fn credentials(user: &[u8], password: &[u8]) -> Credentials {
    let frame = [0; Credentials::CACHE_KEY_HEADER_LENGTH];
    Credentials::new(Zeroizing::new([&frame[..], user, b":", password].concat())).expect("a colon")
}

fn body(request: &Request) -> &[u8] {
    request.body().and_then(|body| body.as_bytes()).unwrap_or_default()
}

fn sent_json(request: &Request, user: &str, password: &str) {
    let url = request.url();
    let segments: Vec<&str> = url.path_segments().expect("a path").collect();
    assert!(matches!(segments[..], ["u", _, "me"]), "{segments:?}");
    let pairs: Vec<_> = url.query_pairs().collect();
    assert!(pairs.len() == 2 && pairs[0].1 == user && pairs[1].1 == "1", "{pairs:?}");
    assert_eq!(url.host_str(), Some("localhost"));
    let json: Value = serde_json::from_slice(body(request)).expect("JSON");
    assert_eq!(json["login"], user);
    assert_eq!(json["list"][0], password);
    assert_eq!(json["list"][1]["a"], format!("<{user}>"));
    assert_eq!(request.headers()["x-key"].as_bytes(), format!("Key {password}").as_bytes());
}

fn accepted(body: &[u8], status: u16, user: &str, outcome: &Outcome) {
    let Outcome::Accepted(who) = outcome else { return };
    let json: Value = serde_json::from_slice(body).expect("JSON");
    assert!(status == 200 && json["active"] == true && json["email"] == user);
    assert_eq!(json["login"].as_str().map(str::as_bytes), Some(who.user.as_bytes()));
    let licensed = |group: &[u8]| {
        json["licences"].as_array().is_some_and(|list| {
            list.iter()
                .any(|one| one["valid"] == true && one["id"].as_str().map(str::as_bytes) == Some(group))
        })
    };
    assert!(who.membership.groups().iter().all(|group| licensed(group) && check_group_name(group).is_ok()));
    assert!(who.facts.iter().all(|fact| HeaderValue::from_bytes(&fact.value).is_ok()));
}

/// Runs the check with one input of the fuzzer.
pub fn run(input: (&[u8], &[u8], u16, bool, &[u8])) {
    let (user, password, status, html, answer) = input;
    if Username::check(user).is_err() || check_password(password).is_err() {
        return;
    }
    let asked = credentials(user, password);
    let [json, form] = &SPECS[..] else { panic!("two services") };
    let texts = std::str::from_utf8(user).ok().zip(std::str::from_utf8(password).ok());
    if let Ok(request) = json.request.render(&asked) {
        let (user, password) = texts.expect("only text is JSON");
        sent_json(&request, user, password);
    }
    if let Ok(request) = form.request.render(&asked) {
        let text = std::str::from_utf8(body(&request)).expect("a form is ASCII");
        assert!(
            text.is_ascii() && text.matches('&').count() == 1 && text.matches('=').count() == 2,
            "{text}"
        );
    }
    let Ok(status) = StatusCode::from_u16(status) else { return };
    let mut headers = HeaderMap::new();
    let kind = if html { "text/html" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let reply = BackendResponse { status, headers, body: answer.to_vec() };
    let by: Arc<str> = "json".into();
    if let (Ok(outcome), Some((user, _))) = (json.response_rules.evaluate(&reply, &asked, &by), texts) {
        assert!(!html || !matches!(outcome, Outcome::Accepted(_)));
        accepted(answer, status.as_u16(), user, &outcome);
    }
}
