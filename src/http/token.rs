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

use super::AppState;
use super::peer::Peer;
use super::response::{self, HandlerError, TokenRequestError};
use super::subrequest::{ReceivedSubrequest, single_header};
use super::token_request::{GrantType, TokenRequest, check_no_secrets};
use super::verdict_log::{IssuedTokenEntry, RequestLine};
use crate::authn::Identity;
use crate::pipeline::token::{Authentication, SignTokenError};
use crate::pipeline::verdict::Verdict;
use crate::policy::token::GrantedAccess;
use crate::request::header::RequestHeader;
use crate::token::claims::AccessEntry;
use crate::token::issuer::{IssueError, NewToken, TokenIssuer};

/// The largest form: a password, and the scopes of a large push.
const FORM_BYTES_MAX: usize = 16 << 10;

/// How long it may take to arrive: nginx has all of it before it asks.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);

/// The type of a form (HTML, RFC 6749 appendix B).
const FORM_CONTENT_TYPE: &[u8] = b"application/x-www-form-urlencoded";

/// What a client is told of its token. Both names, since some clients know the one and some the other.
#[derive(Serialize)]
struct TokenResponse<'g> {
    token: &'g str,
    access_token: &'g str,
    expires_in: u64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// Answers one request for a token.
pub(super) async fn token(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(front) = request.app_data::<Arc<AppState>>() else {
        return response::error_response(HandlerError::Internal);
    };
    let Some(tokens) = front.pipeline.token_issuer() else {
        return response::error_response(HandlerError::NotFound);
    };
    let is_form = match *request.method() {
        Method::GET => false,
        Method::POST => true,
        _ => return response::error_response(HandlerError::MethodNotAllowed),
    };
    let form = if is_form { read_form(&request, payload).await } else { Ok(Zeroizing::default()) };
    let asked = form.and_then(|form| {
        check_no_secrets(request.query_string())?;
        if is_form {
            TokenRequest::from_form(&form)
        } else {
            TokenRequest::from_query(request.query_string())
        }
    });
    let mut received =
        ReceivedSubrequest::from_headers(front, request.headers(), request.conn_data::<Peer>());
    let seen = RequestLine { method: request.method().as_str(), path: request.path() };
    let given = issue_token(front, tokens, &request, seen, asked.as_ref(), &mut received).await;
    given.unwrap_or_else(|fault| {
        front.verdict_log.log_token_error(front, &received, seen, &fault);
        response::token_error_response(&fault, &front.token_challenge)
    })
}

/// The keys by which a registry, or anybody else, may verify tokens.
pub(super) async fn jwks(request: HttpRequest) -> HttpResponse {
    let front = request.app_data::<Arc<AppState>>();
    match front.and_then(|front| front.pipeline.token_issuer()) {
        Some(tokens) => response::json_response(tokens.jwks()),
        None => response::error_response(HandlerError::NotFound),
    }
}

async fn read_form(request: &HttpRequest, payload: web::Payload) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(FORM_CONTENT_TYPE) {
        return Err("a POST is a form: application/x-www-form-urlencoded");
    }
    match timeout(FORM_TIMEOUT, payload.to_bytes_limited(FORM_BYTES_MAX)).await {
        Ok(Ok(Ok(form))) => Ok(Zeroizing::new(form.to_vec())),
        Ok(Ok(Err(_))) => Err("the form did not arrive whole"),
        Ok(Err(_)) => Err("the form has more than 16 KiB"),
        Err(_) => Err("the form did not arrive in time"),
    }
}

