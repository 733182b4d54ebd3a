//! What is seen of a cluster: every node's own word, or why there is none.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::time::Duration;

use anyhow::{Context, bail};
use catena_client::Builder;
use catena_client::operator::{MemberStatus, NodeStatus, Operator, OperatorError};
use serde_json::{Value, json};

use super::{NODE_TIMEOUT, is_refusal};

/// A look at a cluster, that can be taken again.
pub(super) struct Look {
    /// Makes a client, of the engine there.
    clients: Builder,
    engine: String,
    /// Control ports to ask, whoever is there.
    extra: Vec<String>,
    /// How long a node may take to say how it stands.
    pub(super) timeout: Duration,
    pub(super) nodes: Vec<Seen>,
}

/// A node, or a control port where one should be.
pub(super) struct Seen {
    pub(super) control: String,
    /// What it is called, if anybody says so.
    pub(super) name: String,
    /// How it stands, by its own word.
    pub(super) status: Result<Box<NodeStatus>, String>,
}

/// The status with the newest epoch.
#[derive(Clone, Copy)]
pub(super) struct Newest<'l>(&'l NodeStatus);

impl Look {
    pub(super) fn new(clients: Builder, engine: &str, extra: &[String]) -> Look {
        let (engine, extra) = (engine.to_owned(), extra.to_vec());
        Look { clients, engine, extra, timeout: NODE_TIMEOUT, nodes: Vec::new() }
    }

    /// Asks everybody.
    pub(super) fn again(&mut self) -> anyhow::Result<()> {
        // Who was there before, also if it left since.
        let mut controls: Vec<(String, String)> = self
            .newest()
            .map(|newest| newest.members.iter().map(at_control).collect())
            .unwrap_or_default();
        let before = self.nodes.iter().map(|node| (node.control.clone(), node.name.clone()));
        controls.extend(before);
        controls.extend(self.extra.iter().map(|control| (control.clone(), String::new())));
        if self.newest().is_none() {
            controls.extend(self.told_by_engine()?);
        }
        let mut nodes: Vec<Seen> = Vec::new();
        // Twice: the newest of those who answer may know of others.
        for _ in 0..2 {
            let mut known: BTreeSet<String> = nodes.iter().flat_map(Seen::controls).collect();
            controls.retain(|(control, _)| known.insert(control.clone()));
            nodes.extend(ask_all(&controls, self.timeout));
            controls = newest_of(&nodes)
                .map(|newest| newest.members.iter().map(at_control).collect())
                .unwrap_or_default();
        }
        // One that is reached in two ways is one.
        let mut met = BTreeSet::new();
        nodes.retain(|node| node.status.as_ref().map_or(true, |status| met.insert(status.node)));
        let members = newest_of(&nodes).map(|newest| newest.members.clone()).unwrap_or_default();
        nodes.sort_by_cached_key(|node| {
            let place = members.iter().position(|member| node.is_at(&member.control));
            (place.unwrap_or(usize::MAX), node.control.clone())
        });
        self.nodes = nodes;
        Ok(())
    }

    /// The members that the engine tells of. Without any, there have to be other nodes to ask.
    fn told_by_engine(&self) -> anyhow::Result<Vec<(String, String)>> {
        let told = self.clients.clone().connect(&self.engine).map(|client| client.cluster());
        match told {
            Ok(Some(cluster)) => {
                let members = cluster.members.into_iter();
                Ok(members.map(|member| (member.control, member.name)).collect())
            }
            _ if !self.extra.is_empty() => Ok(Vec::new()),
            Ok(None) => bail!(
                "the engine at {} is a single node, or waits to become a member of a cluster: ask one \
                 at its control port with --control",
                self.engine
            ),
            Err(error) => Err(error.into()),
        }
    }

