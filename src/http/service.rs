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

use super::access::AdminRefusal;
use super::auth::{self, Answer};
use super::peer::Peer;
use super::reply::{self, Fault};
use super::upstream_refused;
use super::{Front, admin_routes, auth_routes, public_routes};
use crate::dialect::Dialect;
use crate::pipeline::worker_cache::Memo;

/// What nginx shows in the place of an upstream's own 401 or 403.
const REFUSED: &str = "/auth/refused";

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Verdicts, for the proxy.
    Auth,
    /// Tokens and the keys that verify them, for clients through the proxy.
    Public,
    /// Probes and figures for monitors, orders for administrators.
    Admin,
}

impl Kind {
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
pub fn service(
    front: Arc<Front>,
    kind: Kind,
) -> impl ServiceFactory<
    Request,
    Config = AppConfig,
    Response = Response<BoxBody>,
    Error = Error,
    InitError = (),
    Service = impl Service<Request, Response = Response<BoxBody>, Error = Error, Future = Answering>,
> {
    let app = App::new().app_data(Arc::clone(&front)).app_data(Arc::clone(&front.readiness));
    let app = match kind {
        Kind::Auth => app.configure(auth_routes),
        Kind::Public => app.configure(public_routes),
        Kind::Admin => app.configure(admin_routes),
    };
    Factory { front, kind, rest: app.into_factory() }
}

struct Factory<R> {
    front: Arc<Front>,
    kind: Kind,
    rest: R,
}

struct AuthFirst<R> {
    front: Arc<Front>,
    kind: Kind,
    /// This worker's. Borrowed only while `call` runs, which does not call itself.
    memo: RefCell<Memo>,
    rest: R,
}

impl<R> ServiceFactory<Request> for Factory<R>
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
    type Service = AuthFirst<R::Service>;
    type InitError = ();
    type Future = Boxed<Result<Self::Service, ()>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let (front, kind, rest) = (Arc::clone(&self.front), self.kind, self.rest.new_service(config));
        Box::pin(async move { Ok(AuthFirst { front, kind, memo: RefCell::default(), rest: rest.await? }) })
    }
}

impl<R> Service<Request> for AuthFirst<R>
where
    R: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    R::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = Answering;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.rest.poll_ready(context)
    }

    fn call(&self, request: Request) -> Answering {
        let checked = match self.kind {
            Kind::Auth => return answer_auth(&self.front, &self.memo, request),
            Kind::Public => Ok(()),
            Kind::Admin => check_admin(&self.front, &request),
        };
        let trusted = request.conn_data::<Peer>().is_some_and(|peer| peer.trusted);
        if let Err(refusal) = checked {
            let response = reply::fault(Fault::Admin(refusal)).into();
            return Answering::Ready(Some(brief(response, trusted)));
        }
        let answer = self.rest.call(request);
        Answering::Later(Box::pin(async move { Ok(brief(answer.await?.into(), trusted)) }))
    }
}

/// Answers a request to the auth listener. Nothing but a verdict is 2xx here: some proxies send the client's own path.
fn answer_auth(front: &Arc<Front>, memo: &RefCell<Memo>, request: Request) -> Answering {
    let trusted = request.conn_data::<Peer>().is_some_and(|peer| peer.trusted);
    let ready = |response| Answering::Ready(Some(brief(response, trusted)));
    let path = request.path();
    if Dialect::of_path(path).is_some_and(|dialect| front.dialects.contains(&dialect)) {
        return match auth::open(front, &mut memo.borrow_mut(), request) {
            Answer::Ready(response) => ready(response),
            Answer::Later(check, request) => {
                let answer = auth::wait(Arc::clone(front), check, request);
                Answering::Later(Box::pin(async move { Ok(brief(answer.await, trusted)) }))
            }
        };
    }
    if path == REFUSED {
        return ready(upstream_refused::refused(front, &request).into());
    }
    ready(reply::fault(Fault::NotFound).into())
}

/// Checks a request to the admin listener before its path is looked at.
fn check_admin(front: &Front, request: &Request) -> Result<(), AdminRefusal> {
    // A connection whose peer is not known is not served.
    let peer = request.conn_data::<Peer>().ok_or(AdminRefusal::Peer)?;
    let checked = front.admin.check_site(peer, &request.head().headers);
    checked.inspect_err(|refusal| {
        front.metrics.admin_refused.inc();
        front.admin.note(*refusal, Some(peer), request.path());
    })
}

/// Makes the service for requests with `Expect: 100-continue`, which actix-http calls before the other.
///
/// The auth listener never reads a body, so it answers such a request at once, and with no interim response: a proxy
/// that passes the header on would take `100 Continue` for the verdict, or pass it to the client. For actix-http an
/// error of this service is a response. The other listeners let the request go on.
pub fn expectation(
    front: Arc<Front>,
    kind: Kind,
) -> impl ServiceFactory<Request, Config = (), Response = Request, Error = Response<BoxBody>, InitError = ()>
{
    let memo: Rc<RefCell<Memo>> = Rc::default();
    fn_service(move |request: Request| {
        let answer = match kind {
            Kind::Auth => Err(answer_auth(&front, &memo, request)),
            Kind::Public | Kind::Admin => Ok(request),
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
fn brief(mut response: Response<BoxBody>, trusted: bool) -> Response<BoxBody> {
    if !trusted {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// An answer that is there or that is waited for. Only the latter needs a box.
pub enum Answering {
    /// There; taken when it was polled.
    Ready(Option<Response<BoxBody>>),
    /// Waited for.
    Later(Boxed<Result<Response<BoxBody>, Error>>),
}

impl Future for Answering {
    type Output = Result<Response<BoxBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Ready(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            Self::Later(future) => future.as_mut().poll(context),
        }
    }
}
