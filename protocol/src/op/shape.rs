//! The shapes of bodies, with the names and the order of fields that PROTOCOL.md has. It has three
//! of them under other names: `Text` is `Bytes` that are UTF-8; `Entries` and `MergeEntries` are
//! `Items` and `MergeItems` of an even number.
//!
//! A shape exists only while a body is written or read. The [table](crate::for_each_op) says which
//! op has which shape, and how their fields correspond.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Archived, Serialize};

use super::{Loss, Merge, ReduceOp, ScanArgs};
use crate::body::{self, AsBodyPart, BodyPart, ReadBodyPart};
use crate::items;
use crate::status::Fault;

/// The contents of a body.
pub(super) trait Shape<'a>: Sized {
    /// Appends the body.
    fn encode(&self, out: &mut Vec<u8>);

    /// Validates a body and borrows the shape from it.
    fn decode(body: &'a [u8]) -> Result<Self, Fault>;
}

/// Declares shapes.
///
/// - `Name { fields }` is an archive of these fields.
/// - `Name(Type);` is an archive of one value.
/// - `Name in op { fields }` is an archive of the struct of that name in module `op`, whose fields
///   are the same in another order.
macro_rules! shapes {
    () => {};
    ($name:ident $(<$a:lifetime>)? { $($field:ident: $type:ty,)+ } $($rest:tt)*) => {
        #[derive(Archive, Serialize)]
        pub(super) struct $name $(<$a>)? {
            $(#[rkyv(with = AsBodyPart)] pub(super) $field: $type,)+
        }

        impl<'a> Shape<'a> for $name $(<$a>)? {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                body::encode(self, out);
            }

            #[inline]
            fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
                let archived = body::decode::<Archived<Self>>(bytes)?;
                Ok($name { $($field: <$type>::read(&archived.$field)?,)+ })
            }
        }

        shapes! { $($rest)* }
    };
    ($name:ident $(<$a:lifetime>)? ($type:ty); $($rest:tt)*) => {
        pub(super) struct $name $(<$a>)? (pub(super) $type);

        impl<'a> Shape<'a> for $name $(<$a>)? {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                body::encode(&self.0.part(), out);
            }

            #[inline]
            fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
                let archived = body::decode::<Archived<<$type as BodyPart>::Body>>(bytes)?;
                Ok($name(<$type>::read(archived)?))
            }
        }

        shapes! { $($rest)* }
    };
    ($name:ident $(<$a:lifetime>)? in op { $($field:ident: $type:ty,)+ } $($rest:tt)*) => {
        pub(super) struct $name $(<$a>)? (pub(super) super::$name $(<$a>)?);

        const _: () = {
            #[derive(Archive, Serialize)]
            struct Body $(<$a>)? {
                $(#[rkyv(with = AsBodyPart)] $field: $type,)+
            }

            impl<'a> Shape<'a> for $name $(<$a>)? {
                #[inline]
                fn encode(&self, out: &mut Vec<u8>) {
                    let super::$name { $($field,)+ } = self.0;
                    body::encode(&Body { $($field,)+ }, out);
                }

                #[inline]
                fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
                    let archived = body::decode::<Archived<Body $(<$a>)?>>(bytes)?;
                    Ok($name(super::$name { $($field: <$type>::read(&archived.$field)?,)+ }))
                }
            }
        };

        shapes! { $($rest)* }
    };
}

