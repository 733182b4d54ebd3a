//! Reports of the cores, and what they mean for the whole node.

use std::sync::Arc;

use catena_core::chain::member::Member;
use catena_core::chain::record::{NodeId, Record};
use catena_protocol::ShardId;

use super::{ControlNode, Membership};
use crate::error::NodeError;
use crate::io::Notice;

impl ControlNode {
    pub(super) fn on_core_notice(&mut self, core: u16, notice: Notice) -> Result<(), NodeError> {
        match notice {
            Notice::Ready { view } => {
                let view = self.cores.reports.on_ready(core, view);
                self.tell(|member, now, out| member.on_cores_ready(now, view, out))
            }
            Notice::Link { peer, up } => {
                let up = self.cores.reports.on_link(core, peer, up);
                self.tell(|member, now, out| member.on_link(now, peer, up, out))
            }
            Notice::Behind(peer) => {
                tracing::warn!(
                    node = %peer,
                    "{} lacks updates that are not in any log any more: it has to rejoin",
                    self.name(peer),
                );
                self.tell(|member, now, out| member.on_behind(now, peer, out))
            }
            Notice::Diverged { peer, shard } => {
                self.on_diverged(peer, shard, "the logs of these nodes contradict each other")
            }
            Notice::Differs { peer, shard } => self.on_diverged(
                peer,
                shard,
                "these nodes came to different replies to the same updates",
            ),
            Notice::Stalled { peer, behind } => {
                self.tell(|member, now, out| member.on_stall(now, peer, behind, out))
            }
            Notice::Near { epoch, learner } if self.cores.reports.on_near(core, epoch, learner) => {
                self.tell(|member, now, out| member.on_nearly_synced(now, learner, epoch, out))
            }
            Notice::Synced { epoch, learner, view }
                if self.cores.reports.on_synced(core, epoch, learner, view) =>
            {
                self.tell(|member, now, out| member.on_synced(now, learner, epoch, out))
            }
            Notice::AtRest { epoch } if self.cores.reports.on_at_rest(core, epoch) => {
                self.tell(|member, now, out| member.on_quiesced(now, epoch, out))
            }
            // Other cores have not reported it yet.
            Notice::Near { .. } | Notice::Synced { .. } | Notice::AtRest { .. } => Ok(()),
            Notice::SyncLost { epoch } => {
                self.tell(|member, now, out| member.on_sync_lost(now, epoch, out))
            }
        }
    }

    /// Handles that a peer's log or state of a shard contradicts this node's. Which is right cannot be
    /// decided any more, so the member nearer the head stays, because clients have its replies.
    fn on_diverged(&mut self, peer: NodeId, shard: ShardId, what: &str) -> Result<(), NodeError> {
        tracing::error!(
            node = %self.me,
            peer = %peer,
            shard = shard.0,
            "{} and {}: {what}, which is a defect of the engine or of a machine: the one further \
             from the head leaves and copies the state of the other",
            self.info.name,
            self.name(peer),
        );
        let Membership::Begun(member) = &self.membership else { return Ok(()) };
        let epoch = member.epoch();
        let is_behind_us = |record: &Arc<Record>| {
            let index = |node| record.position(shard, node).map(|position| position.index);
            index(self.me).zip(index(peer)).is_some_and(|(ours, theirs)| ours < theirs)
        };
        if !member.is_member() {
            // The state that it copies is of no use.
            self.tell(|member, now, out| member.on_sync_lost(now, epoch, out))
        } else if member.record().is_some_and(is_behind_us) {
            self.tell(|member, now, out| member.on_behind(now, peer, out))
        } else {
            self.tell(Member::on_leave)
        }
    }
}
