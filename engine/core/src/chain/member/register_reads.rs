//! When a node reads the register, and whether the register replies.

use super::timing::{Due, READ_MS, RETRY_MS, RETRY_MS_MAX, backoff_ms};
use crate::time::Time;

/// One read at a time: one every few seconds, and one more whenever a newer record is expected.
#[derive(Debug, Default)]
pub(super) struct RegisterReads {
    under_way: bool,
    wanted: bool,
    not_before: Time,
    failures: u32,
    /// When the register replied last.
    answered: Option<Time>,
}

impl RegisterReads {
    /// Requests a read that begins from now on.
    pub(super) fn want(&mut self) {
        self.wanted |= !self.under_way;
    }

    /// Returns whether to read now: soon if a read was requested, otherwise `poll_ms` after the
    /// last one.
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
        self.not_before = now.plus_ms(backoff_ms(RETRY_MS, self.failures, RETRY_MS_MAX));
        self.failures += 1;
    }

    /// Returns whether the register has replied since then. Nothing is proposed to a register that
    /// may be unreachable, because a proposal of unknown outcome stops reads.
    pub(super) fn has_answered_since(&self, then: Time) -> bool {
        self.answered.is_some_and(|answered| answered >= then)
    }
}
