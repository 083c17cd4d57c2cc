//! The headers that a protected upstream gets: the identity, the credentials, and what a client can send.

use super::super::finding::CheckRule;
use super::super::headers::{ForwardedIdentities, IDENTITY_HEADERS, RequestHeaders, is_identity_variable};
use super::super::model::{Location, LocationKind, Model, PassDirective, SubrequestTarget};
use super::super::tree::Node;
use super::super::variables::variables;
use super::Findings;
use super::auth_location::parse_size;

const FORGED: CheckRule = CheckRule::error("identity-header-from-client", Some(46));
const FORGED_DETAIL: CheckRule = CheckRule::warning("identity-detail-from-client", Some(46));
const CLIENT_IDENTITY: CheckRule = CheckRule::error("identity-is-client-value", None);
const PASSWORD: CheckRule = CheckRule::warning("password-reaches-upstream", Some(27));
const SECRET: CheckRule = CheckRule::error("proxy-secret-reaches-upstream", None);
const MOUNT: CheckRule = CheckRule::error("mount-rewrite-not-used", Some(18));
const TLS: CheckRule = CheckRule::warning("upstream-not-verified", Some(41));
const UPGRADE: CheckRule = CheckRule::warning("upgrade-to-any-protocol", None);
const RESPONSE_VARIABLE: CheckRule = CheckRule::warning("response-variable-in-request", Some(46));
const CHALLENGE: CheckRule = CheckRule::warning("registry-challenge-passed-on", Some(42));
const LOCATION: CheckRule = CheckRule::warning("registry-location-not-rewritten", Some(38));
const REDIRECT: CheckRule = CheckRule::error("credentials-sent-to-redirect", Some(40));
const CACHE: CheckRule = CheckRule::error("page-cache-without-user", Some(5));
const REGISTRY_BODY: CheckRule = CheckRule::warning("registry-body-limit", Some(1));
const REGISTRY_BUFFER: CheckRule = CheckRule::warning("registry-uploads-buffered", Some(47));
const REGISTRY_FORM: CheckRule = CheckRule::warning("registry-content-type", Some(15));

/// The size below which layers of usual images do not fit.
const LAYER_MIN: u64 = 1024 * 1024 * 1024;

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    let identity = ForwardedIdentities::read(model);
    for location in &model.locations {
        let is_doorward = model.service_of(location) == Some(SubrequestTarget::Doorward);
        if model.is_target(location) || location.is_closed() {
            continue;
        }
        for pass in &location.passes {
            if !model.is_auth_service(&pass.address) {
                check_secrets(findings, location, pass);
            }
            if is_doorward {
                check_guarded(findings, location, pass);
            }
            // A location that is open by mistake is reported by `unguarded`, and a single open path needs no identity.
            let is_open_on_purpose = location.is_public()
                && location.is_explicitly_open()
                && location.kind != LocationKind::Exact
                && model.is_protected_by_doorward(&pass.address);
            if location.is_guarded() || is_open_on_purpose {
                check_identity(findings, location, pass, &identity, is_doorward);
            }
        }
        if is_doorward && location.is_registry() && !location.passes.is_empty() {
            check_registry(findings, location);
        }
    }
}

fn check_identity<'c>(
    findings: &mut Findings<'_, 'c>,
    location: &Location<'c>,
    pass: &PassDirective<'c>,
    identity: &ForwardedIdentities,
    is_doorward: bool,
) {
    let model = findings.model;
    let headers = RequestHeaders::read(pass);
    let doorward = is_doorward || model.is_protected_by_doorward(&pass.address);
    let own: &[&str] = if doorward { &["x-auth-user", "x-auth-groups"] } else { &[] };
    let mut names: Vec<&str> = own.to_vec();
    names.extend(identity.of(&pass.address).into_iter().filter(|name| !own.contains(name)));
    let forged: Vec<&str> = names.into_iter().filter(|name| headers.lets_client_send(name)).collect();
    if !forged.is_empty() {
        let message = format!(
            "{} passes on {} as the client sent it, so a client can choose its identity",
            location.title(),
            forged.join(", ")
        );
        let remedy = "set each of them from `auth_request_set`, or to \"\"; a location with its own proxy_set_header inherits none";
        findings.report(location.block, &FORGED, message, remedy);
    } else if is_doorward {
        let details: Vec<&str> =
            IDENTITY_HEADERS.into_iter().filter(|name| headers.lets_client_send(name)).collect();
        if !details.is_empty() {
            let message =
                format!("{} passes on {} as the client sent it", location.title(), details.join(", "));
            findings.report(
                location.block,
                &FORGED_DETAIL,
                message,
                "set each of them from `auth_request_set`, or to \"\"",
            );
        }
    }
    if !doorward {
        return;
    }
    // The usual list of parameters for PHP contains REMOTE_USER.
    let is_header = matches!(pass.node.name(), "proxy_pass" | "grpc_pass");
    for (name, node) in headers.iter() {
        let is_identity = name.starts_with("x-auth-") || name == "remote-user";
        let own = format!("http_{}", name.replace('-', "_"));
        let is_client = |origin: &str| {
            (origin == "remote_user" && is_header)
                || (is_identity
                    && (origin == own || origin.starts_with("arg_") || origin.starts_with("http_x_")))
        };
        if model.variables.any_origin(node.arg(1), is_client) {
            let message = format!("{} is {}, which the client chooses", node.arg(0), node.arg(1));
            findings.report(
                node,
                &CLIENT_IDENTITY,
                message,
                "use a variable that `auth_request_set` sets from a response header of doorward",
            );
        }
    }
}

