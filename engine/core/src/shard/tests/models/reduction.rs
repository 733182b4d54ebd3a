//! The model of a reduction.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::seats::{self, SeatsModel};
use super::{Model, Replies, Ticket, compare, steps};

proptest! {
    #[test]
    fn a_reduction_is_a_table_of_contributions(steps in steps(reduction_ops())) {
        compare::<ReductionModel>(&steps);
    }
}

fn reduction_ops() -> impl Strategy<Value = String> {
    let op = prop::sample::select(&["sum", "mean", "min", "max"][..]);
    let op = prop_oneof![3 => Just("OP-sum".to_owned()), 1 => op.prop_map(|op| format!("OP-{op}")),
        1 => Just("max".to_owned())];
    let numbers = prop_oneof![
        12 => (-9..9_i32, -9..9_i32).prop_map(|(a, b)| format!("f64:{a}.1,{b}.7")),
        1 => Just("f64:1".to_owned()),
    ];
    // Arguments mostly match, so that rounds are completed.
    let parties = prop_oneof![20 => Just(3_u32), 1 => 0..5_u32];
    let round = prop_oneof![8 => Just("NOW-0"), 2 => Just("NOW-1"), 1 => Just("NOW+1")];
    let part = (0..4_u32, parties, round, op, numbers, seats::terms());
    prop_oneof![
        1 => Just("last".to_owned()),
        2 => Just("state".to_owned()),
        1 => Just("reset".to_owned()),
        1 => Just("break fire".to_owned()),
        24 => part.prop_map(|(party, parties, round, op, numbers, terms)| {
            let party = if party == 3 { 0 } else { party };
            format!("give {party}/{parties} {round} {op} {numbers} {terms}")
        }),
    ]
}

#[derive(Default)]
struct ReductionModel {
    round: u64,
    progress: Option<Progress>,
    last: Option<String>,
    parties: u32,
    loss: Option<String>,
    seats: SeatsModel,
    dropped: BTreeSet<u32>,
    broken: Option<String>,
}

#[derive(Default)]
struct Progress {
    op: String,
    /// The first contribution of each seat.
    given: BTreeMap<u32, Vec<f64>>,
    /// Parties whose contributions are added last.
    skipped: BTreeSet<u32>,
    parked: Vec<Ticket>,
    /// The requests that took the held seats.
    takers: BTreeMap<u32, Ticket>,
}

impl ReductionModel {
    fn absent(&self) -> Vec<u32> {
        let Some(progress) = &self.progress else { return Vec::new() };
        let is_absent =
            |seat: &u32| !progress.given.contains_key(seat) && !self.dropped.contains(seat);
        (0..self.parties).filter(is_absent).collect()
    }

    fn missing(&self) -> String {
        let missing: Vec<String> = self.absent().iter().map(u32::to_string).collect();
        if missing.is_empty() { String::new() } else { format!(", missing {}", missing.join(" ")) }
    }

    fn arrived(&self) -> String {
        let Some(progress) = &self.progress else { return "0/0".to_owned() };
        let arrived = progress.given.len();
        format!("{arrived}/{}", arrived + self.absent().len())
    }

    fn refusal(&self, words: &ContributionWords<'_>) -> Option<String> {
        let ContributionWords { party, parties, round, op, loss, ref numbers, .. } = *words;
        match () {
            () if parties == 0 => return Some("BadArgument(65536,0)".to_owned()),
            () if party >= parties => return Some(format!("OutOfRange({parties},{party})")),
            () if self.is_last(round) => return None,
            () if self.loss.is_some() && round != self.round => {
                return Some(format!("WrongRound({},{round})", self.round));
            }
            () => {}
        }
        if let Some(reason) = &self.broken {
            return Some(format!("Broken {reason}"));
        }
        let ours = self.loss.as_deref().unwrap_or(loss);
        if ours != loss {
            let (ours, theirs) = (seats::loss_code(ours), seats::loss_code(loss));
            return Some(format!("Mismatch({ours},{theirs})"));
        }
        let Progress { op: our_op, given, .. } = self.progress.as_ref()?;
        let len = given.values().next().map_or(0, Vec::len);
        let code = |op| ["sum", "mean", "min", "max"].iter().position(|name| *name == op);
        match () {
            () if self.parties != parties => Some(format!("Mismatch({},{parties})", self.parties)),
            () if our_op != op => {
                let (ours, theirs) = (code(our_op.as_str()), code(op));
                let (ours, theirs) = (ours.expect("an op"), theirs.expect("an op"));
                Some(format!("Mismatch({ours},{theirs})"))
            }
            () if len != numbers.len() => Some(format!("Mismatch({len},{})", numbers.len())),
            () => None,
        }
    }

