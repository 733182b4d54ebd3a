//! Requests of operators, and the status of the node.

use std::time::Duration;

use catena_core::chain::member::{Action, Member, Suspicion};
use catena_core::chain::record::{ChangeKind, NodeId, NodeInfo, OnTotalLoss};
use catena_core::time::Time;
use catena_protocol::operator::{MemberStatus, NodeStatus, Reply, Request, ShardStatus};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::{ControlNode, Membership};
use crate::error::NodeError;
use crate::io::Command;

/// How long the cores may take to report the status of their shards.
const SHARDS_TIME_MAX: Duration = Duration::from_secs(1);

impl ControlNode {
    /// Replies to an operator, at once or when the cores have reported.
    pub(super) fn on_operator_request(
        &mut self,
        request: Request,
        reply: oneshot::Sender<Reply>,
    ) -> Result<(), NodeError> {
        let answer = match request {
            Request::Status => {
                self.reply_with_status(reply);
                return Ok(());
            }
            Request::Remove(node) => self.remove(NodeId(node))?,
            Request::Join => self.join()?,
        };
        // The operator may be gone.
        _ = reply.send(answer);
        Ok(())
    }

    fn remove(&mut self, node: NodeId) -> Result<Reply, NodeError> {
        let cluster = &self.cluster;
        let refused = |why: String| Ok(Reply::Refused(why));
        let Some(record) = self.record.clone().filter(|_| self.is_member()) else {
            return refused(format!(
                "this node is not a member of cluster {cluster:?} now and cannot remove another: \
                 ask a node that is"
            ));
        };
        if !record.is_member(node) {
            let members: Vec<String> =
                record.nodes.iter().map(|(node, info)| format!("{} ({node})", info.name)).collect();
            return refused(format!(
                "{node} is not a member of cluster {cluster:?}; the members are: {}",
                members.join(", ")
            ));
        }
        if record.nodes.len() == 1 {
            return refused(format!(
                "{} is the last member of cluster {cluster:?}, and no other node has its objects",
                self.name(node)
            ));
        }
        tracing::info!(%node, "an operator requested to remove {}", self.name(node));
        let mut is_accepted = false;
        self.tell(|member: &mut Member, now: Time, out: &mut Vec<Action>| {
            is_accepted = member.on_remove(now, node, out);
        })?;
        if is_accepted {
            Ok(Reply::Accepted)
        } else {
            refused(format!("{node} has just been removed"))
        }
    }

    fn join(&mut self) -> Result<Reply, NodeError> {
        let cluster = &self.cluster;
        if let Some(since) = self.members_lost_since() {
            let silent_s = self.clock.now().0.saturating_sub(since.0) / 1_000_000;
            let then = match self.record.as_ref().map(|record| record.settings.on_total_loss) {
                Some(OnTotalLoss::Empty) => {
                    "this node takes over with no objects as soon as it reaches the register"
                }
                Some(OnTotalLoss::Halt) | None => {
                    "unless one comes back, create another cluster (--cluster-name)"
                }
            };
            return Ok(Reply::Refused(format!(
                "no member of cluster {cluster:?} has replied for {silent_s} s, and only a member \
                 has its objects: {then}"
            )));
        }
        if self.is_member() {
            return Ok(Reply::Refused(format!(
                "this node is already a member of cluster {cluster:?}"
            )));
        }
        if self.begin_now() {
            tracing::info!("an operator requested this node to rejoin now");
        } else {
            // It joins already, or does so as soon as its cores have left the last epoch.
            self.tell(Member::on_rejoin)?;
        }
        Ok(Reply::Accepted)
    }

    /// Returns since when no member has replied, if this node waits for one.
    fn members_lost_since(&self) -> Option<Time> {
        match &self.membership {
            Membership::Begun(member) => member.members_lost_since(),
            Membership::Waiting { .. } => None,
        }
    }

