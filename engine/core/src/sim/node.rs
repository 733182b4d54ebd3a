//! One life of a node: its membership, its replicas, its clock, and what it says.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use catena_protocol::{Header, ShardId};

use super::simulation::Event;
use crate::chain::member::{Action, Member};
use crate::chain::record::NodeId;
use crate::chain::replica::{Exits, Replica, Report};
use crate::shard::{ConnId, Outbox, Output, Time};

/// A node's own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) offset_us: u64,
    /// How many millionths it is fast.
    pub(super) fast_ppm: i64,
}

impl Clock {
    /// What it shows when the world's time is `now`.
    pub(super) fn at(self, now: u64) -> Time {
        let off = i128::from(now) * i128::from(self.fast_ppm) / 1_000_000;
        Time(u64::try_from(i128::from(self.offset_us) + i128::from(now) + off).expect("a time"))
    }

    /// When it shows this, or a little later.
    pub(super) fn when(self, shown: Time) -> u64 {
        let passed = i128::from(shown.0) - i128::from(self.offset_us);
        let rate = 1_000_000 + i128::from(self.fast_ppm);
        u64::try_from((passed * 1_000_000 / rate + 2).max(0)).expect("a time")
    }
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) slot: usize,
    pub(super) member: Member,
    pub(super) replicas: Vec<Replica>,
    pub(super) clock: Clock,
    /// What it takes for the time of day.
    pub(super) day: Clock,
    /// What arrives while it stands still.
    pub(super) inbox: Option<VecDeque<Event>>,
    pub(super) wake_at: Option<u64>,
    /// How many shards have not taken a view yet, and when the last one gets there.
    pub(super) views: BTreeMap<u64, usize>,
    pub(super) view_arrival: u64,
    /// Whom each shard teaches, in which epoch.
    pub(super) taught: Vec<Option<(u32, NodeId)>>,
    /// How far each shard's successor was, and since when.
    pub(super) progress: Vec<(u64, u64)>,
    pub(super) committed: Vec<u64>,
}

/// What came out of a turn of a node.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) actions: Vec<Action>,
    pub(super) replies: Vec<(ConnId, ShardId, Vec<u8>)>,
    pub(super) frames: BTreeMap<NodeId, Vec<u8>>,
    /// Nodes to which there should be a link.
    pub(super) wanted: BTreeSet<NodeId>,
    pub(super) reports: Vec<(ShardId, Report)>,
}

impl Turn {
    pub(super) fn with_links(peers: Vec<NodeId>) -> Turn {
        let frames = peers.into_iter().map(|peer| (peer, Vec::new())).collect();
        Turn { frames, ..Turn::default() }
    }
}

impl Outbox for Turn {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        let mut bytes = Vec::new();
        output.write(to, &mut bytes);
        self.replies.push((conn, to.shard, bytes));
    }
}

impl Exits for Turn {
    type Bytes<'a> = &'a mut Vec<u8>;

    fn encoded(&mut self, conn: ConnId, replies: &[u8]) {
        let mut rest = replies;
        while !rest.is_empty() {
            // Length and shard are told by the frame.
            let len = u32::from_le_bytes([rest[12], rest[13], rest[14], rest[15]]) as usize;
            let shard = ShardId(u16::from_le_bytes([rest[24], rest[25]]));
            self.replies.push((conn, shard, rest[..len].to_vec()));
            rest = &rest[len..];
        }
    }

    fn peer(&mut self, node: NodeId) -> Option<&mut Vec<u8>> {
        let frames = self.frames.get_mut(&node);
        if frames.is_none() {
            self.wanted.insert(node);
        }
        frames
    }

    fn report(&mut self, shard: ShardId, report: Report) {
        self.reports.push((shard, report));
    }
}
