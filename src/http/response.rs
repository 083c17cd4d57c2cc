//! Conversion of verdicts to HTTP responses. Only this file sets a status or a header of a response to nginx, and
//! only `allow_response` sets status 200 there.
//!
//! nginx accepts 2xx, 401 and 403, and turns every other status into 500 (`ngx_http_auth_request_module.c`). A
//! throttled request is therefore a 403 with a reason, which the nginx configuration turns into a 429. A response
//! never has a body, because nginx would have to close the keep-alive connection.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::Response;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};

use super::admin_access::AdminAccessError;
use super::challenge::Challenge;
use super::subrequest::X_REQUEST_ID;
use crate::pipeline::challenge::ChallengeReason;
use crate::pipeline::verdict::{Limited, Reason, Verdict};
use crate::policy::AllowedRequest;
use crate::policy::denial::Denied;
use crate::policy::token::InsufficientScope;

const X_AUTH_USER: HeaderName = HeaderName::from_static("x-auth-user");
const X_AUTH_GROUPS: HeaderName = HeaderName::from_static("x-auth-groups");
const X_AUTH_BY: HeaderName = HeaderName::from_static("x-auth-by");
const X_AUTH_REASON: HeaderName = HeaderName::from_static("x-auth-reason");
/// `true` if the authenticator is unavailable and this is its last answer.
const X_AUTH_STALE: HeaderName = HeaderName::from_static("x-auth-stale");
/// The scope that the policy does not permit, in the syntax of the registry token protocol.
const X_AUTH_SCOPE: HeaderName = HeaderName::from_static("x-auth-scope");
/// The error code of the distribution specification for a malformed reference.
const X_AUTH_ERROR: HeaderName = HeaderName::from_static("x-auth-error");
/// The credentials that nginx must send to the upstream instead of the `Authorization` of the client.
const X_UPSTREAM_AUTHORIZATION: HeaderName = HeaderName::from_static("x-upstream-authorization");
/// The URI that nginx must request from the upstream instead of the original one.
const X_UPSTREAM_URI: HeaderName = HeaderName::from_static("x-upstream-uri");
/// The content type of JSON.
pub(super) const APPLICATION_JSON: &str = "application/json";
/// The content type of plain text.
pub(super) const TEXT_PLAIN: &str = "text/plain; charset=utf-8";
const EMPTY: HeaderValue = HeaderValue::from_static("");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The parts of the identity headers that are equal for all requests, created once.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdentityHeaders {
    /// The name of each fact, and its header.
    fact_headers: Box<[(Arc<str>, HeaderName)]>,
    /// The name of each authenticator, and its value of `X-Auth-By`.
    authenticator_values: Box<[(Arc<str>, HeaderValue)]>,
}

impl IdentityHeaders {
    /// Creates the headers of these facts and authenticators, whose names the configuration has validated.
    pub(crate) fn new(
        facts: impl Iterator<Item = Arc<str>>,
        authenticators: impl Iterator<Item = Arc<str>>,
    ) -> Result<Self, InvalidHeaderName> {
        let header = |name: Arc<str>| {
            let header = HeaderName::from_bytes(format!("x-auth-fact-{name}").as_bytes())?;
            Ok((name, header))
        };
        let value = |name: Arc<str>| HeaderValue::from_str(&name).ok().map(|value| (name, value));
        Ok(Self {
            fact_headers: facts.map(header).collect::<Result<_, _>>()?,
            authenticator_values: authenticators.filter_map(value).collect(),
        })
    }

    fn authenticator_value(&self, name: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        let known = self.authenticator_values.iter().find(|(known, _)| **known == *name);
        known.map_or_else(|| HeaderValue::from_str(name), |(_, value)| Ok(value.clone()))
    }
}

