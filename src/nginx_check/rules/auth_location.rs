//! The location of the auth subrequest: the clients that can reach it, and what it sends to the auth service.

use super::super::finding::CheckRule;
use super::super::headers::RequestHeaders;
use super::super::model::{AuthTarget, Location, LocationKind, Model, PassDirective, SubrequestTarget};
use super::super::tree::Node;
use super::super::variables::{captures, is_from_client, variables};
use super::Findings;

const MISSING: CheckRule = CheckRule::warning("auth-location-missing", None);
const ELSEWHERE: CheckRule = CheckRule::error("auth-request-leads-elsewhere", None);
const NOT_INTERNAL: CheckRule = CheckRule::error("auth-location-not-internal", Some(50));
const FORGEABLE: CheckRule = CheckRule::error("client-headers-in-subrequest", None);
const CLIENT_VALUE: CheckRule = CheckRule::error("client-value-in-subrequest", None);
const CLIENT_ADDRESS: CheckRule = CheckRule::error("client-chooses-address", None);
const NO_ADDRESS: CheckRule = CheckRule::warning("no-client-address", None);
const CONDITIONAL: CheckRule = CheckRule::warning("conditional-headers-in-subrequest", Some(3));
const INCOMPLETE: CheckRule = CheckRule::warning("subrequest-header-missing", None);
const WRONG_URI: CheckRule = CheckRule::warning("original-uri-not-request-uri", None);
const DECODED_URI: CheckRule = CheckRule::error("original-uri-decoded", Some(19));
const WRONG_METHOD: CheckRule = CheckRule::error("original-method-constant", None);
const WRONG_HOST: CheckRule = CheckRule::error("original-host-from-header", None);
const CONTENT_TYPE: CheckRule = CheckRule::warning("content-type-without-prefix", Some(15));
const CONFLICTING: CheckRule = CheckRule::warning("conflicting-header", None);
const BODY: CheckRule = CheckRule::warning("subrequest-body", Some(2));
const BODY_SIZE: CheckRule = CheckRule::warning("subrequest-body-limit", Some(1));
const BUFFER: CheckRule = CheckRule::warning("small-response-buffer", Some(10));
const SHARED_VARIABLE: CheckRule = CheckRule::error("variable-shared-with-subrequest", Some(8));
const SET: CheckRule = CheckRule::warning("set-in-auth-location", Some(8));
const TLS: CheckRule = CheckRule::warning("auth-service-not-verified", Some(41));
const PATH: CheckRule = CheckRule::warning("unknown-path-of-doorward", None);

/// Headers that doorward reads. A client must not be able to send them.
const TRUSTED_HEADERS: [&str; 7] = [
    "X-Original-URI",
    "X-Original-Method",
    "X-Original-Host",
    "X-Original-Content-Type",
    "X-Real-IP",
    "X-Auth-Rewrite",
    "X-Auth-Proxy-Secret",
];

/// Headers with which a service can answer 206, 304 or 416, which nginx does not accept from an auth service.
const CONDITIONAL_HEADERS: [&str; 3] = ["Range", "If-None-Match", "If-Modified-Since"];

/// Headers of other proxies. doorward refuses a subrequest that contains one of them.
const CONFLICTING_HEADERS: [&str; 7] = [
    "x-original-url",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-sent-from",
    "x-auth-request-redirect",
    "x-envoy-original-path",
    "x-rewrite-url",
];

/// The size that a response header with upstream credentials needs. ECR's tokens have more than 4 KiB.
const BUFFER_MIN: u64 = 16 * 1024;

