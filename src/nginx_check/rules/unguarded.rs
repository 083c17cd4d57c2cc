//! Locations that reach a protected upstream or protected files without an auth check.

use std::collections::BTreeSet;

use super::super::finding::CheckRule;
use super::super::headers::RequestHeaders;
use super::super::model::{Location, LocationKind, Model, PassDirective};
use super::super::tree::Node;
use super::super::variables::{captures, is_from_client, variables};
use super::Findings;

const UNGUARDED: CheckRule = CheckRule::error("unguarded-upstream", None);
const RAW_PATH: CheckRule = CheckRule::error("open-location-passes-raw-path", Some(19));
const OFF: CheckRule = CheckRule::error("auth-request-off", None);
const FALLBACK: CheckRule = CheckRule::error("refused-request-continues", Some(6));
const REWRITE: CheckRule = CheckRule::error("rewrite-before-check", Some(7));
const FILES: CheckRule = CheckRule::error("unguarded-files", None);
const REGEX: CheckRule = CheckRule::error("regex-takes-protected-path", None);
const CHOSEN: CheckRule = CheckRule::error("client-chooses-upstream", None);
const NOTHING: CheckRule = CheckRule::error("no-auth-request", Some(44));

/// Names of paths that report the state of a service, or that browsers request without credentials.
const PUBLIC_NAMES: [&str; 12] = [
    "health",
    "healthz",
    "healthcheck",
    "livez",
    "readyz",
    "ready",
    "live",
    "ping",
    "favicon.ico",
    "robots.txt",
    "manifest.json",
    "token",
];

/// Names of folders whose files are usually public.
const PUBLIC_FOLDERS: [&str; 13] = [
    "static",
    "assets",
    "public",
    "css",
    "js",
    "img",
    "images",
    "fonts",
    "icons",
    ".well-known",
    "errors",
    "error",
    "theme",
];

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    if model.targets.is_empty() && !issues_tokens(model) {
        let place = model.servers.first().copied().unwrap_or_else(|| model.tree.root());
        findings.report(
            place,
            &NOTHING,
            "no location has `auth_request`, so this configuration protects nothing",
            "add `auth_request /_doorward;` and the location of the subrequest",
        );
        return;
    }
    for location in &model.locations {
        if model.is_target(location) || location.is_guarded() || location.is_closed() {
            continue;
        }
        if location.is_public() {
            check_public(findings, location);
        } else if location.passes.iter().any(|pass| model.is_protected(&pass.address)) {
            check_redirects(findings, location);
        }
    }
    check_servers_without_locations(findings);
}

/// Returns whether clients get tokens here, which a registry verifies itself.
fn issues_tokens(model: &Model<'_>) -> bool {
    let passes = || {
        model.locations.iter().flat_map(|location| location.passes.iter().map(move |pass| (location, pass)))
    };
    passes().any(|(location, pass)| is_token_request(location, pass))
}

fn is_token_request(location: &Location<'_>, pass: &PassDirective<'_>) -> bool {
    let path = pass.address.path.as_deref().unwrap_or_default();
    location.kind == LocationKind::Exact && (path == "/token" || path.starts_with("/token$"))
}

fn check_public<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let model = findings.model;
    if location.passes.is_empty() {
        if !check_files(findings, location.block, Some(location)) {
            check_guarded_fallback(findings, location);
        }
        return;
    }
    for pass in &location.passes {
        if let Some(reason) = client_choice(model, location, pass) {
            let message = format!("{} passes requests to {reason}, without an auth check", location.title());
            findings.report(
                pass.node,
                &CHOSEN,
                message,
                "write the address of the upstream, or add `auth_request`",
            );
            continue;
        }
        if model.is_auth_service(&pass.address) || passes_token_only(model, location, pass) {
            continue;
        }
        check_pass(findings, location, pass);
    }
}

