//! The detail that the log gives for each rejected token.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use doorward::internals::{AccessEntry, Claims, SigningKeys};

use super::bearer::{BEARER, MANIFEST, challenged, show};
use super::{SERVICE, get, start, token};
use crate::support::doorward::Doorward;
use crate::support::eventually;

/// Returns a token signed with the keys of this doorward. The clock of the issuer is `ahead` seconds ahead of the local
/// one.
fn signed(doorward: &Doorward, ahead: i64, change: impl Fn(&mut Claims)) -> String {
    let keys = SigningKeys::parse(&fs::read(doorward.folder().join("keys.pem")).unwrap()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().saturating_add_signed(ahead);
    let access =
        AccessEntry { kind: "repository".into(), name: "team/app".into(), actions: vec!["pull".into()] };
    let mut claims = Claims {
        iss: "doorward".into(),
        sub: "bob".into(),
        aud: SERVICE.into(),
        exp: now + 900,
        nbf: now - 60,
        iat: now,
        jti: "0".repeat(32),
        host: "registry.test".into(),
        access: vec![access],
        denied: Vec::new(),
    };
    change(&mut claims);
    keys.sign(&claims).unwrap()
}

const HOUR: i64 = 3600;

#[test]
fn each_token_rejection_has_its_own_detail_and_names_the_user_of_an_own_token_field_o8() {
    // The high limit makes each rejection a log line of its own.
    let doorward = start(&[&BEARER[..], &["--log-denials-per-second", "1000"]].concat());
    let other = start(&BEARER);
    let foreign =
        token(&other, &get("service=registry.test&scope=repository:team/app:pull").basic("bob", "builder"));
    let good = signed(&doorward, 0, |_| {});
    let (head, _) = good.rsplit_once('.').unwrap();
    let none = |_: &mut Claims| {};
    for (token, detail, user) in [
        (
            signed(&doorward, HOUR, none),
            "it is not valid yet: the clock of the machine that issued it is ahead",
            "bob",
        ),
        (signed(&doorward, -HOUR, none), "it has expired", "bob"),
        (foreign, "its key ID is not in the key file", ""),
        (format!("{head}.{}", "A".repeat(86)), "its signature is invalid", ""),
        ("opaque".to_owned(), "it does not have the form of a token", ""),
        (good[..good.len() - 46].to_owned(), "its signature is invalid", ""),
        (signed(&doorward, 0, |claims| claims.iss = "other".into()), "its issuer is not token.issuer", ""),
        (signed(&doorward, 0, |claims| claims.aud = "other".into()), "its audience is not token.service", ""),
        (signed(&doorward, 0, |claims| claims.sub = "a\nb".into()), "its user name is not allowed", ""),
        // Ahead by little more than the leeway, and expired by little more.
        (signed(&doorward, 180, none), "it is not valid yet", "bob"),
        (signed(&doorward, -1000, none), "it has expired", "bob"),
        (signed(&doorward, HOUR, |claims| claims.sub = String::new()), "it is not valid yet", ""),
    ] {
        let count = |log: &str| log.matches(&format!("detail=\"{detail}")).count();
        let before = count(&doorward.log());
        let answer = show(&doorward, &token, "GET", MANIFEST);
        challenged(&answer, ",scope=\"repository:team/app:pull\",error=\"invalid_token\"");
        eventually(detail, || (count(&doorward.log()) > before).then_some(()));
        let log = doorward.log();
        let line = log.lines().rfind(|line| line.contains(&format!("detail=\"{detail}"))).unwrap();
        assert!(line.contains("reason=\"invalid_token\"") && line.contains("client=\"192.0.2.1\""), "{line}");
        if !user.is_empty() {
            assert!(line.contains(&format!("user=\"{user}\"")), "{line}");
        }
        assert!(!log.contains(&token) || token == "opaque", "{log}");
    }
    // Within the leeway in both directions.
    for ahead in [0, 90, -930] {
        assert_eq!(show(&doorward, &signed(&doorward, ahead, none), "GET", MANIFEST).status, 200, "{ahead}");
    }
}

#[test]
fn repeated_expired_token_is_refused_and_not_throttled() {
    let doorward = start(&[&BEARER[..], &["--throttle-user-failures", "5"]].concat());
    let expired = signed(&doorward, -HOUR, |_| {});
    for _ in 0..20 {
        assert_eq!(show(&doorward, &expired, "GET", MANIFEST).status, 401);
    }
    assert_eq!(doorward.metric("doorward_throttle_failures_total"), 0.0);
}
