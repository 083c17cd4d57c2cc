//! A user that lacks a permission: challenge or denial, without a login loop.

use std::fs;

use super::bearer::{BEARER, MANIFEST, challenged, question, show};
use super::{POLICY, REALM, get, start, start_with, token};
use crate::support::client::Answer;
use crate::support::doorward::Doorward;
use crate::support::{eventually, keys};

/// Denied for good, naming what is lacking.
fn denied(answer: &Answer, scope: &str) {
    assert_eq!(
        (answer.status, answer.header("x-auth-reason"), answer.header("x-auth-scope")),
        (403, Some("policy"), Some(scope)),
        "{answer:?}"
    );
    assert_eq!(answer.header("www-authenticate"), None);
}

fn of(doorward: &Doorward, user: &str, password: &str, scopes: &[&str]) -> String {
    let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
    token(doorward, &get(&format!("service=registry.test{scopes}")).basic(user, password))
}

/// The log line with all of this.
fn logged(doorward: &Doorward, parts: &[&str]) {
    eventually(&format!("{parts:?} is logged"), || {
        let log = doorward.log();
        log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    });
}

#[test]
fn denied_push_names_user_and_scope_with_basic_and_with_a_token_field_d1_flux2_5326() {
    let doorward = start(&BEARER);
    denied(&doorward.ask(&question("PUT", MANIFEST).basic("bob", "builder")), "repository:team/app:push");
    let asked = of(&doorward, "bob", "builder", &["repository:team/app:pull,push"]);
    denied(&show(&doorward, &asked, "PUT", MANIFEST), "repository:team/app:push");
    let uploads = "/v2/team/app/blobs/uploads/";
    denied(&show(&doorward, &asked, "POST", uploads), "repository:team/app:push");
    for detail in [
        "detail=\"repository:team/app:push is not granted\"",
        "detail=\"repository:team/app:push was not granted when the token was issued\"",
    ] {
        logged(&doorward, &["reason=\"policy\"", detail, "user=\"bob\"", "client=\"192.0.2.1\"", MANIFEST]);
    }
    // What the token grants is granted beside that.
    assert_eq!(show(&doorward, &asked, "GET", MANIFEST).status, 200);
}

#[test]
fn token_without_a_requested_scope_is_challenged_with_insufficient_scope_field_d1() {
    let doorward = start(&BEARER);
    let pull = of(&doorward, "bob", "builder", &["repository:team/app:pull"]);
    let answer = show(&doorward, &pull, "PUT", MANIFEST);
    challenged(&answer, ",scope=\"repository:team/app:pull,push\",error=\"insufficient_scope\"");
    assert_eq!(answer.header("x-auth-scope"), Some("repository:team/app:push"));
    logged(
        &doorward,
        &[
            "reason=\"insufficient_scope\"",
            "detail=\"repository:team/app:push is not in the token\"",
            "user=\"bob\"",
        ],
    );
    // Whoever is not logged in is asked to log in, whatever the token was asked for.
    let nobody = token(&doorward, &get("service=registry.test&scope=repository:team/app:pull,push"));
    let answer = show(&doorward, &nobody, "PUT", MANIFEST);
    assert_eq!((answer.status, answer.header("x-auth-scope")), (401, None), "{answer:?}");
}

/// What a client does that has credentials: it shows its token, and gets another one for the scope of the challenge.
/// The last answer, and how many tokens it took.
fn follow(doorward: &Doorward, credentials: (&str, &str), method: &str, uri: &str) -> (Answer, usize) {
    let mut token = of(doorward, credentials.0, credentials.1, &[]);
    for number in 1..5 {
        let answer = show(doorward, &token, method, uri);
        if answer.status != 401 {
            return (answer, number);
        }
        let challenge = answer.header("www-authenticate").unwrap().to_owned();
        let scopes = challenge.split_once("scope=\"").unwrap().1.split_once('"').unwrap().0;
        token = of(doorward, credentials.0, credentials.1, &scopes.split(' ').collect::<Vec<_>>());
    }
    panic!("{method} {uri} is challenged for ever");
}

