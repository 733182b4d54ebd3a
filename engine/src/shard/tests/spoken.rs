//! Ops and answers in words.
//!
//! Text and elements can be long: `x*3` is `xxx`, `i64:1*3` is `i64:1,1,1`.

use std::str::FromStr;

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, FlagOp, GENERATION_CURRENT, LatchOp,
    ReduceOp, ReductionOp, VectorOp,
};
use catena_protocol::{Elements, Fault, Missing, Op, OpCode, Refusal, Reply, SeatState, Status};

use crate::shard::fuzz::trial::Sent;

/// Numbers as they are written.
pub(super) enum Numbers {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
}

/// Hands over the op that the words stand for.
pub(super) fn with_op<R>(kind: &str, words: &[&str], hand: impl FnOnce(Op<'_>) -> R) -> R {
    // Owned here, borrowed by the op.
    let texts: Vec<String> = words.iter().map(|word| text(word)).collect();
    let elements = words.last().and_then(|word| Numbers::parse(word));
    let elements = elements.as_ref().map_or(Elements::F64(&[]), Numbers::elements);
    let bytes = |at: usize| texts[at].as_bytes();
    let op = match (kind, words) {
        ("counter", words) => Op::Counter(counter(words)),
        ("flag", words) => Op::Flag(flag(words)),
        ("cell", ["get"]) => Op::Cell(CellOp::Get),
        ("cell", ["newer", version]) => Op::Cell(CellOp::GetIfNewer { version: number(version) }),
        ("cell", ["range", from, length]) => {
            Op::Cell(CellOp::ReadRange { from: number(from), length: number(length) })
        }
        ("cell", ["set", _]) => Op::Cell(CellOp::Set { bytes: bytes(1) }),
        ("cell", ["swap", _]) => Op::Cell(CellOp::Swap { bytes: bytes(1) }),
        ("cell", ["append", _]) => Op::Cell(CellOp::Append { bytes: bytes(1) }),
        ("cell", ["cas", _, _]) => {
            Op::Cell(CellOp::CompareAndSet { expected: bytes(1), bytes: bytes(2) })
        }
        ("cell", ["cas_version", version, _]) => {
            Op::Cell(CellOp::CompareVersionAndSet { version: number(version), bytes: bytes(2) })
        }
        ("vector", ["get"]) => Op::Vector(VectorOp::Get),
        ("vector", ["newer", version]) => {
            Op::Vector(VectorOp::GetIfNewer { version: number(version) })
        }
        ("vector", ["init", columns, _]) => {
            Op::Vector(VectorOp::Init { columns: number(columns), elements })
        }
        ("vector", ["set", columns, _]) => {
            Op::Vector(VectorOp::Set { columns: number(columns), elements })
        }
        ("vector", ["add", _]) => Op::Vector(VectorOp::Add { elements }),
        ("reduction", ["last"]) => Op::Reduction(ReductionOp::Last),
        ("reduction", ["state"]) => Op::Reduction(ReductionOp::State),
        ("reduction", ["give", seat, round, op, _]) => {
            let (party, parties) = seat.split_once('/').expect("seat/parties");
            let (party, parties, round) = (number(party), number(parties), number(round));
            let op = match *op {
                "sum" => ReduceOp::Sum,
                "mean" => ReduceOp::Mean,
                "min" => ReduceOp::Min,
                "max" => ReduceOp::Max,
                other => panic!("what is {other}?"),
            };
            let part = Contribution { party, parties, round, op, elements };
            Op::Reduction(ReductionOp::Contribute(part))
        }
        ("barrier", ["state"]) => Op::Barrier(BarrierOp::State),
        ("barrier", ["reset"]) => Op::Barrier(BarrierOp::Reset),
        ("barrier", ["break", _]) => Op::Barrier(BarrierOp::Break { reason: &texts[1] }),
        ("barrier", [how, seat, generation @ ..]) => {
            let (party, parties) = seat.rsplit_once('/').expect("party/parties");
            let (party, parties) = (&*text(party), number(parties));
            let generation = generation.first().map_or(GENERATION_CURRENT, |word| number(word));
            let arrival = Arrival { party, parties, generation };
            return hand(Op::Barrier(match *how {
                "arrive" => BarrierOp::Arrive(arrival),
                "wait" => BarrierOp::ArriveAndWait(arrival),
                other => panic!("what is {other}?"),
            }));
        }
        ("latch", ["state"]) => Op::Latch(LatchOp::State),
        ("latch", ["wait", parties]) => Op::Latch(LatchOp::Wait { parties: number(parties) }),
        ("latch", ["count", seat]) => {
            let (party, parties) = seat.rsplit_once('/').expect("party/parties");
            let (party, parties) = (&*text(party), number(parties));
            return hand(Op::Latch(LatchOp::CountDown { party, parties }));
        }
        _ => panic!("what is {kind} {words:?}?"),
    };
    hand(op)
}

fn counter(words: &[&str]) -> CounterOp {
    match *words {
        ["get"] => CounterOp::Get,
        ["set", value] => CounterOp::Set { value: number(value) },
        ["add", delta] => CounterOp::Add { delta: number(delta) },
        ["fetch_add", delta] => CounterOp::FetchAdd { delta: number(delta) },
        ["swap", value] => CounterOp::Swap { value: number(value) },
        ["cas", expected, value] => {
            CounterOp::CompareAndSwap { expected: number(expected), value: number(value) }
        }
        ["multiply", factor] => CounterOp::Multiply { factor: number(factor) },
        ["min", value] => CounterOp::Min { value: number(value) },
        ["max", value] => CounterOp::Max { value: number(value) },
        _ => panic!("what is {words:?}?"),
    }
}

fn flag(words: &[&str]) -> FlagOp {
    match *words {
        ["get"] => FlagOp::Get,
        ["set", value] => FlagOp::Set { value: number(value) },
        ["swap", value] => FlagOp::Swap { value: number(value) },
        ["cas", expected, value] => {
            FlagOp::CompareAndSwap { expected: number(expected), value: number(value) }
        }
        _ => panic!("what is {words:?}?"),
    }
}

/// An answer in words.
pub(super) fn answer(sent: &Sent) -> String {
    if sent.status == Status::Ok {
        let code = OpCode::from_wire(sent.header.op).expect("only a known op is done");
        return reply(&Reply::decode(code, sent.body.bytes()).expect("the reply of the op"));
    }
    match Refusal::decode(sent.status, sent.body.bytes()).expect("a refusal") {
        Refusal::Fault(Fault { status, expected: 0, got: 0 }) => format!("{status:?}"),
        Refusal::Fault(Fault { status, expected, got }) => format!("{status:?}({expected},{got})"),
        Refusal::Timeout(Missing { arrived, parties, names }) => {
            format!("Timeout {arrived}/{parties}{}", missing(&names))
        }
        Refusal::Broken(reason) => format!("Broken {}", short(&reason)),
    }
}

pub(super) fn reply(reply: &Reply<'_>) -> String {
    let swap = |swapped| if swapped { "swapped" } else { "kept" };
    match *reply {
        Reply::Unit => "ok".to_owned(),
        Reply::Int(value) => value.to_string(),
        Reply::Bool(value) => value.to_string(),
        Reply::Number(number) => number.to_string(),
        Reply::IntSwapped { value, swapped } => format!("{value} {}", swap(swapped)),
        Reply::BoolSwapped { value, swapped } => format!("{value} {}", swap(swapped)),
        Reply::VersionSwapped { version, swapped } => format!("v{version} {}", swap(swapped)),
        Reply::Appended { version, length } => format!("v{version} {length} long"),
        Reply::Cell { version, bytes: None } | Reply::Vector { version, elements: None, .. } => {
            format!("v{version} seen")
        }
        Reply::Cell { version, bytes: Some(bytes) } => {
            let text = short(std::str::from_utf8(bytes).expect("tests write text"));
            format!("v{version} {text}").trim_end().to_owned()
        }
        Reply::Vector { version, columns, elements: Some(elements) } => {
            format!("v{version} {columns} wide {}", numbers(elements))
        }
        Reply::Round { round, elements } => format!("round {round} {}", numbers(elements)),
        Reply::Seats(SeatState { round, arrived, parties, waiting, missing: ref names }) => {
            format!("round {round} {arrived}/{parties} {waiting} waiting{}", missing(names))
        }
    }
}

fn missing(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names if names.len() > 8 => format!(", missing {} named", names.len()),
        names => format!(", missing {}", names.join(" ")),
    }
}

