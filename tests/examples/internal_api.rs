//! `examples/internal-api.toml`.

use super::{ExampleSetup, assert_refused, assert_succeeded};
use crate::support::api::Reply;
use crate::support::client::Request;
use crate::support::users::{QUICK, line};

fn start() -> ExampleSetup {
    let robots = line("ci", "robot", QUICK);
    ExampleSetup::start("internal-api.toml", "https://auth.example.com", &[("htpasswd", &robots)], |call| {
        assert_eq!(call.path(), "/check");
        let pair = call.basic();
        let known = pair.as_ref().map(|(user, password)| (&user[..], &password[..]));
        Reply::status(if matches!(known, Some(("ann", "of green gables"))) { 200 } else { 401 })
    })
}

#[test]
fn users_of_an_internal_api_log_in_push_and_pull() {
    let setup = start();
    assert_succeeded(&setup.log_in("ann", "of green gables"));
    assert_succeeded(&setup.push("ann", "of green gables", "team/app"));
    assert_succeeded(&setup.pull("ann", "of green gables", "team/app"));
    assert_eq!(setup.backend.count(), 1, "of all these requests one asked the API");
    assert_eq!(setup.backend.calls()[0].method, "GET");
    assert_eq!(setup.auth("ann", "of green gables").header("x-auth-by"), Some("internal"));

    assert_refused(&setup.log_in("ann", "of avonlea"), "invalid username/password");
    assert_refused(&setup.log_in("nobody", "of green gables"), "invalid username/password");
    assert_ne!(setup.push("ann", "of avonlea", "team/other").code, Some(0));
    let tags = Request::get("/v2/team/other/tags/list");
    assert_eq!(setup.registry.ask(&tags).status, 404, "nothing was pushed");
}

#[test]
fn robot_in_the_htpasswd_file_is_admitted_without_an_api_call() {
    let mut setup = start();
    assert_succeeded(&setup.log_in("ci", "robot"));
    assert_refused(&setup.log_in("ci", "of green gables"), "invalid username/password");
    assert_eq!(setup.backend.count(), 0);
    assert_eq!(setup.auth("ci", "robot").header("x-auth-by"), Some("robots"));

    assert_succeeded(&setup.log_in("ann", "of green gables"));
    setup.backend.go();
    assert_succeeded(&setup.push("ci", "robot", "team/app"));
    assert_succeeded(&setup.pull("ann", "of green gables", "team/app"));
    // A password that was never seen cannot be checked while the service is down.
    assert_refused(&setup.log_in("ann", "of avonlea"), "503");
    setup.backend.come();
    assert_refused(&setup.log_in("ann", "of avonlea"), "invalid username/password");
}

#[test]
fn check_probe_reports_whether_the_api_is_reachable() {
    let mut setup = start();
    let (code, said) = setup.check(&["--probe"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("authenticator internal: reachable: 401 after "), "{said}");
    setup.backend.go();
    let (code, said) = setup.check(&["--probe"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("authenticator internal: cannot connect"), "{said}");
    assert_eq!(setup.check(&[]).0, Some(0), "without --probe nobody is asked");
}
