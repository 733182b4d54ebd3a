//! One value of everything that goes over the wire, made from given material.
//!
//! The matches are exhaustive on purpose: a new op or status does not compile until it has a sample,
//! and with it a golden frame, a row in PROTOCOL.md and its place in every property.

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, FlagOp, LatchOp, ObjectOp, ReduceOp,
    ReductionOp, SessionOp, VectorOp,
};
use catena_protocol::{
    Elements, Fault, FrameKind, Header, Hello, Missing, ObjectId, Op, OpCode, Refusal, Reply,
    SeatState, ShardMap, Status, Welcome, frame,
};

/// What samples are made of.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    pub(crate) int: i64,
    pub(crate) other_int: i64,
    pub(crate) number: u64,
    pub(crate) other_number: u64,
    pub(crate) small: u32,
    pub(crate) other_small: u32,
    pub(crate) yes: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) other_bytes: Vec<u8>,
    pub(crate) name: String,
    pub(crate) names: Vec<String>,
    pub(crate) reduce: ReduceOp,
    pub(crate) numbers: Numbers,
}

/// Numbers of one of the element types.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl Numbers {
    pub(crate) fn elements(&self) -> Elements<'_> {
        match self {
            Numbers::F64(values) => Elements::F64(values),
            Numbers::F32(values) => Elements::F32(values),
            Numbers::I64(values) => Elements::I64(values),
        }
    }
}

impl Material {
    /// The material of the golden frames and of the examples in PROTOCOL.md.
    pub(crate) fn golden() -> Material {
        Material {
            int: -5,
            other_int: 7,
            number: 3,
            other_number: 40,
            small: 2,
            other_small: 4,
            yes: true,
            bytes: b"new value".to_vec(),
            other_bytes: b"old".to_vec(),
            name: "worker-1".to_owned(),
            names: vec!["worker-2".to_owned(), "worker-10".to_owned()],
            reduce: ReduceOp::Mean,
            numbers: Numbers::F64(vec![1.0, -2.5, 0.125]),
        }
    }

    /// The same with other element types, for the shapes that carry elements.
    pub(crate) fn with(numbers: Numbers) -> Material {
        Material { numbers, ..Material::golden() }
    }

    fn state(&self) -> SeatState {
        SeatState {
            round: self.number,
            arrived: self.small,
            parties: self.other_small,
            waiting: self.small / 2,
            missing: self.names.clone(),
        }
    }
}

