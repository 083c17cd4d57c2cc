//! `/token` through nginx with doorward and a real registry.

use super::setup::{SERVICE, TokenSetup};
use crate::support::client::{Answer, Request};
use crate::support::nginx::assert_json;

/// Headers that nginx writes or that belong to its connection.
const OF_THE_WAY: [&str; 4] = ["connection", "date", "server", "x-request-id"];

/// Returns a response without the parts that always differ: headers of the connection, and the token.
fn face(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| !OF_THE_WAY.contains(&&name[..]))
        .map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap()))
        .collect();
    headers.sort();
    let text = answer.text();
    let token_reply =
        serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|v| Some(v["token"].as_str()?.len()));
    match token_reply {
        None => (answer.status, headers, text),
        Some(_) => (
            answer.status,
            headers,
            text.split("token\":\"").map(|part| &part[part.find('"').unwrap()..]).collect(),
        ),
    }
}

#[test]
fn token_response_of_doorward_reaches_the_client() {
    let setup = TokenSetup::start("registry");
    let get = |query: &str| Request::get(&format!("/token{query}"));
    let post = |form: &str| {
        let request = Request::new("POST", "/token");
        request.header("Content-Type", "application/x-www-form-urlencoded").body(form)
    };
    let pull = format!("service={SERVICE}&scope=repository:team/app:pull");
    let cases = [
        (200, get(&format!("?{pull}")).basic("ann", "a1")),
        (200, get(&format!("?{pull}"))),
        (200, get("?service=registry.test")),
        (200, post(&format!("grant_type=password&username=ann&password=a1&{pull}&client_id=x"))),
        (401, get(&format!("?{pull}")).basic("ann", "a2")),
        (401, post(&format!("grant_type=password&username=ann&password=a2&{pull}&client_id=x"))),
        (400, get("?service=other")),
        (400, get("?service=a&service=b")),
        (400, get(&format!("?service={SERVICE}&scope=repository")).basic("ann", "a1")),
        (400, get(&format!("?{pull}&account=bob")).basic("ann", "a1")),
        (400, post("grant_type=password&username=ann")),
        (400, Request::new("POST", "/token").header("Content-Type", "text/plain").body("x")),
        (404, post(&format!("grant_type=refresh_token&refresh_token=x&{pull}"))),
    ];
    for (status, request) in cases {
        let answer = setup.nginx.ask(&request);
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        let told = request.clone().from("127.0.0.1").header("X-Original-Host", "doorward.test");
        let direct = setup.doorward.ask(&told);
        assert_eq!(face(&answer), face(&direct), "{request:?}");
        let challenge = (status == 401).then_some("Basic realm=\"Registry\", charset=\"UTF-8\"");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[test]
fn throttled_client_gets_429_from_doorward_through_nginx() {
    let setup = TokenSetup::start("registry");
    let guess = |number: u32| {
        setup
            .nginx
            .ask(&Request::get("/token?service=registry.test").basic("ann", &format!("guess {number}")))
    };
    let last = (0..100).map(guess).find(|answer| answer.status != 401).expect("it is throttled");
    assert_eq!(last.status, 429, "{last:?}");
    assert!(last.text().starts_with("{\"errors\":[{\"code\":\"TOOMANYREQUESTS\""), "{last:?}");
    assert!(last.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{last:?}");
    assert_eq!(last.header("x-auth-reason"), None);
}

#[test]
fn challenge_has_the_configured_realm_for_every_host_header_pitfall_p35() {
    for mode in ["mixed", "registry"] {
        let setup = TokenSetup::start(mode);
        for host in ["registry.test", "evil.test", "evil.test:443", "[::1]"] {
            let ask = |request: Request| {
                let request = request.host(host).header("X-Forwarded-Host", "evil.test");
                let answer = setup.nginx.ask(&request.header("Forwarded", "host=evil.test;proto=https"));
                assert_json_of_registry(&answer);
                // The order of the actions in challenges of distribution varies.
                answer.header("www-authenticate").unwrap().replace("push,pull", "pull,push")
            };
            assert_eq!(ask(Request::get("/v2/")), setup.challenge(), "{mode}");
            let scoped =
                |actions: &str| format!("{},scope=\"repository:team/app:{actions}\"", setup.challenge());
            assert_eq!(ask(Request::get("/v2/team/app/tags/list")), scoped("pull"), "{mode}");
            let upload = Request::new("POST", "/v2/team/app/blobs/uploads/").body("");
            assert_eq!(ask(upload), scoped("pull,push"), "{mode}");
            // The token has fewer permissions than the request needs. containerd requires the error (pitfall P33).
            let token = format!("Bearer {}", setup.token("bob", &["repository:team/app:pull"]));
            let upload = Request::new("POST", "/v2/team/app/blobs/uploads/").body("");
            let less = ask(upload.header("Authorization", &token));
            assert_eq!(less, format!("{},error=\"insufficient_scope\"", scoped("pull,push")), "{mode}");
            let broken = format!("{}x", &token[..token.len() - 5]);
            let bad = ask(Request::get("/v2/team/app/tags/list").header("Authorization", broken));
            // Version 3 of the registry sends no error for a token that it cannot parse.
            let told = bad.replace(",error=\"invalid_token\"", "");
            assert_eq!(told, scoped("pull"), "{mode}");
            assert!(told != bad || mode == "registry", "{bad}");
        }
    }
}

/// Checks a 401 in JSON, sent by the registry or by nginx.
fn assert_json_of_registry(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(
        answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
        "{answer:?}"
    );
    assert!(answer.text().starts_with("{\"errors\":[{\"code\":\"UNAUTHORIZED\""), "{answer:?}");
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
}

#[test]
fn mixed_mode_serves_passwords_api_keys_tokens_and_anonymous_clients() {
    let setup = TokenSetup::start("mixed");
    for name in ["public/tools", "team/app"] {
        assert_eq!(setup.push("dora", "image", name).code, Some(0));
    }
    let tags = |name: &str| Request::get(&format!("/v2/{name}/tags/list"));
    let bearer = |request: Request, token: &str| request.header("Authorization", format!("Bearer {token}"));
    let token = setup.token("ann", &["repository:team/app:pull"]);
    let nobodys = setup.token("", &["repository:public/tools:pull,push"]);
    for _ in 0..3 {
        for (status, request) in [
            (200, tags("team/app").basic("ann", "a1")),
            (200, tags("team/app").basic("ann", &setup.key.secret)),
            (200, bearer(tags("team/app"), &setup.key.secret)),
            (200, bearer(tags("team/app"), &token)),
            (200, bearer(tags("public/tools"), &nobodys)),
            (200, tags("public/tools")),
            (200, bearer(Request::get("/v2/"), &token)),
            (200, bearer(Request::get("/v2/"), &nobodys)),
            (200, Request::get("/v2/").basic("ann", "a1")),
            (401, Request::get("/v2/")),
            (401, tags("team/app")),
            (401, tags("team/app").basic("ann", "a2")),
            // ann has this permission, but the token does not.
            (401, bearer(tags("public/tools"), &token)),
            (401, bearer(tags("team/app"), &nobodys)),
        ] {
            let answer = setup.nginx.ask(&request);
            assert_eq!(answer.status, status, "{request:?}: {answer:?}");
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert_eq!(challenge.starts_with(&setup.challenge()), status == 401, "{answer:?}");
        }
    }
    assert_json(&setup.nginx.ask(&tags("secret/app").basic("ann", "a1")), 403, "DENIED");
    let received = setup.tap.received();
    assert!(!received.contains("Authorization"), "the registry needs none: {received}");
    assert!(!received.contains("X-Auth-"), "{received}");
}

#[test]
fn verifying_registry_serves_tokens_while_doorward_is_down() {
    let mut setup = TokenSetup::start("registry");
    assert_eq!(setup.push("ann", "image", "team/app").code, Some(0));
    let token = setup.token("ann", &["repository:team/app:pull"]);
    setup.doorward.kill();
    setup.doorward.wait();
    let tags = Request::get("/v2/team/app/tags/list").header("Authorization", format!("Bearer {token}"));
    assert_eq!(setup.nginx.ask(&tags).status, 200);
    assert_eq!(setup.ask("ann", &[]).status, 503);
    assert_eq!(setup.nginx.ask(&Request::get("/v2/")).status, 401);
}
