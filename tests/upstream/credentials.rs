//! Selection of upstream credentials by request, and requests without any.

use super::{
    HEADER, SECRET, SECRET_HEADER, assert_refused, assert_upstream_credentials, bare, of_alice, question,
    start, start_without_secret,
};
use crate::support::client::{Address, OF_DOORWARD, Request, ask, unix};
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

const TABLES: &str = r#"
policy.file = "{dir}/policy.toml"
[[upstream]]
name = "releases"
repositories = ["releases/**"]
type = "basic"
username = "AWS"
password_file = "{dir}/password"
[[upstream]]
name = "team"
hosts = ["registry.test"]
repositories = ["team/**", "public/**"]
allow_anonymous = true
type = "bearer"
token_file = "{dir}/token"
[[upstream]]
name = "bare"
repositories = ["bare/*"]
type = "none"
"#;

const POLICY: &str = r#"
[[grant]]
who = "authenticated"
actions = ["pull"]
[[grant]]
who = "anyone"
repositories = ["public/**", "releases/open"]
actions = ["pull"]
"#;

const FILES: [(&str, &str); 3] =
    [("policy.toml", POLICY), ("password", "s3cret-password\n"), ("token", "s3cret-token\n")];

/// `AWS:s3cret-password`.
const BASIC: &str = "Basic QVdTOnMzY3JldC1wYXNzd29yZA==";
const BEARER: &str = "Bearer s3cret-token";

fn pull(name: &str) -> String {
    format!("/v2/{name}/manifests/latest")
}

#[test]
fn each_request_gets_the_credentials_of_its_upstream_table() {
    let doorward = start(TABLES, &FILES, &[]);
    for (uri, value) in [
        (pull("releases/app"), Some(BASIC)),
        (pull("team/app"), Some(BEARER)),
        (pull("public/app"), Some(BEARER)),
        // With a table of type none, and without a matching table, the header is present and empty.
        (pull("bare/app"), Some("")),
        (pull("other/app"), Some("")),
        ("/v2/".to_owned(), Some(BASIC)),
    ] {
        assert_upstream_credentials(&doorward.ask(&of_alice("GET", &uri)), value);
    }
    let elsewhere = of_alice("GET", &pull("team/app")).header("X-Original-Host", "other.test");
    assert_refused(&doorward.ask(&elsewhere), 403, "invalid_proxy_headers", "s3cret");
}

#[test]
fn refused_request_gets_no_upstream_credentials() {
    let doorward = start(TABLES, &FILES, &[]);
    let uri = pull("releases/app");
    assert_refused(&doorward.ask(&of_alice("PUT", &uri)), 403, "policy", "s3cret");
    assert_refused(&doorward.ask(&of_alice("DELETE", &uri)), 403, "policy", "s3cret");
    for request in [question("GET", &uri), question("GET", &uri).basic("alice", "wrong")] {
        let answer = doorward.ask(&request);
        assert_eq!((answer.status, answer.header(HEADER)), (401, None), "{answer:?}");
    }
}

#[test]
fn anonymous_request_is_challenged_unless_the_upstream_is_for_anyone() {
    let doorward = start(TABLES, &FILES, &[]);
    assert_upstream_credentials(&doorward.ask(&question("GET", &pull("public/app"))), Some(BEARER));
    let answer = doorward.ask(&question("GET", &pull("releases/open")));
    assert_eq!((answer.status, answer.header(HEADER)), (401, None), "{answer:?}");
    assert!(answer.header("www-authenticate").is_some());
    // If no credentials can be attached, no proxy secret is required.
    let open = POLICY.replace("\"releases/open\"", "\"bare/*\"");
    let doorward = start(TABLES, &[("policy.toml", &open), FILES[1], FILES[2]], &[]);
    assert_upstream_credentials(&doorward.ask(&question("GET", &pull("bare/app"))), Some(""));
}

/// Settings without a policy, where the first table excludes some repositories from the second.
const KEPT_BACK: &str = r#"
[[upstream]]
repositories = ["private/**"]
type = "none"
[[upstream]]
type = "bearer"
token_file = "{dir}/token"
"#;

