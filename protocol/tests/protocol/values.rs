//! The fields of everything that has a body, in the order PROTOCOL.md lists them.

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp, LatchOp, ListOp,
    LockOp, LogOp, MapOp, ObjectOp, Permit, ReductionOp, ScanArgs, ScopeOp, SemaphoreOp, SessionOp,
    SetOp, UserOp, VectorOp,
};
use catena_protocol::{
    Elements, Fault, Hello, Holder, Inspection, Items, Kind, Listing, Missing, Op, Refusal, Reply,
    Scalar, SeatState, Stats, Usage, Welcome,
};

use crate::plain::Value;

/// Fields with their names.
pub(crate) type Values = Vec<(&'static str, Value)>;

pub(crate) fn of_op(op: &Op<'_>) -> Values {
    match *op {
        Op::Session(SessionOp::Open { born_us, nonce, ttl_ms }) => {
            vec![("born_us", number(born_us)), ("nonce", number(nonce)), ("ttl_ms", number(ttl_ms))]
        }
        Op::Session(SessionOp::Close) => vec![],
        Op::Object(ObjectOp::Delete | ObjectOp::Inspect) => vec![],
        Op::Object(ObjectOp::WaitNewer { version: value } | ObjectOp::Expire { ttl_ms: value }) => {
            vec![("number", number(value))]
        }
        Op::Counter(op) => of_counter(op),
        Op::Flag(op) => of_flag(op),
        Op::Cell(op) => of_cell(op),
        Op::Vector(op) => of_vector(op),
        Op::Reduction(ReductionOp::Last | ReductionOp::State | ReductionOp::Reset) => vec![],
        Op::Reduction(ReductionOp::Break { reason }) => vec![("bytes", of_text(reason))],
        Op::Reduction(ReductionOp::Contribute(part)) => {
            let Contribution { party, parties, round, op, hold_ms, loss, elements } = part;
            vec![
                ("round", number(round)),
                ("party", number(party)),
                ("parties", number(parties)),
                ("hold_ms", number(hold_ms)),
                ("op", number(op.to_wire())),
                ("loss", number(loss.to_wire())),
                ("elements", of_elements(elements)),
            ]
        }
        Op::Barrier(BarrierOp::State | BarrierOp::Reset) => vec![],
        Op::Barrier(BarrierOp::Arrive(arrival) | BarrierOp::ArriveAndWait(arrival)) => {
            let Arrival { party, parties, generation, hold_ms, loss } = arrival;
            vec![
                ("generation", number(generation)),
                ("parties", number(parties)),
                ("hold_ms", number(hold_ms)),
                ("loss", number(loss.to_wire())),
                ("party", of_text(party)),
            ]
        }
        Op::Barrier(BarrierOp::Break { reason }) => vec![("bytes", of_text(reason))],
        Op::Latch(LatchOp::State) => vec![],
        Op::Latch(LatchOp::CountDown { party, parties }) => {
            vec![("parties", number(parties)), ("party", of_text(party))]
        }
        Op::Latch(LatchOp::Wait { parties }) => vec![("parties", number(parties))],
        Op::List(op) => of_list(op),
        Op::Map(op) => of_map(op),
        Op::Set(op) => of_set(op),
        Op::Semaphore(op) => of_semaphore(op),
        Op::Lock(op) => of_lock(op),
        Op::Future(FutureOp::State | FutureOp::Peek | FutureOp::Get) => vec![],
        Op::Future(FutureOp::Set { bytes }) => vec![("bytes", of_bytes(bytes))],
        Op::Future(FutureOp::Cancel { reason }) => vec![("bytes", of_text(reason))],
        Op::Log(LogOp::Tail { after, limit }) => {
            vec![("after", number(after)), ("limit", number(limit))]
        }
        Op::Log(LogOp::Print { line }) => vec![("bytes", of_text(line))],
        Op::Scope(op) => of_scope(op),
        Op::User(UserOp::Read { type_id, args } | UserOp::Update { type_id, args }) => {
            vec![("type_id", number(type_id)), ("args", of_bytes(args))]
        }
    }
}

fn of_list(op: ListOp<'_>) -> Values {
    match op {
        ListOp::Len | ListOp::PopBack | ListOp::PopFront | ListOp::PopFrontWait | ListOp::Clear => {
            vec![]
        }
        ListOp::Get { index: value }
        | ListOp::RemoveAt { index: value }
        | ListOp::Done { token: value }
        | ListOp::Return { token: value } => vec![("number", number(value))],
        ListOp::Range { from, limit } => vec![("from", number(from)), ("limit", number(limit))],
        ListOp::IndexOf { from_end, bytes } => {
            vec![("from_end", Value::Bool(from_end)), ("bytes", of_bytes(bytes))]
        }
        ListOp::ContainsAll { items }
        | ListOp::Extend { items }
        | ListOp::RetainAll { items }
        | ListOp::RemoveAll { items } => of_items(items).into(),
        ListOp::PushBack { bytes }
        | ListOp::PushFront { bytes }
        | ListOp::RemoveValue { bytes } => vec![("bytes", of_bytes(bytes))],
        ListOp::Set { index, bytes } | ListOp::Insert { index, bytes } => {
            vec![("index", number(index)), ("bytes", of_bytes(bytes))]
        }
        ListOp::Claim { hold_ms } | ListOp::TryClaim { hold_ms } => {
            vec![("hold_ms", number(hold_ms))]
        }
    }
}

fn of_map(op: MapOp<'_>) -> Values {
    let entry = |key, value| [("key", of_bytes(key)), ("value", of_bytes(value))];
    match op {
        MapOp::Len | MapOp::Clear => vec![],
        MapOp::Get { key: bytes }
        | MapOp::ContainsKey { key: bytes }
        | MapOp::ContainsValue { value: bytes }
        | MapOp::Remove { key: bytes }
        | MapOp::Take { key: bytes } => vec![("bytes", of_bytes(bytes))],
        MapOp::Scan(scan) => of_scan(scan),
        MapOp::Put { key, value }
        | MapOp::PutIfAbsent { key, value }
        | MapOp::Swap { key, value } => entry(key, value).into(),
        MapOp::CompareAndSwap { key, expected, value } => {
            vec![
                ("expects", Value::Bool(expected.is_some())),
                ("sets", Value::Bool(value.is_some())),
                ("key", of_bytes(key)),
                ("expected", of_bytes(expected.unwrap_or_default())),
                ("value", of_bytes(value.unwrap_or_default())),
            ]
        }
        MapOp::PutAll { items } | MapOp::RemoveAll { items } => of_items(items).into(),
        MapOp::Merge { key, value, merge } => {
            [("merge", number(merge.to_wire()))].into_iter().chain(entry(key, value)).collect()
        }
        MapOp::MergeAll { merge, items } => {
            let items = of_items(items);
            [("merge", number(merge.to_wire()))].into_iter().chain(items).collect()
        }
        MapOp::PutWithToken { token, key, value } => {
            [("token", number(token))].into_iter().chain(entry(key, value)).collect()
        }
    }
}

fn of_set(op: SetOp<'_>) -> Values {
    match op {
        SetOp::Len | SetOp::Clear => vec![],
        SetOp::Contains { bytes } | SetOp::Add { bytes } | SetOp::Remove { bytes } => {
            vec![("bytes", of_bytes(bytes))]
        }
        SetOp::Scan(scan) => of_scan(scan),
        SetOp::ContainsAll { items }
        | SetOp::AddAll { items }
        | SetOp::RemoveAll { items }
        | SetOp::RetainAll { items } => of_items(items).into(),
    }
}

fn of_scan(scan: ScanArgs<'_>) -> Values {
    let ScanArgs { what, reverse, limit, from, to } = scan;
    let edge = |edge: Edge<'_>| match edge {
        Edge::None => (number(0_u8), of_bytes(b"")),
        Edge::Included(key) => (number(1_u8), of_bytes(key)),
        Edge::Excluded(key) => (number(2_u8), of_bytes(key)),
    };
    let ((from_bound, from), (to_bound, to)) = (edge(from), edge(to));
    vec![
        ("limit", number(limit)),
        ("what", number(what.to_wire())),
        ("reverse", Value::Bool(reverse)),
        ("from_bound", from_bound),
        ("to_bound", to_bound),
        ("from", from),
        ("to", to),
    ]
}

