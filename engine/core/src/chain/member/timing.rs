//! Intervals, timeouts and limits that the record does not set.

use crate::time::Time;

/// How often members ask each other for leases, and learners show that they are there.
pub const HEARTBEAT_MS: u32 = 200;

/// The same at the beginning of an epoch, while a member lacks the leases to read in it.
pub const EARLY_HEARTBEAT_MS: u32 = 20;

/// How long the beginning of an epoch lasts at most.
pub const EARLY_MS: u32 = 500;

/// How often a member reads the register when nothing happens.
pub const POLL_MS: u32 = 5_000;

/// How often a node that is not a member reads the register, because no member has to inform it.
pub const POLL_OUTSIDE_MS: u32 = 1_000;

/// The shortest time between two reads of the register.
pub const READ_MS: u32 = 50;

/// How much later each further node proposes to remove a member.
pub const RANK_MS: u32 = 200;

/// How long a reported stall counts. A lasting stall is reported once a second.
pub const STALL_MS: u32 = 1_500;

/// Cores that have not confirmed a view for so long are stuck, and the node falls silent.
pub const STUCK_MS: u32 = 2_000;

/// A node that has not checked its clock for so long was not running, so it does not blame others
/// for their silence.
pub const PAUSE_MS: u32 = 500;

/// The shortest time between two removals by the same node, unless there are too few members.
pub const REMOVAL_MS: u32 = 2_000;

/// How long the tail does not append a learner after an attempt failed.
pub const LEARNER_RETRY_MS: u32 = 10_000;

/// A learner takes all members for lost after they were silent for so long.
pub const TOTAL_LOSS_MS: u32 = 30_000;

/// How often it reports that while it lasts.
pub const LOSS_REPORT_MS: u32 = 60_000;

/// How long a learner that lost its tail waits before it joins again.
pub const RESYNC_MS: u32 = 1_000;

/// How long a removed node waits before it joins again, because its place is free; doubled with
/// every removal in a row.
pub const REJOIN_MS: u32 = 1_000;

/// The longest such wait.
pub const REJOIN_MS_MAX: u32 = 5_000;

/// How long a node waits that an operator removed, who may have something in mind for it.
pub const REJOIN_OPERATOR_MS: u32 = 30_000;

/// A node that was removed more than this often because it was slow waits longer: with it, updates
/// stop for seconds each time.
pub const SLOW_REMOVALS_MAX: u32 = 3;

/// How long it waits then; doubled with every further removal.
pub const REJOIN_SLOW_MS: u32 = 30_000;

/// The longest such wait.
pub const REJOIN_SLOW_MS_MAX: u32 = 3_600_000;

/// A member that is removed so soon counts as slow, too: the others hardly heard from it.
pub const REJOIN_BRIEF_MS: u32 = 5_000;

/// The removals of a node that was a member for so long are forgotten.
pub const REJOIN_FORGIVEN_MS: u32 = 600_000;

/// How long to wait before a failed access to the register is retried; doubled with every failure.
pub const RETRY_MS: u32 = 200;

/// The longest such wait.
pub const RETRY_MS_MAX: u32 = 5_000;

/// How long an epoch with all members lasts before the heads of its chains are spread.
pub const SPREAD_MS: u32 = 1_000;

/// The same for an epoch that lacks members, and in which no node wants to join.
pub const SPREAD_UNDERFULL_MS: u32 = 10_000;

/// How long to wait before a failed reordering is attempted again; doubled with every failure.
pub const REORDER_RETRY_MS: u32 = 1_000;

/// The longest such wait.
pub const REORDER_RETRY_MS_MAX: u32 = 60_000;

/// The chains are reordered only if a write to the register has just taken no longer than this,
/// because updates wait for the next one.
pub const PROBE_MS_MAX: u32 = 400;

/// How long the result of such a write counts.
pub const PROBED_MS: u32 = 500;

/// After so much silence a tail gives up on a learner, and a learner on its tail.
pub const LEARNER_SILENT_MS: u32 = 3_000;

/// How many learners a tail remembers not to sync again in its epoch. Beyond that, it keeps waiting
/// for the one it has.
pub const ABANDONED_LEARNERS_MAX: usize = 256;

/// How many views may be unconfirmed by the cores. Further changes are combined into the next one.
pub const VIEWS_MAX: u64 = 4;

/// Returns `least` doubled `times` times, at most `most`.
pub(super) fn backoff_ms(least: u32, times: u32, most: u32) -> u32 {
    least.checked_shl(times.min(20)).unwrap_or(most).min(most)
}

/// The earliest of several times in the future.
#[derive(Debug)]
pub(super) struct Due {
    now: Time,
    next: Option<Time>,
}

impl Due {
    pub(super) fn new(now: Time) -> Due {
        Due { now, next: None }
    }

    /// Adds a time. One that is not in the future is ignored: what is due now is done now.
    pub(super) fn at(&mut self, time: Time) {
        if time > self.now {
            self.next = Some(self.next.map_or(time, |next| next.min(time)));
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }
}

const _: () = assert!(HEARTBEAT_MS < PAUSE_MS);
const _: () = assert!(STALL_MS < STUCK_MS);
const _: () = assert!(REJOIN_BRIEF_MS < REJOIN_FORGIVEN_MS);
