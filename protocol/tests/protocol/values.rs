//! The fields of everything that has a body, in the order PROTOCOL.md lists them.

// The table of ops names them all.
use catena_protocol::op::*;
use catena_protocol::operator::{self, MemberStatus, NodeStatus, ShardStatus};
use catena_protocol::peer::PeerHello;
use catena_protocol::{
    Elements, Fault, Hello, Holder, Inspection, Items, Kind, Listing, Missing, Monitored,
    MonitoredRequest, Op, Refusal, Reply, Scalar, SeatState, Stats, Usage, Welcome,
};

use crate::plain::Value;

/// Fields with their names.
pub(crate) type Values = Vec<(&'static str, Value)>;

/// Fields of a body that one part of an op becomes. `name` is what PROTOCOL.md calls the field if
/// it is one.
trait ShapePart {
    fn fields(self, name: &'static str) -> Values;
}

impl ShapePart for bool {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, Value::Bool(self))]
    }
}

impl ShapePart for i64 {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, Value::Signed(self))]
    }
}

impl ShapePart for u32 {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, number(self))]
    }
}

impl ShapePart for u64 {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, number(self))]
    }
}

impl ShapePart for Merge {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, number(self.to_wire()))]
    }
}

impl ShapePart for &[u8] {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, of_bytes(self))]
    }
}

impl ShapePart for Option<&[u8]> {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, of_bytes(self.unwrap_or_default()))]
    }
}

impl ShapePart for &str {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, of_text(self))]
    }
}

impl ShapePart for Elements<'_> {
    fn fields(self, name: &'static str) -> Values {
        vec![(name, of_elements(self))]
    }
}

impl ShapePart for Items<'_> {
    fn fields(self, _: &'static str) -> Values {
        of_items(self).into()
    }
}

impl ShapePart for Scalar {
    fn fields(self, _: &'static str) -> Values {
        of_scalar(self)
    }
}

impl ShapePart for ScanArgs<'_> {
    fn fields(self, _: &'static str) -> Values {
        let ScanArgs { what, reverse, limit, from, to } = self;
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
}

impl ShapePart for Permit {
    fn fields(self, _: &'static str) -> Values {
        let Permit { permits, count, hold_ms } = self;
        vec![("permits", number(permits)), ("count", number(count)), ("hold_ms", number(hold_ms))]
    }
}

impl ShapePart for Arrival<'_> {
    fn fields(self, _: &'static str) -> Values {
        let Arrival { party, parties, generation, hold_ms, loss } = self;
        vec![
            ("generation", number(generation)),
            ("parties", number(parties)),
            ("hold_ms", number(hold_ms)),
            ("loss", number(loss.to_wire())),
            ("party", of_text(party)),
        ]
    }
}

impl ShapePart for Contribution<'_> {
    fn fields(self, _: &'static str) -> Values {
        let Contribution { party, parties, round, op, hold_ms, loss, elements } = self;
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
}

/// What PROTOCOL.md calls the field of a shape that has one.
fn only_field(shape: &str) -> &'static str {
    match shape {
        "Int" | "Bool" => "value",
        "Number" => "number",
        "Bytes" | "Text" => "bytes",
        "Elements" => "elements",
        "Count" => "parties",
        "Hold" => "hold_ms",
        // Those of one part, but of several fields.
        _ => "",
    }
}

/// The fields of a shape as the table of ops has it.
macro_rules! fields {
    ($shape:ident ($part:ident)) => {
        $part.fields(only_field(stringify!($shape)))
    };
    ($shape:ident { $($part:ident),* }) => {{
        let fields: Vec<Values> = vec![$($part.fields(stringify!($part)),)*];
        fields.concat()
    }};
}

