//! What clients say, taken from bytes.
//!
//! Arguments are few and small, so that clients meet: at the same objects, keys, parties and places.
//! Edges come as often. Tokens are those that the shard gave out, mostly.

use alloc::vec::Vec;
use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp,
    GENERATION_CURRENT, LatchOp, ListOp, LockOp, LogOp, Loss, MapOp, Merge, ObjectOp, Permit,
    ReduceOp, ReductionOp, ScanArgs, ScanWhat, ScopeOp, SemaphoreOp, SetOp, UserOp, VectorOp,
};
use catena_protocol::{Elements, ItemsBuf, Kind, Op, OpCode, Scalar};

/// The bytes that are left; when they are used up, zeros.
pub(super) struct Source<'b> {
    bytes: &'b [u8],
    /// Tokens that were given out last.
    tokens: [u64; 8],
    /// The kinds that this life is about; all if there are none.
    kinds: Vec<Kind>,
}

/// What an op borrows besides what is always there.
#[derive(Default)]
pub(super) struct Material {
    f64s: Vec<f64>,
    f32s: Vec<f32>,
    i64s: Vec<i64>,
    items: ItemsBuf,
    words: [[u8; 8]; 2],
}

impl<'b> Source<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Source<'b> {
        let mut source = Source { bytes, tokens: [0; 8], kinds: Vec::new() };
        // Mostly a few kinds, so that their ops come in every order.
        for _ in 0..source.byte() % 4 {
            let kind = source.any_kind();
            source.kinds.push(kind);
        }
        source
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Small ones mostly, and the edges.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => u64::from(small % 8),
            200..=229 => u64::MAX - u64::from(self.byte() % 4),
            _ => self.take(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }

    /// One of these.
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    fn yes(&mut self) -> bool {
        self.byte().is_multiple_of(2)
    }

    fn small(&mut self) -> u32 {
        match self.byte() {
            small @ 0..=249 => u32::from(small % 5),
            edge => u32::MAX - u32::from(edge % 4),
        }
    }

    fn int(&mut self) -> i64 {
        match self.byte() {
            small @ 0..=199 => i64::from(small) - 100,
            200..=229 => i64::MAX - i64::from(self.byte() % 4),
            _ => i64::MIN + i64::from(self.byte() % 4),
        }
    }

    /// For how long something may be held: as long as the session lives, or up to some minutes.
    fn hold_ms(&mut self) -> u32 {
        match self.byte() {
            0..=99 => 0,
            some => 1 << (some % 20),
        }
    }

    fn loss(&mut self) -> Loss {
        // Parties have to agree, so mostly they do.
        match self.byte() {
            0..=199 => Loss::Drop,
            other => Loss::ALL[usize::from(other) % Loss::ALL.len()],
        }
    }

    /// Notes a token that the shard gave out.
    pub(super) fn learn(&mut self, token: u64) {
        self.tokens.rotate_right(1);
        self.tokens[0] = token;
    }

    fn token(&mut self) -> u64 {
        match self.byte() {
            known @ 0..=219 => self.tokens[usize::from(known) % self.tokens.len()],
            _ => self.number(),
        }
    }

    fn any_kind(&mut self) -> Kind {
        self.one_of(Kind::ALL)
    }

    /// A kind that has objects.
    pub(super) fn kind(&mut self) -> Kind {
        let kinds = core::mem::take(&mut self.kinds);
        let kind = self.one_of(if kinds.is_empty() { Kind::ALL } else { &kinds });
        self.kinds = kinds;
        kind
    }

    /// An op that is none on a session.
    pub(super) fn code(&mut self) -> OpCode {
        let any = OpCode::ALL[2 + usize::from(self.byte()) % (OpCode::ALL.len() - 2)];
        if self.kinds.is_empty() || self.byte() < 16 {
            return any;
        }
        let kind = self.kind();
        let is_ours = |code: &&OpCode| code.kind() == kind && code.kind() != Kind::Session;
        let ours: Vec<OpCode> = OpCode::ALL.iter().filter(is_ours).copied().collect();
        if ours.is_empty() { any } else { self.one_of(&ours) }
    }

