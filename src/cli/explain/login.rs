//! The check of `doorward explain` that the user can log in.

use super::evaluation::{ANONYMOUS, ExplainSubject};
use crate::authn::htpasswd::{self, Htpasswd};
use crate::config::Config;
use crate::config::authenticator::{AuthenticatorConfig, AuthenticatorType};
use crate::identity::sanitize_for_display;
use crate::reload::SourceFile;

/// Returns the reason for which the htpasswd file does not admit the user; `None` if it does.
///
/// If an auth backend is configured, the answer is always `None`, because the backend is not called.
pub(super) fn login_error(config: &Config, subject: &ExplainSubject) -> Option<String> {
    let is_local = |authenticator: &AuthenticatorConfig| {
        matches!(authenticator.settings, AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys)
    };
    if subject.user == ANONYMOUS || !config.authenticators.iter().all(is_local) {
        return None;
    }
    let path = config.htpasswd.file.clone()?;
    let source = SourceFile { path, max_bytes: config.htpasswd.max_bytes };
    let name = source.display_path();
    let options = htpasswd::file::HtpasswdParseOptions {
        allowed_formats: config.htpasswd.allowed_formats(),
        ..Default::default()
    };
    let text = match source.read() {
        Ok(text) => text,
        Err(error) => return Some(error.to_string()),
    };
    let users = match htpasswd::validate::parse_and_validate(&source, text, &options) {
        Ok(parsed) => Htpasswd::new(parsed.users),
        Err(error) => return Some(error.to_string()),
    };
    let record = users.look_up(subject.user.as_bytes());
    let user = sanitize_for_display(subject.user.as_bytes());
    match (record.line_number(), record.line_error()) {
        (Some(line), Some(error)) => Some(format!("{name}:{line}: {user} cannot log in: {error}")),
        (Some(_), None) => None,
        (None, _) => Some(format!("{user} has no line in {name} and cannot log in")),
    }
}
