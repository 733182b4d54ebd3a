//! Which faults a seed has, and how often. Most seeds have a few of them: a world where everything
//! fails at once never gets to where only one thing does.

use super::random::Random;
use crate::chain::record::Heads;

/// Rates in events out of a thousand messages, or mean times between events in microseconds, 0 for
/// never.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    /// Processes, shards, clients, and how many members the cluster wants.
    pub(super) slots: usize,
    pub(super) shards: u32,
    pub(super) clients: usize,
    pub(super) rf: u32,
    /// How long there are faults, in microseconds.
    pub(super) storm_us: u64,
    /// Mean delay of a message.
    pub(super) delay_us: u64,
    /// Messages between members that are lost, doubled, or very late.
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) late: u64,
    /// Between two crashes, pauses, cuts and breaks of a link or a client's connection.
    pub(super) crash_us: u64,
    pub(super) pause_us: u64,
    pub(super) cut_us: u64,
    /// … that break the links as well, of a thousand.
    pub(super) cut_hard: u64,
    /// Between two whims of an operator who wants a member removed, and how often it is cut off first.
    pub(super) remove_us: u64,
    pub(super) removed_cut: u64,
    /// Between two deaths of clients in the middle of a call.
    pub(super) death_us: u64,
    pub(super) reset_us: u64,
    pub(super) hangup_us: u64,
    /// Requests to the register that get no answer, land late, are sent twice; and outages.
    pub(super) unanswered: u64,
    pub(super) landed_late: u64,
    pub(super) repeated: u64,
    pub(super) outage_us: u64,
    /// How far clocks' rates are off, in millionths.
    pub(super) drift_ppm: u64,
    /// Views that take long to get to the cores.
    pub(super) slow_cores: u64,
    /// Mean time between two calls of a client.
    pub(super) think_us: u64,
    /// Objects of each kind.
    pub(super) objects: u64,
    /// Reads, among all calls, and those that ask any member instead of the head.
    pub(super) reads: u64,
    pub(super) reads_anywhere: u64,
    /// Where the heads are to be.
    pub(super) heads: Heads,
}

impl Swarm {
    pub(super) fn new(random: &mut Random) -> Swarm {
        let mut some = |one_in: u64, low: u64, high: u64| {
            let amount = random.between(low, high);
            if random.below(one_in) == 0 { amount } else { 0 }
        };
        let slots = usize::try_from(some(1, 2, 4)).expect("few");
        Swarm {
            slots,
            shards: 1 << some(2, 1, 2).min(1),
            clients: usize::try_from(some(1, 2, 4)).expect("few"),
            rf: u32::try_from(some(1, 2, 3)).expect("few"),
            storm_us: some(1, 3_000_000, 9_000_000),
            delay_us: some(1, 50, 2_000) * some(8, 1, 10).max(1),
            lost: some(3, 5, 300),
            doubled: some(4, 5, 200),
            late: some(4, 2, 100),
            crash_us: some(2, 800_000, 6_000_000),
            pause_us: some(3, 300_000, 4_000_000),
            cut_us: some(2, 300_000, 4_000_000),
            cut_hard: some(2, 200, 1_000),
            remove_us: some(3, 800_000, 5_000_000),
            removed_cut: some(1, 0, 1_000),
            death_us: some(3, 20_000, 500_000),
            reset_us: some(3, 50_000, 2_000_000),
            hangup_us: some(3, 50_000, 1_000_000),
            unanswered: some(3, 20, 500),
            landed_late: some(3, 20, 500),
            repeated: some(4, 20, 500),
            outage_us: some(5, 1_000_000, 6_000_000),
            drift_ppm: some(2, 1, 10_000),
            slow_cores: some(4, 5, 200),
            think_us: some(1, 1_000, 20_000) * some(2, 2, 6).max(1),
            objects: some(1, 1, 2),
            reads: some(1, 200, 800),
            reads_anywhere: some(2, 100, 1_000),
            heads: if some(3, 1, 1) == 1 { Heads::One } else { Heads::Spread },
        }
    }
}
