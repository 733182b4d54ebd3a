//! Reads the state of a cluster: the status of every node, or the reason why it is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::time::Duration;

use anyhow::{Context, bail};
use catena_client::operator::{MemberStatus, NodeStatus, Operator, OperatorError};
use catena_client::{Builder, Cluster, Error};
use serde_json::{Value, json};

use super::NODE_TIMEOUT;

/// The state of a cluster, as last read.
pub(super) struct ClusterProbe {
    /// Connects clients, to the engine at this address.
    clients: Builder,
    engine: String,
    /// Further control ports to ask.
    extra: Vec<String>,
    /// Maximum time for a node to report its state.
    pub(super) timeout: Duration,
    pub(super) nodes: Vec<ProbedNode>,
}

/// A node, or a control port where one should be.
pub(super) struct ProbedNode {
    pub(super) control: String,
    /// Its name, empty if unknown.
    pub(super) name: String,
    /// Its status, or why it is missing.
    pub(super) status: Result<Box<NodeStatus>, OperatorError>,
}

/// The status with the newest epoch.
#[derive(Clone, Copy)]
pub(super) struct NewestStatus<'l>(&'l NodeStatus);

impl ClusterProbe {
    pub(super) fn new(clients: Builder, engine: &str, extra: &[String]) -> ClusterProbe {
        let (engine, extra) = (engine.to_owned(), extra.to_vec());
        ClusterProbe { clients, engine, extra, timeout: NODE_TIMEOUT, nodes: Vec::new() }
    }

    /// Adds a control port to ask.
    pub(super) fn add(&mut self, control: String) {
        self.extra.push(control);
    }

    /// Asks every known node.
    pub(super) fn refresh(&mut self) -> anyhow::Result<()> {
        // The nodes known before, including those that have left.
        let mut controls: Vec<(String, String)> = self
            .newest()
            .map(|newest| newest.members.iter().map(at_control).collect())
            .unwrap_or_default();
        let before = self.nodes.iter().map(|node| (node.control.clone(), node.name.clone()));
        controls.extend(before);
        controls.extend(self.extra.iter().map(|control| (control.clone(), String::new())));
        if self.newest().is_none() {
            controls.extend(self.members_of_engine()?);
        }
        let mut nodes: Vec<ProbedNode> = Vec::new();
        // Again, because the newest status may name members that were not asked, and they spares.
        for _ in 0..3 {
            let mut known: BTreeSet<String> = nodes.iter().flat_map(ProbedNode::controls).collect();
            controls.retain(|(control, _)| known.insert(control.clone()));
            nodes.extend(ask_all(&controls, self.timeout));
            controls = newest_of(&nodes)
                .map(|newest| newest.members.iter().map(at_control).collect())
                .unwrap_or_default();
            let statuses = nodes.iter().filter_map(|node| node.status.as_deref().ok());
            controls.extend(statuses.flat_map(|status| &status.spares).map(at_control));
        }
        // A node that is reached at two addresses is one node.
        let mut seen = BTreeSet::new();
        nodes.retain(|node| node.status.as_ref().map_or(true, |status| seen.insert(status.node)));
        let members = newest_of(&nodes).map(|newest| newest.members.clone()).unwrap_or_default();
        nodes.sort_by_cached_key(|node| {
            let place = members.iter().position(|member| node.is_at(&member.control));
            (place.unwrap_or(usize::MAX), node.control.clone())
        });
        self.nodes = nodes;
        Ok(())
    }