fn of_semaphore(op: SemaphoreOp) -> Values {
    match op {
        SemaphoreOp::State => vec![],
        SemaphoreOp::Acquire(permit) | SemaphoreOp::TryAcquire(permit) => {
            let Permit { permits, count, hold_ms } = permit;
            vec![
                ("permits", number(permits)),
                ("count", number(count)),
                ("hold_ms", number(hold_ms)),
            ]
        }
        SemaphoreOp::Release { token } => vec![("number", number(token))],
        SemaphoreOp::Extend { token, hold_ms } => {
            vec![("token", number(token)), ("hold_ms", number(hold_ms))]
        }
    }
}

fn of_lock(op: LockOp) -> Values {
    match op {
        LockOp::State => vec![],
        LockOp::Acquire { hold_ms } | LockOp::TryAcquire { hold_ms } => {
            vec![("hold_ms", number(hold_ms))]
        }
        LockOp::Release { token } => vec![("number", number(token))],
        LockOp::Extend { token, hold_ms } => {
            vec![("token", number(token)), ("hold_ms", number(hold_ms))]
        }
    }
}

fn of_scope(op: ScopeOp<'_>) -> Values {
    match op {
        ScopeOp::List { after, prefix, limit } => {
            vec![("limit", number(limit)), ("after", of_text(after)), ("prefix", of_text(prefix))]
        }
        ScopeOp::Usage { prefix } => vec![("bytes", of_text(prefix))],
        ScopeOp::Delete { prefix, limit } => {
            vec![("limit", number(limit)), ("prefix", of_text(prefix))]
        }
        ScopeOp::Quota { prefix, objects_max, bytes_max } => {
            vec![
                ("objects_max", number(objects_max)),
                ("bytes_max", number(bytes_max)),
                ("prefix", of_text(prefix)),
            ]
        }
        ScopeOp::Stats => vec![],
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
        CellOp::SetWithToken { token, bytes } => {
            vec![("token", number(token)), ("bytes", of_bytes(bytes))]
        }
    }
}