/// The default of `client_max_body_size`.
const BODY_SIZE_DEFAULT: u64 = 1024 * 1024;

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    for target in &model.targets {
        let Some(location) = target.location.and_then(|at| model.locations.get(at)) else {
            if target.server.child("return").is_some() {
                continue;
            }
            let message = format!("no location has the path {}, so every request gets a 500", target.uri);
            findings.report(target.directive, &MISSING, message, "add the location of the auth subrequest");
            continue;
        };
        if is_self_check(location, target) {
            let message = format!(
                "{} names {}, which nginx finds in {}; the response of that location decides which clients are admitted",
                "`auth_request`",
                target.uri,
                location.title()
            );
            let remedy = "write the path of the auth location, `location = /_doorward`";
            findings.report(target.directive, &ELSEWHERE, message, remedy);
            continue;
        }
        check_body(findings, target, location);
        check_variables(findings, location);
        let Some(pass) = location.passes.first() else { continue };
        if target.service == SubrequestTarget::Doorward {
            check_reachable(findings, location);
            check_headers(findings, target, location, pass);
            check_buffer(findings, target, location, pass);
            check_address(findings, target, pass);
        }
    }
}

/// Returns whether the subrequest is handled by a location that itself requires the subrequest.
pub(super) fn is_self_check(location: &Location<'_>, target: &AuthTarget<'_>) -> bool {
    let is_general = location.kind != LocationKind::Exact && location.path != target.uri;
    is_general && location.guard() == Some(target.uri)
}

fn check_reachable<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    if location.is_public() && !super::super::model::is_restricted(location.block) {
        let message = format!(
            "{} has no `internal`, so a client can call doorward itself and read its response headers",
            location.title()
        );
        findings.report(location.block, &NOT_INTERNAL, message, "add `internal;`");
    }
}

fn check_headers<'c>(
    findings: &mut Findings<'_, 'c>,
    target: &AuthTarget<'c>,
    location: &Location<'c>,
    pass: &PassDirective<'c>,
) {
    let headers = RequestHeaders::read(pass);
    let forgeable: Vec<&str> =
        TRUSTED_HEADERS.into_iter().filter(|name| headers.lets_client_send(name)).collect();
    if !forgeable.is_empty() {
        let message = format!("a client can send {} to doorward, which trusts them", forgeable.join(", "));
        findings.report(
            location.block,
            &FORGEABLE,
            message,
            "add `proxy_pass_request_headers off;`, and set each header that doorward needs",
        );
    }
    let conditional: Vec<&str> =
        CONDITIONAL_HEADERS.into_iter().filter(|name| headers.lets_client_send(name)).collect();
    if !conditional.is_empty() {
        let message = format!(
            "the auth subrequest has {} of the client, which can change the response of the auth service",
            conditional.join(", ")
        );
        findings.report(location.block, &CONDITIONAL, message, "add `proxy_pass_request_headers off;`");
    }
    for name in ["X-Original-URI", "X-Original-Method", "Authorization"] {
        if headers.get(name).is_none_or(|node| node.arg(1).is_empty()) && !headers.lets_client_send(name) {
            let message =
                format!("the auth subrequest has no {name}, so doorward refuses every request that needs it");
            let remedy = format!("add `proxy_set_header {name} {};`", usual_value(name));
            findings.report(location.block, &INCOMPLETE, message, remedy);
        }
    }
    let has_address = headers.get("X-Real-IP").is_some_and(|node| !node.arg(1).is_empty());
    if !has_address && !headers.lets_client_send("X-Real-IP") {
        findings.report(
            location.block,
            &NO_ADDRESS,
            "the auth subrequest has no X-Real-IP, so doorward throttles all clients as one network",
            "add `proxy_set_header X-Real-IP $remote_addr;`",
        );
    }
    check_uri(findings, target, &headers);
    check_values(findings, &headers);
    let sets_conflicting =
        headers.iter().find(|(name, node)| CONFLICTING_HEADERS.contains(name) && !node.arg(1).is_empty());
    if let Some((_, node)) = sets_conflicting {
        let message =
            format!("doorward refuses a subrequest with {}, which other types of proxies send", node.arg(0));
        findings.report(node, &CONFLICTING, message, "remove the line");
    }
    let sends_type = headers.get("X-Original-Content-Type").is_some()
        || headers.lets_client_send("X-Original-Content-Type");
    if !sends_type {
        for registry in unfiltered_registries(findings.model, target) {
            let message = format!(
                "doorward does not get the Content-Type, and {} passes it on; a form in a body can mount layers of other repositories",
                registry.title()
            );
            let remedy = "add `proxy_set_header X-Original-Content-Type \"ct:$content_type\";`";
            findings.report(
                location.block,
                &CheckRule::error("form-body-not-checked", Some(15)),
                message,
                remedy,
            );
        }
    }
}

