//! The policy file: what it means, and what it says of what means nothing.

use std::net::IpAddr;

use super::*;
use crate::policy::rule::Subject;
use crate::policy::rules::PolicyDecision;
use crate::request::original::{DeclaredUpstream, OriginalRequest};
use crate::request::site;

/// A policy, and requests to it.
pub(crate) struct PolicyFixture {
    pub(crate) rules: PolicyRules,
    pub(crate) host: &'static str,
    client_address: Option<IpAddr>,
}

/// ann is in devs, bob in ops and devs, and carl in nothing.
fn groups(user: &str) -> &'static [&'static [u8]] {
    match user {
        "ann" => &[b"devs"],
        "bob" => &[b"devs", b"ops"],
        _ => &[],
    }
}

impl PolicyFixture {
    pub(crate) fn from_text(text: &str) -> Self {
        let rules = read_policy(text).unwrap_or_else(|faults| panic!("{faults:?}"));
        Self { rules, host: "registry.example.com", client_address: Some([10, 0, 0, 7].into()) }
    }

    /// `user` may be `-` for nobody.
    fn evaluate(&self, user: &str, method: &str, uri: &str) -> PolicyDecision {
        let subject = Subject {
            user: (user != "-").then_some(user.as_bytes()),
            groups: groups(user),
            client_address: self.client_address,
            api_key_scope: None,
        };
        self.rules.evaluate(&subject, &self.original_request(method, uri))
    }

    /// As nginx puts it: a registry's configuration rewrites.
    fn original_request<'r>(&self, method: &'r str, uri: &'r str) -> OriginalRequest<'r> {
        let is_registry =
            site::normalize_host(self.host).is_ok_and(|host| self.rules.is_registry(&host, true));
        let backend = if is_registry { DeclaredUpstream::Registry } else { DeclaredUpstream::Unspecified };
        OriginalRequest::new(method, uri, self.host, "", backend)
    }

    pub(crate) fn is_allowed(&self, user: &str, method: &str, uri: &str) -> bool {
        matches!(self.evaluate(user, method, uri), PolicyDecision::Allowed { .. })
    }

    /// Whether `user` may pull, push and delete in a repository: `pPd`, with `-` for what he may not.
    pub(crate) fn allowed_actions(&self, user: &str, name: &str) -> String {
        let each = [("GET", 'p'), ("PUT", 'P'), ("DELETE", 'd')];
        let may = |method| self.is_allowed(user, method, &format!("/v2/{name}/manifests/x"));
        each.map(|(method, sign)| if may(method) { sign } else { '-' }).into_iter().collect()
    }
}

#[test]
fn request_without_a_matching_grant_is_denied() {
    let team = PolicyFixture::from_text(
        "[[grant]]\nusers = [\"ann\"]\nrepositories = [\"team/app\"]\nactions = [\"pull\", \"push\"]\n",
    );
    assert_eq!(team.allowed_actions("ann", "team/app"), "pP-");
    assert_eq!(team.allowed_actions("ann", "team/app/x"), "---");
    assert_eq!(team.allowed_actions("ann", "team"), "---");
    assert_eq!(team.allowed_actions("carl", "team/app"), "---");
    assert_eq!(team.allowed_actions("-", "team/app"), "---");
    assert!(
        team.is_allowed("ann", "GET", "/v2/") && team.is_allowed("carl", "GET", "/v2/"),
        "the password was right"
    );
    assert!(!team.is_allowed("-", "GET", "/v2/"));
    assert!(!team.is_allowed("ann", "GET", "/v2/_catalog"));
}