fn of_vector(op: VectorOp<'_>) -> Values {
    match op {
        VectorOp::Get | VectorOp::Sum => vec![],
        VectorOp::GetIfNewer { version } => vec![("number", number(version))],
        VectorOp::Init { columns, elements } | VectorOp::Set { columns, elements } => {
            vec![("columns", number(columns)), ("elements", of_elements(elements))]
        }
        VectorOp::Add { elements } | VectorOp::Dot { elements } => {
            vec![("elements", of_elements(elements))]
        }
        VectorOp::GetRows { from, count } => {
            vec![("from", number(from)), ("count", number(count))]
        }
        VectorOp::AddRows { from, elements } => {
            vec![("from", number(from)), ("elements", of_elements(elements))]
        }
        VectorOp::Scale { factor } => of_scalar(factor),
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
        Reply::Value(bytes) => of_option(bytes).into(),
        Reply::Page { at, more, ref items } => {
            let page = [("at", number(at)), ("more", Value::Bool(more))];
            page.into_iter().chain(of_items(items.items())).collect()
        }
        Reply::Found { found, at } => vec![("at", number(at)), ("found", Value::Bool(found))],
        Reply::Granted { granted, token } => {
            vec![("token", number(token)), ("granted", Value::Bool(granted))]
        }
        Reply::Claimed { token, bytes } => {
            [("token", number(token))].into_iter().chain(of_option(bytes)).collect()
        }
        Reply::Permits { available, permits, holders, waiting } => {
            vec![
                ("available", number(available)),
                ("permits", number(permits)),
                ("holders", number(holders)),
                ("waiting", number(waiting)),
            ]
        }
        Reply::Scalar(scalar) => of_scalar(scalar),
        Reply::Listing(ref listing) => of_listing(listing),
        Reply::Inspection(ref inspection) => of_inspection(inspection),
        Reply::Usage(usage) => {
            let Usage { objects, bytes, objects_max, bytes_max } = usage;
            vec![
                ("objects", number(objects)),
                ("bytes", number(bytes)),
                ("objects_max", number(objects_max)),
                ("bytes_max", number(bytes_max)),
            ]
        }
        Reply::Stats(ref stats) => of_stats(stats),
    }
}