/// Returns the response to nginx.
pub(super) fn verdict_response(
    verdict: &Verdict,
    challenge: &Challenge,
    identity: &IdentityHeaders,
    scope: Option<&str>,
    id: Option<HeaderValue>,
) -> Response<BoxBody> {
    let mut response = match verdict {
        Verdict::Allow(allowed) => match allow_response(allowed, identity) {
            Ok(response) => response,
            Err(_) => {
                reason_response(StatusCode::SERVICE_UNAVAILABLE, Reason::AuthenticatorUnavailable.name())
            }
        },
        Verdict::Challenge(reason) => match challenge.header_value(scope, reason) {
            Ok(value) => {
                let mut response = Response::new(StatusCode::UNAUTHORIZED);
                response.headers_mut().insert(WWW_AUTHENTICATE, value);
                // A user who is logged in gets the scope that the token lacks. Any other client must log in first.
                if let ChallengeReason::InsufficientScope(InsufficientScope { has_user: true, .. }) = reason {
                    insert_scope(&mut response, verdict);
                }
                response
            }
            Err(_) => {
                reason_response(StatusCode::SERVICE_UNAVAILABLE, Reason::AuthenticatorUnavailable.name())
            }
        },
        Verdict::Forbid(denied) => {
            let mut response = reason_response(StatusCode::FORBIDDEN, verdict.reason_name());
            insert_scope(&mut response, verdict);
            if let Some(error) = denied.error_code() {
                response.headers_mut().insert(X_AUTH_ERROR, HeaderValue::from_static(error.name()));
            }
            response
        }
        Verdict::Limited(Limited::Throttled(wait) | Limited::Busy(wait)) => {
            let mut response = reason_response(StatusCode::FORBIDDEN, verdict.reason_name());
            response.headers_mut().insert(RETRY_AFTER, retry_after_value(*wait));
            response
        }
        Verdict::Unavailable(_) | Verdict::NoUpstreamCredentials(_) => {
            reason_response(StatusCode::SERVICE_UNAVAILABLE, verdict.reason_name())
        }
    };
    response.headers_mut().append(CACHE_CONTROL, NO_STORE);
    if let Some(id) = id {
        response.headers_mut().append(X_REQUEST_ID, id);
    }
    response
}

/// Returns the response that admits a request. It contains every identity header, with an empty value if there is
/// none, so that nginx replaces a copy sent by the client.
fn allow_response(
    allowed: &AllowedRequest,
    identity_headers: &IdentityHeaders,
) -> Result<Response<BoxBody>, InvalidHeaderValue> {
    let (user, by) = match allowed.identity() {
        Some(identity) => (
            HeaderValue::from_maybe_shared(identity.user.to_header_value())?,
            identity_headers.authenticator_value(&identity.authenticator)?,
        ),
        None => (EMPTY, EMPTY),
    };
    let groups = HeaderValue::from_maybe_shared(allowed.groups_header().clone())?;
    let uri = allowed.upstream_uri().map(HeaderValue::from_str).transpose()?;
    let mut response = Response::new(StatusCode::OK);
    // `append` costs less than `insert`. No two of these names are equal.
    let headers = response.headers_mut();
    headers.append(X_AUTH_USER, user);
    headers.append(X_AUTH_GROUPS, groups);
    headers.append(X_AUTH_BY, by);
    for (name, header) in &identity_headers.fact_headers {
        let fact =
            allowed.identity().and_then(|identity| identity.facts.iter().find(|fact| fact.name == *name));
        headers.append(header.clone(), HeaderValue::from_bytes(fact.map_or(b"", |fact| &fact.value))?);
    }
    headers.append(X_AUTH_STALE, if allowed.is_stale() { TRUE } else { EMPTY });
    if let Some(upstream) = allowed.upstream_authorization() {
        let mut value = HeaderValue::from_maybe_shared(upstream.as_bytes().clone())?;
        value.set_sensitive(true);
        headers.append(X_UPSTREAM_AUTHORIZATION, value);
    }
    if let Some(uri) = uri {
        headers.append(X_UPSTREAM_URI, uri);
    }
    Ok(response)
}

