//! Compares every kind of object with a simple model over random ops.
//!
//! Three clients send random ops on one object, retry earlier requests, close their sessions and
//! open others, and let time pass. A model knows nothing of frames and bytes: it returns the
//! expected replies as text, with the requests that get them.
//!
//! No client acknowledges anything, so every request may be retried: one that took effect must get
//! the same reply and change nothing, one that was refused is checked again, one that waits still
//! waits.

mod barrier;
mod future;
mod holds;
mod latch;
mod list;
mod log;
mod map;
mod reduction;
mod seats;
mod semaphore;
mod set;
mod values;
mod watched;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::op::SessionOp;
use catena_protocol::{FrameKind, Header, ObjectId, Op, OpCode};
use proptest::prelude::*;

use super::spoken;
use crate::shard::ConnId;
use crate::shard::fuzz::trial::{SHARD, Sent, Trial};

/// The identity of a request: session and number.
type Ticket = (u64, u64);

/// Replies, with the requests that get them.
type Replies = Vec<(Ticket, String)>;

/// The model of a kind of object.
trait Model: Default {
    const KIND: &'static str;

    /// Applies an op. Returns the reply to its request, unless that waits, and the replies to the
    /// requests that the op releases. If the op changes the object, its new version is `version`.
    fn ask(&mut self, ticket: Ticket, version: u64, words: &[&str]) -> Replies;

    /// Replaces placeholders in a random op: versions, tokens, generations.
    fn fill(&self, words: &str) -> String {
        words.to_owned()
    }

    /// Sets the time, before each other call.
    fn clock(&mut self, now_ms: u64) {
        let _ = now_ms;
    }

    /// Sets the position in the shard's order of the next update that is not a request.
    fn at(&mut self, version: u64) {
        let _ = version;
    }

    /// Deletes the object. Returns the requests that waited for it.
    fn delete(&mut self) -> Vec<Ticket> {
        core::mem::take(self).waiting()
    }

    /// Ends a wait at its deadline. Returns its reply.
    fn expire(&mut self, ticket: Ticket) -> String {
        unreachable!("{ticket:?} does not wait")
    }

    /// Returns the replies to the requests that the end of that wait releases.
    fn let_through(&mut self) -> Replies {
        Replies::new()
    }

    /// Returns when the first hold ends.
    fn next_end(&self) -> Option<u64> {
        None
    }

    /// Ends that hold. Returns the replies to the requests that this releases.
    fn end(&mut self) -> Replies {
        unreachable!("the kind has no holds")
    }

    /// Ends the newest hold of a session, if it has one, as above.
    fn end_of(&mut self, session: u64) -> Option<Replies> {
        let _ = session;
        None
    }

    /// Returns the waiting requests, in the order of their arrival.
    fn waiting(&self) -> Vec<Ticket> {
        Vec::new()
    }
}

#[derive(Clone, Debug)]
enum ModelStep {
    /// A client sends an op.
    Ask(u64, String),
    /// A client retries one of its requests.
    Retry(u64, usize),
    /// A client closes its session and opens another.
    Close(u64),
    /// Milliseconds pass.
    Pass(u64),
}

