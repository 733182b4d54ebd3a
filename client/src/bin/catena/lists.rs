//! Lists, which are also queues and work queues, and logs.

use std::time::Duration;

use catena_client::{Client, Error};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::outcome::{Outcome, bytes_json};
use crate::values::{self, HoldArg, all_bytes, bytes};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Name of the list
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
    },
    /// Append items, and print the new length
    #[command(visible_alias = "push-back")]
    Push {
        #[arg(required = true)]
        items: Vec<String>,
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
    },
    /// Remove all items equal to none of these, and print how many
    RetainAll { items: Vec<String> },
    /// Remove all items, and print how many
    Clear,
    /// Claim the first item, waiting for one, and print a token and the item; the item returns to
    /// the list unless `done TOKEN` follows in time
    Claim {
        /// Do not wait for an item
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Remove a claimed item for good
    Done { token: u64 },
    /// Return a claimed item to the front of the list
    Return { token: u64 },
}

impl ListArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Outcome> {
        let list = client.list(&self.name);
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
                let item = bytes(item)?;
                let found = if *last { list.last_index_of(&item)? } else { list.index_of(&item)? };
                found.map_or_else(Outcome::nothing, Outcome::value)
            }
            ListCommand::Contains { items } => {
                Outcome::truth(list.contains_all(&all_bytes(items)?)?)
            }
            ListCommand::Push { items } => Outcome::value(match &all_bytes(items)?[..] {
                [item] => list.push_back(item)?,
                items => list.extend(items)?,
            }),
            ListCommand::PushFront { item } => Outcome::value(list.push_front(&bytes(item)?)?),
            ListCommand::Pop { wait: true } => Outcome::bytes(Some(list.pop_front_wait(timeout)?)),
            ListCommand::Pop { wait: false } => Outcome::bytes(list.pop_front()?),
            ListCommand::PopBack => Outcome::bytes(list.pop_back()?),
            ListCommand::Set { index, item } => {
                Outcome::bytes(Some(list.set(*index, &bytes(item)?)?))
            }
            ListCommand::Insert { index, item } => {
                Outcome::value(list.insert(*index, &bytes(item)?)?)
            }
            ListCommand::RemoveAt { index } => Outcome::bytes(Some(list.remove_at(*index)?)),
            ListCommand::Remove { item } => Outcome::truth(list.remove_value(&bytes(item)?)?),
            ListCommand::RemoveAll { items } => {
                Outcome::value(list.remove_all(&all_bytes(items)?)?)
            }
            ListCommand::RetainAll { items } => {
                Outcome::value(list.retain_all(&all_bytes(items)?)?)
            }
            ListCommand::Clear => Outcome::value(list.clear()?),
            ListCommand::Claim { now, hold } => {
                let list = list.with_hold(hold.hold());
                let claim = if *now { list.try_claim()? } else { Some(list.claim(timeout)?) };
                let Some(claim) = claim else { return Ok(Outcome::nothing()) };
                let json = json!({"token": claim.token(), "item": bytes_json(&claim)});
                let text = format!("{} {}", claim.token(), String::from_utf8_lossy(&claim));
                claim.keep();
                Outcome::value(json).with_text(text).keeping_session()
            }
            ListCommand::Done { token } => Outcome::truth(list.done(*token)?),
            ListCommand::Return { token } => Outcome::truth(list.give_back(*token)?),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Name of the log
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
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Outcome> {
        let log = client.log(&self.name);
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
            match log.tail_wait(after, timeout) {
                Ok(page) => {
                    for line in page.iter() {
                        Outcome::bytes(Some(line)).print(false);
                    }
                    after = (page.at() + page.len() as u64).saturating_sub(1).max(after);
                }
                Err(Error::TimedOut { .. }) => return Ok(Outcome::done()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
