//! PROTOCOL.md against the code: every table, every layout and every byte of its examples.

use std::collections::BTreeMap;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::{self, FRAME_BYTES_MAX};
use catena_protocol::op::{CounterOp, Loss, Merge, ReduceOp, ScanWhat, SessionOp};
use catena_protocol::{
    Fault, FrameKind, HEADER_BYTES, Header, Kind, MAGIC, ObjectId, Op, OpCode, Reply, ShardId,
    ShardMap, Status, VERSION, features, flags, operator,
};

use crate::golden;
use crate::plain::{self, DocumentedField, DocumentedShape};
use crate::samples::{self, Aligned, SampleMaterial};
use crate::values::{self, Values};

const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

/// The rows of all tables whose first column has this title, cells without backticks.
fn table(first_column: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut wanted = false;
    let mut lines = DOCUMENT.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(inner) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            continue;
        };
        let cells: Vec<String> =
            inner.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        if lines.peek().is_some_and(|next| next.starts_with("|---")) {
            lines.next();
            wanted = cells[0] == first_column;
        } else if wanted {
            rows.push(cells);
        }
    }
    assert!(!rows.is_empty(), "PROTOCOL.md has no table of {first_column}");
    rows
}

/// The fenced block below a line of text, without comments.
fn block(title: &str) -> Vec<String> {
    let (_, after) = DOCUMENT.split_once(title).unwrap_or_else(|| panic!("no {title}"));
    let (_, fenced) = after.split_once("```text\n").expect("a block follows its title");
    let (inside, _) = fenced.split_once("```").expect("the block ends");
    let without_comment = |line: &str| line.split(';').next().unwrap_or_default().trim().to_owned();
    inside.lines().map(without_comment).collect()
}

pub(crate) fn shapes() -> BTreeMap<String, DocumentedShape> {
    let number = |text: &str| text.parse().expect("a number of bytes");
    let shape = |row: Vec<String>| {
        let [name, size, align, fields] = <[String; 4]>::try_from(row).expect("four columns");
        let field = |field: &str| {
            let [offset, kind, name] = <[&str; 3]>::try_from(field.split(' ').collect::<Vec<_>>())
                .expect("offset, kind and name");
            let (kind, name) = (kind.to_owned(), name.to_owned());
            DocumentedField { offset: number(offset), kind, name, items: None }
        };
        let fields = match fields.as_str() {
            "none" => vec![],
            fields => fields.split("; ").map(field).collect(),
        };
        (name, DocumentedShape { size: number(&size), align: number(&align), fields })
    };
    let mut shapes: BTreeMap<String, DocumentedShape> =
        table("shape").into_iter().map(shape).collect();
    // A field may be a row of another shape.
    let others = shapes.clone();
    for field in shapes.values_mut().flat_map(|shape| &mut shape.fields) {
        field.items = field.kind.strip_suffix("[]").and_then(|kind| others.get(kind).cloned());
    }
    shapes
}

/// Body and reply shape of every op.
pub(crate) fn shapes_of_ops() -> BTreeMap<OpCode, (DocumentedShape, DocumentedShape)> {
    let shapes = shapes();
    let shapes_of = |row: &Vec<String>| (shapes[&row[3]].clone(), shapes[&row[4]].clone());
    let rows = table("code");
    OpCode::ALL.iter().copied().zip(rows.iter().map(shapes_of)).collect()
}

#[test]
fn fields_of_a_shape_lie_one_after_another() {
    for (name, shape) in shapes() {
        let (mut end, mut align) = (0, 1);
        for DocumentedField { offset, kind, name: field, .. } in &shape.fields {
            let (size, field_align) = plain::layout(kind);
            assert_eq!(*offset, end_aligned(end, field_align), "{name}.{field}");
            end = offset + size;
            align = align.max(field_align);
        }
        assert_eq!(shape.align, align, "{name}");
        assert_eq!(shape.size, end_aligned(end, align), "{name}");
    }
}

fn end_aligned(end: usize, align: usize) -> usize {
    end.next_multiple_of(align)
}

