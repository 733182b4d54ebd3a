//! Commands about the members of a cluster: show the state of every node, remove a member, let a
//! removed node rejoin.
//!
//! Every node is asked at its control port for its own state, and for its view of the others. If
//! views differ, the newest epoch counts.

mod probe;
mod table;
mod watch;

use std::time::{Duration, Instant};

use anyhow::Context;
use catena_client::Builder;
use catena_client::operator::{Operator, OperatorError};
use clap::{Args, Subcommand};
use ratatui::crossterm::terminal;
use serde_json::json;

use self::probe::{ClusterProbe, id_text};
use crate::interrupt;
use crate::outcome::{ChangeError, Format, Outcome};
use crate::session::WAIT_TIMEOUT;
use crate::values::time;

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Control port of another node to ask, which need not be a member; can be given several times
    #[arg(long, global = true, value_name = "HOST:PORT")]
    control: Vec<String>,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show the state of every node and the spares; exit with 1, and say why, unless all members that
    /// are wanted are there, reply, are active and suspect no other
    Status {
        /// Show also the state of every shard
        #[arg(long)]
        shards: bool,
    },
    /// Show the state of every node until interrupted, or until --timeout if it is given; without a
    /// terminal, print a line for each change
    Watch {
        /// Time between two updates
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
        every: Duration,
    },
    /// Remove a member, through a request to another one
    Remove {
        /// Name of the member, its id, or the beginning of its id
        node: String,
    },
    /// Let a removed node rejoin now, and wait until it is a member, or a spare because there are
    /// enough members
    Join {
        /// Name of the node, its id, the beginning of its id, or its control port
        node: String,
    },
}

/// Maximum time for a node to report its state.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// The same while waiting for a change, when nodes are asked repeatedly.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);

/// Time between two checks whether a change was made.
const POLL: Duration = Duration::from_millis(50);

impl ClusterArgs {
    pub(crate) fn run(
        &self,
        clients: Builder,
        engine: &str,
        timeout: Option<Duration>,
        format: Format,
    ) -> anyhow::Result<Outcome> {
        let mut probe = ClusterProbe::new(clients, engine, &self.control);
        match &self.command {
            ClusterCommand::Status { shards } => {
                probe.refresh()?;
                let width = terminal::size().ok().filter(|_| format.terminal);
                let width = width.map(|(columns, _)| columns.into());
                let text = table::text(&probe, *shards, width);
                Ok(Outcome::value(probe.json()).with_text(text).ending(probe.is_healthy()))
            }
            ClusterCommand::Watch { every } => watch::watch(&mut probe, *every, timeout, format),
            ClusterCommand::Remove { node } => {
                probe.refresh()?;
                probe.timeout = POLL_TIMEOUT;
                remove(&mut probe, node, timeout.unwrap_or(WAIT_TIMEOUT))
            }
            ClusterCommand::Join { node } => {
                join(&mut probe, node, timeout.unwrap_or(WAIT_TIMEOUT))
            }
        }
    }
}

fn remove(probe: &mut ClusterProbe, node: &str, timeout: Duration) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + timeout;
    let (id, name) = probe.member(node)?;
    let newest = probe.newest().context("no member of the cluster answers")?;
    if newest.members.len() == 1 {
        return Err(ChangeError::LastMember { name }.into());
    }
    let others: Vec<String> = newest
        .members
        .iter()
        .filter(|member| member.node != id)
        .map(|member| member.control.clone())
        .collect();
    let mut failure = None;
    let accepted = others.iter().any(|control| {
        let asked = Operator::connect(control, NODE_TIMEOUT.min(timeout))
            .and_then(|mut operator| operator.remove(id));
        asked.map_err(|error| failure = Some(error)).is_ok()
    });
    if !accepted {
        return Err(failure.context("there is no other member to ask")?.into());
    }
    loop {
        probe.refresh()?;
        let newest = probe.newest();
        if let Some(newest) = newest.filter(|newest| !newest.has(id)) {
            let left: Vec<&str> =
                newest.members.iter().map(|member| member.name.as_str()).collect();
            let text = format!(
                "{name} is no longer a member; epoch {}: {}",
                newest.epoch,
                left.join(", ")
            );
            let json = json!({"removed": id_text(id), "name": name, "epoch": newest.epoch});
            return Ok(Outcome::value(json).with_text(text));
        }
        if Instant::now() + POLL >= deadline {
            return Err(ChangeError::StillMember { name }.into());
        }
        interrupt::sleep(POLL)?;
    }
}

fn join(probe: &mut ClusterProbe, node: &str, timeout: Duration) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + timeout;
    let control = match node.contains(':') {
        true => node.to_owned(),
        false => {
            probe.refresh()?;
            probe.control_of(node)?
        }
    };
    let mut operator = Operator::connect(&control, NODE_TIMEOUT)?;
    probe.add(control);
    let mut is_accepted = false;
    loop {
        let status = operator.status()?;
        let name = &status.name;
        let (members, wanted) = (status.members.len(), status.replicas as usize);
        let text = match status.standing.as_str() {
            // It may not have heard yet that it was removed.
            MEMBER => {
                probe.refresh()?;
                let is_member = probe.newest().is_some_and(|newest| newest.has(status.node));
                is_member.then(|| format!("{name} is a member"))
            }
            OUTSIDE | LEARNER if status.epoch > 0 && members >= wanted => Some(format!(
                "{name} is a spare: the cluster has its {wanted} members, and {name} becomes one \
                 when one is missing"
            )),
            _ if is_accepted => None,
            _ => match operator.join() {
                Ok(()) => {
                    is_accepted = true;
                    None
                }
                // It has become a member since.
                Err(OperatorError::Refused { .. }) if operator.status()?.standing == MEMBER => None,
                Err(error) => return Err(error.into()),
            },
        };
        if let Some(text) = text {
            let json = json!({
                "node": id_text(status.node), "name": name, "standing": status.standing,
            });
            return Ok(Outcome::value(json).with_text(text));
        }
        if Instant::now() + POLL >= deadline {
            let (name, standing) = (status.name, status.standing);
            return Err(ChangeError::StillJoins { name, standing }.into());
        }
        interrupt::sleep(POLL)?;
    }
}

/// The standing of a member, of a node that asks to join, and of one that receives the state.
const MEMBER: &str = "member";
const OUTSIDE: &str = "outside";
const LEARNER: &str = "learner";
