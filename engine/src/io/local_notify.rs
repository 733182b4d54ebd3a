//! A wake-up signal between the tasks of one core.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::runtime;

/// A signal that one task waits for and any task of the core sends. A signal sent before the wait
/// is not lost, and several count as one.
#[derive(Default)]
pub(super) struct LocalNotify {
    notified: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl LocalNotify {
    pub(super) fn notify(&self) {
        self.notified.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    pub(super) async fn notified(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Waits for a signal, and not longer than `timeout` if there is one.
    pub(super) async fn notified_within(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return self.notified().await };
        let mut sleep = pin!(runtime::sleep(timeout));
        poll_fn(|cx| match self.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => sleep.as_mut().poll(cx),
        })
        .await;
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.notified.take() {
            return Poll::Ready(());
        }
        self.waiting.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}
