//! `examples/login-endpoint.toml`: an endpoint that takes a log-in as JSON and returns the user.

use serde_json::json;

use super::{House, assert_done, assert_refused};
use crate::support::api::{Call, Reply};
use crate::support::client::Request;

/// As the endpoint does: people are known by their login and by their e-mail.
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

fn start() -> House {
    let files = [("accounts-key", "of-doorward\n")];
    House::start("login-endpoint.toml", "https://accounts.example.com", &files, log_in)
}

/// Quotes, which JSON has to escape.
const PASSWORD: &str = "pass \"word\"";

#[test]
fn users_of_a_json_login_endpoint_log_in_push_and_pull() {
    let house = start();
    assert_done(&house.log_in("ann", PASSWORD));
    assert_done(&house.push("ann", PASSWORD, "team/app"));
    assert_done(&house.pull("ann", PASSWORD, "team/app"));
    assert_eq!(house.backend.count(), 1);
    assert_eq!(house.backend.calls()[0].json(), json!({ "login": "ann", "password": PASSWORD }));

    assert_refused(&house.log_in("ann", "pass word"), "invalid username/password");
    assert_refused(&house.log_in("eve", PASSWORD), "invalid username/password");
    assert_ne!(house.push("ann", "pass word", "team/other").code, Some(0));
    assert_eq!(house.registry.ask(&Request::get("/v2/team/other/tags/list")).status, 404);
}

#[test]
fn user_name_and_teams_are_taken_from_the_response() {
    let house = start();
    for name in ["ann", "Ann", "ann@example.org"] {
        let answer = house.auth(name, PASSWORD);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(answer.header("x-auth-user"), Some("ann"), "{name}");
        assert_eq!(answer.header("x-auth-groups"), Some("ops,red"), "{name}");
        assert_eq!(answer.header("x-auth-by"), Some("accounts"), "{name}");
        assert_eq!(house.auth(name, "another").status, 401, "{name}");
    }
    let answer = house.auth("carl", PASSWORD);
    assert_eq!((answer.status, answer.header("x-auth-groups")), (200, Some("")), "in no team");
}

#[test]
fn closed_account_is_refused_with_the_right_password() {
    let house = start();
    // Closed, and one of which the answer does not say that it is open.
    for user in ["bob", "dora"] {
        assert_refused(&house.log_in(user, PASSWORD), "invalid username/password");
        assert_eq!(house.auth(user, PASSWORD).status, 401, "{user}");
    }
    assert_done(&house.log_in("carl", PASSWORD));
}
