//! `/token`: the registry's token protocol (distribution's docs/content/spec/auth/token.md and oauth.md). nginx
//! asks in a client's name, and passes the answer on as it is.
//!
//! Who asks is found out as for any other request, and what he is given is what the policy permits him of what
//! he asks for, down to nothing. Only credentials that are wrong are refused.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HOST};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Front;
use super::peer::Peer;
use super::refusals::{IssuedToken, Seen};
use super::reply::{self, Fault, TokenFault};
use super::subrequest::{Received, one};
use super::token_request::{Asked, Grant, no_secret};
use crate::authn::Identity;
use crate::pipeline::token::{NotIssued, Who};
use crate::pipeline::verdict::Verdict;
use crate::policy::Granted;
use crate::request::header::Header;
use crate::token::claims::Access;
use crate::token::issue::{IssueFault, NewToken, Tokens};

/// The largest form: a password, and the scopes of a large push.
const FORM_MAX: usize = 16 << 10;

/// How long it may take to arrive: nginx has all of it before it asks.
const FORM_WAIT: Duration = Duration::from_secs(5);

/// The type of a form (HTML, RFC 6749 appendix B).
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// What a client is told of its token. Both names, since some clients know the one and some the other.
#[derive(Serialize)]
struct Given<'g> {
    token: &'g str,
    access_token: &'g str,
    expires_in: u64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// Answers one request for a token.
pub(super) async fn token(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(front) = request.app_data::<Arc<Front>>() else { return reply::fault(Fault::NotConfigured) };
    let Some(tokens) = front.gate.tokens() else { return reply::fault(Fault::NotFound) };
    let is_form = match *request.method() {
        Method::GET => false,
        Method::POST => true,
        _ => return reply::fault(Fault::Method),
    };
    let form = if is_form { form(&request, payload).await } else { Ok(Zeroizing::default()) };
    let asked = form.and_then(|form| {
        no_secret(request.query_string())?;
        if is_form { Asked::of_form(&form) } else { Asked::of_query(request.query_string()) }
    });
    let mut received = Received::read(front, request.headers(), request.conn_data::<Peer>());
    let seen = Seen { method: request.method().as_str(), path: request.path() };
    let given = give(front, tokens, &request, seen, asked.as_ref(), &mut received).await;
    given.unwrap_or_else(|fault| {
        front.refusals.note_token_fault(front, &received, seen, &fault);
        reply::token_fault(&fault, &front.basic)
    })
}

/// The keys by which a registry, or anybody else, may verify tokens.
pub(super) async fn jwks(request: HttpRequest) -> HttpResponse {
    let front = request.app_data::<Arc<Front>>();
    match front.and_then(|front| front.gate.tokens()) {
        Some(tokens) => reply::json(tokens.jwks()),
        None => reply::fault(Fault::NotFound),
    }
}

async fn form(request: &HttpRequest, payload: web::Payload) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(FORM) {
        return Err("a POST is a form: application/x-www-form-urlencoded");
    }
    match timeout(FORM_WAIT, payload.to_bytes_limited(FORM_MAX)).await {
        Ok(Ok(Ok(form))) => Ok(Zeroizing::new(form.to_vec())),
        Ok(Ok(Err(_))) => Err("the form did not arrive whole"),
        Ok(Err(_)) => Err("the form has more than 16 KiB"),
        Err(_) => Err("the form did not arrive in time"),
    }
}

async fn give<'r>(
    front: &Front,
    tokens: &Arc<Tokens>,
    request: &'r HttpRequest,
    seen: Seen<'_>,
    asked: Result<&'r Asked, &&'static str>,
    received: &mut Received<'r>,
) -> Result<HttpResponse, TokenFault> {
    received.for_token().map_err(TokenFault::Refused)?;
    let asked = asked.map_err(|what| TokenFault::Request(what))?;
    asked.check(&tokens.names().service).map_err(TokenFault::Request)?;
    match &asked.grant {
        Grant::Header => {}
        // What is too long for a header is too long here.
        Grant::Password(basic) if basic.len() > front.header_bytes => {
            received.subrequest.authorization = Header::Unreadable;
        }
        Grant::Password(basic) => received.subrequest.authorization = Header::Once(basic),
        Grant::Refresh => return Err(TokenFault::NoRefresh),
    }
    if received.subrequest.host == Header::Absent {
        received.subrequest.host = one(request.headers(), HOST, front.header_bytes);
    }
    let received = &*received;
    let subrequest = &received.subrequest;

    // Before a password is checked, since no token is given without it.
    let host =
        subrequest.host_name().map_err(|incomplete| TokenFault::Refused(incomplete.into()))?.into_owned();
    let who = front.gate.who(subrequest);
    asked.check_account(subrequest.user()).map_err(TokenFault::Request)?;
    let (identity, stale) = identity(who).await.map_err(TokenFault::Refused)?;
    let scopes = asked.scopes().map_err(TokenFault::Request)?;
    let Granted { access, denied } = front
        .gate
        .access(identity.as_deref(), subrequest, &scopes)
        .map_err(|denied| TokenFault::Refused(Verdict::Forbid(denied)))?;
    let (granted, not_granted) = (written(&access), written(&denied));
    let now = front.clock.unix();
    // Nothing that was said while nobody could be asked lasts longer than that may be said.
    let while_stale = stale.map(|left| now.saturating_add(left.as_secs()));
    let ends = identity.as_deref().and_then(Identity::expires);
    let until = ends.into_iter().chain(while_stale).min();
    let user = identity.as_deref().map_or(&b""[..], |identity| identity.user.as_bytes());
    let new = NewToken { user: user.to_vec(), host, access, denied, now, until };
    let issued = front.gate.issue(tokens, new, subrequest).await.map_err(fault)?;
    let line = IssuedToken {
        user,
        requested: &asked.scopes_text(),
        granted: &granted,
        denied: &not_granted,
        id: &issued.id,
        is_stale: stale.is_some(),
    };
    front.refusals.note_token(front, received, seen, &line);
    front.metrics.tokens.inc();
    let at = std::time::UNIX_EPOCH + Duration::from_secs(issued.at);
    let given = Given {
        token: &issued.token,
        access_token: &issued.token,
        expires_in: issued.expires_in,
        issued_at: humantime::format_rfc3339_seconds(at).to_string(),
        scope: asked.is_form.then_some(granted),
    };
    serde_json::to_string(&given).map(reply::json).map_err(|_| TokenFault::Signing)
}

/// Waits for who asks; where nobody could be asked about him, for how long that may be said.
async fn identity(who: Who) -> Result<(Option<Arc<Identity>>, Option<Duration>), Verdict> {
    match who {
        Who::Known(identity) => Ok((identity, None)),
        Who::Checking(check) => check.who().await.map(|vouched| (Some(vouched.identity), vouched.stale)),
        Who::Refused(verdict) => Err(verdict),
    }
}

/// What was given, as it is asked for.
fn written(access: &[Access]) -> String {
    let one = |access: &Access| format!("{}:{}:{}", access.kind, access.name, access.actions.join(","));
    access.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What a client is told that gets no token.
fn fault(not_issued: NotIssued) -> TokenFault {
    match not_issued {
        NotIssued::Refused(verdict) => TokenFault::Refused(verdict),
        NotIssued::Fault(IssueFault::Name) => {
            TokenFault::Request("the user name is no UTF-8, so no token can name it")
        }
        NotIssued::Fault(IssueFault::Long) => {
            TokenFault::Request("more is asked for than a token can hold: ask for less at once")
        }
        NotIssued::Fault(IssueFault::Signing) => TokenFault::Signing,
    }
}