#[test]
fn the_op_table_is_the_enum() {
    let rows = table("code");
    assert_eq!(rows.len(), OpCode::ALL.len());
    for (row, code) in rows.iter().zip(OpCode::ALL) {
        assert_eq!(row[0], format!("{:#06x}", code.to_wire()));
        assert_eq!(row[1], format!("{code:?}"));
        assert_eq!(row[2] == "read", code.is_read(), "{code:?}");
        assert_eq!(row[2] == "waits", code.may_wait(), "{code:?}");
        assert_eq!(row[2] == "session", code.kind() == Kind::Session, "{code:?}");
        for status in row[6].split(", ").filter(|status| !status.is_empty() && *status != "none") {
            assert!(Status::ALL.iter().any(|known| format!("{known:?}") == status), "{status}");
        }
    }
}

#[test]
fn the_status_table_is_the_enum() {
    let rows = table("status");
    assert_eq!(rows.len(), Status::ALL.len());
    for (row, status) in rows.iter().zip(Status::ALL) {
        assert_eq!(row[0], status.to_wire().to_string());
        assert_eq!(row[1], format!("{status:?}"));
        assert_eq!(row[2], format!("{:?}", status.retry()).to_lowercase(), "{status:?}");
    }
}

#[test]
fn the_smaller_tables_are_the_enums_and_constants() {
    let pairs = |title: &str| -> Vec<(String, String)> {
        table(title).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    };
    let of = |number: String, name: String| (number, name);
    let frame_kinds = FrameKind::ALL.iter().map(|k| of(k.to_wire().to_string(), format!("{k:?}")));
    assert_eq!(pairs("frame kind"), frame_kinds.collect::<Vec<_>>());
    let kinds = Kind::ALL.iter().map(|k| of(format!("{:#04x}", k.to_wire()), k.name().to_owned()));
    assert_eq!(pairs("kind"), kinds.collect::<Vec<_>>());
    let reduce_ops = ReduceOp::ALL.iter().map(|op| of(op.to_wire().to_string(), format!("{op:?}")));
    assert_eq!(pairs("reduce op"), reduce_ops.collect::<Vec<_>>());
    let merges =
        Merge::ALL.iter().map(|merge| of(merge.to_wire().to_string(), format!("{merge:?}")));
    assert_eq!(pairs("merge"), merges.collect::<Vec<_>>());
    let losses = Loss::ALL.iter().map(|loss| of(loss.to_wire().to_string(), format!("{loss:?}")));
    assert_eq!(pairs("loss"), losses.collect::<Vec<_>>());
    let whats =
        ScanWhat::ALL.iter().map(|what| of(what.to_wire().to_string(), format!("{what:?}")));
    assert_eq!(pairs("what"), whats.collect::<Vec<_>>());
    let flag_bits = [(flags::NAMED, "NAMED"), (flags::NAME_WANTED, "NAME_WANTED")];
    let flag_bits = flag_bits.map(|(bit, name)| of(bit.to_string(), name.to_owned()));
    assert_eq!(pairs("flag bit"), flag_bits);
    assert_eq!(flags::ALL, flags::NAMED | flags::NAME_WANTED);
    assert_eq!(pairs("feature bit"), [of(features::SESSIONS.to_string(), "SESSIONS".to_owned())]);
    assert_eq!(features::ALL, features::SESSIONS);
    let limits = [
        ("FRAME_BYTES_MAX", u64::from(limits::FRAME_BYTES_MAX)),
        ("BODY_BYTES_MAX", limits::BODY_BYTES_MAX.into()),
        ("FRAME_ALIGNMENT", limits::FRAME_ALIGNMENT.into()),
        ("SHARDS_MAX", ShardMap::SHARDS_MAX.into()),
        ("SESSION_WINDOW_MAX", limits::SESSION_WINDOW_MAX.into()),
        ("SESSION_TTL_MS_DEFAULT", limits::SESSION_TTL_MS_DEFAULT.into()),
        ("SESSION_TTL_MS_MAX", limits::SESSION_TTL_MS_MAX.into()),
        ("WAIT_MS_MAX", limits::WAIT_MS_MAX.into()),
        ("DETACHED_MS", limits::DETACHED_MS.into()),
        ("HOLD_FROM_GRANT", limits::HOLD_FROM_GRANT.into()),
        ("HOLD_MS_MAX", limits::HOLD_MS_MAX.into()),
        ("NAME_BYTES_MAX", limits::NAME_BYTES_MAX as u64),
        ("KEY_BYTES_MAX", limits::KEY_BYTES_MAX as u64),
        ("ITEM_BYTES_MAX", limits::ITEM_BYTES_MAX as u64),
        ("LOG_LINE_BYTES_MAX", limits::LOG_LINE_BYTES_MAX as u64),
        ("ITEMS_MAX", limits::ITEMS_MAX.into()),
        ("PAGE_ITEMS_MAX", limits::PAGE_ITEMS_MAX.into()),
        ("PERMITS_MAX", limits::PERMITS_MAX.into()),
        ("PARTIES_MAX", limits::PARTIES_MAX.into()),
        ("PARTY_BYTES_MAX", limits::PARTY_BYTES_MAX as u64),
        ("MISSING_NAMED_MAX", limits::MISSING_NAMED_MAX as u64),
        ("REASON_BYTES_MAX", limits::REASON_BYTES_MAX as u64),
    ];
    assert_eq!(pairs("limit"), limits.map(|(name, value)| of(name.to_owned(), value.to_string())));
}

