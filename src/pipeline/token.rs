//! The registry's token protocol at the gate: who asks for a token and what he is given, by the same way as
//! any other request; and a token that is shown to doorward itself, where it stands before the registry.

use std::sync::Arc;

use super::Gate;
use super::challenge::Refusal;
use super::check::Check;
use super::credentials::bearer_token;
use super::identify::Found;
use super::token_signing::Class;
use super::verdict::{Limited, Verdict};
use crate::authn::Identity;
use crate::clock::Moment;
use crate::identity::{Membership, Username};
use crate::network::ClientNetwork;
use crate::permissions::Actions;
use crate::policy::Grant;
use crate::policy::denial::Denied;
use crate::policy::{Granted, Lacking};
use crate::request::grammar::is_name;
use crate::request::header::Header;
use crate::request::registry::CATALOG_SCOPE;
use crate::request::registry::Target;
use crate::request::subrequest::Subrequest;
use crate::token::claims::Claims;
use crate::token::issue::{IssueFault, Issued, NewToken, Tokens};
use crate::token::scope::Scope;
use crate::token::signing_key::{VerifyFault, check_time};

/// Under which user name forged tokens are counted: one that nobody can have.
const BEARER: &[u8] = b"\0bearer";

/// By whom somebody is vouched for who has shown a token.
const BY: &str = "token";

/// Who asks for a token.
pub enum Who {
    /// Somebody, or nobody who would say.
    Known(Option<Arc<Identity>>),
    /// A password has to be checked.
    Checking(Box<Check>),
    /// He is refused.
    Refused(Verdict),
}

/// Why no token is issued to a client that may have one.
#[derive(Debug)]
pub enum NotIssued {
    /// It has to come again later, or is refused.
    Refused(Verdict),
    /// There can be no such token.
    Fault(IssueFault),
}

impl Gate {
    /// Who asks, as far as that can be told without waiting.
    pub fn who(self: &Arc<Self>, request: &Subrequest<'_>) -> Who {
        match self.identify(request) {
            Ok(Found::Answer { answer, .. } | Found::Familiar(answer)) => Who::Known(Some(answer.identity())),
            Ok(Found::Key(identity)) => Who::Known(Some(identity)),
            Ok(Found::Check(check)) => Who::Checking(check),
            // A blank header is somebody who failed to say who he is.
            Err(Verdict::Challenge(Refusal::Missing)) if request.authorization == Header::Absent => {
                Who::Known(None)
            }
            Err(refusal) => Who::Refused(refusal),
        }
    }

    /// What he is given of what he asks for; see [`crate::policy::Policy::access`].
    ///
    /// # Errors
    /// If the proxy does not say what is needed.
    pub fn access(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[Scope<'_>],
    ) -> Result<Granted, Denied> {
        self.policy.access(identity, request, scopes)
    }

    /// Signs a token: at once, or in turn where that takes long.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn issue(
        &self,
        tokens: &Arc<Tokens>,
        new: NewToken,
        request: &Subrequest<'_>,
    ) -> Result<Issued, NotIssued> {
        if !tokens.is_slow() {
            return tokens.issue(new).map_err(NotIssued::Fault);
        }
        let client = request.client().map_err(|incomplete| NotIssued::Refused(incomplete.into()))?;
        let asker = self.throttle.tags(ClientNetwork::of(client, self.prefixes), &new.user).asker();
        let class = if new.user.is_empty() { Class::Anonymous } else { Class::Identified };
        let tokens = Arc::clone(tokens);
        match self.signing.run(asker, class, move || tokens.issue(new)).await {
            Ok(issued) => issued.map_err(NotIssued::Fault),
            Err(limited) => Err(NotIssued::Refused(Verdict::Limited(limited))),
        }
    }