/// Returns the locations of a registry that pass on the Content-Type of the client.
fn unfiltered_registries<'m, 'c>(model: &'m Model<'c>, target: &AuthTarget<'c>) -> Vec<&'m Location<'c>> {
    model
        .locations_of(target.server)
        .filter(|location| location.is_registry() && location.guard() == Some(target.uri))
        .filter(|location| {
            location.passes.iter().any(|pass| {
                let headers = RequestHeaders::read(pass);
                headers.lets_client_send("Content-Type")
                    || headers
                        .get("Content-Type")
                        .is_some_and(|node| matches!(node.arg(1), "$content_type" | "$http_content_type"))
            })
        })
        .collect()
}

fn usual_value(name: &str) -> &'static str {
    match name {
        "X-Original-URI" => "$request_uri",
        "X-Original-Method" => "$request_method",
        _ => "$http_authorization",
    }
}

/// Checks that doorward gets the path as the client sent it, which is the path that the upstream gets.
fn check_uri<'c>(findings: &mut Findings<'_, 'c>, target: &AuthTarget<'c>, headers: &RequestHeaders<'c>) {
    let model = findings.model;
    let Some(node) = headers.get("X-Original-URI").filter(|node| !node.arg(1).is_empty()) else { return };
    let value = node.arg(1);
    let origins = model.variables.origins(value);
    let is_sent_path = origins.contains("request_uri")
        && model.variables.resolve(value).starts_with('$')
        && !value.starts_with("$scheme");
    if is_sent_path || origins.iter().any(|name| is_from_client(name)) {
        return;
    }
    if is_decoded_path(model, target, value) {
        let message = format!(
            "{value} is the decoded path without its query, but the upstream gets the path as the client sent it; doorward can permit another resource"
        );
        findings.report(node, &DECODED_URI, message, "write `$request_uri`");
    } else {
        let message = format!(
            "{value} is not the path that the client requested; in the subrequest, $uri and $args are those of this location"
        );
        findings.report(node, &WRONG_URI, message, "write `$request_uri`");
    }
}

/// Returns whether a protected location sets a variable of a text to its decoded path, or captures it from that path.
fn is_decoded_path<'c>(model: &Model<'c>, target: &AuthTarget<'c>, text: &str) -> bool {
    let names = model.variables.names(text);
    let protected = model
        .locations_of(target.server)
        .filter(|location| location.guard() == Some(target.uri) && !model.is_target(location));
    let sets_decoded = |block: Node<'c>| {
        // A group of `if ($request_uri ~ …)` is not decoded.
        let groups_are_decoded = !block.args().iter().any(|arg| arg.contains("request_uri"));
        block.children_named("set").into_iter().any(|set| {
            let is_decoded = |name: &str| {
                matches!(name, "uri" | "document_uri" | "request_filename")
                    || (groups_are_decoded && name.bytes().all(|byte| byte.is_ascii_digit()))
            };
            names.contains(set.arg(0).trim_start_matches('$'))
                && model.variables.any_origin(set.arg(1), is_decoded)
        })
    };
    protected.into_iter().any(|location| {
        let captured = location.block.args().iter().flat_map(|arg| captures(arg));
        captured.into_iter().any(|name| names.contains(name))
            || location.blocks().into_iter().any(sets_decoded)
    })
}