#[test]
fn denied_client_is_never_challenged_in_a_loop_field_d1() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let narrow = keys::make(&file, "alice", "narrow", &["--scope", "pull:team/**"]);
    let deny = "[[deny]]\nusers = [\"alice\"]\nrepositories = [\"team/app\"]\nactions = [\"delete\"]\n";
    let doorward = start_with(
        &format!("{POLICY}{deny}"),
        &[&BEARER[..], &["--api-keys", file.to_str().unwrap()]].concat(),
    );
    let (alice, bob) = (("alice", "wonderland"), ("bob", "builder"));
    for (who, method, uri, scope) in [
        (bob, "PUT", MANIFEST, "repository:team/app:push"),
        (bob, "DELETE", MANIFEST, "repository:team/app:delete"),
        (bob, "GET", "/v2/_catalog", "registry:catalog:*"),
        (bob, "GET", "/v2/secret/app/manifests/v1", "repository:secret/app:pull"),
        (bob, "PUT", "/v2/secret/app/manifests/v1", "repository:secret/app:pull,push"),
        // By a rule that denies, and by the scope of a key.
        (alice, "DELETE", MANIFEST, "repository:team/app:delete"),
        (("alice", &narrow), "PUT", MANIFEST, "repository:team/app:push"),
    ] {
        let (answer, tokens) = follow(&doorward, who, method, uri);
        denied(&answer, scope);
        assert_eq!(tokens, 2, "{method} {uri}");
    }
    for (who, method, uri) in
        [(alice, "PUT", MANIFEST), (bob, "GET", MANIFEST), (alice, "GET", "/v2/_catalog")]
    {
        let (answer, tokens) = follow(&doorward, who, method, uri);
        assert_eq!((answer.status, tokens), (200, 2), "{method} {uri}: {answer:?}");
    }
}

#[test]
fn later_grant_applies_with_the_next_token() {
    let doorward = start(&BEARER);
    let old = of(&doorward, "bob", "builder", &["repository:team/app:pull,push"]);
    denied(&show(&doorward, &old, "PUT", MANIFEST), "repository:team/app:push");
    let more = "[[grant]]\nusers = [\"bob\"]\nrepositories = [\"team/app\"]\nactions = [\"push\"]\n";
    fs::write(doorward.folder().join("policy.toml"), format!("{POLICY}{more}")).unwrap();
    eventually("the client is sent for another token", || {
        (show(&doorward, &old, "PUT", MANIFEST).status == 401).then_some(())
    });
    assert_eq!(follow(&doorward, ("bob", "builder"), "PUT", MANIFEST).0.status, 200);
}

#[test]
fn denial_names_the_line_of_the_rule_only_in_the_log() {
    let policy = "[[grant]]\nwho = \"authenticated\"\nactions = [\"pull\", \"push\"]\n[[deny]]\nusers = [\"bob\"]\nrepositories = [\"secret/**\"]\n";
    let doorward = start_with(policy, &BEARER);
    let uri = "/v2/secret/app/manifests/v1";
    let answer = doorward.ask(&question("GET", uri).basic("bob", "builder"));
    denied(&answer, "repository:secret/app:pull");
    logged(
        &doorward,
        &[
            "reason=\"policy\"",
            "detail=\"repository:secret/app:pull is denied by the [[deny]] at line 4 of the policy\"",
            "user=\"bob\"",
        ],
    );
}

/// A mount of a layer, and what becomes of it: the status, and the URI instead.
fn mount(doorward: &Doorward, token: &str, into: &str, from: &str) -> (u16, Option<String>, Option<String>) {
    let uri = format!("/v2/{into}/blobs/uploads/?mount=sha256:{}&from={from}", "a".repeat(64));
    let answer = show(doorward, token, "POST", &uri);
    let header = |name: &str| answer.header(name).map(str::to_owned);
    (answer.status, header("x-upstream-uri"), header("www-authenticate"))
}

#[test]
fn mount_from_a_pullable_repository_is_challenged_with_both_scopes_field_c16() {
    let more = "[[grant]]\nusers = [\"alice\"]\nrepositories = [\"team/new\", \"team/mine\"]\nactions = [\"pull\", \"push\"]\n";
    let doorward = start_with(&format!("{POLICY}{more}"), &BEARER);
    let into = "repository:team/new:pull,push";
    let alone = of(&doorward, "alice", "wonderland", &[into]);
    let upload = || (200, Some("/v2/team/new/blobs/uploads/".to_owned()), None);
    // By a grant to alice, and by one to anyone.
    for from in ["team/app", "team/mine", "public/base"] {
        let challenge = format!(
            "Bearer realm=\"{REALM}\",service=\"registry.test\",scope=\"{into} repository:{from}:pull\",error=\"insufficient_scope\""
        );
        assert_eq!(mount(&doorward, &alone, "team/new", from), (401, None, Some(challenge)), "{from}");
        let both = of(&doorward, "alice", "wonderland", &[into, &format!("repository:{from}:pull")]);
        assert_eq!(mount(&doorward, &both, "team/new", from), (200, None, None), "{from}");
    }
    // Where the policy grants her none it is an upload, with a token that was asked for it and with one that was not.
    for from in ["secret/base", "team/lib"] {
        assert_eq!(mount(&doorward, &alone, "team/new", from), upload(), "{from}");
        let both = of(&doorward, "alice", "wonderland", &[into, &format!("repository:{from}:pull")]);
        assert_eq!(mount(&doorward, &both, "team/new", from), upload(), "{from}");
    }
    logged(
        &doorward,
        &[
            "reason=\"insufficient_scope\"",
            "detail=\"repository:team/app:pull is not in the token\"",
            "user=\"alice\"",
        ],
    );
}