    /// How the cluster is, by the newest word.
    pub(super) fn newest(&self) -> Option<Newest<'_>> {
        newest_of(&self.nodes)
    }

    /// Whether all members answer, take part and suspect nobody, and are as many as wanted.
    pub(super) fn is_well(&self) -> bool {
        let Some(newest) = self.newest() else { return false };
        let is_well = |member: &MemberStatus| {
            self.statuses().any(|status| {
                let suspects = status.members.iter().any(|other| !other.suspected.is_empty());
                status.node == member.node && status.active && !suspects
            })
        };
        newest.members.iter().all(is_well) && newest.members.len() >= newest.replicas as usize
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = &NodeStatus> {
        self.nodes.iter().filter_map(|node| node.status.as_deref().ok())
    }

    /// The member with this name or id, or with an id that begins like that: id and name.
    pub(super) fn member(&self, node: &str) -> anyhow::Result<(u128, String)> {
        let newest = self.newest().context("no node of the cluster answers")?;
        let members: Vec<(u128, &str)> =
            newest.members.iter().map(|member| (member.node, member.name.as_str())).collect();
        let at = find(node, &members)?;
        Ok((members[at].0, members[at].1.to_owned()))
    }

    /// The control port of a node that answers.
    pub(super) fn control_of(&self, node: &str) -> anyhow::Result<String> {
        let answering: Vec<&Seen> = self.nodes.iter().filter(|node| node.status.is_ok()).collect();
        let names: Vec<(u128, &str)> =
            self.statuses().map(|status| (status.node, status.name.as_str())).collect();
        let at = find(node, &names)
            .with_context(|| "a node that is no member has to be given by its control port")?;
        Ok(answering[at].control.clone())
    }

    pub(super) fn json(&self) -> Value {
        let newest = self.newest();
        json!({
            "cluster": newest.map(|newest| newest.cluster.clone()),
            "epoch": newest.map(|newest| newest.epoch),
            "replicas": newest.map(|newest| newest.replicas),
            "min_members": newest.map(|newest| newest.min_members),
            "members": newest.map(|newest| {
                newest.members.iter().map(|member| id_text(member.node)).collect::<Vec<_>>()
            }),
            "well": self.is_well(),
            "nodes": self.nodes.iter().map(Seen::json).collect::<Vec<_>>(),
        })
    }
}

impl Deref for Newest<'_> {
    type Target = NodeStatus;

    fn deref(&self) -> &NodeStatus {
        self.0
    }
}

impl Newest<'_> {
    /// Whether a node is a member.
    pub(super) fn has(&self, node: u128) -> bool {
        self.members.iter().any(|member| member.node == node)
    }
}

impl Seen {
    /// Where it was asked, and where it says that it is.
    fn controls(&self) -> Vec<String> {
        let own = self.status.as_ref().ok().and_then(|status| {
            let me = status.members.iter().find(|member| member.node == status.node);
            me.map(|me| me.control.clone())
        });
        std::iter::once(self.control.clone()).chain(own).collect()
    }

    fn is_at(&self, control: &str) -> bool {
        self.controls().iter().any(|own| own == control)
    }

    /// How far the worst of its shards is behind its successor.
    pub(super) fn lag(&self) -> u64 {
        let shards = self.status.as_ref().map(|status| status.shards.as_slice());
        shards.unwrap_or_default().iter().map(|shard| shard.lag).max().unwrap_or_default()
    }

    fn json(&self) -> Value {
        let status = match &self.status {
            Err(reason) => {
                return json!({
                    "control": self.control, "name": self.name, "answers": false, "reason": reason,
                });
            }
            Ok(status) => status,
        };
        let some = |node: u128| (node != 0).then(|| id_text(node));
        let members = status.members.iter().map(|member| {
            json!({
                "node": id_text(member.node), "name": member.name, "control": member.control,
                "silent_us": member.silent_us, "suspected": member.suspected,
            })
        });
        let shards = status.shards.iter().map(|shard| {
            json!({
                "shard": shard.shard, "role": shard.role, "applied": shard.applied,
                "committed": shard.committed, "lag": shard.lag, "objects": shard.objects,
                "sessions": shard.sessions, "bytes": shard.bytes,
            })
        });
        json!({
            "control": self.control, "answers": true,
            "node": id_text(status.node), "name": status.name, "engine": status.engine,
            "epoch": status.epoch, "standing": status.standing, "active": status.active,
            "lease_us": status.lease_us, "proposal": status.proposal,
            "learner": some(status.learner), "teacher": some(status.teacher),
            "rejoins_ms": status.rejoins_ms, "register_trouble": status.register_trouble,
            "lag": self.lag(),
            "members": members.collect::<Vec<_>>(), "shards": shards.collect::<Vec<_>>(),
        })
    }
}