    /// The members that any of the engines names, each of which may have left its cluster. There may be
    /// none if there are other nodes to ask.
    fn members_of_engine(&self) -> anyhow::Result<Vec<(String, String)>> {
        let engines: Vec<&str> = match self.engine.contains("://") {
            true => vec![&self.engine],
            false => self.engine.split(',').collect(),
        };
        let asked: Vec<Result<Option<Cluster>, Error>> = std::thread::scope(|scope| {
            let ask = |engine: &str| Ok(self.clients.clone().connect(engine)?.cluster());
            let asking: Vec<_> =
                engines.iter().map(|engine| scope.spawn(move || ask(engine))).collect();
            let asked = asking.into_iter();
            asked.map(|asking| asking.join().expect("asking does not panic")).collect()
        });
        let clusters = asked.iter().filter_map(|asked| asked.as_ref().ok()?.as_ref());
        let members: Vec<(String, String)> = clusters
            .flat_map(|cluster| &cluster.members)
            .map(|member| (member.control.clone(), member.name.clone()))
            .collect();
        if !members.is_empty() || !self.extra.is_empty() {
            return Ok(members);
        }
        if asked.iter().any(Result::is_ok) {
            bail!(
                "the engine at {} is a single node, or is outside its cluster at the moment: give the \
                 address of a member with --engine, or the control port of one with --control",
                self.engine
            );
        }
        // All of them say more together than one by one.
        Err(self.clients.clone().connect(&self.engine).err().context("no engine answers")?.into())
    }

    /// The status with the newest epoch.
    pub(super) fn newest(&self) -> Option<NewestStatus<'_>> {
        newest_of(&self.nodes)
    }

    /// Whether there are as many members as configured, and all of them reply, are active and
    /// suspect no other.
    pub(super) fn is_healthy(&self) -> bool {
        self.troubles().is_empty()
    }

    /// Why the cluster is not healthy, one reason each.
    pub(super) fn troubles(&self) -> Vec<String> {
        let Some(newest) = self.newest() else {
            return vec!["no node that replies knows the members of the cluster".to_owned()];
        };
        let mut troubles = Vec::new();
        let (members, wanted) = (newest.members.len(), newest.replicas as usize);
        if members < wanted {
            let missing = wanted - members;
            let plural = if missing == 1 { "member is" } else { "members are" };
            troubles.push(format!("{missing} {plural} missing of {wanted} wanted"));
        }
        for member in &newest.members {
            let name = &member.name;
            match self.statuses().find(|status| status.node == member.node) {
                None => troubles.push(format!("{name} does not reply")),
                Some(status) if !status.active => {
                    troubles.push(format!("{name} is not active in epoch {}", newest.epoch));
                }
                Some(status) => {
                    let suspected = status.members.iter().filter(|of| !of.suspected.is_empty());
                    troubles.extend(
                        suspected
                            .map(|of| format!("{name} suspects {}: {}", of.name, of.suspected)),
                    );
                }
            }
        }
        troubles
    }

    /// Nodes that have asked to join and wait for a place: their names and control ports.
    pub(super) fn spares(&self) -> Vec<(String, String)> {
        let members = self.newest().map(|newest| newest.members.clone()).unwrap_or_default();
        let is_member = |node: u128| members.iter().any(|member| member.node == node);
        let waiting = self.statuses().flat_map(|status| &status.spares);
        let waiting = waiting.filter(|spare| !is_member(spare.node));
        let spares: BTreeMap<u128, (String, String)> = waiting
            .map(|spare| (spare.node, (spare.name.clone(), spare.control.clone())))
            .collect();
        spares.into_values().collect()
    }

    /// How many of the members reply.
    pub(super) fn members_replying(&self) -> usize {
        let Some(newest) = self.newest() else { return 0 };
        let replies =
            |member: &&MemberStatus| self.statuses().any(|status| status.node == member.node);
        newest.members.iter().filter(replies).count()
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = &NodeStatus> {
        self.nodes.iter().filter_map(|node| node.status.as_deref().ok())
    }

    /// Id and name of the member with this name, this id, or an id that begins like this.
    pub(super) fn member(&self, node: &str) -> anyhow::Result<(u128, String)> {
        let newest = self.newest().context("no node of the cluster replies")?;
        let members: Vec<(u128, &str)> =
            newest.members.iter().map(|member| (member.node, member.name.as_str())).collect();
        let at = find(node, &members)?;
        Ok((members[at].0, members[at].1.to_owned()))
    }

    /// The control port of a node that replies.
    pub(super) fn control_of(&self, node: &str) -> anyhow::Result<String> {
        let answering: Vec<&ProbedNode> =
            self.nodes.iter().filter(|node| node.status.is_ok()).collect();
        let names: Vec<(u128, &str)> =
            self.statuses().map(|status| (status.node, status.name.as_str())).collect();
        let at =
            find(node, &names).context("give a node that no member knows by its control port")?;
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
            "well": self.is_healthy(), "troubles": self.troubles(),
            "spares": self.spares().into_iter()
                .map(|(name, control)| json!({"name": name, "control": control}))
                .collect::<Vec<_>>(),
            "nodes": self.nodes.iter().map(ProbedNode::json).collect::<Vec<_>>(),
        })
    }
}