#[test]
fn the_header_table_says_where_each_field_lies() {
    let header = Header {
        op: 0x0102,
        flags: 0x0304,
        deadline_ms: 0x0506_0708,
        shard: ShardId(0x090A),
        acked_gap: 0x0B0C,
        epoch: 0x0D0E_0F10,
        session: 0x1112_1314_1516_1718,
        number: 0x191A_1B1C_1D1E_1F20,
        object: ObjectId(0x2122_2324_2526_2728_292A_2B2C_2D2E_2F30),
        ..Header::new(FrameKind::Request)
    };
    let mut frame = Vec::new();
    frame::write(&mut frame, &header, |body| body.extend_from_slice(&[0xBB; 5])).unwrap();
    let fields: [(&str, u128); 15] = [
        ("magic", MAGIC.into()),
        ("version", VERSION.into()),
        ("kind", FrameKind::Request.to_wire().into()),
        ("checksum", u128::from(checksum(&frame) & 0xFFFF_FFFF)),
        ("op", header.op.into()),
        ("flags", header.flags.into()),
        ("frame_bytes", 80),
        ("body_bytes", 5),
        ("deadline_ms", header.deadline_ms.into()),
        ("shard", header.shard.0.into()),
        ("acked_gap", header.acked_gap.into()),
        ("epoch", header.epoch.into()),
        ("session", header.session.into()),
        ("number", header.number.into()),
        ("object", header.object.0),
    ];
    let rows = table("offset");
    assert_eq!(rows.len(), fields.len());
    let mut end = 0;
    for (row, (name, value)) in rows.iter().zip(fields) {
        assert_eq!(row[2], name);
        assert_eq!(row[0], end.to_string(), "{name}");
        let start = end;
        end += row[1].parse::<usize>().expect("a size in bytes");
        let bytes = frame[start..end].iter().rev();
        let number = bytes.fold(0, |number, byte| (number << 8) | u128::from(*byte));
        assert_eq!(number, value, "{name}");
    }
    assert_eq!(end, HEADER_BYTES as usize);
}

fn checksum(frame: &[u8]) -> u64 {
    let seed = u32::from_le_bytes(*frame.first_chunk().expect("a header"));
    xxhash_rust::xxh3::xxh3_64_with_seed(&frame[8..], seed.into())
}

#[test]
fn the_checksum_example_is_right() {
    let example = block("### A checksum worked out");
    let frame = golden::from_hex(&example[..4].join(" "));
    assert_eq!(frame, golden_frame("request CounterGet"));
    let seed = u32::from_le_bytes(*frame.first_chunk().expect("a header"));
    let hash = checksum(&frame);
    assert_eq!(example[4], format!("seed     = {seed:#010x}"));
    assert_eq!(example[5], format!("XXH3-64  = {hash:#018x}"));
    assert_eq!(example[6], format!("checksum = {:#010x}", hash & 0xFFFF_FFFF));
}