#[test]
fn grants_add_up_in_any_order_and_deny_overrides_them() {
    let grants = [
        "[[grant]]\nwho = \"authenticated\"\nrepositories = [\"**\"]\nactions = [\"pull\"]\n",
        "[[grant]]\ngroups = [\"devs\"]\nrepositories = [\"devs/**\"]\nactions = [\"push\"]\n",
        "[[deny]]\nusers = [\"bob\"]\nrepositories = [\"devs/secret\"]\n",
        "[[deny]]\ngroups = [\"ops\"]\nrepositories = [\"devs/app\"]\nactions = [\"push\"]\n",
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let team = PolicyFixture::from_text(&order.map(|at| grants[at]).concat());
        assert_eq!(team.allowed_actions("ann", "devs/app"), "pP-");
        assert_eq!(team.allowed_actions("ann", "devs/secret"), "pP-");
        assert_eq!(team.allowed_actions("bob", "devs/app"), "p--");
        assert_eq!(team.allowed_actions("bob", "devs/secret"), "---");
        assert_eq!(team.allowed_actions("bob", "devs/other"), "pP-");
        assert_eq!(team.allowed_actions("carl", "devs/app"), "p--");
    }
}

#[test]
fn anyone_grant_covers_anonymous_and_user_names_are_never_patterns() {
    let team = PolicyFixture::from_text(concat!(
        "[[grant]]\nwho = \"anyone\"\nrepositories = [\"public/**\"]\nactions = [\"pull\"]\n",
        "[[grant]]\nwho = \"authenticated\"\nrepositories = [\"home/{user}/**\"]\nactions = [\"pull\", \"push\", \"delete\"]\n",
        "[[grant]]\ngroups = [\"devs\"]\nrepositories = [\"of/{group}/**\"]\nactions = [\"pull\"]\n",
        "[[grant]]\nusers = [\"bob\"]\nactions = [\"catalog\"]\n",
    ));
    for user in ["-", "ann", "carl"] {
        assert_eq!(team.allowed_actions(user, "public/x"), "p--", "{user}");
        assert!(!team.is_allowed(user, "GET", "/v2/_catalog"), "{user}");
    }
    assert_eq!(team.allowed_actions("ann", "home/ann/x"), "pPd");
    assert_eq!(team.allowed_actions("ann", "home/bob/x"), "---");
    assert_eq!(team.allowed_actions("-", "home/ann/x"), "---");
    assert_eq!(team.allowed_actions("**", "home/bob/x"), "---");
    // bob is in ops too, but the rule is about devs.
    assert_eq!(team.allowed_actions("bob", "of/devs/x"), "p--");
    assert_eq!(team.allowed_actions("bob", "of/ops/x"), "---");
    assert_eq!(team.allowed_actions("carl", "of/devs/x"), "---");
    assert!(
        team.is_allowed("bob", "GET", "/v2/_catalog") && team.is_allowed("bob", "GET", "/v2/_catalog?n=5")
    );
    assert!(!team.is_allowed("-", "GET", "/v2/"), "docker would send no credentials any more (pitfall P12)");
}

#[test]
fn rule_with_networks_or_hosts_applies_only_there() {
    let text = concat!(
        "[[grant]]\nusers = [\"ann\"]\nnetworks = [\"10.0.0.0/8\", \"2001:db8::/32\"]\nactions = [\"pull\"]\n",
        "[[grant]]\nusers = [\"bob\"]\nhosts = [\"Registry.example.com\", \"*.example.org\"]\nactions = [\"pull\"]\n",
        "[[deny]]\nusers = [\"bob\"]\nnetworks = [\"192.0.2.0/24\"]\n",
    );
    let mut team = PolicyFixture::from_text(text);
    let rights =
        |team: &PolicyFixture| [team.allowed_actions("ann", "a"), team.allowed_actions("bob", "a")].concat();
    assert_eq!(rights(&team), "p--p--");
    team.client_address = Some("::ffff:10.1.2.3".parse().unwrap());
    assert_eq!(rights(&team), "p--p--");
    team.client_address = Some([192, 0, 2, 1].into());
    assert_eq!(rights(&team), "------");
    assert!(!team.is_allowed("bob", "GET", "/v2/"), "all is denied to him from there");
    team.client_address = None;
    assert_eq!(rights(&team), "------", "who came from nowhere gets no grant, and every denial");
    team.client_address = Some([10, 0, 0, 1].into());
    for (host, expected) in [
        ("REGISTRY.example.com:5000", "p--"),
        ("a.b.example.org", "p--"),
        ("example.org", "---"),
        ("xexample.org", "---"),
    ] {
        team.host = host;
        assert_eq!(team.allowed_actions("bob", "a"), expected, "{host}");
    }
}