fn check_guarded<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>, pass: &PassDirective<'c>) {
    let headers = RequestHeaders::read(pass);
    let block = pass.node.parent();
    check_page_cache(findings, location, pass);
    if headers.lets_client_send("Authorization") {
        let message = format!("{} passes the password of the client on to the upstream", location.title());
        findings.report(
            location.block,
            &PASSWORD,
            message,
            "add `proxy_set_header Authorization \"\";`, or `$http_authorization` if the upstream needs it",
        );
    }
    let is_verified =
        block.effective_arg(&format!("{}_ssl_verify", pass.node.name().trim_end_matches("_pass"))) == "on";
    if pass.address.is_tls && !is_verified {
        findings.report(
            pass.node,
            &TLS,
            "nginx does not verify the certificate of the upstream, which gets credentials or an identity",
            "add `proxy_ssl_verify on;`, `proxy_ssl_server_name on;` and `proxy_ssl_trusted_certificate`",
        );
    }
    let upgrades = headers.get("Upgrade").filter(|node| variables(node.arg(1)) == ["http_upgrade"]);
    let keeps_header = headers.get("Connection").is_some_and(|node| {
        !matches!(node.arg(1).to_ascii_lowercase().as_str(), "" | "close" | "keep-alive")
    });
    if let (Some(node), true) = (upgrades, keeps_header) {
        let message = "a client can request h2c, which opens a tunnel whose requests are not checked";
        findings.report(node, &UPGRADE, message, "pass on `websocket` only, with a map of $http_upgrade");
    }
    for (_, node) in headers.iter() {
        let is_response = variables(node.arg(1)).iter().any(|name| name.starts_with("upstream_http_"));
        if is_response {
            let message =
                format!("{} is empty here, because the upstream has not responded yet", node.arg(1));
            findings.report(
                node,
                &RESPONSE_VARIABLE,
                message,
                "store it with `auth_request_set` and use that variable",
            );
        }
    }
}

/// Checks that no upstream gets the proxy secret, and no storage the credentials of a client.
fn check_secrets<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>, pass: &PassDirective<'c>) {
    let model = findings.model;
    let headers = RequestHeaders::read(pass);
    let secret =
        headers.get("X-Auth-Proxy-Secret").filter(|node| !model.variables.resolve(node.arg(1)).is_empty());
    if let Some(node) = secret {
        let message = "the upstream gets the proxy secret, with which it can read upstream credentials";
        findings.report(node, &SECRET, message, "write `proxy_set_header X-Auth-Proxy-Secret \"\";`");
    }
    let is_redirect = model.variables.any_origin(pass.node.arg(0), |name| name == "upstream_http_location");
    let sends_credentials = headers.lets_client_send("Authorization")
        || headers.get("Authorization").is_some_and(|node| !node.arg(1).is_empty());
    if is_redirect && sends_credentials {
        let message = format!("{} sends credentials to the target of a redirect", location.title());
        findings.report(pass.node, &REDIRECT, message, "add `proxy_set_header Authorization \"\";`");
    }
}

/// Checks that a cached page of one user does not reach another user.
fn check_page_cache<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>, pass: &PassDirective<'c>) {
    let model = findings.model;
    let (block, protocol) = (pass.node.parent(), pass.node.name().trim_end_matches("_pass"));
    let Some(cache) = block.effective(&format!("{protocol}_cache")).filter(|node| node.arg(0) != "off")
    else {
        return;
    };
    let sends_identity = RequestHeaders::read(pass).iter().any(|(name, node)| {
        name != "authorization" && model.variables.any_origin(node.arg(1), is_identity_variable)
    });
    let key = block.effective(&format!("{protocol}_cache_key"));
    let has_user = key.is_some_and(|key| {
        model.variables.any_origin(key.arg(0), |name| {
            is_identity_variable(name)
                || matches!(name, "http_authorization" | "remote_user" | "http_cookie")
                || name.starts_with("cookie_")
        })
    });
    if sends_identity && !has_user && !location.is_registry() {
        let message = format!(
            "{} caches pages without the user in the key, so users get pages of other users",
            location.title()
        );
        findings.report(
            key.unwrap_or(cache),
            &CACHE,
            message,
            "add `proxy_cache off;`, or the variable of the user to the key",
        );
    }
}