#[test]
fn the_shard_example_is_right() {
    let example = block("### A shard worked out");
    let hash = blake3::hash(b"visits");
    let first: Vec<String> = hash.as_bytes()[..16].iter().map(|b| format!("{b:02x}")).collect();
    let id = ObjectId::of("visits");
    let map = ShardMap::new(64, 2).unwrap();
    let shard = map.shard_of(id);
    assert_eq!(example[0], format!("BLAKE3(\"visits\") begins  {}", first.join(" ")));
    assert_eq!(example[1], format!("as a number             {:#034x}", id.0));
    assert_eq!(example[2], format!("top 6 bits of 64 shards {}", shard.0));
    assert_eq!(example[3], format!("core of 2               {}", map.core_of(shard)));
}

/// The bodies that PROTOCOL.md takes apart are those of golden frames.
#[test]
fn the_body_examples_are_golden() {
    for name in [
        "request CellCompareAndSet",
        "request-f32 ReductionContribute",
        "request MapPutAll",
        "request-named ListPushBack",
        "reply BarrierState",
    ] {
        let frame = golden_frame(name);
        let example = golden::from_hex(&block(&format!("`{name}`")).join(" "));
        assert_eq!(example, golden::whole(&frame).body, "{name}");
    }
}

fn golden_frame(name: &str) -> Vec<u8> {
    golden::read()[name].to_vec()
}

#[test]
fn the_exchange_is_what_the_encoder_writes() {
    let (visits, map) = (ObjectId::of("visits"), ShardMap::new(64, 2).unwrap());
    let (shard, session) = (map.shard_of(visits), 0x5E55_1014_5E55_1014);
    let request = Header { shard, session, ..Header::new(FrameKind::Request) };
    let open = Header { op: OpCode::SessionOpen.to_wire(), ..request };
    let add = Header {
        op: OpCode::CounterAdd.to_wire(),
        number: 1,
        acked_gap: 1,
        object: visits,
        ..request
    };
    let write = |header: &Header, op: Op<'_>| {
        let mut out = Vec::new();
        frame::write(&mut out, header, |body| op.encode(body)).unwrap();
        out
    };
    let open_op = SessionOp::Open { born_us: 1_000_000, nonce: 0x1234_5678_9ABC_DEF0, ttl_ms: 0 };
    let mut hello = Vec::new();
    samples::hello().write(&mut hello);
    let mut welcome = Vec::new();
    samples::welcome().write(&mut welcome);
    let (mut opened, mut added) = (Vec::new(), Vec::new());
    frame::write_reply(&mut opened, &open, Ok(&Reply::Unit));
    frame::write_reply(&mut added, &add, Ok(&Reply::Int(5)));
    for (title, bytes) in [
        ("Hello, client to engine", hello),
        ("Welcome, engine to client", welcome),
        ("Open, client to engine", write(&open, Op::Session(open_op))),
        ("Add, client to engine", write(&add, Op::Counter(CounterOp::Add { delta: 5 }))),
        ("Reply to Open, engine to client", opened),
        ("Reply to Add, engine to client", added),
    ] {
        let example = golden::from_hex(&block(title).join(" "));
        assert_eq!(golden::hex_lines(&example), golden::hex_lines(&bytes), "{title}");
    }
}

/// A client that follows the document writes the same bytes and reads the same values.
#[test]
fn bodies_follow_the_shapes() {
    check_shapes(&SampleMaterial::golden());
}

