//! Bodies as rkyv archives: how they are written without allocating and read in place.
//!
//! A body is one archive, its root at the end of the exact body length. Slices of numbers and bytes
//! are written in one piece and lent out as they lie in the frame.

use bytemuck::Pod;
use rkyv::api::high::HighSerializer;
use rkyv::api::low::LowValidator;
use rkyv::api::serialize_using;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Strategy};
use rkyv::rend::{u32_le, u64_le};
use rkyv::ser::Serializer;
use rkyv::ser::allocator::{ArenaHandle, SubAllocator};
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Portable, Serialize};

use crate::status::{Fault, Status};

/// Writes into the output buffer with no scratch memory: our bodies have none to need.
pub(crate) type Encoder<'o> = Serializer<&'o mut Vec<u8>, SubAllocator<'static>, ()>;

/// Appends the archive of `value`.
pub(crate) fn encode<'o, T>(value: &T, out: &'o mut Vec<u8>)
where
    T: Serialize<Strategy<Encoder<'o>, Failure>>,
{
    let mut encoder = Serializer::new(out, SubAllocator::empty(), ());
    serialize_using::<_, Failure>(value, &mut encoder)
        .expect("a body is flat, and a Vec takes all that is written");
}

/// Validates `body` as an archive and borrows its root.
pub(crate) fn decode<T>(body: &[u8]) -> Result<&T, Fault>
where
    T: Portable + for<'a> CheckBytes<LowValidator<'a, Failure>>,
{
    rkyv::api::low::access::<T, Failure>(body).map_err(|Failure| Fault::new(Status::BadBody))
}

/// Writes a body that is not flat; such bodies are rare and off the data path.
pub(crate) fn encode_owned<T>(value: &T, out: &mut Vec<u8>)
where
    T: for<'o, 'a> Serialize<HighSerializer<&'o mut Vec<u8>, ArenaHandle<'a>, Failure>>,
{
    let written = rkyv::api::high::to_bytes_in::<_, Failure>(value, &mut *out);
    assert!(written.is_ok(), "a Vec takes all that is written");
}

/// What comes of copying out an archive that is valid but may not be deserializable.
pub(crate) fn owned<T>(value: Result<T, Failure>) -> Result<T, Fault> {
    value.map_err(|Failure| Fault::new(Status::BadBody))
}

/// Refuses a body where the op has none.
pub(crate) fn decode_empty(body: &[u8]) -> Result<(), Fault> {
    match body {
        [] => Ok(()),
        _ => Err(Fault::new(Status::BadBody)),
    }
}

/// Names and reasons are UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new(Status::BadBody))
}

/// A body that is one byte string.
pub(crate) fn decode_bytes(body: &[u8]) -> Result<&[u8], Fault> {
    Ok(&decode::<ArchivedBytesBody<'_>>(body)?.bytes)
}

/// A body that is text.
pub(crate) fn decode_text(body: &[u8]) -> Result<&str, Fault> {
    text(decode_bytes(body)?)
}

/// A body that is one number.
pub(crate) fn decode_u64(body: &[u8]) -> Result<u64, Fault> {
    Ok(decode::<u64_le>(body)?.to_native())
}

/// A body that is one number, a small one.
pub(crate) fn decode_u32(body: &[u8]) -> Result<u32, Fault> {
    Ok(decode::<u32_le>(body)?.to_native())
}

/// Numbers as they lie in the frame.
pub(crate) fn numbers<A: Pod, N: Pod>(archived: &[A]) -> &[N] {
    bytemuck::cast_slice(archived)
}

/// A slice of numbers of one of the element types a vector may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Elements<'a> {
    /// 64-bit floats.
    F64(&'a [f64]),
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit signed integers.
    I64(&'a [i64]),
}

impl Elements<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Elements::F64(values) => values.len(),
            Elements::F32(values) => values.len(),
            Elements::I64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tag on the wire: 0 for f64, 1 for f32, 2 for i64.
    pub fn type_code(&self) -> u8 {
        match self {
            Elements::F64(_) => 0,
            Elements::F32(_) => 1,
            Elements::I64(_) => 2,
        }
    }
}

/// [`Elements`] in a body: a tag byte, then offset and length of the numbers.
#[derive(Archive, Serialize)]
pub(crate) enum ElementsBody<'a> {
    F64(#[rkyv(with = InlineAsBox)] &'a [f64]),
    F32(#[rkyv(with = InlineAsBox)] &'a [f32]),
    I64(#[rkyv(with = InlineAsBox)] &'a [i64]),
}

impl<'a> From<Elements<'a>> for ElementsBody<'a> {
    fn from(elements: Elements<'a>) -> ElementsBody<'a> {
        match elements {
            Elements::F64(values) => ElementsBody::F64(values),
            Elements::F32(values) => ElementsBody::F32(values),
            Elements::I64(values) => ElementsBody::I64(values),
        }
    }
}

impl<'a> ArchivedElementsBody<'a> {
    pub(crate) fn elements<'b>(&'b self) -> Elements<'b> {
        match self {
            ArchivedElementsBody::F64(values) => Elements::F64(numbers(values)),
            ArchivedElementsBody::F32(values) => Elements::F32(numbers(values)),
            ArchivedElementsBody::I64(values) => Elements::I64(numbers(values)),
        }
    }
}

/// A body that is one byte string: 8 bytes of offset and length after the bytes themselves.
#[derive(Archive, Serialize)]
pub(crate) struct BytesBody<'a> {
    #[rkyv(with = InlineAsBox)]
    pub(crate) bytes: &'a [u8],
}

/// One number of a type that a vector may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A 64-bit float.
    F64(f64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit signed integer.
    I64(i64),
}

impl Scalar {
    /// The tag on the wire, as [`Elements::type_code`].
    pub fn type_code(&self) -> u8 {
        match self {
            Scalar::F64(_) => 0,
            Scalar::F32(_) => 1,
            Scalar::I64(_) => 2,
        }
    }
}

/// [`Scalar`] in a body: its bits, then its tag.
#[derive(Archive, Serialize)]
pub(crate) struct ScalarBody {
    bits: u64,
    tag: u8,
}

impl From<Scalar> for ScalarBody {
    fn from(scalar: Scalar) -> ScalarBody {
        let bits = match scalar {
            Scalar::F64(value) => value.to_bits(),
            Scalar::F32(value) => value.to_bits().into(),
            Scalar::I64(value) => value.cast_unsigned(),
        };
        ScalarBody { bits, tag: scalar.type_code() }
    }
}

/// Reads a body that is a [`Scalar`].
pub(crate) fn decode_scalar(body: &[u8]) -> Result<Scalar, Fault> {
    let ArchivedScalarBody { bits, tag } = decode::<ArchivedScalarBody>(body)?;
    let (bits, bad) = (bits.to_native(), Fault::new(Status::BadBody));
    Ok(match *tag {
        0 => Scalar::F64(f64::from_bits(bits)),
        1 => Scalar::F32(f32::from_bits(u32::try_from(bits).map_err(|_| bad)?)),
        2 => Scalar::I64(bits.cast_signed()),
        _ => return Err(bad),
    })
}
