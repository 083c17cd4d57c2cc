//! The shipped nginx configuration, for registries and sites.

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

use crate::support::client::{Answer, Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Nginx, Template};
use crate::support::registry::Registry;
use crate::support::users;

/// nginx, doorward and docker-registry, configured as in the README.
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
