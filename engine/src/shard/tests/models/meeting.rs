//! Twins of what parties meet at: reduction, barrier, latch.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Ticket, Told, Twin, compare, steps};

proptest! {
    #[test]
    fn a_reduction_is_a_table_of_contributions(steps in steps(reduction_ops())) {
        compare::<Reduction>(&steps);
    }

    #[test]
    fn a_barrier_is_a_table_of_names(steps in steps(barrier_ops())) {
        compare::<Barrier>(&steps);
    }

    #[test]
    fn a_latch_is_a_list_of_names(steps in steps(latch_ops())) {
        compare::<Latch>(&steps);
    }
}

fn reduction_ops() -> impl Strategy<Value = String> {
    let op = prop::sample::select(&["sum", "sum", "sum", "mean", "min", "max"][..]);
    let numbers = prop_oneof![
        6 => (-9..9_i32, -9..9_i32).prop_map(|(a, b)| format!("f64:{a}.1,{b}.7")),
        1 => Just("f64:1".to_owned()),
    ];
    // Mostly what fits together, so that rounds get done.
    let (parties, round) = (prop_oneof![9 => Just(3_u32), 1 => 0..5_u32], 0..4_u64);
    prop_oneof![
        1 => Just("last".to_owned()),
        1 => Just("state".to_owned()),
        12 => (0..4_u32, parties, round, op, numbers).prop_map(
            |(party, parties, round, op, numbers)| {
                let op = if round == 3 { op } else { "sum" };
                format!("give {party}/{parties} {round} {op} {numbers}")
            }
        ),
    ]
}

#[derive(Default)]
struct Reduction {
    round: u64,
    /// Parties, op, and what each seat contributed first.
    progress: Option<(u32, String, BTreeMap<u32, Vec<f64>>)>,
    waiting: Vec<Ticket>,
    last: Option<String>,
}

impl Reduction {
    fn missing(&self) -> String {
        let Some((parties, _, seats)) = &self.progress else { return String::new() };
        let missing: Vec<String> =
            (0..*parties).filter(|seat| !seats.contains_key(seat)).map(|n| n.to_string()).collect();
        format!(", missing {}", missing.join(" "))
    }

    fn arrived(&self) -> String {
        let counts = |(parties, _, seats): &(u32, String, BTreeMap<u32, Vec<f64>>)| {
            format!("{}/{parties}", seats.len())
        };
        self.progress.as_ref().map_or("0/0".to_owned(), counts)
    }

    fn refusal(&self, seat: (u32, u32), round: u64, op: &str, len: usize) -> Option<String> {
        let (party, parties) = seat;
        let is_fresh = self.last.is_none() && self.progress.is_none();
        let is_last = self.last.is_some() && round + 1 == self.round;
        if parties == 0 {
            return Some("BadArgument(65536,0)".to_owned());
        }
        if party >= parties {
            return Some(format!("OutOfRange({parties},{party})"));
        }
        if is_fresh || is_last {
            return None;
        }
        if round != self.round {
            return Some(format!("WrongRound({},{round})", self.round));
        }
        let (ours, our_op, seats) = self.progress.as_ref()?;
        let other = seats.values().next().map_or(0, Vec::len);
        let code = |op| ["sum", "mean", "min", "max"].iter().position(|name| *name == op);
        match () {
            () if *ours != parties => Some(format!("Mismatch({ours},{parties})")),
            () if our_op != op => {
                let (ours, theirs) = (code(our_op.as_str()), code(op));
                let (ours, theirs) = (ours.expect("an op"), theirs.expect("an op"));
                Some(format!("Mismatch({ours},{theirs})"))
            }
            () if other != len => Some(format!("Mismatch({other},{len})")),
            () => None,
        }
    }
}

