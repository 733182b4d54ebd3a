//! One value of everything that goes over the wire, made from given material.
//!
//! The matches are exhaustive on purpose: a new op or status does not compile until it has a sample,
//! and with it a golden frame, a row in PROTOCOL.md and its place in every property.

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp, LatchOp, ListOp,
    LockOp, LogOp, Loss, MapOp, Merge, ObjectOp, Permit, ReduceOp, ReductionOp, ScanArgs, ScanWhat,
    ScopeOp, SemaphoreOp, SessionOp, SetOp, UserOp, VectorOp,
};
use catena_protocol::{
    Elements, Fault, FrameKind, Header, Hello, Holder, Inspection, ItemsBuf, Kind, Listed,
    ListingBuf, Members, Missing, ObjectId, Op, OpCode, Refusal, Reply, Scalar, SeatState,
    ShardMap, Stats, Status, Usage, Welcome, frame,
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
    pub(crate) merge: Merge,
    pub(crate) loss: Loss,
    pub(crate) what: ScanWhat,
    pub(crate) numbers: Numbers,
    /// An even number of them, so that they are keys and values as well.
    pub(crate) items: ItemsBuf,
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

    /// The first of them, or 0.
    fn scalar(&self) -> Scalar {
        match self {
            Numbers::F64(values) => Scalar::F64(values.first().copied().unwrap_or_default()),
            Numbers::F32(values) => Scalar::F32(values.first().copied().unwrap_or_default()),
            Numbers::I64(values) => Scalar::I64(values.first().copied().unwrap_or_default()),
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
            merge: Merge::Append,
            loss: Loss::Break,
            what: ScanWhat::Entries,
            numbers: Numbers::F64(vec![1.0, -2.5, 0.125]),
            items: ["beta", "2", "delta", ""].into_iter().collect(),
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

    fn scan(&self) -> ScanArgs<'_> {
        ScanArgs {
            what: self.what,
            reverse: self.yes,
            limit: self.small,
            from: if self.yes { Edge::Included(&self.bytes) } else { Edge::None },
            to: Edge::Excluded(&self.other_bytes),
        }
    }

    fn permit(&self) -> Permit {
        Permit { permits: self.other_small, count: self.small, hold_ms: self.small }
    }

    fn listing(&self) -> ListingBuf {
        let mut listing = ListingBuf::default();
        (listing.more, listing.unnamed) = (self.yes, self.other_number);
        for (name, kind) in self.names.iter().zip([Kind::Map, Kind::User].into_iter().cycle()) {
            let (bytes, version) = (self.other_number, self.number);
            listing.push(Listed { name, kind: Some(kind), bytes, version });
        }
        listing
    }

    fn inspection(&self) -> Inspection {
        let holder = |party: &String| Holder {
            session: self.other_number,
            token: self.number,
            left_ms: self.small.into(),
            permits: self.other_small,
            party: party.clone(),
        };
        Inspection {
            version: self.number,
            bytes: self.other_number,
            expires_ms: self.small.into(),
            waiters: self.other_small,
            kind: Kind::Semaphore.to_wire(),
            name: self.name.clone(),
            detail: self.name.repeat(2),
            missing: self.names.clone(),
            holders: self.names.iter().map(holder).collect(),
        }
    }

    fn stats(&self) -> Stats {
        let Material { number, other_number, small, other_small, .. } = *self;
        Stats {
            now_us: number,
            updates: other_number,
            reads: small.into(),
            objects: other_small.into(),
            named: number.wrapping_add(1),
            sessions: number.wrapping_add(2),
            waiters: number.wrapping_add(3),
            holds: number.wrapping_add(4),
            bytes: other_number.wrapping_add(1),
            memory_bytes_max: other_number.wrapping_add(2),
            connections: other_number.wrapping_add(3),
            core: other_number.wrapping_add(4),
        }
    }
}

/// The op with this code.
pub(crate) fn op(code: OpCode, material: &Material) -> Op<'_> {
    let Material { int, other_int, number, other_number, small, other_small, yes, .. } = *material;
    let (bytes, elements) = (&*material.bytes, material.numbers.elements());
    let (party, parties) = (&*material.name, other_small);
    let (hold_ms, loss, items) = (small, material.loss, material.items.items());
    let (key, value, token) = (&*material.other_bytes, bytes, other_number);
    let arrival = Arrival { party, parties, generation: number, hold_ms, loss };
    match code {
        OpCode::SessionOpen => {
            Op::Session(SessionOp::Open { born_us: number, nonce: other_number, ttl_ms: small })
        }
        OpCode::SessionClose => Op::Session(SessionOp::Close),
        OpCode::ObjectDelete => Op::Object(ObjectOp::Delete),
        OpCode::ObjectInspect => Op::Object(ObjectOp::Inspect),
        OpCode::ObjectWaitNewer => Op::Object(ObjectOp::WaitNewer { version: number }),
        OpCode::ObjectExpire => Op::Object(ObjectOp::Expire { ttl_ms: number }),
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
        OpCode::CellSetWithToken => Op::Cell(CellOp::SetWithToken { token, bytes }),
        OpCode::VectorGet => Op::Vector(VectorOp::Get),
        OpCode::VectorGetIfNewer => Op::Vector(VectorOp::GetIfNewer { version: number }),
        OpCode::VectorInit => Op::Vector(VectorOp::Init { columns: small, elements }),
        OpCode::VectorSet => Op::Vector(VectorOp::Set { columns: small, elements }),
        OpCode::VectorAdd => Op::Vector(VectorOp::Add { elements }),
        OpCode::VectorGetRows => Op::Vector(VectorOp::GetRows { from: small, count: other_small }),
        OpCode::VectorAddRows => Op::Vector(VectorOp::AddRows { from: small, elements }),
        OpCode::VectorScale => Op::Vector(VectorOp::Scale { factor: material.numbers.scalar() }),
        OpCode::VectorDot => Op::Vector(VectorOp::Dot { elements }),
        OpCode::VectorSum => Op::Vector(VectorOp::Sum),
        OpCode::ReductionLast => Op::Reduction(ReductionOp::Last),
        OpCode::ReductionState => Op::Reduction(ReductionOp::State),
        OpCode::ReductionContribute => Op::Reduction(ReductionOp::Contribute(Contribution {
            party: small,
            parties,
            round: number,
            op: material.reduce,
            hold_ms,
            loss,
            elements,
        })),
        OpCode::ReductionReset => Op::Reduction(ReductionOp::Reset),
        OpCode::ReductionBreak => Op::Reduction(ReductionOp::Break { reason: &material.name }),
        OpCode::BarrierState => Op::Barrier(BarrierOp::State),
        OpCode::BarrierArrive => Op::Barrier(BarrierOp::Arrive(arrival)),
        OpCode::BarrierArriveAndWait => Op::Barrier(BarrierOp::ArriveAndWait(arrival)),
        OpCode::BarrierReset => Op::Barrier(BarrierOp::Reset),
        OpCode::BarrierBreak => Op::Barrier(BarrierOp::Break { reason: &material.name }),
        OpCode::LatchState => Op::Latch(LatchOp::State),
        OpCode::LatchCountDown => Op::Latch(LatchOp::CountDown { party, parties }),
        OpCode::LatchWait => Op::Latch(LatchOp::Wait { parties }),
        OpCode::ListLen => Op::List(ListOp::Len),
        OpCode::ListGet => Op::List(ListOp::Get { index: number }),
        OpCode::ListRange => Op::List(ListOp::Range { from: number, limit: small }),
        OpCode::ListIndexOf => Op::List(ListOp::IndexOf { from_end: yes, bytes }),
        OpCode::ListContainsAll => Op::List(ListOp::ContainsAll { items }),
        OpCode::ListPushBack => Op::List(ListOp::PushBack { bytes }),
        OpCode::ListPushFront => Op::List(ListOp::PushFront { bytes }),
        OpCode::ListPopBack => Op::List(ListOp::PopBack),
        OpCode::ListPopFront => Op::List(ListOp::PopFront),
        OpCode::ListPopFrontWait => Op::List(ListOp::PopFrontWait),
        OpCode::ListSet => Op::List(ListOp::Set { index: number, bytes }),
        OpCode::ListInsert => Op::List(ListOp::Insert { index: number, bytes }),
        OpCode::ListRemoveAt => Op::List(ListOp::RemoveAt { index: number }),
        OpCode::ListRemoveValue => Op::List(ListOp::RemoveValue { bytes }),
        OpCode::ListExtend => Op::List(ListOp::Extend { items }),
        OpCode::ListRetainAll => Op::List(ListOp::RetainAll { items }),
        OpCode::ListRemoveAll => Op::List(ListOp::RemoveAll { items }),
        OpCode::ListClear => Op::List(ListOp::Clear),
        OpCode::ListClaim => Op::List(ListOp::Claim { hold_ms }),
        OpCode::ListDone => Op::List(ListOp::Done { token }),
        OpCode::ListReturn => Op::List(ListOp::Return { token }),
        OpCode::ListTryClaim => Op::List(ListOp::TryClaim { hold_ms }),
        OpCode::MapLen => Op::Map(MapOp::Len),
        OpCode::MapGet => Op::Map(MapOp::Get { key }),
        OpCode::MapContainsKey => Op::Map(MapOp::ContainsKey { key }),
        OpCode::MapContainsValue => Op::Map(MapOp::ContainsValue { value }),
        OpCode::MapScan => Op::Map(MapOp::Scan(material.scan())),
        OpCode::MapPut => Op::Map(MapOp::Put { key, value }),
        OpCode::MapPutIfAbsent => Op::Map(MapOp::PutIfAbsent { key, value }),
        OpCode::MapCompareAndSwap => {
            let expected = yes.then_some(party.as_bytes());
            Op::Map(MapOp::CompareAndSwap { key, expected, value: Some(value) })
        }
        OpCode::MapRemove => Op::Map(MapOp::Remove { key }),
        OpCode::MapTake => Op::Map(MapOp::Take { key }),
        OpCode::MapSwap => Op::Map(MapOp::Swap { key, value }),
        OpCode::MapPutAll => Op::Map(MapOp::PutAll { items }),
        OpCode::MapMerge => Op::Map(MapOp::Merge { key, value, merge: material.merge }),
        OpCode::MapMergeAll => Op::Map(MapOp::MergeAll { merge: material.merge, items }),
        OpCode::MapClear => Op::Map(MapOp::Clear),
        OpCode::MapPutWithToken => Op::Map(MapOp::PutWithToken { token, key, value }),
        OpCode::MapRemoveAll => Op::Map(MapOp::RemoveAll { items }),
        OpCode::SetLen => Op::Set(SetOp::Len),
        OpCode::SetContains => Op::Set(SetOp::Contains { bytes }),
        OpCode::SetContainsAll => Op::Set(SetOp::ContainsAll { items }),
        OpCode::SetScan => {
            Op::Set(SetOp::Scan(ScanArgs { what: ScanWhat::Keys, ..material.scan() }))
        }
        OpCode::SetAdd => Op::Set(SetOp::Add { bytes }),
        OpCode::SetRemove => Op::Set(SetOp::Remove { bytes }),
        OpCode::SetAddAll => Op::Set(SetOp::AddAll { items }),
        OpCode::SetRemoveAll => Op::Set(SetOp::RemoveAll { items }),
        OpCode::SetRetainAll => Op::Set(SetOp::RetainAll { items }),
        OpCode::SetClear => Op::Set(SetOp::Clear),
        OpCode::SemaphoreState => Op::Semaphore(SemaphoreOp::State),
        OpCode::SemaphoreAcquire => Op::Semaphore(SemaphoreOp::Acquire(material.permit())),
        OpCode::SemaphoreTryAcquire => Op::Semaphore(SemaphoreOp::TryAcquire(material.permit())),
        OpCode::SemaphoreRelease => Op::Semaphore(SemaphoreOp::Release { token }),
        OpCode::SemaphoreExtend => Op::Semaphore(SemaphoreOp::Extend { token, hold_ms }),
        OpCode::LockState => Op::Lock(LockOp::State),
        OpCode::LockAcquire => Op::Lock(LockOp::Acquire { hold_ms }),
        OpCode::LockTryAcquire => Op::Lock(LockOp::TryAcquire { hold_ms }),
        OpCode::LockRelease => Op::Lock(LockOp::Release { token }),
        OpCode::LockExtend => Op::Lock(LockOp::Extend { token, hold_ms }),
        OpCode::FutureState => Op::Future(FutureOp::State),
        OpCode::FuturePeek => Op::Future(FutureOp::Peek),
        OpCode::FutureSet => Op::Future(FutureOp::Set { bytes }),
        OpCode::FutureGet => Op::Future(FutureOp::Get),
        OpCode::FutureCancel => Op::Future(FutureOp::Cancel { reason: &material.name }),
        OpCode::LogTail => Op::Log(LogOp::Tail { after: number, limit: small }),
        OpCode::LogPrint => Op::Log(LogOp::Print { line: &material.name }),
        OpCode::ScopeList => {
            let after = material.names.first().map_or("", |name| name);
            Op::Scope(ScopeOp::List { after, prefix: &material.name, limit: small })
        }
        OpCode::ScopeUsage => Op::Scope(ScopeOp::Usage { prefix: &material.name }),
        OpCode::ScopeDelete => Op::Scope(ScopeOp::Delete { prefix: &material.name, limit: small }),
        OpCode::ScopeQuota => Op::Scope(ScopeOp::Quota {
            prefix: &material.name,
            objects_max: number,
            bytes_max: other_number,
        }),
        OpCode::ScopeStats => Op::Scope(ScopeOp::Stats),
        OpCode::UserRead => Op::User(UserOp::Read { type_id: small, args: bytes }),
        OpCode::UserUpdate => Op::User(UserOp::Update { type_id: small, args: bytes }),
    }
}

