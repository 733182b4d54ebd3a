//! Watches a cluster: shows its state continuously, or its changes.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{self, Clear, ClearType};
use serde_json::json;

use super::probe::{ClusterProbe, ProbedNode, id_text, reason};
use super::{NODE_TIMEOUT, table};
use crate::display::{self, Shown};
use crate::interrupt;
use crate::outcome::{Format, Outcome};
use crate::output::OutputError;

/// A successor that is this many log entries behind is reported as lagging.
const LAG: u64 = 1_024;

/// A node is reported as silent if it does not reply until the next update, but not before this
/// time.
const PATIENCE_MIN: Duration = Duration::from_millis(250);

/// Shows the cluster until `timeout`, or forever. On a terminal it redraws the table in place;
/// otherwise it prints a line for each change.
pub(super) fn watch(
    probe: &mut ClusterProbe,
    every: Duration,
    timeout: Option<Duration>,
    format: Format,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    probe.timeout = every.clamp(PATIENCE_MIN, NODE_TIMEOUT);
    let in_place = format.terminal && !format.json;
    let mut before = ClusterFacts::default();
    if in_place {
        execute!(std::io::stdout(), Clear(ClearType::All)).map_err(OutputError::from)?;
    }
    loop {
        probe.refresh()?;
        let now = ClusterFacts::of(probe);
        let changes = now.since(&before);
        if in_place {
            let (columns, lines) = terminal::size().unwrap_or((80, 24));
            let text = table::text(probe, false, Some(columns.into()));
            draw(&fitted(&text, columns.into(), lines.into())).map_err(OutputError::from)?;
        } else {
            for change in changes {
                print_change(&change, started.elapsed(), format)?;
            }
        }
        before = now;
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left <= every) {
            interrupt::sleep(left.unwrap_or_default())?;
            let outcome = Outcome::done().with_json(probe.json()).with_text("");
            return Ok(outcome.ending(probe.is_healthy()));
        }
        interrupt::sleep(every)?;
    }
}

/// The lines of a text that fit a terminal; the last one says how many do not.
fn fitted(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let cut = |line: &str| display::cut(line, columns);
    let escaped = display::escaped(text.as_bytes(), Shown::Text);
    let mut all: Vec<String> = escaped.lines().map(cut).collect();
    // The cursor takes the last line.
    let room = lines.saturating_sub(1).max(1);
    if all.len() > room {
        let hidden = all.len() - room + 1;
        all.truncate(room - 1);
        all.push(cut(&format!("… {hidden} more lines: see `catena cluster status`")));
    }
    all
}

fn draw(lines: &[String]) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    execute!(out, MoveTo(0, 0))?;
    for line in lines {
        write!(out, "{line}")?;
        execute!(out, Clear(ClearType::UntilNewLine))?;
        writeln!(out)?;
    }
    execute!(out, Clear(ClearType::FromCursorDown))
}

fn print_change(change: &str, after: Duration, format: Format) -> Result<(), OutputError> {
    let seconds = after.as_secs_f64();
    let outcome = Outcome::value(json!({"after_s": seconds, "change": change}));
    outcome.with_text(format!("{seconds:8.1}s  {change}")).print(format)
}

/// The facts of which every change is printed.
#[derive(Default)]
struct ClusterFacts {
    epoch: u32,
    /// Members by id, with their names.
    members: BTreeMap<u128, String>,
    /// Facts about each node, by its control port.
    nodes: BTreeMap<String, NodeFacts>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct NodeFacts {
    name: String,
    standing: String,
    lags: bool,
    notes: Vec<String>,
}

impl ClusterFacts {
    fn of(probe: &ClusterProbe) -> ClusterFacts {
        let newest = probe.newest();
        let members = newest.iter().flat_map(|newest| &newest.members);
        let facts = |node: &ProbedNode| match &node.status {
            Ok(status) => {
                let active = if status.active { "" } else { ", not active" };
                let standing = format!("{}{active}", status.standing);
                // The time until a node rejoins changes with every update.
                let notes = table::notes_of(probe, status);
                let notes = notes.into_iter().filter(|note| !note.contains(" rejoins in "));
                NodeFacts {
                    name: status.name.clone(),
                    standing,
                    lags: node.lag() >= LAG,
                    notes: notes.map(without_times).collect(),
                }
            }
            Err(error) => {
                let name = if node.name.is_empty() { &node.control } else { &node.name };
                let standing = format!("silent: {}", reason(error));
                NodeFacts { name: name.clone(), standing, ..NodeFacts::default() }
            }
        };
        ClusterFacts {
            epoch: newest.map_or(0, |newest| newest.epoch),
            members: members.map(|member| (member.node, member.name.clone())).collect(),
            nodes: probe.nodes.iter().map(|node| (node.control.clone(), facts(node))).collect(),
        }
    }

