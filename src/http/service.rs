//! The service of a listener. It handles the paths of the auth listener itself, and passes all other requests to
//! actix-web.
//!
//! nginx calls `/auth` for every request of every client. The work of actix-web before a handler runs (a pooled
//! request, the router, extractors, a responder) costs about as much as the rest of the response. The paths of the
//! auth listener are therefore handled before actix-web, from the request as actix-http parsed it. They are compared
//! exactly as they were sent; the router of actix-web would decode them.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::{ConnectionType, Request};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, fn_service};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Response, ServiceResponse};
use actix_web::{App, Error};

use super::admin_access::AdminAccessError;
use super::auth;
use super::peer::Peer;
use super::response::{self, HandlerError};
use super::response_future::ResponseFuture;
use super::upstream_refused;
use super::{AppState, admin_routes, auth_routes, public_routes};
use crate::dialect::Dialect;
use crate::pipeline::worker_cache::WorkerCache;

/// The path that nginx requests if an upstream answers 401 or 403.
const UPSTREAM_REFUSED_PATH: &str = "/auth/refused";

type BoxedFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// The purpose of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// Verdicts, for the proxy.
    Auth,
    /// Tokens and the keys that verify them, for clients behind the proxy.
    Public,
    /// Health and metrics for monitors, commands for administrators.
    Admin,
}

impl ListenerKind {
    /// Returns the name for metrics and the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Public => "public",
            Self::Admin => "admin",
        }
    }
}

/// Returns a factory that creates the service of each worker of a listener.
pub(crate) fn service_factory(
    state: Arc<AppState>,
    kind: ListenerKind,
) -> impl ServiceFactory<
    Request,
    Config = AppConfig,
    Response = Response<BoxBody>,
    Error = Error,
    InitError = (),
    Service = impl Service<Request, Response = Response<BoxBody>, Error = Error, Future = ResponseFuture>,
> {
    let app = App::new().app_data(Arc::clone(&state)).app_data(Arc::clone(&state.readiness));
    let app = match kind {
        ListenerKind::Auth => app.configure(auth_routes),
        ListenerKind::Public => app.configure(public_routes),
        ListenerKind::Admin => app.configure(admin_routes),
    };
    ListenerServiceFactory { state, kind, app: app.into_factory() }
}

struct ListenerServiceFactory<R> {
    state: Arc<AppState>,
    kind: ListenerKind,
    app: R,
}

struct ListenerService<R> {
    state: Arc<AppState>,
    kind: ListenerKind,
    /// The cache of this worker. It is borrowed only while `call` runs, which is not recursive.
    worker_cache: RefCell<WorkerCache>,
    app: R,
}

impl<R> ServiceFactory<Request> for ListenerServiceFactory<R>
where
    R: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<BoxBody>,
            Error = Error,
            InitError = (),
        >,
    R::Future: 'static,
    <R::Service as Service<Request>>::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Config = AppConfig;
    type Service = ListenerService<R::Service>;
    type InitError = ();
    type Future = BoxedFuture<Result<Self::Service, ()>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let (state, kind, app) = (Arc::clone(&self.state), self.kind, self.app.new_service(config));
        Box::pin(async move {
            Ok(ListenerService { state, kind, worker_cache: RefCell::default(), app: app.await? })
        })
    }
}

impl<R> Service<Request> for ListenerService<R>
where
    R: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    R::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.app.poll_ready(context)
    }

    fn call(&self, request: Request) -> ResponseFuture {
        let checked = match self.kind {
            ListenerKind::Auth => return handle_auth(&self.state, &self.worker_cache, request),
            ListenerKind::Public if trusted_peer(&request).is_none() => return untrusted_peer_response(),
            ListenerKind::Public => Ok(()),
            ListenerKind::Admin => check_admin_request(&self.state, &request),
        };
        let trusted = trusted_peer(&request).is_some();
        if let Err(error) = checked {
            let response = response::error_response(HandlerError::AdminAccess(error)).into();
            return ResponseFuture::ready(close_if_untrusted(response, trusted));
        }
        let answer = self.app.call(request);
        ResponseFuture::Pending(Box::pin(
            async move { Ok(close_if_untrusted(answer.await?.into(), trusted)) },
        ))
    }
}

/// Answers a request to the auth listener. Only a verdict can be 2xx, because some proxies send the original path of
/// the client.
fn handle_auth(
    state: &Arc<AppState>,
    worker_cache: &RefCell<WorkerCache>,
    request: Request,
) -> ResponseFuture {
    let Some(peer) = trusted_peer(&request) else { return untrusted_peer_response() };
    let path = request.path();
    if Dialect::from_path(path).is_some_and(|dialect| state.dialects.contains(&dialect)) {
        return auth::evaluate(state, &mut worker_cache.borrow_mut(), peer, request);
    }
    if path == UPSTREAM_REFUSED_PATH {
        return ResponseFuture::ready(upstream_refused::handle_upstream_refused(state, &request).into());
    }
    ResponseFuture::ready(response::error_response(HandlerError::NotFound).into())
}

/// Returns the peer if it is trusted. It is unknown if its address could not be read.
fn trusted_peer(request: &Request) -> Option<Peer> {
    request.conn_data::<Peer>().filter(|peer| peer.is_trusted).copied()
}

/// Refuses a request at the auth or public listener, and closes the connection. Connections of untrusted peers are closed
/// before a request is read, so such a request can only come from a connection that was reset while it was accepted.
fn untrusted_peer_response() -> ResponseFuture {
    let response = response::error_response(HandlerError::UntrustedPeer).into();
    ResponseFuture::ready(close_if_untrusted(response, false))
}

/// Checks a request to the admin listener before its path is read.
fn check_admin_request(state: &AppState, request: &Request) -> Result<(), AdminAccessError> {
    // A connection whose peer is not known is not served.
    let peer = request.conn_data::<Peer>().ok_or(AdminAccessError::UntrustedPeer)?;
    let checked = state.admin_access.check_origin(peer, &request.head().headers);
    checked.inspect_err(|error| {
        state.metrics.admin_requests_rejected.inc();
        state.admin_access.log_rejection(*error, Some(peer), request.path());
    })
}

/// Returns a factory of the service for requests with `Expect: 100-continue`, which actix-http calls before the other
/// service.
///
/// The auth listener never reads a body, so it answers such a request immediately and without an interim response. A
/// proxy that forwards the header would take `100 Continue` for the verdict, or pass it to the client. actix-http
/// sends an error of this service as the response. The other listeners let the request continue.
pub(crate) fn expect_service_factory(
    state: Arc<AppState>,
    kind: ListenerKind,
) -> impl ServiceFactory<Request, Config = (), Response = Request, Error = Response<BoxBody>, InitError = ()>
{
    let worker_cache: Rc<RefCell<WorkerCache>> = Rc::default();
    fn_service(move |request: Request| {
        let answer = match kind {
            ListenerKind::Auth => Err(handle_auth(&state, &worker_cache, request)),
            ListenerKind::Public | ListenerKind::Admin => Ok(request),
        };
        async move {
            match answer {
                Ok(request) => Ok(request),
                Err(response) => Err(response.await.unwrap_or_else(|error| error.error_response().into())),
            }
        }
    })
}

/// Closes the connection after a response to an untrusted peer. Otherwise any host that can reach the port could
/// occupy all connections, whose number is limited.
fn close_if_untrusted(mut response: Response<BoxBody>, trusted: bool) -> Response<BoxBody> {
    if !trusted {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}
