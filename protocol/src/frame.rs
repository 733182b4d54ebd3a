//! A frame: header, body, padding.
//!
//! [`next`] cuts the next frame from received bytes and checks everything that can be checked
//! without knowing the op: magic, version, lengths, checksum, kind. A [`Frame`] is therefore a
//! proof that these checks passed, and code that holds one never repeats them. Only [`write()`] and
//! its short forms for replies make frames.
//!
//! Bytes given to [`next`] must begin on a multiple of 16. A receive buffer that starts aligned and
//! drops whole frames stays aligned, because the length of a frame is a multiple of 16.

use crate::hash::{StreamHasher, xxh3};
use crate::header::{FrameKind, HEADER_LEN, Header, Lengths, MAGIC, u32_at};
use crate::limits::{FRAME_ALIGNMENT, FRAME_BYTES_MAX};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::status::{Fault, Status};

/// A checked frame, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The header.
    pub header: Header,
    /// The body, without padding.
    pub body: &'a [u8],
    /// All bytes of the frame, for sending it on verbatim.
    pub bytes: &'a [u8],
}

/// Why bytes are not a frame. The connection they came on cannot be used any more, because the next
/// frame cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct FrameError {
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// The result of [`next`].
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// A whole frame; the following one begins after `frame.bytes`.
    Frame(Frame<'a>),
    /// The frame is incomplete; it has this many bytes in all.
    Partial {
        /// The size of the header while that is incomplete, then the size of the frame.
        bytes: usize,
    },
}

/// Cuts the next frame off the front of `bytes`.
///
/// Allocates nothing. `frame_bytes_max` is the largest frame that the caller accepts, at most
/// [`FRAME_BYTES_MAX`].
///
/// # Errors
///
/// A [`FrameError`] if the bytes cannot be the beginning of a frame.
// Inlined, because the result is large and made of small fields. A copy of it would be loaded in
// words that span fresh stores, and each such load waits for all of them.
#[inline(always)]
pub fn next(bytes: &[u8], frame_bytes_max: u32) -> Result<Next<'_>, FrameError> {
    let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
        // Two bytes are enough to tell a stray HTTP client from a slow peer.
        let mut first = MAGIC.to_le_bytes();
        first.iter_mut().zip(bytes).for_each(|(first, got)| *first = *got);
        let magic = u16::from_le_bytes(first);
        if magic != MAGIC {
            return Err(Fault::expected(Status::BadMagic, MAGIC.into(), magic.into()).into());
        }
        return Ok(Next::Partial { bytes: HEADER_LEN });
    };
    let lengths = Lengths::read(head, frame_bytes_max.min(FRAME_BYTES_MAX))?;
    let frame_len = len(lengths.frame_bytes);
    let Some(bytes) = bytes.get(..frame_len) else {
        return Ok(Next::Partial { bytes: frame_len });
    };
    let (ours, theirs) = (checksum(bytes), u32_at(head, 4));
    if ours != theirs {
        return Err(Fault::expected(Status::BadChecksum, ours.into(), theirs.into()).into());
    }
    let header = Header::read(head)?;
    let body = &bytes[HEADER_LEN..HEADER_LEN + len(lengths.body_bytes)];
    Ok(Next::Frame(Frame { header, body, bytes }))
}

/// Returns the header that `bytes` begin with and the length of its frame, if all of the frame is
/// there. Only the lengths are checked, so this is a hint of what [`next`] will return.
#[inline(always)]
pub fn peek(bytes: &[u8]) -> Option<(Header, usize)> {
    let head = bytes.first_chunk::<HEADER_LEN>()?;
    let frame_len = len(Lengths::read(head, FRAME_BYTES_MAX).ok()?.frame_bytes);
    let header = Header::read(head).ok()?;
    (frame_len <= bytes.len()).then_some((header, frame_len))
}

