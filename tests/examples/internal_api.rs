//! `examples/internal-api.toml`: robots of an htpasswd file, and everybody else at an API that takes
//! Basic and answers 200 or 401.

use super::{House, assert_done, assert_refused};
use crate::support::api::Reply;
use crate::support::client::Request;
use crate::support::users::{QUICK, line};

fn start() -> House {
    let robots = line("ci", "robot", QUICK);
    House::start("internal-api.toml", "https://auth.example.com", &[("htpasswd", &robots)], |call| {
        assert_eq!(call.path(), "/check");
        let pair = call.basic();
        let known = pair.as_ref().map(|(user, password)| (&user[..], &password[..]));
        Reply::status(if matches!(known, Some(("ann", "of green gables"))) { 200 } else { 401 })
    })
}

#[test]
fn users_of_an_internal_api_log_in_push_and_pull() {
    let house = start();
    assert_done(&house.log_in("ann", "of green gables"));
    assert_done(&house.push("ann", "of green gables", "team/app"));
    assert_done(&house.pull("ann", "of green gables", "team/app"));
    assert_eq!(house.backend.count(), 1, "of all these requests one asked the API");
    assert_eq!(house.backend.calls()[0].method, "GET");
    assert_eq!(house.auth("ann", "of green gables").header("x-auth-by"), Some("internal"));

    assert_refused(&house.log_in("ann", "of avonlea"), "invalid username/password");
    assert_refused(&house.log_in("nobody", "of green gables"), "invalid username/password");
    assert_ne!(house.push("ann", "of avonlea", "team/other").code, Some(0));
    let tags = Request::get("/v2/team/other/tags/list");
    assert_eq!(house.registry.ask(&tags).status, 404, "nothing was pushed");
}

#[test]
fn robot_in_the_htpasswd_file_is_admitted_without_an_api_call() {
    let mut house = start();
    assert_done(&house.log_in("ci", "robot"));
    assert_refused(&house.log_in("ci", "of green gables"), "invalid username/password");
    assert_eq!(house.backend.count(), 0);
    assert_eq!(house.auth("ci", "robot").header("x-auth-by"), Some("robots"));

    assert_done(&house.log_in("ann", "of green gables"));
    house.backend.go();
    assert_done(&house.push("ci", "robot", "team/app"));
    assert_done(&house.pull("ann", "of green gables", "team/app"));
    // Whether a password that was never seen is right, nobody can say.
    assert_refused(&house.log_in("ann", "of avonlea"), "503");
    house.backend.come();
    assert_refused(&house.log_in("ann", "of avonlea"), "invalid username/password");
}

#[test]
fn check_probe_reports_whether_the_api_is_reachable() {
    let mut house = start();
    let (code, said) = house.check(&["--probe"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("authenticator internal: it is there: it answered 401 in "), "{said}");
    house.backend.go();
    let (code, said) = house.check(&["--probe"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("authenticator internal: can't connect"), "{said}");
    assert_eq!(house.check(&[]).0, Some(0), "without --probe nobody is asked");
}
