//! The profile of a run: the size of the cluster, the workload, and which faults occur how often.
//!
//! Each seed has only some of the faults, as in swarm testing (Groce et al., ISSTA 2012): if
//! everything fails at once, the states in which only one thing fails are never reached.

use super::random::SimRandom;
use crate::chain::record::Heads;
use crate::chain::replica::TransferLimits;

/// The profile of a run. Rates are per thousand messages or requests. Intervals are mean times
/// between events in microseconds, 0 for never.
#[derive(Clone, Debug)]
pub(super) struct RunProfile {
    /// The numbers of processes, shards and clients, and the members that the cluster wants.
    pub(super) slots: usize,
    pub(super) shards: u32,
    pub(super) clients: usize,
    pub(super) rf: u32,
    /// How long faults occur, in microseconds.
    pub(super) faults_us: u64,
    /// The mean delay of a message.
    pub(super) delay_us: u64,
    /// Messages between members that are lost, duplicated, or very late.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) late: u64,
    /// Intervals between crashes, pauses and cuts.
    pub(super) crash_us: u64,
    pub(super) pause_us: u64,
    pub(super) cut_us: u64,
    /// How many of a thousand cuts also break the links.
    pub(super) cut_hard: u64,
    /// The interval between an operator's requests to remove a member, and how many of a thousand
    /// of these members are cut off before.
    pub(super) remove_us: u64,
    pub(super) removed_cut: u64,
    /// The interval between planned departures.
    pub(super) depart_us: u64,
    /// Intervals between replacements of clients in the middle of a call, breaks of a link, and
    /// breaks of a client's connection.
    pub(super) client_death_us: u64,
    pub(super) link_reset_us: u64,
    pub(super) disconnect_us: u64,
    /// Requests to the register that get no reply, arrive late, or are sent twice; and the interval
    /// between outages.
    pub(super) reply_lost: u64,
    pub(super) landed_late: u64,
    pub(super) repeated: u64,
    pub(super) outage_us: u64,
    /// The interval between times when the register takes long to write.
    pub(super) slow_writes_us: u64,
    /// The largest error of a clock's rate, in millionths.
    pub(super) drift_ppm: u64,
    /// By how much the times of day of two nodes may differ, in microseconds.
    pub(super) days_apart_us: u64,
    /// Views that take long to get to the cores.
    pub(super) slow_cores: u64,
    /// The mean time between two calls of a client.
    pub(super) think_us: u64,
    /// The number of objects of each kind in a shard.
    pub(super) objects: u64,
    /// How many of a thousand calls are reads, and how many of a thousand reads go to any member
    /// instead of the head.
    pub(super) reads: u64,
    pub(super) reads_anywhere: u64,
    /// Where the heads are placed.
    pub(super) heads: Heads,
    /// How many bytes a link takes in a microsecond, 0 for any number.
    pub(super) link_bytes: u64,
    /// How much of a shard's state is sent to a learner at once.
    pub(super) transfer: TransferLimits,
}

impl RunProfile {
    pub(super) fn new(random: &mut SimRandom) -> RunProfile {
        let mut some = |one_in: u64, low: u64, high: u64| {
            let amount = random.between(low, high);
            if random.below(one_in) == 0 { amount } else { 0 }
        };
        let slots = usize::try_from(some(1, 2, 4)).expect("few");
        let mut profile = RunProfile {
            slots,
            shards: 1 << some(2, 1, 2).min(1),
            clients: usize::try_from(some(1, 2, 4)).expect("few"),
            rf: u32::try_from(some(1, 2, 3)).expect("few"),
            faults_us: some(1, 3_000_000, 9_000_000),
            delay_us: some(1, 50, 2_000) * some(8, 1, 10).max(1),
            lost: some(3, 5, 300),
            duplicated: some(4, 5, 200),
            late: some(4, 2, 100),
            crash_us: some(2, 800_000, 6_000_000),
            pause_us: some(3, 300_000, 4_000_000),
            cut_us: some(2, 300_000, 4_000_000),
            cut_hard: some(2, 200, 1_000),
            remove_us: some(3, 800_000, 5_000_000),
            removed_cut: some(1, 0, 1_000),
            client_death_us: some(3, 20_000, 500_000),
            link_reset_us: some(3, 50_000, 2_000_000),
            disconnect_us: some(3, 50_000, 1_000_000),
            reply_lost: some(3, 20, 500),
            landed_late: some(3, 20, 500),
            repeated: some(4, 20, 500),
            outage_us: some(5, 1_000_000, 6_000_000),
            drift_ppm: some(2, 1, 10_000),
            days_apart_us: some(3, 1_000_000, 400_000_000) + 2_000_000,
            slow_cores: some(4, 5, 200),
            think_us: some(1, 1_000, 20_000) * some(2, 2, 6).max(1),
            objects: some(1, 1, 2),
            reads: some(1, 200, 800),
            reads_anywhere: some(2, 100, 1_000),
            heads: if some(3, 1, 1) == 1 { Heads::One } else { Heads::Spread },
            link_bytes: some(2, 1, 30),
            transfer: TransferLimits {
                piece_bytes: usize::try_from(some(1, 16, 512)).expect("small"),
                backlog_bytes: usize::try_from(some(1, 64, 1_024)).expect("small"),
                steps: 1,
                lag_bytes: usize::try_from(some(1, 0, 4_096)).expect("small"),
                entries_ahead: some(1, 0, 16),
            },
            depart_us: some(3, 800_000, 5_000_000),
            slow_writes_us: some(4, 1_000_000, 5_000_000),
        };
        // Some clusters are nearly idle, so that nothing happens by accident.
        if some(5, 1, 1) == 1 {
            profile.think_us *= 1_000;
        }
        profile
    }
}
