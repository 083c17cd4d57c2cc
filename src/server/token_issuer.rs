//! Builds the challenge of `/auth` and the issuer of registry tokens from the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use super::start_error::StartError;
use crate::clock::Moment;
use crate::config::{Config, TokenChallenge};
use crate::http::challenge::Challenge;
use crate::reload::FileReloader;
use crate::token;
use crate::token::issuer::{IssuerAndService, TokenIssuer};
use crate::token::signing_key::reload::SigningKeyFile;

/// Returns the challenge of `/auth`.
pub(super) fn build_challenge(config: &Config) -> Result<Challenge, StartError> {
    let challenge = match config.token.challenge {
        TokenChallenge::Basic => Challenge::basic(&config.realm),
        TokenChallenge::Bearer => Challenge::bearer(
            config.token.realm.as_deref().unwrap_or_default(),
            config.token.service.as_deref().unwrap_or_default(),
        ),
    };
    challenge.map_err(|_| StartError::InvalidChallengeHeader)
}

/// Loads the file of signing keys, and returns the reloader that watches it; `None` if no file is set.
pub(super) fn start_signing_key_reloader(
    config: &Config,
    now: Moment,
) -> Result<Option<FileReloader<SigningKeyFile>>, StartError> {
    let start = |path: &PathBuf| token::signing_key::reload::start(path.clone(), now);
    config.token.signing_keys.as_ref().map(start).transpose().map_err(StartError::SigningKeysUnusable)
}

/// Builds the issuer, which signs with the current keys of `file`.
pub(super) fn build_token_issuer(config: &Config, file: &SigningKeyFile) -> Arc<TokenIssuer> {
    let names = IssuerAndService {
        issuer: config.token.issuer.clone(),
        service: config.token.service.clone().unwrap_or_default(),
    };
    Arc::new(TokenIssuer::new(file.current_keys(), names, config.token.lifetime))
}
