//! `doorward check --expect FILE`: tests of a policy, one per line.
//!
//! ```text
//! # user  request                                                  allow or deny
//! alice   push team/app                                            allow
//! bob     push team/app                                            deny
//! -       pull public/base                                         allow
//! bob     catalog                                                  deny
//! bob     GET /admin/ host=www.example.com from=10.0.0.7           deny
//! eve     pull releases/r1 groups=r1,r2                            allow
//! ```

use std::net::IpAddr;
use std::path::Path;

use crate::cli::explain::evaluation::{
    ExplainRequest, ExplainSubject, default_rewrite_header, depends_on_client_address, explain,
};
use crate::cli::explain::report::ExplainReport;
use crate::cli::output::{print_error, print_line};
use crate::permissions::host::normalize_host;
use crate::policy::Policy;
use crate::policy::reload::FILE_BYTES_MAX;
use crate::policy::rules::{PolicyDecision, RegistryHosts};
use crate::reload::SourceFile;
use crate::request::registry;

/// The digest in requests for blobs.
const PLACEHOLDER_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The host of a request if neither the line nor the policy names one.
const DEFAULT_HOST: &str = "localhost";

/// The form of a line, for errors.
const LINE_FORM: &str = "write USER pull|push|delete REPOSITORY allow|deny, or USER METHOD URI allow|deny";

/// A parsed line.
struct Expectation {
    subject: ExplainSubject,
    description: String,
    /// The requests, each with its method and URI. All of them must have the expected result.
    requests: Vec<(String, String)>,
    /// The line names a registry action, not a method and a URI.
    is_registry_action: bool,
    /// The host of the requests; `None` if the line has no `host=`.
    host: Option<String>,
    is_allowed: bool,
}

/// Checks all lines of a file, and prints those that the policy does not meet. Returns true if there are none.
pub(super) fn check_expectations(policy: &Policy, policy_path: Option<&Path>, path: &str) -> bool {
    let source = SourceFile { path: path.into(), max_bytes: FILE_BYTES_MAX };
    let text = match source.read() {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => {
            print_error(&error.to_string());
            return false;
        }
    };
    let (mut met, mut unmet) = (0, 0);
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        if words.is_empty() {
            continue;
        }
        match parse_line(&words).and_then(|line| verify_expectation(policy, policy_path, &line)) {
            Ok(()) => met += 1,
            Err(error) => {
                unmet += 1;
                print_line(&format!("{path}:{number}: {error}"));
            }
        }
    }
    print_line(&format!("{path}: as expected: {met}; not as expected: {unmet}"));
    unmet == 0
}

fn parse_line(words: &[&str]) -> Result<Expectation, String> {
    let form_error = || LINE_FORM.to_owned();
    let [user, verb, rest @ .., expected] = words else { return Err(form_error()) };
    let is_allowed = match *expected {
        "allow" => true,
        "deny" => false,
        _ => return Err(form_error()),
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
        _ => return Err(form_error()),
    };
    let (mut host, mut client_address, mut groups) = (None, None, Vec::new());
    for option in options {
        match option.split_once('=') {
            Some(("host", name)) => host = Some(name.to_owned()),
            Some(("groups", names)) => groups.extend(names.split(',').map(str::to_owned)),
            Some((_, address)) => {
                let address = address.parse::<IpAddr>();
                client_address = Some(address.map_err(|_| "from= requires an IP address".to_owned())?);
            }
            None => return Err(form_error()),
        }
    }
    let subject = ExplainSubject { user: (*user).to_owned(), groups, client_address, api_key_scope: None };
    subject.validate()?;
    Ok(Expectation {
        subject,
        description: words.get(1..words.len() - 1).unwrap_or_default().join(" "),
        requests: requests.into_iter().map(|(method, uri)| (method.to_owned(), uri)).collect(),
        is_registry_action: verb.bytes().all(|b| b.is_ascii_lowercase()),
        host,
        is_allowed,
    })
}

fn verify_expectation(
    policy: &Policy,
    policy_path: Option<&Path>,
    expectation: &Expectation,
) -> Result<(), String> {
    let host = resolve_host(policy, expectation)?;
    for (method, uri) in &expectation.requests {
        let rewrite_header = default_rewrite_header(policy, &host, uri);
        let request = ExplainRequest { method, uri, host: &host, content_type: "", rewrite_header };
        let malformed =
            registry::parse_request(method, uri, "").ok().and_then(|parsed| parsed.malformed_reference);
        if let Some(malformed) = malformed.filter(|_| expectation.is_registry_action) {
            return Err(format!("{}: {}", expectation.description, malformed.message));
        }
        let explained = explain(policy, &expectation.subject, &request, |explained, _| explained);
        let request_error = match explained.as_ref().map(|explanation| &explanation.decision) {
            Ok(PolicyDecision::Denied(denial)) => denial.request_error,
            Ok(PolicyDecision::Allowed { .. }) | Err(_) => None,
        };
        if let Some(error) = request_error.filter(|_| expectation.is_registry_action) {
            return Err(format!("{}: {error}", expectation.description));
        }
        let is_allowed = explained
            .as_ref()
            .is_ok_and(|explanation| matches!(explanation.decision, PolicyDecision::Allowed { .. }));
        if is_allowed != expectation.is_allowed {
            let report = ExplainReport::from_explanation(
                &explained,
                policy.rules().is_some(),
                &expectation.subject,
                policy_path,
            );
            let rules = if report.deciding_rules.is_empty() {
                String::new()
            } else {
                format!(" ({})", report.deciding_rules.join(", "))
            };
            let result = if is_allowed { "allowed, expected deny" } else { "denied, expected allow" };
            return Err(format!(
                "{} {}: {result}; {}{rules}",
                expectation.subject.user, expectation.description, report.explanation
            ));
        }
    }
    Ok(())
}

/// Returns the host of the requests. A line must name the host or the client address if the result depends on it.
fn resolve_host(policy: &Policy, expectation: &Expectation) -> Result<String, String> {
    let Some(rules) = policy.rules() else { return Ok(DEFAULT_HOST.to_owned()) };
    if expectation.subject.client_address.is_none() && depends_on_client_address(policy, &expectation.subject)
    {
        return Err(format!(
            "{}: rules about {} depend on the client address; add from=IP",
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
    let normalized = normalize_host(&host).map_err(|error| format!("host=: {error}"))?;
    if expectation.is_registry_action && !rules.is_registry(&normalized, true) {
        return Err(format!("{host} is not a registry in this policy"));
    }
    Ok(host)
}