pub(crate) fn check_shapes(material: &SampleMaterial) {
    let of_ops = shapes_of_ops();
    for code in OpCode::ALL {
        let (body_shape, reply_shape) = &of_ops[code];
        let op = samples::op(*code, material);
        let mut body = Vec::new();
        op.encode(&mut body);
        check_shape(&format!("{code:?}"), body_shape, &values::of_op(&op), &body);
        for reply in samples::replies(*code, material) {
            let mut body = Vec::new();
            reply.encode(&mut body);
            check_shape(&format!("{reply:?}"), reply_shape, &values::of_reply(&reply), &body);
        }
    }
    let shapes = shapes();
    for status in Status::ALL {
        let Some(refusal) = samples::refusal(*status, material) else { continue };
        let shape = match status {
            Status::Timeout => "Missing",
            Status::Broken => "Bytes",
            _ => "Fault",
        };
        let mut body = Vec::new();
        refusal.encode(&mut body);
        check_shape(shape, &shapes[shape], &values::of_refusal(&refusal), &body);
    }
    let mut out = Vec::new();
    samples::hello().write(&mut out);
    let body = golden::whole(&out).body;
    check_shape("Hello", &shapes["Hello"], &values::of_hello(&samples::hello()), body);
    for ports in 0..3 {
        let mut welcome = samples::welcome();
        (welcome.ports, welcome.engine) = (vec![7400; ports], material.name.clone());
        let mut out = Vec::new();
        welcome.write(&mut out);
        let Ok(Next::Frame(frame)) = frame::next(&out, FRAME_BYTES_MAX) else { panic!("a frame") };
        check_shape("Welcome", &shapes["Welcome"], &values::of_welcome(&welcome), frame.body);
    }
    let mut out = Vec::new();
    let welcome = samples::welcome_in_a_cluster();
    welcome.write(&mut out);
    let body = golden::whole(&out).body;
    check_shape("Welcome", &shapes["Welcome"], &values::of_welcome(&welcome), body);
}

fn check_shape(what: &str, shape: &DocumentedShape, values: &Values, body: &[u8]) {
    let (names, values): (Vec<_>, Vec<_>) = values.iter().cloned().unzip();
    let documented: Vec<_> = shape.fields.iter().map(|field| &*field.name).collect();
    assert_eq!(documented, names, "{what}");
    assert_eq!(plain::encode(shape, &values), body, "{what}");
    if !shape.fields.is_empty() {
        assert_eq!(plain::decode(shape, body), values, "{what}");
    }
}

/// The frames between nodes, and those of operators.
#[test]
fn frames_of_nodes_follow_the_shapes() {
    let shapes = shapes();
    let body_of = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        golden::whole(&Aligned::copy_of(&out)).body.to_vec()
    };
    let check = |shape: &str, values: &Values, body: &[u8]| {
        check_shape(shape, &shapes[shape], values, body);
    };
    let hello = samples::peer_hello();
    check("PeerHello", &values::of_peer_hello(&hello), &body_of(&|out| hello.write(out)));
    for request in samples::operator_requests() {
        let body = body_of(&|out| request.write(out));
        check("OperatorRequest", &values::of_operator_request(&request), &body);
    }
    for reply in samples::operator_replies() {
        let body = body_of(&|out| reply.write(out));
        match &reply {
            operator::Reply::Status(status) => {
                let root = body.len() - shapes["OperatorReply"].size;
                check("NodeStatus", &values::of_node_status(status), &body[..root]);
                let distance = shapes["NodeStatus"].size + 4;
                let distance = -i32::try_from(distance).expect("a small root");
                assert_eq!(body[root..], [[0; 4], distance.to_le_bytes(), [0; 4]].concat());
            }
            operator::Reply::Accepted => assert_eq!(body, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            operator::Reply::Refused(reason) => {
                check("OperatorReply", &values::of_operator_refusal(reason), &body);
            }
        }
    }
}

