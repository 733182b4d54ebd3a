//! When a node reads the register, and what it has read.

use super::timing::{Due, READ_MS, RETRY_MS, RETRY_MS_MAX, doubled};
use crate::time::Time;

/// One read at a time; at least one every few seconds; one more when somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Reads {
    under_way: bool,
    wanted: bool,
    not_before: Time,
    failures: u32,
    /// When the register answered last.
    answered: Option<Time>,
}

impl Reads {
    /// Somebody wants to know what the register has now.
    pub(super) fn want(&mut self) {
        self.wanted |= !self.under_way;
    }

    /// Whether to read now; if nobody wants to know anything, `poll_ms` after the last time.
    pub(super) fn next(&mut self, now: Time, poll_ms: u32, due: &mut Due) -> bool {
        if self.under_way {
            return false;
        }
        let next_poll = self.answered.map_or(Time::default(), |then| then.plus_ms(poll_ms));
        let at = if self.wanted { self.not_before } else { next_poll.max(self.not_before) };
        due.at(at);
        let starts = now >= at;
        if starts {
            self.under_way = true;
            self.wanted = false;
        }
        starts
    }

    pub(super) fn on_answer(&mut self, now: Time) {
        self.under_way = false;
        self.failures = 0;
        self.not_before = now.plus_ms(READ_MS);
        self.answered = Some(now);
    }

    pub(super) fn on_failure(&mut self, now: Time) {
        self.under_way = false;
        self.wanted = true;
        self.not_before = now.plus_ms(doubled(RETRY_MS, self.failures, RETRY_MS_MAX));
        self.failures += 1;
    }

    /// Whether the register has answered since then. Nothing is proposed to one that may be out of
    /// reach: a proposal of unknown outcome stops reads.
    pub(super) fn has_answered_since(&self, then: Time) -> bool {
        self.answered.is_some_and(|answered| answered >= then)
    }
}