async fn issue_token<'r>(
    front: &AppState,
    tokens: &Arc<TokenIssuer>,
    request: &'r HttpRequest,
    seen: RequestLine<'_>,
    asked: Result<&'r TokenRequest, &&'static str>,
    received: &mut ReceivedSubrequest<'r>,
) -> Result<HttpResponse, TokenRequestError> {
    received.for_token().map_err(TokenRequestError::Rejected)?;
    let asked = asked.map_err(|what| TokenRequestError::InvalidRequest(what))?;
    asked.check_service(&tokens.issuer_and_service().service).map_err(TokenRequestError::InvalidRequest)?;
    match &asked.grant_type {
        GrantType::AuthorizationHeader => {}
        // What is too long for a header is too long here.
        GrantType::Password(basic) if basic.len() > front.header_bytes_max => {
            received.subrequest.authorization = RequestHeader::Invalid;
        }
        GrantType::Password(basic) => received.subrequest.authorization = RequestHeader::Once(basic),
        GrantType::RefreshToken => return Err(TokenRequestError::RefreshTokenUnsupported),
    }
    if received.subrequest.host == RequestHeader::Absent {
        received.subrequest.host = single_header(request.headers(), HOST, front.header_bytes_max);
    }
    let received = &*received;
    let subrequest = &received.subrequest;

    // Before a password is checked, since no token is given without it.
    let host = subrequest
        .host_name()
        .map_err(|incomplete| TokenRequestError::Rejected(incomplete.into()))?
        .into_owned();
    let who = front.pipeline.authenticate(subrequest);
    asked.check_account(subrequest.user()).map_err(TokenRequestError::InvalidRequest)?;
    let (identity, stale) = wait_for_identity(who).await.map_err(TokenRequestError::Rejected)?;
    let scopes = asked.scopes().map_err(TokenRequestError::InvalidRequest)?;
    let GrantedAccess { granted: access, denied } = front
        .pipeline
        .grant_scopes(identity.as_deref(), subrequest, &scopes)
        .map_err(|denied| TokenRequestError::Rejected(Verdict::Forbid(denied)))?;
    let (granted, not_granted) = (format_scopes(&access), format_scopes(&denied));
    let now = front.clock.unix_seconds();
    // Nothing that was said while nobody could be asked lasts longer than that may be said.
    let while_stale = stale.map(|left| now.saturating_add(left.as_secs()));
    let ends = identity.as_deref().and_then(Identity::expires_at);
    let until = ends.into_iter().chain(while_stale).min();
    let user = identity.as_deref().map_or(&b""[..], |identity| identity.user.as_bytes());
    let new = NewToken { user: user.to_vec(), host, access, denied, issued_at: now, latest_expiry: until };
    let issued = front.pipeline.sign_token(tokens, new, subrequest).await.map_err(token_request_error)?;
    let line = IssuedTokenEntry {
        user,
        requested: &asked.scopes_as_sent(),
        granted: &granted,
        denied: &not_granted,
        id: &issued.token_id,
        is_stale: stale.is_some(),
    };
    front.verdict_log.log_issued_token(front, received, seen, &line);
    front.metrics.tokens_issued.inc();
    let at = std::time::UNIX_EPOCH + Duration::from_secs(issued.issued_at);
    let given = TokenResponse {
        token: &issued.token,
        access_token: &issued.token,
        expires_in: issued.expires_in,
        issued_at: humantime::format_rfc3339_seconds(at).to_string(),
        scope: asked.is_form.then_some(granted),
    };
    serde_json::to_string(&given).map(response::json_response).map_err(|_| TokenRequestError::SigningFailed)
}

/// Waits for who asks; where nobody could be asked about him, for how long that may be said.
async fn wait_for_identity(
    who: Authentication,
) -> Result<(Option<Arc<Identity>>, Option<Duration>), Verdict> {
    match who {
        Authentication::Complete(identity) => Ok((identity, None)),
        Authentication::CheckNeeded(check) => {
            check.who().await.map(|vouched| (Some(vouched.identity), vouched.stale_remaining))
        }
        Authentication::Failed(verdict) => Err(verdict),
    }
}

/// What was given, as it is asked for.
fn format_scopes(access: &[AccessEntry]) -> String {
    let one = |access: &AccessEntry| format!("{}:{}:{}", access.kind, access.name, access.actions.join(","));
    access.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What a client is told that gets no token.
fn token_request_error(not_issued: SignTokenError) -> TokenRequestError {
    match not_issued {
        SignTokenError::Rejected(verdict) => TokenRequestError::Rejected(verdict),
        SignTokenError::Issue(IssueError::NonUtf8User) => {
            TokenRequestError::InvalidRequest("the user name is no UTF-8, so no token can name it")
        }
        SignTokenError::Issue(IssueError::TooLong) => {
            TokenRequestError::InvalidRequest("more is asked for than a token can hold: ask for less at once")
        }
        SignTokenError::Issue(IssueError::SigningFailed) => TokenRequestError::SigningFailed,
    }
}