#[test]
fn request_for_which_no_upstream_can_be_selected_is_refused() {
    let doorward = start(KEPT_BACK, &FILES, &[]);
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", &pull("private/app"))), Some(""));
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", &pull("other/app"))), Some(BEARER));
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", "/v2/_catalog")), Some(BEARER));
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", "/v2/")), Some(BEARER));
    assert_refused(
        &doorward.ask(&bare().basic("alice", "wonderland")),
        403,
        "invalid_proxy_headers",
        "s3cret",
    );
    for (method, uri) in [
        ("GET", "/v2/private/app/manifests/1?from=x"),
        ("GET", "/v2/private/app/manifests/%31"),
        ("OPTIONS", "/v2/private/app/manifests/1"),
        ("GET", "/v2/other/../private/app/manifests/1"),
        ("GET", "/v2/private%2Fapp/manifests/1"),
        ("GET", "/v2//private/app/manifests/1"),
        ("GET", "/elsewhere"),
    ] {
        assert_refused(&doorward.ask(&of_alice(method, uri)), 403, "policy", "s3cret");
    }
    // The registry may ignore case, so a malformed name cannot be assigned to a table.
    for uri in ["/v2/Private/app/manifests/1", "/v2/private/app/manifests/.1", "/v2/other/app/blobs/sha256:0"]
    {
        assert_refused(&doorward.ask(&of_alice("GET", uri)), 403, "malformed_reference", "s3cret");
    }
    let form = bare()
        .header("X-Original-Method", "POST")
        .header("X-Original-URI", "/v2/private/app/blobs/uploads/")
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:application/x-www-form-urlencoded")
        .basic("alice", "wonderland");
    assert_refused(&doorward.ask(&form), 403, "policy", "s3cret");
}

#[test]
fn mount_across_upstreams_is_refused() {
    let doorward = start(KEPT_BACK, &FILES, &[]);
    let digest = format!("sha256:{}", "a".repeat(64));
    let mount =
        |from: &str| of_alice("POST", &format!("/v2/other/app/blobs/uploads/?mount={digest}&from={from}"));
    assert_upstream_credentials(&doorward.ask(&mount("other/base")), Some(BEARER));
    assert_refused(&doorward.ask(&mount("private/app")), 403, "policy", "s3cret");
    // With a proxy that rewrites the URI, the mount becomes an upload.
    let answer = doorward.ask(&mount("private/app").header("X-Auth-Rewrite", "yes"));
    assert_upstream_credentials(&answer, Some(BEARER));
    assert_eq!(answer.header("x-upstream-uri"), Some("/v2/other/app/blobs/uploads/"));
}

#[test]
fn upstream_for_all_requests_needs_no_original_request_headers() {
    let table = "[[upstream]]\ntype = \"bearer\"\ntoken_file = \"{dir}/token\"\n";
    let doorward = start(table, &FILES, &[]);
    assert_upstream_credentials(&doorward.ask(&bare().basic("alice", "wonderland")), Some(BEARER));
    let answer = doorward.ask(&bare());
    assert_eq!((answer.status, answer.header(HEADER)), (401, None));
}

#[test]
fn without_upstreams_no_upstream_header_is_sent() {
    let doorward = Doorward::start(&users::two(), &[]);
    let answer = doorward.ask(&Request::auth().basic("alice", "wonderland").header(HEADER, "Basic x"));
    assert_upstream_credentials(&answer, None);
}

/// Returns requests without the right proxy secret; the first has none.
fn without_proof() -> Vec<Request> {
    // Like `of_alice`, without the secret.
    let request = Request::auth()
        .header("X-Original-Method", "GET")
        .header("X-Original-URI", pull("releases/app"))
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:")
        .from("192.0.2.1")
        .basic("alice", "wonderland");
    let shown = |value: &str| request.clone().header("X-Auth-Proxy-Secret", value);
    let mut all = vec![request.clone()];
    let cut = &SECRET[1..];
    for wrong in ["", "0", &SECRET[..31], cut, &SECRET.to_uppercase(), &SECRET.repeat(2), &"x".repeat(20_000)]
    {
        all.push(shown(wrong));
    }
    // The right secret twice, the right secret after a wrong one, and the secret in another header.
    all.push(shown(SECRET).header("X-Auth-Proxy-Secret", SECRET));
    all.push(shown("x").header("X-Auth-Proxy-Secret", SECRET));
    all.push(request.clone().header("X_Auth_Proxy_Secret", SECRET));
    all.push(request.header("X-Upstream-Authorization", SECRET));
    all
}

