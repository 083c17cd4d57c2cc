//! Compares the access of tokens with the requests that the policy permits, for random policies, users and scopes.

use std::sync::Arc;

use super::*;
use crate::authn::api_key::ApiKey;
use crate::identity::{Membership, Username};
use crate::permissions::api_key_scope;
use crate::policy::reload::{GroupSource, PolicyFileKind};
use crate::policy::test_random::TestRandom;
use crate::request::header::RequestHeader;
use crate::request::original::DeclaredUpstream;
use crate::request::subrequest::ClientAddress;
use crate::token::scope::parse_scopes;

const NAMES: [&str; 5] = ["team/app", "team/lib", "ann/app", "base", "team/app/more"];
const PATTERNS: [&str; 7] = ["team/*", "team/**", "**", "base", "{user}/**", "team/app", "*/app"];
const ACTIONS: [&str; 3] = ["pull", "push", "delete"];

fn random_policy(random: &mut TestRandom) -> Option<Policy> {
    let mut text = String::new();
    for _ in 0..=random.below(5) {
        let effect = if random.one_in(4) { "deny" } else { "grant" };
        text.push_str(&format!("[[{effect}]]\n"));
        match random.below(4) {
            0 => text.push_str("who = \"anyone\"\n"),
            1 => text.push_str("who = \"authenticated\"\n"),
            2 => text.push_str(&format!("users = {}\n", random.toml_list(&["ann", "bob"]))),
            _ => text.push_str(&format!("groups = {}\n", random.toml_list(&["red", "blue"]))),
        }
        if random.one_in(4) {
            text.push_str("networks = [\"192.0.2.0/24\"]\n");
        }
        if random.one_in(4) {
            text.push_str(&format!("hosts = {}\n", random.toml_list(&["registry.test", "other.test"])));
        }
        if random.one_in(6) {
            text.push_str("actions = [\"catalog\"]\n");
        } else {
            text.push_str(&format!("repositories = {}\n", random.toml_list(&PATTERNS)));
            text.push_str(&format!("actions = {}\n", random.toml_list(&ACTIONS)));
        }
    }
    let policy = Policy::default();
    policy.replace(PolicyFileKind::Rules.parse("policy.toml", text.as_bytes(), GroupSource::Present).ok()?);
    Some(policy)
}

fn random_identity(random: &mut TestRandom) -> Option<Arc<Identity>> {
    let name = random.pick(&["ann", "bob", ""]);
    let user = Username::parse(name.as_bytes()).ok()?;
    let scopes = ["pull:team/**", "pull,push:**", "catalog", "delete:base"];
    let key = (random.one_in(3)).then(|| {
        let texts = [random.pick(&scopes), random.pick(&scopes)];
        let scope = api_key_scope::ApiKeyScope::parse(texts.into_iter()).unwrap();
        let id = crate::authn::api_key::format::ApiKeyId::parse("0123456789").unwrap();
        Arc::new(ApiKey {
            id,
            name: "ci".into(),
            scope: Some(Arc::new(scope)),
            expires_at: None,
            usage: Arc::default(),
        })
    });
    let groups: Vec<&[u8]> = [&b"red"[..], b"blue"].into_iter().filter(|_| random.one_in(2)).collect();
    let membership = Membership::new(groups);
    Some(Arc::new(Identity {
        user,
        authenticator: "test".into(),
        membership,
        facts: Box::default(),
        api_key: key,
    }))
}

/// Returns true if a request with this method would be permitted.
fn is_allowed(
    policy: &Policy,
    identity: Option<&Arc<Identity>>,
    token_request: &Subrequest<'_>,
    method: &str,
    uri: &str,
) -> bool {
    let request = Subrequest {
        method: RequestHeader::Once(method.as_bytes()),
        uri: RequestHeader::Once(uri.as_bytes()),
        content_type: RequestHeader::Once(b""),
        declared_upstream: DeclaredUpstream::Registry,
        host: token_request.host,
        client: token_request.client,
        ..Subrequest::default()
    };
    policy.authorize(identity.cloned(), &request).is_ok()
}

