//! Issues tokens, and verifies tokens that doorward issued.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::claims::{AccessEntry, Claims};
use super::signing_key::SignError;
use super::signing_key::reload::CurrentSigningKeys;
use super::signing_key::verify::TokenVerifyError;

/// Time between `nbf` and the time of issue, in seconds, because the clock of a registry can be behind.
const NOT_BEFORE_MARGIN_SECS: u64 = 60;

/// Maximum size of the cache of verified tokens, in bytes. Checking a signature takes about fifty times as long as
/// the other steps. Any client can get tokens, so entries are weighed by their size.
const VERIFIED_CACHE_BYTES_MAX: u64 = 4 << 20;

/// Size of a cache entry in addition to its text, which is stored twice: as received and as parsed.
const VERIFIED_ENTRY_OVERHEAD_BYTES: usize = 512;

/// Maximum number of entries in the claim `denied`. A push with mounts requests some dozen scopes.
const DENIED_ENTRIES_MAX: usize = 16;

/// The claims that are equal in all tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerAndService {
    /// `iss`: the `issuer` of the registry configuration.
    pub(crate) issuer: String,
    /// `aud`: the `service` of the registry configuration.
    pub(crate) service: String,
}

/// The signing keys, the common claims and the cache of verified tokens.
pub(crate) struct TokenIssuer {
    signing_keys: Arc<CurrentSigningKeys>,
    issuer_and_service: IssuerAndService,
    lifetime: Duration,
    verified_cache: Cache<[u8; 32], (Arc<Claims>, u32)>,
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("issuer_and_service", &self.issuer_and_service)
            .finish_non_exhaustive()
    }
}

/// The reason why no token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IssueError {
    /// The user name is not UTF-8. A token is JSON, which cannot contain it.
    #[error("the user name is not UTF-8, so a token cannot contain it")]
    NonUtf8User,
    /// The token would be longer than servers accept.
    #[error("the token would be too large: request fewer scopes at once")]
    TooLong,
    /// Random numbers or the signature could not be generated.
    #[error("the token could not be signed")]
    SigningFailed,
}

/// The content of a new token.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    /// The name of the user; empty for a client without credentials.
    pub(crate) user: Vec<u8>,
    /// The host that the policy was evaluated for.
    pub(crate) host: String,
    /// The granted access.
    pub(crate) access: Vec<AccessEntry>,
    /// Requested access that was not granted.
    pub(crate) denied: Vec<AccessEntry>,
    /// Time of issue, in seconds since 1970.
    pub(crate) issued_at: u64,
    /// Expiry of the credentials or of the stale answer that the token is based on, if there is one.
    pub(crate) latest_expiry: Option<u64>,
}

/// A signed token, and its properties for the response.
pub(crate) struct IssuedToken {
    /// The token.
    pub(crate) token: String,
    /// The claim `jti`.
    pub(crate) token_id: String,
    /// Time of issue, in seconds since 1970.
    pub(crate) issued_at: u64,
    /// Lifetime in seconds.
    pub(crate) expires_in: u64,
}

impl TokenIssuer {
    /// Creates an issuer that signs with `keys`. Tokens are valid for `lifetime`.
    pub(crate) fn new(
        keys: Arc<CurrentSigningKeys>,
        issuer_and_service: IssuerAndService,
        lifetime: Duration,
    ) -> Self {
        let verified_cache = Cache::builder()
            .max_capacity(VERIFIED_CACHE_BYTES_MAX)
            .weigher(|_, (_, size): &(Arc<Claims>, u32)| *size)
            .time_to_live(lifetime)
            .build();
        Self { signing_keys: keys, issuer_and_service, lifetime, verified_cache }
    }

    /// Returns the claims that are equal in all tokens.
    pub(crate) fn issuer_and_service(&self) -> &IssuerAndService {
        &self.issuer_and_service
    }

    /// Returns the public keys (RFC 7517).
    pub(crate) fn jwks(&self) -> String {
        self.signing_keys.load().jwks()
    }

    /// Returns true if a thread that answers requests must not sign, because it would block for too long.
    pub(crate) fn is_signing_slow(&self) -> bool {
        self.signing_keys.load().is_signing_slow()
    }

    /// Signs a token.
    ///
    /// # Errors
    /// Returns the reason why no token can be issued.
    pub(crate) fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        let NewToken { user, host, access, mut denied, issued_at: now, latest_expiry } = new;
        let sub = String::from_utf8(user).map_err(|_| IssueError::NonUtf8User)?;
        let exp = now.saturating_add(self.lifetime.as_secs()).min(latest_expiry.unwrap_or(u64::MAX));
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| IssueError::SigningFailed)?;
        // A client without a user is always challenged, so it does not need the denied scopes.
        denied.truncate(if sub.is_empty() { 0 } else { DENIED_ENTRIES_MAX });
        let mut claims = Claims {
            iss: self.issuer_and_service.issuer.clone(),
            sub,
            aud: self.issuer_and_service.service.clone(),
            exp,
            nbf: now.saturating_sub(NOT_BEFORE_MARGIN_SECS),
            iat: now,
            jti: format!("{:032x}", u128::from_le_bytes(id)),
            host,
            access,
            denied,
        };
        let keys = self.signing_keys.load();
        let token = match keys.sign(&claims) {
            // Granted access has priority over the claim `denied`.
            Err(SignError::TooLong) if !claims.denied.is_empty() => {
                claims.denied.clear();
                keys.sign(&claims)
            }
            result => result,
        };
        let token = token.map_err(|error| match error {
            SignError::TooLong => IssueError::TooLong,
            SignError::ClaimsNotSerializable(_) | SignError::SigningFailed => IssueError::SigningFailed,
        })?;
        Ok(IssuedToken { token, token_id: claims.jti, issued_at: now, expires_in: exp.saturating_sub(now) })
    }

    /// Returns the claims of a token that was verified before, without verifying the signature again. The caller must
    /// check the validity period.
    pub(crate) fn lookup_verified(&self, token: &str) -> Option<Arc<Claims>> {
        self.verified_cache.get(&self.cache_key(token)).map(|(claims, _)| claims)
    }

    /// Verifies a token and returns its claims. The caller must check the validity period. Expired tokens are cached
    /// too, because clients continue to send them.
    ///
    /// # Errors
    /// Returns the reason for the log. The client must not see it.
    pub(crate) fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenVerifyError> {
        // Computed before the verification: if the keys change in between, the entry must not be found under the new
        // keys.
        let cache_key = self.cache_key(token);
        let claims = Arc::new(self.signing_keys.load().verify_signature(token)?);
        if claims.iss != self.issuer_and_service.issuer {
            return Err(TokenVerifyError::WrongIssuer);
        }
        if claims.aud != self.issuer_and_service.service {
            return Err(TokenVerifyError::WrongAudience);
        }
        let size = u32::try_from(2 * token.len() + VERIFIED_ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        self.verified_cache.insert(cache_key, (Arc::clone(&claims), size));
        Ok(claims)
    }

    /// Returns the cache key of a token. It depends on the current keys, so that an entry is not found after a key
    /// was removed.
    fn cache_key(&self, token: &str) -> [u8; 32] {
        *blake3::Hasher::new_keyed(self.signing_keys.load().fingerprint())
            .update(token.as_bytes())
            .finalize()
            .as_bytes()
    }
}
