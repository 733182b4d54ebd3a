//! The oracle: on which entries replies depend and which were committed, over all nodes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::node::SimProcess;
use super::outcome::{FailureKind, Invariant};
use crate::chain::record::{NodeId, Record};
use crate::chain::replica::Replica;
use crate::time::Time;

/// How far a shard's time may be ahead of what has passed, in microseconds.
const TIME_SLACK_US: u64 = 300_000;

/// The oracle of every shard.
#[derive(Debug)]
pub(super) struct Oracle {
    shards: Vec<ShardOracle>,
}

#[derive(Debug, Default)]
struct ShardOracle {
    /// The hash of the log at every index that any member took for committed.
    committed: BTreeMap<u64, u64>,
    /// The last entry on which a reply to a client depended.
    replied: u64,
    /// The shard's time when the first entry was made, and the simulated time.
    began: Option<(u64, u64)>,
    /// The newest epoch in which a head had no entry: it need not know of older heads' entries.
    empty_in: u32,
}

impl Oracle {
    pub(super) fn new(shards: u32) -> Oracle {
        Oracle { shards: (0..shards).map(|_| ShardOracle::default()).collect() }
    }

    /// Notes a reply that depends on all entries up to `index`.
    pub(super) fn on_reply(&mut self, shard: usize, index: u64) {
        let replied = &mut self.shards[shard].replied;
        *replied = index.max(*replied);
    }

    /// Checks a node after its turn.
    pub(super) fn check_node(
        &mut self,
        sim_now: u64,
        process: &mut SimProcess,
    ) -> Result<(), FailureKind> {
        let node = process.member.id();
        let violated = |shard: usize, what: String| {
            let detail = format!("{node}: shard {shard}: {what}");
            Err(FailureKind::violated(Invariant::CommitsAreFinal, detail))
        };
        for (shard, replica) in process.replicas.iter().enumerate() {
            let day = process.day.at(sim_now);
            self.shards[shard].check_time(sim_now, day, replica).map_err(|what| {
                let detail = format!("{node}: shard {shard}: {what}");
                FailureKind::violated(Invariant::TimeElapses, detail)
            })?;
            let (committed, before) = (replica.committed(), process.committed[shard]);
            if committed < before && replica.assignment().member {
                return violated(
                    shard,
                    format!("committed went back from {before} to {committed}"),
                );
            }
            if committed > replica.applied() {
                return violated(shard, "more is committed than applied".into());
            }
            process.committed[shard] = committed;
            if committed == before || !replica.assignment().member {
                continue;
            }
            let Some(hash) = replica.hash_at(committed) else { continue };
            let known = *self.shards[shard].committed.entry(committed).or_insert(hash);
            if known != hash {
                let what = format!("two logs are committed at {committed}: {known:x} and {hash:x}");
                return violated(shard, what);
            }
        }
        Ok(())
    }

    /// Checks the members of the newest record.
    pub(super) fn check_members(
        &self,
        record: &Record,
        processes: &BTreeMap<NodeId, SimProcess>,
    ) -> Result<(), FailureKind> {
        for (shard, (oracle, chain)) in self.shards.iter().zip(&record.chains).enumerate() {
            let mut predecessor: Option<&SimProcess> = None;
            for node in chain {
                let Some(process) = processes.get(node) else { continue };
                let lacks = |what: String| {
                    let detail = format!("shard {shard}: {node} is a member and has {what}");
                    Err(FailureKind::violated(Invariant::RepliesAreDurable, detail))
                };
                let replica = &process.replicas[shard];
                let (replied, applied) = (oracle.replied, replica.applied());
                if applied < replied {
                    return lacks(format!("{applied} entries, a reply depends on {replied}"));
                }
                let (ours, known) = (replica.hash_at(replied), oracle.committed.get(&replied));
                if let (Some(ours), Some(known)) = (ours, known)
                    && ours != *known
                {
                    return lacks(format!("another entry at {replied}"));
                }
                if let Some(predecessor) = predecessor {
                    check_nesting(shard, predecessor, process)?;
                }
                predecessor = Some(process);
            }
        }
        Ok(())
    }
}

impl ShardOracle {
    /// Checks that the shard's time has not advanced by more than the time that has passed.
    fn check_time(&mut self, sim_now: u64, day: Time, replica: &Replica) -> Result<(), String> {
        let assignment = replica.assignment();
        let is_head = assignment.member && assignment.predecessor.is_none();
        let shard_now = replica.shard().now().0;
        let is_newest = assignment.epoch >= self.empty_in;
        if is_head && is_newest && replica.applied() == 0 {
            // What the head before said was lost with it.
            (self.began, self.empty_in) = (None, assignment.epoch);
        } else if is_head
            && is_newest
            && self.began.is_none()
            && replica.time_at(day).0 == shard_now
        {
            // Only in the turn in which the head takes the time.
            self.began = Some((shard_now, sim_now));
        }
        let Some((began, began_at)) = self.began.filter(|_| replica.committed() > 0) else {
            return Ok(());
        };
        let (advanced, passed) = (shard_now.saturating_sub(began), sim_now - began_at);
        // Clocks may run too fast.
        if advanced > passed + passed / 50 + TIME_SLACK_US {
            return Err(format!("its time advanced by {advanced} us in {passed} us"));
        }
        Ok(())
    }
}

fn check_nesting(
    shard: usize,
    predecessor: &SimProcess,
    successor: &SimProcess,
) -> Result<(), FailureKind> {
    let (upper, lower) = (&predecessor.replicas[shard], &successor.replicas[shard]);
    let (a, b) = (predecessor.member.id(), successor.member.id());
    let (upper_len, lower_len) = (upper.applied(), lower.applied());
    let violated = |what: String| {
        let detail = format!("shard {shard}: {what}");
        Err(FailureKind::violated(Invariant::LogsNest, detail))
    };
    if lower_len > upper_len {
        return violated(format!("{b} has {lower_len} entries, its predecessor {a} {upper_len}"));
    }
    match upper.hash_at(lower_len) {
        Some(hash) if hash != lower.hash() => {
            violated(format!("the logs of {a} and {b} differ at {lower_len}"))
        }
        _ => Ok(()),
    }
}
