//! Settings that turn a refusal of the auth service into an admission.

use super::super::finding::CheckRule;
use super::super::model::{AuthTarget, Location, Model, SubrequestTarget};
use super::super::tree::Node;
use super::Findings;
use super::auth_location::is_self_check;

const ANSWERS: CheckRule = CheckRule::error("auth-location-answers-itself", Some(7));
const ERROR_PAGE: CheckRule = CheckRule::error("error-page-admits", Some(6));
const CACHE: CheckRule = CheckRule::error("auth-cache-key", Some(5));
const STORE: CheckRule = CheckRule::error("auth-response-stored", Some(5));
const REWRITE: CheckRule = CheckRule::warning("rewrite-in-auth-location", Some(8));

/// The default key of `proxy_cache`, which is the same for all clients.
const DEFAULT_KEY: &str = "$scheme$proxy_host$uri$is_args$args";

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    for target in &model.targets {
        let Some(location) = target.location.and_then(|at| model.locations.get(at)) else { continue };
        if is_self_check(location, target) {
            continue;
        }
        check_answers(findings, location);
        check_error_pages(findings, location);
        check_cache(findings, target, location);
    }
}

/// Returns whether a `return` answers with a 2xx status.
pub(super) fn is_success(answer: Node<'_>) -> bool {
    answer.arg(0).parse::<u16>().is_ok_and(|code| (200..300).contains(&code))
}

fn check_answers<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let blocks = location.blocks();
    for answer in
        blocks.iter().flat_map(|block| block.children_named("return")).filter(|node| is_success(*node))
    {
        let message = format!(
            "{} answers {} itself, so the request is admitted without the auth service",
            location.title(),
            answer.arg(0)
        );
        findings.report(answer, &ANSWERS, message, "remove the line");
    }
    for rewrite in blocks.iter().flat_map(|block| block.children_named("rewrite")) {
        findings.report(
            rewrite,
            &REWRITE,
            "a rewrite changes the path of the subrequest, and can lead to another location",
            "write the path in `proxy_pass`",
        );
    }
    let answers_otherwise = ["content_by_lua_block", "content_by_lua_file", "js_content", "return", "perl"]
        .iter()
        .any(|name| location.block.child(name).is_some());
    if location.passes.is_empty() && !answers_otherwise {
        let message = format!(
            "{} passes nothing to an auth service; an existing file admits every client",
            location.title()
        );
        findings.report(location.block, &ANSWERS, message, "add `proxy_pass http://doorward/auth;`");
    }
}

/// Checks the error pages that apply to the subrequest. nginx uses them for its own errors, such as an auth service that
/// is down, and with `proxy_intercept_errors on` for those of the auth service too.
fn check_error_pages<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let model = findings.model;
    let intercepts =
        location.passes.iter().any(|pass| pass.node.parent().effective_arg("proxy_intercept_errors") == "on");
    for page in location.block.effective_all("error_page") {
        let codes: Vec<u16> = page.args().iter().filter_map(|arg| arg.parse().ok()).collect();
        let applies = codes.iter().any(|code| match code {
            400 | 413 | 414 | 500..=504 => true,
            other => intercepts && (300..600).contains(other),
        });
        if applies && page_admits(model, location, page) {
            let message = format!(
                "`{}` applies to the auth subrequest, whose refusal becomes a success that admits every client",
                page.words().join(" ")
            );
            let remedy = "write the status of the refusal without `=200`, and `proxy_intercept_errors off;` in the auth location";
            findings.report(page, &ERROR_PAGE, message, remedy);
        }
    }
}

/// Returns whether an error page can end with a 2xx status: `=200`, or `=` with a target that answers 2xx.
fn page_admits<'c>(model: &Model<'c>, location: &Location<'c>, page: Node<'c>) -> bool {
    let Some(status) = page.args().iter().find_map(|arg| arg.strip_prefix('=')) else { return false };
    if !status.is_empty() {
        return status.parse::<u16>().is_ok_and(|code| (200..300).contains(&code));
    }
    let target = page.last_arg();
    if target.contains('$') {
        return false;
    }
    let target = model.location_for(location.server, target).and_then(|at| model.locations.get(at));
    target.is_some_and(|target| target.block.child("return").is_none_or(is_success))
}

fn check_cache<'c>(findings: &mut Findings<'_, 'c>, target: &AuthTarget<'c>, location: &Location<'c>) {
    let model = findings.model;
    let Some(pass) = location.passes.first() else { return };
    let block = pass.node.parent();
    let protocol = pass.node.name().trim_end_matches("_pass");
    let is_on = |name: String| block.effective(&name).filter(|node| node.arg(0) != "off");
    if let Some(store) = is_on(format!("{protocol}_store")) {
        findings.report(
            store,
            &STORE,
            "nginx stores the response of the auth service as a file, and admits later requests with it",
            "add `proxy_store off;` to the auth location",
        );
    }
    let Some(cache) = is_on(format!("{protocol}_cache")) else { return };
    let key = block.effective(&format!("{protocol}_cache_key"));
    let origins = model.variables.origins(key.map_or(DEFAULT_KEY, |node| node.arg(0)));
    let place = key.unwrap_or(cache);
    let has_credentials = origins
        .iter()
        .any(|name| matches!(&name[..], "http_authorization" | "http_cookie") || name.starts_with("cookie_"));
    let remedy = "add `proxy_cache off;` to the auth location: doorward has a cache of its own";
    if !has_credentials {
        let message = "the key of this cache has no credentials, so one accepted request admits every client";
        findings.report(place, &CACHE, message, remedy);
    } else if target.service == SubrequestTarget::Doorward {
        let missing: Vec<&str> =
            ["request_method", "request_uri"].into_iter().filter(|name| !origins.contains(*name)).collect();
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(|name| format!("${name}")).collect();
            let message = format!(
                "the key of this cache lacks {}, so a permitted request also permits others",
                names.join(" and ")
            );
            findings.report(place, &CACHE, message, remedy);
        }
    }
}