/// Makes of the table of ops what gives the fields of each.
macro_rules! declare {
    ($(
        $(#[$doc:meta])*
        $kind:ident = $kind_code:literal, has_objects: $objects:literal,
            $ops:ident $(<$a:lifetime>)? $(, inline($how:ident))?
        {$(
            $code:ident = $wire:literal, $class:ident, $op:ident $fields:tt
                = $shape:ident $parts:tt -> $reply:ident $(or $nothing:ident)?;
        )*}
    )*) => {
        pub(crate) fn of_op(op: &Op<'_>) -> Values {
            let fields = match *op {
                $($(Op::$kind($ops::$op $fields) => fields!($shape $parts),)*)*
            };
            match *op {
                // Whether there are values to expect and to set comes before the values.
                Op::Map(MapOp::CompareAndSwap { expected, value, .. }) => {
                    let flags = [("expects", expected.is_some()), ("sets", value.is_some())];
                    let flags = flags.map(|(name, flag)| (name, Value::Bool(flag)));
                    flags.into_iter().chain(fields).collect()
                }
                _ => fields,
            }
        }
    };
}

catena_protocol::for_each_op!(declare);

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
        Reply::Monitored(ref monitored) => of_monitored(monitored),
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

fn of_monitored(monitored: &Monitored) -> Values {
    let request = |request: &MonitoredRequest| {
        vec![
            number(request.at_us),
            number(request.session),
            number(request.took_ns),
            number(request.body_bytes),
            number(request.op),
            number(request.status),
            Value::Bool(request.replied),
            Value::Text(request.source.clone()),
            Value::Text(request.object.clone()),
        ]
    };
    vec![
        ("next", number(monitored.next)),
        ("missed", number(monitored.missed)),
        ("requests", Value::Shapes(monitored.requests.iter().map(request).collect())),
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
        ("incarnation", number(welcome.incarnation)),
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

pub(crate) fn of_peer_hello(hello: &PeerHello) -> Values {
    vec![
        ("from", Value::Wide(hello.from)),
        ("to", Value::Wide(hello.to)),
        ("shards", number(hello.shards)),
        ("core", number(hello.core)),
        ("cores", number(hello.cores)),
        ("cluster", Value::Text(hello.cluster.clone())),
    ]
}

pub(crate) fn of_operator_request(request: &operator::Request) -> Values {
    let (request, node) = match *request {
        operator::Request::Status => (0_u8, 0),
        operator::Request::Remove(node) => (1, node),
        operator::Request::Join => (2, 0),
    };
    vec![("request", number(request)), ("node", Value::Wide(node))]
}

/// Of a reply that is a refusal.
pub(crate) fn of_operator_refusal(reason: &str) -> Values {
    vec![("reply", number(2_u8)), ("reason", Value::Text(reason.to_owned()))]
}

pub(crate) fn of_node_status(status: &NodeStatus) -> Values {
    let member = |member: &MemberStatus| {
        vec![
            Value::Wide(member.node),
            Value::Text(member.name.clone()),
            Value::Text(member.control.clone()),
            number(member.silent_us),
            Value::Text(member.suspected.clone()),
            Value::Signed(member.clock_ahead_us),
        ]
    };
    let shard = |shard: &ShardStatus| {
        vec![
            number(shard.shard),
            Value::Text(shard.role.clone()),
            number(shard.applied),
            number(shard.committed),
            number(shard.lag),
            number(shard.objects),
            number(shard.sessions),
            number(shard.bytes),
        ]
    };
    vec![
        ("node", Value::Wide(status.node)),
        ("name", Value::Text(status.name.clone())),
        ("cluster", Value::Text(status.cluster.clone())),
        ("engine", Value::Text(status.engine.clone())),
        ("epoch", number(status.epoch)),
        ("standing", Value::Text(status.standing.clone())),
        ("active", Value::Bool(status.active)),
        ("replicas", number(status.replicas)),
        ("min_members", number(status.min_members)),
        ("proposal", Value::Text(status.proposal.clone())),
        ("lease_us", Value::Maybe(status.lease_us)),
        ("learner", Value::Wide(status.learner)),
        ("teacher", Value::Wide(status.teacher)),
        ("rejoins_ms", number(status.rejoins_ms)),
        ("register_trouble", Value::Text(status.register_trouble.clone())),
        ("members", Value::Shapes(status.members.iter().map(member).collect())),
        ("shards", Value::Shapes(status.shards.iter().map(shard).collect())),
        ("spares", Value::Shapes(status.spares.iter().map(member).collect())),
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