impl Deref for NewestStatus<'_> {
    type Target = NodeStatus;

    fn deref(&self) -> &NodeStatus {
        self.0
    }
}

impl NewestStatus<'_> {
    /// Whether a node is a member.
    pub(super) fn has(&self, node: u128) -> bool {
        self.members.iter().any(|member| member.node == node)
    }
}

impl ProbedNode {
    /// The control ports at which it was asked, and which it reports itself.
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

    /// The largest lag of a successor in one of its shards, in log entries.
    pub(super) fn lag(&self) -> u64 {
        let shards = self.status.as_ref().map(|status| status.shards.as_slice());
        shards.unwrap_or_default().iter().map(|shard| shard.lag).max().unwrap_or_default()
    }

    fn json(&self) -> Value {
        let status = match &self.status {
            Err(error) => {
                return json!({
                    "control": self.control, "name": self.name, "answers": false,
                    "reason": reason(error),
                });
            }
            Ok(status) => status,
        };
        let some = |node: u128| (node != 0).then(|| id_text(node));
        let members = status.members.iter().map(|member| {
            json!({
                "node": id_text(member.node), "name": member.name, "control": member.control,
                "silent_us": member.silent_us, "suspected": member.suspected,
                "clock_ahead_us": member.clock_ahead_us,
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

/// A node id in its text form.
pub(super) fn id_text(node: u128) -> String {
    format!("n-{node:032x}")
}

fn at_control(member: &MemberStatus) -> (String, String) {
    (member.control.clone(), member.name.clone())
}

/// The status with the newest epoch; among equal ones that of a member, because other nodes may be
/// about to learn of a newer one.
fn newest_of(nodes: &[ProbedNode]) -> Option<NewestStatus<'_>> {
    let statuses = nodes.iter().filter_map(|node| node.status.as_deref().ok());
    let known = statuses.filter(|status| status.epoch > 0);
    known.max_by_key(|status| (status.epoch, status.standing == "member")).map(NewestStatus)
}

/// Asks all at once, so that nodes that do not reply cost one timeout together.
fn ask_all(controls: &[(String, String)], timeout: Duration) -> Vec<ProbedNode> {
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
                ProbedNode { control: control.clone(), name, status }
            })
            .collect()
    })
}

fn ask(control: &str, timeout: Duration) -> Result<Box<NodeStatus>, OperatorError> {
    Operator::connect(control, timeout).and_then(|mut node| node.status()).map(Box::new)
}

/// Why a node has no status, in a few words.
pub(super) fn reason(error: &OperatorError) -> String {
    match error {
        OperatorError::Unreachable { source, .. } => source.kind().to_string(),
        OperatorError::Refused { reason, .. } => format!("refuses: {reason}"),
        OperatorError::Unwelcome { fault, .. } => format!("refuses: {fault}"),
        error => error.to_string(),
    }
}

/// The index of the only node with this name, this id, or an id that begins like this.
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
                "no node is called `{node}` or has an id that begins like this; known are: {}",
                all.join(", ")
            )
        }
        _ => {
            let all: Vec<String> = found.iter().map(known).collect();
            bail!("`{node}` may be any of: {}; give more of the id", all.join(", "))
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
        assert_eq!(found("1a"), Ok(3), "a name is preferred to an id");
        assert!(found("1").unwrap_err().starts_with("`1` may be any of: node-a (n-1a"));
        assert!(found("node-b").unwrap_err().contains("give more of the id"));
        assert!(found("node-z").unwrap_err().starts_with("no node is called `node-z`"));
    }
}