fn check_pass<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>, pass: &PassDirective<'c>) {
    let model = findings.model;
    let is_shared = model.is_protected(&pass.address);
    let upstream = format!("`{}`", pass.node.words().join(" "));
    if !is_shared {
        // Another service: it is open on purpose if the location has `auth_request off`, or if it belongs to another site.
        let is_forgotten = model.has_guard(location.server)
            && !location.is_explicitly_open()
            && !is_public_name(location)
            && location.kind != LocationKind::Exact
            && catch_all_is_guarded(model, location.server);
        if is_forgotten {
            let message = format!("{} has no auth check, unlike the rest of this server", location.title());
            findings.report(
                location.block,
                &UNGUARDED,
                message,
                "add `auth_request`, or `auth_request off;` if it is open on purpose",
            );
        } else if let Some(protected) = protected_path(model, location) {
            let message = format!(
                "nginx selects {} before {}, so requests of matching files below it run no auth check",
                location.title(),
                protected.title()
            );
            let remedy = format!("add a copy of it inside `location {}`", protected.path);
            findings.report(location.block, &REGEX, message, remedy);
        }
        return;
    }
    if checks_raw_path(model, location) {
        return;
    }
    if location.kind == LocationKind::Exact && (location.is_explicitly_open() || is_public_name(location)) {
        return;
    }
    if !location.is_explicitly_open() {
        let message = format!(
            "{} reaches {upstream} without an auth check; other locations protect this upstream",
            location.title()
        );
        findings.report(
            location.block,
            &UNGUARDED,
            message,
            "add `auth_request` and the lines of the protected location",
        );
    } else if location.kind == LocationKind::Regex || is_nested(location) {
        let message = format!(
            "`auth_request off` in {} opens {upstream}, which other locations protect",
            location.title()
        );
        findings.report(
            location.block,
            &OFF,
            message,
            "remove the line, or use a prefix location with doorward/doorward-open.conf",
        );
    } else if pass.address.path.as_deref().is_some_and(|path| opens_other_paths(location, path)) {
        let message = format!(
            "{} without an auth check reaches other paths of {upstream}, which other locations protect",
            location.title()
        );
        findings.report(location.block, &OFF, message, "write the path of the location in `proxy_pass`");
    } else if pass.address.path.as_deref().is_none_or(|path| path.contains("$request_uri")) {
        let message = format!(
            "{} passes on the path as the client sent it, so `{}..;/` and `{}%2e%2e/` can reach other paths of a protected upstream",
            location.title(),
            location.path,
            location.path
        );
        findings.report(
            location.block,
            &RAW_PATH,
            message,
            "include doorward/doorward-open.conf in this location",
        );
    }
}

/// Returns a protected prefix location with files, some of which a regular expression without a check takes.
fn protected_path<'m, 'c>(model: &'m Model<'c>, regex: &Location<'c>) -> Option<&'m Location<'c>> {
    if regex.kind != LocationKind::Regex || regex.is_explicitly_open() || is_nested(regex) {
        return None;
    }
    let root = |block: Node<'c>| block.effective("root").map(|node| node.arg(0).trim_end_matches('/'));
    model.locations_of(regex.server).find(|location| {
        let has_copy = || {
            let nested = location.block.children_named("location");
            nested.into_iter().any(|nested| nested.args() == regex.block.args())
        };
        location.kind == LocationKind::Prefix
            && location.is_guarded()
            && location.passes.is_empty()
            && !location.is_closed()
            && !model.is_target(location)
            && root(location.block).is_some()
            && root(location.block) == root(regex.block)
            && can_match_below(regex.path, location.path)
            && !has_copy()
    })
}

/// Returns whether a regular expression can match a path below a prefix, as far as its literal start shows.
fn can_match_below(pattern: &str, prefix: &str) -> bool {
    let (pattern, prefix) = (pattern.to_ascii_lowercase(), prefix.to_ascii_lowercase());
    let Some(rest) = pattern.strip_prefix('^') else { return true };
    let literal = |text: &str| {
        let is_literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
        let end = text.find(|c| !is_literal(c)).unwrap_or(text.len());
        // A quantifier or an alternative applies to the characters before it.
        let is_open = text.get(end..).is_some_and(|rest| rest.starts_with(['?', '*', '{', '|']));
        text.get(..if is_open { 0 } else { end }).unwrap_or_default().to_owned()
    };
    let start = literal(rest);
    let overlaps = |text: &str| prefix.starts_with(text) || text.starts_with(&prefix);
    let group = rest.get(start.len()..).and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    match group {
        Some((inner, after)) if !after.starts_with(['?', '*', '{']) => {
            let inner = inner.strip_prefix("?:").unwrap_or(inner);
            inner.split('|').any(|part| overlaps(&format!("{start}{}", literal(part))))
        }
        Some(_) | None => overlaps(&start),
    }
}