impl Twin for Reduction {
    const KIND: &'static str = "reduction";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Told {
        let ["give", seat, round, op, numbers] = *words else {
            let answer = match words[0] {
                "last" => self.last.clone().unwrap_or("Absent".to_owned()),
                _ => format!(
                    "round {} {} {} waiting{}",
                    self.round,
                    self.arrived(),
                    self.waiting.len(),
                    self.missing()
                ),
            };
            return vec![(ticket, answer)];
        };
        let (party, parties) = seat.split_once('/').expect("a seat");
        let (party, parties) = (party.parse().expect("a seat"), parties.parse().expect("parties"));
        let round: u64 = round.parse().expect("a round");
        let numbers = numbers.strip_prefix("f64:").expect("floats").split(',');
        let numbers: Vec<f64> = numbers.map(|number| number.parse().expect("a float")).collect();
        if let Some(refusal) = self.refusal((party, parties), round, op, numbers.len()) {
            return vec![(ticket, refusal)];
        }
        if self.last.is_some() && round + 1 == self.round {
            return vec![(ticket, self.last.clone().expect("the last round"))];
        }
        self.round = round;
        let (_, _, seats) =
            self.progress.get_or_insert_with(|| (parties, op.to_owned(), BTreeMap::new()));
        seats.entry(party).or_insert(numbers);
        self.waiting.push(ticket);
        if seats.len() < parties as usize {
            return Vec::new();
        }
        let (_, _, seats) = self.progress.take().expect("was just there");
        let combine = |a: f64, b: f64| match op {
            "min" => a.min(b),
            "max" => a.max(b),
            _ => a + b,
        };
        let result = seats
            .into_values()
            .reduce(|sum, part| sum.into_iter().zip(part).map(|(a, b)| combine(a, b)).collect());
        let scale = if op == "mean" { f64::from(parties) } else { 1.0 };
        let result = result.expect("parties").into_iter().map(|n| (n / scale).to_string());
        let result = format!("round {round} f64:{}", result.collect::<Vec<_>>().join(","));
        self.last = Some(result.clone());
        self.round += 1;
        std::mem::take(&mut self.waiting).into_iter().map(|all| (all, result.clone())).collect()
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        self.waiting.retain(|other| *other != ticket);
        format!("Timeout {}{}", self.arrived(), self.missing())
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.waiting.clone()
    }
}

fn barrier_ops() -> impl Strategy<Value = String> {
    let how = prop::sample::select(&["wait", "wait", "arrive"][..]);
    let parties = prop_oneof![9 => Just(3_u32), 1 => 0..5_u32];
    let generation =
        prop_oneof![3 => Just(String::new()), 1 => (0..4_u64).prop_map(|g| g.to_string())];
    prop_oneof![
        2 => Just("state".to_owned()),
        1 => Just("reset".to_owned()),
        1 => Just("break fire".to_owned()),
        12 => (how, "[a-d]", parties, generation).prop_map(|(how, party, parties, generation)| {
            format!("{how} {party}/{parties} {generation}")
        }),
    ]
}

#[derive(Default)]
struct Barrier {
    generation: u64,
    parties: u32,
    /// Who is there: whether firmly, and who waits in its name.
    seats: BTreeMap<String, (bool, Vec<Ticket>)>,
    roster: Vec<String>,
    broken: Option<String>,
}

impl Barrier {
    fn missing(&self) -> String {
        let missing: Vec<&str> = self
            .roster
            .iter()
            .filter(|name| !self.seats.contains_key(*name))
            .map(String::as_str)
            .collect();
        if missing.is_empty() { String::new() } else { format!(", missing {}", missing.join(" ")) }
    }

    fn let_go(&mut self, answer: &str) -> Told {
        let waiting = self.waiting().into_iter();
        let told = waiting.map(|ticket| (ticket, answer.to_owned())).collect();
        self.seats.clear();
        told
    }
}

