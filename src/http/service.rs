//! The service behind a listener: the auth listener's paths at once, everything else by actix-web.
//!
//! nginx asks `/auth` for every request of every client, and what actix-web does on the way to a
//! handler (a pooled request, the router, extractors, a responder) costs about as much as the whole
//! answer. So these paths are answered in front of it, from the request as actix has parsed it. They are
//! compared as they were sent: actix-web's router would decode them.

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
use super::auth::{self, AuthResponse};
use super::peer::Peer;
use super::response::{self, HandlerError};
use super::upstream_refused;
use super::{AppState, admin_routes, auth_routes, public_routes};
use crate::dialect::Dialect;
use crate::pipeline::worker_cache::WorkerCache;

/// What nginx shows in the place of an upstream's own 401 or 403.
const UPSTREAM_REFUSED_PATH: &str = "/auth/refused";

type BoxedFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Verdicts, for the proxy.
    Auth,
    /// Tokens and the keys that verify them, for clients through the proxy.
    Public,
    /// Probes and figures for monitors, orders for administrators.
    Admin,
}

impl ListenerKind {
    /// The name in metrics and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Public => "public",
            Self::Admin => "admin",
        }
    }
}

/// Makes the service for one worker of a listener.
pub fn service_factory(
    front: Arc<AppState>,
    kind: ListenerKind,
) -> impl ServiceFactory<
    Request,
    Config = AppConfig,
    Response = Response<BoxBody>,
    Error = Error,
    InitError = (),
    Service = impl Service<Request, Response = Response<BoxBody>, Error = Error, Future = ResponseFuture>,
> {
    let app = App::new().app_data(Arc::clone(&front)).app_data(Arc::clone(&front.readiness));
    let app = match kind {
        ListenerKind::Auth => app.configure(auth_routes),
        ListenerKind::Public => app.configure(public_routes),
        ListenerKind::Admin => app.configure(admin_routes),
    };
    ListenerServiceFactory { state: front, kind, app: app.into_factory() }
}

struct ListenerServiceFactory<R> {
    state: Arc<AppState>,
    kind: ListenerKind,
    app: R,
}

struct ListenerService<R> {
    state: Arc<AppState>,
    kind: ListenerKind,
    /// This worker's. Borrowed only while `call` runs, which does not call itself.
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
        let (front, kind, rest) = (Arc::clone(&self.state), self.kind, self.app.new_service(config));
        Box::pin(async move {
            Ok(ListenerService { state: front, kind, worker_cache: RefCell::default(), app: rest.await? })
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
            ListenerKind::Public if !is_peer_trusted(&request) => return untrusted_peer_response(),
            ListenerKind::Public => Ok(()),
            ListenerKind::Admin => check_admin_request(&self.state, &request),
        };
        let trusted = is_peer_trusted(&request);
        if let Err(refusal) = checked {
            let response = response::error_response(HandlerError::AdminAccess(refusal)).into();
            return ResponseFuture::Ready(Some(close_if_untrusted(response, trusted)));
        }
        let answer = self.app.call(request);
        ResponseFuture::Pending(Box::pin(
            async move { Ok(close_if_untrusted(answer.await?.into(), trusted)) },
        ))
    }
}

/// Answers a request to the auth listener. Nothing but a verdict is 2xx here: some proxies send the client's own path.
fn handle_auth(front: &Arc<AppState>, memo: &RefCell<WorkerCache>, request: Request) -> ResponseFuture {
    if !is_peer_trusted(&request) {
        return untrusted_peer_response();
    }
    let ready = |response| ResponseFuture::Ready(Some(response));
    let path = request.path();
    if Dialect::from_path(path).is_some_and(|dialect| front.dialects.contains(&dialect)) {
        return match auth::evaluate(front, &mut memo.borrow_mut(), request) {
            AuthResponse::Ready(response) => ready(response),
            AuthResponse::CheckNeeded(check, request) => {
                let answer = auth::finish_check(Arc::clone(front), check, request);
                ResponseFuture::Pending(Box::pin(async move { Ok(answer.await) }))
            }
        };
    }
    if path == UPSTREAM_REFUSED_PATH {
        return ready(upstream_refused::handle_upstream_refused(front, &request).into());
    }
    ready(response::error_response(HandlerError::NotFound).into())
}

/// Returns true if the connection is of a trusted peer. The peer is unknown if its address could not be read.
fn is_peer_trusted(request: &Request) -> bool {
    request.conn_data::<Peer>().is_some_and(|peer| peer.is_trusted)
}

/// Refuses a request at the auth or public listener, and closes the connection. Connections of untrusted peers are closed
/// before a request is read, so such a request can only come from a connection that was reset while it was accepted.
fn untrusted_peer_response() -> ResponseFuture {
    let response = response::error_response(HandlerError::UntrustedPeer).into();
    ResponseFuture::Ready(Some(close_if_untrusted(response, false)))
}

/// Checks a request to the admin listener before its path is looked at.
fn check_admin_request(front: &AppState, request: &Request) -> Result<(), AdminAccessError> {
    // A connection whose peer is not known is not served.
    let peer = request.conn_data::<Peer>().ok_or(AdminAccessError::UntrustedPeer)?;
    let checked = front.admin_access.check_origin(peer, &request.head().headers);
    checked.inspect_err(|refusal| {
        front.metrics.admin_requests_rejected.inc();
        front.admin_access.log_rejection(*refusal, Some(peer), request.path());
    })
}

/// Makes the service for requests with `Expect: 100-continue`, which actix-http calls before the other.
///
/// The auth listener never reads a body, so it answers such a request at once, and with no interim response: a proxy
/// that passes the header on would take `100 Continue` for the verdict, or pass it to the client. For actix-http an
/// error of this service is a response. The other listeners let the request go on.
pub fn expect_service_factory(
    front: Arc<AppState>,
    kind: ListenerKind,
) -> impl ServiceFactory<Request, Config = (), Response = Request, Error = Response<BoxBody>, InitError = ()>
{
    let memo: Rc<RefCell<WorkerCache>> = Rc::default();
    fn_service(move |request: Request| {
        let answer = match kind {
            ListenerKind::Auth => Err(handle_auth(&front, &memo, request)),
            ListenerKind::Public | ListenerKind::Admin => Ok(request),
        };
        async move {
            match answer {
                Ok(request) => Ok(request),
                Err(answering) => Err(answering.await.unwrap_or_else(|error| error.error_response().into())),
            }
        }
    })
}

/// Closes the connection behind an answer to a peer that is not trusted: the connections are
/// counted, and whoever reaches the port could keep all of them.
fn close_if_untrusted(mut response: Response<BoxBody>, trusted: bool) -> Response<BoxBody> {
    if !trusted {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// An answer that is there or that is waited for. Only the latter needs a box.
pub enum ResponseFuture {
    /// There; taken when it was polled.
    Ready(Option<Response<BoxBody>>),
    /// Waited for.
    Pending(BoxedFuture<Result<Response<BoxBody>, Error>>),
}

impl Future for ResponseFuture {
    type Output = Result<Response<BoxBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Ready(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            Self::Pending(future) => future.as_mut().poll(context),
        }
    }
}
