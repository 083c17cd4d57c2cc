//! The shipped nginx configuration, for registries and sites.

pub(crate) mod address_changes;
mod ambiguous_paths;
mod auth_service_failures;
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
mod two_options;
mod unknown_names;

use std::net::SocketAddr;

use crate::support::client::{Answer, Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::free_port;
use crate::support::nginx::{Image, Nginx, Template};
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

/// Starts nginx with a site, site.test, and a registry, registry.test, in front of `backend`. Each has the location
/// `/own/` of the administrator, and the site has `/public/`, which needs no login.
fn site_and_registry(auth: SocketAddr, backend: SocketAddr) -> Nginx {
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let image = Image::new()
        .file("etc/nginx/own/site.conf", "location /own/ { proxy_pass http://doorward_upstream; }\n")
        .file(
            "etc/nginx/own/registry.conf",
            "location /v2/own/ { proxy_pass http://doorward_upstream_2; }\n",
        );
    let own = image.path("etc/nginx/own");
    let own = own.display();
    let text = format!(
        r#"
[proxy_config]
auth = "{auth}"
plain_http = true
listen = "{at}"
upstream = "{backend}"

[[proxy_config.server]]
kind = "site"
server_name = ["site.test"]
public_paths = ["/public/"]
include = ["{own}/site.conf"]

[[proxy_config.server]]
kind = "registry"
server_name = ["registry.test"]
include = ["{own}/registry*"]
"#
    );
    Nginx::by_hand(image.settings_file(&text), at)
}
