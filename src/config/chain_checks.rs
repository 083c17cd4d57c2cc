//! The chain of authenticators against the rest of the settings.

use std::time::Duration;

use super::authenticator::{AuthenticatorConfig, AuthenticatorType};
use super::{ApiKeyOwners, Config, ConfigError, ConfigOrigin};
use crate::authn::chain::AuthenticatorSet;
use crate::authn::remote::QUEUE_WAIT_ALLOWANCE;
use crate::policy::reload::GroupSource;

impl Config {
    /// The chain: as the file has it, or the htpasswd file alone.
    pub(super) fn resolve_authenticators(
        &mut self,
        given: Option<(ConfigOrigin, Vec<AuthenticatorConfig>)>,
        faults: &mut Vec<ConfigError>,
    ) {
        let Some((origin, chain)) = given else {
            let files = [
                (AuthenticatorType::Htpasswd, self.htpasswd_file.is_some()),
                (AuthenticatorType::ApiKeys, self.api_keys_file.is_some()),
            ];
            let alone = |(kind, _)| {
                let name = if matches!(kind, AuthenticatorType::ApiKeys) { "api_keys" } else { "htpasswd" };
                AuthenticatorConfig {
                    name: name.into(),
                    fallback_for: AuthenticatorSet::default(),
                    kind,
                    origin: ConfigOrigin::Unset,
                }
            };
            self.authenticators = files.into_iter().filter(|(_, given)| *given).map(alone).collect();
            return;
        };
        for (key, kind, given) in [
            ("htpasswd", AuthenticatorType::Htpasswd, self.htpasswd_file.is_some()),
            ("api_keys", AuthenticatorType::ApiKeys, self.api_keys_file.is_some()),
        ] {
            let asks = |one: &AuthenticatorConfig| {
                std::mem::discriminant(&one.kind) == std::mem::discriminant(&kind)
            };
            let what = match (chain.iter().any(asks), given) {
                (true, false) => format!("there is one of type {key}; set {key}.file too"),
                // A fault of a table may have cost the one that asks it.
                (false, true) if faults.is_empty() => {
                    format!(
                        "{key}.file is set, and no authenticator uses it; add an [[authenticator]] with type = \"{key}\""
                    )
                }
                _ => continue,
            };
            faults.push(ConfigError { origin: origin.clone(), message: format!("authenticator: {what}") });
        }
        self.authenticators = chain;
        let longest = self.max_authentication_time();
        if longest >= self.proxy_read_timeout
            && self.authenticators.iter().any(|one| matches!(one.kind, AuthenticatorType::Remote(_)))
        {
            let show = humantime::format_duration;
            let what = format!(
                "authenticator: a request may wait for {} (each timeout of the chain and half a second, and hash.wait_timeout), and nginx gives up after {}: make them shorter, or proxy_read_timeout longer, here and in nginx",
                show(longest),
                show(self.proxy_read_timeout)
            );
            faults.push(ConfigError { origin, message: what });
        }
    }

    /// Whether anybody says who is in which group.
    pub fn group_source(&self) -> GroupSource {
        let named = self.has_groups_from_auth_backends();
        // The owner is one whom the file lets in, and of whom no service would be asked.
        let of_file = self.api_keys_owners == ApiKeyOwners::Htpasswd
            && matches!(
                self.authenticators.first(),
                Some(AuthenticatorConfig { kind: AuthenticatorType::Htpasswd, .. })
            );
        match (self.groups_file.is_some() || named, named && self.api_keys_file.is_some() && !of_file) {
            (_, true) => GroupSource::PresentExceptForApiKeys,
            (true, false) => GroupSource::Present,
            (false, false) => GroupSource::Absent,
        }
    }

    /// Whether a service does.
    pub fn has_groups_from_auth_backends(&self) -> bool {
        let names = |one: &AuthenticatorConfig| match &one.kind {
            AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => false,
            AuthenticatorType::Remote(spec) => spec.kind.spec().has_groups(),
        };
        self.authenticators.iter().any(names)
    }

    /// The longest that a request may wait for the whole chain: whoever has a line in the htpasswd file
    /// gets no further than that, and others are not looked for there but at the end.
    pub fn max_authentication_time(&self) -> Duration {
        let call = |one: &AuthenticatorConfig| match &one.kind {
            AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => Duration::ZERO,
            AuthenticatorType::Remote(spec) => spec.timeout + QUEUE_WAIT_ALLOWANCE,
        };
        let calls = |chain: &[AuthenticatorConfig]| chain.iter().map(call).sum::<Duration>();
        let all = calls(&self.authenticators);
        let file = self.authenticators.iter().position(|one| matches!(one.kind, AuthenticatorType::Htpasswd));
        file.and_then(|place| self.authenticators.get(..place))
            .map_or(all, |before| all.max(calls(before) + self.hash_wait_timeout))
    }
}
