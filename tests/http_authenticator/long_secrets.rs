//! Secrets longer than a password, such as JWTs (Azure/acr#797, goharbor/harbor#7812).

use super::{HOME, UNKNOWN, staff, start, start_with, vendor};
use crate::support::backend::{Backend, ReceivedRequest, Reply};
use crate::support::client::Request;
use crate::support::doorward::{Doorward, doorward};
use crate::support::{eventually, keys, users};

/// Returns a secret of this length. JWTs with many groups are that long.
fn secret(length: usize) -> String {
    format!("eyJ{}", "x".repeat(length - 3))
}

/// A service that accepts every such secret of carol and has no other user.
fn jwt(heard: &ReceivedRequest) -> Reply {
    let (user, password) = heard.who();
    Reply::status(match (&user[..], password.starts_with("eyJ")) {
        ("carol", true) => 200,
        ("carol", false) => 401,
        _ => 404,
    })
}

fn log_in(doorward: &Doorward, user: &str, password: &str) -> u16 {
    doorward.log_in(user, password, HOME)
}

fn logged(doorward: &Doorward, parts: &[&str]) {
    eventually(&format!("{parts:?} is logged"), || {
        doorward.log().lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(())
    });
}

#[test]
fn secret_of_any_length_that_fits_the_header_reaches_the_service_field_c1_acr_797_harbor_7812() {
    let service = Backend::start(jwt);
    let doorward = start(None, &vendor(service.address, UNKNOWN));
    for (number, length) in [1024, 1025, 1026, 4096, 6000, 12_000].into_iter().enumerate() {
        assert_eq!(log_in(&doorward, "carol", &secret(length)), 200, "{length}");
        assert_eq!(service.heard().len(), number + 1);
        assert_eq!(service.heard()[number].who(), ("carol".to_owned(), secret(length)));
        assert_eq!(log_in(&doorward, "carol", &secret(length)), 200, "from the cache");
        assert_eq!(service.heard().len(), number + 1);
    }
    assert_eq!(log_in(&doorward, "carol", &"z".repeat(2000)), 401);
    // Two secrets that differ only at the end are different secrets.
    let [one, other] = ["a", "b"].map(|end| secret(6000) + end);
    let before = service.heard().len();
    assert_eq!((log_in(&doorward, "carol", &one), log_in(&doorward, "carol", &other)), (200, 200));
    assert_eq!(service.heard().len(), before + 2);
}

#[test]
fn secret_longer_than_the_header_limit_is_rejected_and_the_log_names_the_limit_field_c1() {
    let service = Backend::start(jwt);
    let doorward =
        start_with(None, &vendor(service.address, UNKNOWN), &["--limits-max-header-bytes", "2KiB"]);
    assert_eq!(log_in(&doorward, "carol", &secret(1500)), 200);
    assert_eq!(log_in(&doorward, "carol", &secret(1600)), 401);
    logged(
        &doorward,
        &[
            "reason=\"malformed_credentials\"",
            "detail=\"the Authorization header is longer than limits.max_header_bytes\"",
        ],
    );
    assert_eq!(service.heard().len(), 1);
}

#[test]
fn long_secret_gets_a_token_by_header_and_by_form_field_c1() {
    let service = Backend::start(jwt);
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.pem").to_str().unwrap().to_owned();
    assert_eq!(
        doorward(&["signing-key", "init", "--signing-keys", &keys, "--service", "registry.test"]).code,
        Some(0)
    );
    let flags = [
        "--token-signing-keys",
        &keys,
        "--token-service",
        "registry.test",
        "--limits-max-header-bytes",
        "8KiB",
    ];
    let doorward = start_with(None, &vendor(service.address, UNKNOWN), &flags);
    let ask = |request: Request, network: &str| {
        doorward.ask(&request.header("X-Original-Host", "registry.test").from(network)).status
    };
    let get = |length: usize| {
        ask(Request::get("/token?service=registry.test").basic("carol", &secret(length)), HOME)
    };
    // Each request comes from another network, because repeated log lines are suppressed.
    let post = |length: usize| {
        let form =
            format!("grant_type=password&service=registry.test&username=carol&password={}", secret(length));
        let request =
            Request::new("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
        ask(request.body(form), "198.51.100.7")
    };
    for length in [1025, 6000] {
        assert_eq!((get(length), post(length)), (200, 200), "{length}");
    }
    // The same limit applies to both, although a form could be longer.
    assert_eq!((get(7000), post(7000)), (401, 401));
    logged(&doorward, &["reason=\"malformed_credentials\"", "limits.max_header_bytes", "GET"]);
    logged(&doorward, &["reason=\"malformed_credentials\"", "limits.max_header_bytes", "POST"]);
    assert_eq!(service.heard().len(), 2);
}

#[test]
fn password_length_limit_of_hashes_applies_only_to_htpasswd_users_field_c1() {
    let service = Backend::start(jwt);
    let settings = staff("") + &vendor(service.address, UNKNOWN);
    let doorward = start(Some(&users::two()), &settings);
    assert_eq!(log_in(&doorward, "carol", &secret(6000)), 200);
    assert_eq!(log_in(&doorward, "alice", &secret(6000)), 401);
    assert_eq!(log_in(&doorward, "nobody", &secret(6000)), 401);
    assert_eq!(service.heard().len(), 2, "alice is the file's");
    logged(
        &doorward,
        &[
            "reason=\"wrong_credentials\"",
            "detail=\"the password is longer than 1024 bytes",
            "user=\"alice\"",
        ],
    );
    logged(&doorward, &["user=\"nobody\""]);
    let log = doorward.log();
    let of_nobody = log.lines().find(|line| line.contains("user=\"nobody\"")).unwrap();
    assert!(!of_nobody.contains("1024"), "the service decided about that one: {of_nobody}");
    assert!(!log.contains("xxxxxxxx"), "no secret");
    assert_eq!(log_in(&doorward, "alice", "wonderland"), 200);
}

#[test]
fn long_secret_with_the_api_key_prefix_is_sent_to_no_service_field_c1() {
    let service = Backend::start(jwt);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let key = keys::make(&file, "carol", "ci", &[]);
    let settings = vendor(service.address, UNKNOWN) + "[[authenticator]]\ntype = \"api_keys\"\n";
    let doorward = start_with(None, &settings, &["--api-keys", file.to_str().unwrap()]);
    let long = format!("{key}{}", "x".repeat(3000));
    assert_eq!(log_in(&doorward, "carol", &key), 200);
    assert_eq!(log_in(&doorward, "carol", &long), 401);
    let bearer = Request::auth().header("Authorization", format!("Bearer {long}")).from(HOME);
    assert_eq!(doorward.ask(&bearer).status, 401);
    logged(&doorward, &["reason=\"invalid_api_key\"", "detail=\"malformed API key", "user=\"carol\""]);
    assert_eq!(service.heard().len(), 0);
}