fn of_option(bytes: Option<&[u8]>) -> [(&'static str, Value); 2] {
    let present = Value::Bool(bytes.is_some());
    [("present", present), ("bytes", of_bytes(bytes.unwrap_or_default()))]
}

fn of_listing(listing: &Listing<'_>) -> Values {
    let columns = listing.columns();
    let (mut versions, mut sizes, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lens, mut names) = (Vec::new(), Vec::new());
    for listed in columns.iter() {
        versions.push(listed.version);
        sizes.push(listed.bytes);
        kinds.push(listed.kind.map_or(0, Kind::to_wire));
        lens.push(u32::try_from(listed.name.len()).expect("a short name"));
        names.extend_from_slice(listed.name.as_bytes());
    }
    vec![
        ("unnamed", number(columns.unnamed())),
        ("versions", Value::Longs(versions)),
        ("sizes", Value::Longs(sizes)),
        ("lens", Value::Words(lens)),
        ("names", Value::Bytes(names)),
        ("kinds", Value::Bytes(kinds)),
        ("more", Value::Bool(columns.more())),
    ]
}

fn of_inspection(inspection: &Inspection) -> Values {
    let holder = |holder: &Holder| {
        vec![
            number(holder.session),
            number(holder.token),
            number(holder.left_ms),
            number(holder.permits),
            Value::Text(holder.party.clone()),
        ]
    };
    vec![
        ("version", number(inspection.version)),
        ("bytes", number(inspection.bytes)),
        ("expires_ms", number(inspection.expires_ms)),
        ("waiters", number(inspection.waiters)),
        ("kind", number(inspection.kind)),
        ("name", Value::Text(inspection.name.clone())),
        ("detail", Value::Text(inspection.detail.clone())),
        ("missing", Value::Texts(inspection.missing.clone())),
        ("holders", Value::Shapes(inspection.holders.iter().map(holder).collect())),
    ]
}

fn of_stats(stats: &Stats) -> Values {
    let Stats {
        now_us,
        updates,
        reads,
        objects,
        named,
        sessions,
        waiters,
        holds,
        bytes,
        memory_bytes_max,
        connections,
        core,
    } = *stats;
    vec![
        ("now_us", number(now_us)),
        ("updates", number(updates)),
        ("reads", number(reads)),
        ("objects", number(objects)),
        ("named", number(named)),
        ("sessions", number(sessions)),
        ("waiters", number(waiters)),
        ("holds", number(holds)),
        ("bytes", number(bytes)),
        ("memory_bytes_max", number(memory_bytes_max)),
        ("connections", number(connections)),
        ("core", number(core)),
    ]
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
        Refusal::Broken(reason) => vec![("bytes", of_text(reason))],
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
        ("names", Value::Texts(welcome.members.names.clone())),
        ("controls", Value::Texts(welcome.members.controls.clone())),
        ("cores", Value::Shorts(welcome.members.cores.clone())),
        ("addresses", Value::Texts(welcome.members.addresses.clone())),
        ("chains", Value::Shorts(welcome.members.chains.clone())),
    ]
}

fn number(value: impl Into<u64>) -> Value {
    Value::Unsigned(value.into())
}

fn of_bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn of_text(text: &str) -> Value {
    of_bytes(text.as_bytes())
}

fn of_items(items: Items<'_>) -> [(&'static str, Value); 2] {
    let len = |item: &[u8]| u32::try_from(item.len()).expect("a short item");
    let all: Vec<u8> = items.iter().flatten().copied().collect();
    [("lens", Value::Words(items.iter().map(len).collect())), ("bytes", Value::Bytes(all))]
}

fn of_scalar(scalar: Scalar) -> Values {
    let bits = match scalar {
        Scalar::F64(value) => value.to_bits(),
        Scalar::F32(value) => value.to_bits().into(),
        Scalar::I64(value) => value.cast_unsigned(),
    };
    vec![("bits", number(bits)), ("tag", number(scalar.type_code()))]
}

fn of_elements(elements: Elements<'_>) -> Value {
    let bytes = match elements {
        Elements::F64(values) => bytemuck::cast_slice(values),
        Elements::F32(values) => bytemuck::cast_slice(values),
        Elements::I64(values) => bytemuck::cast_slice(values),
    };
    Value::Elements(elements.type_code(), bytes.to_vec())
}
