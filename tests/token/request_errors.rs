//! Token requests that are refused: status, code and message.

use super::{assert_refused, get, post, start, token_response};
use crate::support::client::Request;

#[test]
fn wrong_or_unreadable_credentials_get_401_from_token() {
    let doorward = start(&[]);
    let query = "service=registry.test&scope=repository:team/app:pull";
    for request in [
        get(query).basic("alice", "wrong"),
        get(query).basic("nobody", "wonderland"),
        get(query).header("Authorization", "Basic !"),
        get(query).header("Authorization", "Digest x"),
        // Invalid credentials must not be treated as anonymous.
        get(query).header("Authorization", ""),
        get(query).header("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30."),
        get(query).basic("alice", "wonderland").basic("bob", "builder"),
        post("grant_type=password&service=registry.test&username=alice&password=wrong"),
    ] {
        let answer = doorward.ask(&request);
        assert_refused(&answer, 401, "UNAUTHORIZED");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")));
    }
}

#[test]
fn malformed_token_request_or_wrong_service_gets_400() {
    let doorward = start(&[]);
    for query in [
        "service=other.test",
        "service=registry.test&service=registry.test",
        "service=registry.test&scope=nonsense",
        "service=registry.test&scope=repository:a:PULL",
        "service=registry.test&account=bob",
        "service=registry.test&account=alice&account=alice",
    ] {
        assert_refused(&doorward.ask(&get(query).basic("alice", "wonderland")), 400, "UNSUPPORTED");
    }
    let many: String = (0..65).map(|number| format!("&scope=repository:r{number}:pull")).collect();
    assert_refused(&doorward.ask(&get(&many[1..]).basic("alice", "wonderland")), 400, "UNSUPPORTED");
    for form in [
        "service=registry.test",
        "grant_type=password&service=registry.test&username=alice",
        "grant_type=client_credentials&service=registry.test",
        "grant_type=password&username=a%3Ab&password=x",
        "grant_type=password&username=a&username=b&password=x",
    ] {
        assert_refused(&doorward.ask(&post(form)), 400, "UNSUPPORTED");
    }
    let large = format!("grant_type=password&username=a&password={}", "x".repeat(17 << 10));
    assert_refused(&doorward.ask(&post(&large)), 400, "UNSUPPORTED");
    let json = Request::new("POST", "/token").header("Content-Type", "application/json").body("{}");
    assert_refused(&doorward.ask(&json), 400, "UNSUPPORTED");
    assert_eq!(doorward.ask(&Request::new("DELETE", "/token")).status, 405);
}

#[test]
fn refresh_token_request_gets_404() {
    let doorward = start(&[]);
    let form = "grant_type=refresh_token&service=registry.test&refresh_token=x&client_id=docker";
    assert_refused(&doorward.ask(&post(form)), 404, "UNSUPPORTED");
}

#[test]
fn throttled_client_gets_429_with_retry_after_from_token() {
    let doorward = start(&["--throttle-user-failures", "2"]);
    let answers: Vec<_> = (0..4)
        .map(|n| doorward.ask(&get("service=registry.test").basic("alice", &format!("guess-{n}"))))
        .collect();
    assert_refused(&answers[0], 401, "UNAUTHORIZED");
    assert_refused(&answers[3], 429, "TOOMANYREQUESTS");
    assert!(answers[3].header("retry-after").is_some());
    // The throttle is shared with `/auth`. Other users are not affected.
    assert_eq!(doorward.log_in("alice", "guess-9", "192.0.2.1"), 403);
    token_response(&doorward.ask(&get("service=registry.test").basic("bob", "builder")));
}

