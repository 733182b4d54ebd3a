//! Adaptive spin: for a short time after the last bytes came, a core polls for more instead of
//! sleeping.
//!
//! The runtime sleeps when no task can run. Two tasks that wake each other keep it awake and,
//! unlike a task that wakes itself, leave every other task its turn (see `runtime`).
//!
//! While only one connection is active, its task also polls its own socket, once per round of the
//! core's tasks: for one operation at a time the ring takes longer than a system call of its own.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::local_notify::LocalNotify;
use super::runtime;
use catena_core::shard::ConnId;

/// Keeps a core awake for `window` after each [`Spin::on_bytes`].
pub(super) struct Spin {
    window: Duration,
    awake_until: Cell<Instant>,
    ping: LocalNotify,
    pong: LocalNotify,
    /// The connection that the last bytes came from.
    last: Cell<Option<ConnId>>,
    /// Whether the bytes before came from the same one.
    repeated: Cell<bool>,
    /// Tasks that wait for the next round. At most one of them goes on to wait for another.
    waiting: RefCell<Vec<Waker>>,
}

impl Spin {
    /// Starts the two tasks, unless the window is empty.
    pub(super) fn start(window: Duration) -> Rc<Spin> {
        let (ping, pong) = (LocalNotify::default(), LocalNotify::default());
        let spin = Rc::new(Spin {
            window,
            awake_until: Cell::new(Instant::now()),
            ping,
            pong,
            last: Cell::default(),
            repeated: Cell::default(),
            waiting: RefCell::default(),
        });
        if !window.is_zero() {
            runtime::spawn(pass(spin.clone(), |spin| (&spin.ping, &spin.pong)));
            runtime::spawn(pass(spin.clone(), |spin| (&spin.pong, &spin.ping)));
        }
        spin
    }

    /// Stays awake, because bytes came from a connection.
    pub(super) fn on_bytes(&self, conn: ConnId) {
        if self.window.is_zero() {
            return;
        }
        self.repeated.set(self.last.replace(Some(conn)) == Some(conn));
        let now = Instant::now();
        let was_asleep = self.awake_until.replace(now + self.window) <= now;
        if was_asleep {
            self.ping.notify();
        }
    }

    /// Returns whether the core is awake and this connection is the only active one.
    pub(super) fn is_only_active(&self, conn: ConnId) -> bool {
        self.repeated.get() && self.last.get() == Some(conn) && self.is_awake()
    }

    /// Waits until every other task of an awake core has had its turn.
    pub(super) async fn next_round(&self) {
        let mut waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn is_awake(&self) -> bool {
        Instant::now() < self.awake_until.get()
    }
}

/// Waits for the other task's signal and returns it while the core is to stay awake.
async fn pass(spin: Rc<Spin>, signals: fn(&Spin) -> (&LocalNotify, &LocalNotify)) {
    let (mine, theirs) = signals(&spin);
    loop {
        mine.notified().await;
        if spin.is_awake() {
            theirs.notify();
        }
        // Also when the core is about to sleep, so that the waiting tasks see it and stop.
        spin.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}
