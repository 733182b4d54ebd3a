//! Adaptive spin: for a moment after the last bytes came, the core looks for more instead of
//! sleeping.
//!
//! monoio sleeps when no task can run. Two tasks that wake each other keep it awake, and unlike a
//! task that wakes itself they leave every other task its turn (monoio 0.2.4 puts a self-woken task
//! in front of the queue, where it starves the rest).

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::notify::Notify;

/// Keeps a core awake for `window` after each [`Spin::touch`].
pub(super) struct Spin {
    window: Duration,
    until: Cell<Instant>,
    ping: Notify,
    pong: Notify,
}

impl Spin {
    /// Starts the two tasks, unless the window is empty.
    pub(super) fn start(window: Duration) -> Rc<Spin> {
        let (ping, pong) = (Notify::default(), Notify::default());
        let spin = Rc::new(Spin { window, until: Cell::new(Instant::now()), ping, pong });
        if !window.is_zero() {
            monoio::spawn(pass(spin.clone(), |spin| (&spin.ping, &spin.pong)));
            monoio::spawn(pass(spin.clone(), |spin| (&spin.pong, &spin.ping)));
        }
        spin
    }

    /// Something came; stay awake.
    pub(super) fn touch(&self) {
        if self.window.is_zero() {
            return;
        }
        let now = Instant::now();
        let asleep = self.until.replace(now + self.window) <= now;
        if asleep {
            self.ping.notify();
        }
    }
}

/// Waits for the ball and throws it back while the core is to stay awake.
async fn pass(spin: Rc<Spin>, hands: fn(&Spin) -> (&Notify, &Notify)) {
    let (mine, theirs) = hands(&spin);
    loop {
        mine.notified().await;
        if Instant::now() < spin.until.get() {
            theirs.notify();
        }
    }
}
