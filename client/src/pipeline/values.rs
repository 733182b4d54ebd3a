//! The values that the ops of a pipeline have, read in the buffers that their replies were received
//! in.
//!
//! Values without bytes are what the methods of the handles return. Those with bytes borrow them, and
//! are named by types of this module, such as [`Bytes`] in a `Ticket<Bytes>`.

use std::marker::PhantomData;

use catena_protocol::{Elements, Items, PageItems, Reply, Scalar, SeatState};

use crate::objects::{Appended, FutureState, PermitState, Swapped, future_state};

/// The place of an op in a [`Pipeline`](crate::Pipeline), and the type of its value; redeemed with
/// [`Replies::value`](crate::Replies::value).
#[derive(Debug)]
pub struct Ticket<V> {
    pub(super) index: usize,
    /// The pipeline.
    pub(super) pipeline: u64,
    of: PhantomData<fn() -> V>,
}

impl<V> Ticket<V> {
    pub(super) fn new(index: usize, pipeline: u64) -> Ticket<V> {
        Ticket { index, pipeline, of: PhantomData }
    }

    /// Returns the index of the op in the [`Replies`](crate::Replies).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// assert_eq!(pipeline.on(&visits).add(1).index(), 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn index(self) -> usize {
        self.index
    }
}

impl<V> Clone for Ticket<V> {
    fn clone(&self) -> Ticket<V> {
        *self
    }
}

impl<V> Copy for Ticket<V> {}

/// What an op of a pipeline has as its value.
pub trait OpValue: sealed::Sealed {
    /// The value, which may borrow from the reply.
    type Value<'r>;

    /// Reads it; `None` if the reply is of another sort.
    #[doc(hidden)]
    fn read(reply: Reply<'_>) -> Option<Self::Value<'_>>;
}

mod sealed {
    pub trait Sealed {}
}

/// Bytes that are never absent: `&[u8]`.
#[derive(Debug)]
pub enum Bytes {}

/// Bytes that may be absent: `Option<&[u8]>`.
#[derive(Debug)]
pub enum OptionalBytes {}

/// Version and bytes of a cell: [`CellValue`].
#[derive(Debug)]
pub enum CellBytes {}

/// As [`CellBytes`], if the cell is newer: `Option<CellValue>`.
#[derive(Debug)]
pub enum NewerCellBytes {}

/// Version, shape and elements of a vector: [`VectorValue`].
#[derive(Debug)]
pub enum VectorElements {}

/// As [`VectorElements`], if the vector is newer: `Option<VectorValue>`.
#[derive(Debug)]
pub enum NewerVectorElements {}

/// A complete round of a reduction: [`RoundValue`].
#[derive(Debug)]
pub enum RoundElements {}

/// A page of items: [`PageValue`].
#[derive(Debug)]
pub enum Page {}

/// A fencing token, if something was granted: `Option<u64>`.
#[derive(Debug)]
pub enum Token {}

/// An index, if something was found: `Option<u64>`.
#[derive(Debug)]
pub enum Index {}

/// A claimed item, if there was one: `Option<ClaimValue>`.
#[derive(Debug)]
pub enum ClaimedItem {}

/// Version and bytes of a cell, in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellValue<'r> {
    /// The version of the bytes.
    pub version: u64,
    /// The bytes.
    pub bytes: &'r [u8],
}

/// Version, shape and elements of a vector, in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VectorValue<'r> {
    /// The version of the elements.
    pub version: u64,
    /// The number of elements in a row.
    pub columns: u32,
    /// The elements, row by row.
    pub elements: Elements<'r>,
}

/// A complete round of a reduction, in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundValue<'r> {
    /// The number of the round.
    pub round: u64,
    /// The result.
    pub elements: Elements<'r>,
}

/// A page of items, in a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct PageValue<'r> {
    /// The position of the first item: its index in a list, or the number of a line; else 0.
    pub at: u64,
    /// Whether there are more items behind the last one.
    pub more: bool,
    /// The items; keys and values alternately, if it has entries.
    pub items: Items<'r>,
}

/// A claimed item, in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimValue<'r> {
    /// The fencing token.
    pub token: u64,
    /// The item.
    pub bytes: &'r [u8],
}

/// Says which reply has which value.
macro_rules! op_values {
    ($($name:ty => $value:ty: $pattern:pat => $read:expr;)*) => {$(
        impl sealed::Sealed for $name {}

        impl OpValue for $name {
            type Value<'r> = $value;

            fn read(reply: Reply<'_>) -> Option<Self::Value<'_>> {
                match reply {
                    $pattern => $read,
                    _ => None,
                }
            }
        }
    )*};
}

op_values! {
    () => (): Reply::Unit | Reply::Number(_) => Some(());
    i64 => i64: Reply::Int(value) => Some(value);
    bool => bool: Reply::Bool(value) => Some(value);
    u64 => u64: Reply::Number(number) => Some(number);
    Scalar => Scalar: Reply::Scalar(scalar) => Some(scalar);
    Swapped<i64> => Swapped<i64>:
        Reply::IntSwapped { value: now, swapped } => Some(Swapped { swapped, now });
    Swapped<bool> => Swapped<bool>:
        Reply::BoolSwapped { value: now, swapped } => Some(Swapped { swapped, now });
    Swapped<u64> => Swapped<u64>:
        Reply::VersionSwapped { version: now, swapped } => Some(Swapped { swapped, now });
    Appended => Appended:
        Reply::Appended { version, length } => Some(Appended { version, length });
    PermitState => PermitState: Reply::Permits { available, permits, holders, waiting } => {
        Some(PermitState { available, permits, holders, waiting })
    };
    SeatState => SeatState: Reply::Seats(state) => Some(state);
    FutureState => FutureState: Reply::Number(number) => future_state(number);
    Bytes => &'r [u8]: Reply::Value(bytes) => bytes;
    OptionalBytes => Option<&'r [u8]>: Reply::Value(bytes) => Some(bytes);
    CellBytes => CellValue<'r>:
        Reply::Cell { version, bytes } => Some(CellValue { version, bytes: bytes? });
    NewerCellBytes => Option<CellValue<'r>>:
        Reply::Cell { version, bytes } => Some(bytes.map(|bytes| CellValue { version, bytes }));
    VectorElements => VectorValue<'r>: Reply::Vector { version, columns, elements } => {
        Some(VectorValue { version, columns, elements: elements? })
    };
    NewerVectorElements => Option<VectorValue<'r>>: Reply::Vector { version, columns, elements } => {
        Some(elements.map(|elements| VectorValue { version, columns, elements }))
    };
    RoundElements => RoundValue<'r>:
        Reply::Round { round, elements } => Some(RoundValue { round, elements });
    Page => PageValue<'r>: Reply::Page { at, more, items: PageItems::Borrowed(items) } => {
        Some(PageValue { at, more, items })
    };
    Token => Option<u64>: Reply::Granted { granted, token } => Some(granted.then_some(token));
    Index => Option<u64>: Reply::Found { found, at } => Some(found.then_some(at));
    ClaimedItem => Option<ClaimValue<'r>>: Reply::Claimed { token, bytes } => {
        Some(bytes.map(|bytes| ClaimValue { token, bytes }))
    };
}
