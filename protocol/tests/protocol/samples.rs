//! One value of everything that goes over the wire, made from given material.
//!
//! A new op has a sample because it is in the table, and with it a golden frame, a row in
//! PROTOCOL.md and its place in every property. The match over statuses is exhaustive for the same
//! reason.

// The table of ops names them all.
use catena_protocol::op::*;
use catena_protocol::operator::{self, MemberStatus, NodeStatus, ShardStatus};
use catena_protocol::peer::PeerHello;
use catena_protocol::{
    Elements, Fault, FrameKind, Header, Hello, Holder, Inspection, Items, ItemsBuf, Kind, Listed,
    ListingBuf, Members, Missing, Monitored, MonitoredRequest, ObjectId, Op, OpCode, Refusal,
    Reply, ReplyShape, Scalar, SeatState, ShardMap, Stats, Status, Usage, Welcome, frame,
};

/// What samples are made of.
#[derive(Clone, Debug)]
pub(crate) struct SampleMaterial {
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
    pub(crate) numbers: SampleNumbers,
    /// An even number of them, so that they are keys and values as well.
    pub(crate) items: ItemsBuf,
}

/// SampleNumbers of one of the element types.
#[derive(Clone, Debug)]
pub(crate) enum SampleNumbers {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl SampleNumbers {
    pub(crate) fn elements(&self) -> Elements<'_> {
        match self {
            SampleNumbers::F64(values) => Elements::F64(values),
            SampleNumbers::F32(values) => Elements::F32(values),
            SampleNumbers::I64(values) => Elements::I64(values),
        }
    }

    /// The first of them, or 0.
    fn scalar(&self) -> Scalar {
        match self {
            SampleNumbers::F64(values) => Scalar::F64(values.first().copied().unwrap_or_default()),
            SampleNumbers::F32(values) => Scalar::F32(values.first().copied().unwrap_or_default()),
            SampleNumbers::I64(values) => Scalar::I64(values.first().copied().unwrap_or_default()),
        }
    }
}

impl SampleMaterial {
    /// The material of the golden frames and of the examples in PROTOCOL.md.
    pub(crate) fn golden() -> SampleMaterial {
        SampleMaterial {
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
            numbers: SampleNumbers::F64(vec![1.0, -2.5, 0.125]),
            items: ["beta", "2", "delta", ""].into_iter().collect(),
        }
    }

    /// The same with other element types, for the shapes that carry elements.
    pub(crate) fn with(numbers: SampleNumbers) -> SampleMaterial {
        SampleMaterial { numbers, ..SampleMaterial::golden() }
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
        let SampleMaterial { number, other_number, small, other_small, .. } = *self;
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

    fn monitored(&self) -> Monitored {
        let SampleMaterial { number, other_number, small, other_small, .. } = *self;
        let request = |object: &String| MonitoredRequest {
            at_us: number,
            session: other_number,
            took_ns: small,
            body_bytes: other_small,
            op: small / 2,
            status: other_small / 2,
            replied: small.is_multiple_of(2),
            source: self.name.clone(),
            object: object.clone(),
        };
        let requests = self.names.iter().map(request).collect();
        Monitored { next: other_number, missed: number, requests }
    }
}

/// A field of an op, made of given material: by its type, and by its name where that matters.
trait SampleField<'m> {
    fn of(material: &'m SampleMaterial, name: &str) -> Self;
}

impl SampleField<'_> for bool {
    fn of(material: &SampleMaterial, name: &str) -> bool {
        material.yes == (name != "expected")
    }
}

impl SampleField<'_> for i64 {
    fn of(material: &SampleMaterial, _: &str) -> i64 {
        material.int
    }
}

impl SampleField<'_> for u64 {
    fn of(material: &SampleMaterial, name: &str) -> u64 {
        match name {
            "token" | "nonce" | "length" | "bytes_max" => material.other_number,
            _ => material.number,
        }
    }
}

impl SampleField<'_> for u32 {
    fn of(material: &SampleMaterial, name: &str) -> u32 {
        match name {
            "parties" | "count" => material.other_small,
            _ => material.small,
        }
    }
}

impl<'m> SampleField<'m> for &'m [u8] {
    fn of(material: &'m SampleMaterial, name: &str) -> &'m [u8] {
        match name {
            "key" | "expected" => &material.other_bytes,
            _ => &material.bytes,
        }
    }
}

impl<'m> SampleField<'m> for Option<&'m [u8]> {
    fn of(material: &'m SampleMaterial, name: &str) -> Option<&'m [u8]> {
        match name {
            "expected" => material.yes.then_some(material.name.as_bytes()),
            _ => Some(&material.bytes),
        }
    }
}

impl<'m> SampleField<'m> for &'m str {
    fn of(material: &'m SampleMaterial, name: &str) -> &'m str {
        match name {
            "after" => material.names.first().map_or("", |name| name),
            _ => &material.name,
        }
    }
}

