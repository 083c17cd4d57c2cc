//! Settings of servers: header names, paths, client addresses, TLS, files outside of their folder.

use super::super::finding::CheckRule;
use super::super::model::{LocationKind, SubrequestTarget, guard};
use super::super::tree::Node;
use super::Findings;

const UNDERSCORES: CheckRule = CheckRule::error("underscores-in-headers", None);
const INVALID: CheckRule = CheckRule::error("invalid-headers-passed", None);
const SLASHES: CheckRule = CheckRule::error("slashes-not-merged", Some(19));
const REAL_IP: CheckRule = CheckRule::error("real-ip-from-any-client", Some(24));
const ALIAS: CheckRule = CheckRule::error("alias-leaves-folder", None);
const LEAK: CheckRule = CheckRule::error("credentials-in-response", Some(27));
const LOG: CheckRule = CheckRule::warning("credentials-in-log", Some(27));
const PLAIN: CheckRule = CheckRule::warning("http-beside-https", None);
const TLS: CheckRule = CheckRule::warning("old-tls-version", None);

/// Prefix lengths from which a range is a network, and not a large part of all addresses.
const PREFIX_MIN: u8 = 4;

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    let uses_doorward = model.targets.iter().any(|target| target.service == SubrequestTarget::Doorward);
    for node in model.tree.nodes() {
        if !applies_to_guard(findings, node) {
            continue;
        }
        match (node.name(), node.arg(0)) {
            ("underscores_in_headers", "on") => findings.report(
                node,
                &UNDERSCORES,
                "a client can send X_Auth_User, which many upstreams read as X-Auth-User",
                "remove the line; the default is off",
            ),
            ("ignore_invalid_headers", "off") => findings.report(
                node,
                &INVALID,
                "a client can send X.Auth.User, which many upstreams read as X-Auth-User",
                "remove the line; the default is on",
            ),
            ("merge_slashes", "off") => findings.report(
                node,
                &SLASHES,
                "a path such as //admin/ does not reach the location /admin/ and its auth check",
                "remove the line; the default is on",
            ),
            ("set_real_ip_from", range) if is_any_address(range) => findings.report(
                node,
                &REAL_IP,
                format!("{range} lets every client choose its address, so it can bypass the throttle"),
                "write the addresses of your load balancers only",
            ),
            ("error_log", _) if uses_doorward && node.arg(1).starts_with("debug") => findings.report(
                node,
                &LOG,
                "a debug log contains the headers of requests and responses, with passwords and credentials",
                "write `error_log … warn;`",
            ),
            ("ssl_protocols", _) if node.args().iter().any(|arg| is_old_tls(arg)) => findings.report(
                node,
                &TLS,
                "old versions of TLS do not protect passwords",
                "write `ssl_protocols TLSv1.2 TLSv1.3;`",
            ),
            ("add_header" | "more_set_headers", _) if is_secret(findings, node) => findings.report(
                node,
                &LEAK,
                "every admitted client gets the credentials of the upstream or the proxy secret",
                "remove the line",
            ),
            ("log_format", _)
                if uses_doorward && (is_secret(findings, node) || logs_password(findings, node)) =>
            {
                findings.report(
                    node,
                    &LOG,
                    "the log contains passwords or credentials",
                    "remove the variable; $doorward_user is the authenticated user",
                );
            }
            _ => {}
        }
    }
    check_aliases(findings);
    check_plain_http(findings);
}

/// Checks for servers that accept both http and https, and so get passwords over http.
fn check_plain_http<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    for server in model.servers.iter().copied().filter(|server| model.has_guard(*server)) {
        let (tls, plain): (Vec<Node<'c>>, Vec<Node<'c>>) = server
            .children_named("listen")
            .into_iter()
            .partition(|listen| listen.args().iter().any(|arg| arg == "ssl" || arg == "quic"));
        let redirects = server.children_named("if").into_iter().any(|block| {
            let condition = block.args().join(" ");
            (condition.contains("$scheme") || condition.contains("$https")) && block.child("return").is_some()
        });
        if let (Some(plain), false, false) =
            (plain.first(), tls.is_empty(), redirects || server.effective_arg("ssl") == "on")
        {
            let message =
                "this server accepts http beside https, so clients can send passwords without encryption";
            findings.report(*plain, &PLAIN, message, "use a server with `return 301 https://$host$request_uri;` for a site, and none for a registry");
        }
    }
}

/// Returns whether a directive applies to a server with an auth check, or to one at the same address.
fn applies_to_guard<'c>(findings: &Findings<'_, 'c>, node: Node<'c>) -> bool {
    let model = findings.model;
    let Some(server) = node.levels().find(|level| level.name() == "server") else {
        return !model.targets.is_empty();
    };
    let listens = |server: Node<'c>| -> Vec<&'c str> {
        server.children_named("listen").into_iter().map(|listen| listen.arg(0)).collect()
    };
    let own = listens(server);
    let at_same_address = |other: Node<'c>| listens(other).iter().any(|address| own.contains(address));
    // nginx uses some settings of the default server for all servers of an address.
    let is_early =
        matches!(node.name(), "underscores_in_headers" | "ignore_invalid_headers" | "merge_slashes");
    model.has_guard(server)
        || (is_early && model.servers.iter().any(|other| at_same_address(*other) && model.has_guard(*other)))
}

fn is_any_address(range: &str) -> bool {
    let length = range.rsplit_once('/').and_then(|(_, length)| length.parse::<u8>().ok());
    length.is_some_and(|length| length < PREFIX_MIN)
}

fn is_old_tls(version: &str) -> bool {
    matches!(version, "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1")
}

fn is_secret(findings: &Findings<'_, '_>, node: Node<'_>) -> bool {
    let is_credential = |name: &str| name == "upstream_http_x_upstream_authorization";
    let variables = &findings.model.variables;
    node.args()
        .iter()
        .any(|arg| variables.any_origin(arg, is_credential) || arg.contains("$doorward_proxy_secret"))
}

fn logs_password(findings: &Findings<'_, '_>, node: Node<'_>) -> bool {
    let is_password = |name: &str| matches!(name, "http_authorization" | "http_proxy_authorization");
    node.args().iter().any(|arg| findings.model.variables.any_origin(arg, is_password))
}

/// `location /static { alias /srv/static/; }` serves `/static../secret` from `/srv/secret`.
fn check_aliases<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    for location in &model.locations {
        let is_prefix = matches!(location.kind, LocationKind::Prefix | LocationKind::PreferredPrefix);
        let Some(alias) = location.block.child("alias") else { continue };
        let leaves = is_prefix && !location.path.ends_with('/') && alias.arg(0).ends_with('/');
        let is_relevant = model.has_guard(location.server) || guard(location.block).is_some();
        if leaves && is_relevant && location.is_public() {
            let message = format!(
                "`{}../` reaches files outside of {}, because the path of the location does not end with a slash",
                location.path,
                alias.arg(0)
            );
            findings.report(location.block, &ALIAS, message, format!("write `location {}/`", location.path));
        }
    }
}
