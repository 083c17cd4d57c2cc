//! Tests of the policy file: the meaning of valid files, and the errors of invalid ones.

use std::net::IpAddr;

use super::*;
use crate::policy::rule::Subject;
use crate::policy::rules::PolicyDecision;
use crate::request::original::{DeclaredUpstream, OriginalRequest};

/// A policy with a host and a client address for requests.
pub(crate) struct PolicyFixture {
    pub(crate) rules: PolicyRules,
    pub(crate) host: &'static str,
    client_address: Option<IpAddr>,
}

/// Returns the groups of a user: ann is in devs, bob is in devs and ops, and carl is in none.
fn groups(user: &str) -> &'static [&'static [u8]] {
    match user {
        "ann" => &[b"devs"],
        "bob" => &[b"devs", b"ops"],
        _ => &[],
    }
}

impl PolicyFixture {
    pub(crate) fn from_text(text: &str) -> Self {
        let rules = read_policy(text).unwrap_or_else(|errors| panic!("{errors:?}"));
        Self { rules, host: "registry.example.com", client_address: Some([10, 0, 0, 7].into()) }
    }

    /// Evaluates a request; the user `-` means an anonymous request.
    fn evaluate(&self, user: &str, method: &str, uri: &str) -> PolicyDecision {
        let subject = Subject {
            user: (user != "-").then_some(user.as_bytes()),
            groups: groups(user),
            client_address: self.client_address,
            api_key_scope: None,
        };
        self.rules.evaluate(&subject, &self.original_request(method, uri))
    }

    /// Returns the request as nginx describes it: its configuration for a registry declares one.
    fn original_request<'r>(&self, method: &'r str, uri: &'r str) -> OriginalRequest<'r> {
        let is_registry = normalize_host(self.host).is_ok_and(|host| self.rules.is_registry(&host, true));
        let declared = if is_registry { DeclaredUpstream::Registry } else { DeclaredUpstream::Unspecified };
        OriginalRequest::new(method, uri, self.host, "", declared)
    }

    pub(crate) fn is_allowed(&self, user: &str, method: &str, uri: &str) -> bool {
        matches!(self.evaluate(user, method, uri), PolicyDecision::Allowed { .. })
    }

