//! `/token`: scopes, claims, anonymous clients, forms, `/jwks`.

use serde_json::json;

use super::{access, claims, get, post, start, token, token_response};
use crate::support::client::Request;
use crate::support::keys;

#[test]
fn issued_token_has_the_claims_that_registries_read() {
    let doorward = start(&[]);
    let request = get(
        "service=registry.test&scope=repository:team/app:pull,push&account=alice&client_id=docker&offline_token=true",
    );
    let (told, claims) = token_response(&doorward.ask(&request.basic("alice", "wonderland")));
    assert_eq!(told["expires_in"], 900);
    let issued = told["issued_at"].as_str().unwrap();
    assert!(issued.len() == 20 && issued.ends_with('Z'), "{issued}");
    assert!(told.get("scope").is_none());
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["sub"]),
        (&json!("doorward"), &json!("registry.test"), &json!("alice"))
    );
    let time = |name: &str| claims[name].as_u64().unwrap();
    assert_eq!((time("exp") - time("iat"), time("iat") - time("nbf")), (900, 60));
    assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
    assert_eq!(
        claims["access"],
        json!([{ "type": "repository", "name": "team/app", "actions": ["pull", "push"] }])
    );
    let again = token(&doorward, &get("service=registry.test").basic("alice", "wonderland"));
    assert_ne!(super::claims(&again)["jti"], claims["jti"]);
}

#[test]
fn issued_token_has_only_the_permitted_part_of_the_requested_scopes() {
    let doorward = start(&[]);
    let of = |query: &str, user: &str, password: &str| {
        access(&doorward.ask(&get(&format!("service=registry.test&{query}")).basic(user, password)))
    };
    let both = "scope=repository:team/app:pull,push";
    assert_eq!(of(both, "alice", "wonderland"), ["repository:team/app:pull,push"]);
    assert_eq!(of(both, "bob", "builder"), ["repository:team/app:pull"]);
    assert_eq!(
        of("scope=repository:team/app:*", "alice", "wonderland"),
        ["repository:team/app:pull,push,delete"]
    );
    assert_eq!(of("scope=repository:team/app:push", "bob", "builder"), Vec::<String>::new());
    assert_eq!(of("scope=repository:other:pull", "alice", "wonderland"), Vec::<String>::new());
    assert_eq!(of("scope=registry:catalog:*", "alice", "wonderland"), ["registry:catalog:*"]);
    assert_eq!(of("scope=registry:catalog:*", "bob", "builder"), Vec::<String>::new());
    // A mount request in the form of moby (two parameters) and in the form of oauth.md (one parameter with a space).
    let twice = "scope=repository:team/app:pull,push&scope=repository:public/base:pull";
    assert_eq!(
        of(twice, "alice", "wonderland"),
        ["repository:team/app:pull,push", "repository:public/base:pull"]
    );
    let once = "scope=repository%3Ateam%2Fapp%3Apull%2Cpush%20repository%3Apublic%2Fbase%3Apull";
    assert_eq!(of(once, "alice", "wonderland"), of(twice, "alice", "wonderland"));
    assert_eq!(of("scope=repository(plugin):team/app:pull", "bob", "builder"), ["repository:team/app:pull"]);
    assert_eq!(of("scope=repository:localhost:5000/team/app:pull", "bob", "builder"), Vec::<String>::new());
    assert_eq!(of("", "bob", "builder"), Vec::<String>::new());
}

#[test]
fn anonymous_request_gets_scopes_granted_to_anyone() {
    let doorward = start(&[]);
    let answer = doorward.ask(&get(
        "service=registry.test&scope=repository:public/base:pull,push&scope=repository:team/app:pull",
    ));
    assert_eq!(access(&answer), ["repository:public/base:pull"]);
    let (_, claims) = token_response(&answer);
    assert_eq!(claims["sub"], "");
}

#[test]
fn form_request_gets_an_oauth_response() {
    let doorward = start(&[]);
    let form = "grant_type=password&service=registry.test&client_id=containerd&username=bob&password=builder&scope=repository%3Ateam%2Fapp%3Apull%2Cpush+repository%3Apublic%2Fbase%3Apull";
    let (told, claims) = token_response(&doorward.ask(&post(form)));
    assert_eq!(told["scope"], "repository:team/app:pull repository:public/base:pull");
    assert_eq!(claims["sub"], "bob");
    let odd = "grant_type=password&service=registry.test&username=bob&password=b%26u%3Ailder";
    assert_eq!(doorward.ask(&post(odd)).status, 401);
}

#[test]
fn api_key_limits_scope_and_expiry_of_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let narrow = keys::make(&file, "alice", "narrow", &["--scope", "pull:team/**"]);
    let ends = keys::Key::new("alice", "ends").with("expires", keys::from_now(120));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{}\n", ends.line())).unwrap();
    let doorward = start(&["--api-keys", file.to_str().unwrap()]);
    let query = "service=registry.test&scope=repository:team/app:pull,push";
    for request in [get(query).basic("alice", &narrow), get(query).basic("token", &narrow)] {
        assert_eq!(access(&doorward.ask(&request)), ["repository:team/app:pull"]);
    }
    let (told, claims) = token_response(&doorward.ask(&get(query).basic("alice", &ends.secret)));
    let seconds = told["expires_in"].as_u64().unwrap();
    assert!((60..=120).contains(&seconds), "{seconds}");
    assert_eq!(claims["sub"], "alice");
    let (id, _) = narrow.split_at(14);
    keys::revoke(&file, id.trim_start_matches("dwk_"));
    crate::support::eventually("the key is revoked", || {
        (doorward.ask(&get(query).basic("alice", &narrow)).status == 401).then_some(())
    });
}

#[test]
fn repeated_token_requests_cost_one_hash() {
    let doorward = start(&[]);
    for _ in 0..20 {
        let request = get("service=registry.test&scope=repository:team/app:pull");
        assert_eq!(claims(&token(&doorward, &request.basic("alice", "wonderland")))["sub"], "alice");
    }
    assert_eq!(doorward.hashes(), 1.0);
    assert_eq!(doorward.metric("doorward_tokens_issued_total"), 20.0);
}

#[test]
fn jwks_publishes_the_public_keys_only() {
    let doorward = start(&[]);
    let answer = doorward.ask(&Request::get("/jwks"));
    let jwks: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let key = &jwks["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("EC"), &json!("P-256"), &json!("ES256")));
    assert!(key.get("d").is_none());
    let on_disk = std::fs::read_to_string(doorward.folder().join("jwks.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&on_disk).unwrap(), jwks);
}

#[test]
fn without_a_policy_users_get_all_requested_scopes_and_anonymous_clients_none() {
    let doorward = super::start_with("[[grant]]\nwho = \"authenticated\"\n", &[]);
    let query = "service=registry.test&scope=repository:any/thing:pull,push";
    assert_eq!(
        access(&doorward.ask(&get(query).basic("bob", "builder"))),
        ["repository:any/thing:pull,push"]
    );
    assert_eq!(access(&doorward.ask(&get(query))), Vec::<String>::new());
}
