//! skopeo with tokens: push, pull, mount, list, delete.

use std::fs;

use super::setup::TokenSetup;
use crate::support::client::Request;
use crate::support::eventually;
use crate::support::image::{make, skopeo};
use crate::support::process::Output;

const MODES: [&str; 2] = ["mixed", "registry"];

fn assert_allowed(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// Refused, in words that say so.
fn assert_refused(output: &Output) {
    assert_ne!(output.code, Some(0), "{output:?}");
    let said = output.stderr.to_lowercase();
    let words = ["unauthorized", "authentication required", "denied", "401", "403"];
    assert!(words.iter().any(|word| said.contains(word)), "{output:?}");
    assert!(!said.contains("invalid character"), "pitfall P11: {output:?}");
}

#[test]
fn login_push_and_pull_of_20_layers_cost_one_hash_and_few_tokens_pitfall_p25() {
    for mode in MODES {
        let setup = TokenSetup::start(mode);
        let address = setup.nginx.address.to_string();
        let log_in = |word: &str| {
            skopeo(setup.home(), &["login", "--tls-verify=false", "-u", "ann", "-p", word, &address])
        };
        assert!(log_in("a1").stdout.contains("Login Succeeded"), "{mode}");
        let refused = log_in("a2");
        assert!(
            refused.code != Some(0) && refused.stderr.contains("invalid username/password"),
            "{refused:?}"
        );
        make(&setup.home().join("large"), 20);
        let hashes = setup.doorward.hashes();
        assert_allowed(&setup.push("ann", "large", "team/app"));
        assert_allowed(&setup.pull("ann", "team/app"));
        assert_eq!(setup.doorward.hashes(), hashes, "one for the log-in, and one for the wrong one");
        let log = fs::read_to_string(setup.nginx.image().path("var/log/nginx/access.log")).unwrap();
        let asked = log.matches("\"GET /token\"").count() + log.matches("\"POST /token HTTP").count();
        // The limits of doorward-token-maps.conf are for many times as many.
        assert!((3..=12).contains(&asked), "{mode}: {asked} tokens\n{log}");
        assert!(!log.contains("/token?"), "{log}");
    }
}

#[test]
fn each_user_is_limited_to_the_policy_and_anonymous_clients_to_anyone_grants() {
    for mode in MODES {
        let setup = TokenSetup::start(mode);
        for name in ["public/tools", "team/app", "secret/app"] {
            assert_allowed(&setup.push("dora", "image", name));
        }
        assert_allowed(&setup.push("ann", "image", "team/own"));
        for (user, name) in [
            ("", "public/tools"),
            ("ann", "team/app"),
            ("ann", "public/tools"),
            ("bob", "team/own"),
            ("dora", "secret/app"),
        ] {
            assert_allowed(&setup.pull(user, name));
        }
        for (user, name) in [("", "team/app"), ("bob", "secret/app"), ("ann", "secret/app"), ("", "none/x")] {
            assert_refused(&setup.pull(user, name));
        }
        for (user, name) in [
            ("", "public/tools"),
            ("bob", "team/app"),
            ("ann", "public/tools"),
            ("ann", "secret/app"),
            ("ann:a2", "team/app"),
            ("nobody:x", "team/app"),
        ] {
            assert_refused(&setup.push(user, "image", name));
        }
        // ann's key, which may pull alone, as her password and with the name of all keys.
        for user in ["ann", "token"] {
            let key = format!("{user}:{}", setup.key.secret);
            assert_allowed(&setup.pull(&key, "team/app"));
            assert_refused(&setup.push(&key, "image", "team/app"));
        }
        let received = setup.tap.received();
        assert!(!received.contains("Basic ") && !received.contains(&setup.key.secret), "{mode}");
        assert_eq!(received.contains("Bearer "), mode == "registry");
    }
}

#[test]
fn denied_push_is_reported_with_its_scope_and_not_as_a_missing_login_field_d1_harbor_198() {
    let setup = TokenSetup::start("mixed");
    assert_allowed(&setup.push("ann", "image", "team/app"));
    for (user, name) in [("bob", "team/app"), ("ann", "public/tools")] {
        let output = setup.push(user, "image", name);
        assert_ne!(output.code, Some(0), "{output:?}");
        let said = output.stderr.to_lowercase();
        assert!(said.contains(&format!("denied: repository:{name}:push")), "{output:?}");
        assert!(!said.contains("authentication required"), "{output:?}");
        eventually("the log has user and scope", || {
            let parts =
                ["reason=\"policy\"", &format!("user=\"{user}\""), &format!("repository:{name}:push")];
            setup
                .doorward
                .log()
                .lines()
                .any(|line| parts.iter().all(|part| line.contains(part)))
                .then_some(())
        });
    }
    // The registry that verifies tokens itself says less, and doorward's log as much.
    let setup = TokenSetup::start("registry");
    assert_refused(&setup.push("bob", "image", "team/app"));
    eventually("the log has user and scope", || {
        let parts = ["token issued", "user=\"bob\"", "denied=\"repository:team/app:push\""];
        setup.doorward.log().lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(())
    });
}

#[test]
fn token_without_a_scope_is_answered_with_that_scope_and_not_with_a_login_prompt_field_d1() {
    let setup = TokenSetup::start("mixed");
    let put = || Request::new("PUT", "/v2/team/app/manifests/one").body("{}");
    let (pull, both) = ("repository:team/app:pull", "repository:team/app:pull,push");
    for (user, scope, status, code, message) in [
        ("bob", both, 403, "DENIED", "requested access to the resource is denied: repository:team/app:push"),
        ("bob", pull, 401, "UNAUTHORIZED", "the token does not permit repository:team/app:push"),
        ("", both, 401, "UNAUTHORIZED", "authentication required"),
    ] {
        let answer = setup.with_token(user, &[scope], put());
        crate::support::nginx::assert_json(&answer, status, code);
        assert!(answer.text().contains(&format!("\"message\":\"{message}\"")), "{}", answer.text());
    }
    for path in ["/token?service=x&password=s3cret", "//token?password=s3cret", "/v2/?access_token=s3cret"] {
        assert_ne!(setup.nginx.ask(&Request::get(path)).status, 200, "{path}");
    }
    let log = fs::read_to_string(setup.nginx.image().path("var/log/nginx/access.log")).unwrap();
    assert!(!log.contains("s3cret"), "{log}");
    assert!(log.contains("\"GET /token\" 200") && !log.contains("/token?"), "{log}");
}

#[test]
fn tags_are_listed_and_images_deleted_by_permitted_users_only() {
    for mode in MODES {
        let setup = TokenSetup::start(mode);
        assert_allowed(&setup.push("ann", "image", "team/app"));
        let tags = |user: &str| setup.run(user, &["list-tags", "REGISTRY/team/app"]);
        assert!(tags("bob").stdout.contains("\"one\""), "{mode}");
        assert_refused(&tags(""));
        let delete = |user: &str| setup.run(user, &["delete", "REGISTRY/team/app:one"]);
        for user in ["bob", "ann", ""] {
            assert_refused(&delete(user));
        }
        assert_allowed(&delete("dora"));
        let gone = setup.pull("ann", "team/app");
        assert!(gone.code != Some(0) && gone.stderr.contains("manifest unknown"), "{gone:?}");
        let catalog = |user: &str| {
            let scope = "registry:catalog:*";
            setup.with_token(user, &[scope], Request::get("/v2/_catalog"))
        };
        assert_eq!(catalog("dora").status, 200);
        assert!(matches!(catalog("ann").status, 401 | 403), "{mode}");
    }
}

/// Where from layers were mounted into a repository, by the registry's log.
fn mounted(setup: &TokenSetup, into: &str) -> Vec<String> {
    let log = setup.registry.log();
    let path = format!("\"http.request.uri\":\"/v2/{into}/blobs/uploads/?from=");
    let made = log.lines().filter(|line| line.contains("\"http.response.status\":201"));
    let sources = made.filter_map(|line| line.split_once(&path)?.1.split(['\\', '&']).next());
    sources.map(|source| source.replace("%2F", "/")).collect()
}

#[test]
fn layers_are_mounted_with_tokens_from_pullable_repositories_and_uploaded_otherwise() {
    for mode in MODES {
        let setup = TokenSetup::start(mode);
        // skopeo notes where it has seen a layer, and asks for a token for there too.
        assert_allowed(&setup.push("ann", "image", "team/app"));
        assert_allowed(&setup.push("ann", "image", "team/other"));
        eventually("two layers were mounted", || {
            (mounted(&setup, "team/other") == ["team/app"; 2]).then_some(())
        });
        let other = setup.home().join("other");
        make(&other, 3);
        assert_allowed(&setup.push("dora", "other", "secret/app"));
        assert_allowed(&setup.push("ann", "other", "team/third"));
        let manifest = setup.run("dora", &["inspect", "--raw", "REGISTRY/secret/app:one"]).stdout;
        let digest = manifest.rsplit("\"digest\":\"").next().and_then(|rest| rest.split('"').next()).unwrap();
        // Whoever asks for it without having looked, as docker does.
        let mount = |user: &str, from: &str, into: &str| {
            let scopes = [format!("repository:{into}:pull,push"), format!("repository:{from}:pull")];
            let post = Request::new("POST", &format!("/v2/{into}/blobs/uploads/?mount={digest}&from={from}"));
            setup.with_token(user, &[&scopes[0], &scopes[1]], post.body("")).status
        };
        assert_eq!(mount("dora", "secret/app", "team/new"), 201, "{mode}");
        assert_eq!(mount("ann", "team/third", "team/new"), 201, "{mode}");
        // distribution itself says 401, and docker uploads then; doorward has it made an upload.
        let wanted = if mode == "registry" { 401 } else { 202 };
        assert_eq!(mount("ann", "secret/app", "team/new"), wanted, "{mode}");
        // doorward knows that another token would not do.
        let wanted = if mode == "registry" { 401 } else { 403 };
        assert_eq!(mount("bob", "team/app", "team/new"), wanted, "{mode}");
    }
}
