//! Lists, which are also queues and work queues, and logs.

use catena_client::Error;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::context::Context;
use crate::holds::RUN_CODES;
use crate::outcome::{Outcome, bytes_json};
use crate::run::{RunArgs, What};
use crate::values::{self, GROUP_BYTES, GROUP_ITEMS, HoldArg, LinesArg, groups};
use crate::words;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Name of the list
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: ListCommand,
}

#[derive(Debug, Subcommand)]
enum ListCommand {
    /// Print the number of items
    Len,
    /// Print the item at an index, from 0
    Get { index: u64 },
    /// Print items, one per line
    #[command(visible_alias = "ls")]
    Range {
        #[arg(value_parser = values::range, default_value = "..")]
        range: std::ops::Range<u64>,
    },
    /// Print the index of an item
    IndexOf {
        item: String,
        /// Print the index of the last equal item
        #[arg(long)]
        last: bool,
    },
    /// Print whether the list contains all of these
    Contains {
        #[arg(required = true)]
        items: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Append items, and print the new length; more than 4,096 items or 4 MiB of them are appended
    /// in several steps, which are not atomic together
    #[command(visible_alias = "push-back")]
    Push {
        #[arg(required = true)]
        items: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Insert an item at the front, and print the new length
    PushFront { item: String },
    /// Remove and print the first item
    #[command(visible_alias = "pop-front")]
    Pop {
        /// Wait up to `--timeout` for an item
        #[arg(long)]
        wait: bool,
    },
    /// Remove and print the last item
    PopBack,
    /// Replace the item at an index, and print the old one
    Set { index: u64, item: String },
    /// Insert an item at an index, and print the new length
    Insert { index: u64, item: String },
    /// Remove the item at an index, and print it
    RemoveAt { index: u64 },
    /// Remove the first equal item
    Remove { item: String },
    /// Remove all items equal to one of these, and print how many
    RemoveAll {
        #[arg(required = true)]
        items: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Remove all items equal to none of these, and print how many
    RetainAll {
        items: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Remove all items, and print how many
    Clear,
    /// Claim the first item, waiting for one, and print a token and the item; the item returns to
    /// the list unless `done TOKEN` follows in time. With `run`, a command does the work
    Claim {
        /// Do not wait for an item
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        hold: HoldArg,
        #[command(subcommand)]
        then: Option<ClaimCommand>,
    },
    /// Remove a claimed item for good
    Done { token: u64 },
    /// Return a claimed item to the front of the list
    Return { token: u64 },
}

#[derive(Debug, Subcommand)]
enum ClaimCommand {
    /// Run a command for the item, renewing the claim; remove the item for good if it exits with 0,
    /// and otherwise return it to the front of the list
    ///
    /// The command gets the item on its standard input and, unless it has a NUL byte, in
    /// CATENA_ITEM; and the fencing token in CATENA_TOKEN.
    #[command(after_help = RUN_CODES)]
    Run(RunArgs),
}

impl ListArgs {
    /// What is to be held while a command runs, if that is what it asks for.
    pub(crate) fn run_args(&self) -> Option<(What, RunArgs)> {
        match &self.op {
            ListCommand::Claim { now, hold, then: Some(ClaimCommand::Run(run)) } => {
                Some((What::Item(self.name.clone()), run.after(*now, hold.given())))
            }
            _ => None,
        }
    }

    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let list = on.client.list(&self.name);
        Ok(match &self.op {
            ListCommand::Len => Outcome::value(list.len()?),
            ListCommand::Get { index } => Outcome::bytes(list.get(*index)?),
            ListCommand::Range { range } => {
                let mut items = Vec::new();
                let mut at = range.start;
                while at < range.end {
                    let page = list.range(at..range.end)?;
                    items.extend(page.iter().map(<[u8]>::to_vec));
                    at += page.len() as u64;
                    if !page.more() || page.is_empty() {
                        break;
                    }
                }
                Outcome::lines(items)
            }
            ListCommand::IndexOf { item, last } => {
                let item = on.bytes(item)?;
                let found = if *last { list.last_index_of(&item)? } else { list.index_of(&item)? };
                found.map_or_else(Outcome::nothing, Outcome::value)
            }
            ListCommand::Contains { items, lines } => {
                let items = on.items(items, *lines)?;
                let mut has_all = true;
                for group in groups(&items, GROUP_ITEMS, GROUP_BYTES, Vec::len) {
                    has_all = has_all && list.contains_all(group)?;
                }
                Outcome::truth(has_all)
            }
            ListCommand::Push { items, lines } => match &on.items(items, *lines)?[..] {
                [] => Outcome::value(list.len()?),
                [item] => Outcome::value(list.push_back(item)?),
                items => {
                    let mut len = 0;
                    for group in groups(items, GROUP_ITEMS, GROUP_BYTES, Vec::len) {
                        len = list.extend(group)?;
                    }
                    Outcome::value(len)
                }
            },
            ListCommand::PushFront { item } => Outcome::value(list.push_front(&on.bytes(item)?)?),
            ListCommand::Pop { wait: true } => taken(Some(list.pop_front_wait(on.timeout)?)),
            ListCommand::Pop { wait: false } => taken(list.pop_front()?),
            ListCommand::PopBack => taken(list.pop_back()?),
            ListCommand::Set { index, item } => taken(Some(list.set(*index, &on.bytes(item)?)?)),
            ListCommand::Insert { index, item } => {
                Outcome::value(list.insert(*index, &on.bytes(item)?)?)
            }
            ListCommand::RemoveAt { index } => taken(Some(list.remove_at(*index)?)),
            ListCommand::Remove { item } => Outcome::truth(list.remove_value(&on.bytes(item)?)?),
            ListCommand::RemoveAll { items, lines } => {
                let mut removed = 0;
                for group in groups(&on.items(items, *lines)?, GROUP_ITEMS, GROUP_BYTES, Vec::len) {
                    removed += list.remove_all(group)?;
                }
                Outcome::value(removed)
            }
            ListCommand::RetainAll { items, lines } => {
                Outcome::value(list.retain_all(&on.items(items, *lines)?)?)
            }
            ListCommand::Clear => Outcome::value(list.clear()?),
            ListCommand::Claim { then: Some(_), .. } => unreachable!("it has a client of its own"),
            ListCommand::Claim { now, hold, then: None } => {
                let list = list.with_hold(hold.hold());
                let claim = if *now { list.try_claim()? } else { Some(list.claim(on.timeout)?) };
                let Some(claim) = claim else { return Ok(Outcome::nothing()) };
                let json = json!({"token": claim.token(), "item": bytes_json(&claim)});
                let mut line = format!("{} ", claim.token()).into_bytes();
                line.extend_from_slice(&claim);
                let token = claim.keep();
                Outcome::rows(vec![vec![line]], json).holding(What::Item(self.name.clone()), token)
            }
            ListCommand::Done { token } => Outcome::truth(list.done(*token)?),
            ListCommand::Return { token } => Outcome::truth(list.give_back(*token)?),
        })
    }
}

/// An item that is no longer in the list.
fn taken(item: Option<impl AsRef<[u8]>>) -> Outcome {
    match item {
        Some(item) => Outcome::bytes(Some(item)).had_once(),
        None => Outcome::nothing(),
    }
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Name of the log
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Append a line, and print its number
    Print { line: String },
    /// Print the lines that are kept
    Tail {
        /// Begin behind the line with this number
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Continue with new lines, until none arrives for `--timeout`
        #[arg(long, short)]
        follow: bool,
    },
}

impl LogArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let log = on.client.log(&self.name);
        let (mut after, follow) = match &self.op {
            LogCommand::Print { line } => return Ok(Outcome::value(log.print(line)?)),
            LogCommand::Tail { after, follow } => (*after, *follow),
        };
        if !follow {
            let mut lines = Vec::new();
            loop {
                let page = log.tail(after)?;
                lines.extend(page.iter().map(<[u8]>::to_vec));
                after = (page.at() + page.len() as u64).saturating_sub(1).max(after);
                if !page.more() || page.is_empty() {
                    return Ok(Outcome::lines(lines));
                }
            }
        }
        loop {
            match log.tail_wait(after, on.timeout) {
                Ok(page) => {
                    for line in page.iter() {
                        let json = bytes_json(line);
                        Outcome::lines([line.to_vec()]).with_json(json).print(on.format)?;
                    }
                    after = (page.at() + page.len() as u64).saturating_sub(1).max(after);
                }
                Err(Error::TimedOut { .. }) => return Ok(Outcome::silent(0)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
