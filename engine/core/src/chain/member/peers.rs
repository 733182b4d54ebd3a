//! Failure detection: when other members were heard from, and which are suspected.
//!
//! A suspicion is a hint: a wrong one costs a member, never an update.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::timing::{Due, RANK_MS, STALL_MS};
use crate::chain::record::{NodeId, Record};
use crate::time::Time;

/// Why a member may have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// Nothing was received from it.
    Silent,
    /// It cannot be connected to.
    LinkDown,
    /// It is heard from, but updates do not get past it.
    Stalled,
    /// It lacks entries that no node keeps any more.
    Behind,
    /// It asked to be removed.
    Leaving,
    /// An operator asked for its removal.
    Operator,
}

impl Suspicion {
    /// Returns the reason as it is written to the record.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Suspicion::Silent => "silent",
            Suspicion::LinkDown => "its link is down",
            Suspicion::Stalled => "stalled",
            Suspicion::Behind => "too far behind",
            Suspicion::Leaving => "leaving",
            Suspicion::Operator => "an operator asked for it",
        }
    }
}

impl core::fmt::Display for Suspicion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason())
    }
}

/// The other members.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<NodeId, PeerHealth>,
}

#[derive(Clone, Debug)]
struct PeerHealth {
    heard: Time,
    link_down: bool,
    /// When a stall was reported last, and how many members are behind the peer there.
    stalled: Option<(Time, u32)>,
    behind: bool,
    leaving: bool,
    removal_requested: bool,
    suspected: Option<Suspect>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub(super) node: NodeId,
    pub(super) why: Suspicion,
    pub(super) since: Time,
}

impl Peers {
    /// Enters an epoch; members that were there before keep their state.
    pub(super) fn on_epoch(&mut self, now: Time, me: NodeId, record: &Record) {
        self.peers.retain(|node, _| record.is_member(*node));
        for node in record.members().filter(|node| *node != me) {
            let peer = self.peers.entry(node).or_insert(PeerHealth {
                heard: now,
                link_down: false,
                stalled: None,
                behind: false,
                leaving: false,
                removal_requested: false,
                suspected: None,
            });
            // The members behind the stall may have been removed.
            peer.stalled = None;
        }
    }

    pub(super) fn on_heard(&mut self, now: Time, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.heard = now;
            peer.link_down = false;
        }
    }

    /// Sets when a learner was heard from before it became a member.
    pub(super) fn set_heard(&mut self, then: Time, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.heard = then;
        }
    }

    /// Excuses silence up to now, because this node was not running or not listening.
    pub(super) fn excuse_silence(&mut self, now: Time) {
        for peer in self.peers.values_mut() {
            peer.heard = now;
        }
    }

    pub(super) fn on_link(&mut self, node: NodeId, up: bool) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.link_down = !up;
        }
    }

    pub(super) fn on_stall(&mut self, now: Time, node: NodeId, behind: u32) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.stalled = Some((now, behind));
        }
    }

    pub(super) fn on_behind(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.behind = true;
        }
    }

    pub(super) fn on_leaving(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.leaving = true;
        }
    }

    /// Returns whether it is another member.
    pub(super) fn request_removal(&mut self, node: NodeId) -> bool {
        self.peers.get_mut(&node).map(|peer| peer.removal_requested = true).is_some()
    }

    /// Decides which members are suspected; returns those that were not before.
    pub(super) fn update_suspicions(
        &mut self,
        now: Time,
        record: &Record,
        due: &mut Due,
    ) -> Vec<Suspect> {
        let mut new = Vec::new();
        for (node, peer) in &mut self.peers {
            let silent_at = peer.heard.plus_ms(record.settings.suspect_ms);
            due.at(silent_at);
            let stalled_until =
                peer.stalled.map_or(Time::default(), |(then, _)| then.plus_ms(STALL_MS));
            due.at(stalled_until);
            let reasons = [
                (peer.removal_requested, Suspicion::Operator),
                (peer.leaving, Suspicion::Leaving),
                (peer.behind, Suspicion::Behind),
                (peer.link_down, Suspicion::LinkDown),
                (now >= silent_at, Suspicion::Silent),
                (now < stalled_until, Suspicion::Stalled),
            ];
            let why = reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why);
            let before = peer.suspected;
            let since = before.map_or(now, |suspect| suspect.since);
            peer.suspected = why.map(|why| Suspect { node: *node, why, since });
            if before.is_none() {
                new.extend(peer.suspected);
            }
        }
        new
    }

    /// Returns when a member was heard from last.
    pub(super) fn heard(&self, node: NodeId) -> Option<Time> {
        Some(self.peers.get(&node)?.heard)
    }

    /// Returns why a member is suspected.
    pub(super) fn suspicion(&self, node: NodeId) -> Option<Suspicion> {
        self.peers.get(&node)?.suspected.map(|suspect| suspect.why)
    }

    pub(super) fn has_suspect(&self) -> bool {
        self.peers.values().any(|peer| peer.suspected.is_some())
    }

    /// Returns which member to remove first, and when. The neighbour of a suspect proposes first,
    /// and the others later, so that their proposals do not compete.
    pub(super) fn next_removal(&self, me: NodeId, record: &Record) -> Option<(Time, Suspect)> {
        let suspects = self.peers.values().filter_map(|peer| peer.suspected);
        let is_isolated = self.peers.len() > 1 && suspects.clone().count() == self.peers.len();
        let when = |suspect: Suspect| {
            let Suspect { node, why, since } = suspect;
            let wait_ms = match why {
                Suspicion::Operator | Suspicion::Behind => 0,
                // A node that hears from no other one has more likely failed itself.
                _ if is_isolated => rank(me, node, record) * RANK_MS + record.settings.suspect_ms,
                // Every member before the stuck one sees a stall; the last of them is right.
                Suspicion::Stalled => {
                    let stalled = self.peers.get(&node).and_then(|peer| peer.stalled);
                    let behind = stalled.map_or(0, |(_, behind)| behind);
                    rank(me, node, record) * RANK_MS + behind * record.settings.suspect_ms
                }
                Suspicion::Silent | Suspicion::LinkDown | Suspicion::Leaving => {
                    rank(me, node, record) * RANK_MS
                }
            };
            (since.plus_ms(wait_ms), suspect)
        };
        suspects.map(when).min_by_key(|(time, suspect)| (*time, suspect.node))
    }
}

/// Returns how many nodes should propose the removal of `suspect` before `me`: first its
/// predecessor, or its successor if it is the head; then the others in the order of the first
/// chain.
fn rank(me: NodeId, suspect: NodeId, record: &Record) -> u32 {
    let chain = record.chains.first().map_or(&[][..], Vec::as_slice);
    let place = chain.iter().position(|node| *node == suspect).unwrap_or_default();
    let first = chain.get(place.checked_sub(1).unwrap_or(place + 1)).copied();
    let others = chain.iter().copied().filter(|node| *node != suspect && Some(*node) != first);
    let rank = first.into_iter().chain(others).position(|node| node == me).unwrap_or_default();
    u32::try_from(rank).expect("a chain is short")
}
