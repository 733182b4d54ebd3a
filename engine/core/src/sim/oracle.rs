//! The oracle: on which entries replies depend and which were committed, over all nodes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::node::SimProcess;
use super::outcome::{FailureKind, Invariant};
use crate::chain::record::{NodeId, Record};

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
    pub(super) fn check_node(&mut self, process: &mut SimProcess) -> Result<(), FailureKind> {
        let node = process.member.id();
        let violated = |shard: usize, what: String| {
            let detail = format!("{node}: shard {shard}: {what}");
            Err(FailureKind::violated(Invariant::CommitsAreFinal, detail))
        };
        for (shard, replica) in process.replicas.iter().enumerate() {
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
