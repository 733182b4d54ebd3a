//! Adaptive spin: for a moment after the last bytes came, the core looks for more instead of
//! sleeping.
//!
//! The runtime sleeps when no task can run. Two tasks that wake each other keep it awake, and unlike a
//! task that wakes itself they leave every other task its turn (compare `runtime`).
//!
//! While one connection talks and no other does, its task looks for more by itself, once in every round
//! of the core's tasks: for one operation at a time the ring takes longer than a system call of its own.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::notify::Notify;
use super::runtime;
use catena_core::shard::ConnId;

/// Keeps a core awake for `window` after each [`Spin::touch`].
pub(super) struct Spin {
    window: Duration,
    until: Cell<Instant>,
    ping: Notify,
    pong: Notify,
    /// Who talked last, and whether it was the one before, too.
    last: Cell<Option<ConnId>>,
    again: Cell<bool>,
    /// Whoever looks once a round. At most one is going to go on.
    looking: RefCell<Vec<Waker>>,
}

impl Spin {
    /// Starts the two tasks, unless the window is empty.
    pub(super) fn start(window: Duration) -> Rc<Spin> {
        let (ping, pong) = (Notify::default(), Notify::default());
        let spin = Rc::new(Spin {
            window,
            until: Cell::new(Instant::now()),
            ping,
            pong,
            last: Cell::default(),
            again: Cell::default(),
            looking: RefCell::default(),
        });
        if !window.is_zero() {
            runtime::spawn(pass(spin.clone(), |spin| (&spin.ping, &spin.pong)));
            runtime::spawn(pass(spin.clone(), |spin| (&spin.pong, &spin.ping)));
        }
        spin
    }

    /// Something came from a connection; stay awake.
    pub(super) fn touch(&self, conn: ConnId) {
        if self.window.is_zero() {
            return;
        }
        self.again.set(self.last.replace(Some(conn)) == Some(conn));
        let now = Instant::now();
        let asleep = self.until.replace(now + self.window) <= now;
        if asleep {
            self.ping.notify();
        }
    }

    /// Whether the core is awake and nobody but this connection talks to it.
    pub(super) fn is_alone(&self, conn: ConnId) -> bool {
        self.again.get() && self.last.get() == Some(conn) && self.is_awake()
    }

    /// Lets every other task of an awake core have its turn.
    pub(super) async fn round(&self) {
        let mut waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.looking.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn is_awake(&self) -> bool {
        Instant::now() < self.until.get()
    }
}

/// Waits for the ball and throws it back while the core is to stay awake.
async fn pass(spin: Rc<Spin>, hands: fn(&Spin) -> (&Notify, &Notify)) {
    let (mine, theirs) = hands(&spin);
    loop {
        mine.notified().await;
        if spin.is_awake() {
            theirs.notify();
        }
        // The last time, too: they stop by themselves.
        spin.looking.borrow_mut().drain(..).for_each(Waker::wake);
    }
}