    /// Describes every difference to earlier facts, one line each.
    fn since(&self, before: &ClusterFacts) -> Vec<String> {
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
        for (control, facts) in &self.nodes {
            let was = before.nodes.get(control).cloned().unwrap_or_default();
            let name = &facts.name;
            if facts.standing != was.standing {
                changes.push(format!("{name} is {}", facts.standing));
            }
            match (was.lags, facts.lags) {
                (false, true) => changes.push(format!("{name} has a successor that lags")),
                (true, false) => changes.push(format!("{name} has a successor that keeps up")),
                _ => {}
            }
            let new = facts.notes.iter().filter(|note| !was.notes.contains(note));
            changes.extend(new.cloned());
            let over = |prefix: &str| {
                let has = |notes: &[String]| notes.iter().any(|note| note.starts_with(prefix));
                has(&was.notes) && !has(&facts.notes)
            };
            if over(&format!("{name} suspects ")) {
                changes.push(format!("{name} no longer suspects another member"));
            }
            if over(&format!("{name} cannot use the register")) {
                changes.push(format!("{name} can use the register again"));
            }
        }
        changes
    }
}

/// Replaces the numbers in a note, because numbers that grow would make every update a change.
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

    fn facts(epoch: u32, members: &[(u128, &str)], nodes: &[(&str, &str)]) -> ClusterFacts {
        let facts = |name: &str, standing: &str| NodeFacts {
            name: name.to_owned(),
            standing: standing.to_owned(),
            ..NodeFacts::default()
        };
        ClusterFacts {
            epoch,
            members: members.iter().map(|(node, name)| (*node, (*name).to_owned())).collect(),
            nodes: nodes
                .iter()
                .map(|(name, standing)| (format!("{name}:1"), facts(name, standing)))
                .collect(),
        }
    }

    #[test]
    fn every_change_is_a_line() {
        let (a, b) = ((0xa << 124, "a"), (0xb << 124, "b"));
        let first = facts(3, &[a, b], &[("a", "member"), ("b", "member")]);
        assert_eq!(
            first.since(&ClusterFacts::default()),
            ["epoch 3: a, b", "a is member", "b is member"]
        );
        assert!(first.since(&first).is_empty());
        let mut suspected = facts(3, &[a, b], &[("a", "member"), ("b", "silent: timed out")]);
        suspected.nodes.get_mut("a:1").unwrap().notes.push("a suspects b: silence".to_owned());
        assert_eq!(suspected.since(&first), ["a suspects b: silence", "b is silent: timed out"]);
        let alone = facts(4, &[a], &[("a", "member")]);
        let expected = ["epoch 4: a", "b (n-b0000000) left", "a no longer suspects another member"];
        assert_eq!(alone.since(&suspected), expected);
        assert_eq!(first.since(&alone)[1], "b (n-b0000000) joined");
    }

    #[test]
    fn what_does_not_fit_is_cut_or_counted() {
        let text = "a line\na line that is longer\nthree\nfour\nfive";
        assert_eq!(fitted(text, 80, 24).len(), 5);
        let few = fitted(text, 10, 4);
        assert_eq!(few, ["a line", "a line th…", "… 3 more …"]);
        assert_eq!(fitted("\x1b[2J", 80, 24), ["\\x1b[2J"]);
    }

    #[test]
    fn numbers_that_grow_are_no_change() {
        let note = |text: &str| without_times(text.to_owned());
        assert_eq!(
            note("a suspects node-2: silent for 1.25 s"),
            "a suspects node-2: silent for … s"
        );
    }
}
