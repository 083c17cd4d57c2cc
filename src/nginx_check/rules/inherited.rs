//! Lists of directives that a block replaces instead of extending: variables, response headers, error pages.

use std::collections::BTreeSet;

use super::super::finding::CheckRule;
use super::super::headers::RequestHeaders;
use super::super::model::{Location, SubrequestTarget, guard};
use super::super::tree::Node;
use super::super::variables::{is_from_client, variables};
use super::Findings;

const VARIABLE: CheckRule = CheckRule::warning("auth-variable-empty", Some(46));
const SOURCE: CheckRule = CheckRule::error("auth-variable-from-client", None);
const CLEARED: CheckRule = CheckRule::error("cleared-header-passed-on", Some(46));
const HIDDEN: CheckRule = CheckRule::warning("hidden-headers-dropped", Some(46));
const SECURITY: CheckRule = CheckRule::warning("response-headers-dropped", Some(46));
const PAGES: CheckRule = CheckRule::warning("error-pages-dropped", Some(46));

/// Response headers that protect clients, or that clients of a registry read.
const SECURITY_HEADERS: [&str; 9] = [
    "strict-transport-security",
    "content-security-policy",
    "x-frame-options",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "docker-distribution-api-version",
    "www-authenticate",
];

/// Request headers that a level clears for reasons other than protection.
const HARMLESS_HEADERS: [&str; 6] =
    ["connection", "content-length", "accept-encoding", "range", "upgrade", "proxy-connection"];

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    for location in &model.locations {
        if model.is_target(location) {
            continue;
        }
        if model.has_guard(location.server) {
            check_response_headers(findings, location);
        }
        if !location.is_guarded() {
            continue;
        }
        check_variables(findings, location);
        check_sources(findings, location);
        check_cleared(findings, location);
        check_error_pages(findings, location);
        if model.service_of(location) == Some(SubrequestTarget::Doorward) {
            check_hidden(findings, location);
        }
    }
}

/// Returns the directives of a list in the block itself, and those of the outer level that they replace.
fn replaced<'c>(block: Node<'c>, name: &str) -> Option<(Vec<Node<'c>>, Vec<Node<'c>>)> {
    let own = block.children_named(name);
    if own.is_empty() || block.is_root() {
        return None;
    }
    let outer = block.parent().effective_all(name);
    (!outer.is_empty()).then_some((own, outer))
}

fn lower(node: &Node<'_>) -> String {
    node.arg(0).to_ascii_lowercase()
}

/// Returns the first arguments in lower case that only the outer list has.
fn lost(own: &[Node<'_>], outer: &[Node<'_>]) -> BTreeSet<String> {
    let own: BTreeSet<String> = own.iter().map(lower).collect();
    outer.iter().map(lower).filter(|name| !own.contains(name)).collect()
}

/// Checks that the location uses no variable that only another location sets.
fn check_variables<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let model = findings.model;
    let here: BTreeSet<&str> = location
        .block
        .effective_all("auth_request_set")
        .into_iter()
        .map(|node| node.arg(0).trim_start_matches('$'))
        .collect();
    for pass in &location.passes {
        let headers = RequestHeaders::read(pass);
        let used = headers.iter().map(|(_, node)| (node, node.arg(1))).chain([(pass.node, pass.node.arg(0))]);
        for (node, text) in used {
            for name in variables(text) {
                if model.variables.is_set_by_auth(name)
                    && !here.contains(name)
                    && !model.variables.is_assigned(name)
                {
                    let own = location.block.child("auth_request_set");
                    let message = format!(
                        "${name} is empty in {}, because no `auth_request_set` of this level sets it",
                        location.title()
                    );
                    let remedy =
                        "repeat the line here: a location with its own auth_request_set inherits none";
                    findings.report(own.unwrap_or(node), &VARIABLE, message, remedy);
                }
            }
        }
    }
}

/// Checks that an identity comes from the auth service.
fn check_sources<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    for node in location.block.effective_all("auth_request_set") {
        let from_client = variables(node.arg(1))
            .into_iter()
            .find(|name| is_from_client(name) && *name != "http_authorization");
        if let Some(name) = from_client {
            let message = format!("${name} is a value of the client, and not of the auth service");
            findings.report(
                node,
                &SOURCE,
                message,
                format!("write `$upstream_{name}`, the header of the response"),
            );
        }
    }
}

/// Checks the headers that an outer level clears, and that the client can send here.
fn check_cleared<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let Some((own, outer)) = replaced(location.block, "proxy_set_header") else { return };
    let cleared: Vec<Node<'c>> = outer.into_iter().filter(|node| node.arg(1).is_empty()).collect();
    let names: Vec<String> = lost(&own, &cleared)
        .into_iter()
        .filter(|name| !HARMLESS_HEADERS.contains(&&name[..]) && name != "authorization")
        .collect();
    let passes_headers = location.passes.iter().any(|pass| RequestHeaders::read(pass).passes_client_headers);
    if let (Some(first), false, true) = (own.first(), names.is_empty(), passes_headers) {
        let message = format!(
            "this location has its own proxy_set_header, so it does not inherit the lines that clear {}; a client can send these headers to the upstream",
            names.join(", ")
        );
        findings.report(*first, &CLEARED, message, "repeat the lines here, for example by an include");
    }
}

fn check_hidden<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let Some((own, outer)) = replaced(location.block, "proxy_hide_header") else { return };
    let names: Vec<String> = lost(&own, &outer)
        .into_iter()
        .filter(|name| name.starts_with("x-auth-") || name.starts_with("x-upstream-"))
        .collect();
    if let (Some(first), false) = (own.first(), names.is_empty()) {
        let message = format!(
            "this location hides {} no longer, because it has its own proxy_hide_header",
            names.join(", ")
        );
        findings.report(*first, &HIDDEN, message, "repeat the lines here");
    }
}

fn check_response_headers<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    for block in location.blocks() {
        let Some((own, outer)) = replaced(block, "add_header") else { continue };
        if block.effective_arg("add_header_inherit") == "merge" {
            continue;
        }
        let names: Vec<String> =
            lost(&own, &outer).into_iter().filter(|name| SECURITY_HEADERS.contains(&&name[..])).collect();
        if let (Some(first), false) = (own.first(), names.is_empty()) {
            let message = format!(
                "responses lack {} here, because a block with its own add_header inherits none",
                names.join(", ")
            );
            findings.report(*first, &SECURITY, message, "repeat the lines here");
        }
    }
}

fn check_error_pages<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    if guard(location.block).is_none() {
        return;
    }
    let Some((own, outer)) = replaced(location.block, "error_page") else { return };
    let codes = |pages: &[Node<'c>]| -> BTreeSet<&'c str> {
        pages
            .iter()
            .flat_map(|page| page.args())
            .map(String::as_str)
            .filter(|arg| matches!(*arg, "401" | "403" | "500"))
            .collect()
    };
    let (own_codes, outer_codes) = (codes(&own), codes(&outer));
    let lost: Vec<&str> = outer_codes.difference(&own_codes).copied().collect();
    if let (Some(first), false) = (own.first(), lost.is_empty()) {
        let message = format!(
            "refusals with {} have no error page here, because a block with its own error_page inherits none",
            lost.join(", ")
        );
        findings.report(*first, &PAGES, message, "repeat the lines here");
    }
}
