//! Through the real nginx, with the templates and snippets that ship: a real registry behind it, real
//! clients before it, and for what goes wrong a stub in doorward's place.

pub(crate) mod address_changes;
mod ambiguous_paths;
mod auth_service_failures;
mod container_settings;
mod container_start;
mod headers;
mod identity_headers;
mod load_balancer;
mod make_certificate;
mod make_secret;
mod other_auth_service;
mod own_configuration;
mod registry;
mod request_bodies;
mod site;
mod skopeo;
mod tls;

use std::net::SocketAddr;

use crate::support::client::{Address, Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Nginx, Template};
use crate::support::registry::Registry;
use crate::support::users;

/// nginx, doorward and docker-registry, as the README has them.
struct ProtectedRegistry {
    nginx: Nginx,
    doorward: Doorward,
    _registry: Registry,
}

impl ProtectedRegistry {
    fn start() -> Self {
        Self::start_with(&users::two(), &[])
    }

    fn start_with(users: &str, flags: &[&str]) -> Self {
        let (registry, doorward) = (Registry::start(), Doorward::start(users, flags));
        let nginx = Nginx::start(Template::Registry, tcp(&doorward.address), registry.address);
        Self { nginx, doorward, _registry: registry }
    }

    fn ask(&self, request: &Request) -> Answer {
        self.nginx.ask(request)
    }
}

/// The address of a listener that is not a unix socket.
pub(crate) fn tcp(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        Address::Unix(path) => panic!("{} is a unix socket", path.display()),
    }
}

/// As alice.
pub(crate) fn alice(request: Request) -> Request {
    request.basic("alice", "wonderland")
}

/// A refusal of the registry template: JSON with this code, which a client shows in its own words.
pub(crate) fn assert_json(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"), "{answer:?}");
    let text = answer.text();
    assert!(text.starts_with(&format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"")), "{text}");
    assert!(text.ends_with("}]}\n"), "{text}");
}

/// A 401 of the registry template: JSON, and doorward's challenge, once.
pub(crate) fn assert_challenge(answer: &Answer) {
    assert_json(answer, 401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"Registry\", charset=\"UTF-8\""), "{answer:?}");
}
