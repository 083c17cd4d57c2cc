//! The registry's token protocol at the gate: who asks for a token and what he is given, by the same way as
//! any other request; and a token that is shown to doorward itself, where it stands before the registry.

use std::sync::Arc;

use super::Pipeline;
use super::challenge::ChallengeReason;
use super::check::PendingCheck;
use super::credentials::bearer_token;
use super::identify::IdentifyStep;
use super::token_signing::SigningClass;
use super::verdict::{Limited, Verdict};
use crate::authn::Identity;
use crate::clock::Moment;
use crate::identity::{Membership, Username};
use crate::network::ClientNetwork;
use crate::permissions::actions::Actions;
use crate::policy::AllowedRequest;
use crate::policy::denial::Denied;
use crate::policy::token::{GrantedAccess, TokenRefusal};
use crate::request::endpoint::RegistryTarget;
use crate::request::grammar::is_repository_name;
use crate::request::header::RequestHeader;
use crate::request::registry::CATALOG_SCOPE;
use crate::request::subrequest::Subrequest;
use crate::token::claims::Claims;
use crate::token::issuer::{IssueError, IssuedToken, NewToken, TokenIssuer};
use crate::token::scope::TokenScope;
use crate::token::signing_key::{TokenVerifyError, check_validity_period};

/// Under which user name forged tokens are counted: one that nobody can have.
const FORGED_TOKEN_USER: &[u8] = b"\0bearer";

/// By whom somebody is vouched for who has shown a token.
const TOKEN_AUTHENTICATOR: &str = "token";

/// Who asks for a token.
pub enum Authentication {
    /// Somebody, or nobody who would say.
    Complete(Option<Arc<Identity>>),
    /// A password has to be checked.
    CheckNeeded(Box<PendingCheck>),
    /// He is refused.
    Failed(Verdict),
}

/// Why no token is issued to a client that may have one.
#[derive(Debug)]
pub enum SignTokenError {
    /// It has to come again later, or is refused.
    Rejected(Verdict),
    /// There can be no such token.
    Issue(IssueError),
}

impl Pipeline {
    /// Who asks, as far as that can be told without waiting.
    pub fn authenticate(self: &Arc<Self>, request: &Subrequest<'_>) -> Authentication {
        match self.identify(request) {
            Ok(IdentifyStep::Cached { answer, .. } | IdentifyStep::SeenFromNetwork(answer)) => {
                Authentication::Complete(Some(answer.identity()))
            }
            Ok(IdentifyStep::Key(identity)) => Authentication::Complete(Some(identity)),
            Ok(IdentifyStep::CheckNeeded(check)) => Authentication::CheckNeeded(check),
            // A blank header is somebody who failed to say who he is.
            Err(Verdict::Challenge(ChallengeReason::NoCredentials))
                if request.authorization == RequestHeader::Absent =>
            {
                Authentication::Complete(None)
            }
            Err(refusal) => Authentication::Failed(refusal),
        }
    }

    /// What he is given of what he asks for; see [`crate::policy::Policy::access`].
    ///
    /// # Errors
    /// If the proxy does not say what is needed.
    pub fn grant_scopes(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[TokenScope<'_>],
    ) -> Result<GrantedAccess, Denied> {
        self.policy.evaluate_scopes(identity, request, scopes)
    }

    /// Signs a token: at once, or in turn where that takes long.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn sign_token(
        &self,
        tokens: &Arc<TokenIssuer>,
        new: NewToken,
        request: &Subrequest<'_>,
    ) -> Result<IssuedToken, SignTokenError> {
        if !tokens.is_signing_slow() {
            return tokens.issue(new).map_err(SignTokenError::Issue);
        }
        let client =
            request.client_address().map_err(|incomplete| SignTokenError::Rejected(incomplete.into()))?;
        let asker = self
            .throttle
            .keys_for(ClientNetwork::from_address(client, self.prefixes), &new.user)
            .requester_id();
        let class = if new.user.is_empty() { SigningClass::Anonymous } else { SigningClass::Authenticated };
        let tokens = Arc::clone(tokens);
        match self.signing_pool.run(asker, class, move || tokens.issue(new)).await {
            Ok(issued) => issued.map_err(SignTokenError::Issue),
            Err(limited) => Err(SignTokenError::Rejected(Verdict::Limited(limited))),
        }
    }

