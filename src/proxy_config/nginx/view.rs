//! The values of the templates.

use crate::proxy_config::value::{ServiceKind, TokenMode};

/// The values of the whole configuration.
#[derive(Clone, Debug)]
pub(crate) struct NginxView {
    /// The servers as text, for the first lines of the file.
    pub(crate) summary: String,
    /// The number of idle connections to an upstream that each worker of nginx keeps.
    pub(crate) keepalive: u32,
    /// Whether doorward gets the ID of each request, so that both logs have it.
    pub(crate) sends_request_id: bool,
    /// The bucket size of the hash of server names, if nginx needs a larger one than by default.
    pub(crate) server_names_bucket: Option<usize>,
    /// The path of the file with the proxy secret, if there is one.
    pub(crate) secret_include: Option<String>,
    /// The access log.
    pub(crate) access_log: String,
    /// The auth service.
    pub(crate) auth: Target,
    /// Whether the auth service is doorward.
    pub(crate) auth_is_doorward: bool,
    /// The path of the auth check.
    pub(crate) auth_path: String,
    /// The Host header for the auth service.
    pub(crate) auth_host: String,
    /// The public listener of doorward, if there are token requests.
    pub(crate) public: Option<Target>,
    /// The auth service, the public listener and the protected services.
    pub(crate) upstreams: Vec<UpstreamView>,
    /// Servers that refuse every name that no other server has.
    pub(crate) default_servers: Vec<DefaultServerView>,
    /// The protected servers.
    pub(crate) servers: Vec<ServerView>,
    /// The networks of the load balancers.
    pub(crate) real_ip_from: Vec<String>,
    /// The header with the address of the client, behind load balancers.
    pub(crate) real_ip_header: &'static str,
    /// The DNS servers, if nginx resolves names while it runs.
    pub(crate) resolver: Option<ResolverView>,
    /// Whether nginx joins all lines of a header in its variable.
    pub(crate) joins_header_lines: bool,
    /// Whether nginx needs a larger hash of variables than by default.
    pub(crate) has_small_variables_hash: bool,
}

impl NginxView {
    /// Returns whether a server is of the kind registry or ecr.
    pub(crate) fn has_registry(&self) -> bool {
        self.servers.iter().any(|server| !server.is_site())
    }

    /// Returns whether a server is of the kind site.
    pub(crate) fn has_site(&self) -> bool {
        self.servers.iter().any(ServerView::is_site)
    }

    /// Returns whether a server is of the kind ecr.
    pub(crate) fn has_ecr(&self) -> bool {
        self.servers.iter().any(ServerView::is_ecr)
    }

    /// Returns whether doorward gives upstream credentials to this proxy.
    pub(crate) fn has_proxy_secret(&self) -> bool {
        self.secret_include.is_some()
    }

    /// Returns whether a server can have locations of the administrator.
    pub(crate) fn has_own_locations(&self) -> bool {
        self.servers.iter().any(ServerView::has_own_locations)
    }

    /// Returns whether nginx refuses request lines of a server before the auth check.
    pub(crate) fn checks_requests(&self) -> bool {
        self.has_site() || self.checks_registry_paths()
    }

    /// Returns whether nginx checks the paths of a registry.
    pub(crate) fn checks_registry_paths(&self) -> bool {
        self.servers.iter().any(|server| !server.is_site() && !server.doorward_checks_path)
    }

    /// Returns whether a path needs no login.
    pub(crate) fn has_public_paths(&self) -> bool {
        self.servers.iter().any(|server| !server.public_paths.is_empty())
    }
}

/// The target of a `proxy_pass`: an upstream, or a variable that nginx resolves for each request.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The name of the upstream. The variable has the same name with `_at` at its end.
    pub(crate) name: String,
    /// Whether it is a variable.
    pub(crate) is_variable: bool,
}

/// An upstream.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamView {
    /// The name.
    pub(crate) target: Target,
    /// The address.
    pub(crate) server: String,
    /// Whether nginx resolves the name again while it runs.
    pub(crate) is_resolved: bool,
    /// The time for which an idle connection is kept, in seconds. It is less than the idle timeout of the server.
    pub(crate) keepalive_timeout: u32,
}

/// The DNS servers.
#[derive(Clone, Debug)]
pub(crate) struct ResolverView {
    /// The addresses, with brackets around IPv6.
    pub(crate) addresses: Vec<String>,
    /// Whether nginx asks for IPv4 addresses only.
    pub(crate) is_ipv4_only: bool,
}

/// A server for names that no protected server has.
#[derive(Clone, Debug)]
pub(crate) struct DefaultServerView {
    /// The addresses.
    pub(crate) listen: Vec<ListenView>,
    /// Whether the addresses have TLS.
    pub(crate) has_tls: bool,
    /// A certificate, for a version of nginx that cannot refuse a handshake.
    pub(crate) certificate: Option<CertificateView>,
}

/// The paths of a certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct CertificateView {
    /// The certificate, with its intermediate certificates.
    pub(crate) certificate: String,
    /// The key.
    pub(crate) key: String,
}

/// One `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenView {
    /// The address and port.
    pub(crate) address: String,
    /// Whether the address has TLS.
    pub(crate) has_tls: bool,
    /// Whether HTTP/2 is a parameter here.
    pub(crate) has_http2: bool,
    /// Whether the load balancers send the PROXY protocol.
    pub(crate) has_proxy_protocol: bool,
    /// Whether the server answers the names at this address that no server has.
    pub(crate) is_default: bool,
}

