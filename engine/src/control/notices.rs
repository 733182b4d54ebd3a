//! What the cores say, and what it means for the whole node.

use std::sync::Arc;

use super::node::{Life, Node};
use crate::io::Notice;
use catena_core::chain::member::Member;
use catena_core::chain::record::{NodeId, Record};
use catena_protocol::ShardId;

impl Node {
    pub(super) fn on_notice(&mut self, core: u16, notice: Notice) -> Result<(), String> {
        match notice {
            Notice::Ready { view } => {
                let view = self.desk.voices.on_ready(core, view);
                self.tell(|member, now, out| member.on_cores_ready(now, view, out))
            }
            Notice::Link { peer, up } => {
                let up = self.desk.voices.on_link(core, peer, up);
                self.tell(|member, now, out| member.on_link(now, peer, up, out))
            }
            Notice::Behind(peer) => {
                tracing::warn!(
                    node = %peer,
                    "{} lacks updates that are not kept any more: it has to join anew",
                    self.name(peer),
                );
                self.tell(|member, now, out| member.on_behind(now, peer, out))
            }
            Notice::Diverged { peer, shard } => self.on_diverged(peer, shard),
            Notice::Stalled { peer, behind } => {
                self.tell(|member, now, out| member.on_stall(now, peer, behind, out))
            }
            Notice::Near { epoch, learner } if self.desk.voices.on_near(core, epoch, learner) => {
                self.tell(|member, now, out| member.on_nearly_synced(now, learner, epoch, out))
            }
            Notice::Synced { epoch, learner, view }
                if self.desk.voices.on_synced(core, epoch, learner, view) =>
            {
                self.tell(|member, now, out| member.on_synced(now, learner, epoch, out))
            }
            Notice::AtRest { epoch } if self.desk.voices.on_at_rest(core, epoch) => {
                self.tell(|member, now, out| member.on_quiesced(now, epoch, out))
            }
            // The others have not said it yet.
            Notice::Near { .. } | Notice::Synced { .. } | Notice::AtRest { .. } => Ok(()),
            Notice::SyncLost { epoch } => {
                self.tell(|member, now, out| member.on_sync_lost(now, epoch, out))
            }
        }
    }

    /// A peer's log of a shard contradicts ours. Who is right nobody can tell any more, so the one that clients
    /// have their answers from stays: the one nearer the head.
    fn on_diverged(&mut self, peer: NodeId, shard: ShardId) -> Result<(), String> {
        tracing::error!(
            node = %self.me,
            peer = %peer,
            "the logs of {} and {} contradict each other: a defect of the engine or of a machine. The \
             one behind goes, and joins anew with the state of the other",
            self.info.name,
            self.name(peer),
        );
        let Life::Begun(member) = &self.life else { return Ok(()) };
        let epoch = member.epoch();
        let is_behind_us = |record: &Arc<Record>| {
            let place = |node| record.position(shard, node).map(|position| position.index);
            place(self.me).zip(place(peer)).is_some_and(|(ours, theirs)| ours < theirs)
        };
        if !member.is_member() {
            // What it is taught is of no use.
            self.tell(|member, now, out| member.on_sync_lost(now, epoch, out))
        } else if member.record().is_some_and(is_behind_us) {
            self.tell(|member, now, out| member.on_behind(now, peer, out))
        } else {
            self.tell(Member::on_leave)
        }
    }
}