fn insert_scope(response: &mut Response<BoxBody>, verdict: &Verdict) {
    if let Some(scope) = verdict.scope().and_then(|scope| HeaderValue::try_from(scope).ok()) {
        response.headers_mut().insert(X_AUTH_SCOPE, scope);
    }
}

fn reason_response(status: StatusCode, reason: &'static str) -> Response<BoxBody> {
    let mut response = Response::new(status);
    response.headers_mut().insert(X_AUTH_REASON, HeaderValue::from_static(reason));
    response
}

/// Returns the delay in whole seconds, from 1 to 86,400. A retry without a delay would be limited again.
fn retry_after_value(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_millis().div_ceil(1000).clamp(1, 86_400) as u64)
}

/// An error that occurs before there is a verdict. None of them is a success.
#[derive(Clone, Copy, Debug)]
pub(super) enum HandlerError {
    /// The path does not exist.
    NotFound,
    /// The path does not support the method.
    MethodNotAllowed,
    /// A query parameter is unknown or invalid.
    BadRequest,
    /// The peer is not allowed to use this listener.
    UntrustedPeer,
    /// The admin listener rejects the request.
    AdminAccess(AdminAccessError),
    /// An internal error.
    Internal,
}

/// Returns the response to a request that does not reach the pipeline.
pub(super) fn error_response(error: HandlerError) -> HttpResponse {
    let status = match error {
        HandlerError::NotFound => StatusCode::NOT_FOUND,
        HandlerError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        HandlerError::BadRequest => StatusCode::BAD_REQUEST,
        HandlerError::UntrustedPeer => StatusCode::FORBIDDEN,
        HandlerError::AdminAccess(reason) => return admin_error_response(reason),
        HandlerError::Internal => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpResponse::build(status).insert_header((CACHE_CONTROL, NO_STORE)).finish()
}

/// A challenge of the scheme Bearer. For Basic, a browser would prompt for a password and send it with every later
/// request.
const ADMIN_CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"doorward admin\"");

fn admin_error_response(reason: AdminAccessError) -> HttpResponse {
    let mut builder = match reason {
        AdminAccessError::WrongToken => {
            let mut builder = HttpResponse::build(StatusCode::UNAUTHORIZED);
            builder.insert_header((WWW_AUTHENTICATE, ADMIN_CHALLENGE));
            builder
        }
        AdminAccessError::UnknownHost
        | AdminAccessError::CrossSiteRequest
        | AdminAccessError::UntrustedPeer
        | AdminAccessError::TokenNotConfigured => HttpResponse::build(StatusCode::FORBIDDEN),
    };
    builder
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(TEXT_PLAIN)))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .body(format!("{}\n", reason.message()))
}

/// Returns 404, for every path that is not served.
pub(super) async fn not_found() -> HttpResponse {
    error_response(HandlerError::NotFound)
}

/// Returns a short text for operators and monitors, with status 200 or 503. It never answers `/auth`.
pub(super) fn text_response(is_ok: bool, content_type: &'static str, body: String) -> HttpResponse {
    let status = if is_ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(content_type)))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .body(body)
}

/// The error that a registry client prints if the upstream rejects the upstream credentials.
const UPSTREAM_REFUSED_BODY: &str = "{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"the registry refused the credentials of this proxy\",\"detail\":null}]}\n";

/// Retry delay after the upstream rejected its credentials. If they had expired, new ones are available by then.
const UPSTREAM_REFUSED_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Returns 503 if the upstream rejects the upstream credentials. A 401 or 403 would blame the credentials of the
/// client.
pub(super) fn upstream_refused_response() -> HttpResponse {
    HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(APPLICATION_JSON)))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .insert_header((RETRY_AFTER, retry_after_value(UPSTREAM_REFUSED_RETRY_AFTER)))
        .body(UPSTREAM_REFUSED_BODY)
}

/// Returns JSON to a client.
pub(super) fn json_response(text: String) -> HttpResponse {
    HttpResponse::build(StatusCode::OK)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(APPLICATION_JSON)))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .body(text)
}

