//! Scenarios as data.
//!
//! A scenario is a list of steps, one per line, with the expected replies after `=>`; a step
//! without it has no reply. A step is a request of a client, or an event:
//!
//! ```text
//! a counter hits add 5          => 5
//! b @100 barrier gate wait p1/2              # waits for at most 100 ms
//! a barrier gate wait p2/2      => 0 | b: 0  # the reply to a, and one to b
//! after 100                                  # milliseconds pass
//! sleep 100                                  # the same, but the shard is called only at the end
//! restore                                    # the shard is replaced by its restored snapshot
//! ```
//!
//! Clients (single words) open their session before their first request. They number their updates,
//! and acknowledge all replies up to the first missing one. In front of the op, a client may set
//! `#7` (the number), `~2` (the acknowledged gap), `@100` (the deadline in milliseconds), `!1`
//! (flags), `^1` (the epoch), `named` (the request carries the object's name, or another one:
//! `named:other`) and `wanted` (the object is not to be created without its name). `a retry` sends
//! the last update of `a` again, byte for byte, `a retry 3` its update 3. After `a reconnect` it
//! has another connection, and its replies are marked `a'`; `a disconnect` does the same, but ends
//! the connection before.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

use catena_protocol::op::{ObjectOp, SessionOp};
use catena_protocol::{FrameKind, Header, Kind, ObjectId, Op, OpCode, flags, named};

use super::spoken;
use crate::shard::ConnId;
use crate::shard::fuzz::trial::{SHARD, Sent, Trial};

/// Runs a scenario and compares every reply.
#[track_caller]
pub(super) fn check(steps: &str) {
    let mut script = Script::of(Trial::new().with_period(3));
    for line in steps.lines() {
        let line = line.split_once(" #  ").map_or(line, |(line, _comment)| line).trim();
        if line.is_empty() || line.starts_with("# ") {
            continue;
        }
        let (step, expected) = line.split_once("=>").unwrap_or((line, ""));
        let words = step.replace('~', " ~");
        let got = script.step(&words.split_whitespace().collect::<Vec<_>>());
        assert_eq!(got, expected.trim(), "\nafter `{}` of this scenario:\n{steps}", step.trim());
    }
    script.trial.finish();
}

/// Returns the replies to each step, and the position in the shard's order at the end.
pub(super) fn answers(steps: &[String]) -> (Vec<String>, u64) {
    let mut script = Script::of(Trial::new());
    let answer = |step: &String| script.step(&step.split_whitespace().collect::<Vec<_>>());
    let answers = steps.iter().map(answer).collect();
    (answers, script.trial.seq())
}

/// Returns the snapshot of the shard after some steps, whatever their replies.
pub(super) fn snapshot_after(steps: &str) -> Vec<u8> {
    let mut script = Script::of(Trial::new());
    for line in steps.lines().map(str::trim).filter(|line| !line.is_empty()) {
        script.step(&line.split_whitespace().collect::<Vec<_>>());
    }
    script.trial.snapshot()
}

struct Script {
    trial: Trial,
    clients: BTreeMap<String, ScriptClient>,
    /// The client of every connection so far, with its mark.
    conns: Vec<String>,
}

/// A client with one session.
struct ScriptClient {
    session: u64,
    conn: ConnId,
    mark: String,
    /// The number of its last update.
    number: u64,
    answered: BTreeSet<u64>,
    updates: BTreeMap<u64, (Header, Vec<u8>)>,
}

impl Script {
    fn of(trial: Trial) -> Script {
        Script { trial, clients: BTreeMap::new(), conns: Vec::new() }
    }