/// Returns whether the path of a pass directive replaces the path of the location by one that is not below it.
fn opens_other_paths(location: &Location<'_>, path: &str) -> bool {
    location.kind != LocationKind::Exact
        && !path.contains('$')
        && !path.starts_with(location.path.trim_end_matches('/'))
}

fn is_nested(location: &Location<'_>) -> bool {
    location.block.parent().name() == "location"
}

fn is_public_name(location: &Location<'_>) -> bool {
    let last = location.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    PUBLIC_NAMES.contains(&last) || location.path.starts_with("/.well-known/")
}

fn catch_all_is_guarded<'c>(model: &Model<'c>, server: Node<'c>) -> bool {
    model.locations_of(server).any(|location| {
        location.path == "/" && location.kind == LocationKind::Prefix && location.is_guarded()
    })
}

/// Returns whether the location refuses paths by a variable that is made from the path as the client sent it.
fn checks_raw_path<'c>(model: &Model<'c>, location: &Location<'c>) -> bool {
    location.block.children_named("if").into_iter().any(|block| {
        let condition = block.args().join(" ");
        let reads_path = model.variables.any_origin(&condition, |name| name == "request_uri");
        reads_path && block.child("return").is_some_and(|answer| answer.arg(0).starts_with('4'))
    })
}

/// Returns whether only a registry token is passed on, which the registry verifies itself, or a request for one.
fn passes_token_only<'c>(model: &Model<'c>, location: &Location<'c>, pass: &PassDirective<'c>) -> bool {
    if is_token_request(location, pass) {
        return true;
    }
    let headers = RequestHeaders::read(pass);
    let Some(authorization) = headers.get("authorization") else { return false };
    location.is_registry()
        && variables(authorization.arg(1)).into_iter().any(|name| {
            !name.starts_with("http_")
                && name.contains("bearer")
                && model.variables.any_origin(authorization.arg(1), |origin| origin == "http_authorization")
        })
}

/// Returns what a client can choose in the address of a pass directive.
fn client_choice(model: &Model<'_>, location: &Location<'_>, pass: &PassDirective<'_>) -> Option<String> {
    let host = pass.node.arg(0).split("://").last().unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    let first = host.strip_prefix('$').and_then(|_| variables(host).into_iter().next())?;
    // The keys of a map do not limit a group of a regular expression.
    let patterns = location
        .block
        .args()
        .iter()
        .chain(location.server.children_named("server_name").into_iter().flat_map(Node::args));
    let captured: BTreeSet<&str> = patterns.flat_map(|pattern| captures(pattern)).collect();
    let is_chosen = |name: &str| {
        is_from_client(name)
            || matches!(name, "host" | "uri" | "request_uri" | "1" | "2" | "3")
            || captured.contains(name)
    };
    let values = model.variables.values(first);
    let texts = values.iter().copied().chain(values.is_empty().then_some(host));
    if texts
        .into_iter()
        .flat_map(variables)
        .any(|name| is_chosen(name) || model.variables.any_origin(&format!("${name}"), is_chosen))
    {
        return Some("an address that the client chooses".to_owned());
    }
    if values.len() < 2 {
        return None;
    }
    let chosen = values.iter().find(|value| model.protected_names().contains(&value.to_ascii_lowercase()))?;
    Some(format!("`{chosen}`, which other locations protect, if ${first} names it"))
}