/// The op with this code.
pub(crate) fn op(code: OpCode, material: &Material) -> Op<'_> {
    let Material { int, other_int, number, other_number, small, other_small, yes, .. } = *material;
    let (bytes, elements) = (&*material.bytes, material.numbers.elements());
    let (party, parties) = (&*material.name, other_small);
    let arrival = Arrival { party, parties, generation: number };
    match code {
        OpCode::SessionOpen => {
            Op::Session(SessionOp::Open { born_us: number, nonce: other_number, ttl_ms: small })
        }
        OpCode::SessionClose => Op::Session(SessionOp::Close),
        OpCode::ObjectDelete => Op::Object(ObjectOp::Delete),
        OpCode::CounterGet => Op::Counter(CounterOp::Get),
        OpCode::CounterSet => Op::Counter(CounterOp::Set { value: int }),
        OpCode::CounterAdd => Op::Counter(CounterOp::Add { delta: int }),
        OpCode::CounterFetchAdd => Op::Counter(CounterOp::FetchAdd { delta: int }),
        OpCode::CounterSwap => Op::Counter(CounterOp::Swap { value: int }),
        OpCode::CounterCompareAndSwap => {
            Op::Counter(CounterOp::CompareAndSwap { expected: int, value: other_int })
        }
        OpCode::CounterMultiply => Op::Counter(CounterOp::Multiply { factor: int }),
        OpCode::CounterMin => Op::Counter(CounterOp::Min { value: int }),
        OpCode::CounterMax => Op::Counter(CounterOp::Max { value: int }),
        OpCode::FlagGet => Op::Flag(FlagOp::Get),
        OpCode::FlagSet => Op::Flag(FlagOp::Set { value: yes }),
        OpCode::FlagSwap => Op::Flag(FlagOp::Swap { value: yes }),
        OpCode::FlagCompareAndSwap => {
            Op::Flag(FlagOp::CompareAndSwap { expected: !yes, value: yes })
        }
        OpCode::CellGet => Op::Cell(CellOp::Get),
        OpCode::CellGetIfNewer => Op::Cell(CellOp::GetIfNewer { version: number }),
        OpCode::CellReadRange => Op::Cell(CellOp::ReadRange { from: number, length: other_number }),
        OpCode::CellSet => Op::Cell(CellOp::Set { bytes }),
        OpCode::CellSwap => Op::Cell(CellOp::Swap { bytes }),
        OpCode::CellCompareVersionAndSet => {
            Op::Cell(CellOp::CompareVersionAndSet { version: number, bytes })
        }
        OpCode::CellCompareAndSet => {
            Op::Cell(CellOp::CompareAndSet { expected: &material.other_bytes, bytes })
        }
        OpCode::CellAppend => Op::Cell(CellOp::Append { bytes }),
        OpCode::VectorGet => Op::Vector(VectorOp::Get),
        OpCode::VectorGetIfNewer => Op::Vector(VectorOp::GetIfNewer { version: number }),
        OpCode::VectorInit => Op::Vector(VectorOp::Init { columns: small, elements }),
        OpCode::VectorSet => Op::Vector(VectorOp::Set { columns: small, elements }),
        OpCode::VectorAdd => Op::Vector(VectorOp::Add { elements }),
        OpCode::ReductionLast => Op::Reduction(ReductionOp::Last),
        OpCode::ReductionState => Op::Reduction(ReductionOp::State),
        OpCode::ReductionContribute => Op::Reduction(ReductionOp::Contribute(Contribution {
            party: small,
            parties,
            round: number,
            op: material.reduce,
            elements,
        })),
        OpCode::BarrierState => Op::Barrier(BarrierOp::State),
        OpCode::BarrierArrive => Op::Barrier(BarrierOp::Arrive(arrival)),
        OpCode::BarrierArriveAndWait => Op::Barrier(BarrierOp::ArriveAndWait(arrival)),
        OpCode::BarrierReset => Op::Barrier(BarrierOp::Reset),
        OpCode::BarrierBreak => Op::Barrier(BarrierOp::Break { reason: &material.name }),
        OpCode::LatchState => Op::Latch(LatchOp::State),
        OpCode::LatchCountDown => Op::Latch(LatchOp::CountDown { party, parties }),
        OpCode::LatchWait => Op::Latch(LatchOp::Wait { parties }),
    }
}

/// The replies to the op with this code: one, and for reads that may have nothing new, two.
pub(crate) fn replies(code: OpCode, material: &Material) -> Vec<Reply<'_>> {
    let Material { int, number: version, other_number, small: columns, yes, .. } = *material;
    let (bytes, elements) = (&*material.bytes, material.numbers.elements());
    let cell = Reply::Cell { version, bytes: Some(bytes) };
    let vector = Reply::Vector { version, columns, elements: Some(elements) };
    match code {
        OpCode::SessionOpen | OpCode::SessionClose => vec![Reply::Unit],
        OpCode::CounterGet
        | OpCode::CounterSet
        | OpCode::CounterAdd
        | OpCode::CounterFetchAdd
        | OpCode::CounterSwap
        | OpCode::CounterMultiply
        | OpCode::CounterMin
        | OpCode::CounterMax => vec![Reply::Int(int)],
        OpCode::ObjectDelete | OpCode::FlagGet | OpCode::FlagSet | OpCode::FlagSwap => {
            vec![Reply::Bool(yes)]
        }
        OpCode::CellSet
        | OpCode::VectorInit
        | OpCode::VectorSet
        | OpCode::VectorAdd
        | OpCode::BarrierArrive
        | OpCode::BarrierArriveAndWait
        | OpCode::BarrierReset
        | OpCode::BarrierBreak
        | OpCode::LatchCountDown
        | OpCode::LatchWait => vec![Reply::Number(version)],
        OpCode::CounterCompareAndSwap => vec![Reply::IntSwapped { value: int, swapped: yes }],
        OpCode::FlagCompareAndSwap => vec![Reply::BoolSwapped { value: !yes, swapped: yes }],
        OpCode::CellCompareVersionAndSet | OpCode::CellCompareAndSet => {
            vec![Reply::VersionSwapped { version, swapped: yes }]
        }
        OpCode::CellAppend => vec![Reply::Appended { version, length: other_number }],
        OpCode::CellGet | OpCode::CellReadRange | OpCode::CellSwap => vec![cell],
        OpCode::CellGetIfNewer => vec![cell, Reply::Cell { version, bytes: None }],
        OpCode::VectorGet => vec![vector],
        OpCode::VectorGetIfNewer => {
            vec![vector, Reply::Vector { version, columns, elements: None }]
        }
        OpCode::ReductionLast | OpCode::ReductionContribute => {
            vec![Reply::Round { round: version, elements }]
        }
        OpCode::ReductionState | OpCode::BarrierState | OpCode::LatchState => {
            vec![Reply::Seats(material.state())]
        }
    }
}

