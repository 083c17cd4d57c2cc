//! Real registries accept the tokens, and refuse forged ones.

use serde_json::{Value, json};

use super::forger::{Forger, coded, read};
use super::verifying_registry::{VerifyingRegistry, registries};
use super::{NAMES, SigningKeyFolder, claims, now};
use crate::support::client::Request;

/// Returns a folder with an ES256 key and one with an RS256 key.
fn folders() -> [SigningKeyFolder; 2] {
    [SigningKeyFolder::new(), SigningKeyFolder::rsa(2048)]
}

#[test]
fn registry_configuration_snippet_works_unchanged() {
    for folder in folders() {
        for program in registries() {
            let registry = VerifyingRegistry::start(&program, &folder.text("registry-auth.yml"));
            let challenge = registry.ask(Request::get("/v2/team/app/tags/list"), "");
            let told = challenge.header("www-authenticate").unwrap();
            assert!(told.starts_with("Bearer realm=\"https://registry.test/token\",service=\"registry.test\",scope=\"repository:team/app:pull\""), "{told}");
            let ask = |method: &str, target: &str, scopes: &[&str]| {
                let answer = registry.ask(Request::new(method, target), &folder.token(scopes));
                (
                    answer.status,
                    answer.header("www-authenticate").unwrap_or_default().contains("insufficient_scope"),
                )
            };
            let (tags, upload) = ("/v2/team/app/tags/list", "/v2/team/app/blobs/uploads/");
            let catalog = "/v2/_catalog";
            assert_eq!(ask("GET", "/v2/", &[]), (200, false));
            assert_eq!(
                ask("GET", tags, &["repository:team/app:pull"]),
                (404, false),
                "permitted, and not there"
            );
            assert_eq!(ask("GET", tags, &["repository:team/other:pull"]), (401, true));
            assert_eq!(ask("POST", upload, &["repository:team/app:pull"]), (401, true));
            assert_eq!(ask("POST", upload, &["repository:team/app:pull,push"]), (202, false));
            let two = ["repository:team/other:pull", "repository:team/app:pull,push"];
            assert_eq!(ask("POST", upload, &two), (202, false));
            assert_eq!(ask("GET", catalog, &["registry:catalog:*"]), (200, false));
            assert_eq!(ask("GET", catalog, &[]), (401, true));
        }
    }
}

/// Returns the claims with some fields changed.
fn with(change: &Value) -> Value {
    let mut all = serde_json::to_value(claims(&[])).unwrap();
    all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    all
}

/// Returns invalid tokens, each with a description of its defect.
fn bad(folder: &SigningKeyFolder, stranger: &SigningKeyFolder) -> Vec<(&'static str, String)> {
    let (ours, others) = (Forger::of(folder), Forger::of(stranger));
    let good = with(&json!({}));
    let token = ours.token(&ours.header, &good);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{token}") };
    let everything =
        coded(&with(&json!({"access": [{"type": "registry", "name": "catalog", "actions": ["*"]}]})));
    let none = |alg: &str| coded(&ours.with(&json!({ "alg": alg })));
    let mut bad = vec![
        ("it ended 62 s ago", ours.token(&ours.header, &with(&json!({"exp": now() - 62})))),
        ("it counts in 90 s", ours.token(&ours.header, &with(&json!({"nbf": now() + 90})))),
        ("another key", others.token(&others.header, &good)),
        ("another key that says it is ours", others.token(&ours.header, &good)),
        (
            "its own certificate, our id",
            others.token(&others.with(&json!({"kid": ours.header["kid"]})), &good),
        ),
        ("other claims", format!("{header}.{everything}.{signature}")),
        ("another header", format!("{}.{payload}.{signature}", coded(&ours.with(&json!({"typ": "jwt"}))))),
        (
            "a signature of something else",
            format!("{header}.{payload}.{}", {
                let other = ours.token(&ours.header, &with(&json!({"sub": "bob"})));
                other.rsplit('.').next().unwrap().to_owned()
            }),
        ),
        ("alg none", format!("{}.{payload}.", none("none"))),
        ("alg none, with a signature", format!("{}.{payload}.{signature}", none("none"))),
        ("alg None", format!("{}.{payload}.{signature}", none("None"))),
        ("no alg", ours.token(&ours.with(&json!({"alg": null})), &good)),
    ];
    bad.extend(ours.by_public_key(&good).into_iter().map(|token| ("HS256 with the public key", token)));
    let key = serde_json::from_str::<Value>(&stranger.text("jwks.json")).unwrap()["keys"][0].clone();
    let bring = |change: Value| others.token(&ours.with(&change), &good);
    bad.push(("a key that it brings along", bring(json!({"jwk": key, "x5c": null}))));
    bad.push((
        "a key that it brings along under our id",
        bring(json!({"jwk": key, "x5c": null, "kid": null})),
    ));
    bad
}

