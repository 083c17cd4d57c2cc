//! The future of a response. Most responses are available at once, and need no allocation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

/// A response that is available, or the future of one. Only the future is boxed.
pub(crate) enum ResponseFuture {
    /// An available response; `None` after it was polled.
    Ready(Option<Response<BoxBody>>),
    /// A response that must be awaited.
    Pending(Pin<Box<dyn Future<Output = Result<Response<BoxBody>, Error>>>>),
}

impl ResponseFuture {
    /// Returns the future of an available response.
    pub(super) fn ready(response: Response<BoxBody>) -> Self {
        Self::Ready(Some(response))
    }
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
