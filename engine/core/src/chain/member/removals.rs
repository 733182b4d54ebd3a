//! How long a removed node waits before it joins again.
//!
//! Its removal left a place free, and with it the cluster keeps one copy less, so it waits for
//! seconds only. A node that was removed again and again because it was slow waits longer.

use super::peers::Suspicion;
use super::timing::{
    REJOIN_BRIEF_MS, REJOIN_FORGIVEN_MS, REJOIN_MS, REJOIN_MS_MAX, REJOIN_OPERATOR_MS,
    REJOIN_SLOW_MS, REJOIN_SLOW_MS_MAX, SLOW_REMOVALS_MAX, backoff_ms,
};

/// How often the incarnations of a process were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// In a row.
    pub count: u32,
    /// How many of these were removed because they were slow.
    pub slow: u32,
}

impl Removals {
    /// Returns how long to wait after a further removal for this reason, in milliseconds, and the
    /// removals with it. `member_ms` says how long the node was a member.
    pub(super) fn after(self, reason: Option<&str>, member_ms: Option<u64>) -> (u32, Removals) {
        let was_member_for = |ms: u32| member_ms.is_some_and(|time| time >= u64::from(ms));
        let before = if was_member_for(REJOIN_FORGIVEN_MS) { Removals::default() } else { self };
        let is_for = |suspicion: Suspicion| reason == Some(suspicion.reason());
        if is_for(Suspicion::Operator) {
            return (REJOIN_OPERATOR_MS, before);
        }
        let is_brief = member_ms.is_some() && !was_member_for(REJOIN_BRIEF_MS);
        let is_slow = is_for(Suspicion::Stalled) || is_brief;
        let after = Removals {
            count: before.count.saturating_add(1),
            slow: before.slow.saturating_add(u32::from(is_slow)),
        };
        let wait_ms = match after.slow.checked_sub(SLOW_REMOVALS_MAX + 1) {
            Some(times) if is_slow => backoff_ms(REJOIN_SLOW_MS, times, REJOIN_SLOW_MS_MAX),
            _ => backoff_ms(REJOIN_MS, before.count, REJOIN_MS_MAX),
        };
        (wait_ms, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const MINUTE_MS: u64 = 60_000;

    /// Returns the waits in milliseconds after removals in a row for the same reason.
    fn waits(reason: Option<Suspicion>, member_ms: Option<u64>, times: usize) -> Vec<u32> {
        let mut removals = Removals::default();
        let mut wait = |_| {
            let reason = reason.map(Suspicion::reason);
            let (wait_ms, after) = removals.after(reason, member_ms);
            removals = after;
            wait_ms
        };
        (0..times).map(&mut wait).collect()
    }

    #[test]
    fn a_free_place_is_taken_within_seconds() {
        let reasons = [Some(Suspicion::Silent), Some(Suspicion::LinkDown), None];
        for reason in reasons {
            let waits = waits(reason, Some(MINUTE_MS), 6);
            assert_eq!(waits, [1_000, 2_000, 4_000, 5_000, 5_000, 5_000], "{reason:?}");
        }
        assert_eq!(waits(None, Some(11 * MINUTE_MS), 3), [1_000; 3], "they were forgotten");
    }

    #[test]
    fn a_node_that_is_slow_again_and_again_waits_longer() {
        let expected = [1_000, 2_000, 4_000, 30_000, 60_000, 120_000];
        assert_eq!(waits(Some(Suspicion::Stalled), Some(MINUTE_MS), 6), expected);
        assert_eq!(waits(Some(Suspicion::Silent), Some(1_500), 6), expected, "hardly a member");
        assert_eq!(waits(Some(Suspicion::Stalled), None, 20).last(), Some(&3_600_000));
    }

    #[test]
    fn an_operators_removal_lasts_for_half_a_minute() {
        assert_eq!(waits(Some(Suspicion::Operator), Some(1_500), 5), [30_000; 5]);
    }
}
