//! Directives of protected locations that answer before the auth check, or replace it.

use super::super::finding::CheckRule;
use super::super::model::{Location, SubrequestTarget, address_rules};
use super::super::tree::Node;
use super::Findings;
use super::auth_response::is_success;

const RETURN: CheckRule = CheckRule::error("return-before-check", Some(7));
const SATISFY: CheckRule = CheckRule::error("satisfy-any", Some(28));
const ERROR_PAGE: CheckRule = CheckRule::warning("error-page-hides-refusal", Some(6));
const DELAY: CheckRule = CheckRule::warning("auth-delay", Some(48));
const LIMIT: CheckRule = CheckRule::warning("request-limit-of-registry", Some(25));
const SSI: CheckRule = CheckRule::warning("ssi-in-protected-location", None);

/// A push of 20 layers sends 87 requests, and several clients can share an address.
const BURST_MIN: u64 = 200;

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    for location in &model.locations {
        if !location.is_guarded() || model.is_target(location) {
            continue;
        }
        check_returns(findings, location);
        check_satisfy(findings, location);
        check_error_pages(findings, location);
        if let Some(delay) = location.block.effective("auth_delay").filter(|node| !is_zero(node.arg(0))) {
            let message = "auth_delay delays each 401, and registry clients send their first request without credentials";
            findings.report(delay, &DELAY, message, "remove the line");
        }
        if location.is_registry() {
            for limit in location.block.effective_all("limit_req") {
                let burst = limit.args().iter().find_map(|arg| arg.strip_prefix("burst="));
                if burst.and_then(|burst| burst.parse::<u64>().ok()).is_none_or(|burst| burst < BURST_MIN) {
                    let message = format!(
                        "a push of 20 layers sends 87 requests; a burst below {BURST_MIN} refuses some of them"
                    );
                    findings.report(
                        limit,
                        &LIMIT,
                        message,
                        "remove the limit, or set `burst=200` or more with `nodelay`",
                    );
                }
            }
        }
        if model.service_of(location) == Some(SubrequestTarget::Doorward)
            && let Some(ssi) = location.block.effective("ssi").filter(|node| node.arg(0) == "on")
        {
            let message = "a page of the upstream can include other paths with SSI, and nginx runs no auth check for them";
            findings.report(ssi, &SSI, message, "remove the line");
        }
    }
}

fn is_zero(time: &str) -> bool {
    time.bytes().all(|byte| byte == b'0' || byte.is_ascii_alphabetic())
}

fn check_returns<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let states_guard = location.block.child("auth_request").is_some() || !location.passes.is_empty();
    for block in location.blocks() {
        for answer in block.children_named("return").into_iter().filter(|node| is_success(*node)) {
            let is_conditional = block.name() == "if";
            // A preflight request has no credentials, and its response has no content.
            let is_preflight = is_conditional
                && block.args().join(" ").contains("OPTIONS")
                && block.args().iter().any(|arg| arg.contains("$request_method"));
            if is_preflight || !(states_guard || is_conditional) {
                continue;
            }
            let message = format!(
                "`return {}` in {} runs before the auth check, so it answers clients without credentials",
                answer.arg(0),
                location.title()
            );
            findings.report(
                answer,
                &RETURN,
                message,
                "move it to a location with `auth_request off;`, or remove it",
            );
        }
    }
}

fn check_satisfy<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let Some(satisfy) = location.block.effective("satisfy").filter(|node| node.arg(0) == "any") else {
        return;
    };
    let allows = address_rules(location.block).iter().any(|rule| rule.name() == "allow");
    let has = |name: &str| !matches!(location.block.effective_arg(name), "" | "off");
    let alternative: Option<Node<'c>> = if allows {
        address_rules(location.block).into_iter().find(|rule| rule.name() == "allow")
    } else {
        ["auth_basic", "auth_jwt", "auth_digest"]
            .into_iter()
            .find(|name| has(name))
            .and_then(|name| location.block.effective(name))
    };
    if let Some(alternative) = alternative {
        let message = format!(
            "with `satisfy any`, `{}` admits clients without the auth check, and the upstream gets no identity",
            alternative.words().join(" ")
        );
        findings.report(satisfy, &SATISFY, message, "write `satisfy all;`");
    }
}

/// Returns the status that the target of a bare `=` returns.
fn target_status<'c>(findings: &Findings<'_, 'c>, location: &Location<'c>, page: Node<'c>) -> Option<u16> {
    page.args().iter().find(|arg| *arg == "=")?;
    let model = findings.model;
    let target = model.locations.get(model.location_for(location.server, page.last_arg())?)?;
    target.block.child("return")?.arg(0).parse().ok()
}

/// Checks error pages that turn a refusal into a success: they admit no request, but clients read a success.
fn check_error_pages<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    for page in location.block.effective_all("error_page") {
        let refuses = page.args().iter().any(|arg| matches!(&arg[..], "401" | "403"));
        let status = page.args().iter().find_map(|arg| arg.strip_prefix('=')).unwrap_or_default();
        let code = status.parse::<u16>().ok().or_else(|| target_status(findings, location, page));
        if let (true, Some(code @ 200..300)) = (refuses, code) {
            let message = format!("clients get {code} for a refused request, and read it as a success");
            findings.report(page, &ERROR_PAGE, message, "write the status of the refusal, without `=200`");
        }
    }
}