/// The replies to the op with this code: one, and a second without anything in it where there may be
/// nothing to answer.
pub(crate) fn replies(code: OpCode, material: &Material) -> Vec<Reply<'_>> {
    let Material { int, number: version, other_number, small: columns, yes, .. } = *material;
    let (bytes, elements) = (&*material.bytes, material.numbers.elements());
    let cell = Reply::Cell { version, bytes: Some(bytes) };
    let vector = Reply::Vector { version, columns, elements: Some(elements) };
    let (token, at) = (version, version);
    match code {
        OpCode::SessionOpen | OpCode::SessionClose | OpCode::ScopeQuota => vec![Reply::Unit],
        OpCode::CounterGet
        | OpCode::CounterSet
        | OpCode::CounterAdd
        | OpCode::CounterFetchAdd
        | OpCode::CounterSwap
        | OpCode::CounterMultiply
        | OpCode::CounterMin
        | OpCode::CounterMax => vec![Reply::Int(int)],
        OpCode::ObjectDelete
        | OpCode::ObjectExpire
        | OpCode::FlagGet
        | OpCode::FlagSet
        | OpCode::FlagSwap
        | OpCode::ListContainsAll
        | OpCode::ListRemoveValue
        | OpCode::ListDone
        | OpCode::ListReturn
        | OpCode::MapContainsKey
        | OpCode::MapContainsValue
        | OpCode::MapPut
        | OpCode::MapPutIfAbsent
        | OpCode::MapCompareAndSwap
        | OpCode::MapRemove
        | OpCode::MapPutWithToken
        | OpCode::SetContains
        | OpCode::SetContainsAll
        | OpCode::SetAdd
        | OpCode::SetRemove
        | OpCode::SemaphoreRelease
        | OpCode::SemaphoreExtend
        | OpCode::LockRelease
        | OpCode::LockExtend
        | OpCode::FutureSet
        | OpCode::FutureCancel => vec![Reply::Bool(yes)],
        OpCode::ObjectWaitNewer
        | OpCode::CellSet
        | OpCode::CellSetWithToken
        | OpCode::VectorInit
        | OpCode::VectorSet
        | OpCode::VectorAdd
        | OpCode::VectorAddRows
        | OpCode::VectorScale
        | OpCode::ReductionReset
        | OpCode::ReductionBreak
        | OpCode::BarrierArrive
        | OpCode::BarrierArriveAndWait
        | OpCode::BarrierReset
        | OpCode::BarrierBreak
        | OpCode::LatchCountDown
        | OpCode::LatchWait
        | OpCode::ListLen
        | OpCode::ListPushBack
        | OpCode::ListPushFront
        | OpCode::ListInsert
        | OpCode::ListExtend
        | OpCode::ListRetainAll
        | OpCode::ListRemoveAll
        | OpCode::ListClear
        | OpCode::MapLen
        | OpCode::MapPutAll
        | OpCode::MapMergeAll
        | OpCode::MapClear
        | OpCode::MapRemoveAll
        | OpCode::SetLen
        | OpCode::SetAddAll
        | OpCode::SetRemoveAll
        | OpCode::SetRetainAll
        | OpCode::SetClear
        | OpCode::FutureState
        | OpCode::LogPrint
        | OpCode::ScopeDelete => vec![Reply::Number(version)],
        OpCode::CounterCompareAndSwap => vec![Reply::IntSwapped { value: int, swapped: yes }],
        OpCode::FlagCompareAndSwap => vec![Reply::BoolSwapped { value: !yes, swapped: yes }],
        OpCode::CellCompareVersionAndSet | OpCode::CellCompareAndSet => {
            vec![Reply::VersionSwapped { version, swapped: yes }]
        }
        OpCode::CellAppend => vec![Reply::Appended { version, length: other_number }],
        OpCode::CellGet | OpCode::CellReadRange | OpCode::CellSwap => vec![cell],
        OpCode::CellGetIfNewer => vec![cell, Reply::Cell { version, bytes: None }],
        OpCode::VectorGet | OpCode::VectorGetRows => vec![vector],
        OpCode::VectorGetIfNewer => {
            vec![vector, Reply::Vector { version, columns, elements: None }]
        }
        OpCode::ReductionLast | OpCode::ReductionContribute => {
            vec![Reply::Round { round: version, elements }]
        }
        OpCode::ReductionState | OpCode::BarrierState | OpCode::LatchState => {
            vec![Reply::Seats(material.state())]
        }
        OpCode::ListPopFrontWait | OpCode::ListSet | OpCode::ListRemoveAt | OpCode::MapMerge => {
            vec![Reply::Value(Some(bytes))]
        }
        OpCode::FutureGet | OpCode::UserRead | OpCode::UserUpdate => {
            vec![Reply::Value(Some(bytes))]
        }
        OpCode::ListGet
        | OpCode::ListPopBack
        | OpCode::ListPopFront
        | OpCode::MapGet
        | OpCode::MapTake
        | OpCode::MapSwap
        | OpCode::FuturePeek => vec![Reply::Value(Some(bytes)), Reply::Value(None)],
        OpCode::ListRange | OpCode::MapScan | OpCode::SetScan | OpCode::LogTail => {
            vec![Reply::Page { at, more: yes, items: material.items.items().into() }]
        }
        OpCode::ListIndexOf => vec![Reply::Found { found: yes, at }],
        OpCode::SemaphoreAcquire | OpCode::LockAcquire => {
            vec![Reply::Granted { granted: yes, token }]
        }
        OpCode::SemaphoreTryAcquire | OpCode::LockTryAcquire => {
            vec![
                Reply::Granted { granted: yes, token },
                Reply::Granted { granted: false, token: 0 },
            ]
        }
        OpCode::ListClaim => vec![Reply::Claimed { token, bytes: Some(bytes) }],
        OpCode::ListTryClaim => vec![
            Reply::Claimed { token, bytes: Some(bytes) },
            Reply::Claimed { token: 0, bytes: None },
        ],
        OpCode::SemaphoreState | OpCode::LockState => vec![Reply::Permits {
            available: material.small,
            permits: material.other_small,
            holders: material.small / 2,
            waiting: material.other_small / 2,
        }],
        OpCode::VectorDot | OpCode::VectorSum => vec![Reply::Scalar(material.numbers.scalar())],
        OpCode::ScopeList => vec![Reply::Listing(material.listing().into())],
        OpCode::ObjectInspect => vec![Reply::Inspection(Box::new(material.inspection()))],
        OpCode::ScopeUsage => vec![Reply::Usage(Usage {
            objects: version,
            bytes: other_number,
            objects_max: material.small.into(),
            bytes_max: material.other_small.into(),
        })],
        OpCode::ScopeStats => vec![Reply::Stats(Box::new(material.stats()))],
    }
}

