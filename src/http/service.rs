//! The service behind a listener: `/auth` at once, everything else by actix-web.
//!
//! nginx asks `/auth` for every request of every client, and what actix-web does on the way to a
//! handler (a pooled request, the router, extractors, a responder) costs about as much as the whole
//! answer. So that one path is answered in front of it, from the request as actix has parsed it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::{ConnectionType, Request};
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Response, ServiceResponse};
use actix_web::{App, Error};

use super::auth::{self, Answer};
use super::peer::Peer;
use super::{Front, admin_routes, public_routes};
use crate::gate::memo::Memo;

/// The path of nginx's question.
const AUTH: &str = "/auth";

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// Whose questions a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx's, and those of probes.
    Public,
    /// An administrator's and a monitor's.
    Admin,
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
        if self.kind == Kind::Public && request.path() == AUTH {
            let trusted = request.conn_data::<Peer>().is_some_and(|peer| peer.trusted);
            return match auth::open(&self.front, &mut self.memo.borrow_mut(), request) {
                Answer::Ready(response) => Answering::Ready(Some(brief(response, trusted))),
                Answer::Later(check, request) => {
                    let answer = auth::wait(Arc::clone(&self.front), check, request);
                    Answering::Later(Box::pin(async move { Ok(answer.await) }))
                }
            };
        }
        let trusted = request.conn_data::<Peer>().is_some_and(|peer| peer.trusted);
        let answer = self.rest.call(request);
        Answering::Later(Box::pin(async move { Ok(brief(answer.await?.into(), trusted)) }))
    }
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
