//! The registry token protocol in the pipeline: authentication and scopes for `/token`, with the same steps as for
//! `/auth`, and verification of tokens that clients send to `/auth`.

use std::sync::Arc;

use super::Pipeline;
use super::challenge::ChallengeReason;
use super::check::PendingCheck;
use super::credentials::ParsedAuthorization;
use super::identify::IdentifyStep;
use super::token_signing::SigningClass;
use super::verdict::{Limited, Verdict};
use crate::authn::Identity;
use crate::clock::Moment;
use crate::identity::{Membership, Username};
use crate::permissions::actions::Actions;
use crate::policy::AllowedRequest;
use crate::policy::denial::Denied;
use crate::policy::token::{ScopeDecision, TokenRefusal};
use crate::request::endpoint::RegistryTarget;
use crate::request::grammar::is_repository_name;
use crate::request::header::RequestHeader;
use crate::request::registry::CATALOG_SCOPE;
use crate::request::subrequest::Subrequest;
use crate::token::claims::Claims;
use crate::token::issuer::{IssueError, IssuedToken, NewToken, TokenIssuer};
use crate::token::scope::TokenScope;
use crate::token::signing_key::verify::{TokenVerifyError, check_validity_period};

/// The user name under which the throttle counts forged tokens. No user can have it, because it contains a NUL.
const FORGED_TOKEN_USER: &[u8] = b"\0bearer";

/// The name of the authenticator in the identity of a client with a registry token.
const TOKEN_AUTHENTICATOR: &str = "token";

/// The result of the authentication at `/token`, without waiting.
pub(crate) enum Authentication {
    /// The authenticated identity; `None` for an anonymous request.
    Complete(Option<Arc<Identity>>),
    /// The credentials must be checked by an authenticator first.
    CheckNeeded(Box<PendingCheck>),
    /// The client is not authenticated.
    Failed(Verdict),
}

/// An error of [`Pipeline::sign_token`].
#[derive(Debug)]
pub(crate) enum SignTokenError {
    /// The client must retry later, or its address is invalid.
    Rejected(Verdict),
    /// The token cannot be issued.
    Issue(IssueError),
}

impl Pipeline {
    /// Identifies the client of a token request as far as possible without waiting.
    pub(crate) fn authenticate(self: &Arc<Self>, request: &Subrequest<'_>) -> Authentication {
        match self.identify(request, &ParsedAuthorization::parse(request.authorization)) {
            Ok(IdentifyStep::Cached { answer, .. } | IdentifyStep::SeenFromNetwork(answer)) => {
                Authentication::Complete(Some(answer.identity()))
            }
            Ok(IdentifyStep::ApiKey(identity)) => Authentication::Complete(Some(identity)),
            Ok(IdentifyStep::CheckNeeded(check)) => Authentication::CheckNeeded(check),
            // Only a missing header is anonymous. An empty one is a failed login.
            Err(Verdict::Challenge(ChallengeReason::NoCredentials))
                if request.authorization == RequestHeader::Absent =>
            {
                Authentication::Complete(None)
            }
            Err(verdict) => Authentication::Failed(verdict),
        }
    }

