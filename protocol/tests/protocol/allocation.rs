//! Decoding allocates nothing, or little more than the frame at hand.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use catena_protocol::frame::{self, Next};
use catena_protocol::limits::FRAME_BYTES_MAX;
use catena_protocol::{
    Hello, Op, OpCode, Refusal, Reply, ReplyShape, SeatState, Status, Welcome, flags, named,
};
use proptest::prelude::*;

use crate::golden;
use crate::properties::{mutated, resealed};
use crate::samples::{self, Aligned};

/// What decoding may take for each byte of the frame: an owned string is three words, its archive
/// one.
const BYTES_PER_FRAME_BYTE: usize = 4;

#[test]
fn a_frame_above_the_limit_is_refused_before_anything_is_allocated() {
    let mut head = golden::read()["request CounterAdd"][..64].to_vec();
    for (frame_bytes, body_bytes) in [
        (528_u32, 464_u32),
        (16_777_216, 16_777_152),
        (16_777_232, 16_777_168),
        (u32::MAX, u32::MAX),
    ] {
        head[12..16].copy_from_slice(&frame_bytes.to_le_bytes());
        head[16..20].copy_from_slice(&body_bytes.to_le_bytes());
        let (result, peak) = peak_while(|| frame::next(&head, 512).map(drop));
        let fault = result.expect_err("the limit is 512 bytes").fault;
        assert_eq!((fault.status, fault.expected), (Status::BadLength, 512));
        assert_eq!(peak, 0);
    }
}

#[test]
fn requests_and_flat_replies_are_decoded_in_place() {
    for (name, bytes) in golden::read() {
        let (frame, peak) = peak_while(|| golden::whole(&bytes));
        assert_eq!(peak, 0, "{name}");
        if name.starts_with("request") {
            let (op, peak) = peak_while(|| {
                let named = frame.header.flags & flags::NAMED != 0;
                let body = if named { named::split(frame.body)?.1 } else { frame.body };
                Op::decode(frame.header.op, body).map(drop)
            });
            let op = op.is_ok();
            assert!(op && peak == 0, "{name} took {peak} bytes");
        } else if name.starts_with("reply") {
            let code = OpCode::from_wire(frame.header.op).expect("a known op");
            if is_owned(code.reply()) {
                continue;
            }
            let (reply, peak) = peak_while(|| Reply::decode(code, frame.body).is_ok());
            assert!(reply && peak == 0, "{name} took {peak} bytes");
        }
    }
}

/// Replies that are made into values of their own, or boxed: rare, and off the data path.
fn is_owned(shape: ReplyShape) -> bool {
    use ReplyShape::{Inspection, Listing, Monitored, Seats, Stats};
    matches!(shape, Seats | Inspection | Listing | Stats | Monitored)
}

/// Strings of eight bytes are the dearest: eight in the frame, three words and eight bytes owned.
#[test]
fn owned_strings_are_the_dearest() {
    let missing = vec!["worker-1".to_owned(); 10_000];
    let reply = Reply::Seats(SeatState { missing, ..SeatState::default() });
    let mut out = Vec::new();
    frame::write_reply(&mut out, &samples::request(OpCode::BarrierState), Ok(&reply));
    let bytes = Aligned::copy_of(&out);
    let frame = golden::whole(&bytes);
    let (decoded, peak) = peak_while(|| Reply::decode(OpCode::BarrierState, frame.body));
    assert_eq!(decoded, Ok(reply));
    assert!(peak <= bytes.len() * BYTES_PER_FRAME_BYTE, "{peak} bytes for {}", bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    /// Bodies damaged behind the checksum's back: any answer is fine, as long as it is cheap.
    #[test]
    fn decoding_takes_no_more_than_a_few_times_the_frame(bytes in mutated(), code in codes()) {
        let bytes = Aligned::copy_of(&resealed(&bytes));
        let limit = bytes.len() * BYTES_PER_FRAME_BYTE;
        let ((), peak) = peak_while(|| {
            let Ok(Next::Frame(frame)) = frame::next(&bytes, FRAME_BYTES_MAX) else { return };
            decode_as_everything(frame.header.op, frame.body);
            decode_as_everything(code, frame.body);
        });
        prop_assert!(peak <= limit, "{} bytes for a frame of {}", peak, bytes.len());
    }
}

/// A code that is known, as op or as status.
fn codes() -> impl Strategy<Value = u16> {
    let ops = OpCode::ALL.iter().map(|code| code.to_wire());
    let statuses = Status::ALL.iter().map(|status| status.to_wire());
    proptest::sample::select(ops.chain(statuses).collect::<Vec<_>>())
}

pub(crate) fn decode_as_everything(code: u16, body: &[u8]) {
    let _ = Op::decode(code, body);
    if let Some(code) = OpCode::from_wire(code) {
        let _ = Reply::decode(code, body);
    }
    if let Some(status) = Status::from_wire(code) {
        let _ = Refusal::decode(status, body);
    }
    let _ = named::split(body).map(|(_, body)| Op::decode(code, body).map(drop));
    let _ = Hello::decode(body);
    let _ = Welcome::decode(body);
}

/// Runs `run` and says how many bytes it had allocated at most at one time, on this thread.
fn peak_while<R>(run: impl FnOnce() -> R) -> (R, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = run();
    (result, usize::try_from(PEAK.get() - before).expect("a peak is not below its start"))
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread has.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: every call goes to `System` unchanged, whose promises are the ones to keep; counting
// touches two thread-local numbers that need no allocation and no destructor.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the promises of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
