//! Compares the clocks of other members with this node's.
//!
//! Every message says what its sender's clock showed. A message that takes long makes the sender's clock
//! look late, never early, so of several seconds the message that took least counts.

use std::collections::BTreeMap;

use catena_core::chain::record::NodeId;
use catena_core::time::Time;

/// The clocks of other members.
#[derive(Debug, Default)]
pub(super) struct PeerClocks(BTreeMap<NodeId, PeerClock>);

/// What is known of one clock.
#[derive(Debug)]
struct PeerClock {
    /// When this period began.
    since: Time,
    /// How far it was ahead in this period at most, in microseconds; negative if it was behind.
    ahead_us: i64,
    /// How far it was off in the last period, if it was.
    off_us: Option<i64>,
}

/// A clock that is off, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockChange {
    /// It is ahead by so many microseconds, or behind if that is negative.
    Off(i64),
    /// It agrees again with this node's.
    Agrees,
}

/// How long a clock is compared before it is reported, in milliseconds.
const PERIOD_MS: u32 = 10_000;

/// How far apart clocks may be, in microseconds.
const APART_US_MAX: u64 = 2_000_000;

impl PeerClocks {
    /// Compares the time of day in a message with this node's, `ours`. `now` is by the node's own clock.
    pub(super) fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        theirs: Time,
        ours: Time,
    ) -> Option<ClockChange> {
        let ahead = i128::from(theirs.0) - i128::from(ours.0);
        // A peer may say anything.
        let ahead_us = i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX });
        let new = PeerClock { since: now, ahead_us, off_us: None };
        let clock = self.0.entry(from).or_insert(new);
        clock.ahead_us = clock.ahead_us.max(ahead_us);
        if now < clock.since.plus_ms(PERIOD_MS) {
            return None;
        }
        let before = clock.off_us;
        let off_us = Some(clock.ahead_us).filter(|best_us| best_us.unsigned_abs() > APART_US_MAX);
        *clock = PeerClock { since: now, ahead_us, off_us };
        match (before, off_us) {
            (None, Some(off_us)) => Some(ClockChange::Off(off_us)),
            (Some(_), None) => Some(ClockChange::Agrees),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }

    /// Returns how far a clock is ahead, in microseconds; 0 if it agrees or is not known.
    pub(super) fn ahead_us(&self, node: NodeId) -> i64 {
        self.0.get(&node).and_then(|clock| clock.off_us).unwrap_or_default()
    }

    /// Forgets nodes that are no members.
    pub(super) fn retain(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.0.retain(|node, _| is_member(*node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const DAY: u64 = 1_000_000_000_000;
    const MS: i64 = 1_000;

    /// Returns what is reported of a clock that is so far ahead, in milliseconds, by messages that take
    /// so long: one for each delay, 250 ms apart.
    fn reports(ahead_ms: &[i64], delays_ms: &[i64]) -> Vec<ClockChange> {
        let mut clocks = PeerClocks::default();
        let mut all = Vec::new();
        let mut now = 0;
        for ahead_ms in ahead_ms {
            for delay_ms in delays_ms.iter().cycle().take(44) {
                now += 250 * MS.unsigned_abs();
                let ours = Time(DAY + now);
                let theirs = Time(ours.0.saturating_add_signed((ahead_ms - delay_ms) * MS));
                all.extend(clocks.on_message(Time(now), A, theirs, ours));
            }
        }
        all
    }

    #[test]
    fn a_clock_that_is_off_is_reported_once() {
        assert_eq!(reports(&[3_000; 5], &[0, 40]), [ClockChange::Off(3_000 * MS)]);
        assert_eq!(reports(&[-3_000; 5], &[40, 0]), [ClockChange::Off(-3_000 * MS)]);
        assert_eq!(reports(&[1_900, -1_900, 0], &[0]), []);
        let off_and_back = [ClockChange::Off(5_000 * MS), ClockChange::Agrees];
        assert_eq!(reports(&[5_000, 5_000, 0, 0, 0], &[0]), off_and_back);
    }

    #[test]
    fn late_messages_say_nothing_about_a_clock() {
        assert_eq!(reports(&[0; 5], &[30_000, 5_000, 100, 9_000]), []);
    }

    #[test]
    fn absurd_times_are_no_fault_of_this_node() {
        let mut clocks = PeerClocks::default();
        let ours = Time(DAY);
        assert_eq!(clocks.on_message(Time(0), A, Time(u64::MAX), ours), None);
        let later = Time(20_000_000);
        let off = clocks.on_message(later, A, Time(1), ours);
        assert_eq!(off, Some(ClockChange::Off(i64::MAX)));
        assert_eq!(clocks.ahead_us(A), i64::MAX);
        clocks.retain(|_| false);
        assert_eq!(clocks.ahead_us(A), 0);
    }
}