/// What a reply is called among the golden frames, before its op.
pub(crate) const REPLY_NAMES: [&str; 2] = ["reply", "reply-nothing"];

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
        _ if code.may_wait() => {
            Header { session, number: 12, acked_gap: 2, deadline_ms: 1_500, ..header }
        }
        OpCode::ScopeList | OpCode::ScopeUsage | OpCode::ScopeStats => {
            Header { number: 9, object: ObjectId(0), ..header }
        }
        OpCode::ScopeDelete | OpCode::ScopeQuota => {
            Header { session, number: 12, acked_gap: 2, object: ObjectId(0), ..header }
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
    add("welcome-cluster".to_owned(), &|out| welcome_in_a_cluster().write(out));
    for code in OpCode::ALL {
        let op = op(*code, material);
        add(format!("request {code:?}"), &|out| {
            frame::write(out, &request(*code), |out| op.encode(out)).expect("samples are small");
        });
    }
    for code in OpCode::ALL {
        for (reply, name) in replies(*code, material).iter().zip(REPLY_NAMES) {
            add(format!("{name} {code:?}"), &|out| {
                frame::write_reply(out, &request(*code), Ok(reply));
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
        members: Members::default(),
    }
}

/// The same of a node in a cluster of two, which has two cores beside one of one.
pub(crate) fn welcome_in_a_cluster() -> Welcome {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let chain = |shard| if shard % 2 == 0 { [0, 1] } else { [1, 0] };
    Welcome {
        epoch: 3,
        members: Members {
            names: texts(&["node-a", "node-b"]),
            controls: texts(&["10.0.1.5:7399", "10.0.1.6:7399"]),
            cores: vec![2, 1],
            addresses: texts(&["10.0.1.5:7400", "10.0.1.5:7401", "10.0.1.6:7400"]),
            chains: (0..64).flat_map(chain).collect(),
        },
        ..welcome()
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
