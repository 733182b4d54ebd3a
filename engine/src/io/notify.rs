//! A wake-up call between two tasks of one core.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::runtime;

/// One task waits, any may notify; calls before the wait are not lost and several count as one.
#[derive(Default)]
pub(super) struct Notify {
    notified: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Notify {
    pub(super) fn notify(&self) {
        self.notified.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    pub(super) async fn notified(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Waits for a call, or until `time` has passed; without a time, for a call.
    pub(super) async fn notified_within(&self, time: Option<Duration>) {
        let Some(time) = time else { return self.notified().await };
        let mut sleep = pin!(runtime::sleep(time));
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