/// Appends a frame to `out`. `body` appends the body, an archive whose root comes last.
///
/// # Errors
///
/// `TooLarge` if the body is longer than any frame may be; `out` is left as it was.
///
/// # Panics
///
/// If `out` does not end on a multiple of 16, because something other than frames was appended
/// before.
pub fn write(
    out: &mut Vec<u8>,
    header: &Header,
    body: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Fault> {
    let start = out.len();
    assert!(start.is_multiple_of(len(FRAME_ALIGNMENT)), "frames follow one another: {start}");
    out.extend_from_slice(&[0; HEADER_LEN]);
    body(out);
    let body_len = out.len() - start - HEADER_LEN;
    let Some(lengths) = u32::try_from(body_len).ok().and_then(Lengths::of_body) else {
        out.truncate(start);
        let (limit, got) = (crate::limits::BODY_BYTES_MAX.into(), body_len as u64);
        return Err(Fault::expected(Status::TooLarge, limit, got));
    };
    out.resize(start + len(lengths.frame_bytes), 0);
    seal(&mut out[start..], header, lengths);
    Ok(())
}

/// Appends the reply to the request with header `to`: a result, or the reason why there is none.
///
/// A result that does not fit a frame is replaced by `TooLarge`, so that every request gets a
/// reply.
pub fn write_reply(out: &mut Vec<u8>, to: &Header, result: Result<&Reply<'_>, &Refusal>) {
    let written = match result {
        Ok(reply) => write(out, &to.reply(Status::Ok), |body| reply.encode(body)),
        Err(refusal) => write(out, &to.reply(refusal.status()), |body| refusal.encode(body)),
    };
    if let Err(fault) = written {
        let refusal = Refusal::Fault(fault);
        write(out, &to.reply(fault.status), |body| refusal.encode(body))
            .expect("a fault always fits a frame");
    }
}

/// Appends a reply whose body is already encoded, as a session keeps it for retries.
///
/// # Panics
///
/// If `body` is longer than a frame allows, which a body that came out of a frame is not.
pub fn write_encoded(out: &mut Vec<u8>, to: &Header, status: Status, body: &[u8]) {
    write(out, &to.reply(status), |out| out.extend_from_slice(body))
        .expect("an encoded body fits the frame it came from");
}

/// The beginning and the end of a frame whose body is somewhere else.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// What goes before the body.
    pub header: [u8; HEADER_LEN],
    /// How many zeros go after it.
    pub padding: usize,
}

/// Returns what [`write_encoded`] would write around a body.
///
/// # Panics
///
/// As [`write_encoded`].
pub fn envelope_of_encoded(to: &Header, status: Status, body: &[u8]) -> Envelope {
    let lengths = u32::try_from(body.len()).ok().and_then(Lengths::of_body);
    let lengths = lengths.expect("an encoded body fits the frame it came from");
    let padding = len(lengths.frame_bytes) - HEADER_LEN - body.len();
    let mut header = [0; HEADER_LEN];
    to.reply(status).put(lengths, &mut header);
    let sum = checksum_of_parts([&header, body, &[0; FRAME_ALIGNMENT as usize][..padding]]);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    Envelope { header, padding }
}

/// Appends the reply to a request whose result is a single 64-bit number, as most are. It is
/// composed in place from whole words, which is quicker than the encoder of [`write_reply`].
pub fn write_word(out: &mut Vec<u8>, to: &Header, word: u64) {
    const BODY_BYTES: u32 = 8;
    const LENGTHS: Lengths = Lengths::of_body(BODY_BYTES).expect("8 bytes fit a frame");
    const FRAME_LEN: usize = len(LENGTHS.frame_bytes);
    out.extend_from_slice(&[0; FRAME_LEN]);
    let frame: &mut [u8; FRAME_LEN] = out.last_chunk_mut().expect("was just appended");
    frame[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&word.to_le_bytes());
    seal(frame, &to.reply(Status::Ok), LENGTHS);
}

/// Fills in the header of a frame whose body and padding are complete.
fn seal(frame: &mut [u8], header: &Header, lengths: Lengths) {
    header.put(lengths, frame.first_chunk_mut().expect("there is room for the header"));
    let sum = checksum(frame);
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
}

impl From<Fault> for FrameError {
    fn from(fault: Fault) -> FrameError {
        FrameError { fault }
    }
}

impl Frame<'_> {
    /// Refuses a frame that is not of the given kind.
    ///
    /// # Errors
    ///
    /// `BadFrameKind`.
    pub fn expect_kind(&self, kind: FrameKind) -> Result<(), Fault> {
        if self.header.kind == kind {
            return Ok(());
        }
        let (expected, got) = (kind.to_wire(), self.header.kind.to_wire());
        Err(Fault::expected(Status::BadFrameKind, expected.into(), got.into()))
    }
}

/// Returns the checksum of a frame: the low half of XXH3-64 over all bytes after the checksum
/// field, seeded with the four bytes before it. It covers every byte of the frame but itself.
fn checksum(frame: &[u8]) -> u32 {
    // Most frames carry a number or two, and a length known to the compiler is quicker.
    match <&[u8; HEADER_LEN + 16]>::try_from(frame) {
        Ok(short) => checksum_of(short),
        Err(_) => checksum_of(frame),
    }
}

#[inline(always)]
fn checksum_of(frame: &[u8]) -> u32 {
    low_half(xxh3(seed_of(frame), &frame[8..]))
}

/// Returns the checksum of a frame that is in parts; the first part has at least its header.
fn checksum_of_parts(parts: [&[u8]; 3]) -> u32 {
    let [first, others @ ..] = parts;
    let mut hasher = StreamHasher::new(seed_of(first));
    hasher.write(&first[8..]);
    others.iter().for_each(|part| hasher.write(part));
    low_half(hasher.finish())
}

/// Returns the seed of a frame's checksum: the four bytes before it.
#[inline(always)]
fn seed_of(frame: &[u8]) -> u64 {
    u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]).into()
}

#[inline(always)]
fn low_half(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

const fn len(bytes: u32) -> usize {
    bytes as usize
}
