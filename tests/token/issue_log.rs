//! Log lines of issued tokens.

use std::time::Instant;

use super::{get, post, start, token, token_response};
use crate::support::doorward::Doorward;
use crate::support::eventually;

/// The lines about tokens, once one has all of this.
fn lines(doorward: &Doorward, parts: &[&str]) -> Vec<String> {
    eventually(&format!("{parts:?} is logged"), || {
        let log = doorward.log();
        let all: Vec<String> =
            log.lines().filter(|line| line.contains("token issued")).map(str::to_owned).collect();
        all.iter().any(|line| parts.iter().all(|part| line.contains(part))).then_some(all)
    })
}

#[test]
fn token_with_fewer_scopes_than_requested_is_logged_with_user_and_scopes_field_d1() {
    let doorward = start(&[]);
    let query = "service=registry.test&scope=repository:team/app:pull,push&scope=repository:secret/x:pull";
    token(&doorward, &get(query).basic("bob", "builder"));
    let all = lines(
        &doorward,
        &[
            " INFO ",
            "token issued",
            "user=\"bob\"",
            "client=\"192.0.2.1\"",
            "host=\"registry.test\"",
            "requested=\"repository:team/app:pull,push repository:secret/x:pull\"",
            "granted=\"repository:team/app:pull\"",
            "denied=\"repository:team/app:push repository:secret/x:pull\"",
        ],
    );
    assert_eq!(all.len(), 1, "{all:?}");
    // Whole ones, and those of clients that are not logged in, are for the debug level.
    token(&doorward, &get("service=registry.test&scope=repository:team/app:pull").basic("bob", "builder"));
    token(&doorward, &get("service=registry.test&scope=repository:team/app:pull"));
    token(&doorward, &get("service=registry.test&scope=repository:team/app:push").basic("bob", "builder"));
    let all = lines(&doorward, &["granted=\"\"", "denied=\"repository:team/app:push\""]);
    assert_eq!(all.len(), 2, "{all:?}");
}

#[test]
fn every_issued_token_is_logged_at_debug_and_with_log_allowed_without_secrets() {
    for (flags, level) in
        [(["--log-level", "debug"], "DEBUG"), (["--log-allowed-requests", "true"], " INFO ")]
    {
        let doorward = start(&flags);
        let form = "grant_type=password&service=registry.test&username=bob&password=builder&scope=repository:team/app:pull";
        let (told, _) = token_response(&doorward.ask(&post(form)));
        token(&doorward, &get("service=registry.test&scope=repository:public/a:pull"));
        lines(&doorward, &[level, "user=\"\"", "granted=\"repository:public/a:pull\""]);
        let all = lines(&doorward, &[level, "user=\"bob\"", "granted=\"repository:team/app:pull\""]);
        assert!(all.iter().all(|line| !line.contains("denied=")), "{all:?}");
        let log = doorward.log();
        assert!(!log.contains("builder") && !log.contains(told["token"].as_str().unwrap()), "{log}");
    }
}

#[test]
fn token_log_lines_are_bounded_and_displace_no_refusal_lines() {
    let doorward = start(&["--log-denials-per-second", "10"]);
    let name = "n".repeat(200);
    let many: String = (0..20).map(|number| format!("&scope=repository:{name}{number}:pull")).collect();
    let begin = Instant::now();
    for number in 0..50 {
        let query = format!("service=registry.test&scope=repository:r{number}:push{many}");
        token(&doorward, &get(&query).basic("bob", "builder"));
    }
    let all = lines(&doorward, &["denied=\"repository:r0:push"]);
    // A tenth of ten lines a second, and ten seconds' worth at once.
    let most = 11 + usize::try_from(begin.elapsed().as_secs()).unwrap();
    assert!((1..=most).contains(&all.len()), "{} of {most}", all.len());
    assert!(all.iter().all(|line| line.len() < 2500 && line.contains('…')), "{all:?}");
    assert_eq!(doorward.metric("doorward_log_lines_suppressed_total"), (50 - all.len()) as f64);
    // The same again is not logged again.
    let before = all.len();
    assert_eq!(doorward.log_in("alice", "guess", "198.51.100.7"), 401);
    eventually("another network's refusal is logged", || {
        doorward.log().contains("reason=\"wrong_credentials\" user=\"alice\"").then_some(())
    });
    assert!(lines(&doorward, &["denied=\"repository:r0:push"]).len() >= before);
}

#[test]
fn empty_scope_name_is_ignored_and_other_scopes_are_granted_field_d7_zot() {
    let doorward = start(&[]);
    for (query, granted) in [
        ("scope=repository::pull", &[][..]),
        ("scope=repository::pull&scope=repository:team/app:pull", &["repository:team/app:pull"][..]),
        ("scope=repository::pull,push%20repository:team/app:pull", &["repository:team/app:pull"][..]),
        ("scope=registry::*&scope=repository:team/app:pull", &["repository:team/app:pull"][..]),
    ] {
        let answer = doorward.ask(&get(&format!("service=registry.test&{query}")).basic("bob", "builder"));
        assert_eq!(super::access(&answer), granted, "{query}");
    }
}