/// A protected server.
#[derive(Clone, Debug)]
pub(crate) struct ServerView {
    /// The end of the names of variables that belong to this server; empty for the first.
    pub(crate) suffix: String,
    /// The kind of the protected service.
    pub(crate) kind: ServiceKind,
    /// The use of registry tokens.
    pub(crate) tokens: TokenMode,
    /// The names that clients use.
    pub(crate) names: Vec<String>,
    /// The usual values of the Host header, if the server has one name and answers no other.
    pub(crate) usual_hosts: Vec<String>,
    /// The addresses.
    pub(crate) listen: Vec<ListenView>,
    /// The `listen` of a server that redirects to https.
    pub(crate) redirect_listen: Vec<ListenView>,
    /// The scheme that clients use: its name, or the variable of nginx.
    pub(crate) client_scheme: &'static str,
    /// The certificate; none without TLS.
    pub(crate) certificate: Option<CertificateView>,
    /// Whether `http2` is a directive here.
    pub(crate) has_http2_directive: bool,
    /// The protected service; none if the administrator writes the location.
    pub(crate) upstream: Option<Target>,
    /// The Host of a remote registry.
    pub(crate) remote_host: String,
    /// The name in the certificate of a remote registry.
    pub(crate) remote_name: String,
    /// The certificate authorities of a remote registry.
    pub(crate) upstream_ca: String,
    /// Whether only GET and HEAD are passed on.
    pub(crate) is_read_only: bool,
    /// Whether nginx fetches layers from the storage.
    pub(crate) follows_redirects: bool,
    /// The hosts of the storage; empty for S3.
    pub(crate) redirect_hosts: Vec<StorageHostView>,
    /// The facts that the upstream gets.
    pub(crate) facts: Vec<FactView>,
    /// The size limit of a request body.
    pub(crate) max_body_size: String,
    /// Whether every method can have a body.
    pub(crate) body_with_any_method: bool,
    /// The paths that need no login.
    pub(crate) public_paths: Vec<String>,
    /// The origins of web pages that can use the service.
    pub(crate) cors_origins: Vec<String>,
    /// The administrator's files with locations.
    pub(crate) include: Vec<String>,
    /// Whether the administrator writes the server{}, and includes the file in it.
    pub(crate) is_include_only: bool,
    /// Whether every protected location declares a registry to doorward, which then checks the path.
    pub(crate) doorward_checks_path: bool,
}

/// A host to which nginx follows redirects.
#[derive(Clone, Debug)]
pub(crate) struct StorageHostView {
    /// The name.
    pub(crate) name: String,
    /// Whether all names below it are meant.
    pub(crate) with_subdomains: bool,
}

/// A fact about a user.
#[derive(Clone, Debug)]
pub(crate) struct FactView {
    /// The end of the header, such as `customer-id`.
    pub(crate) header: String,
    /// The end of the variable, such as `customer_id`.
    pub(crate) variable: String,
}

impl ServerView {
    /// Returns the end of the name of the variable with the Host that the upstream gets.
    pub(crate) fn host_suffix(&self) -> String {
        if self.usual_hosts.is_empty() { String::new() } else { format!("_of{}", self.suffix) }
    }

    /// Returns whether the service is a site.
    pub(crate) fn is_site(&self) -> bool {
        self.kind == ServiceKind::Site
    }

    /// Returns whether the service is a remote registry.
    pub(crate) fn is_ecr(&self) -> bool {
        self.kind == ServiceKind::Ecr
    }

    /// Returns whether the server has the location of token requests.
    pub(crate) fn has_tokens(&self) -> bool {
        match self.tokens {
            TokenMode::Off => false,
            TokenMode::Mixed | TokenMode::Registry => true,
        }
    }

    /// Returns whether the registry verifies tokens, so that its location runs no auth check.
    pub(crate) fn registry_verifies_tokens(&self) -> bool {
        self.tokens == TokenMode::Registry
    }

    /// Returns whether nginx resolves names for this server while it runs, with a resolver of the server.
    pub(crate) fn uses_resolver(&self, view: &NginxView) -> bool {
        let is_variable = |target: &Option<Target>| target.as_ref().is_some_and(|target| target.is_variable);
        let has_variable = is_variable(&self.upstream) || (self.has_tokens() && is_variable(&view.public));
        has_variable || view.auth.is_variable || self.follows_redirects
    }

    /// Returns whether the server can have locations of the administrator.
    pub(crate) fn has_own_locations(&self) -> bool {
        self.is_include_only || !self.include.is_empty()
    }

    /// Returns whether a body with GET, HEAD, DELETE or OPTIONS is refused. A registry gets it unbuffered, and ignores it.
    pub(crate) fn checks_bodies(&self) -> bool {
        self.is_ecr() || self.has_own_locations()
    }

    /// Returns whether an upstream can read the identity. A registry does not.
    pub(crate) fn passes_identity(&self) -> bool {
        self.is_site() || self.has_own_locations()
    }

    /// Returns whether web pages of other origins can use the service.
    pub(crate) fn has_cors(&self) -> bool {
        !self.cors_origins.is_empty()
    }
}