    fn reply_with_status(&self, reply: oneshot::Sender<Reply>) {
        let mut status = Box::new(self.status());
        let requested: Vec<_> = self
            .cores
            .hands()
            .filter_map(|hand| {
                let (reply, shards) = oneshot::channel();
                hand.send(Command::Shards(reply)).then_some(shards)
            })
            .collect();
        spawn_local(async move {
            let (mut shards, until) = (Vec::new(), Instant::now() + SHARDS_TIME_MAX);
            for reported in requested {
                // A core that does not reply in time is left out.
                shards.extend(timeout_at(until, reported).await.into_iter().flatten().flatten());
            }
            shards.sort_by_key(|shard: &ShardStatus| shard.shard);
            status.shards = shards;
            _ = reply.send(Reply::Status(status));
        });
    }

    fn status(&self) -> NodeStatus {
        let now = self.clock.now();
        let record = self.record.as_ref();
        let status = NodeStatus {
            node: self.me.0,
            name: self.info.name.clone(),
            cluster: self.cluster.clone(),
            engine: concat!("catena-engine ", env!("CARGO_PKG_VERSION")).to_owned(),
            epoch: record.map_or(0, |record| record.epoch),
            replicas: record.map_or(0, |record| record.settings.replicas),
            min_members: record.map_or(0, |record| record.settings.min_members),
            register_trouble: self.store.last_error(),
            members: self.members(now),
            ..NodeStatus::default()
        };
        match &self.membership {
            Membership::Waiting { not_before, .. } => NodeStatus {
                standing: "removed".to_owned(),
                // 0 would mean that it does not wait.
                rejoins_ms: (not_before.0.saturating_sub(now.0) / 1_000).max(1),
                ..status
            },
            Membership::Begun(member) => NodeStatus {
                standing: member.membership().to_owned(),
                active: member.is_active(),
                proposal: self.proposal(member),
                lease_us: member
                    .lease_until()
                    .filter(|until| *until > now)
                    .map(|until| until.0 - now.0),
                learner: member.learner().map_or(0, |node| node.0),
                teacher: member.transfer_source().map_or(0, |node| node.0),
                spares: member.spares(now).map(|spare| spare_status(now, spare)).collect(),
                ..status
            },
        }
    }

    fn proposal(&self, member: &Member) -> String {
        let Some(record) = member.proposal() else { return String::new() };
        let subject = record.change.subject.map(|node| self.name(node)).unwrap_or_default();
        match record.change.kind {
            ChangeKind::Create => "create the cluster".to_owned(),
            ChangeKind::Remove => format!("remove {subject}: {}", record.change.reason),
            ChangeKind::Append => format!("add {subject}"),
            ChangeKind::Reorder => "reorder the chains".to_owned(),
            ChangeKind::Bump => format!("next epoch: {}", record.change.reason),
        }
    }

    fn members(&self, now: Time) -> Vec<MemberStatus> {
        let Some(record) = &self.record else { return Vec::new() };
        let member = match &self.membership {
            Membership::Begun(member) => Some(member),
            Membership::Waiting { .. } => None,
        };
        let lost_since = self.members_lost_since();
        let status = |(node, info): (&NodeId, &NodeInfo)| MemberStatus {
            node: node.0,
            name: info.name.clone(),
            control: info.peer.to_string(),
            silent_us: member
                .and_then(|member| member.heard(*node).or(lost_since))
                .map_or(0, |heard| now.0.saturating_sub(heard.0)),
            suspected: member
                .and_then(|member| member.suspicion(*node))
                .or(lost_since.map(|_| Suspicion::Silent))
                .map(|why| why.to_string())
                .unwrap_or_default(),
            clock_ahead_us: self.peer_clocks.ahead_us(*node),
        };
        record.nodes.iter().map(status).collect()
    }
}

fn spare_status(now: Time, (node, info, heard): (NodeId, &NodeInfo, Time)) -> MemberStatus {
    MemberStatus {
        node: node.0,
        name: info.name.clone(),
        control: info.peer.to_string(),
        silent_us: now.0.saturating_sub(heard.0),
        ..MemberStatus::default()
    }
}