    fn is_last(&self, round: u64) -> bool {
        self.last.is_some() && round + 1 == self.round
    }

    fn come_late(&mut self, session: u64, words: &ContributionWords<'_>) {
        let ContributionWords { party, parties, hold_ms, loss, .. } = *words;
        let fits = parties == self.parties && Some(loss) == self.loss.as_deref();
        if fits && self.broken.is_none() {
            self.seats.take(&party.to_string(), session, hold_ms, loss);
            self.dropped.remove(&party);
            if let Some(progress) = &mut self.progress {
                progress.takers.remove(&party);
            }
        }
    }

    fn complete(&mut self) -> Replies {
        let progress = self.progress.take().expect("a round");
        let combine = |a: f64, b: f64| match progress.op.as_str() {
            "min" => a.min(b),
            "max" => a.max(b),
            _ => a + b,
        };
        let (late, in_turn): (Vec<u32>, Vec<u32>) =
            progress.given.keys().partition(|seat| progress.skipped.contains(seat));
        let parts = in_turn.iter().chain(&late).map(|seat| progress.given[seat].clone());
        let result = parts
            .reduce(|sum, part| sum.into_iter().zip(part).map(|(a, b)| combine(a, b)).collect());
        let count = u32::try_from(progress.given.len()).expect("few parties");
        let scale = if progress.op == "mean" { f64::from(count) } else { 1.0 };
        let result = result.expect("parties").into_iter().map(|n| (n / scale).to_string());
        let result = format!("round {} f64:{}", self.round, result.collect::<Vec<_>>().join(","));
        self.last = Some(result.clone());
        self.round += 1;
        progress.parked.into_iter().map(|all| (all, result.clone())).collect()
    }

    fn send_away(&mut self, reason: &str) -> Replies {
        let parked = self.progress.take().map_or(Vec::new(), |progress| progress.parked);
        parked.into_iter().map(|all| (all, format!("Broken {reason}"))).collect()
    }

    fn lose(&mut self, party: &str, is_late: bool) -> Replies {
        let loss = self.loss.clone().expect("agreed by the first");
        if loss == "break" && is_late && self.broken.is_none() {
            let reason = format!("party {party} is past its deadline");
            let told = self.send_away(&reason);
            self.broken = Some(reason);
            return told;
        }
        let party: u32 = party.parse().expect("a seat");
        let timeout = format!("Timeout {}{}", self.arrived(), self.missing());
        let mut told = Replies::new();
        if let Some(progress) = &mut self.progress
            && let Some(taker) = progress.takers.remove(&party)
            && progress.parked.contains(&taker)
        {
            progress.parked.retain(|other| *other != taker);
            told.push((taker, timeout));
        }
        if loss == "drop" {
            self.dropped.insert(party);
            if let Some(progress) = &mut self.progress {
                if !progress.given.contains_key(&party) {
                    progress.skipped.insert(party);
                }
                if self.absent().is_empty() {
                    told.extend(self.complete());
                }
            }
        }
        told
    }
}

/// The words of a contribution.
struct ContributionWords<'w> {
    party: u32,
    parties: u32,
    round: u64,
    op: &'w str,
    numbers: Vec<f64>,
    hold_ms: u64,
    loss: &'w str,
}

