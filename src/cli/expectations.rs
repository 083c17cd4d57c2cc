//! `doorward check --expect FILE`: a policy's own tests, one a line.
//!
//! ```text
//! # who   what                                                     allow or deny
//! alice   push team/app                                            allow
//! bob     push team/app                                            deny
//! -       pull public/base                                         allow
//! bob     catalog                                                  deny
//! bob     GET /admin/ host=www.example.com from=10.0.0.7           deny
//! eve     pull releases/r1 groups=r1,r2                            allow
//! ```

use std::net::IpAddr;
use std::path::Path;

use super::explain::{
    ExplainReport, ExplainRequest, ExplainSubject, default_rewrite_header, depends_on_client_address, explain,
};
use crate::permissions::host::normalize_host;
use crate::policy::Policy;
use crate::policy::rules::{PolicyDecision, RegistryHosts};
use crate::request::registry;

/// A digest for requests that need one.
const PLACEHOLDER_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Where a rule asks for none.
const DEFAULT_HOST: &str = "localhost";

/// One line.
struct Expectation {
    subject: ExplainSubject,
    description: String,
    /// All of these, method and URI.
    requests: Vec<(String, String)>,
    /// Whether it is written as what is done in a registry.
    is_registry_action: bool,
    /// None given: any that will do.
    host: Option<String>,
    is_allowed: bool,
}

/// What there is to complain about, as `path:line: what`; and how many lines were as expected.
pub(super) fn check_expectations(
    policy: &Policy,
    rules: Option<&Path>,
    path: &str,
    text: &str,
) -> (usize, Vec<String>) {
    let (mut met, mut faults) = (0, Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        if words.is_empty() {
            continue;
        }
        match parse_line(&words).and_then(|expectation| verify_expectation(policy, rules, &expectation)) {
            Ok(()) => met += 1,
            Err(what) => faults.push(format!("{path}:{number}: {what}")),
        }
    }
    (met, faults)
}

fn parse_line(words: &[&str]) -> Result<Expectation, String> {
    let shape =
        || "write WHO pull|push|delete REPOSITORY allow|deny, or WHO METHOD URI allow|deny".to_owned();
    let [user, verb, rest @ .., expected] = words else { return Err(shape()) };
    let allowed = match *expected {
        "allow" => true,
        "deny" => false,
        _ => return Err(shape()),
    };
    let (options, objects): (Vec<&str>, Vec<&str>) =
        rest.iter().partition(|word| ["host=", "from=", "groups="].iter().any(|name| word.starts_with(name)));
    let requests = match (*verb, objects.as_slice()) {
        ("catalog", []) => vec![("GET", "/v2/_catalog".to_owned())],
        ("pull", [name]) => {
            vec![
                ("GET", format!("/v2/{name}/manifests/x")),
                ("GET", format!("/v2/{name}/blobs/{PLACEHOLDER_DIGEST}")),
            ]
        }
        ("push", [name]) => {
            vec![("POST", format!("/v2/{name}/blobs/uploads/")), ("PUT", format!("/v2/{name}/manifests/x"))]
        }
        ("delete", [name]) => vec![("DELETE", format!("/v2/{name}/manifests/x"))],
        (method, [uri]) if method.bytes().all(|b| b.is_ascii_uppercase()) => {
            vec![(method, (*uri).to_owned())]
        }
        _ => return Err(shape()),
    };
    let (mut host, mut from, mut groups) = (None, None, Vec::new());
    for option in options {
        match option.split_once('=') {
            Some(("host", name)) => host = Some(name.to_owned()),
            Some(("groups", names)) => groups.extend(names.split(',').map(str::to_owned)),
            Some((_, address)) => {
                from = Some(address.parse::<IpAddr>().map_err(|_| "from= takes an IP address".to_owned())?);
            }
            None => return Err(shape()),
        }
    }
    let requests = requests.into_iter().map(|(method, uri)| (method.to_owned(), uri)).collect();
    let in_registry = verb.bytes().all(|b| b.is_ascii_lowercase());
    let asker =
        ExplainSubject { user: (*user).to_owned(), groups, client_address: from, api_key_scope: None };
    asker.validate()?;
    let what = words.get(1..words.len() - 1).unwrap_or_default().join(" ");
    Ok(Expectation {
        subject: asker,
        description: what,
        requests,
        is_registry_action: in_registry,
        host,
        is_allowed: allowed,
    })
}

fn verify_expectation(
    policy: &Policy,
    rules: Option<&Path>,
    expectation: &Expectation,
) -> Result<(), String> {
    let host = resolve_host(policy, expectation)?;
    for (method, uri) in &expectation.requests {
        let rewrite = default_rewrite_header(policy, &host, uri);
        let question = ExplainRequest { method, uri, host: &host, content_type: "", rewrite_header: rewrite };
        let malformed =
            registry::parse_request(method, uri, "").ok().and_then(|asked| asked.malformed_reference);
        if let Some(malformed) = malformed.filter(|_| expectation.is_registry_action) {
            return Err(format!("{}: {}", expectation.description, malformed.message));
        }
        let explained = explain(policy, &expectation.subject, &question, |explained, _| explained);
        let unreadable = match explained.as_ref().map(|explanation| &explanation.decision) {
            Ok(PolicyDecision::Denied(refused)) => refused.request_error,
            Ok(PolicyDecision::Allowed { .. }) | Err(_) => None,
        };
        if let Some(why) = unreadable.filter(|_| expectation.is_registry_action) {
            return Err(format!("{}: {why}", expectation.description));
        }
        let allowed =
            explained.as_ref().is_ok_and(|one| matches!(one.decision, PolicyDecision::Allowed { .. }));
        if allowed != expectation.is_allowed {
            let told = ExplainReport::from_explanation(
                &explained,
                policy.rules().is_some(),
                &expectation.subject,
                rules,
            );
            let rule = if told.deciding_rules.is_empty() {
                String::new()
            } else {
                format!(" ({})", told.deciding_rules.join(", "))
            };
            let may = if allowed { "may, and should not" } else { "may not, and should" };
            return Err(format!(
                "{} {may}: {}; {}{rule}",
                expectation.subject.user, expectation.description, told.explanation
            ));
        }
    }
    Ok(())
}

/// The host that is meant. An expectation that is met at one host or from one network, and not at another,
/// has to say at which.
fn resolve_host(policy: &Policy, expectation: &Expectation) -> Result<String, String> {
    let Some(rules) = policy.rules() else { return Ok(DEFAULT_HOST.to_owned()) };
    if expectation.subject.client_address.is_none() && depends_on_client_address(policy, &expectation.subject)
    {
        return Err(format!(
            "{}: rules about {} ask where he is; add from=IP",
            expectation.description, expectation.subject.user
        ));
    }
    let host = match (&expectation.host, rules.registries()) {
        (Some(host), _) => host.clone(),
        (None, RegistryHosts::Hosts(hosts)) if expectation.is_registry_action => {
            hosts.first().map(ToString::to_string).unwrap_or_default()
        }
        (None, _) => DEFAULT_HOST.to_owned(),
    };
    let bare = normalize_host(&host).map_err(|why| format!("host=: {why}"))?;
    if expectation.is_registry_action && !rules.is_registry(&bare, true) {
        return Err(format!("{host} is no registry to this policy"));
    }
    Ok(host)
}
