//! The body of the fuzz target `frame`, kept beside the decoders it drives.
//!
//! It has two callers: `fuzz/fuzz_targets/frame.rs`, which runs without end, and an ordinary test
//! with the corpus in `fuzz/seeds/frame`. The function returns for any bytes; a panic is a finding.
//!
//! It checks that
//!
//! 1. a value that was decoded encodes to a body no longer than the one it came from;
//! 2. that body decodes again, and encodes to the same bytes;
//! 3. a name taken off a body and put back makes the same body, but for its padding;
//! 4. a frame made from a checked header and body is read back with the same header and body.

use crate::frame::{self, Next};
use crate::header::HEADER_LEN;
use crate::limits::FRAME_BYTES_MAX;
use crate::{Frame, Header, Hello, Op, OpCode, Refusal, Reply, Status, Welcome, named};

/// Takes any bytes as received ones, and as the body of everything that has one.
pub fn frame(bytes: &[u8]) {
    let received = Aligned::copy_of(bytes);
    stream(received.bytes());
    // One byte further on nothing is aligned, which has to be refused and not read.
    stream(Aligned::copy_at(1, bytes).bytes().get(1..).unwrap_or_default());
    if let Some((head, body)) = bytes.split_at_checked(2) {
        let code = u16::from_le_bytes([head[0], head[1]]);
        every_body(code, Aligned::copy_of(body).bytes());
    }
    if let Some(head) = bytes.first_chunk::<HEADER_LEN>() {
        // A fuzzer seldom finds the right checksum, so the frame gets one that fits.
        if let Ok(header) = Header::read(head) {
            rewritten(&header, &bytes[HEADER_LEN..]);
        }
    }
}

fn stream(mut bytes: &[u8]) {
    while let Ok(Next::Frame(frame)) = frame::next(bytes, FRAME_BYTES_MAX) {
        let Frame { header, body, bytes: whole } = frame;
        assert!(body.len() + HEADER_LEN <= whole.len(), "the body lies in the frame");
        every_body(header.op, body);
        rewritten(&header, body);
        bytes = &bytes[whole.len()..];
    }
}

/// Makes a frame of a header and a body, and reads it back.
fn rewritten(header: &Header, body: &[u8]) {
    let mut out = Vec::new();
    if frame::write(&mut out, header, |out| out.extend_from_slice(body)).is_err() {
        return;
    }
    match frame::next(&out, FRAME_BYTES_MAX) {
        Ok(Next::Frame(frame)) => {
            assert_eq!(frame.header, *header);
            assert_eq!(frame.body, body);
            assert_eq!(frame.bytes, out);
        }
        other => panic!("a frame that was written is not one: {other:?}"),
    }
}

/// Tries every decoder on one body. `code` is taken as an op, and as a status.
fn every_body(code: u16, body: &[u8]) {
    settles(body, |body| {
        let op = Op::decode(code, body).ok()?;
        assert_eq!(op.code().to_wire(), code);
        Some(written(|out| op.encode(out)))
    });
    if let Ok((name, rest)) = named::split(body) {
        let again = written(|out| {
            named::put(name, out);
            out.extend_from_slice(rest);
        });
        assert_eq!(again.len(), body.len());
        assert_eq!(named::split(&again), Ok((name, rest)));
        settles(rest, |body| {
            let op = Op::decode(code, body).ok()?;
            Some(written(|out| op.encode(out)))
        });
    }
    if let Some(code) = OpCode::from_wire(code) {
        settles(body, |body| {
            let reply = Reply::decode(code, body).ok()?;
            Some(written(|out| reply.encode(out)))
        });
    }
    if let Some(status) = Status::from_wire(code) {
        settles(body, |body| {
            let refusal = Refusal::decode(status, body).ok()?;
            assert_eq!(refusal.status(), status);
            Some(written(|out| refusal.encode(out)))
        });
    }
    settles(body, |body| {
        let hello = Hello::decode(body).ok()?;
        Some(body_of(&written(|out| hello.write(out))))
    });
    settles(body, |body| {
        let welcome = Welcome::decode(body).ok()?;
        Some(body_of(&written(|out| welcome.write(out))))
    });
}

/// Checks that `recode`, a decoder followed by its encoder, is stable on a body.
fn settles(body: &[u8], recode: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Some(once) = recode(body) else { return };
    assert!(once.len() <= body.len(), "{} bytes came from {}", once.len(), body.len());
    let twice = recode(Aligned::copy_of(&once).bytes());
    assert_eq!(twice.as_ref(), Some(&once), "what was encoded decodes to the same");
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn body_of(frame: &[u8]) -> Vec<u8> {
    match frame::next(frame, FRAME_BYTES_MAX) {
        Ok(Next::Frame(frame)) => frame.body.to_vec(),
        other => panic!("a frame that was written is not one: {other:?}"),
    }
}

/// A copy of bytes that begins on a multiple of 16, as a receive buffer does.
struct Aligned {
    blocks: Vec<u128>,
    len: usize,
}

impl Aligned {
    fn copy_of(bytes: &[u8]) -> Aligned {
        Aligned::copy_at(0, bytes)
    }

    /// A copy with `skip` zero bytes in front.
    fn copy_at(skip: usize, bytes: &[u8]) -> Aligned {
        let len = skip + bytes.len();
        let mut blocks = vec![0; len.div_ceil(size_of::<u128>())];
        bytemuck::cast_slice_mut(&mut blocks)[skip..len].copy_from_slice(bytes);
        Aligned { blocks, len }
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }
}

const _: () = assert!(align_of::<u128>() == crate::limits::FRAME_ALIGNMENT as usize);