/// Checks the values of the headers that doorward trusts.
fn check_values<'c>(findings: &mut Findings<'_, 'c>, headers: &RequestHeaders<'c>) {
    let model = findings.model;
    let origins = |node: Node<'c>| model.variables.origins(node.arg(1));
    if let Some(node) = headers.get("X-Original-Method").filter(|node| !node.arg(1).is_empty())
        && !origins(node).contains("request_method")
        && !origins(node).iter().any(|name| is_from_client(name))
    {
        let message = format!(
            "X-Original-Method is always {}, so a permission for one method permits all methods",
            node.arg(1)
        );
        findings.report(node, &WRONG_METHOD, message, "write `$request_method`");
    }
    if let Some(node) = headers.get("X-Original-Host")
        && origins(node).contains("http_host")
        && !origins(node).contains("host")
    {
        findings.report(
            node,
            &WRONG_HOST,
            "nginx selects the server by $host, and a client can send another Host header with an absolute request line",
            "write `$host`",
        );
    }
    if let Some(node) = headers.get("X-Real-IP")
        && origins(node).iter().any(|name| is_from_client(name))
    {
        findings.report(
            node,
            &CLIENT_ADDRESS,
            format!("a client can choose {}, so it can bypass the throttle", node.arg(1)),
            "write `$remote_addr`, and use set_real_ip_from and real_ip_header behind a load balancer",
        );
    }
    if let Some(node) = headers.get("X-Original-Content-Type")
        && !node.arg(1).is_empty()
        && !node.arg(1).starts_with("ct:")
    {
        findings.report(
            node,
            &CONTENT_TYPE,
            "doorward requires the prefix `ct:`, which makes an empty value differ from no header",
            "write `\"ct:$content_type\"`",
        );
    }
    for name in
        ["X-Original-URI", "X-Original-Method", "X-Original-Host", "X-Auth-Rewrite", "X-Auth-Proxy-Secret"]
    {
        let Some(node) = headers.get(name) else { continue };
        let is_client = |origin: &str| is_from_client(origin) && origin != "http_host";
        if model.variables.any_origin(node.arg(1), is_client) {
            let message = format!("{name} is made of a value that the client sends, and doorward trusts it");
            findings.report(node, &CLIENT_VALUE, message, "use a variable that nginx sets");
        }
    }
}

fn check_body<'c>(findings: &mut Findings<'_, 'c>, target: &AuthTarget<'c>, location: &Location<'c>) {
    let model = findings.model;
    if let Some(pass) = location.passes.iter().find(|pass| pass.node.name() == "proxy_pass") {
        let block = pass.node.parent();
        if block.effective_arg("proxy_pass_request_body") != "off" {
            findings.report(
                location.block,
                &BODY,
                "the auth subrequest announces the body of the client, and the auth service waits for it",
                "add `proxy_pass_request_body off;` and `proxy_set_header Content-Length \"\";`",
            );
        } else if RequestHeaders::read(pass).get("Content-Length").is_none_or(|node| !node.arg(1).is_empty())
        {
            findings.report(
                location.block,
                &BODY,
                "the auth subrequest has the Content-Length of the client but no body, and the auth service waits for it",
                "add `proxy_set_header Content-Length \"\";`",
            );
        }
    }
    let limit = |block: Node<'c>| {
        let size = block.effective("client_max_body_size").map(|node| parse_size(node.arg(0)));
        match size {
            None => Some(BODY_SIZE_DEFAULT),
            Some(Some(0)) => Some(u64::MAX),
            Some(size) => size,
        }
    };
    let guarded =
        model.locations_of(target.server).filter(|l| l.guard() == Some(target.uri) && !model.is_target(l));
    let largest = guarded.filter_map(|guarded| limit(guarded.block)).max();
    if let (Some(largest), Some(own)) = (largest, limit(location.block))
        && own < largest
    {
        findings.report(
            location.block,
            &BODY_SIZE,
            "client_max_body_size applies to the auth subrequest too, and is smaller here than in a protected location; a larger upload gets a 500",
            "add `client_max_body_size 0;`",
        );
    }
}

