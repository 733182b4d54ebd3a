//! Lists, which are queues of work too, and logs.

use std::time::Duration;

use catena_client::{Client, Error};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::answer::{Answer, bytes_json};
use crate::values::{self, HoldArg, all_bytes, bytes};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The list's name.
    name: String,
    #[command(subcommand)]
    op: ListOp,
}

#[derive(Debug, Subcommand)]
enum ListOp {
    /// Prints how many items there are.
    Len,
    /// Prints an item, counted from 0.
    Get { index: u64 },
    /// Prints items, one a line.
    #[command(visible_alias = "ls")]
    Range {
        #[arg(value_parser = values::range, default_value = "..")]
        range: std::ops::Range<u64>,
    },
    /// Prints where an item is.
    IndexOf {
        item: String,
        /// The last one that is equal.
        #[arg(long)]
        last: bool,
    },
    /// Whether all of these are in it.
    Contains {
        #[arg(required = true)]
        items: Vec<String>,
    },
    /// Appends, and prints the new length.
    #[command(visible_alias = "push-back")]
    Push {
        #[arg(required = true)]
        items: Vec<String>,
    },
    /// Puts in front, and prints the new length.
    PushFront { item: String },
    /// Takes the first item.
    #[command(visible_alias = "pop-front")]
    Pop {
        /// Wait for one, for `--timeout`.
        #[arg(long)]
        wait: bool,
    },
    /// Takes the last item.
    PopBack,
    /// Replaces an item, and prints the old one.
    Set { index: u64, item: String },
    /// Puts an item in between, and prints the new length.
    Insert { index: u64, item: String },
    /// Removes an item by its place, and prints it.
    RemoveAt { index: u64 },
    /// Removes the first item that is equal.
    Remove { item: String },
    /// Removes all that are equal to one of these.
    RemoveAll {
        #[arg(required = true)]
        items: Vec<String>,
    },
    /// Removes all that are equal to none of these.
    RetainAll { items: Vec<String> },
    /// Removes all items.
    Clear,
    /// Borrows the first item, waiting for one: prints a token and the item. It comes back by itself
    /// unless `done TOKEN` is said in time.
    Claim {
        /// Do not wait for one.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Says that a claimed item is done with.
    Done { token: u64 },
    /// Gives a claimed item back to the front.
    Return { token: u64 },
}

impl ListArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let list = client.list(&self.name);
        Ok(match &self.op {
            ListOp::Len => Answer::value(list.len()?),
            ListOp::Get { index } => Answer::bytes(list.get(*index)?),
            ListOp::Range { range } => {
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
                Answer::lines(items)
            }
            ListOp::IndexOf { item, last } => {
                let item = bytes(item)?;
                let found = if *last { list.last_index_of(&item)? } else { list.index_of(&item)? };
                found.map_or_else(Answer::nothing, Answer::value)
            }
            ListOp::Contains { items } => Answer::truth(list.contains_all(&all_bytes(items)?)?),
            ListOp::Push { items } => Answer::value(match &all_bytes(items)?[..] {
                [item] => list.push_back(item)?,
                items => list.extend(items)?,
            }),
            ListOp::PushFront { item } => Answer::value(list.push_front(&bytes(item)?)?),
            ListOp::Pop { wait: true } => Answer::bytes(Some(list.pop_front_wait(timeout)?)),
            ListOp::Pop { wait: false } => Answer::bytes(list.pop_front()?),
            ListOp::PopBack => Answer::bytes(list.pop_back()?),
            ListOp::Set { index, item } => Answer::bytes(Some(list.set(*index, &bytes(item)?)?)),
            ListOp::Insert { index, item } => Answer::value(list.insert(*index, &bytes(item)?)?),
            ListOp::RemoveAt { index } => Answer::bytes(Some(list.remove_at(*index)?)),
            ListOp::Remove { item } => Answer::truth(list.remove_value(&bytes(item)?)?),
            ListOp::RemoveAll { items } => Answer::value(list.remove_all(&all_bytes(items)?)?),
            ListOp::RetainAll { items } => Answer::value(list.retain_all(&all_bytes(items)?)?),
            ListOp::Clear => Answer::value(list.clear()?),
            ListOp::Claim { now, hold } => {
                let list = list.with_hold(hold.hold());
                let claim = if *now { list.try_claim()? } else { Some(list.claim(timeout)?) };
                let Some(claim) = claim else { return Ok(Answer::nothing()) };
                let json = json!({"token": claim.token(), "item": bytes_json(&claim)});
                let text = format!("{} {}", claim.token(), String::from_utf8_lossy(&claim));
                claim.keep();
                Answer::value(json).with_text(text).keeping()
            }
            ListOp::Done { token } => Answer::truth(list.done(*token)?),
            ListOp::Return { token } => Answer::truth(list.give_back(*token)?),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The log's name.
    name: String,
    #[command(subcommand)]
    op: LogOp,
}

#[derive(Debug, Subcommand)]
enum LogOp {
    /// Prints a line into it.
    Print { line: String },
    /// Prints its lines, the ones that are kept.
    Tail {
        /// Only those behind this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Go on with those that come, until nothing comes for `--timeout`.
        #[arg(long, short)]
        follow: bool,
    },
}

impl LogArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let log = client.log(&self.name);
        let (mut after, follow) = match &self.op {
            LogOp::Print { line } => return Ok(Answer::value(log.print(line)?)),
            LogOp::Tail { after, follow } => (*after, *follow),
        };
        if !follow {
            let mut lines = Vec::new();
            loop {
                let page = log.tail(after)?;
                lines.extend(page.iter().map(<[u8]>::to_vec));
                after = (page.at() + page.len() as u64).saturating_sub(1).max(after);
                if !page.more() || page.is_empty() {
                    return Ok(Answer::lines(lines));
                }
            }
        }
        loop {
            match log.tail_wait(after, timeout) {
                Ok(page) => {
                    for line in page.iter() {
                        Answer::bytes(Some(line)).print(false);
                    }
                    after = (page.at() + page.len() as u64).saturating_sub(1).max(after);
                }
                Err(Error::TimedOut { .. }) => return Ok(Answer::done()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