    fn step(&mut self, words: &[&str]) -> String {
        let number = |word: &str| word.parse().expect("a number");
        match *words {
            ["after", ms] => {
                let sent = self.trial.pass(number(ms) * 1_000);
                self.tell(&sent, None)
            }
            ["sleep", ms] => {
                let sent = self.trial.sleep(number(ms) * 1_000);
                self.tell(&sent, None)
            }
            ["shutdown"] => {
                let sent = self.trial.shutdown();
                self.tell(&sent, None)
            }
            ["memory", bytes] => {
                self.trial.memory_bytes_max = number(bytes);
                String::new()
            }
            ["used"] => self.trial.census().bytes.to_string(),
            ["census"] => {
                let census = self.trial.census();
                let (objects, sessions) = (census.objects, census.sessions);
                format!("{objects} objects, {sessions} sessions, {} waiters", census.waiters)
            }
            ["restore"] => {
                self.trial.restore();
                String::new()
            }
            ["seq"] => self.trial.seq().to_string(),
            [client, "disconnect"] => {
                let sent = self.trial.disconnect(self.clients[client].conn);
                let told = self.tell(&sent, None);
                self.connect(client);
                told
            }
            [client, "reconnect"] => {
                self.connect(client);
                String::new()
            }
            [client, ref words @ ..] => self.ask(client, words),
            [] => unreachable!("a step has words"),
        }
    }

    /// Sends a request of a client: options, then an op.
    fn ask(&mut self, name: &str, words: &[&str]) -> String {
        let (options, words) = Options::parse(words);
        let is_new = !self.clients.contains_key(name);
        if is_new {
            self.join(name);
        }
        if is_new && words[0] != "open" {
            assert_eq!(self.ask(name, &["open"]), "ok", "a session opens");
        }
        let now_us = self.trial.now().0;
        let client = self.clients.get_mut(name).expect("just joined");
        let (header, body) = match *words {
            ["retry"] => client.updates[&client.number].clone(),
            ["retry", number] => client.updates[&number.parse().expect("a number")].clone(),
            _ => {
                let (op, object, mut body) = encode_words(words, now_us);
                let mut flags = options.flags;
                if let Some(called) = options.called {
                    let mut named = Vec::new();
                    named::put(
                        if called.is_empty() { object_name(words) } else { called },
                        &mut named,
                    );
                    named.append(&mut body);
                    body = named;
                    flags |= flags::NAMED;
                }
                let header = Header {
                    op,
                    flags,
                    epoch: options.epoch,
                    deadline_ms: options.deadline_ms,
                    shard: SHARD,
                    session: client.session,
                    object,
                    ..Header::new(FrameKind::Request)
                };
                (client.numbered(header, options.number, options.gap, &body), body)
            }
        };
        let conn = client.conn;
        let sent = self.trial.request(conn, &header, &body);
        self.tell(&sent, Some((conn, &header)))
    }

    fn join(&mut self, name: &str) {
        // The letters of the name, so that the session does not depend on the order of the clients.
        let session = name.bytes().fold(0, |id, letter| id << 8 | u64::from(letter));
        let (updates, answered) = (BTreeMap::new(), BTreeSet::new());
        let (conn, mark) = (ConnId(0), String::new());
        let client = ScriptClient { session, conn, mark, number: 0, answered, updates };
        self.clients.insert(name.to_owned(), client);
        self.connect(name);
        self.clients.get_mut(name).expect("just joined").mark.clear();
        *self.conns.last_mut().expect("just connected") = name.to_owned();
    }

    fn connect(&mut self, name: &str) {
        let client = self.clients.get_mut(name).expect("a known client");
        client.conn = ConnId(self.conns.len() as u64);
        client.mark.push('\'');
        self.conns.push(format!("{name}{}", client.mark));
    }

    /// Formats replies; the one to the request that was just sent has no name in front.
    fn tell(&mut self, sent: &[Sent], asked: Option<(ConnId, &Header)>) -> String {
        let mut told = Vec::new();
        for sent in sent {
            let (session, number) = (sent.header.session, sent.header.number);
            let client = self.clients.values_mut().find(|client| client.session == session);
            let client = client.expect("a session has a client");
            if client.updates.contains_key(&number) {
                client.answered.insert(number);
            }
            let text = spoken::answer(sent);
            let is_own = asked.is_some_and(|(conn, header)| {
                (conn, header.session, header.number, header.op)
                    == (sent.conn, session, number, sent.header.op)
            });
            let conn = &self.conns[usize::try_from(sent.conn.0).expect("few connections")];
            let which = if number == client.number { "" } else { &format!("#{number}") };
            told.push(if is_own { text } else { format!("{conn}{which}: {text}") });
        }
        told.join(" | ")
    }
}

/// The options in front of an op.
#[derive(Default)]
struct Options<'w> {
    number: Option<u64>,
    gap: Option<u16>,
    deadline_ms: u32,
    flags: u16,
    epoch: u32,
    /// The name that the request carries; empty for the object's own.
    called: Option<&'w str>,
}

