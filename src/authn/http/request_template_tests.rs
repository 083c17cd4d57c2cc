//! Tests of the request that is sent, and of values that are refused.

use super::*;

fn credentials(user: &str, password: &str) -> Credentials {
    let frame = "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH);
    Credentials::new(Zeroizing::new(format!("{frame}{user}:{password}").into_bytes())).unwrap()
}

fn url(target: &str, user: &str) -> Option<String> {
    let target = UrlTemplate::parse(target).unwrap();
    target.render(&credentials(user, "x")).ok().map(|url| url.to_string())
}

fn body(body: BodyTemplate, user: &str, password: &str) -> Option<String> {
    let template = RequestTemplate {
        method: Method::POST,
        url: UrlTemplate::parse("http://localhost/").unwrap(),
        headers: Box::default(),
        body,
        is_json_expected: true,
    };
    let request = template.render(&credentials(user, password)).ok()?;
    Some(String::from_utf8(request.body()?.as_bytes()?.to_vec()).unwrap())
}

fn text(text: &str) -> Template {
    Template::parse(text, EncodingContext::Body).unwrap()
}

#[test]
fn user_name_is_encoded_as_one_path_segment_or_rejected() {
    let rendered = |user| url("https://api.example.com/users/{username}/me", user);
    assert_eq!(rendered("ann").unwrap(), "https://api.example.com/users/ann/me");
    assert_eq!(rendered("a%2Fb?c#d").unwrap(), "https://api.example.com/users/a%252Fb%3Fc%23d/me");
    assert_eq!(
        rendered("zoë@example.com").unwrap(),
        "https://api.example.com/users/zo%C3%AB%40example.com/me"
    );
    for user in ["..", ".", "a/b", "../admin", "a\\b"] {
        assert_eq!(rendered(user), None, "{user}");
    }
    assert_eq!(url("https://api.example.com/u/x{username}", "..").unwrap(), "https://api.example.com/u/x..");
    let fixed = url("https://api.example.com/a%2Fb/x?user={username}", "c/d").unwrap();
    assert_eq!(fixed, "https://api.example.com/a%2Fb/x?user=c%2Fd");
}

#[test]
fn user_name_is_encoded_as_one_query_value() {
    let rendered = |user| url("http://localhost:81/me?a=1&user={username}", user).unwrap();
    assert_eq!(rendered("a&b=c#d"), "http://localhost:81/me?a=1&user=a%26b%3Dc%23d");
    assert_eq!(rendered("../x"), "http://localhost:81/me?a=1&user=..%2Fx");
}

#[test]
fn url_with_variable_host_or_password_is_rejected() {
    for (target, message) in [
        ("ftp://example.com/", "http://"),
        ("example.com/me", "http://"),
        ("http://{username}.example.com/", "fixed host"),
        ("http://{username}/x", "fixed host"),
        ("http://example.com:{username}", "fixed host"),
        ("http://example.com{username}", "fixed host"),
        ("http://a:b@example.com/", "logs"),
        ("http://example.com/?p={password}", "logs"),
        ("http://example.com/#x", "must be percent-encoded"),
        ("http://example.com/a/../b", "must be percent-encoded"),
        ("http://[::1/", "not a URL: "),
    ] {
        let error = UrlTemplate::parse(target).unwrap_err();
        assert!(error.contains(message), "{target}: {error}");
    }
    assert!(UrlTemplate::parse("http://example.com").is_ok());
    assert!(UrlTemplate::parse("https://[::1]:8443/x").unwrap().is_loopback());
    assert!(!UrlTemplate::parse("http://api:8080/").unwrap().is_loopback());
}

#[test]
fn values_are_escaped_in_form_and_json_bodies() {
    let form = || {
        BodyTemplate::Form(
            [("user name".to_owned(), text("{username}")), ("p".to_owned(), text("{password}"))].into(),
        )
    };
    assert_eq!(body(form(), "a&b", "c=d +é").unwrap(), "user+name=a%26b&p=c%3Dd+%2B%C3%A9");
    let json = || {
        let fields =
            [("l", JsonTemplate::Text(text("{username}"))), ("p", JsonTemplate::Text(text("{password}")))];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let list = JsonTemplate::Array(
            [JsonTemplate::Object(fields.into()), JsonTemplate::Fixed(true.into())].into(),
        );
        BodyTemplate::Json(list)
    };
    assert_eq!(
        body(json(), "a\"b", "c\\\n\",\"l\":\"root").unwrap(),
        r#"[{"l":"a\"b","p":"c\\\n\",\"l\":\"root"},true]"#
    );
}

#[test]
fn non_utf_8_value_is_rejected_in_json_and_encoded_in_form() {
    let frame = [0; Credentials::CACHE_KEY_HEADER_LENGTH];
    let latin = Credentials::new(Zeroizing::new([&frame[..], b"zo\xeb:x"].concat())).unwrap();
    let mut out = Zeroizing::new(Vec::new());
    assert_eq!(JsonTemplate::Text(text("{username}")).render(&mut out, &latin), Err(UnencodableValue));
    assert_eq!(&*render_form(&[("u".to_owned(), text("{username}"))], &latin).unwrap(), b"u=zo%EB");
}

#[test]
fn headers_with_credentials_are_marked_sensitive() {
    let headers = [(HeaderName::from_static("authorization"), "Basic {basic}")];
    let template = |text| Template::parse(text, EncodingContext::Header).unwrap();
    let template = RequestTemplate {
        method: Method::GET,
        url: UrlTemplate::parse("http://localhost/").unwrap(),
        headers: headers.map(|(name, text)| (name, template(text))).into(),
        body: BodyTemplate::None,
        is_json_expected: false,
    };
    let request = template.render(&credentials("ann", "secret")).unwrap();
    assert_eq!(request.headers()["authorization"], "Basic YW5uOnNlY3JldA==");
    assert!(!format!("{request:?}").contains("YW5uOnNlY3JldA"));
}
