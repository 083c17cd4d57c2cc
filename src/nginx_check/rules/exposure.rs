//! Ways around the auth location: other locations and stream servers that reach doorward or a protected upstream.

use super::super::finding::CheckRule;
use super::super::model::{Location, LocationKind, PassDirective, SubrequestTarget};
use super::super::tree::Node;
use super::Findings;

const DOORWARD: CheckRule = CheckRule::error("doorward-reachable", Some(50));
const STREAM: CheckRule = CheckRule::error("stream-server", None);

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    let doorward: Vec<&PassDirective<'c>> = model
        .targets
        .iter()
        .filter(|target| target.service == SubrequestTarget::Doorward)
        .filter_map(|target| model.locations.get(target.location?))
        .flat_map(|location| &location.passes)
        .collect();
    let is_doorward =
        |pass: &PassDirective<'c>| doorward.iter().any(|known| known.address.is_same_service(&pass.address));
    for location in &model.locations {
        if model.is_target(location) || !location.is_public() || location.is_closed() {
            continue;
        }
        let reaches = |pass: &&PassDirective<'c>| {
            (is_doorward(pass) || is_named_doorward(pass)) && !is_token(location, pass)
        };
        for pass in location.passes.iter().filter(reaches) {
            let message = format!(
                "{} lets clients call doorward itself, with headers of their own; doorward trusts these",
                location.title()
            );
            let remedy = "remove the location; pass only `/token` on, to the public listener of doorward";
            findings.report(pass.node, &DOORWARD, message, remedy);
        }
    }
    let protected: Vec<&PassDirective<'c>> = model
        .locations
        .iter()
        .filter(|location| location.is_guarded() && !model.is_target(location))
        .flat_map(|location| &location.passes)
        .collect();
    for pass in &model.stream_passes {
        if is_local(pass.node) {
            continue;
        }
        if is_doorward(pass) {
            let message = "this server lets clients call doorward itself, with headers of their own; doorward trusts these";
            findings.report(pass.node, &DOORWARD, message, "remove the server");
        } else if protected.iter().any(|guarded| guarded.address.is_same_service(&pass.address)) {
            let message = "this server passes connections to an upstream that other locations protect, without an auth check";
            findings.report(
                pass.node,
                &STREAM,
                message,
                "remove the server, or let it listen on loopback only",
            );
        }
    }
}

/// Returns whether the name is that of another listener of doorward. The public listener has no secrets, and
/// `doorward_upstream` is the protected service.
fn is_named_doorward(pass: &PassDirective<'_>) -> bool {
    let name = &pass.address.name;
    name.contains("doorward") && !name.contains("public") && !name.contains("upstream")
}

/// Returns whether a location passes on requests for tokens only.
fn is_token(location: &Location<'_>, pass: &PassDirective<'_>) -> bool {
    let path = pass.address.path.as_deref().unwrap_or_default();
    location.kind == LocationKind::Exact && (path == "/token" || path.starts_with("/token$"))
}

/// Returns whether a stream server accepts connections of this machine only.
fn is_local(pass: Node<'_>) -> bool {
    let listens = pass.parent().children_named("listen");
    !listens.is_empty()
        && listens.iter().all(|listen| {
            let address = listen.arg(0);
            ["127.", "localhost:", "[::1]:", "unix:"].iter().any(|start| address.starts_with(start))
        })
}