#[test]
fn mount_from_outside_the_api_key_scope_or_denied_since_becomes_an_upload_field_c16() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let key = keys::make(&file, "alice", "narrow", &["--scope", "pull,push:team/**"]);
    let policy = "[[grant]]\nwho = \"authenticated\"\nactions = [\"pull\", \"push\"]\n";
    let doorward = start_with(policy, &[&BEARER[..], &["--api-keys", file.to_str().unwrap()]].concat());
    let into = "repository:team/new:pull,push";
    let upload = (200, Some("/v2/team/new/blobs/uploads/".to_owned()), None);
    // The policy grants alice a pull there, and her key does not: another token would have it no more than this one.
    let both = of(&doorward, "alice", &key, &[into, "repository:other/base:pull"]);
    assert_eq!(mount(&doorward, &both, "team/new", "other/base"), upload);
    // And of a token that was not asked for it the client learns this by one more.
    let alone = of(&doorward, "alice", &key, &[into]);
    assert_eq!(mount(&doorward, &alone, "team/new", "other/base").0, 401);
    assert_eq!(mount(&doorward, &alone, "team/new", "team/base").0, 401);
    let deny = "[[deny]]\nusers = [\"alice\"]\nrepositories = [\"team/base\"]\nactions = [\"pull\"]\n";
    fs::write(doorward.folder().join("policy.toml"), format!("{policy}{deny}")).unwrap();
    eventually("it goes on as an upload", || {
        (mount(&doorward, &alone, "team/new", "team/base") == upload).then_some(())
    });
    // Never into where the token may not push.
    assert_eq!(mount(&doorward, &alone, "other/new", "team/app").0, 401);
}

#[test]
fn mount_source_is_pullable_by_every_user_without_a_policy_field_c16() {
    let doorward = super::start_open(&BEARER);
    let alone = of(&doorward, "bob", "builder", &["repository:a:pull,push"]);
    assert_eq!(mount(&doorward, &alone, "a", "b").0, 401);
    let both = of(&doorward, "bob", "builder", &["repository:a:pull,push", "repository:b:pull"]);
    assert_eq!(mount(&doorward, &both, "a", "b"), (200, None, None));
}

#[test]
fn denied_claim_is_for_users_only_and_never_displaces_granted_scopes() {
    let doorward = start_with(
        "[[grant]]\nusers = [\"bob\"]\nrepositories = [\"yes/**\"]\nactions = [\"pull\"]\n",
        &BEARER,
    );
    let long = "x".repeat(200);
    let mut scopes: Vec<String> =
        (0..15).map(|number| format!("repository:yes/{long}{number}:pull")).collect();
    scopes.extend((0..30).map(|number| format!("repository:no/{long}{number}:pull,push")));
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let claims = super::claims(&of(&doorward, "bob", "builder", &scopes));
    assert_eq!(claims["access"].as_array().unwrap().len(), 15, "all that is granted");
    assert!(claims.get("denied").is_none(), "no room was left");
    let claims = super::claims(&of(&doorward, "bob", "builder", &scopes[15..]));
    assert_eq!(claims["denied"].as_array().unwrap().len(), 16);
    // What no request can be about is not kept.
    let odd = ["repository:localhost:5000/a:pull", "repository:A:pull", "key:x:read"];
    assert!(super::claims(&of(&doorward, "bob", "builder", &odd)).get("denied").is_none());
    let nobody = token(&doorward, &get("service=registry.test&scope=repository:no/a:pull"));
    assert!(super::claims(&nobody).get("denied").is_none());
}
