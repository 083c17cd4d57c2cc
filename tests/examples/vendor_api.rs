//! `examples/vendor-api.toml` and its policy.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{ExampleSetup, assert_refused, assert_succeeded, examples};
use crate::support::api::{Call, Reply};
use crate::support::client::Request;

const ANN: (&str, &str) = ("ann@example.org", "ann-3f786850");
const BOB: (&str, &str) = ("bob@example.org", "bob-89e6c98d");
/// Everything that the vendor sells.
const RELEASES: [&str; 4] = ["suite-2023", "suite-2024", "suite-2025", "tools-7"];

/// The licences of an account: the release, and whether it has expired.
type Licences = Arc<Mutex<Vec<(&'static str, bool)>>>;

/// As the vendor's API does: the token says whose account it is.
fn account(call: &Call, of_ann: &Licences) -> Reply {
    assert_eq!((&call.method[..], &call.target[..]), ("GET", "/v1/account"));
    let (email, licences) = match call.header("authorization").strip_prefix("ApiKey ") {
        Some(token) if token == ANN.1 => (ANN.0, of_ann.lock().unwrap().clone()),
        Some(token) if token == BOB.1 => (BOB.0, vec![("suite-2024", false)]),
        _ => return Reply::status(401),
    };
    let licence = |(release, expired): &(&str, bool)| {
        let product = release.split('-').next();
        json!({ "product": product, "release": release, "expired": expired })
    };
    let licences: Vec<_> = licences.iter().map(licence).collect();
    Reply::json(json!({ "email": email, "customer": "C-17", "licences": licences }))
}

/// Ann has two releases, and had a third.
fn start() -> (ExampleSetup, Licences) {
    let licences: Licences =
        Arc::new(Mutex::new(vec![("suite-2023", true), ("suite-2025", false), ("tools-7", false)]));
    let policy = fs::read_to_string(examples().join("vendor-policy.toml")).unwrap();
    let of_ann = Arc::clone(&licences);
    let files = [("vendor-policy.toml", &policy[..])];
    let setup = ExampleSetup::start("vendor-api.toml", "https://api.example.com", &files, move |call| {
        account(call, &of_ann)
    });
    RELEASES.iter().for_each(|release| setup.publish(&format!("releases/{release}")));
    (setup, licences)
}

/// Refused by the policy, with what was lacking.
fn assert_denied(setup: &ExampleSetup, who: (&str, &str), name: &str) {
    let said = format!("requested access to the resource is denied: repository:{name}:pull");
    assert_refused(&setup.pull(who.0, who.1, name), &said);
}

#[test]
fn customer_pulls_only_licensed_releases() {
    let (setup, _) = start();
    assert_succeeded(&setup.log_in(ANN.0, ANN.1));
    for release in ["suite-2025", "tools-7"] {
        assert_succeeded(&setup.pull(ANN.0, ANN.1, &format!("releases/{release}")));
    }
    // One whose licence has expired, one without, one that nobody sells, and none at all.
    for name in ["releases/suite-2023", "releases/suite-2024", "releases/suite", "suite-2025"] {
        assert_denied(&setup, ANN, name);
    }
    assert_succeeded(&setup.pull(BOB.0, BOB.1, "releases/suite-2024"));
    assert_denied(&setup, BOB, "releases/suite-2025");
    assert_eq!(setup.backend.count(), 2, "one call for each customer");
}

#[test]
fn push_delete_and_catalog_are_denied_to_customers() {
    let (setup, _) = start();
    assert_succeeded(&setup.pull(ANN.0, ANN.1, "releases/suite-2025"));
    for name in ["releases/suite-2025", "releases/suite-2024", "releases/new", "ann/own"] {
        let refused = setup.push(ANN.0, ANN.1, name);
        // Where skopeo looks by HEAD first, the answer has no message.
        let words = ["requested access to the resource is denied", "403 (Forbidden)"];
        assert!(words.iter().any(|words| refused.stderr.contains(words)), "{name}: {refused:?}");
        assert_ne!(refused.code, Some(0), "{name}: {refused:?}");
    }
    let ask = |request: Request| setup.nginx.ask(&request.basic(ANN.0, ANN.1)).status;
    assert_eq!(ask(Request::get("/v2/releases/suite-2025/tags/list")), 200);
    assert_eq!(ask(Request::get("/v2/_catalog")), 403);
    assert_eq!(ask(Request::new("DELETE", "/v2/releases/suite-2025/manifests/one")), 403);
    let upload = |from: &str| {
        let digest = format!("sha256:{}", "0".repeat(64));
        format!("/v2/releases/suite-2025/blobs/uploads/?mount={digest}&from=releases%2F{from}")
    };
    assert_eq!(ask(Request::new("POST", &upload("tools-7")).body("")), 403);
    assert_eq!(ask(Request::new("POST", &upload("suite-2024")).body("")), 403);
    let catalog = setup.registry.ask(&Request::get("/v2/_catalog")).text();
    assert!(!catalog.contains("new") && !catalog.contains("own"), "{catalog}");
}

#[test]
fn wrong_token_and_name_of_another_customer_are_refused() {
    let (setup, _) = start();
    for (user, token) in [
        (ANN.0, "ann-00000000"),
        (ANN.0, BOB.1), // his own token, her name
        (BOB.0, ANN.1),
        ("ann@example.com", ANN.1), // her token, a name that is not quite hers
        ("Ann@example.org", ANN.1),
        ("C-17", ANN.1),
    ] {
        assert_refused(&setup.log_in(user, token), "invalid username/password");
        assert_ne!(setup.pull(user, token, "releases/suite-2025").code, Some(0), "{user}");
        assert_eq!(setup.auth(user, token).status, 401, "{user}");
    }
    // What was tried with her token was not held against her.
    assert_succeeded(&setup.log_in(ANN.0, ANN.1));
    assert_succeeded(&setup.pull(ANN.0, ANN.1, "releases/suite-2025"));
}

#[test]
fn releases_and_customer_are_sent_to_nginx() {
    let (setup, _) = start();
    let answer = setup.auth(ANN.0, ANN.1);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), Some(ANN.0));
    assert_eq!(answer.header("x-auth-groups"), Some("suite-2025,tools-7"));
    assert_eq!(answer.header("x-auth-fact-customer"), Some("C-17"));
    assert_eq!(answer.header("x-auth-by"), Some("vendor"));
    let refused = setup.auth(ANN.0, BOB.1);
    assert_eq!((refused.status, refused.header("x-auth-groups")), (401, None));
}

#[test]
fn bought_or_withdrawn_licence_takes_effect_after_a_flush() {
    let (setup, licences) = start();
    assert_denied(&setup, ANN, "releases/suite-2024");
    assert_succeeded(&setup.pull(ANN.0, ANN.1, "releases/tools-7"));
    *licences.lock().unwrap() = vec![("suite-2024", false), ("tools-7", true)];
    // Until cache_ttl is over, what was said counts; nobody waits for that who doesn't want to.
    assert_succeeded(&setup.pull(ANN.0, ANN.1, "releases/tools-7"));
    let flush = Request::new("POST", "/flush?user=ann%40example.org").body("");
    assert_eq!(setup.doorward.admin(&flush).status, 204);
    assert_succeeded(&setup.pull(ANN.0, ANN.1, "releases/suite-2024"));
    assert_denied(&setup, ANN, "releases/tools-7");
}

#[test]
fn customer_without_a_licence_logs_in_and_pulls_nothing() {
    let (setup, licences) = start();
    licences.lock().unwrap().clear();
    assert_succeeded(&setup.log_in(ANN.0, ANN.1));
    RELEASES.iter().for_each(|release| assert_denied(&setup, ANN, &format!("releases/{release}")));
}