impl Twin for Barrier {
    const KIND: &'static str = "barrier";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Told {
        let now = self.generation;
        let (seat, meant) = match *words {
            ["state"] => {
                let (arrived, waiting) = (self.seats.len(), self.waiting().len());
                let (parties, missing) = (self.parties, self.missing());
                let state = format!("round {now} {arrived}/{parties} {waiting} waiting{missing}");
                return vec![(ticket, state)];
            }
            ["reset"] => {
                let mut told = self.let_go("Broken the barrier was reset");
                self.broken = None;
                self.generation += 1;
                told.push((ticket, self.generation.to_string()));
                return told;
            }
            ["break", reason] => {
                let mut told = self.let_go(&format!("Broken {reason}"));
                self.broken = Some(reason.to_owned());
                told.push((ticket, now.to_string()));
                return told;
            }
            [_, seat, generation] => (seat, generation.parse().expect("a generation")),
            [_, seat] => (seat, u64::MAX),
            _ => unreachable!("{words:?}"),
        };
        let (party, parties) = seat.split_once('/').expect("a seat");
        let parties: u32 = parties.parse().expect("parties");
        let refusal = match () {
            () if parties == 0 => Some("BadArgument(65536,0)".to_owned()),
            () if self.parties != 0 && self.parties != parties => {
                Some(format!("Mismatch({},{parties})", self.parties))
            }
            () if meant != u64::MAX && meant > now => Some(format!("WrongRound({now},{meant})")),
            () if meant < now => Some(meant.to_string()),
            () => self.broken.as_ref().map(|reason| format!("Broken {reason}")),
        };
        if let Some(refusal) = refusal {
            return vec![(ticket, refusal)];
        }
        self.parties = parties;
        let waits = words[0] == "wait";
        let is_last = !self.seats.contains_key(party) && self.seats.len() + 1 == parties as usize;
        let seat = self.seats.entry(party.to_owned()).or_default();
        if is_last {
            self.roster = self.seats.keys().cloned().collect();
            let mut told = self.let_go(&now.to_string());
            self.generation += 1;
            told.push((ticket, now.to_string()));
            return told;
        }
        if waits {
            seat.1.push(ticket);
            return Vec::new();
        }
        seat.0 = true;
        vec![(ticket, now.to_string())]
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        let answer = format!("Timeout {}/{}{}", self.seats.len(), self.parties, self.missing());
        for (_, waiting) in self.seats.values_mut() {
            waiting.retain(|other| *other != ticket);
        }
        self.seats.retain(|_, (firm, waiting)| *firm || !waiting.is_empty());
        answer
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.seats.values().flat_map(|(_, waiting)| waiting.iter().copied()).collect()
    }
}

fn latch_ops() -> impl Strategy<Value = String> {
    let parties = prop_oneof![9 => Just(3_u32), 1 => 0..5_u32];
    prop_oneof![
        1 => Just("state".to_owned()),
        2 => parties.clone().prop_map(|parties| format!("wait {parties}")),
        2 => ("[a-d]", parties).prop_map(|(party, parties)| format!("count {party}/{parties}")),
    ]
}

#[derive(Default)]
struct Latch {
    parties: usize,
    names: Vec<String>,
    waiting: Vec<Ticket>,
}

impl Latch {
    fn arrived(&self) -> String {
        format!("{}/{}", self.names.len(), self.parties)
    }
}

impl Twin for Latch {
    const KIND: &'static str = "latch";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Told {
        let (party, parties) = match *words {
            ["state"] if self.parties == 0 => return vec![(ticket, "Absent".to_owned())],
            ["state"] => {
                let state = format!("round 0 {} {} waiting", self.arrived(), self.waiting.len());
                return vec![(ticket, state)];
            }
            [_, words] => words.split_once('/').unwrap_or(("", words)),
            _ => unreachable!("{words:?}"),
        };
        let parties: usize = parties.parse().expect("parties");
        if parties == 0 {
            return vec![(ticket, "BadArgument(65536,0)".to_owned())];
        }
        if self.parties != 0 && self.parties != parties {
            return vec![(ticket, format!("Mismatch({},{parties})", self.parties))];
        }
        self.parties = parties;
        let is_open = self.names.len() == parties;
        if words[0] == "wait" {
            if is_open {
                return vec![(ticket, "0".to_owned())];
            }
            self.waiting.push(ticket);
            return Vec::new();
        }
        if !is_open && !self.names.iter().any(|name| name == party) {
            self.names.push(party.to_owned());
        }
        let missing = parties - self.names.len();
        let mut told = vec![(ticket, missing.to_string())];
        if missing == 0 {
            told.extend(self.waiting.drain(..).map(|ticket| (ticket, "0".to_owned())));
        }
        told
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        self.waiting.retain(|other| *other != ticket);
        format!("Timeout {}", self.arrived())
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.waiting.clone()
    }
}
