//! `/token`: the registry token protocol (distribution's docs/content/spec/auth/token.md and oauth.md). nginx
//! forwards the request of a client, and returns the response unchanged.
//!
//! The client is authenticated like for any other request. The token contains the requested scopes that the policy
//! permits, which can be none. Missing permissions are not an error; wrong credentials are.

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
use super::verdict_log::issued_token::IssuedTokenEntry;
use super::verdict_log::line::RequestLine;
use crate::authn::Identity;
use crate::pipeline::token::{Authentication, SignTokenError};
use crate::pipeline::verdict::Verdict;
use crate::policy::token::ScopeDecision;
use crate::request::header::RequestHeader;
use crate::token::claims::AccessEntry;
use crate::token::issuer::{IssueError, NewToken, TokenIssuer};

/// Maximum size of a form, in bytes: a password, and the scopes of a large push.
const FORM_BYTES_MAX: usize = 16 << 10;

/// Maximum time for a form to arrive. nginx receives the whole form before it forwards the request.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);

/// The media type of a form (HTML, RFC 6749 appendix B).
const FORM_CONTENT_TYPE: &[u8] = b"application/x-www-form-urlencoded";

/// The response with a token. It contains the token under both names, because each client reads one of them.
#[derive(Serialize)]
struct TokenResponse<'g> {
    token: &'g str,
    access_token: &'g str,
    expires_in: u64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// Handles a request for a token.
pub(super) async fn token(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(state) = request.app_data::<Arc<AppState>>() else {
        return response::error_response(HandlerError::Internal);
    };
    let Some(issuer) = state.pipeline.token_issuer() else {
        return response::error_response(HandlerError::NotFound);
    };
    let is_form = match *request.method() {
        Method::GET => false,
        Method::POST => true,
        _ => return response::error_response(HandlerError::MethodNotAllowed),
    };
    let form = if is_form { read_form(&request, payload).await } else { Ok(Zeroizing::default()) };
    let token_request = form.and_then(|form| {
        check_no_secrets(request.query_string())?;
        if is_form {
            TokenRequest::from_form(&form)
        } else {
            TokenRequest::from_query(request.query_string())
        }
    });
    let mut received =
        ReceivedSubrequest::from_headers(state, request.headers(), request.conn_data::<Peer>());
    let request_line = RequestLine { method: request.method().as_str(), path: request.path() };
    let result =
        issue_token(state, issuer, &request, request_line, token_request.as_ref(), &mut received).await;
    result.unwrap_or_else(|error| {
        state.verdict_log.log_token_error(state, &received, request_line, &error);
        response::token_error_response(&error, &state.token_challenge)
    })
}

/// Returns the public keys with which registries verify tokens.
pub(super) async fn jwks(request: HttpRequest) -> HttpResponse {
    let state = request.app_data::<Arc<AppState>>();
    match state.and_then(|state| state.pipeline.token_issuer()) {
        Some(issuer) => response::json_response(issuer.jwks()),
        None => response::error_response(HandlerError::NotFound),
    }
}

async fn read_form(request: &HttpRequest, payload: web::Payload) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let content_type =
        request.headers().get(CONTENT_TYPE).map(|content_type| content_type.as_bytes()).unwrap_or_default();
    let content_type = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !content_type.eq_ignore_ascii_case(FORM_CONTENT_TYPE) {
        return Err("send the body of a POST as application/x-www-form-urlencoded");
    }
    match timeout(FORM_TIMEOUT, payload.to_bytes_limited(FORM_BYTES_MAX)).await {
        Ok(Ok(Ok(form))) => Ok(Zeroizing::new(form.to_vec())),
        Ok(Ok(Err(_))) => Err("the form is incomplete"),
        Ok(Err(_)) => Err("the form is larger than 16 KiB"),
        Err(_) => Err("the form did not arrive within 5 s"),
    }
}

