//! A session: the memory with which a shard recognises one client's retries, seen from the client.
//!
//! 1. Numbers are drawn in order, each for one request; a request keeps its number in all retries.
//! 2. A number counts as acknowledged once every reply up to it has arrived or been given up. The
//!    engine may then forget these replies.
//! 3. A number is drawn only while it is less than a window above the lowest open one.
//! 4. A session is opened in front of its first update, and again on every new connection until the
//!    engine has confirmed that it is open. After that it is never opened again, so that the client
//!    notices if the engine has lost it.

use catena_protocol::Fault;
use catena_protocol::limits::SESSION_WINDOW_MAX;
use catena_protocol::op::SessionOp;

use crate::random;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    nonce: u64,
    pub(crate) born_us: u64,
    ttl_ms: u32,
    /// The next number to draw.
    next: u64,
    /// The lowest number without a reply; `next` if all have one.
    lowest: u64,
    /// Which numbers from `lowest` on have a reply, number `n` in bit `n % 256`.
    answered: [u64; WORDS],
    pub(crate) state: SessionState,
    /// A request was sent twice or given up, so that a copy of it may still be in flight.
    pub(crate) has_copies: bool,
}

/// Whether the engine has the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionState {
    /// No Open is in flight.
    Unopened,
    /// An Open is in flight on this connection.
    Opening { serial: u64 },
    /// The engine did not open it.
    Refused(Fault),
    /// The engine has confirmed that it is open.
    Open,
}

const WORDS: usize = SESSION_WINDOW_MAX as usize / 64;

const _: () = assert!(SESSION_WINDOW_MAX.is_power_of_two() && SESSION_WINDOW_MAX >= 64);

impl Session {
    /// A session with a new id, born at `born_us` by the engine's clock.
    pub(crate) fn new(born_us: u64, ttl_ms: u32) -> Session {
        Session {
            id: random::id(),
            nonce: random::bits(),
            born_us,
            ttl_ms,
            next: 1,
            lowest: 1,
            answered: [0; WORDS],
            state: SessionState::Unopened,
            has_copies: false,
        }
    }

    /// The op that opens it.
    pub(crate) fn open_op(&self) -> SessionOp {
        SessionOp::Open { born_us: self.born_us, nonce: self.nonce, ttl_ms: self.ttl_ms }
    }

    /// Whether the engine has confirmed that it is open.
    pub(crate) fn is_open(&self) -> bool {
        self.state == SessionState::Open
    }

    /// Whether an Open has to precede an update on the connection `serial`.
    pub(crate) fn must_open_on(&self, serial: u64) -> bool {
        !self.is_open() && self.state != SessionState::Opening { serial }
    }

    /// Records that an Open is about to be sent on the connection `serial`.
    pub(crate) fn on_open_sent(&mut self, serial: u64) {
        self.state = SessionState::Opening { serial };
    }

    /// Records the engine's reply to an Open.
    pub(crate) fn on_opened(&mut self, refusal: Option<Fault>) {
        self.state = match (self.state, refusal) {
            (SessionState::Open, _) | (_, None) => SessionState::Open,
            (_, Some(fault)) => SessionState::Refused(fault),
        };
    }

    /// Draws a number for a new request; `None` while the window is full.
    pub(crate) fn draw(&mut self, window: u16) -> Option<u64> {
        if self.next - self.lowest >= u64::from(window.min(SESSION_WINDOW_MAX)) {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    /// How far `number` is above the highest acknowledged one.
    pub(crate) fn acked_gap(&self, number: u64) -> u16 {
        assert!(number >= self.lowest, "an answered request is not sent again");
        u16::try_from(number - self.lowest + 1).expect("numbers are drawn inside the window")
    }

    /// Records the reply to `number`.
    pub(crate) fn on_answer(&mut self, number: u64) {
        assert!((self.lowest..self.next).contains(&number), "the number was drawn and is open");
        self.set(number, true);
        while self.lowest < self.next && self.is_set(self.lowest) {
            self.set(self.lowest, false);
            self.lowest += 1;
        }
    }

    /// Gives up all missing replies: their requests will not be retried.
    pub(crate) fn give_up(&mut self) {
        if self.lowest < self.next {
            self.lowest = self.next;
            self.answered = [0; WORDS];
        }
    }

    fn is_set(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.answered[word] & bit != 0
    }

    fn set(&mut self, number: u64, to: bool) {
        let (word, bit) = place(number);
        match to {
            true => self.answered[word] |= bit,
            false => self.answered[word] &= !bit,
        }
    }
}

fn place(number: u64) -> (usize, u64) {
    let slot = number % u64::from(SESSION_WINDOW_MAX);
    (usize::try_from(slot / 64).expect("below the number of words"), 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_after_the_other_acknowledges_all_before() {
        let mut session = Session::new(0, 0);
        for expected in 1..1000 {
            let number = session.draw(256).unwrap();
            assert_eq!(number, expected);
            assert_eq!(session.acked_gap(number), 1);
            session.on_answer(number);
        }
    }

    #[test]
    fn the_window_holds_until_the_lowest_is_answered() {
        let mut session = Session::new(0, 0);
        for _ in 0..256 {
            session.draw(256).unwrap();
        }
        assert_eq!(session.draw(256), None);
        assert_eq!(session.acked_gap(256), 256);
        for number in (2..=256).rev() {
            session.on_answer(number);
            assert_eq!(session.draw(256), None, "1 is still open");
        }
        session.on_answer(1);
        for _ in 0..256 {
            session.draw(256).unwrap();
        }
        assert_eq!(session.draw(256), None);
        session.give_up();
        assert_eq!(session.draw(256), Some(513));
        assert_eq!(session.acked_gap(513), 1);
    }

    #[test]
    fn a_smaller_window_is_kept() {
        let mut session = Session::new(0, 0);
        assert_eq!(session.draw(1), Some(1));
        assert_eq!(session.draw(1), None);
    }
}
