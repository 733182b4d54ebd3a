//! Bodies as rkyv archives: how they are written without allocating and read in place.
//!
//! A body is one archive, its root at the end of the exact body length. Slices of numbers and bytes
//! are written in one piece and lent out as they lie in the frame.

use bytemuck::Pod;
use rkyv::api::low::LowValidator;
use rkyv::api::serialize_using;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Strategy};
use rkyv::ser::Serializer;
use rkyv::ser::allocator::SubAllocator;
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
