//! Requests for a name that no server of an address lists.

use super::super::finding::CheckRule;
use super::super::model::SubrequestTarget;
use super::super::tree::Node;
use super::Findings;

const UNKNOWN: CheckRule = CheckRule::warning("unknown-names-answered", None);

/// Reports a protected server that is the default server of its address and has other names only. With several services,
/// doorward would check a request to one of them by the name of another.
pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    let doorward = model.targets.iter().filter(|target| target.service == SubrequestTarget::Doorward);
    let mut guarded: Vec<Node<'c>> = doorward.map(|target| target.server).collect();
    guarded.dedup_by_key(|server| server.id());
    let is_other = |server: Node<'c>, other: &Node<'c>| names(server) != names(*other);
    for server in guarded.iter().copied() {
        let Some(listen) = default_listen(&model.servers, server) else { continue };
        if answers_listed_names_only(server) && guarded.iter().any(|other| is_other(server, other)) {
            let message = "this is the default server of its address, so it answers every name that no server lists; doorward then checks a name that the client chose";
            let remedy = format!(
                "add a server with `listen {} default_server;` and `return 421;`, or the name `_` if every name is meant",
                listen.args().iter().filter(|arg| !is_default(arg)).cloned().collect::<Vec<_>>().join(" ")
            );
            findings.report(listen, &UNKNOWN, message, remedy);
        }
    }
}

fn is_default(parameter: &str) -> bool {
    matches!(parameter, "default_server" | "default")
}

fn names<'c>(server: Node<'c>) -> Vec<&'c str> {
    server.children_named("server_name").into_iter().flat_map(Node::args).map(String::as_str).collect()
}

/// Returns whether the server has names, and each of them is one name or a pattern of one domain.
fn answers_listed_names_only(server: Node<'_>) -> bool {
    let names = names(server);
    let is_listed = |name: &str| !matches!(name, "" | "_") && !name.starts_with('~') && !name.contains('$');
    !names.is_empty() && names.into_iter().all(is_listed)
}

/// Returns the first `listen` of a server with which it is the default server of an address.
fn default_listen<'c>(servers: &[Node<'c>], server: Node<'c>) -> Option<Node<'c>> {
    server.children_named("listen").into_iter().find(|own| {
        let address = address(own.arg(0));
        let mut at_address = servers
            .iter()
            .flat_map(|other| other.children_named("listen"))
            .filter(|listen| self::address(listen.arg(0)) == address);
        let mut explicit =
            at_address.clone().filter(|listen| listen.args().iter().any(|arg| is_default(arg)));
        let first = explicit.next().or_else(|| at_address.next());
        first.is_some_and(|first| first.parent() == server)
    })
}

/// Writes equal addresses in one way.
fn address(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let (host, port) = match text.rsplit_once(':') {
        _ if text.starts_with("unix:") || text.ends_with(']') => (&*text, ""),
        Some((host, port)) => (host, port),
        None if text.bytes().all(|b| b.is_ascii_digit()) => ("*", &*text),
        None => (&*text, ""),
    };
    let host = if matches!(host, "0.0.0.0" | "*") { "*" } else { host };
    format!("{host}:{}", if port.is_empty() { "80" } else { port })
}
