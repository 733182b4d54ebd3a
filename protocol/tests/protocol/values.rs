//! The fields of everything that has a body, in the order PROTOCOL.md lists them.

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, FlagOp, LatchOp, ReductionOp, SessionOp,
    VectorOp,
};
use catena_protocol::{Elements, Fault, Hello, Missing, Op, Refusal, Reply, SeatState, Welcome};

use crate::plain::Value;

/// Fields with their names.
pub(crate) type Values = Vec<(&'static str, Value)>;

pub(crate) fn of_op(op: &Op<'_>) -> Values {
    match *op {
        Op::Session(SessionOp::Open { born_us, nonce, ttl_ms }) => {
            vec![("born_us", number(born_us)), ("nonce", number(nonce)), ("ttl_ms", number(ttl_ms))]
        }
        Op::Session(SessionOp::Close) | Op::Object(_) => vec![],
        Op::Counter(op) => of_counter(op),
        Op::Flag(op) => of_flag(op),
        Op::Cell(op) => of_cell(op),
        Op::Vector(op) => of_vector(op),
        Op::Reduction(ReductionOp::Last | ReductionOp::State) => vec![],
        Op::Reduction(ReductionOp::Contribute(part)) => {
            let Contribution { party, parties, round, op, elements } = part;
            vec![
                ("round", number(round)),
                ("party", number(party)),
                ("parties", number(parties)),
                ("op", number(op.to_wire())),
                ("elements", of_elements(elements)),
            ]
        }
        Op::Barrier(BarrierOp::State | BarrierOp::Reset) => vec![],
        Op::Barrier(BarrierOp::Arrive(arrival) | BarrierOp::ArriveAndWait(arrival)) => {
            let Arrival { party, parties, generation } = arrival;
            vec![
                ("generation", number(generation)),
                ("parties", number(parties)),
                ("party", of_bytes(party.as_bytes())),
            ]
        }
        Op::Barrier(BarrierOp::Break { reason }) => vec![("bytes", of_bytes(reason.as_bytes()))],
        Op::Latch(LatchOp::State) => vec![],
        Op::Latch(LatchOp::CountDown { party, parties }) => {
            vec![("parties", number(parties)), ("party", of_bytes(party.as_bytes()))]
        }
        Op::Latch(LatchOp::Wait { parties }) => vec![("parties", number(parties))],
    }
}

fn of_counter(op: CounterOp) -> Values {
    match op {
        CounterOp::Get => vec![],
        CounterOp::CompareAndSwap { expected, value } => {
            vec![("expected", Value::Signed(expected)), ("value", Value::Signed(value))]
        }
        CounterOp::Set { value }
        | CounterOp::Swap { value }
        | CounterOp::Min { value }
        | CounterOp::Max { value } => vec![("value", Value::Signed(value))],
        CounterOp::Add { delta } | CounterOp::FetchAdd { delta } => {
            vec![("value", Value::Signed(delta))]
        }
        CounterOp::Multiply { factor } => vec![("value", Value::Signed(factor))],
    }
}

fn of_flag(op: FlagOp) -> Values {
    match op {
        FlagOp::Get => vec![],
        FlagOp::Set { value } | FlagOp::Swap { value } => vec![("value", Value::Bool(value))],
        FlagOp::CompareAndSwap { expected, value } => {
            vec![("expected", Value::Bool(expected)), ("value", Value::Bool(value))]
        }
    }
}

fn of_cell(op: CellOp<'_>) -> Values {
    match op {
        CellOp::Get => vec![],
        CellOp::GetIfNewer { version } => vec![("number", number(version))],
        CellOp::ReadRange { from, length } => {
            vec![("from", number(from)), ("length", number(length))]
        }
        CellOp::Set { bytes } | CellOp::Swap { bytes } | CellOp::Append { bytes } => {
            vec![("bytes", of_bytes(bytes))]
        }
        CellOp::CompareVersionAndSet { version, bytes } => {
            vec![("version", number(version)), ("bytes", of_bytes(bytes))]
        }
        CellOp::CompareAndSet { expected, bytes } => {
            vec![("expected", of_bytes(expected)), ("bytes", of_bytes(bytes))]
        }
    }
}

fn of_vector(op: VectorOp<'_>) -> Values {
    match op {
        VectorOp::Get => vec![],
        VectorOp::GetIfNewer { version } => vec![("number", number(version))],
        VectorOp::Init { columns, elements } | VectorOp::Set { columns, elements } => {
            vec![("columns", number(columns)), ("elements", of_elements(elements))]
        }
        VectorOp::Add { elements } => vec![("elements", of_elements(elements))],
    }
}

pub(crate) fn of_reply(reply: &Reply<'_>) -> Values {
    match *reply {
        Reply::Unit => vec![],
        Reply::Int(value) => vec![("value", Value::Signed(value))],
        Reply::Bool(value) => vec![("value", Value::Bool(value))],
        Reply::Number(value) => vec![("number", number(value))],
        Reply::IntSwapped { value, swapped } => {
            vec![("value", Value::Signed(value)), ("swapped", Value::Bool(swapped))]
        }
        Reply::BoolSwapped { value, swapped } => {
            vec![("value", Value::Bool(value)), ("swapped", Value::Bool(swapped))]
        }
        Reply::VersionSwapped { version, swapped } => {
            vec![("version", number(version)), ("swapped", Value::Bool(swapped))]
        }
        Reply::Appended { version, length } => {
            vec![("version", number(version)), ("length", number(length))]
        }
        Reply::Cell { version, bytes } => {
            vec![
                ("version", number(version)),
                ("newer", Value::Bool(bytes.is_some())),
                ("bytes", of_bytes(bytes.unwrap_or_default())),
            ]
        }
        Reply::Vector { version, columns, elements } => {
            vec![
                ("version", number(version)),
                ("columns", number(columns)),
                ("newer", Value::Bool(elements.is_some())),
                ("elements", of_elements(elements.unwrap_or(Elements::F64(&[])))),
            ]
        }
        Reply::Round { round, elements } => {
            vec![("round", number(round)), ("elements", of_elements(elements))]
        }
        Reply::Seats(ref state) => {
            let SeatState { round, arrived, parties, waiting, ref missing } = *state;
            vec![
                ("round", number(round)),
                ("arrived", number(arrived)),
                ("parties", number(parties)),
                ("waiting", number(waiting)),
                ("missing", Value::Texts(missing.clone())),
            ]
        }
    }
}

pub(crate) fn of_refusal(refusal: &Refusal) -> Values {
    match refusal {
        Refusal::Fault(Fault { expected, got, .. }) => {
            vec![("expected", number(*expected)), ("got", number(*got))]
        }
        Refusal::Timeout(Missing { arrived, parties, names }) => {
            vec![
                ("arrived", number(*arrived)),
                ("parties", number(*parties)),
                ("names", Value::Texts(names.clone())),
            ]
        }
        Refusal::Broken(reason) => vec![("bytes", of_bytes(reason.as_bytes()))],
    }
}

pub(crate) fn of_hello(hello: &Hello) -> Values {
    vec![("features", number(hello.features))]
}

pub(crate) fn of_welcome(welcome: &Welcome) -> Values {
    vec![
        ("features", number(welcome.features)),
        ("now_us", number(welcome.now_us)),
        ("epoch", number(welcome.epoch)),
        ("shards", number(welcome.shards)),
        ("frame_bytes_max", number(welcome.frame_bytes_max)),
        ("session_window", number(welcome.session_window)),
        ("core", number(welcome.core)),
        ("ports", Value::Shorts(welcome.ports.clone())),
        ("engine", Value::Text(welcome.engine.clone())),
    ]
}

fn number(value: impl Into<u64>) -> Value {
    Value::Unsigned(value.into())
}

fn of_bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn of_elements(elements: Elements<'_>) -> Value {
    let bytes = match elements {
        Elements::F64(values) => bytemuck::cast_slice(values),
        Elements::F32(values) => bytemuck::cast_slice(values),
        Elements::I64(values) => bytemuck::cast_slice(values),
    };
    Value::Elements(elements.type_code(), bytes.to_vec())
}