    /// Short ones, and sometimes one that has to be kept outside.
    fn text(&mut self) -> &'static str {
        const LONG: &str = match core::str::from_utf8(&[b'x'; 300]) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        };
        const NAMES: [&str; 4] = ["a", "b", "c", ""];
        match self.byte() {
            name @ 0..=223 => NAMES[usize::from(name % 32 / 10)],
            long => &LONG[..usize::from(long - 223) * 9],
        }
    }

    fn bytes(&mut self) -> &'static [u8] {
        self.text().as_bytes()
    }

    /// How names begin.
    fn prefix(&mut self) -> &'static str {
        self.one_of(&["", "l", "list/", "list/a", "map/", "counter/", "lock", "no such"])
    }

    /// Text, or a number.
    fn value<'m>(&mut self, word: &'m mut [u8; 8]) -> &'m [u8] {
        if self.byte() < 80 {
            return self.bytes();
        }
        *word = self.int().to_le_bytes();
        word
    }

    fn items<'m>(&mut self, items: &'m mut ItemsBuf) -> catena_protocol::Items<'m> {
        for _ in 0..self.byte() % 6 {
            let item = self.bytes();
            items.push(item);
        }
        items.items()
    }

    fn pairs<'m>(&mut self, items: &'m mut ItemsBuf) -> catena_protocol::Items<'m> {
        for _ in 0..self.byte() % 4 {
            let (key, mut word) = (self.bytes(), [0; 8]);
            items.push(key);
            items.push(self.value(&mut word));
        }
        items.items()
    }

    fn elements<'m>(&mut self, material: &'m mut Material) -> Elements<'m> {
        let shape = self.byte();
        let len = usize::from(shape % 5);
        let ints: Vec<i64> = (0..len).map(|_| self.int()).collect();
        match shape / 64 {
            0 => {
                material.f64s =
                    ints.iter().map(|int| f64::from_bits(int.cast_unsigned())).collect();
                Elements::F64(&material.f64s)
            }
            1 => {
                material.f32s = [1.5, f32::NAN, -0.0, f32::MAX][..len.min(4)].to_vec();
                Elements::F32(&material.f32s)
            }
            _ => {
                material.i64s = ints;
                Elements::I64(&material.i64s)
            }
        }
    }

    fn scalar(&mut self) -> Scalar {
        match self.byte() % 4 {
            0 => Scalar::F64(1.5),
            1 => Scalar::F32(f32::NAN),
            _ => Scalar::I64(self.int()),
        }
    }

    fn scan(&mut self) -> ScanArgs<'static> {
        let what = match self.byte() {
            0..=199 => ScanWhat::Keys,
            other => ScanWhat::ALL[usize::from(other) % ScanWhat::ALL.len()],
        };
        let reverse = self.yes();
        let limit = self.small();
        let mut edge = || match self.byte() % 3 {
            0 => Edge::None,
            1 => Edge::Included(self.bytes()),
            _ => Edge::Excluded(self.bytes()),
        };
        let (from, to) = (edge(), edge());
        ScanArgs { what, reverse, limit, from, to }
    }

    fn permit(&mut self) -> Permit {
        // Those who ask have to agree on how many there are, so mostly they do.
        let permits = if self.byte() < 240 { 3 } else { self.small() };
        Permit { permits, count: self.small(), hold_ms: self.hold_ms() }
    }

    fn parties(&mut self) -> u32 {
        if self.byte() < 230 { 2 } else { self.small() }
    }

    fn arrival(&mut self) -> Arrival<'static> {
        let (party, parties) = (self.text(), self.parties());
        let generation = if self.yes() { GENERATION_CURRENT } else { self.number() };
        Arrival { party, parties, generation, hold_ms: self.hold_ms(), loss: self.loss() }
    }

    fn contribution<'m>(&mut self, material: &'m mut Material) -> Contribution<'m> {
        Contribution {
            party: self.small(),
            parties: self.parties(),
            round: self.number(),
            op: if self.byte() < 200 { ReduceOp::Sum } else { self.one_of(ReduceOp::ALL) },
            hold_ms: self.hold_ms(),
            loss: self.loss(),
            elements: self.elements(material),
        }
    }

    /// An op with this code and arguments from the bytes.
    pub(super) fn op<'m>(&mut self, code: OpCode, material: &'m mut Material) -> Op<'m> {
        match code.kind() {
            Kind::Session => unreachable!("{code:?} is none of these"),
            Kind::Object => Op::Object(self.object(code)),
            Kind::Counter => Op::Counter(self.counter(code)),
            Kind::Flag => Op::Flag(self.flag(code)),
            Kind::Cell => Op::Cell(self.cell(code)),
            Kind::Vector => Op::Vector(self.vector(code, material)),
            Kind::Reduction => Op::Reduction(self.reduction(code, material)),
            Kind::Barrier => Op::Barrier(self.barrier(code)),
            Kind::Latch => Op::Latch(self.latch(code)),
            Kind::List => Op::List(self.list(code, material)),
            Kind::Map => Op::Map(self.map(code, material)),
            Kind::Set => Op::Set(self.set(code, material)),
            Kind::Semaphore => Op::Semaphore(self.semaphore(code)),
            Kind::Lock => Op::Lock(self.lock(code)),
            Kind::Future => Op::Future(self.future(code)),
            Kind::Log => Op::Log(self.log(code)),
            Kind::Scope => Op::Scope(self.scope(code)),
            Kind::User => {
                let (type_id, args) = (self.small(), self.value(&mut material.words[0]));
                Op::User(match code {
                    OpCode::UserRead => UserOp::Read { type_id, args },
                    _ => UserOp::Update { type_id, args },
                })
            }
        }
    }

    fn object(&mut self, code: OpCode) -> ObjectOp {
        match code {
            OpCode::ObjectDelete => ObjectOp::Delete,
            OpCode::ObjectInspect => ObjectOp::Inspect,
            OpCode::ObjectWaitNewer => ObjectOp::WaitNewer { version: self.number() },
            OpCode::ObjectExpire => ObjectOp::Expire {
                ttl_ms: if self.yes() { self.hold_ms().into() } else { self.number() },
            },
            _ => unknown(code),
        }
    }

    fn counter(&mut self, code: OpCode) -> CounterOp {
        match code {
            OpCode::CounterGet => CounterOp::Get,
            OpCode::CounterSet => CounterOp::Set { value: self.int() },
            OpCode::CounterAdd => CounterOp::Add { delta: self.int() },
            OpCode::CounterFetchAdd => CounterOp::FetchAdd { delta: self.int() },
            OpCode::CounterSwap => CounterOp::Swap { value: self.int() },
            OpCode::CounterCompareAndSwap => {
                CounterOp::CompareAndSwap { expected: self.int(), value: self.int() }
            }
            OpCode::CounterMultiply => CounterOp::Multiply { factor: self.int() },
            OpCode::CounterMin => CounterOp::Min { value: self.int() },
            OpCode::CounterMax => CounterOp::Max { value: self.int() },
            _ => unknown(code),
        }
    }

    fn flag(&mut self, code: OpCode) -> FlagOp {
        match code {
            OpCode::FlagGet => FlagOp::Get,
            OpCode::FlagSet => FlagOp::Set { value: self.yes() },
            OpCode::FlagSwap => FlagOp::Swap { value: self.yes() },
            OpCode::FlagCompareAndSwap => {
                FlagOp::CompareAndSwap { expected: self.yes(), value: self.yes() }
            }
            _ => unknown(code),
        }
    }

    fn cell(&mut self, code: OpCode) -> CellOp<'static> {
        match code {
            OpCode::CellGet => CellOp::Get,
            OpCode::CellGetIfNewer => CellOp::GetIfNewer { version: self.number() },
            OpCode::CellReadRange => {
                CellOp::ReadRange { from: self.number(), length: self.number() }
            }
            OpCode::CellSet => CellOp::Set { bytes: self.bytes() },
            OpCode::CellSwap => CellOp::Swap { bytes: self.bytes() },
            OpCode::CellCompareVersionAndSet => {
                CellOp::CompareVersionAndSet { version: self.number(), bytes: self.bytes() }
            }
            OpCode::CellCompareAndSet => {
                CellOp::CompareAndSet { expected: self.bytes(), bytes: self.bytes() }
            }
            OpCode::CellAppend => CellOp::Append { bytes: self.bytes() },
            OpCode::CellSetWithToken => {
                CellOp::SetWithToken { token: self.token(), bytes: self.bytes() }
            }
            _ => unknown(code),
        }
    }

    fn vector<'m>(&mut self, code: OpCode, material: &'m mut Material) -> VectorOp<'m> {
        match code {
            OpCode::VectorGet => VectorOp::Get,
            OpCode::VectorGetIfNewer => VectorOp::GetIfNewer { version: self.number() },
            OpCode::VectorInit => {
                VectorOp::Init { columns: self.small(), elements: self.elements(material) }
            }
            OpCode::VectorSet => {
                VectorOp::Set { columns: self.small(), elements: self.elements(material) }
            }
            OpCode::VectorAdd => VectorOp::Add { elements: self.elements(material) },
            OpCode::VectorGetRows => VectorOp::GetRows { from: self.small(), count: self.small() },
            OpCode::VectorAddRows => {
                VectorOp::AddRows { from: self.small(), elements: self.elements(material) }
            }
            OpCode::VectorScale => VectorOp::Scale { factor: self.scalar() },
            OpCode::VectorDot => VectorOp::Dot { elements: self.elements(material) },
            OpCode::VectorSum => VectorOp::Sum,
            _ => unknown(code),
        }
    }

    fn reduction<'m>(&mut self, code: OpCode, material: &'m mut Material) -> ReductionOp<'m> {
        match code {
            OpCode::ReductionLast => ReductionOp::Last,
            OpCode::ReductionState => ReductionOp::State,
            OpCode::ReductionContribute => ReductionOp::Contribute(self.contribution(material)),
            OpCode::ReductionReset => ReductionOp::Reset,
            OpCode::ReductionBreak => ReductionOp::Break { reason: self.text() },
            _ => unknown(code),
        }
    }

    fn barrier(&mut self, code: OpCode) -> BarrierOp<'static> {
        match code {
            OpCode::BarrierState => BarrierOp::State,
            OpCode::BarrierArrive => BarrierOp::Arrive(self.arrival()),
            OpCode::BarrierArriveAndWait => BarrierOp::ArriveAndWait(self.arrival()),
            OpCode::BarrierReset => BarrierOp::Reset,
            OpCode::BarrierBreak => BarrierOp::Break { reason: self.text() },
            _ => unknown(code),
        }
    }

    fn latch(&mut self, code: OpCode) -> LatchOp<'static> {
        match code {
            OpCode::LatchState => LatchOp::State,
            OpCode::LatchCountDown => {
                LatchOp::CountDown { party: self.text(), parties: self.parties() }
            }
            OpCode::LatchWait => LatchOp::Wait { parties: self.parties() },
            _ => unknown(code),
        }
    }

    fn list<'m>(&mut self, code: OpCode, material: &'m mut Material) -> ListOp<'m> {
        let items = &mut material.items;
        match code {
            OpCode::ListLen => ListOp::Len,
            OpCode::ListGet => ListOp::Get { index: self.number() },
            OpCode::ListRange => ListOp::Range { from: self.number(), limit: self.small() },
            OpCode::ListIndexOf => ListOp::IndexOf { from_end: self.yes(), bytes: self.bytes() },
            OpCode::ListContainsAll => ListOp::ContainsAll { items: self.items(items) },
            OpCode::ListPushBack => ListOp::PushBack { bytes: self.bytes() },
            OpCode::ListPushFront => ListOp::PushFront { bytes: self.bytes() },
            OpCode::ListPopBack => ListOp::PopBack,
            OpCode::ListPopFront => ListOp::PopFront,
            OpCode::ListPopFrontWait => ListOp::PopFrontWait,
            OpCode::ListSet => ListOp::Set { index: self.number(), bytes: self.bytes() },
            OpCode::ListInsert => ListOp::Insert { index: self.number(), bytes: self.bytes() },
            OpCode::ListRemoveAt => ListOp::RemoveAt { index: self.number() },
            OpCode::ListRemoveValue => ListOp::RemoveValue { bytes: self.bytes() },
            OpCode::ListExtend => ListOp::Extend { items: self.items(items) },
            OpCode::ListRetainAll => ListOp::RetainAll { items: self.items(items) },
            OpCode::ListRemoveAll => ListOp::RemoveAll { items: self.items(items) },
            OpCode::ListClear => ListOp::Clear,
            OpCode::ListClaim => ListOp::Claim { hold_ms: self.hold_ms() },
            OpCode::ListDone => ListOp::Done { token: self.token() },
            OpCode::ListReturn => ListOp::Return { token: self.token() },
            OpCode::ListTryClaim => ListOp::TryClaim { hold_ms: self.hold_ms() },
            _ => unknown(code),
        }
    }

    fn map<'m>(&mut self, code: OpCode, material: &'m mut Material) -> MapOp<'m> {
        let Material { items, words: [one, other], .. } = material;
        match code {
            OpCode::MapLen => MapOp::Len,
            OpCode::MapGet => MapOp::Get { key: self.bytes() },
            OpCode::MapContainsKey => MapOp::ContainsKey { key: self.bytes() },
            OpCode::MapContainsValue => MapOp::ContainsValue { value: self.value(one) },
            OpCode::MapScan => MapOp::Scan(self.scan()),
            OpCode::MapPut => MapOp::Put { key: self.bytes(), value: self.value(one) },
            OpCode::MapPutIfAbsent => {
                MapOp::PutIfAbsent { key: self.bytes(), value: self.value(one) }
            }
            OpCode::MapCompareAndSwap => MapOp::CompareAndSwap {
                key: self.bytes(),
                expected: if self.yes() { Some(self.value(one)) } else { None },
                value: if self.yes() { Some(self.value(other)) } else { None },
            },
            OpCode::MapRemove => MapOp::Remove { key: self.bytes() },
            OpCode::MapTake => MapOp::Take { key: self.bytes() },
            OpCode::MapSwap => MapOp::Swap { key: self.bytes(), value: self.value(one) },
            OpCode::MapPutAll => MapOp::PutAll { items: self.pairs(items) },
            OpCode::MapMerge => MapOp::Merge {
                key: self.bytes(),
                value: self.value(one),
                merge: self.one_of(Merge::ALL),
            },
            OpCode::MapMergeAll => {
                MapOp::MergeAll { merge: self.one_of(Merge::ALL), items: self.pairs(items) }
            }
            OpCode::MapClear => MapOp::Clear,
            OpCode::MapPutWithToken => MapOp::PutWithToken {
                token: self.token(),
                key: self.bytes(),
                value: self.value(one),
            },
            OpCode::MapRemoveAll => MapOp::RemoveAll { items: self.items(items) },
            _ => unknown(code),
        }
    }

    fn set<'m>(&mut self, code: OpCode, material: &'m mut Material) -> SetOp<'m> {
        let items = &mut material.items;
        match code {
            OpCode::SetLen => SetOp::Len,
            OpCode::SetContains => SetOp::Contains { bytes: self.bytes() },
            OpCode::SetContainsAll => SetOp::ContainsAll { items: self.items(items) },
            OpCode::SetScan => SetOp::Scan(self.scan()),
            OpCode::SetAdd => SetOp::Add { bytes: self.bytes() },
            OpCode::SetRemove => SetOp::Remove { bytes: self.bytes() },
            OpCode::SetAddAll => SetOp::AddAll { items: self.items(items) },
            OpCode::SetRemoveAll => SetOp::RemoveAll { items: self.items(items) },
            OpCode::SetRetainAll => SetOp::RetainAll { items: self.items(items) },
            OpCode::SetClear => SetOp::Clear,
            _ => unknown(code),
        }
    }

    fn semaphore(&mut self, code: OpCode) -> SemaphoreOp {
        match code {
            OpCode::SemaphoreState => SemaphoreOp::State,
            OpCode::SemaphoreAcquire => SemaphoreOp::Acquire(self.permit()),
            OpCode::SemaphoreTryAcquire => SemaphoreOp::TryAcquire(self.permit()),
            OpCode::SemaphoreRelease => SemaphoreOp::Release { token: self.token() },
            OpCode::SemaphoreExtend => {
                SemaphoreOp::Extend { token: self.token(), hold_ms: self.hold_ms() }
            }
            _ => unknown(code),
        }
    }

    fn lock(&mut self, code: OpCode) -> LockOp {
        match code {
            OpCode::LockState => LockOp::State,
            OpCode::LockAcquire => LockOp::Acquire { hold_ms: self.hold_ms() },
            OpCode::LockTryAcquire => LockOp::TryAcquire { hold_ms: self.hold_ms() },
            OpCode::LockRelease => LockOp::Release { token: self.token() },
            OpCode::LockExtend => LockOp::Extend { token: self.token(), hold_ms: self.hold_ms() },
            _ => unknown(code),
        }
    }

    fn future(&mut self, code: OpCode) -> FutureOp<'static> {
        match code {
            OpCode::FutureState => FutureOp::State,
            OpCode::FuturePeek => FutureOp::Peek,
            OpCode::FutureSet => FutureOp::Set { bytes: self.bytes() },
            OpCode::FutureGet => FutureOp::Get,
            OpCode::FutureCancel => FutureOp::Cancel { reason: self.text() },
            _ => unknown(code),
        }
    }

    fn log(&mut self, code: OpCode) -> LogOp<'static> {
        match code {
            OpCode::LogTail => LogOp::Tail { after: self.number(), limit: self.small() },
            OpCode::LogPrint => LogOp::Print { line: self.text() },
            _ => unknown(code),
        }
    }

    fn scope(&mut self, code: OpCode) -> ScopeOp<'static> {
        let prefix = self.prefix();
        match code {
            OpCode::ScopeList => {
                ScopeOp::List { after: self.prefix(), prefix, limit: self.small() }
            }
            OpCode::ScopeUsage => ScopeOp::Usage { prefix },
            OpCode::ScopeDelete => ScopeOp::Delete { prefix, limit: self.small() },
            OpCode::ScopeQuota => ScopeOp::Quota {
                prefix,
                objects_max: self.small().into(),
                bytes_max: if self.yes() { 0 } else { 1 << (self.byte() % 16) },
            },
            OpCode::ScopeStats => ScopeOp::Stats,
            _ => unknown(code),
        }
    }
}

fn unknown(code: OpCode) -> ! {
    unreachable!("{code:?} was added and nobody says it here")
}