impl<'m> SampleField<'m> for Items<'m> {
    fn of(material: &'m SampleMaterial, _: &str) -> Items<'m> {
        material.items.items()
    }
}

impl<'m> SampleField<'m> for Elements<'m> {
    fn of(material: &'m SampleMaterial, _: &str) -> Elements<'m> {
        material.numbers.elements()
    }
}

impl SampleField<'_> for Scalar {
    fn of(material: &SampleMaterial, _: &str) -> Scalar {
        material.numbers.scalar()
    }
}

impl SampleField<'_> for Merge {
    fn of(material: &SampleMaterial, _: &str) -> Merge {
        material.merge
    }
}

impl<'m> SampleField<'m> for ScanArgs<'m> {
    fn of(material: &'m SampleMaterial, _: &str) -> ScanArgs<'m> {
        ScanArgs {
            what: material.what,
            reverse: material.yes,
            limit: material.small,
            from: if material.yes { Edge::Included(&material.bytes) } else { Edge::None },
            to: Edge::Excluded(&material.other_bytes),
        }
    }
}

impl SampleField<'_> for Permit {
    fn of(material: &SampleMaterial, _: &str) -> Permit {
        let SampleMaterial { small, other_small, .. } = *material;
        Permit { permits: other_small, count: small, hold_ms: small }
    }
}

impl<'m> SampleField<'m> for Arrival<'m> {
    fn of(material: &'m SampleMaterial, _: &str) -> Arrival<'m> {
        Arrival {
            party: &material.name,
            parties: material.other_small,
            generation: material.number,
            hold_ms: material.small,
            loss: material.loss,
        }
    }
}

impl<'m> SampleField<'m> for Contribution<'m> {
    fn of(material: &'m SampleMaterial, _: &str) -> Contribution<'m> {
        Contribution {
            party: material.small,
            parties: material.other_small,
            round: material.number,
            op: material.reduce,
            hold_ms: material.small,
            loss: material.loss,
            elements: material.numbers.elements(),
        }
    }
}

/// Makes of the table of ops what gives a sample of each, and of its replies.
macro_rules! declare {
    ($(
        $(#[$doc:meta])*
        $kind:ident = $kind_code:literal, has_objects: $objects:literal,
            $ops:ident $(<$a:lifetime>)? $(, inline($how:ident))?
        {$(
            $code:ident = $wire:literal, $class:ident,
                $op:ident { $($field:tt $(: $name:ident)?),* }
                = $shape:ident $parts:tt -> $reply:ident $(or $nothing:ident)?;
        )*}
    )*) => {
        /// The op with this code.
        pub(crate) fn op(code: OpCode, material: &SampleMaterial) -> Op<'_> {
            let op = match code {$($(
                OpCode::$code => Op::$kind($ops::$op {
                    $($field: SampleField::of(material, stringify!($field)),)*
                }),
            )*)*};
            match op {
                // Two integers, and what a set can be scanned for.
                Op::Counter(CounterOp::CompareAndSwap { expected, .. }) => {
                    Op::Counter(CounterOp::CompareAndSwap { expected, value: material.other_int })
                }
                Op::Set(SetOp::Scan(scan)) => {
                    Op::Set(SetOp::Scan(ScanArgs { what: ScanWhat::Keys, ..scan }))
                }
                op => op,
            }
        }

        /// The replies to the op with this code: one, and a second without anything in it where the
        /// op may find nothing.
        pub(crate) fn replies(code: OpCode, material: &SampleMaterial) -> Vec<Reply<'_>> {
            let mut replies = vec![reply(code.reply(), material)];
            match code {
                $($($(OpCode::$code => replies.push($nothing(&replies[0])),)?)*)*
                _ => {}
            }
            replies
        }
    };
}

catena_protocol::for_each_op!(declare);

/// A reply of this shape.
fn reply(shape: ReplyShape, material: &SampleMaterial) -> Reply<'_> {
    let SampleMaterial { int, number: version, other_number, small: columns, yes, .. } = *material;
    let (bytes, elements) = (&*material.bytes, material.numbers.elements());
    let (token, at) = (version, version);
    match shape {
        ReplyShape::Empty => Reply::Unit,
        ReplyShape::Int => Reply::Int(int),
        ReplyShape::Bool => Reply::Bool(yes),
        ReplyShape::Number => Reply::Number(version),
        ReplyShape::IntSwapped => Reply::IntSwapped { value: int, swapped: yes },
        ReplyShape::BoolSwapped => Reply::BoolSwapped { value: !yes, swapped: yes },
        ReplyShape::VersionSwapped => Reply::VersionSwapped { version, swapped: yes },
        ReplyShape::Appended => Reply::Appended { version, length: other_number },
        ReplyShape::Cell => Reply::Cell { version, bytes: Some(bytes) },
        ReplyShape::Vector => Reply::Vector { version, columns, elements: Some(elements) },
        ReplyShape::Round => Reply::Round { round: version, elements },
        ReplyShape::Seats => Reply::Seats(material.state()),
        ReplyShape::Value => Reply::Value(Some(bytes)),
        ReplyShape::Page => Reply::Page { at, more: yes, items: material.items.items().into() },
        ReplyShape::Found => Reply::Found { found: yes, at },
        ReplyShape::Granted => Reply::Granted { granted: yes, token },
        ReplyShape::Claimed => Reply::Claimed { token, bytes: Some(bytes) },
        ReplyShape::Permits => Reply::Permits {
            available: material.small,
            permits: material.other_small,
            holders: material.small / 2,
            waiting: material.other_small / 2,
        },
        ReplyShape::Scalar => Reply::Scalar(material.numbers.scalar()),
        ReplyShape::Listing => Reply::Listing(material.listing().into()),
        ReplyShape::Inspection => Reply::Inspection(Box::new(material.inspection())),
        ReplyShape::Usage => Reply::Usage(Usage {
            objects: version,
            bytes: other_number,
            objects_max: material.small.into(),
            bytes_max: material.other_small.into(),
        }),
        ReplyShape::Stats => Reply::Stats(Box::new(material.stats())),
        ReplyShape::Monitored => Reply::Monitored(material.monitored()),
    }
}