/// Parses a size such as `16k` or `1m`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1024),
        (at, 'm' | 'M') => (text.get(..at)?, 1024 * 1024),
        (at, 'g' | 'G') => (text.get(..at)?, 1024 * 1024 * 1024),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn check_buffer<'c>(
    findings: &mut Findings<'_, 'c>,
    target: &AuthTarget<'c>,
    location: &Location<'c>,
    pass: &PassDirective<'c>,
) {
    let model = findings.model;
    let uses_credentials = target
        .server
        .descendants("auth_request_set")
        .into_iter()
        .chain(target.server.effective_all("auth_request_set"))
        .any(|node| variables(node.arg(1)).contains(&"upstream_http_x_upstream_authorization"));
    let buffer = pass.node.parent().effective("proxy_buffer_size");
    let is_small = match buffer {
        Some(node) => parse_size(&model.variables.resolve(node.arg(0))).is_some_and(|size| size < BUFFER_MIN),
        None => uses_credentials,
    };
    if is_small {
        // An outer level can be right for other locations, so the line belongs into the auth location.
        let own = buffer.filter(|node| node.parent().levels().any(|level| level == location.block));
        findings.report(
            own.unwrap_or(location.block),
            &BUFFER,
            "the buffer is too small for a response header with upstream credentials, which results in a 500",
            "add `proxy_buffer_size 32k; proxy_buffers 4 32k; proxy_busy_buffers_size 64k;` to the auth location",
        );
    }
}

/// Checks variables, because the subrequest shares them with the request of the client.
fn check_variables<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let model = findings.model;
    let is_used_elsewhere = |name: &str| {
        model.locations.iter().filter(|other| other.block != location.block).any(|other| {
            other.passes.iter().any(|pass| {
                variables(pass.node.arg(0)).contains(&name)
                    || RequestHeaders::read(pass)
                        .iter()
                        .any(|(_, node)| variables(node.arg(1)).contains(&name))
            })
        })
    };
    for set in location.blocks().into_iter().flat_map(|block| block.children_named("set")) {
        let name = set.arg(0).trim_start_matches('$');
        if is_used_elsewhere(name) {
            let message =
                format!("this changes ${name} of the client's request, which another location uses");
            findings.report(set, &SHARED_VARIABLE, message, "move it out of the auth location");
        } else if !location.passes.iter().any(|pass| variables(pass.node.arg(0)).contains(&name)) {
            let message = format!("this changes ${name} of the client's request too");
            findings.report(set, &SET, message, "move it out of the auth location");
        }
    }
    for pass in &location.passes {
        for (_, node) in RequestHeaders::read(pass).iter() {
            for name in variables(node.arg(1)) {
                let differs = |origin: &str| {
                    matches!(
                        origin,
                        "uri" | "document_uri" | "args" | "query_string" | "is_args" | "request_filename"
                    ) || origin.starts_with("upstream_")
                };
                if model.variables.is_map(name)
                    && model.variables.any_origin(&format!("${name}"), differs)
                    && is_used_elsewhere(name)
                {
                    let message = format!(
                        "${name} depends on the path or the response of the subrequest, and the client's request keeps that value"
                    );
                    findings.report(node, &SHARED_VARIABLE, message, "use a map of $request_uri");
                }
            }
        }
    }
}

fn check_address<'c>(findings: &mut Findings<'_, 'c>, target: &AuthTarget<'c>, pass: &PassDirective<'c>) {
    if pass.address.is_tls && pass.node.parent().effective_arg("proxy_ssl_verify") != "on" {
        findings.report(
            pass.node,
            &TLS,
            "nginx does not verify the certificate of the auth service, so another machine can read passwords and admit clients",
            "add `proxy_ssl_verify on;`, `proxy_ssl_trusted_certificate` and `proxy_ssl_name`",
        );
    }
    // Another auth service can have any path, also with the snippets and the upstream name of doorward.
    let sends_own_path = pass.address.path.is_none() && target.uri.split('/').nth(1) != Some("auth");
    if sends_own_path && pass.address.name.contains("doorward") {
        let message = format!("doorward has no path {}, so every request gets a 500", target.uri);
        findings.report(pass.node, &PATH, message, "write `proxy_pass http://…/auth;`");
    }
}