/// What the document says a reader refuses, one body at a time.
#[test]
fn bodies_that_break_the_rules_are_refused() {
    use OpCode::{
        BarrierArrive, BarrierBreak, BarrierState, CellCompareAndSet, CellSet, CounterAdd, FlagSet,
        ReductionContribute, VectorAdd,
    };
    let op = |code: OpCode, hex: &str| {
        let body = Aligned::copy_of(&golden::from_hex(hex));
        Op::decode(code.to_wire(), &body).map(drop)
    };
    let reply =
        |code, hex: &str| Reply::decode(code, &Aligned::copy_of(&golden::from_hex(hex))).map(drop);
    let bad = Err(Fault::new(Status::BadBody));
    // Data is "ab" and "cd", then the two references.
    let pair = |expected: &str, bytes: &str| {
        op(CellCompareAndSet, &format!("61 62 63 64 {expected} 02 00 00 00 {bytes} 02 00 00 00"))
    };
    assert_eq!(pair("fc ff ff ff", "f6 ff ff ff"), Ok(()));
    assert_eq!(pair("fe ff ff ff", "f4 ff ff ff"), bad, "another order than the fields");
    assert_eq!(pair("fc ff ff ff", "f5 ff ff ff"), bad, "overlapping");
    assert_eq!(pair("fb ff ff ff", "f6 ff ff ff"), bad, "before the body");
    assert_eq!(pair("fc ff ff ff", "fc ff ff ff"), bad, "inside the root");
    assert_eq!(pair("fc ff ff ff", "08 00 00 00"), bad, "behind the root");
    assert_eq!(op(CellSet, "61 00 00 00 fc ff ff ff 04 00 00 00"), Ok(()));
    assert_eq!(op(CellSet, "61 00 00 00 fc ff ff ff 05 00 00 00"), bad, "a count too many");
    assert_eq!(op(CellSet, "61 00 00 00 fc ff ff ff ff ff ff ff"), bad, "far too many");
    assert_eq!(op(CellSet, "00 00 00 00 00 00 00 00"), Ok(()), "no items, at the root");
    assert_eq!(op(CellSet, "00 fe ff ff ff 01 00 00 00"), bad, "a root out of alignment");
    assert_eq!(op(CounterAdd, "01 00 00 00 00 00 00"), bad, "shorter than the root");
    let ignored = "de ad be ef de ad be ef 01 00 00 00 00 00 00 00";
    assert_eq!(op(CounterAdd, ignored), Ok(()), "bytes that nothing refers to");
    assert_eq!(op(FlagSet, "01"), Ok(()));
    assert_eq!(op(FlagSet, "02"), bad, "no boolean");
    assert_eq!(op(VectorAdd, "00 00 c0 3f 01 00 00 00 f8 ff ff ff 01 00 00 00"), Ok(()));
    assert_eq!(
        op(VectorAdd, "00 00 c0 3f 03 00 00 00 f8 ff ff ff 01 00 00 00"),
        bad,
        "no such tag"
    );
    assert_eq!(
        op(VectorAdd, "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 f4 ff ff ff 01 00 00 00"),
        bad,
        "an f64 on a multiple of 4"
    );
    let contribute = |choices: &str| {
        let elements = "00 00 01 00 00 00 e4 ff ff ff 00 00 00 00 00 00 00 00";
        op(ReductionContribute, &format!("{} {choices} {elements}", "00 ".repeat(20)))
    };
    assert_eq!(contribute("03 02"), Ok(()));
    assert_eq!(contribute("04 02"), bad, "no such reduce op");
    assert_eq!(contribute("03 03"), bad, "no such loss");
    assert_eq!(op(BarrierBreak, "ff 00 00 00 fc ff ff ff 01 00 00 00"), bad, "a reason not UTF-8");
    let party =
        format!("ff 00 00 00 00 00 00 00 {} e4 ff ff ff 01 00 00 00 00 00 00 00", "00 ".repeat(20));
    assert_eq!(op(BarrierArrive, &party.replace("ff 00 00 00 00", "61 00 00 00 00")), Ok(()));
    assert_eq!(op(BarrierArrive, &party), bad, "a name not UTF-8");
    let seats = |string: &str| {
        let root = format!("{} e0 ff ff ff 01 00 00 00 00 00 00 00", "00 ".repeat(20));
        let names = format!("61 62 63 64 65 66 67 68 69 00 00 00 {string} 00 00 00 00");
        reply(BarrierState, &format!("{names} {root}"))
    };
    assert_eq!(seats("89 00 00 00 f4 ff ff ff"), Ok(()), "nine bytes elsewhere");
    assert_eq!(seats("61 ff ff ff ff ff ff ff"), Ok(()), "one byte of its own");
    assert_eq!(seats("88 00 00 00 f4 ff ff ff"), bad, "eight bytes would have room");
    assert_eq!(seats("8d 00 00 00 f4 ff ff ff"), bad, "into the string itself");
    assert_eq!(seats("fe ff ff ff ff ff ff ff"), bad, "a string not UTF-8");
}

