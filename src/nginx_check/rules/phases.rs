//! Directives of protected locations that answer before the auth check, or replace it.

use super::super::finding::CheckRule;
use super::super::model::{Location, Model, SubrequestTarget, address_rules};
use super::super::tree::Node;
use super::super::variables::variables;
use super::Findings;
use super::auth_response::is_success;

const RETURN: CheckRule = CheckRule::error("return-before-check", Some(7));
const REDIRECT: CheckRule = CheckRule::error("redirect-before-check", Some(7));
const CHALLENGE: CheckRule = CheckRule::warning("registry-refusal-without-challenge", Some(12));
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
        check_redirects(findings, location);
        check_satisfy(findings, location);
        check_error_pages(findings, location);
        if let Some(delay) = location.block.effective("auth_delay").filter(|node| !is_zero(node.arg(0))) {
            let message = "auth_delay delays each 401, and registry clients send their first request without credentials";
            findings.report(delay, &DELAY, message, "remove the line");
        }
        if location.is_registry() {
            check_challenge(findings, location);
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

/// Checks redirects to another host: in a location with its own `auth_request`, they are meant for admitted clients.
fn check_redirects<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    if location.block.child("auth_request").is_none() {
        return;
    }
    let returns = location.block.children_named("return").into_iter();
    let returns = returns.filter_map(|answer| Some((answer, redirect_target(answer)?)));
    let rewrites = location.block.children_named("rewrite").into_iter();
    let redirects = returns.chain(rewrites.map(|rewrite| (rewrite, rewrite.arg(1))));
    for (redirect, _) in redirects.filter(|(_, url)| leaves_host(findings.model, location, url)) {
        let message = format!(
            "`{}` in {} runs before the auth check, so every client gets the address in it",
            redirect.name(),
            location.title()
        );
        let remedy = "use `proxy_pass`, or `try_files /none @target;` and the redirect in the named location `@target`";
        findings.report(redirect, &REDIRECT, message, remedy);
    }
}

/// Returns the URL of a `return` with a redirect.
fn redirect_target(answer: Node<'_>) -> Option<&str> {
    let is_redirect = matches!(answer.arg(0), "301" | "302" | "303" | "307" | "308");
    is_redirect.then(|| answer.arg(1)).or_else(|| answer.arg(0).contains("://").then(|| answer.arg(0)))
}

/// Returns whether a URL names another host than that of the request.
fn leaves_host<'c>(model: &Model<'c>, location: &Location<'c>, url: &str) -> bool {
    let names = location.server.children_named("server_name");
    let is_own = |host: &str| {
        ["$host", "$http_host", "$server_name"].into_iter().any(|own| host.starts_with(own))
            || names.iter().flat_map(|node| node.args()).any(|name| name.eq_ignore_ascii_case(host))
    };
    let is_other = |url: &str| {
        url.split_once("://").is_some_and(|(_, rest)| {
            let host = rest.split(['/', '?', ':']).next().unwrap_or_default();
            !is_own(host)
        })
    };
    let resolved = model.variables.resolve(url);
    let first = variables(url).into_iter().next().filter(|_| url.starts_with('$'));
    is_other(&resolved) || first.is_some_and(|name| model.variables.values(name).into_iter().any(is_other))
}

/// Checks error pages with which a registry client gets no 401, so it gets no challenge and sends no credentials.
fn check_challenge<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let model = findings.model;
    for page in location.block.effective_all("error_page") {
        if page.args().iter().any(|arg| arg == "401") && hides_challenge(model, location, page) {
            let message = format!(
                "with `{}`, clients of {} get no 401 with a challenge, so `docker login` fails",
                page.words().join(" "),
                location.title()
            );
            findings.report(
                page,
                &CHALLENGE,
                message,
                "use a login page for the site only, and in the registry `error_page 401 @page;` with a `return 401`",
            );
        }
    }
}

/// Returns whether an error page replaces the status 401. `error-page-hides-refusal` reports a 2xx status.
fn hides_challenge<'c>(model: &Model<'c>, location: &Location<'c>, page: Node<'c>) -> bool {
    let status = page.args().iter().find_map(|arg| arg.strip_prefix('='));
    let replaces = |status: &str| status.parse::<u16>().map_or(true, |code| !matches!(code, 401 | 200..300));
    if let Some(status) = status.filter(|status| !status.is_empty()) {
        return replaces(status);
    }
    let target = page.last_arg();
    if target.contains("://") {
        return true;
    }
    let target = model.location_for(location.server, target).and_then(|at| model.locations.get(at));
    let Some(target) = target else { return false };
    match target.block.child("return") {
        Some(answer) => replaces(answer.arg(0)),
        // With a bare `=`, clients get the status of the login page.
        None => {
            status.is_some()
                && target.passes.iter().any(|pass| {
                    let is_doorward = model.service_of(location) == Some(SubrequestTarget::Doorward);
                    !(is_doorward && model.is_auth_service(&pass.address))
                })
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
