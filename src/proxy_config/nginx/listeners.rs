//! The server that answers each address and name: servers that nginx could not tell apart, and default servers.

use std::collections::BTreeSet;

use super::view::{DefaultServerView, ListenView, ServerView};
use crate::proxy_config::options::OptionError;

/// The name that means every name.
const EVERY_NAME: &str = "_";

impl ServerView {
    /// Returns all addresses of the server, with those of its redirect.
    fn addresses(&self) -> impl Iterator<Item = &ListenView> {
        self.listen.iter().chain(&self.redirect_listen)
    }

    fn has_address(&self, address: &str) -> bool {
        self.addresses().any(|listen| listen.address == address)
    }

    fn has_every_name(&self) -> bool {
        self.names.iter().any(|name| name == EVERY_NAME)
    }
}

/// Reports servers that nginx could not tell apart.
pub(super) fn check_listeners(servers: &[ServerView]) -> Vec<OptionError> {
    let mut errors = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        for other in servers.iter().take(number) {
            let mut report = |option: &'static str, message: &str| {
                errors.push(OptionError { option, server: Some(number), message: message.to_owned() });
            };
            let shared: Vec<(&ListenView, &ListenView)> = server
                .addresses()
                .flat_map(|own| other.addresses().map(move |other| (own, other)))
                .filter(|(own, other)| own.address == other.address)
                .collect();
            if shared.iter().any(|(own, other)| own.has_tls != other.has_tls) {
                report(
                    "listen",
                    "two servers use this address, one with TLS and one without; give one another address",
                );
            } else if shared.iter().any(|(own, other)| own.has_http2 != other.has_http2) {
                report(
                    "listen",
                    "before nginx 1.25.1 HTTP/2 applies to a whole address, so a registry and a site cannot share it; give one another address",
                );
            }
            if !shared.is_empty() && server.names.iter().any(|name| other.names.contains(name)) {
                report(
                    "server_name",
                    "two servers have the same name and address; nginx would use the first only",
                );
            }
        }
    }
    errors
}

/// Makes each server with every name the default server of its addresses: to nginx `_` is an ordinary name.
///
/// A redirect alone at its address is the default anyway. Without the parameter, a default server of another file can
/// stay at port 80, such as that of Debian.
pub(super) fn mark_default_servers(servers: &mut [ServerView]) {
    let mut shared: BTreeSet<String> = BTreeSet::new();
    for server in servers.iter() {
        let is_used = |listen: &&ListenView| {
            servers.iter().filter(|other| other.has_address(&listen.address)).count() > 1
        };
        shared.extend(server.redirect_listen.iter().filter(is_used).map(|listen| listen.address.clone()));
    }
    for server in servers.iter_mut().filter(|server| server.has_every_name()) {
        server.listen.iter_mut().for_each(|listen| listen.is_default = true);
        for listen in &mut server.redirect_listen {
            listen.is_default = shared.contains(&listen.address);
        }
    }
}

/// Returns a server for other names, for each address on which no server has every name. Without it, the first server
/// of the address would answer every name, and doorward would check a Host that the client chose.
///
/// At an address with redirects only, it is the default because it is the first server of the file.
pub(super) fn default_servers(servers: &[ServerView], has_reject_handshake: bool) -> Vec<DefaultServerView> {
    let answered = servers.iter().filter(|server| server.has_every_name()).flat_map(ServerView::addresses);
    let mut answered: BTreeSet<String> = answered.map(|listen| listen.address.clone()).collect();
    let mut unanswered = |listen: &[ListenView], is_default: bool| -> Vec<ListenView> {
        let new = listen.iter().filter(|listen| answered.insert(listen.address.clone()));
        new.map(|listen| ListenView { is_default, ..listen.clone() }).collect()
    };
    let mut all = Vec::new();
    for server in servers {
        let certificate = server.certificate.clone().filter(|_| !has_reject_handshake);
        let listen = unanswered(&server.listen, true);
        all.push(DefaultServerView { listen, has_tls: server.certificate.is_some(), certificate });
    }
    for server in servers {
        let listen = unanswered(&server.redirect_listen, false);
        all.push(DefaultServerView { listen, has_tls: false, certificate: None });
    }
    all.retain(|default| !default.listen.is_empty());
    all
}