#[test]
fn every_peer_must_send_the_proxy_secret_including_unix_sockets_and_loopback_field_c7() {
    let socket = tempfile::tempdir().unwrap();
    let at = unix(&socket.path().join("doorward.sock"));
    let doorward = start(TABLES, &FILES, &["--listen", "127.0.0.1:0", "--listen", &at]);
    let socket = Address::parse(&at);
    for address in [&doorward.address, &socket] {
        let proved = |request: &Request| ask(address, OF_DOORWARD, request);
        assert_upstream_credentials(&proved(&of_alice("GET", &pull("releases/app"))), Some(BASIC));
        for request in without_proof() {
            assert_refused(&ask(address, OF_DOORWARD, &request), 403, "proxy_secret", "s3cret");
        }
        // The rule applies to all requests, including those without upstream credentials and those without a
        // user.
        let elsewhere =
            Request::auth().header("X-Original-URI", pull("bare/app")).basic("alice", "wonderland");
        assert_refused(&proved(&elsewhere), 403, "proxy_secret", "s3cret");
        assert_refused(&proved(&Request::auth()), 403, "proxy_secret", "s3cret");
        let wrong = Request::auth().basic("alice", "wrong");
        assert_refused(&proved(&wrong), 403, "proxy_secret", "s3cret");
        assert_upstream_credentials(&proved(&of_alice("GET", &pull("bare/app"))), Some(""));
    }
    let told = || Some(doorward.log()).filter(|log| log.contains("proxy_secret_file"));
    let log = eventually("it is logged", told);
    assert!(
        log.contains("reason=\"proxy_secret\"") && !log.contains("s3cret-") && !log.contains(SECRET),
        "{log}"
    );
    let label = |reason: &str| format!("doorward_verdicts_total{{verdict=\"forbid\",reason=\"{reason}\"}}");
    assert!(doorward.metric(&label("proxy_secret")) > 20.0);
    assert_eq!(doorward.hashes(), 1.0, "nobody guesses by a published location");
}

#[test]
fn upstreams_without_credentials_require_no_proxy_secret() {
    let none = "[[upstream]]\ntype = \"none\"\n";
    let doorward = start_without_secret(none, &[], &[]);
    assert_upstream_credentials(&doorward.ask(&Request::auth().basic("alice", "wonderland")), Some(""));
}

#[test]
fn untrusted_peer_gets_no_credentials_with_or_without_the_proxy_secret() {
    let doorward = start(TABLES, &FILES, &["--trusted-peers", "192.0.2.1"]);
    let requests = [of_alice("GET", &pull("releases/app")), Request::get("/auth/refused")];
    for request in requests.into_iter().chain(without_proof()) {
        assert!(doorward.client().try_ask(&request).is_err(), "the connection is closed unread");
    }
}

#[test]
fn peer_without_the_proxy_secret_cannot_report_an_upstream_refusal() {
    let doorward = start(TABLES, &FILES, &[]);
    let said = Request::get("/auth/refused")
        .header("X-Original-Method", "GET")
        .header("X-Original-URI", pull("releases/app"))
        .header("X-Original-Host", "registry.test");
    assert_eq!(doorward.ask(&said).status, 503);
    assert_eq!(doorward.ask(&said.clone().header("X-Auth-Proxy-Secret", SECRET)).status, 503);
    assert_eq!(doorward.metric("doorward_upstream_refused_total{upstream=\"releases\""), 1.0);
}

#[test]
fn upstream_credentials_are_in_no_log_metric_or_page() {
    let doorward = start(TABLES, &FILES, &["--log-level", "debug", "--log-allowed-requests", "true"]);
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", &pull("releases/app"))), Some(BASIC));
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", &pull("team/app"))), Some(BEARER));
    let told = [doorward.log(), doorward.admin(&Request::get("/metrics")).text(), doorward.ready().text()];
    for text in told {
        for secret in ["s3cret", BASIC, "QVdTOnMzY3JldC1wYXNzd29yZA"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn upstream_refusal_gets_503_and_not_a_challenge() {
    let doorward = start(TABLES, &FILES, &[]);
    let assert_refused = |uri: &str| {
        let request = Request::get("/auth/refused")
            .header(SECRET_HEADER, SECRET)
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", uri)
            .header("X-Original-Host", "registry.test")
            .header("X-Original-Content-Type", "ct:")
            .header("X-Upstream-Status", "403");
        doorward.client().ask(&request)
    };
    assert_eq!(assert_refused(&format!("{}?token=hidden", pull("team/app"))).status, 503);
    let answer = assert_refused(&pull("releases/app"));
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("application/json")));
    assert!(answer.header("www-authenticate").is_none() && answer.header("retry-after").is_some());
    assert!(answer.text().contains("refused the credentials of this proxy"), "{}", answer.text());
    let told = || Some(doorward.log()).filter(|log| log.contains("releases/app"));
    let log = eventually("it is logged", told);
    assert!(log.contains("upstream=\"releases\"") && log.contains("403") && !log.contains("hidden"), "{log}");
    assert_eq!(doorward.metric("doorward_upstream_refused_total{upstream=\"releases\""), 1.0);
}
