//! `examples/login-endpoint.toml`.

use serde_json::json;

use super::{ExampleSetup, assert_refused, assert_succeeded};
use crate::support::api::{Call, Reply};
use crate::support::client::Request;

/// Answers as the login endpoint. Users log in with their user name or their e-mail address.
fn log_in(call: &Call) -> Reply {
    assert_eq!((&call.method[..], &call.target[..]), ("POST", "/api/login"));
    assert!(call.header("content-type").starts_with("application/json"), "{call:?}");
    if call.header("x-api-key") != "of-doorward" {
        return Reply::status(403);
    }
    let given = call.json();
    let user = match given["login"].as_str().unwrap_or_default().to_lowercase().as_str() {
        "ann" | "ann@example.org" => json!({ "login": "ann", "active": true, "teams": ["red", "ops"] }),
        "bob" => json!({ "login": "bob", "active": false, "teams": ["red"] }),
        "carl" => json!({ "login": "carl", "active": true }),
        "dora" => json!({ "login": "dora", "teams": ["ops"] }),
        _ => return Reply::status(404),
    };
    match given["password"].as_str() {
        Some("pass \"word\"") => Reply::json(json!({ "user": user })),
        _ => Reply::status(401),
    }
}

fn start() -> ExampleSetup {
    let files = [("accounts-key", "of-doorward\n")];
    ExampleSetup::start("login-endpoint.toml", "https://accounts.example.com", &files, log_in)
}

/// A password with quotes, which must be escaped in JSON.
const PASSWORD: &str = "pass \"word\"";

#[test]
fn users_of_a_json_login_endpoint_log_in_push_and_pull() {
    let setup = start();
    assert_succeeded(&setup.log_in("ann", PASSWORD));
    assert_succeeded(&setup.push("ann", PASSWORD, "team/app"));
    assert_succeeded(&setup.pull("ann", PASSWORD, "team/app"));
    assert_eq!(setup.backend.count(), 1);
    assert_eq!(setup.backend.calls()[0].json(), json!({ "login": "ann", "password": PASSWORD }));

    assert_refused(&setup.log_in("ann", "pass word"), "invalid username/password");
    assert_refused(&setup.log_in("eve", PASSWORD), "invalid username/password");
    assert_ne!(setup.push("ann", "pass word", "team/other").code, Some(0));
    assert_eq!(setup.registry.ask(&Request::get("/v2/team/other/tags/list")).status, 404);
}

#[test]
fn user_name_and_teams_are_taken_from_the_response() {
    let setup = start();
    for name in ["ann", "Ann", "ann@example.org"] {
        let answer = setup.auth(name, PASSWORD);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(answer.header("x-auth-user"), Some("ann"), "{name}");
        assert_eq!(answer.header("x-auth-groups"), Some("ops,red"), "{name}");
        assert_eq!(answer.header("x-auth-by"), Some("accounts"), "{name}");
        assert_eq!(setup.auth(name, "another").status, 401, "{name}");
    }
    let answer = setup.auth("carl", PASSWORD);
    assert_eq!((answer.status, answer.header("x-auth-groups")), (200, Some("")), "in no team");
}

#[test]
fn closed_account_is_refused_with_the_right_password() {
    let setup = start();
    // An account that is not active, and one whose response has no `active` field.
    for user in ["bob", "dora"] {
        assert_refused(&setup.log_in(user, PASSWORD), "invalid username/password");
        assert_eq!(setup.auth(user, PASSWORD).status, 401, "{user}");
    }
    assert_succeeded(&setup.log_in("carl", PASSWORD));
}