async fn issue_token<'r>(
    state: &AppState,
    issuer: &Arc<TokenIssuer>,
    request: &'r HttpRequest,
    request_line: RequestLine<'_>,
    token_request: Result<&'r TokenRequest, &&'static str>,
    received: &mut ReceivedSubrequest<'r>,
) -> Result<HttpResponse, TokenRequestError> {
    received.for_token().map_err(TokenRequestError::Rejected)?;
    let token_request = token_request.map_err(|message| TokenRequestError::InvalidRequest(message))?;
    token_request
        .check_service(&issuer.issuer_and_service().service)
        .map_err(TokenRequestError::InvalidRequest)?;
    match &token_request.grant_type {
        GrantType::AuthorizationHeader => {}
        // The limit for header values also applies to credentials in a form.
        GrantType::Password(basic) if basic.len() > state.header_bytes_max => {
            received.subrequest.authorization = RequestHeader::Invalid;
        }
        GrantType::Password(basic) => received.subrequest.authorization = RequestHeader::Once(basic),
        GrantType::RefreshToken => return Err(TokenRequestError::RefreshTokenUnsupported),
    }
    if received.subrequest.host == RequestHeader::Absent {
        received.subrequest.host = single_header(request.headers(), HOST, state.header_bytes_max);
    }
    let received = &*received;
    let subrequest = &received.subrequest;

    // Checked before the password, because a token requires the host name.
    let host = subrequest
        .host_name()
        .map_err(|incomplete| TokenRequestError::Rejected(incomplete.into()))?
        .into_owned();
    let authentication = state.pipeline.authenticate(subrequest);
    token_request.check_account(subrequest.user()).map_err(TokenRequestError::InvalidRequest)?;
    let (identity, stale) = wait_for_identity(authentication).await.map_err(TokenRequestError::Rejected)?;
    let scopes = token_request.scopes().map_err(TokenRequestError::InvalidRequest)?;
    let ScopeDecision { granted: access, denied } = state
        .pipeline
        .grant_scopes(identity.as_deref(), subrequest, &scopes)
        .map_err(|denied| TokenRequestError::Rejected(Verdict::Forbid(denied)))?;
    let (granted_scopes, denied_scopes) = (format_scopes(&access), format_scopes(&denied));
    let now = state.clock.unix_seconds();
    // A token that is based on a stale answer expires with that answer.
    let stale_expiry = stale.map(|left| now.saturating_add(left.as_secs()));
    let identity_expiry = identity.as_deref().and_then(Identity::expires_at);
    let latest_expiry = identity_expiry.into_iter().chain(stale_expiry).min();
    let user = identity.as_deref().map_or(&b""[..], |identity| identity.user.as_bytes());
    let new = NewToken { user: user.to_vec(), host, access, denied, issued_at: now, latest_expiry };
    let issued = state.pipeline.sign_token(issuer, new, subrequest).await.map_err(token_request_error)?;
    let line = IssuedTokenEntry {
        user,
        requested: &token_request.scopes_as_sent(),
        granted: &granted_scopes,
        denied: &denied_scopes,
        id: &issued.token_id,
        is_stale: stale.is_some(),
    };
    state.verdict_log.log_issued_token(state, received, request_line, &line);
    state.metrics.tokens_issued.inc();
    let at = std::time::UNIX_EPOCH + Duration::from_secs(issued.issued_at);
    let body = TokenResponse {
        token: &issued.token,
        access_token: &issued.token,
        expires_in: issued.expires_in,
        issued_at: humantime::format_rfc3339_seconds(at).to_string(),
        scope: token_request.is_form.then_some(granted_scopes),
    };
    serde_json::to_string(&body).map(response::json_response).map_err(|_| TokenRequestError::SigningFailed)
}

/// Waits for the identity of the client. Also returns how long a stale answer remains valid, if the authenticator is
/// unavailable.
async fn wait_for_identity(
    authentication: Authentication,
) -> Result<(Option<Arc<Identity>>, Option<Duration>), Verdict> {
    match authentication {
        Authentication::Complete(identity) => Ok((identity, None)),
        Authentication::CheckNeeded(check) => check
            .authenticate()
            .await
            .map(|authenticated| (Some(authenticated.identity), authenticated.stale_remaining)),
        Authentication::Failed(verdict) => Err(verdict),
    }
}

/// Formats granted access in the syntax of a requested scope.
fn format_scopes(access: &[AccessEntry]) -> String {
    let one = |access: &AccessEntry| format!("{}:{}:{}", access.kind, access.name, access.actions.join(","));
    access.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Converts an error of signing to the error for the client.
fn token_request_error(error: SignTokenError) -> TokenRequestError {
    match error {
        SignTokenError::Rejected(verdict) => TokenRequestError::Rejected(verdict),
        SignTokenError::Issue(IssueError::NonUtf8User) => {
            TokenRequestError::InvalidRequest("the user name is not UTF-8, so a token cannot contain it")
        }
        SignTokenError::Issue(IssueError::TooLong) => {
            TokenRequestError::InvalidRequest("the token would be too large: request fewer scopes at once")
        }
        SignTokenError::Issue(IssueError::SigningFailed) => TokenRequestError::SigningFailed,
    }
}