#[test]
fn invalid_tokens_are_refused_by_registries_and_doorward() {
    let stranger = SigningKeyFolder::new();
    for folder in folders() {
        let bad = bad(&folder, &stranger);
        for program in registries() {
            let registry = VerifyingRegistry::start(&program, &folder.text("registry-auth.yml"));
            let good = folder.token(&[]);
            assert_eq!(registry.ping(&good), 200);
            bad.iter().for_each(|(what, token)| registry.refuses(what, token));
            // Claims that the caller of `verify` compares in doorward.
            for (what, change) in [
                ("another audience", json!({"aud": "other.test"})),
                ("no audience", json!({"aud": ""})),
                ("another issuer", json!({"iss": "other"})),
                ("an issuer in capitals", json!({"iss": "Doorward"})),
            ] {
                let ours = Forger::of(&folder);
                registry.refuses(what, &ours.token(&ours.header, &with(&change)));
            }
            // The registry still accepts a valid token and has not crashed.
            assert_eq!(registry.ping(&good), 200, "{}", registry.log());
        }
        let keys = folder.keys();
        for (what, token) in &bad {
            assert!(keys.verify(token, now()).is_err(), "{what}");
        }
    }
}

#[test]
fn clock_leeway_equals_that_of_real_registries() {
    let folder = SigningKeyFolder::new();
    let ours = Forger::of(&folder);
    let keys = folder.keys();
    for program in registries() {
        let registry = VerifyingRegistry::start(&program, &folder.text("registry-auth.yml"));
        for change in [json!({"exp": now() - 40}), json!({"nbf": now() + 40})] {
            let token = ours.token(&ours.header, &with(&change));
            assert_eq!((registry.ping(&token), keys.verify(&token, now()).is_ok()), (200, true), "{change}");
        }
    }
}

/// Checks that registry 3 can read the key set (JWKS). The tokens of doorward do not need it, so the test uses a token
/// without a certificate.
#[test]
fn registry_3_reads_the_jwks() {
    for folder in folders() {
        let snippet = folder.text("registry-auth.yml").replace("    # jwks: ", "    jwks: ");
        assert!(snippet.contains("\n    jwks: \""), "{snippet}");
        let ours = Forger::of(&folder);
        let by_id_alone = ours.token(&ours.with(&json!({"x5c": null})), &with(&json!({})));
        let alone: String = snippet
            .lines()
            .filter(|line| !line.contains("rootcertbundle:"))
            .fold(String::new(), |text, line| text + line + "\n");
        for program in registries().into_iter().skip(1) {
            let registry = VerifyingRegistry::start(&program, &snippet);
            assert_eq!((registry.ping(&folder.token(&[])), registry.ping(&by_id_alone)), (200, 200));
            let registry = VerifyingRegistry::start(&program, &alone);
            assert_eq!(registry.ping(&by_id_alone), 200);
            // For this reason the snippet contains rootcertbundle.
            registry.refuses("a certificate, and no bundle", &folder.token(&[]));
        }
    }
}

#[test]
fn key_with_an_id_that_registry_3_computes_wrongly_is_verified_by_its_certificate() {
    use doorward::internals::SigningKeys;
    // One of 128 keys has a coordinate that begins with a zero byte.
    let folder = SigningKeyFolder::empty();
    let own = folder.path("own.pem");
    let found = (0..4000).any(|_| {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = rcgen::PublicKeyData::der_bytes(&pair).to_vec();
        std::fs::write(&own, pair.serialize_pem()).unwrap();
        point[1] == 0 || point[33] == 0
    });
    assert!(found);
    folder.succeeds("init", &[&NAMES[..], &["--private-key", &own.display().to_string()]].concat());
    let keys = SigningKeys::parse(folder.text("keys.pem").as_bytes()).unwrap();
    let token = keys.sign(&claims(&[])).unwrap();
    assert_eq!(read(&token, 0)["kid"], folder.kids()[0]);
    for program in registries() {
        assert_eq!(VerifyingRegistry::start(&program, &folder.text("registry-auth.yml")).ping(&token), 200);
    }
}
