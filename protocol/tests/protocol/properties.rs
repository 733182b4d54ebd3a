//! What holds for all values and all bytes.

use catena_protocol::frame::{self, FrameError, Next};
use catena_protocol::limits::{BODY_BYTES_MAX, FRAME_BYTES_MAX};
use catena_protocol::op::{Loss, Merge, ReduceOp, ScanWhat};
use catena_protocol::{
    Fault, FrameKind, Header, Hello, Members, ObjectId, Op, OpCode, Refusal, Reply, ShardId,
    Status, Welcome, flags, fuzz, named,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::allocation::decode_as_everything;
use crate::samples::{self, Aligned, SampleMaterial, SampleNumbers};
use crate::{document, golden};

proptest! {
    #[test]
    fn every_op_comes_back(material in material(), header in header()) {
        for code in OpCode::ALL {
            let op = samples::op(*code, &material);
            prop_assert_eq!(op.code(), *code);
            let header = Header { kind: FrameKind::Request, op: code.to_wire(), ..header };
            let mut out = Vec::new();
            frame::write(&mut out, &header, |out| op.encode(out)).unwrap();
            let bytes = Aligned::copy_of(&out);
            let frame = golden::whole(&bytes);
            prop_assert_eq!(frame.header, header);
            let back = Op::decode(frame.header.op, frame.body).unwrap();
            // By their looks, for a NaN is not equal to itself; its bits are in the bytes.
            prop_assert_eq!(format!("{back:?}"), format!("{op:?}"));
            prop_assert_eq!(encoded(|out| back.encode(out)), frame.body);
        }
    }

    #[test]
    fn every_reply_comes_back(material in material(), header in header()) {
        for code in OpCode::ALL {
            for reply in samples::replies(*code, &material) {
                let to = Header { kind: FrameKind::Request, op: code.to_wire(), ..header };
                let mut out = Vec::new();
                frame::write_reply(&mut out, &to, Ok(&reply));
                let bytes = Aligned::copy_of(&out);
                let frame = golden::whole(&bytes);
                prop_assert_eq!(frame.header, to.reply(Status::Ok));
                let back = Reply::decode(*code, frame.body).unwrap();
                prop_assert_eq!(format!("{back:?}"), format!("{reply:?}"));
                prop_assert_eq!(encoded(|out| back.encode(out)), frame.body);
                // As a session keeps it, it makes the same frame.
                let mut kept = Vec::new();
                frame::write_encoded(&mut kept, &to, Status::Ok, frame.body);
                prop_assert_eq!(&kept, &out);
                // So do its parts.
                let envelope = frame::envelope_of_encoded(&to, Status::Ok, frame.body);
                let padding = vec![0; envelope.padding];
                prop_assert_eq!([&envelope.header, frame.body, &padding].concat(), out);
            }
        }
    }

    /// The body behind a name is as aligned as one without.
    #[test]
    fn every_named_op_comes_back(material in material(), name in object_name()) {
        for code in OpCode::ALL {
            let op = samples::op(*code, &material);
            let header = Header { flags: flags::NAMED, ..samples::request(*code) };
            let mut out = Vec::new();
            frame::write(&mut out, &header, |out| {
                named::put(&name, out);
                op.encode(out);
            })
            .unwrap();
            let bytes = Aligned::copy_of(&out);
            let frame = golden::whole(&bytes);
            let (back, body) = named::split(frame.body).unwrap();
            prop_assert_eq!(back, &name);
            let back = Op::decode(frame.header.op, body).unwrap();
            prop_assert_eq!(format!("{back:?}"), format!("{op:?}"));
        }
    }

    #[test]
    fn every_refusal_comes_back(material in material(), to in header()) {
        for status in Status::ALL {
            let Some(refusal) = samples::refusal(*status, &material) else { continue };
            let mut out = Vec::new();
            frame::write_reply(&mut out, &to, Err(&refusal));
            let bytes = Aligned::copy_of(&out);
            let frame = golden::whole(&bytes);
            prop_assert_eq!(frame.header, to.reply(*status));
            prop_assert_eq!(Refusal::decode(*status, frame.body).unwrap(), refusal);
        }
    }

    #[test]
    fn every_handshake_comes_back(material in material(), ports in vec(any::<u16>(), 1..64)) {
        let hello = Hello { features: material.number };
        let frame = Aligned::copy_of(&encoded(|out| hello.write(out)));
        prop_assert_eq!(Hello::decode(golden::whole(&frame).body).unwrap(), hello);
        let welcome = Welcome {
            features: material.number,
            now_us: material.other_number,
            incarnation: material.number,
            epoch: material.small,
            ports,
            engine: material.name,
            ..samples::welcome()
        };
        let frame = Aligned::copy_of(&encoded(|out| welcome.write(out)));
        prop_assert_eq!(Welcome::decode(golden::whole(&frame).body).unwrap(), welcome);
    }

    /// A client that has only PROTOCOL.md writes the same bytes and reads the same values.
    #[test]
    fn every_body_follows_the_document(material in material()) {
        document::check_shapes(&material);
    }

    #[test]
    fn any_flipped_bit_is_found(bytes in some_frame(), at in any::<prop::sample::Index>()) {
        let mut bytes = bytes;
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(frame::next(&bytes, FRAME_BYTES_MAX).is_err(), "bit {bit}");
    }

    #[test]
    fn frames_in_one_buffer_come_out_in_order(
        frames in vec(some_frame(), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = frames.concat();
        let cut = cut.index(whole.len());
        let buffer = Aligned::copy_of(&whole[..cut]);
        let (mut rest, mut found) = (&buffer[..], Vec::new());
        let missing = loop {
            match frame::next(rest, FRAME_BYTES_MAX) {
                Ok(Next::Frame(frame)) => {
                    prop_assert!(frame.bytes.as_ptr().addr().is_multiple_of(16));
                    found.push(frame.bytes.to_vec());
                    rest = &rest[frame.bytes.len()..];
                }
                Ok(Next::Partial { bytes }) => break bytes,
                Err(error) => prop_assert!(false, "{error}"),
            }
        };
        prop_assert_eq!(&found[..], &frames[..found.len()]);
        let next = &frames[found.len()];
        prop_assert!(rest.len() < missing);
        prop_assert_eq!(missing, if rest.len() < 64 { 64 } else { next.len() });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..512), code: u16) {
        let _ = frame::next(&bytes, FRAME_BYTES_MAX);
        decode_as_everything(code, &Aligned::copy_of(&bytes));
        fuzz::frame(&bytes);
    }

    #[test]
    fn bytes_behind_a_good_header_never_panic(code in op_code(), body in vec(any::<u8>(), 0..128)) {
        let body = Aligned::copy_of(&body);
        decode_as_everything(code.to_wire(), &body);
        for status in Status::ALL {
            decode_as_everything(status.to_wire(), &body);
        }
    }

    #[test]
    fn damage_behind_the_checksum_never_panics(bytes in mutated()) {
        fuzz::frame(&bytes);
        fuzz::frame(&resealed(&bytes));
    }
}

#[test]
fn any_truncation_is_partial() {
    for (name, bytes) in golden::read() {
        for len in 0..bytes.len() {
            match frame::next(&bytes[..len], FRAME_BYTES_MAX) {
                Ok(Next::Partial { bytes: needed }) => {
                    let expected = if len < 64 { 64 } else { bytes.len() };
                    assert_eq!(needed, expected, "{name} cut to {len}");
                }
                other => panic!("{name} cut to {len}: {other:?}"),
            }
        }
    }
}

#[test]
fn any_flipped_bit_of_any_golden_frame_is_found() {
    for (name, bytes) in golden::read() {
        let mut bytes = bytes.to_vec();
        for bit in 0..bytes.len() * 8 {
            let flip = 1 << (bit % 8);
            bytes[bit / 8] ^= flip;
            let status = match frame::next(&bytes, FRAME_BYTES_MAX) {
                Err(FrameError { fault }) => fault.status,
                Ok(accepted) => panic!("{name} with bit {bit} flipped: {accepted:?}"),
            };
            let expected = match bit / 8 {
                0 | 1 => Status::BadMagic,
                2 => Status::BadVersion,
                12..16 => Status::BadLength,
                // The padding may hide a small change of the body's length.
                16..20 if status == Status::BadLength => Status::BadLength,
                _ => Status::BadChecksum,
            };
            assert_eq!(status, expected, "{name} with bit {bit} flipped");
            bytes[bit / 8] ^= flip;
        }
    }
}

#[test]
fn a_wrong_first_byte_is_enough() {
    for stray in [&b"G"[..], b"GET / HTTP/1.1\r\n", b"\x7e\x00", b"\x16\x03\x01"] {
        let fault = frame::next(stray, FRAME_BYTES_MAX).unwrap_err().fault;
        assert_eq!((fault.status, fault.expected), (Status::BadMagic, 0xCA7E));
        assert_ne!(fault.got, 0xCA7E);
    }
    assert!(matches!(frame::next(b"\x7e", FRAME_BYTES_MAX), Ok(Next::Partial { bytes: 64 })));
    assert!(matches!(frame::next(b"", FRAME_BYTES_MAX), Ok(Next::Partial { bytes: 64 })));
}

#[test]
fn other_versions_and_kinds_are_named() {
    let add = golden::read().remove("request CounterAdd").expect("there is one").to_vec();
    for version in (0..=u8::MAX).filter(|version| *version != 1) {
        let mut other = add.clone();
        other[2] = version;
        let fault = frame::next(&other, FRAME_BYTES_MAX).unwrap_err().fault;
        assert_eq!(fault, Fault::expected(Status::BadVersion, 1, version.into()));
    }
    for kind in (0..=u8::MAX).filter(|kind| FrameKind::from_wire(*kind).is_none()) {
        let mut other = add.clone();
        other[3] = kind;
        let fault = frame::next(&resealed(&other), FRAME_BYTES_MAX).unwrap_err().fault;
        assert_eq!(fault, Fault::expected(Status::BadFrameKind, 0, kind.into()));
    }
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let add = golden::read().remove("request CounterAdd").expect("there is one").to_vec();
    let next = |frame_bytes: u32, body_bytes: u32, limit: u32| {
        let mut other = add.clone();
        other[12..16].copy_from_slice(&frame_bytes.to_le_bytes());
        other[16..20].copy_from_slice(&body_bytes.to_le_bytes());
        frame::next(&other, limit).map(drop).map_err(|error| error.fault)
    };
    let bad = |expected, got| Err(Fault::expected(Status::BadLength, expected, got));
    assert_eq!(next(80, 0, FRAME_BYTES_MAX), bad(64, 80));
    assert_eq!(next(80, 17, FRAME_BYTES_MAX), bad(96, 80));
    assert_eq!(next(81, 17, FRAME_BYTES_MAX), bad(96, 81));
    assert_eq!(next(0, 0, FRAME_BYTES_MAX), bad(64, 0));
    assert_eq!(next(63, u32::MAX, FRAME_BYTES_MAX), bad(0, 63));
    assert_eq!(next(80, 8, 79), bad(79, 80));
    assert_eq!(next(FRAME_BYTES_MAX + 16, BODY_BYTES_MAX + 16, u32::MAX), {
        bad(FRAME_BYTES_MAX.into(), u64::from(FRAME_BYTES_MAX) + 16)
    });
    assert_eq!(next(FRAME_BYTES_MAX, BODY_BYTES_MAX, FRAME_BYTES_MAX), Ok(()));
}

#[test]
fn a_body_beyond_the_limit_is_not_written() {
    let header = Header::new(FrameKind::Request);
    let limit = BODY_BYTES_MAX as usize;
    let mut out = golden::read()["hello"].to_vec();
    let before = out.clone();
    let too_long = frame::write(&mut out, &header, |out| out.resize(out.len() + limit + 1, 0));
    let (limit_u64, got) = (u64::from(BODY_BYTES_MAX), u64::from(BODY_BYTES_MAX) + 1);
    assert_eq!(too_long, Err(Fault::expected(Status::TooLarge, limit_u64, got)));
    assert_eq!(out, before);
    frame::write(&mut out, &header, |out| out.resize(out.len() + limit, 0)).unwrap();
    assert_eq!(golden::whole(&out[before.len()..]).body.len(), limit);
    // A reply that is too long becomes a refusal, so that the request has its answer.
    let bytes = vec![0; limit];
    let reply = Reply::Cell { version: 1, bytes: Some(&bytes) };
    let mut out = Vec::new();
    frame::write_reply(&mut out, &header, Ok(&reply));
    let out = Aligned::copy_of(&out);
    let frame = golden::whole(&out);
    assert_eq!(frame.header.flags, Status::TooLarge.to_wire());
    let refusal = Refusal::decode(Status::TooLarge, frame.body).unwrap();
    let got = limit_u64 + 24;
    assert_eq!(refusal, Fault::expected(Status::TooLarge, limit_u64, got).into());
}

#[test]
fn flags_of_a_request_reach_the_engine() {
    for bit in 0..16 {
        let header = Header { flags: 1 << bit, ..samples::request(OpCode::CounterAdd) };
        let mut out = Vec::new();
        frame::write(&mut out, &header, |_| ()).unwrap();
        assert_eq!(golden::whole(&out).header.flags, 1 << bit);
    }
}

#[test]
fn unknown_ops_are_named() {
    for code in (0..=u16::MAX).filter(|code| OpCode::from_wire(*code).is_none()) {
        let fault = Op::decode(code, &[]).unwrap_err();
        assert_eq!(fault, Fault::expected(Status::UnknownOp, 0, code.into()));
    }
}

/// Some bytes further on, what was aligned is not, and is refused rather than read.
#[test]
fn misaligned_bodies_are_refused() {
    let of_ops = document::shapes_of_ops();
    for code in OpCode::ALL {
        let frame = &golden::read()[&format!("request {code:?}")];
        let body = golden::whole(frame).body;
        for skip in 1..16 {
            let mut moved = vec![0; skip];
            moved.extend_from_slice(body);
            let moved = Aligned::copy_of(&moved);
            let decoded = Op::decode(code.to_wire(), &moved[skip..]);
            if skip.is_multiple_of(of_ops[code].0.align) {
                continue;
            }
            assert_eq!(decoded, Err(Fault::new(Status::BadBody)), "{code:?} moved by {skip}");
        }
    }
}

#[test]
fn a_body_where_there_is_none_is_refused_and_a_missing_one_too() {
    for code in OpCode::ALL {
        let shape = &document::shapes_of_ops()[code].0;
        for len in (0..64).filter(|len| if shape.size == 0 { *len > 0 } else { *len < shape.size })
        {
            let body = Aligned::copy_of(&vec![0; len]);
            let decoded = Op::decode(code.to_wire(), &body);
            assert_eq!(decoded, Err(Fault::new(Status::BadBody)), "{code:?} with {len} bytes");
        }
    }
}

#[test]
fn a_fault_with_the_status_of_a_wait_has_the_body_of_one() {
    for status in [Status::Timeout, Status::Broken] {
        let body = Aligned::copy_of(&encoded(|out| {
            Refusal::from(Fault::expected(status, u64::MAX, u64::MAX)).encode(out);
        }));
        assert_eq!(Refusal::decode(status, &body).map(|refusal| refusal.status()), Ok(status));
    }
}

#[test]
fn a_welcome_of_an_impossible_node_is_refused() {
    let decode = |change: &dyn Fn(&mut Welcome)| {
        let mut welcome = samples::welcome();
        change(&mut welcome);
        let frame = Aligned::copy_of(&encoded(|out| welcome.write(out)));
        Welcome::decode(golden::whole(&frame).body)
    };
    assert!(decode(&|_| ()).is_ok());
    let bad = Err(Fault::new(Status::BadBody));
    assert_eq!(decode(&|welcome| welcome.ports.clear()), bad);
    assert_eq!(decode(&|welcome| welcome.shards = 48), bad);
    assert_eq!(decode(&|welcome| welcome.shards = 0), bad);
    assert_eq!(decode(&|welcome| welcome.ports = vec![1; 65_536]), bad);
}

#[test]
fn a_welcome_of_an_impossible_cluster_is_refused() {
    let decode = |change: &dyn Fn(&mut Members)| {
        let mut welcome = samples::welcome_in_a_cluster();
        change(&mut welcome.members);
        let frame = Aligned::copy_of(&encoded(|out| welcome.write(out)));
        Welcome::decode(golden::whole(&frame).body)
    };
    let members = decode(&|_| ()).unwrap().members;
    assert_eq!(members.chain(ShardId(3)), [1, 0]);
    assert_eq!(members.chain(ShardId(64)), [0_u16; 0]);
    assert_eq!(members.addresses_of(0), ["10.0.1.5:7400", "10.0.1.5:7401"]);
    assert_eq!(members.addresses_of(1), ["10.0.1.6:7400"]);
    assert_eq!(members.addresses_of(2), [""; 0]);
    let bad = Err(Fault::new(Status::BadBody));
    assert_eq!(decode(&|members| _ = members.names.pop()), bad);
    assert_eq!(decode(&|members| _ = members.controls.pop()), bad);
    assert_eq!(decode(&|members| _ = members.addresses.pop()), bad);
    assert_eq!(decode(&|members| _ = members.chains.pop()), bad);
    assert_eq!(decode(&|members| members.chains[7] = 2), bad, "nobody");
    assert_eq!(decode(&|members| members.chains[7] = 1), bad, "one of them twice");
    assert_eq!(decode(&|members| members.cores = vec![3, 0]), bad);
    assert_eq!(decode(&|members| *members = Members::default()).map(drop), Ok(()));
}

/// Any one of the golden frames, or a frame of other material.
fn some_frame() -> impl Strategy<Value = Vec<u8>> {
    (material(), any::<prop::sample::Index>()).prop_map(|(material, index)| {
        let mut frames = samples::frames(&material);
        let index = index.index(frames.len());
        frames.swap_remove(index).1
    })
}

/// A frame with some bytes of its body overwritten, its checksum no longer right.
pub(crate) fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), mostly_small());
    (some_frame(), vec(change, 1..6)).prop_map(|(mut bytes, changes)| {
        if bytes.len() > 64 {
            for (at, byte) in changes {
                let at = 64 + at.index(bytes.len() - 64);
                bytes[at] = byte;
            }
        }
        bytes
    })
}

