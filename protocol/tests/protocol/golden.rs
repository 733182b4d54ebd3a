//! The bytes of every frame, kept in `tests/golden/frames.txt`.
//!
//! A frame that differs from the file is a change of the protocol, and with it a new version. To
//! write the file anew, and the seeds of the fuzzer with it:
//!
//! ```text
//! CATENA_GOLDEN=write cargo test -p catena-protocol golden
//! ```
//!
//! That run fails on purpose, so that nobody writes the file without noticing; the next one passes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::op::{CellOp, Edge, ListOp, MapOp, ScanArgs, ScanWhat, SetOp};
use catena_protocol::{
    Frame, FrameKind, Header, Hello, Items, ObjectId, Op, OpCode, Refusal, Reply, Status, Welcome,
    flags, named,
};

use crate::samples::{self, Aligned, SampleMaterial, SampleNumbers};

/// The frames of the file: one of everything, and the shapes that one of everything leaves out.
pub(crate) fn frames() -> Vec<(String, Vec<u8>)> {
    let material = SampleMaterial::golden();
    let mut frames = samples::frames(&material);
    let mut add = |name: &str, op: Op<'_>| {
        let mut out = Vec::new();
        frame::write(&mut out, &samples::request(op.code()), |out| op.encode(out))
            .expect("samples are small");
        frames.push((name.to_owned(), out));
    };
    let f32s = SampleMaterial::with(SampleNumbers::F32(vec![1.5, -0.5, 8.0]));
    let i64s = SampleMaterial::with(SampleNumbers::I64(vec![-1, 1 << 40]));
    let none = SampleMaterial::with(SampleNumbers::F32(Vec::new()));
    add("request-f32 VectorSet", samples::op(OpCode::VectorSet, &f32s));
    add("request-i64 VectorSet", samples::op(OpCode::VectorSet, &i64s));
    add("request-empty VectorAdd", samples::op(OpCode::VectorAdd, &none));
    add("request-f32 ReductionContribute", samples::op(OpCode::ReductionContribute, &f32s));
    add("request-empty CellSet", Op::Cell(CellOp::Set { bytes: b"" }));
    add("request-f32 VectorScale", samples::op(OpCode::VectorScale, &f32s));
    add("request-i64 VectorScale", samples::op(OpCode::VectorScale, &i64s));
    add("request-empty ListExtend", Op::List(ListOp::Extend { items: Items::default() }));
    let absent = MapOp::CompareAndSwap { key: b"key", expected: None, value: Some(b"value") };
    add("request-absent MapCompareAndSwap", Op::Map(absent));
    let remove = MapOp::CompareAndSwap { key: b"key", expected: Some(b"value"), value: None };
    add("request-remove MapCompareAndSwap", Op::Map(remove));
    let all = ScanArgs {
        what: ScanWhat::Keys,
        reverse: false,
        limit: 0,
        from: Edge::None,
        to: Edge::None,
    };
    add("request-all SetScan", Op::Set(SetOp::Scan(all)));
    frames.push(("request-named ListPushBack".to_owned(), named_push()));
    frames
}

/// A request with the object's name in front of its body.
fn named_push() -> Vec<u8> {
    let op = Op::List(ListOp::PushBack { bytes: b"an item" });
    let header = Header { flags: flags::NAMED, ..samples::request(op.code()) };
    let mut out = Vec::new();
    frame::write(&mut out, &header, |out| {
        named::put("visits", out);
        op.encode(out);
    })
    .expect("samples are small");
    out
}

#[test]
fn frames_are_the_golden_ones() {
    let text = to_text(&frames());
    if std::env::var_os("CATENA_GOLDEN").is_some_and(|wish| wish == "write") {
        std::fs::write(path(), text).expect("the golden file can be written");
        crate::seeds::write();
        panic!("golden frames and seeds were written: look at the difference, then run again");
    }
    let golden = std::fs::read_to_string(path()).expect("the golden file is there");
    for (line, (ours, theirs)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(ours, theirs, "{}, line {}", path().display(), line + 1);
    }
    assert_eq!(text, golden, "{} has other frames", path().display());
}

