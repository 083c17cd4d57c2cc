//! Verdicts as HTTP answers. This file alone sets a status or a header on the way back to nginx,
//! and `allow` below is the only place that writes 200 there.
//!
//! nginx understands 2xx, 401 and 403; anything else it makes a 500 (its
//! `ngx_http_auth_request_module.c`). So "limited" is a 403 with a reason, of which the template
//! makes a true 429. There is never a body: nginx would have to give up the kept-alive connection.

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
pub use super::challenge::Challenge;
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
/// That the authenticator could not be asked, and this is its last answer.
const X_AUTH_STALE: HeaderName = HeaderName::from_static("x-auth-stale");
/// What the policy does not permit, as the registry's token protocol writes it.
const X_AUTH_SCOPE: HeaderName = HeaderName::from_static("x-auth-scope");
/// The specification's code for a malformed reference.
const X_AUTH_ERROR: HeaderName = HeaderName::from_static("x-auth-error");
/// What the upstream is shown in place of the client's `Authorization`.
const X_UPSTREAM_AUTHORIZATION: HeaderName = HeaderName::from_static("x-upstream-authorization");
/// What the backend must be asked for instead.
const X_UPSTREAM_URI: HeaderName = HeaderName::from_static("x-upstream-uri");
const APPLICATION_JSON: &str = "application/json";
const TEXT_PLAIN: &str = "text/plain; charset=utf-8";
const EMPTY: HeaderValue = HeaderValue::from_static("");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What the identity headers have in common for all requests, made once.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaders {
    /// The header of each fact.
    fact_headers: Box<[(Arc<str>, HeaderName)]>,
    /// The values of `X-Auth-By`.
    authenticator_values: Box<[(Arc<str>, HeaderValue)]>,
}

impl IdentityHeaders {
    /// For facts and authenticators of these names, each of which the settings found good.
    pub fn new(
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

/// The answer to nginx.
pub(super) fn verdict_response(
    verdict: &Verdict,
    challenge: &Challenge,
    identity: &IdentityHeaders,
    scope: Option<&str>,
    id: Option<HeaderValue>,
) -> Response<BoxBody> {
    let mut response = match verdict {
        Verdict::Allow(grant) => match allow_response(grant, identity) {
            Ok(response) => response,
            Err(_) => reason_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        },
        Verdict::Challenge(refusal) => match challenge.header_value(scope, refusal) {
            Ok(value) => {
                let mut response = Response::new(StatusCode::UNAUTHORIZED);
                response.headers_mut().insert(WWW_AUTHENTICATE, value);
                // A user who is logged in is told what the token lacks. Anyone else is asked to log in.
                if let ChallengeReason::InsufficientScope(InsufficientScope { has_user: true, .. }) = refusal
                {
                    insert_scope(&mut response, verdict);
                }
                response
            }
            Err(_) => reason_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
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

/// Admits. Every identity header is there, empty where there is nothing to say: a client's own
/// copy must find its place taken.
fn allow_response(
    grant: &AllowedRequest,
    known: &IdentityHeaders,
) -> Result<Response<BoxBody>, InvalidHeaderValue> {
    let (user, by) = match grant.identity() {
        Some(identity) => (
            HeaderValue::from_bytes(identity.user.as_bytes())?,
            known.authenticator_value(&identity.authenticator)?,
        ),
        None => (EMPTY, EMPTY),
    };
    let groups = match grant.groups_header() {
        [] => EMPTY,
        groups => HeaderValue::from_bytes(groups)?,
    };
    let uri = grant.upstream_uri().map(HeaderValue::from_str).transpose()?;
    let mut response = Response::new(StatusCode::OK);
    // Appended, which costs less than `insert`: no two of these names are equal.
    let headers = response.headers_mut();
    headers.append(X_AUTH_USER, user);
    headers.append(X_AUTH_GROUPS, groups);
    headers.append(X_AUTH_BY, by);
    for (name, header) in &known.fact_headers {
        let fact =
            grant.identity().and_then(|identity| identity.facts.iter().find(|fact| fact.name == *name));
        headers.append(header.clone(), HeaderValue::from_bytes(fact.map_or(b"", |fact| &fact.value))?);
    }
    headers.append(X_AUTH_STALE, if grant.is_stale() { TRUE } else { EMPTY });
    if let Some(upstream) = grant.upstream_authorization() {
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

/// Whole seconds, at least one: to come back at once would be to be refused again.
fn retry_after_value(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_millis().div_ceil(1000).clamp(1, 86_400) as u64)
}

/// What goes wrong before there is a verdict. None of these is a success.
#[derive(Clone, Copy, Debug)]
pub(super) enum HandlerError {
    /// No such path.
    NotFound,
    /// The path, but not that method.
    MethodNotAllowed,
    /// A parameter that is not known.
    BadRequest,
    /// A peer that may not use this listener.
    UntrustedPeer,
    /// A request that the admin listener does not serve.
    AdminAccess(AdminAccessError),
    /// A fault of ours.
    Internal,
}

/// The answer to a request that the gate never sees.
pub(super) fn error_response(fault: HandlerError) -> HttpResponse {
    let status = match fault {
        HandlerError::NotFound => StatusCode::NOT_FOUND,
        HandlerError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        HandlerError::BadRequest => StatusCode::BAD_REQUEST,
        HandlerError::UntrustedPeer => StatusCode::FORBIDDEN,
        HandlerError::AdminAccess(refusal) => return admin_error_response(refusal),
        HandlerError::Internal => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpResponse::build(status).insert_header((CACHE_CONTROL, NO_STORE)).finish()
}

/// A challenge that makes no browser ask for a password, which it would then send along with every request.
const ADMIN_CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"doorward admin\"");

fn admin_error_response(refusal: AdminAccessError) -> HttpResponse {
    let mut builder = match refusal {
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
        .body(format!("{}\n", refusal.message()))
}

/// The answer for every path that is not served.
pub(super) async fn not_found() -> HttpResponse {
    error_response(HandlerError::NotFound)
}

/// A short text for people and probes; never an answer to nginx's question.
pub(super) fn text_response(ok: bool, content_type: &'static str, body: String) -> HttpResponse {
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(content_type)))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .body(body)
}

/// What a registry's client prints where the registry refused the credentials that it never sent.
const UPSTREAM_REFUSED_BODY: &str = "{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"the registry refused the credentials of this proxy\",\"detail\":null}]}\n";

/// When a client should come again after that: a new token is there by then, if that was it.
const UPSTREAM_REFUSED_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The answer to a client whose request the upstream refused: the blame is not the client's.
pub(super) fn upstream_refused_response() -> HttpResponse {
    HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(APPLICATION_JSON)))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .insert_header((RETRY_AFTER, retry_after_value(UPSTREAM_REFUSED_RETRY_AFTER)))
        .body(UPSTREAM_REFUSED_BODY)
}

/// JSON for a client.
pub(super) fn json_response(text: String) -> HttpResponse {
    HttpResponse::build(StatusCode::OK)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(APPLICATION_JSON)))
        .insert_header((CACHE_CONTROL, NO_STORE))
        .body(text)
}

/// Why a client gets no token.
#[derive(Debug)]
pub(super) enum TokenRequestError {
    /// It can't be read, or is not for us.
    InvalidRequest(&'static str),
    /// Refresh tokens are not given out; oauth.md has a service without them answer so.
    RefreshTokenUnsupported,
    /// He is refused.
    Rejected(Verdict),
    /// It could not be signed.
    SigningFailed,
}

impl TokenRequestError {
    /// The reason, for the log and the metrics.
    pub(super) fn to_reason(&self) -> Reason {
        match self {
            Self::InvalidRequest(_) => Reason::TokenRequest,
            Self::RefreshTokenUnsupported => Reason::RefreshToken,
            Self::Rejected(verdict) => verdict.to_reason(),
            Self::SigningFailed => Reason::TokenSigning,
        }
    }