    /// Evaluates the policy for the requested scopes, see [`crate::policy::Policy::evaluate_scopes`].
    ///
    /// # Errors
    /// If a required proxy header is missing or invalid.
    pub(crate) fn grant_scopes(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[TokenScope<'_>],
    ) -> Result<ScopeDecision, Denied> {
        self.policy.evaluate_scopes(identity, request, scopes)
    }

    /// Signs a token. A slow algorithm is run by the signing pool.
    ///
    /// # Errors
    /// The reason why there is no token.
    pub(crate) async fn sign_token(
        &self,
        issuer: &Arc<TokenIssuer>,
        token: NewToken,
        request: &Subrequest<'_>,
    ) -> Result<IssuedToken, SignTokenError> {
        if !issuer.is_signing_slow() {
            return issuer.issue(token).map_err(SignTokenError::Issue);
        }
        let client = request.client_address().map_err(|error| SignTokenError::Rejected(error.into()))?;
        let requester = self.throttle_keys(client, &token.user).requester_id();
        let class = if token.user.is_empty() { SigningClass::Anonymous } else { SigningClass::Authenticated };
        let issuer = Arc::clone(issuer);
        match self.signing_pool.run(requester, class, move || issuer.issue(token)).await {
            Ok(issued) => issued.map_err(SignTokenError::Issue),
            Err(limited) => Err(SignTokenError::Rejected(Verdict::Limited(limited))),
        }
    }

    /// Returns the issuer of registry tokens; `None` if no signing keys are configured.
    pub(crate) fn token_issuer(&self) -> Option<&Arc<TokenIssuer>> {
        self.token_issuer.as_ref()
    }

    /// Evaluates a request with a bearer token; `None` if the request has other credentials.
    pub(super) fn evaluate_token(
        &self,
        issuer: &TokenIssuer,
        request: &Subrequest<'_>,
        authorization: &ParsedAuthorization<'_>,
    ) -> Option<Verdict> {
        let token = authorization.bearer_token()?;
        let claims = match issuer.lookup_verified(token) {
            Some(claims) => claims,
            None => match self.verify_token(issuer, token, request) {
                Ok(claims) => claims,
                Err(verdict) => return Some(verdict),
            },
        };
        Some(match self.authorize_token(&claims, request) {
            Ok(allowed) => self.attach_upstream_credentials(allowed, request),
            Err(verdict) => {
                request.set_user(claims.sub.as_bytes());
                verdict
            }
        })
    }

    fn authorize_token(&self, claims: &Claims, request: &Subrequest<'_>) -> Result<AllowedRequest, Verdict> {
        let invalid = |error| Verdict::Challenge(ChallengeReason::InvalidToken(error));
        check_validity_period(claims, self.clock.unix_seconds()).map_err(invalid)?;
        let identity = identity_from_claims(claims).map_err(|()| invalid(TokenVerifyError::InvalidUser))?;
        self.policy.authorize_token(claims, identity, request).map_err(|refusal| match refusal {
            TokenRefusal::InsufficientScope(missing) => {
                Verdict::Challenge(ChallengeReason::InsufficientScope(missing))
            }
            TokenRefusal::Denied(denied) => Verdict::Forbid(denied),
        })
    }

    /// Verifies a token that is not in the cache of verified tokens. A forged token counts as a failure of its
    /// client network, like a wrong password. A client with too many of them is throttled before the signature is
    /// verified. A token that was verified before is not throttled, because it cannot be guessed. A token whose
    /// signing key was removed is no forgery: clients send it until they request a new one.
    fn verify_token(
        &self,
        issuer: &TokenIssuer,
        token: &str,
        request: &Subrequest<'_>,
    ) -> Result<Arc<Claims>, Verdict> {
        let client = request.client_address()?;
        let throttle_keys = self.throttle_keys(client, FORGED_TOKEN_USER);
        if let Some(wait) = self.throttle.retry_after(&throttle_keys, None) {
            return Err(Verdict::Limited(Limited::Throttled(wait)));
        }
        let attempt_id = self.cache_key_maker.token_attempt_id(token);
        if self.throttle.is_rejected(&throttle_keys, attempt_id) {
            return Err(Verdict::Challenge(ChallengeReason::InvalidToken(
                TokenVerifyError::InvalidSignature,
            )));
        }
        match issuer.verify(token) {
            Ok(claims) => Ok(claims),
            Err(error @ TokenVerifyError::InvalidSignature) => {
                let epoch = self.throttle.rejection_epoch();
                let attempt = self.throttle.start_attempt(throttle_keys, attempt_id);
                // An invalid signature never becomes valid.
                let never = Moment::from_millis(u64::MAX);
                self.throttle.record_rejection(&throttle_keys, attempt_id, never, epoch);
                drop(attempt);
                Err(Verdict::Challenge(ChallengeReason::InvalidToken(error)))
            }
            Err(
                error @ (TokenVerifyError::TooLong
                | TokenVerifyError::Malformed
                | TokenVerifyError::InvalidHeader
                | TokenVerifyError::UnknownKey
                | TokenVerifyError::AlgorithmMismatch
                | TokenVerifyError::InvalidClaims
                | TokenVerifyError::WrongIssuer
                | TokenVerifyError::WrongAudience
                | TokenVerifyError::InvalidUser
                | TokenVerifyError::Expired
                | TokenVerifyError::NotYetValid),
            ) => Err(Verdict::Challenge(ChallengeReason::InvalidToken(error))),
        }
    }
}

fn identity_from_claims(claims: &Claims) -> Result<Option<Arc<Identity>>, ()> {
    if claims.sub.is_empty() {
        return Ok(None);
    }
    let user = Username::parse(claims.sub.as_bytes()).map_err(|_| ())?;
    Ok(Some(Arc::new(Identity {
        user,
        authenticator: TOKEN_AUTHENTICATOR.into(),
        membership: Membership::default(),
        facts: Box::default(),
        api_key: None,
    })))
}

/// Returns the scopes that a token needs for a request, in the form of a challenge. `None` if it needs none.
pub(crate) fn required_scopes(request: &Subrequest<'_>) -> Option<String> {
    let registry_request = request.original_request().ok()?.registry_request().ok()?;
    let repository_scope = |name: &str, actions: Actions| {
        format!("repository:{name}:{}", actions.names().collect::<Vec<_>>().join(","))
    };
    let target_scope = match registry_request.target {
        RegistryTarget::Ping => return None,
        RegistryTarget::Catalog => CATALOG_SCOPE.to_owned(),
        // No token can name a malformed repository, and a quote in the name would end the value in the challenge.
        RegistryTarget::Repository(name) if !is_repository_name(name) => return None,
        RegistryTarget::Repository(name) => repository_scope(name, registry_request.required_actions),
    };
    Some(match &registry_request.mount_source {
        Some(source) => format!("{target_scope} {}", repository_scope(&source.repository, Actions::PULL)),
        None => target_scope,
    })
}