#[test]
fn mount_without_pull_on_its_source_becomes_an_upload_pitfall_p18() {
    let team = PolicyFixture::from_text(concat!(
        "[[grant]]\nusers = [\"ann\"]\nrepositories = [\"a/**\"]\nactions = [\"pull\", \"push\"]\n",
        "[[grant]]\nusers = [\"ann\"]\nrepositories = [\"b/**\"]\nactions = [\"pull\"]\n",
    ));
    let digest = format!("sha256:{}", "a".repeat(64));
    let mount = |from: &str| {
        team.evaluate("ann", "POST", &format!("/v2/a/x/blobs/uploads/?mount={digest}&from={from}"))
    };
    let uri = |judgement| match judgement {
        PolicyDecision::Allowed { upstream_uri: uri, .. } => uri,
        PolicyDecision::Denied(refused) => panic!("{refused:?}"),
    };
    assert_eq!(uri(mount("b/y")), None);
    assert_eq!(uri(mount("c/y")), Some("/v2/a/x/blobs/uploads/".to_owned()));
    assert!(!team.is_allowed("ann", "POST", &format!("/v2/b/x/blobs/uploads/?mount={digest}&from=a/y")));

    // A proxy that does not ask for what it is told gets no half of a yes.
    let subject = Subject { user: Some(b"ann"), groups: &[], client_address: None, api_key_scope: None };
    let uri = format!("/v2/a/x/blobs/uploads/?mount={digest}&from=c/y");
    let asking = OriginalRequest::new("POST", &uri, "h", "", DeclaredUpstream::Unspecified);
    let PolicyDecision::Denied(refused) = team.rules.evaluate(&subject, &asking) else { panic!() };
    assert_eq!((refused.repository.as_deref(), refused.denied_actions), (Some("c/y"), Actions::PULL));
}

#[test]
fn policy_file_errors_have_position_and_remedy() {
    let text = r#"grants = 1
[[grant]]
users = ["a:b", 5]
action = ["pull"]
[[grant]]
repositories = ["Team/**"]
[[grant]]
who = "everyone"
networks = ["10.0.0.0/33"]
actions = ["write"]
[[grant]]
users = []
paths = ["x", "/a%20b"]
actions = ["pull"]
hosts = ["*"]
methods = ["get"]
"#;
    let faults = read_policy(text).unwrap_err();
    let told: Vec<String> =
        faults.iter().map(|f| format!("{}:{}: {}", f.line, f.column, f.message)).collect();
    for (place, part) in [
        ("1:1", "grants: there is no such key; you may mean grant"),
        ("3:10", "users: the user name has a colon"),
        ("3:17", "it takes texts"),
        ("4:1", "action: there is no such key; you may mean actions"),
        ("5:1", "to whom?"),
        ("5:1", "which actions?"),
        ("6:17", "no repository has the character 'T'"),
        ("8:7", "\"authenticated\" or \"anyone\""),
        ("9:13", "neither an IP address nor a network"),
        ("10:12", "pull, push, delete and catalog"),
        ("12:1", "users is empty"),
        ("11:1", "write two rules"),
    ] {
        assert!(
            told.iter().any(|line| line.starts_with(&format!("{place}: ")) && line.contains(part)),
            "{place} {part}: {told:#?}"
        );
    }
    for text in ["", "[[deny]]\nusers = [\"ann\"]\n", "[[grant]", "grant = 1", "[grant]\nusers=[\"ann\"]"] {
        assert!(read_policy(text).is_err(), "{text}");
    }
    let misspelt = read_policy("[[grant]]\nuser = [\"ann\"]\nactions = [\"pull\"]\n").unwrap_err();
    assert!(misspelt.iter().all(|fault| !fault.message.contains("there is no [[grant]]")), "{misspelt:?}");
    assert!(
        read_policy("[[deny]]\nusers = [\"ann\"]\n").unwrap_err()[0]
            .message
            .contains("there is no [[grant]]")
    );
    let mixed = "[[grant]]\nusers=[\"a\"]\nactions=[\"pull\"]\n[[grant]]\nusers=[\"a\"]\npaths=[\"/\"]\n";
    assert!(read_policy(mixed).unwrap_err()[0].message.contains("registries ="));
}