/// Generates steps with these ops, and deletions among them.
fn steps(ops: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Vec<ModelStep>> {
    let ops = prop_oneof![30 => ops, 1 => Just("delete".to_owned())];
    let step = prop_oneof![
        10 => (1..=3_u64, ops).prop_map(|(client, op)| ModelStep::Ask(client, op)),
        4 => (1..=3_u64, any::<usize>()).prop_map(|(client, at)| ModelStep::Retry(client, at)),
        1 => (1..=3_u64).prop_map(ModelStep::Close),
        3 => (0..80_u64).prop_map(ModelStep::Pass),
    ];
    prop::collection::vec(step, 1..100)
}

/// An object on trial, and its model.
struct Pair<T> {
    model: T,
    trial: Trial,
    now_ms: u64,
    /// The current session of each client.
    sessions: BTreeMap<u64, u64>,
    /// The requests of each session, in order.
    asked: BTreeMap<u64, Vec<(Header, Vec<u8>, String)>>,
    /// Replies that retries must get again.
    kept: BTreeMap<Ticket, String>,
    /// The deadlines of waits. They differ, so that the order of their ends is known.
    deadlines: BTreeMap<u64, Ticket>,
}

/// Runs an object and its model through the same steps.
fn compare<T: Model>(steps: &[ModelStep]) {
    let mut pair = Pair {
        model: T::default(),
        trial: Trial::new(),
        now_ms: 0,
        sessions: (1..=3).map(|client| (client, client)).collect(),
        asked: BTreeMap::new(),
        kept: BTreeMap::new(),
        deadlines: BTreeMap::new(),
    };
    for client in 1..=3 {
        pair.open(client);
    }
    for step in steps {
        pair.step(step);
    }
    pair.pass(1_000);
    pair.trial.finish();
}

impl<T: Model> Pair<T> {
    fn open(&mut self, session: u64) {
        let born_us = self.now_ms * 1_000;
        self.session_op(session, SessionOp::Open { born_us, nonce: 1, ttl_ms: 0 });
    }

    fn session_op(&mut self, session: u64, op: SessionOp) -> Replies {
        let op = Op::Session(op);
        let mut body = Vec::new();
        op.encode(&mut body);
        let op = op.code().to_wire();
        let header = Header { op, session, ..Header::new(FrameKind::Request) };
        told(&self.trial.request(ConnId(session), &header, &body))
    }

    /// A client closes its session, which ends its waits and holds, and opens another.
    fn close(&mut self, client: u64) {
        let session = self.sessions[&client];
        let is_own = |ticket: &Ticket| ticket.0 == session;
        let mut expected = vec![((session, 0), "ok".to_owned())];
        let mut versions = self.trial.seq() + 1..;
        // The newest wait ends first.
        for ticket in self.model.waiting().into_iter().rev().filter(is_own) {
            self.model.at(versions.next().expect("numbers have no end"));
            self.model.expire(ticket);
            expected.push((ticket, "SessionUnknown".to_owned()));
            expected.extend(self.model.let_through());
        }
        loop {
            self.model.at(versions.next().expect("numbers have no end"));
            let Some(told) = self.model.end_of(session) else { break };
            expected.extend(told);
        }
        let got = self.session_op(session, SessionOp::Close);
        assert_eq!(sorted(got), sorted(expected.clone()), "session {session} closes");
        self.keep(expected);
        self.asked.remove(&session);
        self.sessions.insert(client, session + 3);
        self.open(session + 3);
    }

    /// Records the replies to requests that waited.
    fn keep(&mut self, told: Replies) {
        for (ticket, answer) in told {
            self.deadlines.retain(|_, waiting| *waiting != ticket);
            self.kept.insert(ticket, answer);
        }
    }

    fn step(&mut self, step: &ModelStep) {
        match step {
            ModelStep::Ask(client, words) => {
                let session = self.sessions[client];
                let asked = self.asked.entry(session).or_default();
                let number = asked.len() as u64 + 1;
                let header = Header {
                    shard: SHARD,
                    session,
                    number,
                    acked_gap: u16::try_from(number).expect("few requests"),
                    object: ObjectId(1),
                    ..Header::new(FrameKind::Request)
                };
                let words = self.model.fill(words);
                let (op, body) = encoded(T::KIND, &words);
                let header = Header { op, ..header };
                asked.push((header, body, words));
                self.judge(&self.asked[&session][asked_at(number)].clone());
            }
            ModelStep::Retry(client, which) => {
                let session = self.sessions[client];
                let Some(asked) = self.asked.get(&session) else { return };
                let asked = asked[which % asked.len()].clone();
                let ticket = (session, asked.0.number);
                match self.kept.get(&ticket) {
                    Some(kept) => {
                        let expected = vec![(ticket, kept.clone())];
                        let sent = self.trial.request(ConnId(session), &asked.0, &asked.1);
                        assert_eq!(told(&sent), expected, "{}", asked.2);
                    }
                    None if self.deadlines.values().any(|waiting| *waiting == ticket) => {
                        let sent = self.trial.request(ConnId(session), &asked.0, &asked.1);
                        assert_eq!(told(&sent), vec![], "{}", asked.2);
                    }
                    None => self.judge(&asked),
                }
            }
            ModelStep::Close(client) => self.close(*client),
            ModelStep::Pass(ms) => self.pass(*ms),
        }
    }

    /// Sends a request that has not taken effect yet to the object and the model.
    fn judge(&mut self, (header, body, words): &(Header, Vec<u8>, String)) {
        let ticket = (header.session, header.number);
        let deadline = (self.now_ms + 50..).find(|ms| !self.deadlines.contains_key(ms));
        let deadline = deadline.expect("time is long");
        let deadline_ms = u32::try_from(deadline - self.now_ms).expect("a short wait");
        let header = &Header { deadline_ms, ..*header };
        let split: Vec<&str> = words.split_whitespace().collect();
        let expected = match split[..] {
            ["delete"] => {
                let is_new = self.trial.census().objects == 0;
                let gone = self.model.delete();
                let mut told: Replies =
                    gone.into_iter().map(|gone| (gone, "Deleted".to_owned())).collect();
                told.push((ticket, (!is_new).to_string()));
                told
            }
            _ => {
                self.model.clock(self.now_ms);
                self.model.ask(ticket, self.trial.seq() + 1, &split)
            }
        };
        let got = told(&self.trial.request(ConnId(header.session), header, body));
        assert_eq!(sorted(got), sorted(expected.clone()), "{words}");
        for (done, answer) in &expected {
            self.deadlines.retain(|_, waiting| waiting != done);
            let is_read = OpCode::from_wire(header.op).is_some_and(OpCode::is_read);
            if *done != ticket || !(is_read || is_refusal(answer)) {
                self.kept.insert(*done, answer.clone());
            }
        }
        if !expected.iter().any(|(done, _)| *done == ticket) {
            self.deadlines.insert(deadline, ticket);
        }
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        let mut expected = Replies::new();
        let mut versions = self.trial.seq() + 1..;
        loop {
            let wait = self.deadlines.first_key_value().map(|(due, _)| *due);
            let hold = self.model.next_end();
            let due = wait.into_iter().chain(hold).min().filter(|due| *due <= until);
            let Some(due) = due else { break };
            self.now_ms = due;
            self.model.clock(due);
            self.model.at(versions.next().expect("numbers have no end"));
            // Waits end before holds that end at the same time.
            let mut told = match self.deadlines.remove(&due) {
                Some(ticket) => vec![(ticket, self.model.expire(ticket))],
                None => self.model.end(),
            };
            told.extend(self.model.let_through());
            expected.extend(told.iter().cloned());
            self.keep(told);
        }
        self.now_ms = until;
        assert_eq!(sorted(told(&self.trial.pass(ms * 1_000))), sorted(expected));
    }
}

fn asked_at(number: u64) -> usize {
    usize::try_from(number - 1).expect("few requests")
}

/// Returns whether a reply is a refusal: those begin with a status, which is capitalized.
fn is_refusal(answer: &str) -> bool {
    answer.starts_with(|first: char| first.is_ascii_uppercase())
}

fn encoded(kind: &str, words: &str) -> (u16, Vec<u8>) {
    let mut body = Vec::new();
    let words: Vec<&str> = words.split_whitespace().collect();
    if words == ["delete"] {
        return (OpCode::ObjectDelete.to_wire(), body);
    }
    let kind = if matches!(words[0], "wait_newer" | "expire") { "object" } else { kind };
    let code = spoken::with_op(kind, &words, |op| {
        op.encode(&mut body);
        op.code().to_wire()
    });
    (code, body)
}

fn told(sent: &[Sent]) -> Replies {
    let told = |sent: &Sent| ((sent.header.session, sent.header.number), spoken::answer(sent));
    sent.iter().map(told).collect()
}

fn sorted(mut told: Replies) -> Replies {
    told.sort();
    told
}
