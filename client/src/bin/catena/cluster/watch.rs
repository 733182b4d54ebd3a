//! A cluster, again and again.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType};
use serde_json::json;

use super::sight::{Look, id_text};
use super::{NODE_TIMEOUT, table};
use crate::answer::Answer;

/// A successor that is so many entries behind is said to lag.
const LAG: u64 = 1_024;

/// A node that takes longer to answer than from one look to the next is said to be silent, but not before
/// this.
const PATIENCE_MIN: Duration = Duration::from_millis(250);

/// Looks every so often, until the time is over or for ever. On a terminal it draws what it sees in
/// place; otherwise it prints a line for each change.
pub(super) fn watch(
    look: &mut Look,
    every: Duration,
    timeout: Option<Duration>,
    as_json: bool,
) -> anyhow::Result<Answer> {
    let started = Instant::now();
    look.timeout = every.clamp(PATIENCE_MIN, NODE_TIMEOUT);
    let in_place = std::io::stdout().is_terminal() && !as_json;
    let mut before = Facts::default();
    if in_place {
        execute!(std::io::stdout(), Clear(ClearType::All))?;
    }
    loop {
        look.again()?;
        let now = Facts::of(look);
        let changes = now.since(&before);
        if in_place {
            draw(&table::text(look, false))?;
        } else {
            for change in changes {
                say(&change, started.elapsed(), as_json)?;
            }
        }
        before = now;
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left <= every) {
            sleep(left.unwrap_or_default());
            return Ok(Answer::done().with_json(look.json()).with_text("").ending(look.is_well()));
        }
        sleep(every);
    }
}

fn draw(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    execute!(out, MoveTo(0, 0))?;
    for line in text.lines() {
        write!(out, "{line}")?;
        execute!(out, Clear(ClearType::UntilNewLine))?;
        writeln!(out)?;
    }
    execute!(out, Clear(ClearType::FromCursorDown))?;
    Ok(())
}

fn say(change: &str, after: Duration, as_json: bool) -> anyhow::Result<()> {
    let seconds = after.as_secs_f64();
    let mut out = std::io::stdout().lock();
    match as_json {
        true => writeln!(out, "{}", json!({"after_s": seconds, "change": change}))?,
        false => writeln!(out, "{seconds:8.1}s  {change}")?,
    }
    out.flush()?;
    Ok(())
}

/// What is worth a line when it changes.
#[derive(Default)]
struct Facts {
    epoch: u32,
    /// Members by id, with their names.
    members: BTreeMap<u128, String>,
    /// What there is to say of each node, by its control port.
    nodes: BTreeMap<String, Facet>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Facet {
    name: String,
    standing: String,
    lags: bool,
    notes: Vec<String>,
}

impl Facts {
    fn of(look: &Look) -> Facts {
        let newest = look.newest();
        let members = newest.iter().flat_map(|newest| &newest.members);
        let facet = |node: &super::sight::Seen| match &node.status {
            Ok(status) => {
                let active = if status.active { "" } else { ", not active" };
                let standing = format!("{}{active}", status.standing);
                // How long it takes to come back changes all the time.
                let notes = table::notes_of(look, status);
                let notes = notes.into_iter().filter(|note| !note.contains(" comes back in "));
                Facet {
                    name: status.name.clone(),
                    standing,
                    lags: node.lag() >= LAG,
                    notes: notes.map(without_times).collect(),
                }
            }
            Err(reason) => {
                let name = if node.name.is_empty() { &node.control } else { &node.name };
                let standing = format!("silent: {reason}");
                Facet { name: name.clone(), standing, ..Facet::default() }
            }
        };
        Facts {
            epoch: newest.map_or(0, |newest| newest.epoch),
            members: members.map(|member| (member.node, member.name.clone())).collect(),
            nodes: look.nodes.iter().map(|node| (node.control.clone(), facet(node))).collect(),
        }
    }

