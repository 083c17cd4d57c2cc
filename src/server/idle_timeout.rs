//! Closes connections that were idle for too long.
//!
//! The keep-alive timer of actix-http is allocated and registered after each response, and removed by the next request.
//! That costs more than the evaluation of a cached request. Here each connection has one timer for its whole life. It
//! fires a few times in each timeout, and compares what the connection did since.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

/// The number of times that a connection is checked in each timeout. A connection is closed at most one check, an eighth
/// of the timeout, too late.
const CHECKS_PER_TIMEOUT: u32 = 8;

/// The times after which a connection without activity is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleLimits {
    /// The time after a response.
    pub(super) keepalive: Duration,
    /// The time in which a request must arrive completely and be answered.
    pub(super) request: Duration,
}

/// The last activity of a connection, and the number of checks since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastActivity {
    /// The connection was opened, or received bytes: a request is read or evaluated.
    Received { checks: u32 },
    /// The connection sent bytes.
    Sent { checks: u32 },
}

/// A connection that records its last activity.
pub(super) struct TrackedStream<T> {
    stream: T,
    last_activity: Rc<Cell<LastActivity>>,
}

impl<T> TrackedStream<T> {
    /// Returns the connection itself.
    pub(super) fn get_ref(&self) -> &T {
        &self.stream
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TrackedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() != before {
            self.last_activity.set(LastActivity::Received { checks: 0 });
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TrackedStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // A peer that does not read its response is idle too.
        self.last_activity.set(LastActivity::Sent { checks: 0 });
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.last_activity.set(LastActivity::Sent { checks: 0 });
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The idle timeout of one connection.
pub(super) struct IdleTimeout {
    limits: IdleLimits,
    last_activity: Rc<Cell<LastActivity>>,
}

/// Returns the connection with a record of its activity, and its idle timeout.
pub(super) fn track<T>(stream: T, limits: IdleLimits) -> (TrackedStream<T>, IdleTimeout) {
    let last_activity = Rc::new(Cell::new(LastActivity::Received { checks: 0 }));
    let idle_timeout = IdleTimeout { limits, last_activity: Rc::clone(&last_activity) };
    (TrackedStream { stream, last_activity }, idle_timeout)
}

impl IdleTimeout {
    /// Waits for `served`, which serves the tracked connection. Returns `None` if the connection was idle for the timeout
    /// after a response, or if a request was not answered in time. Then `served` is dropped, which closes the connection.
    pub(super) async fn limit<F: Future>(self, served: F) -> Option<F::Output> {
        let Self { limits, last_activity } = self;
        let interval = limits.keepalive / CHECKS_PER_TIMEOUT;
        let (mut served, mut timer) = (pin!(served), pin!(sleep(interval)));
        let mut registered: Option<Waker> = None;
        poll_fn(move |context| {
            // First, so that a request that has just arrived counts.
            if let Poll::Ready(output) = served.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            // These two comparisons cost less than to poll the timer, which fires rarely.
            let is_registered = registered.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
            if is_registered && !timer.is_elapsed() {
                return Poll::Pending;
            }
            registered = Some(context.waker().clone());
            while timer.as_mut().poll(context).is_ready() {
                match last_activity.get() {
                    LastActivity::Received { checks } if interval * checks < limits.request => {
                        last_activity.set(LastActivity::Received { checks: checks + 1 });
                    }
                    LastActivity::Sent { checks } if checks < CHECKS_PER_TIMEOUT => {
                        last_activity.set(LastActivity::Sent { checks: checks + 1 });
                    }
                    LastActivity::Received { .. } | LastActivity::Sent { .. } => return Poll::Ready(None),
                }
                timer.as_mut().reset(Instant::now() + interval);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(8);
    const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

    /// Answers each byte with one byte, after `delay`.
    async fn echo(mut stream: TrackedStream<DuplexStream>, delay: Duration) {
        while let Ok(byte) = stream.read_u8().await {
            sleep(delay).await;
            if stream.write_u8(byte).await.is_err() {
                return;
            }
        }
    }

    /// Returns the client's side of a connection that is served by [`echo`].
    fn connect(delay: Duration) -> (DuplexStream, impl Future<Output = bool>) {
        let (client, server) = duplex(64);
        let (stream, idle_timeout) =
            track(server, IdleLimits { keepalive: TIMEOUT, request: REQUEST_TIMEOUT });
        (client, async move { idle_timeout.limit(echo(stream, delay)).await.is_none() })
    }

    async fn exchange(client: &mut DuplexStream) -> io::Result<u8> {
        client.write_u8(b'x').await?;
        client.read_u8().await
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_closed_between_timeout_and_an_eighth_later() {
        let (mut client, served) = connect(Duration::ZERO);
        let requests = async {
            for _ in 0..3 {
                assert_eq!(exchange(&mut client).await.unwrap(), b'x');
                sleep(TIMEOUT - Duration::from_millis(1)).await;
            }
            assert_eq!(
                exchange(&mut client).await.unwrap(),
                b'x',
                "the timeout starts again with each response"
            );
            Instant::now()
        };
        let closed = async { (served.await, Instant::now()) };
        let (answered_at, (was_idle, closed_at)) = tokio::join!(requests, closed);
        assert!(was_idle);
        let idle = closed_at - answered_at;
        assert!(idle >= TIMEOUT && idle <= TIMEOUT + TIMEOUT / CHECKS_PER_TIMEOUT, "{idle:?}");
        assert!(exchange(&mut client).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_waits_for_its_response_is_not_idle() {
        let (mut client, served) = connect(TIMEOUT * 10);
        let request = async { exchange(&mut client).await.unwrap() };
        tokio::select! {
            _ = served => panic!("the connection was closed"),
            byte = request => assert_eq!(byte, b'x'),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_a_response_is_closed_after_the_request_timeout() {
        let (mut client, served) = connect(REQUEST_TIMEOUT * 2);
        client.write_u8(b'x').await.unwrap();
        let start = Instant::now();
        assert!(served.await);
        let waited = start.elapsed();
        assert!(waited >= REQUEST_TIMEOUT && waited <= REQUEST_TIMEOUT + TIMEOUT, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_the_client_closes_ends_at_once() {
        let (client, served) = connect(Duration::ZERO);
        drop(client);
        let start = Instant::now();
        assert!(!served.await, "not closed because it was idle");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
