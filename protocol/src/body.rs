//! Bodies as rkyv archives: how they are written without allocating and read in place.
//!
//! A body is one archive, its root at the end of the exact body length. Slices of numbers and bytes
//! are written in one piece and borrowed from the frame as they are.

use bytemuck::Pod;
use rkyv::api::high::HighSerializer;
use rkyv::api::low::LowValidator;
use rkyv::api::serialize_using;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Fallible, Strategy};
use rkyv::rend::{i64_le, u32_le, u64_le};
use rkyv::ser::Serializer;
use rkyv::ser::allocator::{ArenaHandle, SubAllocator};
use rkyv::with::{ArchiveWith, InlineAsBox, SerializeWith};
use rkyv::{Archive, Archived, Place, Portable, Resolver, Serialize};

use crate::op::{Loss, Merge, ReduceOp};
use crate::status::{Fault, Status};

/// Writes into the output buffer without scratch memory, which flat bodies do not need.
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

/// The result of copying out an archive, which can fail although the archive is valid.
pub(crate) fn owned<T>(value: Result<T, Failure>) -> Result<T, Fault> {
    value.map_err(|Failure| Fault::new(Status::BadBody))
}

/// Refuses a body where none belongs.
pub(crate) fn decode_empty(body: &[u8]) -> Result<(), Fault> {
    match body {
        [] => Ok(()),
        _ => Err(Fault::new(Status::BadBody)),
    }
}

/// Refuses bytes that are not UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new(Status::BadBody))
}

/// A field of a body, or a value that is a body by itself.
pub(crate) trait BodyPart: Copy {
    /// The type that is archived for it.
    type Body: Archive;

    /// Returns the value to archive.
    fn part(self) -> Self::Body;
}

/// A [`BodyPart`] that can be read, or borrowed, from its archive.
pub(crate) trait ReadBodyPart<'a>: BodyPart {
    /// Returns the value of a valid archive.
    fn read(archived: &'a Archived<Self::Body>) -> Result<Self, Fault>;
}

/// Archives the fields of a body as parts: `#[rkyv(with = AsBodyPart)]`.
pub(crate) struct AsBodyPart;

impl<P: BodyPart<Body: Archive<Archived: Portable>>> ArchiveWith<P> for AsBodyPart {
    type Archived = Archived<P::Body>;
    type Resolver = Resolver<P::Body>;

    #[inline]
    fn resolve_with(field: &P, resolver: Self::Resolver, out: Place<Self::Archived>) {
        field.part().resolve(resolver, out);
    }
}

impl<P: BodyPart<Body: Serialize<S>>, S: Fallible + ?Sized> SerializeWith<P, S> for AsBodyPart {
    #[inline]
    fn serialize_with(field: &P, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        field.part().serialize(serializer)
    }
}

/// Numbers and booleans are archived as they are.
macro_rules! plain_parts {
    ($($plain:ty, $archived:ty, $read:expr;)*) => {$(
        impl BodyPart for $plain {
            type Body = $plain;

            #[inline]
            fn part(self) -> $plain {
                self
            }
        }

        impl ReadBodyPart<'_> for $plain {
            #[inline]
            fn read(archived: &$archived) -> Result<$plain, Fault> {
                let read: fn($archived) -> $plain = $read;
                Ok(read(*archived))
            }
        }
    )*};
}

plain_parts! {
    bool, bool, |value| value;
    u32, u32_le, u32_le::to_native;
    u64, u64_le, u64_le::to_native;
    i64, i64_le, i64_le::to_native;
}

/// Choices are archived as their number on the wire.
macro_rules! choices {
    ($($choice:ty),*) => {$(
        impl BodyPart for $choice {
            type Body = u8;

            #[inline]
            fn part(self) -> u8 {
                self.to_wire()
            }
        }

        impl ReadBodyPart<'_> for $choice {
            #[inline]
            fn read(archived: &u8) -> Result<$choice, Fault> {
                <$choice>::from_wire(*archived).ok_or(Fault::new(Status::BadBody))
            }
        }
    )*};
}

choices!(Loss, Merge, ReduceOp);

impl<'a> BodyPart for &'a [u8] {
    type Body = BytesBody<'a>;

    #[inline]
    fn part(self) -> BytesBody<'a> {
        BytesBody { bytes: self }
    }
}

impl<'a> ReadBodyPart<'a> for &'a [u8] {
    #[inline]
    fn read(archived: &'a ArchivedBytesBody<'a>) -> Result<&'a [u8], Fault> {
        Ok(&archived.bytes)
    }
}

/// Text is archived as bytes.
impl<'a> BodyPart for &'a str {
    type Body = BytesBody<'a>;

    #[inline]
    fn part(self) -> BytesBody<'a> {
        BytesBody { bytes: self.as_bytes() }
    }
}

impl<'a> ReadBodyPart<'a> for &'a str {
    #[inline]
    fn read(archived: &'a ArchivedBytesBody<'a>) -> Result<&'a str, Fault> {
        text(&archived.bytes)
    }
}

/// Borrows numbers from the frame.
pub(crate) fn numbers<A: Pod, N: Pod>(archived: &[A]) -> &[N] {
    bytemuck::cast_slice(archived)
}

/// A slice of numbers, of any of the element types of vectors.
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
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        match self {
            Elements::F64(values) => values.len(),
            Elements::F32(values) => values.len(),
            Elements::I64(values) => values.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the tag on the wire: 0 for f64, 1 for f32, 2 for i64.
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

impl<'a> BodyPart for Elements<'a> {
    type Body = ElementsBody<'a>;

    fn part(self) -> ElementsBody<'a> {
        match self {
            Elements::F64(values) => ElementsBody::F64(values),
            Elements::F32(values) => ElementsBody::F32(values),
            Elements::I64(values) => ElementsBody::I64(values),
        }
    }
}

impl<'a> ReadBodyPart<'a> for Elements<'a> {
    fn read(archived: &'a ArchivedElementsBody<'a>) -> Result<Elements<'a>, Fault> {
        Ok(match archived {
            ArchivedElementsBody::F64(values) => Elements::F64(numbers(values)),
            ArchivedElementsBody::F32(values) => Elements::F32(numbers(values)),
            ArchivedElementsBody::I64(values) => Elements::I64(numbers(values)),
        })
    }
}

/// A body that is one byte string: 8 bytes of offset and length after the bytes themselves.
#[derive(Archive, Serialize)]
pub(crate) struct BytesBody<'a> {
    #[rkyv(with = InlineAsBox)]
    pub(crate) bytes: &'a [u8],
}

/// One number, of any of the element types of vectors.
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
    /// Returns the tag on the wire, as [`Elements::type_code`].
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

impl BodyPart for Scalar {
    type Body = ScalarBody;

    fn part(self) -> ScalarBody {
        let bits = match self {
            Scalar::F64(value) => value.to_bits(),
            Scalar::F32(value) => value.to_bits().into(),
            Scalar::I64(value) => value.cast_unsigned(),
        };
        ScalarBody { bits, tag: self.type_code() }
    }
}

impl ReadBodyPart<'_> for Scalar {
    fn read(archived: &ArchivedScalarBody) -> Result<Scalar, Fault> {
        let (bits, bad) = (archived.bits.to_native(), Fault::new(Status::BadBody));
        Ok(match archived.tag {
            0 => Scalar::F64(f64::from_bits(bits)),
            1 => Scalar::F32(f32::from_bits(u32::try_from(bits).map_err(|_| bad)?)),
            2 => Scalar::I64(bits.cast_signed()),
            _ => return Err(bad),
        })
    }
}