/// An id as nodes write it.
pub(super) fn id_text(node: u128) -> String {
    format!("n-{node:032x}")
}

fn at_control(member: &MemberStatus) -> (String, String) {
    (member.control.clone(), member.name.clone())
}

/// The newest word: of those who know the same epoch a member's, since others may have other news soon.
fn newest_of(nodes: &[Seen]) -> Option<Newest<'_>> {
    let statuses = nodes.iter().filter_map(|node| node.status.as_deref().ok());
    let known = statuses.filter(|status| status.epoch > 0);
    known.max_by_key(|status| (status.epoch, status.standing == "member")).map(Newest)
}

/// Asks all at once: one that does not answer keeps nobody waiting but once.
fn ask_all(controls: &[(String, String)], timeout: Duration) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = controls
            .iter()
            .map(|(control, _)| scope.spawn(move || ask(control, timeout)))
            .collect();
        let asked = asking.into_iter().zip(controls);
        asked
            .map(|(asking, (control, name))| {
                let status = asking.join().expect("asking does not panic");
                let name = status.as_ref().map_or(name.clone(), |status| status.name.clone());
                Seen { control: control.clone(), name, status }
            })
            .collect()
    })
}

fn ask(control: &str, timeout: Duration) -> Result<Box<NodeStatus>, String> {
    let status = Operator::connect(control, timeout).and_then(|mut node| node.status());
    status.map(Box::new).map_err(|error| match &error {
        OperatorError::Unreachable { source, .. } => source.kind().to_string(),
        error if is_refusal(error) => format!("refuses: {error}"),
        error => error.to_string(),
    })
}

/// The one node with this name or id, or with an id that begins like that.
fn find(node: &str, among: &[(u128, &str)]) -> anyhow::Result<usize> {
    let digits = node.strip_prefix("n-").unwrap_or(node);
    let called = |(_, name): &(u128, &str)| *name == node;
    let begins = |(id, _): &(u128, &str)| id_text(*id)[2..].starts_with(digits);
    let matches = |is_it: &dyn Fn(&(u128, &str)) -> bool| {
        (0..among.len()).filter(|at| is_it(&among[*at])).collect::<Vec<_>>()
    };
    let found = match matches(&called) {
        found if !found.is_empty() => found,
        _ => matches(&begins),
    };
    let known = |at: &usize| format!("{} ({})", among[*at].1, id_text(among[*at].0));
    match found[..] {
        [at] => Ok(at),
        [] => {
            let all: Vec<String> = (0..among.len()).map(|at| known(&at)).collect();
            bail!(
                "nobody is called `{node}`, and no id begins like that; there are: {}",
                all.join(", ")
            )
        }
        _ => {
            let all: Vec<String> = found.iter().map(known).collect();
            bail!("`{node}` may be any of: {}; say more of the id", all.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_its_name_or_how_its_id_begins() {
        let nodes = [
            (0x1a << 120, "node-a"),
            (0x1b << 120, "node-b"),
            (0x2c << 120, "node-b"),
            (0xd << 124, "1a"),
        ];
        let found = |node| find(node, &nodes).map_err(|error| error.to_string());
        assert_eq!((found("node-a"), found("n-1b"), found("2")), (Ok(0), Ok(1), Ok(2)));
        assert_eq!(found("1a"), Ok(3), "a name goes before an id");
        assert!(found("1").unwrap_err().starts_with("`1` may be any of: node-a (n-1a"));
        assert!(found("node-b").unwrap_err().contains("say more of the id"));
        assert!(found("node-z").unwrap_err().starts_with("nobody is called `node-z`"));
    }
}
