//! What no single node can know: what was promised to clients, and who has to keep it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::node::Life;
use crate::chain::record::{NodeId, Record};

/// What is known of every shard.
#[derive(Debug)]
pub(super) struct Truth {
    shards: Vec<ShardTruth>,
}

#[derive(Debug, Default)]
struct ShardTruth {
    /// The hash of the log at every place that anybody took for committed.
    committed: BTreeMap<u64, u64>,
    /// Up to where clients were told something.
    told: u64,
}

impl Truth {
    pub(super) fn new(shards: u32) -> Truth {
        Truth { shards: (0..shards).map(|_| ShardTruth::default()).collect() }
    }

    /// A client is told something that depends on all entries up to `index`.
    pub(super) fn tell(&mut self, shard: usize, index: u64) {
        let told = &mut self.shards[shard].told;
        *told = index.max(*told);
    }

    /// Checks a node after it did something.
    pub(super) fn check_node(&mut self, life: &mut Life) -> Result<(), String> {
        for (shard, replica) in life.replicas.iter().enumerate() {
            let (committed, before) = (replica.committed(), life.committed[shard]);
            if committed < before && replica.post().member {
                return Err(format!(
                    "3: shard {shard}: committed went back from {before} to {committed}"
                ));
            }
            if committed > replica.applied() {
                return Err(format!("3: shard {shard}: more is committed than applied"));
            }
            life.committed[shard] = committed;
            if committed == before || !replica.post().member {
                continue;
            }
            let Some(hash) = replica.hash_at(committed) else { continue };
            let known = self.shards[shard].committed.entry(committed).or_insert(hash);
            if *known != hash {
                return Err(format!(
                    "3: shard {shard}: two logs are committed at {committed}: {known:x} and {hash:x}"
                ));
            }
        }
        Ok(())
    }

    /// Checks the members of the newest record.
    pub(super) fn check_members(
        &self,
        record: &Record,
        lives: &BTreeMap<NodeId, Life>,
    ) -> Result<(), String> {
        for (shard, (truth, chain)) in self.shards.iter().zip(&record.chains).enumerate() {
            let mut before: Option<&Life> = None;
            for node in chain {
                let Some(life) = lives.get(node) else { continue };
                let replica = &life.replicas[shard];
                let told = truth.told;
                if replica.applied() < told {
                    return Err(format!(
                        "1: shard {shard}: {node} is a member and has {} entries, clients were told of {told}",
                        replica.applied()
                    ));
                }
                let (ours, known) = (replica.hash_at(told), truth.committed.get(&told));
                if let (Some(ours), Some(known)) = (ours, known)
                    && ours != *known
                {
                    return Err(format!("1: shard {shard}: {node} has another entry at {told}"));
                }
                if let Some(before) = before {
                    nests(shard, before, life)?;
                }
                before = Some(life);
            }
        }
        Ok(())
    }
}

fn nests(shard: usize, before: &Life, behind: &Life) -> Result<(), String> {
    let (upper, lower) = (&before.replicas[shard], &behind.replicas[shard]);
    let (a, b) = (before.member.id(), behind.member.id());
    if lower.applied() > upper.applied() {
        return Err(format!(
            "2: shard {shard}: {b} has {} entries, {a} before it {}",
            lower.applied(),
            upper.applied()
        ));
    }
    match upper.hash_at(lower.applied()) {
        Some(hash) if hash != lower.hash() => {
            Err(format!("2: shard {shard}: the logs of {a} and {b} differ at {}", lower.applied()))
        }
        _ => Ok(()),
    }
}