    /// The tokens, where any are given out.
    pub fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.tokens.as_ref()
    }

    /// Decides on a request with a token of ours; `None` if it came with something else.
    pub(super) fn open_token(&self, request: &Subrequest<'_>) -> Option<Verdict> {
        let tokens = self.tokens.as_ref()?;
        let token = bearer_token(request.authorization)?;
        let claims = match tokens.known(token) {
            Some(claims) => claims,
            None => match self.verify_token(tokens, token, request) {
                Ok(claims) => claims,
                Err(refusal) => return Some(refusal),
            },
        };
        Some(match self.authorize_token(&claims, request) {
            Ok(grant) => self.send_on(grant, request),
            Err(refusal) => {
                request.set_user(claims.sub.as_bytes());
                refusal
            }
        })
    }

    fn authorize_token(&self, claims: &Claims, request: &Subrequest<'_>) -> Result<Grant, Verdict> {
        let refused = |fault| Verdict::Challenge(Refusal::Token(fault));
        check_time(claims, self.clock.unix()).map_err(refused)?;
        let identity = identity(claims).map_err(|()| refused(VerifyFault::User))?;
        self.policy.authorize_token(claims, identity, request).map_err(|lacking| match lacking {
            Lacking::Scope(lacks) => Verdict::Challenge(Refusal::Scope(lacks)),
            Lacking::Denied(denied) => Verdict::Forbid(denied),
        })
    }

    /// Looks at the signature of a token that is not known. A forged one counts as a failure of its client
    /// network, like a wrong password, and whoever shows too many of them is turned away before that work;
    /// a token that was good before is not, since it can't be guessed. One whose key is not there any more is no
    /// forgery: clients go on showing it until they get another.
    fn verify_token(
        &self,
        tokens: &Tokens,
        token: &str,
        request: &Subrequest<'_>,
    ) -> Result<Arc<Claims>, Verdict> {
        let client = request.client()?;
        let tags = self.throttle.tags(ClientNetwork::of(client, self.prefixes), BEARER);
        if let Some(wait) = self.throttle.wait(&tags, None) {
            return Err(Verdict::Limited(Limited::Throttled(wait)));
        }
        let question = self.keys.token(token);
        if self.throttle.is_rejected(&tags, question) {
            return Err(Verdict::Challenge(Refusal::Token(VerifyFault::Signature)));
        }
        match tokens.verify(token) {
            Ok(claims) => Ok(claims),
            Err(fault @ VerifyFault::Signature) => {
                let epoch = self.throttle.epoch();
                let ticket = self.throttle.admit(tags, question);
                // It stays one for good.
                self.throttle.reject(&tags, question, Moment::from_millis(u64::MAX), epoch);
                drop(ticket);
                Err(Verdict::Challenge(Refusal::Token(fault)))
            }
            Err(
                fault @ (VerifyFault::TooLong
                | VerifyFault::Form
                | VerifyFault::Header
                | VerifyFault::Key
                | VerifyFault::Algorithm
                | VerifyFault::Claims
                | VerifyFault::Issuer
                | VerifyFault::Audience
                | VerifyFault::User
                | VerifyFault::Expired
                | VerifyFault::Early),
            ) => Err(Verdict::Challenge(Refusal::Token(fault))),
        }
    }
}

fn identity(claims: &Claims) -> Result<Option<Arc<Identity>>, ()> {
    if claims.sub.is_empty() {
        return Ok(None);
    }
    let user = Username::parse(claims.sub.as_bytes()).map_err(|_| ())?;
    Ok(Some(Arc::new(Identity {
        user,
        by: BY.into(),
        membership: Membership::default(),
        facts: Box::default(),
        key: None,
    })))
}

/// The scopes that a client needs for a request, as a challenge names them; `None` for what needs none.
pub fn needed(request: &Subrequest<'_>) -> Option<String> {
    let asked = request.original().ok()?.registry().ok()?;
    let one = |name: &str, actions: Actions| {
        format!("repository:{name}:{}", actions.names().collect::<Vec<_>>().join(","))
    };
    let own = match asked.target {
        Target::Ping => return None,
        Target::Catalog => CATALOG_SCOPE.to_owned(),
        // No token is for a malformed name, and it could end the challenge's text.
        Target::Repository(name) if !is_name(name) => return None,
        Target::Repository(name) => one(name, asked.actions),
    };
    Some(match &asked.source {
        Some(source) => format!("{own} {}", one(&source.repository, Actions::PULL)),
        None => own,
    })
}
