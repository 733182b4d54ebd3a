//! The holds of sessions, for the models of lists, semaphores and locks.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Creates holds and tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct HoldsModel {
    now_ms: u64,
    /// The position of the current update in the shard's order.
    pub(super) version: u64,
    taken: u64,
    /// All tokens so far, the newest one last.
    tokens: Vec<String>,
}

/// A hold of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct HoldModel {
    /// The order among holds that end at the same time.
    nth: u64,
    session: u64,
    ends_ms: Option<u64>,
}

impl HoldsModel {
    pub(super) fn clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Creates a hold with the time in the words: `… hold 50`.
    pub(super) fn take(&mut self, session: u64, words: &[&str]) -> HoldModel {
        self.taken += 1;
        HoldModel { nth: self.taken, session, ends_ms: self.end(words) }
    }

    /// Returns the deadline for the time in the words.
    pub(super) fn end(&self, words: &[&str]) -> Option<u64> {
        let [.., "hold", hold_ms] = *words else { return None };
        let hold_ms: u64 = hold_ms.parse().expect("a time");
        (hold_ms != 0).then_some(self.now_ms + hold_ms)
    }

    /// Returns the token of the `nth` grant of this update.
    pub(super) fn token(&mut self, nth: usize) -> String {
        let version = self.version;
        let token = if nth == 0 { format!("t{version}") } else { format!("t{version}.{nth}") };
        self.tokens.push(token.clone());
        token
    }

    /// Replaces `TOKEN0` to `TOKEN3` by the newest tokens.
    pub(super) fn fill(&self, words: &str) -> String {
        let mut words = words.to_owned();
        for back in 0..4 {
            let token = self.tokens.iter().rev().nth(back).map_or("t1", String::as_str);
            words = words.replace(&format!("TOKEN{back}"), token);
        }
        words
    }
}

impl HoldModel {
    pub(super) fn is_of(&self, session: u64) -> bool {
        self.session == session
    }

    pub(super) fn nth(&self) -> u64 {
        self.nth
    }

    pub(super) fn extend(&mut self, ends_ms: Option<u64>) {
        self.ends_ms = ends_ms;
    }

    pub(super) fn ends_ms(&self) -> Option<u64> {
        self.ends_ms
    }

    /// Returns the order in which holds end.
    pub(super) fn order(&self) -> (u64, u64) {
        (self.ends_ms.unwrap_or(u64::MAX), self.nth)
    }
}

/// Generates `hold 50`, or `hold 0`, which lasts until the session ends.
pub(super) fn terms() -> impl Strategy<Value = String> + Clone {
    prop_oneof![1 => Just(0_u64), 3 => 1..120_u64].prop_map(|ms| format!("hold {ms}"))
}

/// Generates a token of a grant, or one that was never granted.
pub(super) fn token() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(&["TOKEN0", "TOKEN0", "TOKEN1", "TOKEN2", "TOKEN3", "t1"][..])
        .prop_map(str::to_owned)
}