impl<'w> Options<'w> {
    /// Parses the options at the front. Returns them and the other words.
    fn parse<'a>(mut words: &'a [&'w str]) -> (Options<'w>, &'a [&'w str]) {
        let mut options = Options::default();
        while let [option, rest @ ..] = words {
            let (word, name) = option.split_once(':').unwrap_or((option, ""));
            let (mark, value) = option.split_at_checked(1).unwrap_or((option, ""));
            let value = value.parse::<u64>();
            match (word, mark, value) {
                ("named", ..) => options.called = Some(name),
                ("wanted", ..) => options.flags |= flags::NAME_WANTED,
                (_, "#", Ok(value)) => options.number = Some(value),
                (_, "~", Ok(value)) => options.gap = Some(u16::try_from(value).expect("a gap")),
                (_, "@", Ok(value)) => {
                    options.deadline_ms = u32::try_from(value).unwrap_or(u32::MAX);
                }
                (_, "!", Ok(value)) => options.flags |= u16::try_from(value).expect("flags"),
                (_, "^", Ok(value)) => options.epoch = u32::try_from(value).expect("an epoch"),
                _ => break,
            }
            words = rest;
        }
        (options, words)
    }
}

impl ScriptClient {
    /// Numbers an update and stores it for retries; a read gets number 0.
    fn numbered(
        &mut self,
        header: Header,
        number: Option<u64>,
        gap: Option<u16>,
        body: &[u8],
    ) -> Header {
        let is_update = OpCode::from_wire(header.op)
            .is_none_or(|code| !code.is_read() && code.kind() != Kind::Session);
        if !is_update {
            return Header { number: number.unwrap_or(0), ..header };
        }
        let number = number.unwrap_or_else(|| self.number + 1);
        let acked = (1..number).take_while(|number| self.answered.contains(number)).last();
        let acked = acked.unwrap_or(0);
        let acked_gap = gap.unwrap_or_else(|| u16::try_from(number - acked).unwrap_or(u16::MAX));
        self.number = number;
        let header = Header { number, acked_gap, ..header };
        self.updates.insert(number, (header, body.to_vec()));
        header
    }
}

/// Returns the name of the object of an op.
fn object_name<'w>(words: &[&'w str]) -> &'w str {
    match *words {
        ["raw", _, name, ..] | [_, name, ..] => name,
        _ => panic!("what is {words:?} called?"),
    }
}

/// Returns op code, object and body of a request in words.
fn encode_words(words: &[&str], now_us: u64) -> (u16, ObjectId, Vec<u8>) {
    let encoded = |op: Op<'_>, object| {
        let mut body = Vec::new();
        op.encode(&mut body);
        (op.code().to_wire(), object, body)
    };
    match *words {
        ["open", ref rest @ ..] => {
            let (mut born_us, mut nonce, mut ttl_ms) = (now_us, 7, 0);
            for pair in rest.chunks(2) {
                let value = pair[1].parse().expect("a number");
                match pair[0] {
                    "born" => born_us = value,
                    "nonce" => nonce = value,
                    "ttl" => ttl_ms = u32::try_from(value).expect("a time"),
                    other => panic!("a session has no {other}"),
                }
            }
            encoded(Op::Session(SessionOp::Open { born_us, nonce, ttl_ms }), ObjectId(0))
        }
        ["close"] => encoded(Op::Session(SessionOp::Close), ObjectId(0)),
        ["delete", name] => encoded(Op::Object(ObjectOp::Delete), ObjectId::of(name)),
        ["raw", code, name] => (code.parse().expect("an op code"), ObjectId::of(name), Vec::new()),
        ["raw", code, name, body] => {
            let body = body.split(',').map(|byte| byte.parse().expect("a byte")).collect();
            (code.parse().expect("an op code"), ObjectId::of(name), body)
        }
        ["scope", ref rest @ ..] => spoken::with_op("scope", rest, |op| encoded(op, ObjectId(0))),
        [kind, name, ref rest @ ..] => {
            spoken::with_op(kind, rest, |op| encoded(op, ObjectId::of(name)))
        }
        _ => panic!("what is {words:?}?"),
    }
}
