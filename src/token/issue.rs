//! Giving tokens out, and knowing one's own again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::claims::{AccessEntry, Claims};
use super::reload::CurrentSigningKeys;
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
    keys: Arc<CurrentSigningKeys>,
    names: IssuerAndService,
    expires: Duration,
    verified: Cache<[u8; 32], (Arc<Claims>, u32)>,
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// A token is JSON, and the name can't stand there as it is.
    #[error("the user name is no UTF-8, so no token can name it")]
    Name,
    /// It would be longer than servers take.
    #[error("more is asked for than a token can hold: ask for less at once")]
    Long,
    /// No random number, or no signature, could be had.
    #[error("the token could not be signed")]
    Signing,
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
    pub at: u64,
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
        Self { keys, names, expires, verified }
    }

    /// What stands in every token.
    pub fn names(&self) -> &IssuerAndService {
        &self.names
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> String {
        self.keys.keys().jwks()
    }

    /// Whether a signature takes so long that no thread that answers requests should make it.
    pub fn is_slow(&self) -> bool {
        self.keys.keys().is_signing_slow()
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`IssueFault`].
    pub fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        let NewToken { user, host, access, mut denied, issued_at: now, latest_expiry: until } = new;
        let sub = String::from_utf8(user).map_err(|_| IssueError::Name)?;
        let exp = now.saturating_add(self.expires.as_secs()).min(until.unwrap_or(u64::MAX));
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| IssueError::Signing)?;
        // A client without a user is asked to log in, whatever it was not granted.
        denied.truncate(if sub.is_empty() { 0 } else { DENIED_ENTRIES_MAX });
        let mut claims = Claims {
            iss: self.names.issuer.clone(),
            sub,
            aud: self.names.service.clone(),
            exp,
            nbf: now.saturating_sub(NOT_BEFORE_MARGIN_SECS),
            iat: now,
            jti: format!("{:032x}", u128::from_le_bytes(id)),
            host,
            access,
            denied,
        };
        let keys = self.keys.keys();
        let token = match keys.sign(&claims) {
            // What is granted comes first.
            Err(SignError::TooLong) if !claims.denied.is_empty() => {
                claims.denied.clear();
                keys.sign(&claims)
            }
            signed => signed,
        };
        let token = token.map_err(|fault| match fault {
            SignError::TooLong => IssueError::Long,
            SignError::Claims(_) | SignError::Ring => IssueError::Signing,
        })?;
        Ok(IssuedToken { token, token_id: claims.jti, at: now, expires_in: exp.saturating_sub(now) })
    }

    /// What a token of ours says whose signature was verified before, without looking at it again. The caller
    /// checks the time.
    pub fn known(&self, token: &str) -> Option<Arc<Claims>> {
        self.verified.get(&self.name(token)).map(|(claims, _)| claims)
    }

    /// What a token of ours says, if it is one. The caller checks the time; one that has expired is known again as
    /// well, since clients go on showing it.
    ///
    /// # Errors
    /// If not; the client is not told why.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenVerifyError> {
        // Before, so that nothing is known under other keys than those that verified it.
        let name = self.name(token);
        let claims = Arc::new(self.keys.keys().verify_signature(token)?);
        if claims.iss != self.names.issuer {
            return Err(TokenVerifyError::Issuer);
        }
        if claims.aud != self.names.service {
            return Err(TokenVerifyError::Audience);
        }
        let size = u32::try_from(2 * token.len() + VERIFIED_ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        self.verified.insert(name, (Arc::clone(&claims), size));
        Ok(claims)
    }

    /// What a token is known by. Whoever is known by a key that is not there any more is not known again.
    fn name(&self, token: &str) -> [u8; 32] {
        *blake3::Hasher::new_keyed(self.keys.keys().fingerprint())
            .update(token.as_bytes())
            .finalize()
            .as_bytes()
    }
}