    /// What the log says besides the reason; empty where there is nothing to add.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::InvalidRequest(what) => (*what).to_owned(),
            Self::RefreshTokenUnsupported => {
                "refresh tokens are not issued; API keys do their work".to_owned()
            }
            Self::Rejected(verdict) => verdict.detail(),
            Self::SigningFailed => "the system gives no random numbers".to_owned(),
        }
    }
}

/// The answer to a client that gets no token, in words that registries' clients print.
pub(super) fn token_error_response(fault: &TokenRequestError, challenge: &Challenge) -> HttpResponse {
    let unavailable =
        (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "authentication is unavailable".into());
    let (status, code, message): (_, _, Cow<'_, str>) = match fault {
        TokenRequestError::InvalidRequest(what) => (StatusCode::BAD_REQUEST, "UNSUPPORTED", (*what).into()),
        TokenRequestError::RefreshTokenUnsupported => {
            (StatusCode::NOT_FOUND, "UNSUPPORTED", "there are no refresh tokens here: log in again".into())
        }
        TokenRequestError::Rejected(Verdict::Challenge(_)) => {
            (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required".into())
        }
        TokenRequestError::Rejected(Verdict::Limited(_)) => {
            (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many requests, try again later".into())
        }
        TokenRequestError::Rejected(Verdict::Forbid(Denied::InvalidProxyHeaders(what))) => {
            (StatusCode::FORBIDDEN, "DENIED", format!("no token is given here: {what}").into())
        }
        TokenRequestError::Rejected(Verdict::Forbid(Denied::ByPolicy(_) | Denied::ProxySecretMissing)) => {
            (StatusCode::FORBIDDEN, "DENIED", "no token is given here".into())
        }
        // Of these, an allowed request is none that could be refused.
        TokenRequestError::Rejected(
            Verdict::Unavailable(_) | Verdict::NoUpstreamCredentials(_) | Verdict::Allow(_),
        )
        | TokenRequestError::SigningFailed => unavailable,
    };
    let mut builder = HttpResponse::build(status);
    builder.insert_header((CONTENT_TYPE, HeaderValue::from_static(APPLICATION_JSON)));
    builder.insert_header((CACHE_CONTROL, NO_STORE));
    if let TokenRequestError::Rejected(verdict) = fault {
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

/// The answer to an order that was carried out.
pub(super) fn no_content_response() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).insert_header((CACHE_CONTROL, NO_STORE)).finish()
}