#[test]
fn unknown_key_error_suggests_the_nearest_key() {
    for (key, part) in [
        ("user", "user: there is no such key; you may mean users"),
        ("Repos", "Repos: there is no such key; you may mean repositories"),
        ("\"reposotories\"", "reposotories: there is no such key; you may mean repositories"),
        ("cidr", "cidr: there is no such key; you may mean networks"),
        ("registries", "registries: there is no such key here; it stands before the first rule"),
        ("zzz", "zzz: there is no such key; there are users, groups, who,"),
        // What is no word may be anything, such as a hash in the wrong file.
        ("\"$2y$05$abc\"", "2:1: there is no such key; there are users"),
    ] {
        let faults = read_policy(&format!("[[grant]]\n{key} = [\"a\"]\n")).unwrap_err();
        let told: Vec<String> = faults
            .iter()
            .map(|fault| format!("{}:{}: {}", fault.line, fault.column, fault.message))
            .collect();
        assert!(told.iter().any(|line| line.contains(part)), "{key}: {told:?}");
        assert!(!told.iter().any(|line| line.contains("$2y")), "{told:?}");
    }
    for (line, part) in [
        ("registry = [\"a\"]", "registry: there is no such key; you may mean registries"),
        ("users = [\"ann\"]", "users: there is no such key here; it belongs into a [[grant]] or a [[deny]]"),
        ("[[allow]]\nusers = [\"ann\"]", "allow: there is no such key; you may mean grant"),
    ] {
        let faults = read_policy(line).unwrap_err();
        assert!(faults.iter().any(|fault| fault.message == part), "{line}: {faults:?}");
    }
}

#[test]
fn policy_with_ten_thousand_rules_is_evaluated_correctly() {
    let mut text: String = (0..10_000)
        .map(|n| format!("[[grant]]\nusers=[\"u{n}\"]\nrepositories=[\"r{n}/**\"]\nactions=[\"pull\"]\n"))
        .collect();
    text.push_str("[[deny]]\nusers = [\"u7\"]\nrepositories = [\"r7/x\"]\n");
    let team = PolicyFixture::from_text(&text);
    assert_eq!(team.allowed_actions("u7", "r7/y"), "p--");
    assert_eq!(team.allowed_actions("u7", "r7/x"), "---");
    assert_eq!(team.allowed_actions("u7", "r8/y"), "---");
    assert_eq!(team.allowed_actions("u9999", "r9999/y"), "p--");
}

#[test]
fn deny_rule_that_can_never_match_is_rejected() {
    for (line, part) in [
        ("networks = [\"::ffff:192.0.2.0/120\"]", "write it as IPv4"),
        ("groups = [\"devs, ops\"]", "no name of a group"),
        ("paths = [\"//\"]", "empty segment"),
    ] {
        let text = format!("[[grant]]\nusers = [\"ann\"]\n[[deny]]\n{line}\n");
        let faults = read_policy(&text).unwrap_err();
        assert!(
            faults.iter().any(|fault| fault.line == 4 && fault.message.contains(part)),
            "{line}: {faults:?}"
        );
    }
    let many = "[[grant]]\nx = 1\n".repeat(10 * ERRORS_MAX);
    assert_eq!(read_policy(&many).unwrap_err().len(), ERRORS_MAX);
}