    /// A line for everything that is not as it was.
    fn since(&self, before: &Facts) -> Vec<String> {
        let mut changes = Vec::new();
        if self.epoch != before.epoch {
            let names: Vec<&str> = self.members.values().map(String::as_str).collect();
            changes.push(format!("epoch {}: {}", self.epoch, names.join(", ")));
        }
        if before.epoch > 0 {
            let short = |node: &u128| id_text(*node).chars().take(10).collect::<String>();
            for (node, name) in &self.members {
                if !before.members.contains_key(node) {
                    changes.push(format!("{name} ({}) joined", short(node)));
                }
            }
            for (node, name) in &before.members {
                if !self.members.contains_key(node) {
                    changes.push(format!("{name} ({}) left", short(node)));
                }
            }
        }
        for (control, facet) in &self.nodes {
            let was = before.nodes.get(control).cloned().unwrap_or_default();
            let name = &facet.name;
            if facet.standing != was.standing {
                changes.push(format!("{name} is {}", facet.standing));
            }
            match (was.lags, facet.lags) {
                (false, true) => changes.push(format!("{name} waits for a successor that lags")),
                (true, false) => changes.push(format!("{name} has a successor that keeps up")),
                _ => {}
            }
            let new = facet.notes.iter().filter(|note| !was.notes.contains(note));
            changes.extend(new.cloned());
            let over = |prefix: &str| {
                let has = |notes: &[String]| notes.iter().any(|note| note.starts_with(prefix));
                has(&was.notes) && !has(&facet.notes)
            };
            if over(&format!("{name} suspects ")) {
                changes.push(format!("{name} suspects nobody any more"));
            }
            if over(&format!("{name} has trouble with the register")) {
                changes.push(format!("{name} can use the register again"));
            }
        }
        changes
    }
}

/// A note in which numbers are not told apart: those that grow would make a line every time.
fn without_times(note: String) -> String {
    let mut text = String::new();
    for letter in note.chars() {
        match letter {
            '0'..='9' | '.' if text.ends_with('…') => {}
            '0'..='9' if !text.ends_with(|last: char| last.is_alphanumeric() || last == '-') => {
                text.push('…');
            }
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(epoch: u32, members: &[(u128, &str)], nodes: &[(&str, &str)]) -> Facts {
        let facet = |name: &str, standing: &str| Facet {
            name: name.to_owned(),
            standing: standing.to_owned(),
            ..Facet::default()
        };
        Facts {
            epoch,
            members: members.iter().map(|(node, name)| (*node, (*name).to_owned())).collect(),
            nodes: nodes
                .iter()
                .map(|(name, standing)| (format!("{name}:1"), facet(name, standing)))
                .collect(),
        }
    }

    #[test]
    fn a_change_is_a_line() {
        let (a, b) = ((0xa << 124, "a"), (0xb << 124, "b"));
        let first = facts(3, &[a, b], &[("a", "member"), ("b", "member")]);
        assert_eq!(first.since(&Facts::default()), ["epoch 3: a, b", "a is member", "b is member"]);
        assert!(first.since(&first).is_empty());
        let mut suspected = facts(3, &[a, b], &[("a", "member"), ("b", "silent: timed out")]);
        suspected.nodes.get_mut("a:1").unwrap().notes.push("a suspects b: silence".to_owned());
        assert_eq!(suspected.since(&first), ["a suspects b: silence", "b is silent: timed out"]);
        let alone = facts(4, &[a], &[("a", "member")]);
        let expected = ["epoch 4: a", "b (n-b0000000) left", "a suspects nobody any more"];
        assert_eq!(alone.since(&suspected), expected);
        assert_eq!(first.since(&alone)[1], "b (n-b0000000) joined");
    }

    #[test]
    fn numbers_that_grow_make_no_new_line() {
        let note = |text: &str| without_times(text.to_owned());
        assert_eq!(
            note("a suspects node-2: silent for 1.25 s"),
            "a suspects node-2: silent for … s"
        );
    }
}
