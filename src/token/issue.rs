//! Giving tokens out, and knowing one's own again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::claims::{Access, Claims};
use super::keys::{SignFault, VerifyFault};
use super::reload::Kept;

/// How far back a token begins: a registry's clock may be behind.
const BACKDATED: u64 = 60;

/// Bytes of tokens that were verified, and are known again without it: a signature takes some fifty times of the
/// rest. Anybody may have tokens, so they are counted by how long they are.
const VERIFIED_MAX: u64 = 4 << 20;

/// What one takes besides its text, once as it came and once as it is read.
const VERIFIED_EACH: usize = 512;

/// Signatures that are made at one time where they take milliseconds (RSA): beyond that clients come again.
const SLOW_MAX: usize = 4;

/// What stands in every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `iss`: the registry's `issuer`.
    pub issuer: String,
    /// `aud`: the registry's `service`.
    pub service: String,
}

/// See the top of this file.
pub struct Tokens {
    keys: Arc<Kept>,
    names: Names,
    expires: Duration,
    verified: Cache<[u8; 32], (Arc<Claims>, u32)>,
    /// Places for signatures that take long.
    slow: Arc<Semaphore>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueFault {
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

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It names a key of ours, which did not sign it.
    #[error("the token is forged: the key that it names did not sign it")]
    Forged,
    /// It is none of ours, or does not count now.
    #[error("the token is none of ours, or does not count now")]
    Otherwise,
}

impl NotOurs {
    fn of(fault: &VerifyFault) -> Self {
        match fault {
            VerifyFault::Signature => Self::Forged,
            VerifyFault::TooLong
            | VerifyFault::Form
            | VerifyFault::Header
            | VerifyFault::Key
            | VerifyFault::Algorithm
            | VerifyFault::Claims
            | VerifyFault::Expired
            | VerifyFault::Early => Self::Otherwise,
        }
    }
}

/// A token, and what its client is told of it.
pub struct Issued {
    /// The token.
    pub token: String,
    /// Its `jti`.
    pub id: String,
    /// When it was given out, in seconds since 1970.
    pub at: u64,
    /// For how many seconds it is good.
    pub expires_in: u64,
}

impl Tokens {
    /// Signs by `keys`; a token is good for `expires`.
    pub fn new(keys: Arc<Kept>, names: Names, expires: Duration) -> Self {
        let verified = Cache::builder()
            .max_capacity(VERIFIED_MAX)
            .weigher(|_, (_, size): &(Arc<Claims>, u32)| *size)
            .time_to_live(expires)
            .build();
        Self { keys, names, expires, verified, slow: Arc::new(Semaphore::new(SLOW_MAX)) }
    }

    /// What stands in every token.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> String {
        self.keys.keys().jwks()
    }

    /// Whether a signature takes so long that no thread that answers requests should make it; and then a place
    /// for one, or none where there are too many.
    pub fn slow(&self) -> Option<Result<OwnedSemaphorePermit, TryAcquireError>> {
        self.keys.keys().is_slow().then(|| Arc::clone(&self.slow).try_acquire_owned())
    }

    /// A token for `user`, judged at `host`, whose own credentials end at `until`.
    ///
    /// # Errors
    /// [`IssueFault`].
    pub fn issue(
        &self,
        user: &[u8],
        host: &str,
        access: Vec<Access>,
        now: u64,
        until: Option<u64>,
    ) -> Result<Issued, IssueFault> {
        let sub = std::str::from_utf8(user).map_err(|_| IssueFault::Name)?.to_owned();
        let exp = now.saturating_add(self.expires.as_secs()).min(until.unwrap_or(u64::MAX));
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| IssueFault::Signing)?;
        let claims = Claims {
            iss: self.names.issuer.clone(),
            sub,
            aud: self.names.service.clone(),
            exp,
            nbf: now.saturating_sub(BACKDATED),
            iat: now,
            jti: format!("{:032x}", u128::from_le_bytes(id)),
            host: host.to_owned(),
            access,
        };
        let token = self.keys.keys().sign(&claims).map_err(|fault| match fault {
            SignFault::TooLong => IssueFault::Long,
            _ => IssueFault::Signing,
        })?;
        Ok(Issued { token, id: claims.jti, at: now, expires_in: exp.saturating_sub(now) })
    }

    /// What a token of ours says that was verified before and counts at `now`; without looking at its
    /// signature again.
    pub fn known(&self, token: &str, now: u64) -> Option<Arc<Claims>> {
        let (claims, _) = self.verified.get(&self.name(token))?;
        (now < claims.exp).then_some(claims)
    }

    /// What a token of ours says, if it is one and counts at `now`.
    ///
    /// # Errors
    /// If not; the client is not told why.
    pub fn verify(&self, token: &str, now: u64) -> Result<Arc<Claims>, NotOurs> {
        if let Some(claims) = self.known(token, now) {
            return Ok(claims);
        }
        let name = self.name(token);
        let claims = Arc::new(self.keys.keys().verify(token, now).map_err(|fault| NotOurs::of(&fault))?);
        if claims.iss != self.names.issuer || claims.aud != self.names.service {
            return Err(NotOurs::Otherwise);
        }
        if now < claims.exp {
            let size = u32::try_from(2 * token.len() + VERIFIED_EACH).unwrap_or(u32::MAX);
            self.verified.insert(name, (Arc::clone(&claims), size));
        }
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
