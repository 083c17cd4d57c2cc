//! What goes into a token against what a request would be permitted, for policies, people and scopes of chance.

use std::sync::Arc;

use super::*;
use crate::authn::api_key::ApiKey;
use crate::identity::{Membership, Username};
use crate::permissions::api_key_scope;
use crate::policy::reload::{GroupSource, PolicyFileKind};
use crate::request::header::RequestHeader;
use crate::request::original::DeclaredUpstream;
use crate::request::subrequest::ClientAddress;
use crate::token::scope::parse_scopes;

/// Numbers that look random, and are the same each time.
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, most: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap()
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    fn toml_list(&mut self, of: &[&str]) -> String {
        let chosen: Vec<String> =
            of.iter().filter(|_| self.below(2) == 0).map(|text| format!("\"{text}\"")).collect();
        if chosen.is_empty() { format!("\"{}\"", self.pick(of)) } else { chosen.join(", ") }
    }
}

const NAMES: [&str; 5] = ["team/app", "team/lib", "ann/app", "base", "team/app/more"];
const PATTERNS: [&str; 7] = ["team/*", "team/**", "**", "base", "{user}/**", "team/app", "*/app"];
const ACTIONS: [&str; 3] = ["pull", "push", "delete"];

fn policy(chance: &mut SplitMix64) -> Option<Policy> {
    let mut text = String::new();
    for _ in 0..=chance.below(5) {
        let effect = if chance.below(4) == 0 { "deny" } else { "grant" };
        text.push_str(&format!("[[{effect}]]\n"));
        match chance.below(4) {
            0 => text.push_str("who = \"anyone\"\n"),
            1 => text.push_str("who = \"authenticated\"\n"),
            2 => text.push_str(&format!("users = [{}]\n", chance.toml_list(&["ann", "bob"]))),
            _ => text.push_str(&format!("groups = [{}]\n", chance.toml_list(&["red", "blue"]))),
        }
        if chance.below(4) == 0 {
            text.push_str("networks = [\"192.0.2.0/24\"]\n");
        }
        if chance.below(4) == 0 {
            text.push_str(&format!("hosts = [{}]\n", chance.toml_list(&["registry.test", "other.test"])));
        }
        if chance.below(6) == 0 {
            text.push_str("actions = [\"catalog\"]\n");
        } else {
            text.push_str(&format!("repositories = [{}]\n", chance.toml_list(&PATTERNS)));
            text.push_str(&format!("actions = [{}]\n", chance.toml_list(&ACTIONS)));
        }
    }
    let policy = Policy::default();
    policy.replace(PolicyFileKind::Rules.parse("policy.toml", text.as_bytes(), GroupSource::Present).ok()?);
    Some(policy)
}

fn identity(chance: &mut SplitMix64) -> Option<Arc<Identity>> {
    let name = chance.pick(&["ann", "bob", ""]);
    let user = Username::parse(name.as_bytes()).ok()?;
    let scopes = ["pull:team/**", "pull,push:**", "catalog", "delete:base"];
    let key = (chance.below(3) == 0).then(|| {
        let texts = [chance.pick(&scopes), chance.pick(&scopes)];
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
    let groups: Vec<&[u8]> = [&b"red"[..], b"blue"].into_iter().filter(|_| chance.below(2) == 0).collect();
    let membership = Membership::new(groups);
    Some(Arc::new(Identity {
        user,
        authenticator: "test".into(),
        membership,
        facts: Box::default(),
        api_key: key,
    }))
}

/// Whether a request of this method would be permitted.
fn is_allowed(
    policy: &Policy,
    identity: Option<&Arc<Identity>>,
    asker: &Subrequest<'_>,
    method: &str,
    uri: &str,
) -> bool {
    let request = Subrequest {
        method: RequestHeader::Once(method.as_bytes()),
        uri: RequestHeader::Once(uri.as_bytes()),
        content_type: RequestHeader::Once(b""),
        declared_upstream: DeclaredUpstream::Registry,
        host: asker.host,
        client: asker.client,
        ..Subrequest::default()
    };
    policy.authorize(identity.cloned(), &request).is_ok()
}

#[test]
fn token_grants_exactly_what_the_policy_allows() {
    let mut chance = SplitMix64(7);
    let (mut compared, mut given) = (0, 0);
    for _ in 0..4000 {
        let Some(policy) = policy(&mut chance) else { continue };
        let identity = identity(&mut chance);
        let host = chance.pick(&["registry.test", "other.test"]);
        let client = chance.pick(&["192.0.2.7", "198.51.100.7"]);
        let asker = Subrequest {
            host: RequestHeader::Once(host.as_bytes()),
            client: ClientAddress::Text(client.as_bytes()),
            ..Subrequest::default()
        };
        let texts: Vec<String> = NAMES.iter().map(|name| format!("repository:{name}:*")).collect();
        let texts = texts.iter().map(String::as_str).chain(["registry:catalog:*"]);
        let GrantedAccess { granted: access, denied } =
            policy.evaluate_scopes(identity.as_deref(), &asker, &parse_scopes(texts).unwrap()).unwrap();
        let count = |all: &[AccessEntry]| all.iter().map(|one| one.actions.len()).sum::<usize>();
        assert_eq!(count(&access) + count(&denied), 3 * NAMES.len() + 1, "each is granted or denied");
        let has = |name: &str, action: &str| {
            access.iter().any(|one| one.name == name && one.actions.iter().any(|known| known == action))
        };
        let may = |method: &str, uri: &str| is_allowed(&policy, identity.as_ref(), &asker, method, uri);
        for name in NAMES {
            let manifest = format!("/v2/{name}/manifests/v1");
            // A registry wants both for a push.
            let push = has(name, "pull") && has(name, "push");
            for (in_token, method) in
                [(has(name, "pull"), "GET"), (push, "PUT"), (has(name, "delete"), "DELETE")]
            {
                assert_eq!(
                    in_token,
                    may(method, &manifest),
                    "{method} {name}: {access:?} {identity:?} {policy:?}"
                );
                compared += 1;
                given += usize::from(in_token);
            }
        }
        assert_eq!(has("catalog", "*"), may("GET", "/v2/_catalog"));
    }
    assert!(compared > 40_000 && given > 5_000, "{given} of {compared}");
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
    let asker = Subrequest { host: RequestHeader::Once(b"registry.test"), ..Subrequest::default() };
    let access = |identity, texts: &[&'static str]| {
        let granted =
            policy.evaluate_scopes(identity, &asker, &parse_scopes(texts.iter().copied()).unwrap()).unwrap();
        granted
            .granted
            .into_iter()
            .map(|one| format!("{}:{}", one.name, one.actions.join(",")))
            .collect::<Vec<_>>()
    };
    assert_eq!(access(Some(&ann), &["repository:a:pull"]), ["a:pull"]);
    assert_eq!(access(Some(&ann), &["repository:a:pull,push repository:b:pull"]), ["a:pull,push", "b:pull"]);
    assert_eq!(access(Some(&ann), &["repository:localhost:5000/a:pull", "key:x:y"]), Vec::<String>::new());
    assert_eq!(access(Some(&ann), &["repository:A:pull", "repository:a/../b:pull"]), Vec::<String>::new());
    assert_eq!(access(Some(&ann), &[]), Vec::<String>::new());
    // Without a policy nobody may do anything who does not say who he is.
    assert_eq!(access(None, &["repository:a:pull"]), Vec::<String>::new());
}