    /// The tokens, where any are given out.
    pub fn token_issuer(&self) -> Option<&Arc<TokenIssuer>> {
        self.token_issuer.as_ref()
    }

    /// Decides on a request with a token of ours; `None` if it came with something else.
    pub(super) fn evaluate_token(&self, request: &Subrequest<'_>) -> Option<Verdict> {
        let tokens = self.token_issuer.as_ref()?;
        let token = bearer_token(request.authorization)?;
        let claims = match tokens.lookup_verified(token) {
            Some(claims) => claims,
            None => match self.verify_token(tokens, token, request) {
                Ok(claims) => claims,
                Err(refusal) => return Some(refusal),
            },
        };
        Some(match self.authorize_token(&claims, request) {
            Ok(grant) => self.attach_upstream_credentials(grant, request),
            Err(refusal) => {
                request.set_user(claims.sub.as_bytes());
                refusal
            }
        })
    }

    fn authorize_token(&self, claims: &Claims, request: &Subrequest<'_>) -> Result<AllowedRequest, Verdict> {
        let refused = |fault| Verdict::Challenge(ChallengeReason::InvalidToken(fault));
        check_validity_period(claims, self.clock.unix_seconds()).map_err(refused)?;
        let identity = identity_from_claims(claims).map_err(|()| refused(TokenVerifyError::InvalidUser))?;
        self.policy.authorize_token(claims, identity, request).map_err(|lacking| match lacking {
            TokenRefusal::InsufficientScope(lacks) => {
                Verdict::Challenge(ChallengeReason::InsufficientScope(lacks))
            }
            TokenRefusal::Denied(denied) => Verdict::Forbid(denied),
        })
    }

    /// Looks at the signature of a token that is not known. A forged one counts as a failure of its client
    /// network, like a wrong password, and whoever shows too many of them is turned away before that work;
    /// a token that was good before is not, since it can't be guessed. One whose key is not there any more is no
    /// forgery: clients go on showing it until they get another.
    fn verify_token(
        &self,
        tokens: &TokenIssuer,
        token: &str,
        request: &Subrequest<'_>,
    ) -> Result<Arc<Claims>, Verdict> {
        let client = request.client_address()?;
        let tags =
            self.throttle.keys_for(ClientNetwork::from_address(client, self.prefixes), FORGED_TOKEN_USER);
        if let Some(wait) = self.throttle.retry_after(&tags, None) {
            return Err(Verdict::Limited(Limited::Throttled(wait)));
        }
        let question = self.cache_key_maker.token_attempt_id(token);
        if self.throttle.is_rejected(&tags, question) {
            return Err(Verdict::Challenge(ChallengeReason::InvalidToken(
                TokenVerifyError::InvalidSignature,
            )));
        }
        match tokens.verify(token) {
            Ok(claims) => Ok(claims),
            Err(fault @ TokenVerifyError::InvalidSignature) => {
                let epoch = self.throttle.rejection_epoch();
                let ticket = self.throttle.start_attempt(tags, question);
                // It stays one for good.
                self.throttle.record_rejection(&tags, question, Moment::from_millis(u64::MAX), epoch);
                drop(ticket);
                Err(Verdict::Challenge(ChallengeReason::InvalidToken(fault)))
            }
            Err(
                fault @ (TokenVerifyError::TooLong
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
            ) => Err(Verdict::Challenge(ChallengeReason::InvalidToken(fault))),
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

/// The scopes that a client needs for a request, as a challenge names them; `None` for what needs none.
pub fn required_scopes(request: &Subrequest<'_>) -> Option<String> {
    let asked = request.original_request().ok()?.registry_request().ok()?;
    let one = |name: &str, actions: Actions| {
        format!("repository:{name}:{}", actions.names().collect::<Vec<_>>().join(","))
    };
    let own = match asked.target {
        RegistryTarget::Ping => return None,
        RegistryTarget::Catalog => CATALOG_SCOPE.to_owned(),
        // No token is for a malformed name, and it could end the challenge's text.
        RegistryTarget::Repository(name) if !is_repository_name(name) => return None,
        RegistryTarget::Repository(name) => one(name, asked.required_actions),
    };
    Some(match &asked.mount_source {
        Some(source) => format!("{own} {}", one(&source.repository, Actions::PULL)),
        None => own,
    })
}