/// Bytes that make near offsets and small counts, which get furthest.
fn mostly_small() -> impl Strategy<Value = u8> {
    prop_oneof![0..16_u8, 0xF0..=0xFF_u8, any::<u8>()]
}

/// The frame with the checksum it should have.
pub(crate) fn resealed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let seed = u32::from_le_bytes(*frame.first_chunk().expect("a header"));
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&frame[8..], seed.into()).to_le_bytes();
    frame[4..8].copy_from_slice(&hash[..4]);
    frame
}

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn op_code() -> impl Strategy<Value = OpCode> {
    prop::sample::select(OpCode::ALL)
}

fn header() -> impl Strategy<Value = Header> {
    let wide = (any::<u64>(), any::<u64>(), any::<u128>());
    let narrow = (any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>(), any::<u16>());
    (wide, narrow).prop_map(|((session, number, object), (deadline_ms, epoch, op, shard, gap))| {
        Header {
            op,
            deadline_ms,
            shard: ShardId(shard),
            acked_gap: gap,
            epoch,
            session,
            number,
            object: ObjectId(object),
            ..Header::new(FrameKind::Request)
        }
    })
}

fn material() -> impl Strategy<Value = SampleMaterial> {
    let ints = (any::<i64>(), any::<i64>());
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    let bytes = (vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..40));
    let names = (name(), vec(name(), 0..6));
    let rest = (any::<bool>(), prop::sample::select(ReduceOp::ALL), some_numbers());
    let choices = (
        prop::sample::select(Merge::ALL),
        prop::sample::select(Loss::ALL),
        prop::sample::select(ScanWhat::ALL),
    );
    let pairs = vec((vec(any::<u8>(), 0..8), vec(any::<u8>(), 0..8)), 0..8);
    let parts = (ints, numbers, bytes, names, rest, choices, pairs);
    parts.prop_map(|(ints, numbers, bytes, names, rest, choices, pairs)| SampleMaterial {
        int: ints.0,
        other_int: ints.1,
        number: numbers.0,
        other_number: numbers.1,
        small: numbers.2,
        other_small: numbers.3,
        bytes: bytes.0,
        other_bytes: bytes.1,
        name: names.0,
        names: names.1,
        yes: rest.0,
        reduce: rest.1,
        numbers: rest.2,
        items: pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        merge: choices.0,
        loss: choices.1,
        what: choices.2,
    })
}

/// Names around the length at which strings leave their eight bytes, and some longer than 64.
fn name() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..80).prop_flat_map(|chars| {
        let name: String = chars.into_iter().collect();
        prop_oneof![Just(name.clone()), Just(name.chars().take(8).collect::<String>())]
    })
}

fn object_name() -> impl Strategy<Value = String> {
    vec(any::<char>(), 1..100).prop_map(|chars| chars.into_iter().collect())
}

/// Floats of all bit patterns.
fn some_numbers() -> impl Strategy<Value = SampleNumbers> {
    prop_oneof![
        vec(any::<u64>().prop_map(f64::from_bits), 0..20).prop_map(SampleNumbers::F64),
        vec(any::<u32>().prop_map(f32::from_bits), 0..20).prop_map(SampleNumbers::F32),
        vec(any::<i64>(), 0..20).prop_map(SampleNumbers::I64),
    ]
}