#[test]
fn token_grants_exactly_what_the_policy_allows() {
    let mut random = TestRandom::new(7);
    let (mut compared, mut granted_count) = (0, 0);
    for _ in 0..4000 {
        let Some(policy) = random_policy(&mut random) else { continue };
        let identity = random_identity(&mut random);
        let host = random.pick(&["registry.test", "other.test"]);
        let client = random.pick(&["192.0.2.7", "198.51.100.7"]);
        let token_request = Subrequest {
            host: RequestHeader::Once(host.as_bytes()),
            client: ClientAddress::Text(client.as_bytes()),
            ..Subrequest::default()
        };
        let texts: Vec<String> = NAMES.iter().map(|name| format!("repository:{name}:*")).collect();
        let texts = texts.iter().map(String::as_str).chain(["registry:catalog:*"]);
        let ScopeDecision { granted: access, denied } = policy
            .evaluate_scopes(identity.as_deref(), &token_request, &parse_scopes(texts).unwrap())
            .unwrap();
        let count = |all: &[AccessEntry]| all.iter().map(|entry| entry.actions.len()).sum::<usize>();
        assert_eq!(count(&access) + count(&denied), 3 * NAMES.len() + 1, "each action is granted or denied");
        let has = |name: &str, action: &str| {
            access.iter().any(|entry| entry.name == name && entry.actions.iter().any(|known| known == action))
        };
        let is_allowed =
            |method: &str, uri: &str| is_allowed(&policy, identity.as_ref(), &token_request, method, uri);
        for name in NAMES {
            let manifest = format!("/v2/{name}/manifests/v1");
            // A registry requires both for a push.
            let push = has(name, "pull") && has(name, "push");
            for (in_token, method) in
                [(has(name, "pull"), "GET"), (push, "PUT"), (has(name, "delete"), "DELETE")]
            {
                assert_eq!(
                    in_token,
                    is_allowed(method, &manifest),
                    "{method} {name}: {access:?} {identity:?} {policy:?}"
                );
                compared += 1;
                granted_count += usize::from(in_token);
            }
        }
        assert_eq!(has("catalog", "*"), is_allowed("GET", "/v2/_catalog"));
    }
    assert!(compared > 40_000 && granted_count > 5_000, "{granted_count} of {compared}");
}

#[test]
fn token_grants_no_more_than_requested() {
    let policy = Policy::default();
    let user = Username::parse(b"ann").unwrap();
    let ann = Identity {
        user,
        authenticator: "test".into(),
        membership: Membership::default(),
        facts: Box::default(),
        api_key: None,
    };
    let token_request = Subrequest { host: RequestHeader::Once(b"registry.test"), ..Subrequest::default() };
    let access = |identity, texts: &[&'static str]| {
        let granted = policy
            .evaluate_scopes(identity, &token_request, &parse_scopes(texts.iter().copied()).unwrap())
            .unwrap();
        granted
            .granted
            .into_iter()
            .map(|entry| format!("{}:{}", entry.name, entry.actions.join(",")))
            .collect::<Vec<_>>()
    };
    assert_eq!(access(Some(&ann), &["repository:a:pull"]), ["a:pull"]);
    assert_eq!(access(Some(&ann), &["repository:a:pull,push repository:b:pull"]), ["a:pull,push", "b:pull"]);
    assert_eq!(access(Some(&ann), &["repository:localhost:5000/a:pull", "key:x:y"]), Vec::<String>::new());
    assert_eq!(access(Some(&ann), &["repository:A:pull", "repository:a/../b:pull"]), Vec::<String>::new());
    assert_eq!(access(Some(&ann), &[]), Vec::<String>::new());
    // Without a policy, an anonymous request is denied.
    assert_eq!(access(None, &["repository:a:pull"]), Vec::<String>::new());
}
