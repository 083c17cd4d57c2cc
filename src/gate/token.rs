//! The registry's token protocol at the gate: who asks for a token and what he is given, by the same way as
//! any other request; and a token that is shown to doorward itself, where it stands before the registry.

use std::sync::Arc;

use super::check::Check;
use super::credentials::{Header, bearer_token};
use super::identify::Found;
use super::policy::Lacking;
use super::policy::registry::Target;
use super::verdict::{Denied, Refusal, Verdict};
use super::{Gate, Subrequest};
use crate::authn::Identity;
use crate::identity::{Membership, Username};
use crate::rights::Actions;
use crate::token::claims::{Access, Claims};
use crate::token::issue::Tokens;
use crate::token::scope::Scope;

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

    /// What he is given of what he asks for; see [`super::policy::Policy::access`].
    ///
    /// # Errors
    /// If the proxy does not say what is needed.
    pub fn access(
        &self,
        identity: Option<&Identity>,
        request: &Subrequest<'_>,
        scopes: &[Scope<'_>],
    ) -> Result<Vec<Access>, Denied> {
        self.policy.access(identity, request, scopes)
    }

    /// The tokens, where any are given out.
    pub fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.tokens.as_ref()
    }

    /// Decides on a request with a token of ours; `None` if it came with something else.
    pub(super) fn open_token(&self, request: &Subrequest<'_>) -> Option<Verdict> {
        let tokens = self.tokens.as_ref()?;
        let token = bearer_token(request.authorization)?;
        let refused = |refusal| Some(Verdict::Challenge(refusal));
        let Ok(claims) = tokens.verify(token, self.clock.unix()) else { return refused(Refusal::Token) };
        let Ok(identity) = identity(&claims) else { return refused(Refusal::Token) };
        Some(match self.policy.authorize_token(&claims, identity, request) {
            Ok(grant) => self.send_on(grant, request),
            Err(lacking) => {
                request.set_user(claims.sub.as_bytes());
                match lacking {
                    Lacking::Scope => Verdict::Challenge(Refusal::Scope),
                    Lacking::Denied(denied) => Verdict::Forbid(denied),
                }
            }
        })
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
        Target::Catalog => "registry:catalog:*".to_owned(),
        Target::Repository(name) => one(name, asked.actions),
    };
    Some(match &asked.source {
        Some(source) => format!("{own} {}", one(source, Actions::PULL)),
        None => own,
    })
}