impl<'w> ContributionWords<'w> {
    fn new(words: &[&'w str]) -> ContributionWords<'w> {
        let ["give", seat, round, op, numbers, ..] = *words else { panic!("what is {words:?}") };
        let (party, parties) = seat.split_once('/').expect("a seat");
        let numbers = numbers.strip_prefix("f64:").expect("floats").split(',');
        let (hold_ms, loss) = seats::spoken(words);
        ContributionWords {
            party: party.parse().expect("a seat"),
            parties: parties.parse().expect("parties"),
            round: round.parse().expect("a round"),
            op,
            numbers: numbers.map(|number| number.parse().expect("a float")).collect(),
            hold_ms,
            loss,
        }
    }
}

impl Model for ReductionModel {
    const KIND: &'static str = "reduction";

    fn fill(&self, words: &str) -> String {
        let now = self.round;
        let words = words
            .replace("NOW-0", &now.to_string())
            .replace("NOW-1", &now.saturating_sub(1).to_string())
            .replace("NOW+1", &(now + 1).to_string());
        let op = self.progress.as_ref().map(|progress| progress.op.as_str());
        let words: Vec<&str> = words
            .split_whitespace()
            .map(|word| word.strip_prefix("OP-").map_or(word, |own| op.unwrap_or(own)))
            .collect();
        seats::agree(&words.join(" "), self.loss.as_deref())
    }

    fn clock(&mut self, now_ms: u64) {
        self.seats.clock(now_ms);
    }

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let (round, arrived, missing) = (self.round, self.arrived(), self.missing());
        match *words {
            ["last"] => return vec![(ticket, self.last.clone().unwrap_or("Absent".to_owned()))],
            ["state"] => {
                let waiting = self.waiting().len();
                let state = format!("round {round} {arrived} {waiting} waiting{missing}");
                return vec![(ticket, state)];
            }
            ["reset"] => {
                let mut told = self.send_away("the reduction was reset");
                self.dropped.clear();
                self.seats.clear();
                self.broken = None;
                told.push((ticket, round.to_string()));
                return told;
            }
            ["break", reason] => {
                let mut told = self.send_away(reason);
                self.broken = Some(reason.to_owned());
                told.push((ticket, round.to_string()));
                return told;
            }
            _ => {}
        }
        let words = ContributionWords::new(words);
        if let Some(refusal) = self.refusal(&words) {
            return vec![(ticket, refusal)];
        }
        if self.is_last(words.round) {
            self.come_late(ticket.0, &words);
            return vec![(ticket, self.last.clone().expect("the last round"))];
        }
        let ContributionWords { party, parties, round, op, numbers, hold_ms, loss } = words;
        (self.round, self.loss) = (round, Some(loss.to_owned()));
        if self.parties != parties {
            self.seats.clear();
            self.dropped.clear();
            self.parties = parties;
        }
        let skipped = self.dropped.clone();
        self.dropped.remove(&party);
        let progress = self.progress.get_or_insert_with(|| Progress {
            op: op.to_owned(),
            skipped,
            ..Progress::default()
        });
        progress.given.entry(party).or_insert(numbers);
        progress.parked.push(ticket);
        progress.takers.insert(party, ticket);
        self.seats.take(&party.to_string(), ticket.0, hold_ms, loss);
        if self.absent().is_empty() { self.complete() } else { Vec::new() }
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        let progress = self.progress.as_mut().expect("it waits in a round");
        progress.parked.retain(|other| *other != ticket);
        format!("Timeout {}{}", self.arrived(), self.missing())
    }

    fn next_end(&self) -> Option<u64> {
        self.seats.next_end()
    }

    fn end(&mut self) -> Replies {
        let party = self.seats.end();
        self.lose(&party, true)
    }

    fn end_of(&mut self, session: u64) -> Option<Replies> {
        let party = self.seats.end_of(session)?;
        Some(self.lose(&party, false))
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.progress.as_ref().map_or(Vec::new(), |progress| progress.parked.clone())
    }
}