fn check_registry<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let model = findings.model;
    let block = location.block;
    let size = block.effective("client_max_body_size").map(|node| parse_size(node.arg(0)));
    let is_limited = match size {
        None => true,
        Some(size) => size.is_some_and(|size| size != 0 && size < LAYER_MIN),
    };
    if is_limited {
        findings.report(
            block.effective("client_max_body_size").unwrap_or(block),
            &REGISTRY_BODY,
            "client_max_body_size is smaller than the layers of usual images, so a push gets a 413",
            "add `client_max_body_size 0;`",
        );
    }
    for pass in location.passes.iter().filter(|pass| pass.node.name() == "proxy_pass") {
        if pass.node.parent().effective_arg("proxy_request_buffering") != "off" {
            let message = "nginx writes each layer to its disk before the registry gets the first byte";
            findings.report(block, &REGISTRY_BUFFER, message, "add `proxy_request_buffering off;`");
        }
        let headers = RequestHeaders::read(pass);
        let hides = block.effective_all("proxy_hide_header");
        if !hides.iter().any(|node| node.arg(0).eq_ignore_ascii_case("www-authenticate")) {
            let message =
                "clients get a challenge of the registry, and send their password to the address in it";
            findings.report(block, &CHALLENGE, message, "add `proxy_hide_header WWW-Authenticate;`");
        }
        let is_ecr = headers
            .get("Host")
            .is_some_and(|node| model.variables.resolve(node.arg(1)).contains(".dkr.ecr."));
        if is_ecr && matches!(block.effective_arg("proxy_redirect"), "" | "off" | "default") {
            let message =
                "Location names the upstream, so clients continue a push there, without credentials";
            findings.report(
                block,
                &LOCATION,
                message,
                "add `proxy_redirect https://HOST/ /;` with the name of the upstream",
            );
        }
        let is_raw = headers.get("Content-Type").map_or_else(
            || headers.passes_client_headers,
            |node| matches!(node.arg(1), "$content_type" | "$http_content_type"),
        );
        if is_raw {
            let message = "the registry gets the Content-Type of the client, and reads `mount` and `from` from a form in a body";
            let remedy = "add `proxy_set_header Content-Type $doorward_content_type;`, with the map of the generated configuration";
            findings.report(block, &REGISTRY_FORM, message, remedy);
        }
        if promises_rewrite(model, location) && !uses_rewritten_uri(pass.node) && !has_no_query(pass.node) {
            let message = format!(
                "{} promises doorward that the upstream gets the rewritten URI, but its proxy_pass does not contain it; the registry executes a forbidden mount",
                location.title()
            );
            let remedy = "write `proxy_pass http://doorward_upstream$doorward_uri;`, or remove `set $doorward_rewrite yes;`";
            findings.report(pass.node, &MOUNT, message, remedy);
        }
    }
}

/// Returns whether the auth subrequest of a location has `X-Auth-Rewrite: yes`.
fn promises_rewrite<'c>(model: &Model<'c>, location: &Location<'c>) -> bool {
    let target =
        model.targets.iter().find(|t| t.server == location.server && location.guard() == Some(t.uri));
    let auth = target.and_then(|target| model.locations.get(target.location?));
    let Some(pass) = auth.and_then(|auth| auth.passes.first()) else { return false };
    let headers = RequestHeaders::read(pass);
    let Some(header) = headers.get("X-Auth-Rewrite") else { return false };
    if header.arg(1) == "yes" {
        return true;
    }
    let names = variables(header.arg(1));
    let sets = location.block.levels().flat_map(|level| level.children_named("set"));
    sets.into_iter().any(|set| names.contains(&set.arg(0).trim_start_matches('$')) && set.arg(1) == "yes")
}

/// Returns whether requests with a query use another `proxy_pass`, with the URI that doorward permits. doorward changes
/// only a query.
fn has_no_query(pass: Node<'_>) -> bool {
    let conditions = pass.parent().children_named("if");
    conditions.into_iter().any(|condition| {
        condition.args() == ["($args)"]
            && condition.children_named("proxy_pass").into_iter().any(uses_rewritten_uri)
    })
}

/// Returns whether the address contains the URI that doorward permits, from a variable that this location sets.
fn uses_rewritten_uri(pass: Node<'_>) -> bool {
    let here: Vec<&str> = pass
        .parent()
        .effective_all("auth_request_set")
        .into_iter()
        .filter(|node| variables(node.arg(1)).contains(&"upstream_http_x_upstream_uri"))
        .map(|node| node.arg(0).trim_start_matches('$'))
        .collect();
    variables(pass.arg(0)).iter().any(|name| here.contains(name))
}
