//! Giving out the registry's tokens, as the settings say.

use crate::reload::FileReloader;
use std::path::PathBuf;
use std::sync::Arc;

use super::start_error::StartError;
use crate::clock::Moment;
use crate::config::{Config, TokenChallenge};
use crate::http::response::Challenge;
use crate::token;
use crate::token::issuer::{IssuerAndService, TokenIssuer};

/// What `/auth` challenges with.
pub(super) fn build_challenge(settings: &Config) -> Result<Challenge, StartError> {
    let made = match settings.token.challenge {
        TokenChallenge::Basic => Challenge::basic(&settings.realm),
        TokenChallenge::Bearer => Challenge::bearer(
            settings.token.realm.as_deref().unwrap_or_default(),
            settings.token.service.as_deref().unwrap_or_default(),
        ),
    };
    made.map_err(|_| StartError::InvalidChallengeHeader)
}

/// The keys that sign tokens, where any are given out.
pub(super) fn start_signing_key_reloader(
    settings: &Config,
    now: Moment,
) -> Result<Option<FileReloader<token::signing_key::reload::SigningKeyFile>>, StartError> {
    let start = |path: &PathBuf| token::signing_key::reload::start(path.clone(), now);
    settings.token.signing_keys.as_ref().map(start).transpose().map_err(StartError::SigningKeysUnusable)
}

pub(super) fn build_token_issuer(
    settings: &Config,
    file: &token::signing_key::reload::SigningKeyFile,
) -> Arc<TokenIssuer> {
    let names = IssuerAndService {
        issuer: settings.token.issuer.clone(),
        service: settings.token.service.clone().unwrap_or_default(),
    };
    Arc::new(TokenIssuer::new(file.current_keys(), names, settings.token.lifetime))
}