shapes! {
    Open { born_us: u64, nonce: u64, ttl_ms: u32, }
    Int(i64);
    IntPair { expected: i64, value: i64, }
    Bool(bool);
    BoolPair { expected: bool, value: bool, }
    Number(u64);
    Range { from: u64, length: u64, }
    Bytes<'a>(&'a [u8]);
    Text<'a>(&'a str);
    BytesPair<'a> { expected: &'a [u8], bytes: &'a [u8], }
    VersionedBytes<'a> { version: u64, bytes: &'a [u8], }
    TokenBytes<'a> { token: u64, bytes: &'a [u8], }
    Elements<'a>(crate::Elements<'a>);
    Shaped<'a> { columns: u32, elements: crate::Elements<'a>, }
    Rows { from: u32, count: u32, }
    RowElements<'a> { from: u32, elements: crate::Elements<'a>, }
    Scalar(crate::Scalar);
    Contribution<'a> in op {
        round: u64,
        party: u32,
        parties: u32,
        hold_ms: u32,
        op: ReduceOp,
        loss: Loss,
        elements: crate::Elements<'a>,
    }
    Arrival<'a> in op {
        generation: u64,
        parties: u32,
        hold_ms: u32,
        loss: Loss,
        party: &'a str,
    }
    CountDown<'a> { parties: u32, party: &'a str, }
    Count(u32);
    Slice { from: u64, limit: u32, }
    Search<'a> { from_end: bool, bytes: &'a [u8], }
    IndexBytes<'a> { index: u64, bytes: &'a [u8], }
    Items<'a>(crate::Items<'a>);
    Hold(u32);
    Entry<'a> { key: &'a [u8], value: &'a [u8], }
    TokenEntry<'a> { token: u64, key: &'a [u8], value: &'a [u8], }
    MergeEntry<'a> { merge: Merge, key: &'a [u8], value: &'a [u8], }
    MergeItems<'a> { merge: Merge, items: crate::Items<'a>, }
    Scan<'a>(ScanArgs<'a>);
    Permit in op { permits: u32, count: u32, hold_ms: u32, }
    Extend { token: u64, hold_ms: u32, }
    Tail { after: u64, limit: u32, }
    Monitor { after: u64, per_second: u32, }
    ListNames<'a> { limit: u32, after: &'a str, prefix: &'a str, }
    DeleteNames<'a> { limit: u32, prefix: &'a str, }
    Quota<'a> { objects_max: u64, bytes_max: u64, prefix: &'a str, }
    // The arguments are the only data, so they begin where the body does: on a multiple of 16.
    User<'a> { type_id: u32, args: &'a [u8], }
}

/// No body at all.
pub(super) struct Empty {}

impl Shape<'_> for Empty {
    #[inline]
    fn encode(&self, _: &mut Vec<u8>) {}

    #[inline]
    fn decode(body: &[u8]) -> Result<Empty, Fault> {
        body::decode_empty(body).map(|()| Empty {})
    }
}

/// Keys and values in turn.
pub(super) struct Entries<'a>(pub(super) crate::Items<'a>);

impl<'a> Shape<'a> for Entries<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        Items(self.0).encode(out);
    }

    fn decode(body: &'a [u8]) -> Result<Self, Fault> {
        let Items(items) = Items::decode(body)?;
        items::check_pairs(items).map(Entries)
    }
}

/// Keys and values in turn, and how they are merged.
pub(super) struct MergeEntries<'a> {
    pub(super) merge: Merge,
    pub(super) items: crate::Items<'a>,
}

impl<'a> Shape<'a> for MergeEntries<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let MergeEntries { merge, items } = *self;
        MergeItems { merge, items }.encode(out);
    }

    fn decode(body: &'a [u8]) -> Result<Self, Fault> {
        let MergeItems { merge, items } = MergeItems::decode(body)?;
        Ok(MergeEntries { merge, items: items::check_pairs(items)? })
    }
}

/// A key, the value that it must have, and the value to set; either may be none.
pub(super) struct EntrySwap<'a> {
    pub(super) key: &'a [u8],
    pub(super) expected: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

#[derive(Archive, Serialize)]
struct EntrySwapBody<'a> {
    expects: bool,
    sets: bool,
    #[rkyv(with = InlineAsBox)]
    key: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    expected: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    value: &'a [u8],
}

impl<'a> Shape<'a> for EntrySwap<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let EntrySwap { key, expected, value } = *self;
        let (expects, sets) = (expected.is_some(), value.is_some());
        let (expected, value) = (expected.unwrap_or_default(), value.unwrap_or_default());
        body::encode(&EntrySwapBody { expects, sets, key, expected, value }, out);
    }

    fn decode(body: &'a [u8]) -> Result<Self, Fault> {
        let swap = body::decode::<ArchivedEntrySwapBody<'a>>(body)?;
        Ok(EntrySwap {
            key: &swap.key,
            expected: swap.expects.then_some(&*swap.expected),
            value: swap.sets.then_some(&*swap.value),
        })
    }
}
