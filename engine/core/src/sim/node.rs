//! One process: its membership, its replicas, its clocks, and what a turn puts out.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use catena_protocol::{Header, ShardId};

use super::event::SimEvent;
use crate::chain::member::{Action, Member};
use crate::chain::outbox::{ReplicaOutbox, ReplicaReport};
use crate::chain::record::NodeId;
use crate::chain::replica::Replica;
use crate::shard::{ConnId, Outbox, Output};
use crate::time::Time;

/// A clock of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimClock {
    pub(super) offset_us: u64,
    /// By how many millionths its rate is too high.
    pub(super) rate_ppm: i64,
}

impl SimClock {
    /// Returns what it shows at the simulated time `now`.
    pub(super) fn at(self, now: u64) -> Time {
        let off = i128::from(now) * i128::from(self.rate_ppm) / 1_000_000;
        Time(u64::try_from(i128::from(self.offset_us) + i128::from(now) + off).expect("a time"))
    }

    /// Returns when it shows a time, or slightly later.
    pub(super) fn when(self, shown: Time) -> u64 {
        let passed = i128::from(shown.0) - i128::from(self.offset_us);
        let rate = 1_000_000 + i128::from(self.rate_ppm);
        u64::try_from((passed * 1_000_000 / rate + 2).max(0)).expect("a time")
    }
}

/// A running process.
#[derive(Debug)]
pub(super) struct SimProcess {
    pub(super) slot: usize,
    pub(super) member: Member,
    pub(super) replicas: Vec<Replica>,
    pub(super) clock: SimClock,
    /// The clock that gives its time of day.
    pub(super) day: SimClock,
    /// What arrives while it is paused.
    pub(super) inbox: Option<VecDeque<SimEvent>>,
    pub(super) wake_at: Option<u64>,
    /// For each view, how many shards have not taken it yet; and when the last one gets there.
    pub(super) views: BTreeMap<u64, usize>,
    pub(super) view_arrival: u64,
    /// The learner to which each shard transfers its state, and in which epoch.
    pub(super) transfers: Vec<Option<(u32, NodeId)>>,
    /// For each shard, what was committed when its progress was checked last, and since when.
    pub(super) progress: Vec<(u64, u64)>,
    /// Likewise, for shards whose updates wait for a learner.
    pub(super) learner_progress: Vec<(u64, u64)>,
    pub(super) committed: Vec<u64>,
}

/// What a node puts out in one turn.
#[derive(Debug, Default)]
pub(super) struct TurnOutput {
    pub(super) actions: Vec<Action>,
    pub(super) replies: Vec<(ConnId, ShardId, Vec<u8>)>,
    /// The unsent bytes of each link.
    pub(super) frames: BTreeMap<NodeId, Vec<u8>>,
    /// Shards that may have frames for other nodes. As in a node, only these are asked.
    pub(super) touched: BTreeSet<usize>,
    /// Nodes to which a link is missing.
    pub(super) wanted: BTreeSet<NodeId>,
    pub(super) reports: Vec<(ShardId, ReplicaReport)>,
}

impl TurnOutput {
    pub(super) fn with_links(frames: BTreeMap<NodeId, Vec<u8>>) -> TurnOutput {
        TurnOutput { frames, ..TurnOutput::default() }
    }
}

impl Outbox for TurnOutput {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        let mut bytes = Vec::new();
        output.write(to, &mut bytes);
        self.replies.push((conn, to.shard, bytes));
    }
}

impl ReplicaOutbox for TurnOutput {
    type PeerBuffer<'a> = &'a mut Vec<u8>;

    fn send_encoded(&mut self, conn: ConnId, replies: &[u8]) {
        let mut rest = replies;
        while !rest.is_empty() {
            // The length and the shard are in the frame's header.
            let len = u32::from_le_bytes([rest[12], rest[13], rest[14], rest[15]]) as usize;
            let shard = ShardId(u16::from_le_bytes([rest[24], rest[25]]));
            self.replies.push((conn, shard, rest[..len].to_vec()));
            rest = &rest[len..];
        }
    }

    fn peer_buffer(&mut self, node: NodeId) -> Option<&mut Vec<u8>> {
        let frames = self.frames.get_mut(&node);
        if frames.is_none() {
            self.wanted.insert(node);
        }
        frames
    }

    fn report(&mut self, shard: ShardId, report: ReplicaReport) {
        self.reports.push((shard, report));
    }
}