/// Elements in words.
pub(super) fn numbers(elements: Elements<'_>) -> String {
    match elements {
        Elements::F64(values) => format!("f64:{}", list(values)),
        Elements::F32(values) => format!("f32:{}", list(values)),
        Elements::I64(values) => format!("i64:{}", list(values)),
    }
}

fn list<T: ToString + PartialEq>(values: &[T]) -> String {
    match values {
        [first, rest @ ..] if rest.len() > 8 && rest.iter().all(|value| value == first) => {
            format!("{}*{}", first.to_string(), values.len())
        }
        _ => values.iter().map(T::to_string).collect::<Vec<_>>().join(","),
    }
}

/// `x*3` is `xxx`.
fn text(word: &str) -> String {
    match word.split_once('*') {
        Some((part, times)) => match times.parse() {
            Ok(times) => part.repeat(times),
            Err(_) => word.to_owned(),
        },
        None => word.to_owned(),
    }
}

fn short(text: &str) -> String {
    match text.chars().next() {
        Some(first) if text.len() > 20 && text.chars().all(|other| other == first) => {
            format!("{first}*{}", text.chars().count())
        }
        _ => text.to_owned(),
    }
}

fn number<T: FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is no {}", std::any::type_name::<T>()))
}

impl Numbers {
    pub(super) fn parse(word: &str) -> Option<Numbers> {
        let (tag, values) = word.split_once(':')?;
        Some(match tag {
            "f64" => Numbers::F64(parse_list(values)),
            "f32" => Numbers::F32(parse_list(values)),
            "i64" => Numbers::I64(parse_list(values)),
            _ => return None,
        })
    }

    pub(super) fn elements(&self) -> Elements<'_> {
        match self {
            Numbers::F64(values) => Elements::F64(values),
            Numbers::F32(values) => Elements::F32(values),
            Numbers::I64(values) => Elements::I64(values),
        }
    }
}

fn parse_list<T: FromStr + Clone>(values: &str) -> Vec<T> {
    if values.is_empty() {
        return Vec::new();
    }
    match values.split_once('*') {
        Some((value, times)) => vec![number(value); number(times)],
        None => values.split(',').map(number).collect(),
    }
}