#[test]
fn token_request_without_required_proxy_headers_is_refused_by_name_field_c9_authelia_6180() {
    let doorward = start(&[]);
    let scope = "service=registry.test&scope=repository:team/app:pull";
    let bare = || Request::get(&format!("/token?{scope}")).from("192.0.2.1").basic("alice", "wonderland");
    // Without X-Original-Host the `Host` header of the request is used, as a client sent it.
    let (_, claims) = token_response(&doorward.ask(&bare().host("Registry.Test:5000")));
    assert_eq!(claims["access"][0]["name"], "team/app");
    for (request, what) in [
        (bare().host(""), "X-Original-Host is invalid"),
        (bare().host("a/b"), "X-Original-Host is invalid"),
        (bare().header("X-Original-Host", ""), "X-Original-Host is invalid"),
        (get(scope).header("X-Original-Host", "b.test"), "X-Original-Host is repeated"),
        (get(scope).header("X-Forwarded-Uri", "/token"), "X-Forwarded-Uri belongs to another kind of proxy"),
        (get(scope).from("192.0.2.2"), "X-Real-IP is repeated"),
        (bare().host("registry.test").header("X-Real-IP", "x"), "X-Real-IP is repeated"),
        (
            Request::get(&format!("/token?{scope}")).from("nobody").basic("alice", "wonderland"),
            "X-Real-IP is invalid",
        ),
    ] {
        let answer = doorward.ask(&request);
        assert_refused(&answer, 403, "DENIED");
        assert!(answer.text().contains(&format!("no token is issued: {what}")), "{}", answer.text());
        let parts = ["reason=\"invalid_proxy_headers\"", &format!("detail=\"{what}"), "path=\"/token\""];
        crate::support::eventually(what, || {
            doorward
                .log()
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)))
                .map(str::to_owned)
        });
    }
    assert_eq!(doorward.hashes(), 1.0);
}

#[test]
fn credentials_in_the_query_are_refused() {
    let doorward = start(&[]);
    for query in [
        "service=registry.test&scope=repository:public/base:pull&username=alice&password=wonderland",
        "service=registry.test&password=wonderland",
        "service=registry.test&username=alice",
        "service=registry.test&PASSWORD=wonderland",
        "service=registry.test&pass%77ord=wonderland",
    ] {
        for request in [get(query), get(query).basic("alice", "wonderland")] {
            assert_refused(&doorward.ask(&request), 400, "UNSUPPORTED");
        }
    }
    let form = "grant_type=password&service=registry.test&username=bob&password=builder";
    let beside = Request::new("POST", "/token?password=builder")
        .header("X-Original-Host", "registry.test")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .from("192.0.2.1");
    assert_refused(&doorward.ask(&beside.body(form)), 400, "UNSUPPORTED");
    token_response(&doorward.ask(&post(form)));
    assert!(!doorward.log().contains("wonderland"), "{}", doorward.log());
}

#[test]
fn credentials_are_decoded_as_at_auth_including_missing_padding_field_c17() {
    let doorward = start(&[]);
    let unpadded = |pair: &str| crate::support::client::basic(pair).trim_end_matches('=').to_owned();
    let query = "service=registry.test&scope=repository:team/app:pull";
    for (query, pair, status) in [
        (query.to_owned(), "alice:wonderland", 200),
        (format!("{query}&account=alice"), "alice:wonderland", 200),
        // The account is compared with the parsed user name, with or without padding.
        (format!("{query}&account=bob"), "alice:wonderland", 400),
        (format!("{query}&account=bob"), "alice:wrong", 400),
        (query.to_owned(), "alice:wrong", 401),
    ] {
        for header in [unpadded(pair), crate::support::client::basic(pair).replace("Basic", "bASIC  ")] {
            let answer = doorward.ask(&get(&query).header("Authorization", &header));
            assert_eq!(answer.status, status, "{query} {pair} {header}: {answer:?}");
            let auth = Request::auth()
                .header("X-Original-Method", "GET")
                .header("X-Original-URI", "/v2/team/app/manifests/v1")
                .header("X-Original-Host", "registry.test")
                .header("X-Original-Content-Type", "ct:")
                .header("Authorization", &header)
                .from("192.0.2.1");
            if status != 400 {
                assert_eq!(doorward.ask(&auth).status, status, "{header}");
            }
        }
    }
    crate::support::eventually("the log names the user", || {
        let log = doorward.log();
        let is_told = |line: &&str| {
            line.contains("reason=\"wrong_credentials\" user=\"alice\"") && line.contains("/token")
        };
        log.lines().find(is_told).map(str::to_owned)
    });
}