/// The reason why a client gets no token.
#[derive(Debug)]
pub(super) enum TokenRequestError {
    /// The request is malformed, or is for another registry.
    InvalidRequest(&'static str),
    /// The request presents a refresh token. doorward does not issue refresh tokens; oauth.md specifies the response.
    RefreshTokenUnsupported,
    /// The verdict denies the request.
    Rejected(Verdict),
    /// The token could not be signed.
    SigningFailed,
}

impl TokenRequestError {
    /// Returns the reason for the log and the metrics.
    pub(super) fn to_reason(&self) -> Reason {
        match self {
            Self::InvalidRequest(_) => Reason::TokenRequest,
            Self::RefreshTokenUnsupported => Reason::RefreshToken,
            Self::Rejected(verdict) => verdict.to_reason(),
            Self::SigningFailed => Reason::TokenSigning,
        }
    }

    /// Returns the detail that the log adds to the reason; empty if there is none.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::InvalidRequest(what) => (*what).to_owned(),
            Self::RefreshTokenUnsupported => "refresh tokens are not supported; use an API key".to_owned(),
            Self::Rejected(verdict) => verdict.detail(),
            Self::SigningFailed => "the system returned no random numbers".to_owned(),
        }
    }
}

/// Returns the response to a client that gets no token. Registry clients print its message.
pub(super) fn token_error_response(error: &TokenRequestError, challenge: &Challenge) -> HttpResponse {
    let unavailable =
        (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "authentication is unavailable".into());
    let (status, code, message): (_, _, Cow<'_, str>) = match error {
        TokenRequestError::InvalidRequest(what) => (StatusCode::BAD_REQUEST, "UNSUPPORTED", (*what).into()),
        TokenRequestError::RefreshTokenUnsupported => {
            (StatusCode::NOT_FOUND, "UNSUPPORTED", "refresh tokens are not supported: log in again".into())
        }
        TokenRequestError::Rejected(Verdict::Challenge(_)) => {
            (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required".into())
        }
        TokenRequestError::Rejected(Verdict::Limited(_)) => {
            (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many requests, try again later".into())
        }
        TokenRequestError::Rejected(Verdict::Forbid(Denied::InvalidProxyHeaders(what))) => {
            (StatusCode::FORBIDDEN, "DENIED", format!("no token is issued: {what}").into())
        }
        TokenRequestError::Rejected(Verdict::Forbid(Denied::ByPolicy(_) | Denied::ProxySecretMissing)) => {
            (StatusCode::FORBIDDEN, "DENIED", "no token is issued".into())
        }
        // A rejected request never has the verdict `Allow`.
        TokenRequestError::Rejected(
            Verdict::Unavailable(_) | Verdict::NoUpstreamCredentials(_) | Verdict::Allow(_),
        )
        | TokenRequestError::SigningFailed => unavailable,
    };
    let mut builder = HttpResponse::build(status);
    builder.insert_header((CONTENT_TYPE, HeaderValue::from_static(APPLICATION_JSON)));
    builder.insert_header((CACHE_CONTROL, NO_STORE));
    if let TokenRequestError::Rejected(verdict) = error {
        match (verdict, challenge) {
            (Verdict::Challenge(_), Challenge::Basic(value)) => {
                builder.insert_header((WWW_AUTHENTICATE, value.clone()));
            }
            (Verdict::Limited(Limited::Throttled(wait) | Limited::Busy(wait)), _) => {
                builder.insert_header((RETRY_AFTER, retry_after_value(*wait)));
            }
            (Verdict::Challenge(_), Challenge::Bearer(_))
            | (
                Verdict::Allow(_)
                | Verdict::Forbid(_)
                | Verdict::Unavailable(_)
                | Verdict::NoUpstreamCredentials(_),
                _,
            ) => {}
        }
    }
    builder
        .body(format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{message}\",\"detail\":null}}]}}\n"))
}

/// Returns 204, for an administrative command that was carried out.
pub(super) fn no_content_response() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).insert_header((CACHE_CONTROL, NO_STORE)).finish()
}
