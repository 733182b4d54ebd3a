//! What operators want, and how the node stands.

use std::time::Duration;

use catena_protocol::operator::{MemberStatus, NodeStatus, Reply, Request, ShardStatus};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::node::{Life, Node};
use crate::io::Command;
use catena_core::chain::member::{Action, Member};
use catena_core::chain::record::{ChangeKind, NodeId};
use catena_core::time::Time;

/// How long the cores may take to say how their shards stand.
const SHARDS_TIME_MAX: Duration = Duration::from_secs(1);

impl Node {
    /// Answers an operator, at once or when the cores have said what they know.
    pub(super) fn answer(
        &mut self,
        request: Request,
        answer: oneshot::Sender<Reply>,
    ) -> Result<(), String> {
        let reply = match request {
            Request::Status => {
                self.answer_status(answer);
                return Ok(());
            }
            Request::Remove(node) => self.remove(NodeId(node))?,
            Request::Join => self.join(),
        };
        // Whoever asked may be gone.
        _ = answer.send(reply);
        Ok(())
    }

    fn remove(&mut self, node: NodeId) -> Result<Reply, String> {
        let cluster = &self.cluster;
        let refused = |why: String| Ok(Reply::Refused(why));
        let Some(record) = self.record.clone().filter(|_| self.is_member()) else {
            return refused(format!(
                "this node is no member of cluster {cluster:?} now, and cannot remove anybody: ask one \
                 that is"
            ));
        };
        if !record.is_member(node) {
            let known: Vec<String> =
                record.nodes.iter().map(|(node, info)| format!("{} ({node})", info.name)).collect();
            return refused(format!(
                "{node} is no member of cluster {cluster:?}; these are: {}",
                known.join(", ")
            ));
        }
        if record.nodes.len() == 1 {
            return refused(format!(
                "{} is the last member of cluster {cluster:?}: nobody else has what it holds",
                self.name(node)
            ));
        }
        tracing::info!(%node, "an operator wants {} removed", self.name(node));
        let mut is_told = node == self.me;
        if is_told {
            self.tell(Member::on_leave)?;
        } else {
            self.tell(|member: &mut Member, now: Time, out: &mut Vec<Action>| {
                is_told = member.on_remove(now, node, out);
            })?;
        }
        if is_told { Ok(Reply::Accepted) } else { refused(format!("{node} has just been removed")) }
    }

    fn join(&mut self) -> Reply {
        if self.begin_now() {
            tracing::info!("an operator wants this node to join now");
            return Reply::Accepted;
        }
        Reply::Refused(if self.is_member() {
            format!("this node is a member of cluster {:?} already", self.cluster)
        } else {
            "this node is joining already; as soon as a member is missing it becomes one".to_owned()
        })
    }

    fn answer_status(&self, answer: oneshot::Sender<Reply>) {
        let mut status = Box::new(self.status());
        let asked: Vec<_> = self
            .desk
            .hands()
            .filter_map(|hand| {
                let (reply, shards) = oneshot::channel();
                hand.send(Command::Shards(reply)).then_some(shards)
            })
            .collect();
        spawn_local(async move {
            let (mut shards, until) = (Vec::new(), Instant::now() + SHARDS_TIME_MAX);
            for told in asked {
                // A core that is stuck is left out.
                shards.extend(timeout_at(until, told).await.into_iter().flatten().flatten());
            }
            shards.sort_by_key(|shard: &ShardStatus| shard.shard);
            status.shards = shards;
            _ = answer.send(Reply::Status(status));
        });
    }

    fn status(&self) -> NodeStatus {
        let now = self.clock.now();
        let status = NodeStatus {
            node: self.me.0,
            name: self.info.name.clone(),
            cluster: self.cluster.clone(),
            engine: concat!("catena-engine ", env!("CARGO_PKG_VERSION")).to_owned(),
            epoch: self.record.as_ref().map_or(0, |record| record.epoch),
            replicas: self.record.as_ref().map_or(0, |record| record.settings.replicas),
            min_members: self.record.as_ref().map_or(0, |record| record.settings.min_members),
            register_trouble: self.records.trouble(),
            members: self.members(now),
            ..NodeStatus::default()
        };
        match &self.life {
            Life::Waiting { not_before, .. } => NodeStatus {
                standing: "removed".to_owned(),
                // 0 would say that it does not wait.
                rejoins_ms: (not_before.0.saturating_sub(now.0) / 1_000).max(1),
                ..status
            },
            Life::Begun(member) => NodeStatus {
                standing: member.standing().to_owned(),
                active: member.is_active(),
                proposal: self.proposal(member),
                lease_us: member
                    .lease_until()
                    .filter(|until| *until > now)
                    .map(|until| until.0 - now.0),
                learner: member.learner().map_or(0, |node| node.0),
                teacher: member.teacher().map_or(0, |node| node.0),
                ..status
            },
        }
    }

    fn proposal(&self, member: &Member) -> String {
        let Some(record) = member.proposal() else { return String::new() };
        let subject = record.change.subject.map(|node| self.name(node)).unwrap_or_default();
        match record.change.kind {
            ChangeKind::Create => "found the cluster".to_owned(),
            ChangeKind::Remove => format!("remove {subject}: {}", record.change.reason),
            ChangeKind::Append => format!("add {subject}"),
            ChangeKind::Reorder => "put the chains into another order".to_owned(),
            ChangeKind::Bump => format!("the next epoch: {}", record.change.reason),
        }
    }

    fn members(&self, now: Time) -> Vec<MemberStatus> {
        let Some(record) = &self.record else { return Vec::new() };
        let member = match &self.life {
            Life::Begun(member) => Some(member),
            Life::Waiting { .. } => None,
        };
        let of = |(node, info): (&NodeId, &catena_core::chain::record::NodeInfo)| MemberStatus {
            node: node.0,
            name: info.name.clone(),
            control: info.peer.to_string(),
            silent_us: member
                .and_then(|member| member.heard(*node))
                .map_or(0, |heard| now.0.saturating_sub(heard.0)),
            suspected: member
                .and_then(|member| member.suspicion(*node))
                .map(|why| why.to_string())
                .unwrap_or_default(),
        };
        record.nodes.iter().map(of).collect()
    }
}