#[test]
fn golden_frames_decode_to_what_they_were_made_of() {
    let material = SampleMaterial::golden();
    let golden = read();
    for code in OpCode::ALL {
        let frame = &golden[&format!("request {code:?}")];
        let Frame { header, body, .. } = whole(frame);
        assert_eq!(header, samples::request(*code));
        assert_eq!(Op::decode(header.op, body).unwrap(), samples::op(*code, &material));
    }
    for code in OpCode::ALL {
        for (reply, name) in samples::replies(*code, &material).iter().zip(samples::REPLY_NAMES) {
            let frame = &golden[&format!("{name} {code:?}")];
            let Frame { header, body, .. } = whole(frame);
            assert_eq!(header, samples::request(*code).reply(Status::Ok));
            assert_eq!(Reply::decode(*code, body).unwrap(), *reply);
        }
    }
    for status in Status::ALL {
        let Some(refusal) = samples::refusal(*status, &material) else { continue };
        let frame = &golden[&format!("refusal {status:?}")];
        let Frame { header, body, .. } = whole(frame);
        assert_eq!(header.flags, status.to_wire());
        assert_eq!(Refusal::decode(*status, body).unwrap(), refusal);
    }
    let hello = whole(&golden["hello"]);
    assert_eq!(hello.header.kind, FrameKind::Hello);
    assert_eq!(Hello::decode(hello.body).unwrap(), samples::hello());
    let welcome = whole(&golden["welcome"]);
    assert_eq!(welcome.header.kind, FrameKind::Welcome);
    assert_eq!(Welcome::decode(welcome.body).unwrap(), samples::welcome());
}

#[test]
fn other_element_types_decode_too() {
    let golden = read();
    let op = |name: &str| {
        let Frame { header, body, .. } = whole(&golden[name]);
        format!("{:?}", Op::decode(header.op, body).unwrap())
    };
    assert_eq!(
        op("request-f32 VectorSet"),
        "Vector(Set { columns: 2, elements: F32([1.5, -0.5, 8.0]) })"
    );
    assert_eq!(
        op("request-i64 VectorSet"),
        "Vector(Set { columns: 2, elements: I64([-1, 1099511627776]) })"
    );
    assert_eq!(op("request-empty VectorAdd"), "Vector(Add { elements: F32([]) })");
    assert_eq!(op("request-empty CellSet"), "Cell(Set { bytes: [] })");
    assert_eq!(op("request-f32 VectorScale"), "Vector(Scale { factor: F32(1.5) })");
    assert_eq!(op("request-i64 VectorScale"), "Vector(Scale { factor: I64(-1) })");
    assert_eq!(op("request-empty ListExtend"), "List(Extend { items: [] })");
    assert_eq!(
        op("request-all SetScan"),
        "Set(Scan(ScanArgs { what: Keys, reverse: false, limit: 0, from: None, to: None }))"
    );
    let swap = |name: &str| {
        let Frame { header, body, .. } = whole(&golden[name]);
        match Op::decode(header.op, body).unwrap() {
            Op::Map(MapOp::CompareAndSwap { expected, value, .. }) => {
                (expected.is_some(), value.is_some())
            }
            other => panic!("another op: {other:?}"),
        }
    };
    assert_eq!(swap("request-absent MapCompareAndSwap"), (false, true));
    assert_eq!(swap("request-remove MapCompareAndSwap"), (true, false));
}

#[test]
fn a_name_lies_in_front_of_the_body() {
    let golden = read();
    let Frame { header, body, .. } = whole(&golden["request-named ListPushBack"]);
    assert_eq!(header.flags, flags::NAMED);
    let (name, body) = named::split(body).unwrap();
    assert_eq!(ObjectId::of(name), header.object);
    let push = Op::List(ListOp::PushBack { bytes: b"an item" });
    assert_eq!(Op::decode(header.op, body).unwrap(), push);
}

/// The golden file: frames by name, as a receive buffer would hold them.
pub(crate) fn read() -> BTreeMap<String, Aligned> {
    let text = std::fs::read_to_string(path()).expect("the golden file is there");
    let mut frames = BTreeMap::new();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.starts_with('#')) {
        let (name, hex) = paragraph.split_once('\n').expect("a name stands above its bytes");
        frames.insert(name.to_owned(), Aligned::copy_of(&from_hex(hex)));
    }
    frames
}

fn to_text(frames: &[(String, Vec<u8>)]) -> String {
    let mut text =
        String::from("# Every frame of protocol version 1. See tests/protocol/golden.rs.\n");
    for (name, bytes) in frames {
        write!(text, "\n{name}\n{}", hex_lines(bytes)).expect("a String takes all");
    }
    text
}

/// Sixteen bytes a line.
pub(crate) fn hex_lines(bytes: &[u8]) -> String {
    let mut lines = String::new();
    for line in bytes.chunks(16) {
        let line: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push_str(&line.join(" "));
        lines.push('\n');
    }
    lines
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits a byte"))
        .collect()
}

/// The one frame that these bytes are.
pub(crate) fn whole(bytes: &[u8]) -> Frame<'_> {
    match frame::next(bytes, FRAME_BYTES_MAX) {
        Ok(Next::Frame(frame)) if frame.bytes.len() == bytes.len() => frame,
        other => panic!("not one whole frame: {other:?}"),
    }
}

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "frames.txt"].iter().collect()
}