/// What the document says of items, scalars, scans and listings.
#[test]
fn items_that_break_the_rules_are_refused() {
    use OpCode::{
        ListExtend, LogPrint, MapMerge, MapPutAll, MapScan, ScopeList, ScopeUsage, VectorScale,
    };
    let op = |code: OpCode, hex: &str| {
        let body = Aligned::copy_of(&golden::from_hex(hex));
        Op::decode(code.to_wire(), &body).map(drop)
    };
    let bad = Err(Fault::new(Status::BadBody));
    let two = "02 00 00 00 01 00 00 00 61 62 63 00 f4 ff ff ff 02 00 00 00 f4 ff ff ff 03 00 00 00";
    assert_eq!(op(ListExtend, two), Ok(()));
    assert_eq!(op(MapPutAll, two), Ok(()));
    assert_eq!(op(ListExtend, &two.replacen("02", "01", 1)), bad, "a byte too many");
    assert_eq!(op(ListExtend, &two.replacen("02", "03", 1)), bad, "a byte too few");
    let one = "03 00 00 00 61 62 63 00 f8 ff ff ff 01 00 00 00 f4 ff ff ff 03 00 00 00";
    assert_eq!(op(ListExtend, one), Ok(()));
    assert_eq!(op(MapPutAll, one), bad, "a key without a value");
    let scale = |bits: &str, tag: &str| {
        op(VectorScale, &format!("00 00 c0 3f {bits} {tag} 00 00 00 00 00 00 00"))
    };
    assert_eq!(scale("00 00 00 00", "01"), Ok(()));
    assert_eq!(scale("01 00 00 00", "00"), Ok(()));
    assert_eq!(scale("01 00 00 00", "01"), bad, "bits above those of an f32");
    assert_eq!(scale("00 00 00 00", "03"), bad, "no such tag");
    let scan = |choices: &str| {
        let ends = "f8 ff ff ff 00 00 00 00 f0 ff ff ff 00 00 00 00";
        op(MapScan, &format!("00 00 00 00 {choices} {ends}"))
    };
    assert_eq!(scan("02 01 02 02"), Ok(()));
    assert_eq!(scan("03 01 02 02"), bad, "no such thing to scan for");
    assert_eq!(scan("02 02 02 02"), bad, "no boolean");
    assert_eq!(scan("02 01 03 02"), bad, "no such bound");
    assert_eq!(scan("02 01 02 03"), bad, "no such bound either");
    let merge = |merge: &str| {
        op(MapMerge, &format!("{merge} 00 00 00 fc ff ff ff 00 00 00 00 f4 ff ff ff 00 00 00 00"))
    };
    assert_eq!(merge("07"), Ok(()));
    assert_eq!(merge("08"), bad, "no such merge");
    let text = "ff 00 00 00 fc ff ff ff 01 00 00 00";
    assert_eq!(op(LogPrint, text), bad, "a line not UTF-8");
    assert_eq!(op(ScopeUsage, text), bad, "a prefix not UTF-8");
    // One object: a version, a size, the length of its name, its name, its kind.
    let listing = |name: &str, kinds: &str| {
        let data =
            format!("01 00 00 00 00 00 00 00 {} 01 00 00 00 {name} 0a 00 00", "00 ".repeat(8));
        let unnamed = "00 00 00 00 00 00 00 00";
        let numbers = "e0 ff ff ff 01 00 00 00 e0 ff ff ff 01 00 00 00";
        let names = "e0 ff ff ff 01 00 00 00 dc ff ff ff 01 00 00 00";
        let kinds = format!("d5 ff ff ff {kinds} 00 00 00");
        let body = format!("{data} {unnamed} {numbers} {names} {kinds} 01 00 00 00 00 00 00 00");
        let body = Aligned::copy_of(&golden::from_hex(&body));
        Reply::decode(ScopeList, &body).map(drop)
    };
    assert_eq!(listing("61", "01"), Ok(()));
    assert_eq!(listing("61", "00"), bad, "an object without a kind");
    assert_eq!(listing("ff", "01"), bad, "a name not UTF-8");
}