/// A refusal with this status; none for `Ok`.
pub(crate) fn refusal(status: Status, material: &Material) -> Option<Refusal> {
    Some(match status {
        Status::Ok => return None,
        Status::Timeout => Refusal::Timeout(Missing {
            arrived: material.small,
            parties: material.other_small,
            names: material.names.clone(),
        }),
        Status::Broken => Refusal::Broken(material.name.clone()),
        _ => Fault::expected(status, material.number, material.other_number).into(),
    })
}

/// The header of a request for an op on the object called "visits", in a cluster of 64 shards.
pub(crate) fn request(code: OpCode) -> Header {
    let visits = ObjectId::of("visits");
    let shards = ShardMap::new(64, 1).expect("64 is a power of two");
    let header = Header {
        op: code.to_wire(),
        shard: shards.shard_of(visits),
        object: visits,
        ..Header::new(FrameKind::Request)
    };
    let session = 0x5E55_1014_5E55_1014;
    match code {
        OpCode::SessionOpen | OpCode::SessionClose => {
            Header { session, object: ObjectId(0), ..header }
        }
        OpCode::ReductionContribute | OpCode::BarrierArriveAndWait | OpCode::LatchWait => {
            Header { session, number: 12, acked_gap: 2, deadline_ms: 1_500, ..header }
        }
        _ if code.is_read() => Header { number: 9, ..header },
        _ => Header { session, number: 12, acked_gap: 2, ..header },
    }
}

/// Every frame there is, by name: requests, replies, refusals and the handshake.
pub(crate) fn frames(material: &Material) -> Vec<(String, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut add = |name: String, write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        frames.push((name, out));
    };
    add("hello".to_owned(), &|out| hello().write(out));
    add("welcome".to_owned(), &|out| welcome().write(out));
    for code in OpCode::ALL {
        let op = op(*code, material);
        add(format!("request {code:?}"), &|out| {
            frame::write(out, &request(*code), |out| op.encode(out)).expect("samples are small");
        });
    }
    for code in OpCode::ALL {
        for reply in replies(*code, material) {
            let nothing_new = matches!(
                reply,
                Reply::Cell { bytes: None, .. } | Reply::Vector { elements: None, .. }
            );
            let name = if nothing_new { "reply-not-newer" } else { "reply" };
            add(format!("{name} {code:?}"), &|out| {
                frame::write_reply(out, &request(*code), Ok(&reply));
            });
        }
    }
    for status in Status::ALL {
        if let Some(refusal) = refusal(*status, material) {
            add(format!("refusal {status:?}"), &|out| {
                let to = request(OpCode::BarrierArriveAndWait);
                frame::write_reply(out, &to, Err(&refusal));
            });
        }
    }
    frames
}

pub(crate) fn hello() -> Hello {
    Hello { features: catena_protocol::features::SESSIONS }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        features: catena_protocol::features::ALL,
        now_us: 1_000_000,
        epoch: 0,
        shards: 64,
        frame_bytes_max: catena_protocol::limits::FRAME_BYTES_MAX,
        session_window: catena_protocol::limits::SESSION_WINDOW_MAX,
        core: 1,
        ports: vec![7400, 7401],
        engine: "catena-engine 0.1.0".to_owned(),
    }
}

/// A copy of bytes on a multiple of 16, as a receive buffer has them.
pub(crate) struct Aligned {
    blocks: Vec<u128>,
    len: usize,
}

impl Aligned {
    pub(crate) fn copy_of(bytes: &[u8]) -> Aligned {
        let mut blocks = vec![0_u128; bytes.len().div_ceil(16)];
        bytemuck::cast_slice_mut(&mut blocks)[..bytes.len()].copy_from_slice(bytes);
        Aligned { blocks, len: bytes.len() }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }
}