/// Checks the redirects of nginx that lead to a location that no client can select.
fn check_redirects<'c>(findings: &mut Findings<'_, 'c>, target: &Location<'c>) {
    let model = findings.model;
    for source in model.locations_of(target.server).filter(|source| source.is_public()) {
        if source.block == target.block || model.is_target(source) {
            continue;
        }
        for rewrite in source.blocks().into_iter().flat_map(|block| block.children_named("rewrite")) {
            let leads_there = !matches!(rewrite.arg(2), "break" | "redirect" | "permanent")
                && leads_to(model, rewrite.arg(1), target);
            if leads_there {
                let message = format!(
                    "this rewrite leads to {}, which has no auth check; rewrites run before the check of {}",
                    target.title(),
                    source.title()
                );
                findings.report(rewrite, &REWRITE, message, "add `auth_request` to the target");
            }
        }
        for page in source.block.effective_all("error_page") {
            if !leads_to(model, page.last_arg(), target) {
                continue;
            }
            let codes = page.args().iter().filter_map(|arg| arg.parse::<u16>().ok());
            let codes: BTreeSet<u16> = codes.collect();
            let refused: Vec<String> =
                codes.intersection(&codes_before_check(source)).map(u16::to_string).collect();
            if source.is_guarded() && !refused.is_empty() {
                let message = format!(
                    "a request that is refused with {} continues in {}, which passes it on without an auth check",
                    refused.join(", "),
                    target.title()
                );
                findings.report(
                    page,
                    &FALLBACK,
                    message,
                    "let the target `return` an error page, or add `auth_request` to it",
                );
            } else if !source.is_guarded() && !source.is_closed() {
                report_fallback(findings, page, source, target);
            }
        }
        let fallback =
            source.block.child("try_files").filter(|files| leads_to(model, files.last_arg(), target));
        if let Some(files) = fallback
            && !source.is_guarded()
            && !source.is_closed()
            && !checks_raw_path(model, source)
        {
            report_fallback(findings, files, source, target);
        }
    }
}

fn report_fallback<'c>(
    findings: &mut Findings<'_, 'c>,
    directive: Node<'c>,
    source: &Location<'c>,
    target: &Location<'c>,
) {
    let message = format!(
        "{} leads to {}, and neither has an auth check; other locations protect this upstream",
        source.title(),
        target.title()
    );
    findings.report(directive, &UNGUARDED, message, "add `auth_request` to both");
}

/// Returns whether a path or a name of a redirect selects a location.
fn leads_to<'c>(model: &Model<'c>, path: &str, target: &Location<'c>) -> bool {
    let end = path.find(['$', '?']).unwrap_or(path.len());
    let (literal, rest) = path.split_at(end);
    // A variable such as $request_uri starts with a slash.
    let with_slash = format!("{literal}/");
    let candidates = [Some(literal), rest.starts_with('$').then_some(&with_slash[..])];
    candidates.into_iter().flatten().filter(|literal| literal.len() > usize::from(path.starts_with('$'))).any(
        |literal| {
            model
                .location_for(target.server, literal)
                .and_then(|at| model.locations.get(at))
                .is_some_and(|found| found.block == target.block)
        },
    )
}

/// Returns the statuses with which nginx can refuse a request of a location before the auth check or because of it.
fn codes_before_check(location: &Location<'_>) -> BTreeSet<u16> {
    let mut codes = BTreeSet::from([400, 401, 403, 413, 495, 496, 497, 500]);
    if location.block.effective("limit_req").is_some() || location.block.effective("limit_conn").is_some() {
        codes.extend([429, 503]);
    }
    let blocks = location.blocks().into_iter().chain(location.server.children_named("if"));
    for answer in blocks.flat_map(|block| block.children_named("return")) {
        codes.extend(answer.arg(0).parse::<u16>());
    }
    codes
}

/// Returns the folder from which a block serves files.
fn folder(block: Node<'_>) -> Option<&str> {
    let own = block.child("alias").or_else(|| block.effective("root"));
    own.map(|node| node.arg(0).trim_end_matches('/')).filter(|folder| folder.len() > 1)
}

fn serves_files(block: Node<'_>) -> bool {
    block.levels().any(|level| level.child("root").is_some()) || block.child("alias").is_some()
}

/// Checks a location that serves files itself, and passes on other requests to a location with an auth check.
fn check_guarded_fallback<'c>(findings: &mut Findings<'_, 'c>, location: &Location<'c>) {
    let model = findings.model;
    // A pattern of file names selects images and styles, which are usually public.
    let is_suffix = location.kind == LocationKind::Regex && location.path.ends_with('$');
    let is_on_purpose =
        location.is_explicitly_open() || is_public_folder(location) || is_public_name(location);
    if is_suffix || is_on_purpose || !serves_files(location.block) {
        return;
    }
    let files = location.block.child("try_files").filter(|files| {
        let candidates = files.args().split_last().map(|(_, candidates)| candidates).unwrap_or_default();
        candidates.iter().any(|candidate| candidate.contains('$'))
    });
    let pages = location.block.children_named("error_page").into_iter();
    let pages =
        pages.filter(|page| page.args().iter().any(|arg| arg == "404") && page.last_arg().starts_with('@'));
    for directive in files.into_iter().chain(pages) {
        let fallback = model.locations_of(location.server).find(|target| {
            target.is_guarded() && !model.is_target(target) && leads_to(model, directive.last_arg(), target)
        });
        if let Some(fallback) = fallback {
            let message = format!(
                "{} serves each existing file without an auth check; only {} has one",
                location.title(),
                fallback.title()
            );
            findings.report(
                directive,
                &FILES,
                message,
                "add `auth_request` here too, or `auth_request off;` if the files are public",
            );
        }
    }
}

