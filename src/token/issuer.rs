//! Giving tokens out, and knowing one's own again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::claims::{AccessEntry, Claims};
use super::signing_key::reload::CurrentSigningKeys;
use super::signing_key::{SignError, TokenVerifyError};

/// How far back a token begins: a registry's clock may be behind.
const NOT_BEFORE_MARGIN_SECS: u64 = 60;

/// Bytes of tokens that were verified, and are known again without it: a signature takes some fifty times of the
/// rest. Anybody may have tokens, so they are counted by how long they are.
const VERIFIED_CACHE_BYTES_MAX: u64 = 4 << 20;

/// What one takes besides its text, once as it came and once as it is read.
const VERIFIED_ENTRY_OVERHEAD_BYTES: usize = 512;

/// How much of what was not granted a token says, at the most: a push with mounts asks for some dozen things.
const DENIED_ENTRIES_MAX: usize = 16;

/// What stands in every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerAndService {
    /// `iss`: the registry's `issuer`.
    pub issuer: String,
    /// `aud`: the registry's `service`.
    pub service: String,
}

/// See the top of this file.
pub struct TokenIssuer {
    signing_keys: Arc<CurrentSigningKeys>,
    issuer_and_service: IssuerAndService,
    lifetime: Duration,
    verified_cache: Cache<[u8; 32], (Arc<Claims>, u32)>,
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("names", &self.issuer_and_service).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// A token is JSON, and the name can't stand there as it is.
    #[error("the user name is no UTF-8, so no token can name it")]
    NonUtf8User,
    /// It would be longer than servers take.
    #[error("more is asked for than a token can hold: ask for less at once")]
    TooLong,
    /// No random number, or no signature, could be had.
    #[error("the token could not be signed")]
    SigningFailed,
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The user's name; empty for nobody.
    pub user: Vec<u8>,
    /// At which host it was judged.
    pub host: String,
    /// What may be done with it.
    pub access: Vec<AccessEntry>,
    /// What was asked for besides, and is not granted.
    pub denied: Vec<AccessEntry>,
    /// When it is issued, in seconds since 1970.
    pub issued_at: u64,
    /// When what it follows from ends, if it does.
    pub latest_expiry: Option<u64>,
}

/// A token, and what its client is told of it.
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// Its `jti`.
    pub token_id: String,
    /// When it was given out, in seconds since 1970.
    pub issued_at: u64,
    /// For how many seconds it is good.
    pub expires_in: u64,
}

impl TokenIssuer {
    /// Signs by `keys`; a token is good for `expires`.
    pub fn new(keys: Arc<CurrentSigningKeys>, names: IssuerAndService, expires: Duration) -> Self {
        let verified = Cache::builder()
            .max_capacity(VERIFIED_CACHE_BYTES_MAX)
            .weigher(|_, (_, size): &(Arc<Claims>, u32)| *size)
            .time_to_live(expires)
            .build();
        Self { signing_keys: keys, issuer_and_service: names, lifetime: expires, verified_cache: verified }
    }

    /// What stands in every token.
    pub fn issuer_and_service(&self) -> &IssuerAndService {
        &self.issuer_and_service
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> String {
        self.signing_keys.load().jwks()
    }

    /// Whether a signature takes so long that no thread that answers requests should make it.
    pub fn is_signing_slow(&self) -> bool {
        self.signing_keys.load().is_signing_slow()
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`IssueFault`].
    pub fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        let NewToken { user, host, access, mut denied, issued_at: now, latest_expiry: until } = new;
        let sub = String::from_utf8(user).map_err(|_| IssueError::NonUtf8User)?;
        let exp = now.saturating_add(self.lifetime.as_secs()).min(until.unwrap_or(u64::MAX));
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| IssueError::SigningFailed)?;
        // A client without a user is asked to log in, whatever it was not granted.
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
            // What is granted comes first.
            Err(SignError::TooLong) if !claims.denied.is_empty() => {
                claims.denied.clear();
                keys.sign(&claims)
            }
            signed => signed,
        };
        let token = token.map_err(|fault| match fault {
            SignError::TooLong => IssueError::TooLong,
            SignError::ClaimsNotSerializable(_) | SignError::SigningFailed => IssueError::SigningFailed,
        })?;
        Ok(IssuedToken { token, token_id: claims.jti, issued_at: now, expires_in: exp.saturating_sub(now) })
    }

    /// What a token of ours says whose signature was verified before, without looking at it again. The caller
    /// checks the time.
    pub fn lookup_verified(&self, token: &str) -> Option<Arc<Claims>> {
        self.verified_cache.get(&self.cache_key(token)).map(|(claims, _)| claims)
    }

    /// What a token of ours says, if it is one. The caller checks the time; one that has expired is known again as
    /// well, since clients go on showing it.
    ///
    /// # Errors
    /// If not; the client is not told why.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenVerifyError> {
        // Before, so that nothing is known under other keys than those that verified it.
        let name = self.cache_key(token);
        let claims = Arc::new(self.signing_keys.load().verify_signature(token)?);
        if claims.iss != self.issuer_and_service.issuer {
            return Err(TokenVerifyError::WrongIssuer);
        }
        if claims.aud != self.issuer_and_service.service {
            return Err(TokenVerifyError::WrongAudience);
        }
        let size = u32::try_from(2 * token.len() + VERIFIED_ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        self.verified_cache.insert(name, (Arc::clone(&claims), size));
        Ok(claims)
    }

    /// What a token is known by. Whoever is known by a key that is not there any more is not known again.
    fn cache_key(&self, token: &str) -> [u8; 32] {
        *blake3::Hasher::new_keyed(self.signing_keys.load().fingerprint())
            .update(token.as_bytes())
            .finalize()
            .as_bytes()
    }
}
