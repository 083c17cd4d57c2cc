//! Checks of the options of one server: those that its kind does not have, and those that contradict each other.

use crate::proxy_config::options::{CommonOptions, OptionError, ServerOptions};
use crate::proxy_config::value::{ClientScheme, Redirects, ServiceKind, TokenMode};

/// Returns all errors of the options of a server.
pub(super) fn check_server(
    common: &CommonOptions,
    number: usize,
    options: &ServerOptions,
) -> Vec<OptionError> {
    let mut checks = ServerChecks { common, number, options, errors: Vec::new() };
    checks.check_kind();
    checks.check_lists();
    checks.check_combinations();
    checks.errors
}

struct ServerChecks<'o> {
    common: &'o CommonOptions,
    number: usize,
    options: &'o ServerOptions,
    errors: Vec<OptionError>,
}

impl ServerChecks<'_> {
    fn common_error(&mut self, option: &'static str, message: &str) {
        self.errors.push(OptionError { option, server: None, message: message.to_owned() });
    }

    fn server_error(&mut self, option: &'static str, message: &str) {
        self.errors.push(OptionError { option, server: Some(self.number), message: message.to_owned() });
    }

    /// Rejects options that another option makes useless. Such an option is a mistake that can be dangerous.
    fn check_kind(&mut self) {
        use ServiceKind::{Ecr, Registry, Site};
        let options = self.options;
        let given: [(&'static str, bool, &[ServiceKind]); 9] = [
            ("tokens", options.tokens != TokenMode::Off, &[Registry]),
            ("push", options.push.is_some(), &[Registry, Ecr]),
            ("upstream_ca", options.upstream_ca.is_some(), &[Ecr]),
            ("redirects", options.redirects == Redirects::Follow, &[Ecr]),
            ("redirect_hosts", !options.redirect_hosts.is_empty(), &[Ecr]),
            ("facts", !options.facts.is_empty(), &[Registry, Site]),
            ("max_body_size", options.max_body_size.is_some(), &[Site]),
            ("body_with_any_method", options.body_with_any_method, &[Site]),
            ("public_paths", !options.public_paths.is_empty(), &[Site]),
        ];
        for (option, is_given, kinds) in given {
            if is_given && !kinds.contains(&options.kind) {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                let (names, kind) = (names.join(" or "), options.kind.name());
                let message = format!("requires the kind {names}, not {kind}; remove one of them");
                self.server_error(option, &message);
            }
        }
    }

    /// Rejects lists that are empty or have a value twice.
    fn check_lists(&mut self) {
        let options = self.options;
        if options.server_name.is_empty() {
            self.server_error("server_name", "must have a name; _ is every name");
        }
        for (option, values) in [
            ("server_name", &options.server_name),
            ("facts", &options.facts),
            ("public_paths", &options.public_paths),
            ("cors_origins", &options.cors_origins),
            ("include", &options.include),
        ] {
            if (1..).zip(values).any(|(next, value)| values.iter().skip(next).any(|other| other == value)) {
                self.server_error(option, "has a value twice; remove one of them");
            }
        }
    }

    /// Rejects options that contradict each other, or that require another one.
    fn check_combinations(&mut self) {
        let options = self.options;
        if !options.redirect_hosts.is_empty() && options.redirects == Redirects::Pass {
            self.server_error("redirect_hosts", "has no effect without redirects = follow");
        }
        if options.tokens == TokenMode::Registry && !options.facts.is_empty() {
            let message = "requires an auth check, which tokens = registry does not run; remove one of them";
            self.server_error("facts", message);
        }
        if options.kind == ServiceKind::Ecr && self.common.proxy_secret_file.is_none() {
            let message = "missing: the kind ecr requires it, since doorward gives upstream credentials only to a peer with the proxy secret";
            self.common_error("proxy_secret_file", message);
        }
        let is_secure = !options.plain_http || self.common.scheme == Some(ClientScheme::Https);
        if !is_secure && options.cors_origins.iter().any(|origin| origin.starts_with("https:")) {
            let message = "a browser sends no request from an https page to plain http; use TLS, or set scheme = https behind a load balancer";
            self.server_error("cors_origins", message);
        }
    }
}
