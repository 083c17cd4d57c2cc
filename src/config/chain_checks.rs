//! Checks that the chain of authenticators fits the other settings.

use std::time::Duration;

use super::authenticator::{AuthenticatorConfig, AuthenticatorType};
use super::combination_errors::CombinationErrors;
use super::table::ConfigValues;
use super::{ApiKeyOwners, ConfigError, ConfigOrigin};
use crate::authn::chain::AuthenticatorSet;
use crate::authn::remote::QUEUE_WAIT_ALLOWANCE;
use crate::policy::reload::GroupSource;

impl ConfigValues {
    /// Sets the chain: the tables of the file, or one authenticator for each file of users that is set.
    pub(super) fn resolve_authenticators(
        &mut self,
        tables: Option<(ConfigOrigin, Vec<AuthenticatorConfig>)>,
        errors: &mut CombinationErrors<'_>,
    ) {
        let files = [
            ("htpasswd", "htpasswd.file", AuthenticatorType::Htpasswd, self.htpasswd.file.is_some()),
            ("api_keys", "api_keys.file", AuthenticatorType::ApiKeys, self.api_keys.file.is_some()),
        ];
        let Some((origin, chain)) = tables else {
            let authenticator =
                |(name, _, settings, _): (&str, &str, AuthenticatorType, bool)| AuthenticatorConfig {
                    name: name.into(),
                    fallback_for: AuthenticatorSet::default(),
                    settings,
                    origin: ConfigOrigin::Unset,
                };
            self.authenticators =
                files.into_iter().filter(|(_, _, _, is_set)| *is_set).map(authenticator).collect();
            return;
        };
        for (name, file_key, settings, is_set) in files {
            let is_used = chain
                .iter()
                .any(|one| std::mem::discriminant(&one.settings) == std::mem::discriminant(&settings));
            let message = match (is_used, is_set) {
                (true, false) if errors.has_invalid(&[file_key]) => continue,
                (true, false) => format!("an authenticator of type {name} requires {file_key}"),
                // An error of a table can have removed the authenticator that uses the file.
                (false, true) if errors.errors.is_empty() => format!(
                    "{file_key} is set, but no authenticator uses it; add an [[authenticator]] with type = \"{name}\""
                ),
                _ => continue,
            };
            errors
                .errors
                .push(ConfigError { origin: origin.clone(), message: format!("authenticator: {message}") });
        }
        self.authenticators = chain;
        let longest = self.max_authentication_time();
        if longest >= self.proxy_read_timeout
            && !errors.has_invalid(&["proxy_read_timeout", "hash.wait_timeout"])
            && self.authenticators.iter().any(|one| matches!(one.settings, AuthenticatorType::Remote(_)))
        {
            let format = humantime::format_duration;
            let message = format!(
                "authenticator: the timeouts of the chain (half a second added to each) and hash.wait_timeout are {}, but nginx waits for {}. Shorten them, or raise proxy_read_timeout here and in nginx",
                format(longest),
                format(self.proxy_read_timeout)
            );
            errors.errors.push(ConfigError { origin, message });
        }
    }

    /// Returns whether a file or an authenticator supplies groups.
    pub(crate) fn group_source(&self) -> GroupSource {
        let from_remote_sources = self.has_groups_from_remote_sources();
        // The owner of an API key is then listed in the htpasswd file, so no service would be called for the user.
        let are_owners_local = self.api_keys.owners == ApiKeyOwners::Htpasswd
            && matches!(
                self.authenticators.first(),
                Some(AuthenticatorConfig { settings: AuthenticatorType::Htpasswd, .. })
            );
        let has_keys_without_groups =
            from_remote_sources && self.api_keys.file.is_some() && !are_owners_local;
        match (self.groups.file.is_some() || from_remote_sources, has_keys_without_groups) {
            (_, true) => GroupSource::PresentExceptForApiKeys,
            (true, false) => GroupSource::Present,
            (false, false) => GroupSource::Absent,
        }
    }

    /// Returns whether a remote source supplies groups.
    pub(crate) fn has_groups_from_remote_sources(&self) -> bool {
        let has_groups = |one: &AuthenticatorConfig| match &one.settings {
            AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => false,
            AuthenticatorType::Remote(spec) => spec.kind.spec().has_groups(),
        };
        self.authenticators.iter().any(has_groups)
    }

    /// Returns the longest time that a request can wait for the whole chain. A user listed in the htpasswd file gets
    /// no further than the file. For other users the file costs no hash before the end of the chain.
    pub(crate) fn max_authentication_time(&self) -> Duration {
        let call = |one: &AuthenticatorConfig| match &one.settings {
            AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => Duration::ZERO,
            AuthenticatorType::Remote(spec) => spec.timeout + QUEUE_WAIT_ALLOWANCE,
        };
        let calls = |chain: &[AuthenticatorConfig]| chain.iter().map(call).sum::<Duration>();
        let all = calls(&self.authenticators);
        let file =
            self.authenticators.iter().position(|one| matches!(one.settings, AuthenticatorType::Htpasswd));
        file.and_then(|index| self.authenticators.get(..index))
            .map_or(all, |before| all.max(calls(before) + self.hash.wait_timeout))
    }
}