/// The reply of an op that finds nothing.
fn nothing<'m>(something: &Reply<'m>) -> Reply<'m> {
    match *something {
        Reply::Cell { version, .. } => Reply::Cell { version, bytes: None },
        Reply::Vector { version, columns, .. } => {
            Reply::Vector { version, columns, elements: None }
        }
        Reply::Value(_) => Reply::Value(None),
        Reply::Granted { .. } => Reply::Granted { granted: false, token: 0 },
        Reply::Claimed { .. } => Reply::Claimed { token: 0, bytes: None },
        ref other => unreachable!("{other:?} is always something"),
    }
}

/// What a reply is called among the golden frames, before its op.
pub(crate) const REPLY_NAMES: [&str; 2] = ["reply", "reply-nothing"];

/// A refusal with this status; none for `Ok`.
pub(crate) fn refusal(status: Status, material: &SampleMaterial) -> Option<Refusal> {
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
        ..Header::new(FrameKind::Request)
    };
    let session = 0x5E55_1014_5E55_1014;
    let object = match code.kind() {
        Kind::Session | Kind::Scope => ObjectId(0),
        _ => visits,
    };
    let deadline_ms = if code.may_wait() { 1_500 } else { 0 };
    let header = Header { object, deadline_ms, ..header };
    if code.kind() == Kind::Session {
        Header { session, ..header }
    } else if code.is_read() {
        Header { number: 9, ..header }
    } else {
        Header { session, number: 12, acked_gap: 2, ..header }
    }
}

/// Every frame there is, by name: requests, replies, refusals and the handshake.
pub(crate) fn frames(material: &SampleMaterial) -> Vec<(String, Vec<u8>)> {
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
        incarnation: 0,
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
        incarnation: 1 << 40,
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

pub(crate) fn peer_hello() -> PeerHello {
    PeerHello {
        from: 1 << 100 | 1,
        to: 2,
        shards: 64,
        core: 1,
        cores: 2,
        cluster: "a cluster".to_owned(),
    }
}

pub(crate) fn operator_requests() -> [operator::Request; 3] {
    [operator::Request::Status, operator::Request::Remove(1 << 100), operator::Request::Join]
}

pub(crate) fn operator_replies() -> [operator::Reply; 5] {
    let text = str::to_owned;
    let member = |node, name: &str| MemberStatus {
        node,
        name: text(name),
        control: text("10.0.1.5:7399"),
        silent_us: 1_500,
        suspected: text("silent"),
        clock_ahead_us: -2_500_000,
    };
    let shard = |shard, role: &str| ShardStatus {
        shard,
        role: text(role),
        applied: 9,
        committed: 8,
        lag: 1,
        objects: 7,
        sessions: 6,
        bytes: 5_000,
    };
    let status = NodeStatus {
        node: 1 << 100,
        name: text("node-a"),
        cluster: text("a cluster"),
        engine: text("catena-engine 0.1.0"),
        epoch: 3,
        standing: text("member"),
        active: true,
        replicas: 3,
        min_members: 2,
        proposal: text("to remove node-b"),
        lease_us: Some(900_000),
        learner: 5,
        teacher: 6,
        rejoins_ms: 4_000,
        register_trouble: text("it times out"),
        members: vec![member(1 << 100, "node-a"), member(2, "another node")],
        shards: vec![shard(0, "head"), shard(1, "middle, at times")],
        spares: vec![member(7, "node-c")],
    };
    let alone = NodeStatus { lease_us: None, members: vec![], shards: vec![], ..status.clone() };
    [
        operator::Reply::Status(Box::new(status)),
        operator::Reply::Status(Box::new(alone)),
        operator::Reply::Accepted,
        operator::Reply::Refused(text("short")),
        operator::Reply::Refused(text("a reason that is longer than eight bytes")),
    ]
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