#[test]
fn token_and_jwks_get_404_without_signing_keys() {
    let doorward = crate::support::doorward::Doorward::start(&crate::support::users::alice(), &[]);
    for target in ["/token", "/jwks"] {
        assert_eq!(doorward.ask(&Request::get(target).basic("alice", "wonderland")).status, 404);
    }
}

#[test]
fn scopes_beyond_the_token_size_get_400() {
    let doorward = super::start_with("[[grant]]\nwho = \"authenticated\"\n", &[]);
    let long = "a".repeat(240);
    let query: String = (0..30).map(|number| format!("&scope=repository:{long}{number}:pull")).collect();
    assert_refused(&doorward.ask(&get(&query[1..]).basic("bob", "builder")), 400, "UNSUPPORTED");
    token_response(&doorward.ask(&get("scope=repository:team/app:pull").basic("bob", "builder")));
}

#[test]
fn log_names_the_user_of_a_refused_token_request_without_secrets() {
    let doorward = start(&["--log-allowed-requests", "true", "--log-level", "debug"]);
    let form = "grant_type=password&service=registry.test&username=alice&password=s3cret-guess";
    let request = post(form).basic("victim", "x");
    assert_refused(&doorward.ask(&request), 401, "UNAUTHORIZED");
    let told = || Some(doorward.log()).filter(|log| log.contains("/token"));
    let log = crate::support::eventually("it is logged", told);
    let line = log.lines().find(|line| line.contains("/token")).unwrap();
    assert!(line.contains("user=\"alice\"") && line.contains("POST") && !line.contains("victim"), "{line}");
    let (told, _) = token_response(&doorward.ask(&get("service=registry.test").basic("bob", "builder")));
    let given_out = || Some(doorward.log()).filter(|log| log.contains("token issued"));
    let log = crate::support::eventually("it is logged", given_out);
    assert!(!log.contains("s3cret") && !log.contains(told["token"].as_str().unwrap()), "{log}");
}

#[test]
fn token_from_a_stale_answer_expires_with_it() {
    let api = crate::support::api::Api::start(|_| crate::support::api::Reply::status(200));
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let made =
        crate::support::doorward::doorward(&["signing-key", "init", "--signing-keys", &at("keys.pem")]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let settings = format!(
        "[token]\nsigning_keys = \"{}\"\nservice = \"registry.test\"\n[[authenticator]]\ntype = \"http\"\nurl = \"{}/\"\nheaders = {{ Authorization = \"Basic {{basic}}\" }}\ncache_ttl = \"0s\"\nstale_if_unavailable = \"2m\"\n",
        at("keys.pem"),
        api.url()
    );
    std::fs::write(at("doorward.toml"), settings).unwrap();
    let config = at("doorward.toml");
    let doorward = crate::support::doorward::Doorward::start_in(dir, &["--config", &config]);
    let ask = || {
        token_response(&doorward.ask(&get("service=registry.test").basic("ann", "x"))).0["expires_in"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(ask(), 900);
    // New connections are refused from now on, which counts as an outage for all users.
    drop(api);
    let stale = ask();
    assert!((60..=120).contains(&stale), "{stale}");
}

#[test]
fn check_reports_invalid_signing_keys() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("htpasswd"), crate::support::users::alice()).unwrap();
    let check = || {
        let (htpasswd, keys) = (at("htpasswd"), at("keys.pem"));
        let flags = [
            "check",
            "--htpasswd",
            &htpasswd,
            "--token-signing-keys",
            &keys,
            "--token-service",
            "registry.test",
            "--public-listen",
            "127.0.0.1:0",
        ];
        let output = crate::support::doorward::doorward(&flags);
        (output.code, output.stdout + &output.stderr)
    };
    let (code, told) = check();
    assert!(code == Some(1) && told.contains("keys.pem: the file does not exist"), "{told}");
    crate::support::doorward::doorward(&["signing-key", "init", "--signing-keys", &at("keys.pem")]);
    let (code, told) = check();
    assert!(code == Some(0) && told.contains("keys that verify tokens: 1"), "{told}");
    std::fs::write(at("keys.pem"), "nothing").unwrap();
    assert_eq!(check().0, Some(1));
}