/// Returns whether nginx selects another location of the same folder for all files below its longer path.
fn is_taken_by(block: Node<'_>, location: Option<&Location<'_>>, other: &Location<'_>) -> bool {
    let is_prefix = |kind: LocationKind| matches!(kind, LocationKind::Prefix | LocationKind::PreferredPrefix);
    let (server, path) = location.map_or((block, ""), |location| (location.server, location.path));
    let has_alias = [block, other.block].into_iter().any(|block| block.child("alias").is_some());
    let root = |block: Node<'_>| block.effective_arg("root").trim_end_matches('/').to_owned();
    server == other.server
        && location.is_none_or(|location| is_prefix(location.kind))
        && is_prefix(other.kind)
        && other.path.len() > path.len()
        && other.path.starts_with(path)
        && !has_alias
        && root(block) == root(other.block)
}

/// Checks a block that serves files. Returns whether it has a finding.
fn check_files<'c>(
    findings: &mut Findings<'_, 'c>,
    block: Node<'c>,
    location: Option<&Location<'c>>,
) -> bool {
    let model = findings.model;
    if !serves_files(block) {
        return false;
    }
    let Some(own) = folder(block) else { return false };
    let is_below =
        |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let protected = model.locations.iter().filter(|other| {
        other.is_guarded()
            && other.passes.is_empty()
            && !other.is_closed()
            && !model.is_target(other)
            && !is_taken_by(block, location, other)
    });
    let same_files = protected
        .filter(|other| other.block.child("alias").is_some() || other.block.effective("root").is_some())
        .filter_map(|other| folder(other.block))
        .any(|folder| is_below(own, folder) || is_below(folder, own));
    let title = location.map_or_else(|| "this server".to_owned(), Location::title);
    let is_single = location.is_some_and(|location| {
        location.kind == LocationKind::Exact || is_public_name(location) || is_error_page(model, location)
    });
    if same_files && !is_single && location.is_none_or(|l| !(l.is_explicitly_open() && is_public_folder(l))) {
        let message = format!(
            "{title} serves files of {own} without an auth check; other locations protect this folder"
        );
        findings.report(block, &FILES, message, "add `auth_request`");
        return true;
    }
    let is_forgotten = location.is_some_and(|location| {
        !is_single
            && !location.is_explicitly_open()
            && !is_public_folder(location)
            && location.path != "/"
            && location.kind != LocationKind::Regex
            && catch_all_is_guarded(model, location.server)
    });
    if is_forgotten {
        let message =
            format!("{title} serves files of {own} without an auth check, unlike the rest of this server");
        findings.report(
            block,
            &FILES,
            message,
            "add `auth_request`; add `internal;` if X-Accel-Redirect leads here; add `auth_request off;` if it is open on purpose",
        );
    }
    is_forgotten
}

fn is_public_folder(location: &Location<'_>) -> bool {
    location.path.split('/').any(|segment| PUBLIC_FOLDERS.contains(&segment))
}

fn is_error_page<'c>(model: &Model<'c>, location: &Location<'c>) -> bool {
    location
        .server
        .descendants("error_page")
        .into_iter()
        .chain(location.server.effective_all("error_page"))
        .any(|page| leads_to(model, page.last_arg(), location))
}

/// Checks servers without a location for all paths, which serve files from its own `root`.
fn check_servers_without_locations<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    for server in model.servers.iter().copied() {
        let has_catch_all = model
            .locations_of(server)
            .any(|l| l.path == "/" && matches!(l.kind, LocationKind::Prefix | LocationKind::PreferredPrefix));
        let is_open = super::super::model::guard(server).is_none();
        if is_open && !has_catch_all && server.child("return").is_none() && server.child("root").is_some() {
            check_files(findings, server, None);
        }
    }
}
