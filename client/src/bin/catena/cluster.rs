//! Who is in the cluster, how each node stands, and what an operator may change about it.
//!
//! Every node is asked for itself, at its control port: what one says of another is how it sees it.
//! Of several views the newest epoch counts.

mod sight;
mod table;
mod watch;

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use catena_client::Builder;
use catena_client::operator::{Operator, OperatorError};
use clap::{Args, Subcommand};
use serde_json::json;

use self::sight::{Look, id_text};
use crate::WAIT_TIMEOUT;
use crate::answer::{Answer, Undone};
use crate::values::time;

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// The control port of another node to ask, which need not be a member. May be given several times.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    control: Vec<String>,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// How every node stands. Ends with 1 unless all members answer, take part, and suspect nobody.
    Status {
        /// How each shard stands as well.
        #[arg(long)]
        shards: bool,
    },
    /// The same again and again; without a terminal a line for each change.
    Watch {
        /// How often to look.
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
        every: Duration,
    },
    /// Removes a member: another one is asked to do it.
    Remove {
        /// Its name or id, or how its id begins.
        node: String,
    },
    /// Tells a node that was removed to come back now.
    Join {
        /// Its control port; or its name or id, if it was given with `--control`.
        node: String,
    },
}

/// How long a node may take to say how it stands.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long it may take if that is asked again and again.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);

/// How often to see whether something was done.
const POLL: Duration = Duration::from_millis(50);

impl ClusterArgs {
    pub(crate) fn run(
        &self,
        clients: Builder,
        engine: &str,
        timeout: Option<Duration>,
        as_json: bool,
    ) -> anyhow::Result<Answer> {
        let mut look = Look::new(clients, engine, &self.control);
        match &self.command {
            ClusterCommand::Status { shards } => {
                look.again()?;
                let text = table::text(&look, *shards);
                Ok(Answer::value(look.json()).with_text(text).ending(look.is_well()))
            }
            ClusterCommand::Watch { every } => watch::watch(&mut look, *every, timeout, as_json),
            ClusterCommand::Remove { node } => {
                look.again()?;
                look.timeout = POLL_TIMEOUT;
                remove(&mut look, node, timeout.unwrap_or(WAIT_TIMEOUT))
            }
            ClusterCommand::Join { node } => join(&mut look, node, timeout.unwrap_or(WAIT_TIMEOUT)),
        }
    }
}

fn remove(look: &mut Look, node: &str, timeout: Duration) -> anyhow::Result<Answer> {
    let deadline = Instant::now() + timeout;
    let (id, name) = look.member(node)?;
    let newest = look.newest().context("no member of the cluster answers")?;
    if newest.members.len() == 1 {
        let why = format!("{name} is the last member: nobody else has what it holds");
        return Err(Undone::Refused(why).into());
    }
    let others: Vec<String> = newest
        .members
        .iter()
        .filter(|member| member.node != id)
        .map(|member| member.control.clone())
        .collect();
    let mut failure = None;
    let told = others.iter().any(|control| {
        let told = Operator::connect(control, NODE_TIMEOUT.min(timeout))
            .and_then(|mut operator| operator.remove(id));
        told.map_err(|error| failure = Some(error)).is_ok()
    });
    if !told {
        return Err(failure.context("there is nobody else to ask")?.into());
    }
    loop {
        look.again()?;
        let newest = look.newest();
        if let Some(newest) = newest.filter(|newest| !newest.has(id)) {
            let left: Vec<&str> =
                newest.members.iter().map(|member| member.name.as_str()).collect();
            let text = format!(
                "{name} is no member any more; epoch {}: {}",
                newest.epoch,
                left.join(", ")
            );
            let json = json!({"removed": id_text(id), "name": name, "epoch": newest.epoch});
            return Ok(Answer::value(json).with_text(text));
        }
        if Instant::now() + POLL >= deadline {
            let waited = "was asked to leave, and is still a member; see `catena cluster status`";
            return Err(Undone::NotYet(format!("{name} {waited}")).into());
        }
        sleep(POLL);
    }
}

fn join(look: &mut Look, node: &str, timeout: Duration) -> anyhow::Result<Answer> {
    let deadline = Instant::now() + timeout;
    let control = match node.contains(':') {
        true => node.to_owned(),
        false => {
            look.again()?;
            look.control_of(node)?
        }
    };
    let mut operator = Operator::connect(&control, NODE_TIMEOUT)?;
    operator.join()?;
    loop {
        let status = operator.status()?;
        let (name, standing) = (&status.name, &status.standing);
        if standing != REMOVED {
            let text = match standing.as_str() {
                "outside" => format!("{name} is back, and asks to be taught"),
                standing => format!("{name} is back: {standing}"),
            };
            let json = json!({
                "node": id_text(status.node), "name": name, "standing": standing,
            });
            return Ok(Answer::value(json).with_text(text));
        }
        if Instant::now() + POLL >= deadline {
            return Err(Undone::NotYet(format!("{name} was told, and is still out")).into());
        }
        sleep(POLL);
    }
}

/// The standing of a node that waits to come back.
const REMOVED: &str = "removed";

/// Whether a node said no, rather than nothing.
fn is_refusal(error: &OperatorError) -> bool {
    matches!(error, OperatorError::Refused { .. } | OperatorError::Unwelcome { .. })
}