    /// Returns the allowed actions of a user in a repository: `pPd` for pull, push and delete, with `-` for a denied one.
    pub(crate) fn allowed_actions(&self, user: &str, name: &str) -> String {
        let actions = [("GET", 'p'), ("PUT", 'P'), ("DELETE", 'd')];
        let is_allowed = |method| self.is_allowed(user, method, &format!("/v2/{name}/manifests/x"));
        actions.map(|(method, letter)| if is_allowed(method) { letter } else { '-' }).into_iter().collect()
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
        "every authenticated user may ping"
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
    // bob is also in ops, but the rule names only devs.
    assert_eq!(team.allowed_actions("bob", "of/devs/x"), "p--");
    assert_eq!(team.allowed_actions("bob", "of/ops/x"), "---");
    assert_eq!(team.allowed_actions("carl", "of/devs/x"), "---");
    assert!(
        team.is_allowed("bob", "GET", "/v2/_catalog") && team.is_allowed("bob", "GET", "/v2/_catalog?n=5")
    );
    assert!(!team.is_allowed("-", "GET", "/v2/"), "docker would stop sending credentials (pitfall P12)");
}

#[test]
fn rule_with_networks_or_hosts_applies_only_there() {
    let text = concat!(
        "[[grant]]\nusers = [\"ann\"]\nnetworks = [\"10.0.0.0/8\", \"2001:db8::/32\"]\nactions = [\"pull\"]\n",
        "[[grant]]\nusers = [\"bob\"]\nhosts = [\"Registry.example.com\", \"*.example.org\"]\nactions = [\"pull\"]\n",
        "[[deny]]\nusers = [\"bob\"]\nnetworks = [\"192.0.2.0/24\"]\n",
    );
    let mut team = PolicyFixture::from_text(text);
    let actions =
        |team: &PolicyFixture| [team.allowed_actions("ann", "a"), team.allowed_actions("bob", "a")].concat();
    assert_eq!(actions(&team), "p--p--");
    team.client_address = Some("::ffff:10.1.2.3".parse().unwrap());
    assert_eq!(actions(&team), "p--p--");
    team.client_address = Some([192, 0, 2, 1].into());
    assert_eq!(actions(&team), "------");
    assert!(!team.is_allowed("bob", "GET", "/v2/"), "the denial for this network has no resource");
    team.client_address = None;
    assert_eq!(actions(&team), "------", "without an address no grant applies, and the denial does");
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
    let uri = |decision| match decision {
        PolicyDecision::Allowed { upstream_uri } => upstream_uri,
        PolicyDecision::Denied(denial) => panic!("{denial:?}"),
    };
    assert_eq!(uri(mount("b/y")), None);
    assert_eq!(uri(mount("c/y")), Some("/v2/a/x/blobs/uploads/".to_owned()));
    assert!(!team.is_allowed("ann", "POST", &format!("/v2/b/x/blobs/uploads/?mount={digest}&from=a/y")));

    // A proxy that does not use the returned URI must not get permission for the mount.
    let subject = Subject { user: Some(b"ann"), groups: &[], client_address: None, api_key_scope: None };
    let uri = format!("/v2/a/x/blobs/uploads/?mount={digest}&from=c/y");
    let request = OriginalRequest::new("POST", &uri, "h", "", DeclaredUpstream::Unspecified);
    let PolicyDecision::Denied(denial) = team.rules.evaluate(&subject, &request) else { panic!() };
    assert_eq!((denial.repository.as_deref(), denial.denied_actions), (Some("c/y"), Actions::PULL));
}

/// Returns the errors in the form `line:column: message`.
fn located(errors: &[PolicyFileError]) -> Vec<String> {
    errors.iter().map(|error| format!("{}:{}: {}", error.line, error.column, error.message)).collect()
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
    let errors = located(&read_policy(text).unwrap_err());
    for (place, part) in [
        ("1:1", "unknown key \"grants\"; did you mean \"grant\"?"),
        ("3:10", "users: the user name has a colon"),
        ("3:17", "users: not a string; write strings"),
        ("4:1", "unknown key \"action\"; did you mean \"actions\"?"),
        ("5:1", "the grant names no users; add users"),
        ("5:1", "the grant has no actions; add actions"),
        ("6:17", "a repository name cannot contain 'T'"),
        ("8:7", "\"authenticated\" or \"anyone\""),
        ("9:13", "networks: not an IP address or network"),
        ("10:12", "pull, push, delete and catalog"),
        ("12:1", "users: no values; add one"),
        ("11:1", "write two rules"),
    ] {
        assert!(
            errors.iter().any(|line| line.starts_with(&format!("{place}: ")) && line.contains(part)),
            "{place} {part}: {errors:#?}"
        );
    }
    for text in ["", "[[deny]]\nusers = [\"ann\"]\n", "[[grant]", "grant = 1", "[grant]\nusers=[\"ann\"]"] {
        assert!(read_policy(text).is_err(), "{text}");
    }
    let misspelt = read_policy("[[grant]]\nuser = [\"ann\"]\nactions = [\"pull\"]\n").unwrap_err();
    assert!(misspelt.iter().all(|error| !error.message.contains("no [[grant]]")), "{misspelt:?}");
    assert!(read_policy("[[deny]]\nusers = [\"ann\"]\n").unwrap_err()[0].message.contains("no [[grant]]"));
    let mixed = "[[grant]]\nusers=[\"a\"]\nactions=[\"pull\"]\n[[grant]]\nusers=[\"a\"]\npaths=[\"/\"]\n";
    assert!(read_policy(mixed).unwrap_err()[0].message.contains("registries ="));
}

#[test]
fn unknown_key_error_suggests_the_nearest_key() {
    for (key, part) in [
        ("user", "2:1: unknown key \"user\"; did you mean \"users\"?"),
        ("repos", "2:1: unknown key \"repos\"; did you mean \"repositories\"?"),
        ("Repos", "unknown key \"Repos\"; did you mean \"repositories\"?"),
        ("\"reposotories\"", "unknown key \"reposotories\"; did you mean \"repositories\"?"),
        ("cidr", "unknown key \"cidr\"; did you mean \"networks\"?"),
        ("registries", "misplaced key \"registries\"; move it before the first rule"),
        ("zzz", "unknown key \"zzz\"; the keys are users, groups, who,"),
        // A text that does not look like a key is not quoted: it can be a hash in the wrong file.
        ("\"$2y$05$abc\"", "2:1: unknown key; the keys are users"),
    ] {
        let errors = located(&read_policy(&format!("[[grant]]\n{key} = [\"a\"]\n")).unwrap_err());
        assert!(errors.iter().any(|line| line.contains(part)), "{key}: {errors:?}");
        assert!(!errors.iter().any(|line| line.contains("$2y")), "{errors:?}");
    }
    for (line, part) in [
        ("registry = [\"a\"]", "unknown key \"registry\"; did you mean \"registries\"?"),
        ("users = [\"ann\"]", "misplaced key \"users\"; move it into a [[grant]] or a [[deny]]"),
        ("[[allow]]\nusers = [\"ann\"]", "unknown key \"allow\"; did you mean \"grant\"?"),
    ] {
        let errors = read_policy(line).unwrap_err();
        assert!(errors.iter().any(|error| error.message == part), "{line}: {errors:?}");
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
        ("groups = [\"devs, ops\"]", "not a group name"),
        ("paths = [\"//\"]", "empty segment"),
    ] {
        let text = format!("[[grant]]\nusers = [\"ann\"]\n[[deny]]\n{line}\n");
        let errors = read_policy(&text).unwrap_err();
        assert!(
            errors.iter().any(|error| error.line == 4 && error.message.contains(part)),
            "{line}: {errors:?}"
        );
    }
    let many = "[[grant]]\nx = 1\n".repeat(10 * POLICY_FILE_ERRORS_MAX);
    assert_eq!(read_policy(&many).unwrap_err().len(), POLICY_FILE_ERRORS_MAX);
}
