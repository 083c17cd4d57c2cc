//! What is sent, and what can't be.

use super::*;

fn credentials(user: &str, password: &str) -> Credentials {
    let frame = "\0".repeat(Credentials::FRAME);
    Credentials::new(Zeroizing::new(format!("{frame}{user}:{password}").into_bytes())).unwrap()
}

fn url(target: &str, user: &str) -> Option<String> {
    let target = Target::parse(target).unwrap();
    target.render(&credentials(user, "x")).ok().map(|url| url.to_string())
}

fn body(body: Body, user: &str, password: &str) -> Option<String> {
    let question = Question {
        method: Method::POST,
        target: Target::parse("http://localhost/").unwrap(),
        headers: Box::default(),
        body,
        wants_json: true,
    };
    let request = question.render(&credentials(user, password)).ok()?;
    Some(String::from_utf8(request.body()?.as_bytes()?.to_vec()).unwrap())
}

fn text(text: &str) -> Template {
    Template::parse(text, Place::Body).unwrap()
}

#[test]
fn a_user_name_stays_one_segment_of_a_path() {
    let asked = |user| url("https://api.example.com/users/{username}/me", user);
    assert_eq!(asked("ann").unwrap(), "https://api.example.com/users/ann/me");
    assert_eq!(asked("a%2Fb?c#d").unwrap(), "https://api.example.com/users/a%252Fb%3Fc%23d/me");
    assert_eq!(asked("zoë@example.com").unwrap(), "https://api.example.com/users/zo%C3%AB%40example.com/me");
    for user in ["..", ".", "a/b", "../admin", "a\\b"] {
        assert_eq!(asked(user), None, "{user}");
    }
    assert_eq!(url("https://api.example.com/u/x{username}", "..").unwrap(), "https://api.example.com/u/x..");
    let fixed = url("https://api.example.com/a%2Fb/x?user={username}", "c/d").unwrap();
    assert_eq!(fixed, "https://api.example.com/a%2Fb/x?user=c%2Fd");
}

#[test]
fn a_user_name_stays_one_value_of_a_query() {
    let asked = |user| url("http://localhost:81/me?a=1&user={username}", user).unwrap();
    assert_eq!(asked("a&b=c#d"), "http://localhost:81/me?a=1&user=a%26b%3Dc%23d");
    assert_eq!(asked("../x"), "http://localhost:81/me?a=1&user=..%2Fx");
}

#[test]
fn a_url_that_could_lead_elsewhere_or_into_a_log_is_refused() {
    for (target, why) in [
        ("ftp://example.com/", "http://"),
        ("example.com/me", "http://"),
        ("http://{username}.example.com/", "always the same"),
        ("http://{username}/x", "always the same"),
        ("http://example.com:{username}", "always the same"),
        ("http://example.com{username}", "always the same"),
        ("http://a:b@example.com/", "logs"),
        ("http://example.com/?p={password}", "logs"),
        ("http://example.com/#x", "as it is sent"),
        ("http://example.com/a/../b", "as it is sent"),
        ("http://[::1/", "not a URL: "),
    ] {
        let told = Target::parse(target).unwrap_err();
        assert!(told.contains(why), "{target}: {told}");
    }
    assert!(Target::parse("http://example.com").is_ok());
    assert!(Target::parse("https://[::1]:8443/x").unwrap().is_loopback());
    assert!(!Target::parse("http://api:8080/").unwrap().is_loopback());
}

#[test]
fn a_form_and_json_hold_the_values_and_nothing_more() {
    let form = || {
        Body::Form(
            [("user name".to_owned(), text("{username}")), ("p".to_owned(), text("{password}"))].into(),
        )
    };
    assert_eq!(body(form(), "a&b", "c=d +é").unwrap(), "user+name=a%26b&p=c%3Dd+%2B%C3%A9");
    let json = || {
        let fields = [("l", Json::Text(text("{username}"))), ("p", Json::Text(text("{password}")))];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let list = Json::Array([Json::Object(fields.into()), Json::Fixed(true.into())].into());
        Body::Json(list)
    };
    assert_eq!(
        body(json(), "a\"b", "c\\\n\",\"l\":\"root").unwrap(),
        r#"[{"l":"a\"b","p":"c\\\n\",\"l\":\"root"},true]"#
    );
}

#[test]
fn what_is_not_utf_8_is_no_json() {
    let frame = [0; Credentials::FRAME];
    let latin = Credentials::new(Zeroizing::new([&frame[..], b"zo\xeb:x"].concat())).unwrap();
    let mut out = Zeroizing::new(Vec::new());
    assert_eq!(Json::Text(text("{username}")).write(&mut out, &latin), Err(Unplaceable));
    assert_eq!(&*form(&[("u".to_owned(), text("{username}"))], &latin).unwrap(), b"u=zo%EB");
}

#[test]
fn headers_that_hold_a_secret_are_marked() {
    let headers = [(HeaderName::from_static("authorization"), "Basic {basic}")];
    let template = |text| Template::parse(text, Place::Header).unwrap();
    let question = Question {
        method: Method::GET,
        target: Target::parse("http://localhost/").unwrap(),
        headers: headers.map(|(name, text)| (name, template(text))).into(),
        body: Body::None,
        wants_json: false,
    };
    let request = question.render(&credentials("ann", "secret")).unwrap();
    assert_eq!(request.headers()["authorization"], "Basic YW5uOnNlY3JldA==");
    assert!(!format!("{request:?}").contains("YW5uOnNlY3JldA"));
}
