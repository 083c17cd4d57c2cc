//! A future that is polled only after it was woken.
//!
//! A task polls all of its futures whenever one of them was woken. The notification of a shutdown comes once in the life
//! of a connection, and is otherwise polled with each request.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that polls `future` the first time, after `future` was woken, and when another task polls it.
pub(super) struct PollWhenWoken<F> {
    future: Pin<Box<F>>,
    wakeup: Arc<Wakeup>,
    /// The waker of the task, also in `wakeup`; `None` before the first poll.
    task: Option<Waker>,
}

/// The waker that `future` gets.
struct Wakeup {
    is_woken: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

impl<F> PollWhenWoken<F> {
    /// Creates the future.
    pub(super) fn new(future: F) -> Self {
        let wakeup = Wakeup { is_woken: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) };
        Self { future: Box::pin(future), wakeup: Arc::new(wakeup), task: None }
    }
}

impl<F: Future> Future for PollWhenWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let is_same_task = self.task.as_ref().is_some_and(|task| task.will_wake(context.waker()));
        // A wakeup from here on calls the waker of this task, so that it is polled again.
        if is_same_task && !self.wakeup.is_woken.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        if !is_same_task {
            *self.wakeup.task.lock().unwrap_or_else(PoisonError::into_inner) = context.waker().clone();
            self.task = Some(context.waker().clone());
        }
        self.wakeup.is_woken.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.wakeup));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn future_is_polled_once_until_it_is_woken() {
        let (sender, receiver) = oneshot::channel();
        let polls = Cell::new(0);
        let mut receiver = pin!(receiver);
        let counted = poll_fn(|context| {
            polls.set(polls.get() + 1);
            receiver.as_mut().poll(context)
        });
        let mut future = pin!(PollWhenWoken::new(counted));
        poll_fn(|context| {
            for _ in 0..3 {
                assert!(future.as_mut().poll(context).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(polls.get(), 1);
        sender.send(7).unwrap();
        assert_eq!(future.await.unwrap(), 7);
        assert_eq!(polls.get(), 2);
    }

    #[tokio::test]
    async fn wakeup_in_another_thread_wakes_the_task() {
        let (sender, receiver) = oneshot::channel();
        let future = PollWhenWoken::new(receiver);
        let waiting = tokio::spawn(future);
        tokio::task::yield_now().await;
        std::thread::spawn(move || sender.send(7).unwrap()).join().unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn another_task_can_poll_the_future_after_the_first() {
        let (sender, receiver) = oneshot::channel();
        let mut future = Box::pin(PollWhenWoken::new(receiver));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let waiting = tokio::spawn(future);
        tokio::task::yield_now().await;
        sender.send(7).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
    }
}
