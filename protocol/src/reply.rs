//! The result of an op, which a reply carries when its status is `Ok`.

use rkyv::rancor::Failure;
use rkyv::rend::{i64_le, u64_le};
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body::{
    self, ArchivedScalarBody, BodyPart, Elements, ElementsBody, ReadBodyPart, Scalar,
};
use crate::items::{Items, ItemsBody, PageItems};
use crate::listing::{self, Listing};
use crate::op::OpCode;
use crate::report::{
    ArchivedInspection, ArchivedMonitored, ArchivedStats, ArchivedUsage, Inspection, Monitored,
    Stats, Usage,
};
use crate::status::Fault;

/// The result of an op, borrowed from the object on one side and from the frame on the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// No value.
    Unit,
    /// The value of a counter.
    Int(i64),
    /// The value of a flag; for other ops, the truth that they return.
    Bool(bool),
    /// A version, generation, round, index or count.
    Number(u64),
    /// The result of a counter's compare-and-swap.
    IntSwapped {
        /// The value now.
        value: i64,
        /// Whether it was exchanged.
        swapped: bool,
    },
    /// The result of a flag's compare-and-swap.
    BoolSwapped {
        /// The value now.
        value: bool,
        /// Whether it was exchanged.
        swapped: bool,
    },
    /// The result of a cell's compare-and-set.
    VersionSwapped {
        /// The version now.
        version: u64,
        /// Whether the bytes were replaced.
        swapped: bool,
    },
    /// Version and length of a cell after an append.
    Appended {
        /// The version now.
        version: u64,
        /// The length now, in bytes.
        length: u64,
    },
    /// Version and bytes of a cell.
    Cell {
        /// The version of the bytes.
        version: u64,
        /// The bytes; `None` if the caller has this version already.
        bytes: Option<&'a [u8]>,
    },
    /// Version, shape and elements of a vector.
    Vector {
        /// The version of the elements.
        version: u64,
        /// Elements per row.
        columns: u32,
        /// The elements, row by row; `None` if the caller has this version already.
        elements: Option<Elements<'a>>,
    },
    /// A complete round of a reduction.
    Round {
        /// Its number.
        round: u64,
        /// The result.
        elements: Elements<'a>,
    },
    /// The state of a barrier, latch or reduction.
    Seats(SeatState),
    /// A value, or `None` if there is none.
    Value(Option<&'a [u8]>),
    /// A page of items.
    Page {
        /// The position of the first item: its index in a list, the number of a line, else 0.
        at: u64,
        /// Whether there are more after the last item.
        more: bool,
        /// The items; keys and values in turn if entries were asked for.
        items: PageItems<'a>,
    },
    /// The index of an item.
    Found {
        /// Whether the list has it.
        found: bool,
        /// Its index; 0 if the list does not have it.
        at: u64,
    },
    /// A grant of permits, or of the lock.
    Granted {
        /// Whether there is one.
        granted: bool,
        /// The token of the grant, larger than all before; 0 if there is none.
        token: u64,
    },
    /// A claimed item.
    Claimed {
        /// The token of the claim, larger than all before; 0 if there is none.
        token: u64,
        /// The item; `None` if there was none.
        bytes: Option<&'a [u8]>,
    },
    /// The state of a semaphore or lock.
    Permits {
        /// Permits that are free.
        available: u32,
        /// Permits in all.
        permits: u32,
        /// Grants that are held.
        holders: u32,
        /// Requests that wait here.
        waiting: u32,
    },
    /// A number of a vector's type.
    Scalar(Scalar),
    /// Named objects.
    Listing(Listing<'a>),
    /// Everything about an object. Boxed to keep a reply small.
    Inspection(Box<Inspection>),
    /// The memory that objects take, and their quota.
    Usage(Usage),
    /// Statistics of a shard and its core. Boxed to keep a reply small.
    Stats(Box<Stats>),
    /// Requests that a shard has served.
    Monitored(Monitored),
}

/// The shape of a reply's body, under the name that PROTOCOL.md has for it. Each op has one:
/// [`OpCode::reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is the shape of the variant of `Reply` with the same name.
pub enum ReplyShape {
    /// [`Reply::Unit`].
    Empty,
    Int,
    Bool,
    Number,
    IntSwapped,
    BoolSwapped,
    VersionSwapped,
    Appended,
    Cell,
    Vector,
    Round,
    Seats,
    Value,
    Page,
    Found,
    Granted,
    Claimed,
    Permits,
    Scalar,
    Listing,
    Inspection,
    Usage,
    Stats,
    Monitored,
}

// Replies are passed by value, also those to the smallest ops.
const _: () = assert!(size_of::<Reply<'_>>() <= 64);

/// The state of a barrier, latch or reduction: the round in progress and the parties missing in it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatState {
    /// The round or generation in progress; 0 for a latch.
    pub round: u64,
    /// How many parties have come.
    pub arrived: u32,
    /// How many parties are needed, without those that are dropped; 0 if it was never used.
    pub parties: u32,
    /// Requests that wait here.
    pub waiting: u32,
    /// The names of missing parties as far as they are known, at most
    /// [`MISSING_NAMED_MAX`](crate::limits::MISSING_NAMED_MAX).
    pub missing: Vec<String>,
}

#[derive(Archive, Serialize)]
struct IntSwappedBody {
    value: i64,
    swapped: bool,
}

#[derive(Archive, Serialize)]
struct BoolSwappedBody {
    value: bool,
    swapped: bool,
}

#[derive(Archive, Serialize)]
struct VersionSwappedBody {
    version: u64,
    swapped: bool,
}

#[derive(Archive, Serialize)]
struct AppendedBody {
    version: u64,
    length: u64,
}

#[derive(Archive, Serialize)]
struct CellBody<'a> {
    version: u64,
    newer: bool,
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

#[derive(Archive, Serialize)]
struct VectorBody<'a> {
    version: u64,
    columns: u32,
    newer: bool,
    elements: ElementsBody<'a>,
}

#[derive(Archive, Serialize)]
struct RoundBody<'a> {
    round: u64,
    elements: ElementsBody<'a>,
}

#[derive(Archive, Serialize)]
struct ValueBody<'a> {
    present: bool,
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

#[derive(Archive, Serialize)]
struct PageBody<'a> {
    at: u64,
    more: bool,
    items: ItemsBody<'a>,
}

#[derive(Archive, Serialize)]
struct FoundBody {
    at: u64,
    found: bool,
}

#[derive(Archive, Serialize)]
struct GrantedBody {
    token: u64,
    granted: bool,
}

#[derive(Archive, Serialize)]
struct ClaimedBody<'a> {
    token: u64,
    present: bool,
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

#[derive(Archive, Serialize)]
struct PermitsBody {
    available: u32,
    permits: u32,
    holders: u32,
    waiting: u32,
}

impl<'a> Reply<'a> {
    /// Returns the body, read little-endian, if it is a single 64-bit number, as most are.
    pub fn word(&self) -> Option<u64> {
        match *self {
            Reply::Int(value) => Some(value.cast_unsigned()),
            Reply::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Reply::Unit => {}
            Reply::Int(value) => body::encode(&value, out),
            Reply::Bool(value) => body::encode(&value, out),
            Reply::Number(number) => body::encode(&number, out),
            Reply::IntSwapped { value, swapped } => {
                body::encode(&IntSwappedBody { value, swapped }, out);
            }
            Reply::BoolSwapped { value, swapped } => {
                body::encode(&BoolSwappedBody { value, swapped }, out);
            }
            Reply::VersionSwapped { version, swapped } => {
                body::encode(&VersionSwappedBody { version, swapped }, out);
            }
            Reply::Appended { version, length } => {
                body::encode(&AppendedBody { version, length }, out);
            }
            Reply::Cell { version, bytes } => {
                let (newer, bytes) = (bytes.is_some(), bytes.unwrap_or_default());
                body::encode(&CellBody { version, newer, bytes }, out);
            }
            Reply::Vector { version, columns, elements } => {
                let newer = elements.is_some();
                let elements = elements.unwrap_or(Elements::F64(&[])).part();
                body::encode(&VectorBody { version, columns, newer, elements }, out);
            }
            Reply::Round { round, elements } => {
                body::encode(&RoundBody { round, elements: elements.part() }, out);
            }
            Reply::Seats(ref state) => body::encode_owned(state, out),
            Reply::Value(bytes) => {
                let (present, bytes) = (bytes.is_some(), bytes.unwrap_or_default());
                body::encode(&ValueBody { present, bytes }, out);
            }
            Reply::Page { at, more, ref items } => {
                body::encode(&PageBody { at, more, items: items.items().part() }, out);
            }
            Reply::Found { found, at } => body::encode(&FoundBody { at, found }, out),
            Reply::Granted { granted, token } => {
                body::encode(&GrantedBody { token, granted }, out);
            }
            Reply::Claimed { token, bytes } => {
                let (present, bytes) = (bytes.is_some(), bytes.unwrap_or_default());
                body::encode(&ClaimedBody { token, present, bytes }, out);
            }
            Reply::Permits { available, permits, holders, waiting } => {
                body::encode(&PermitsBody { available, permits, holders, waiting }, out);
            }
            Reply::Scalar(scalar) => body::encode(&scalar.part(), out),
            Reply::Listing(ref listing) => listing::encode(listing, out),
            Reply::Inspection(ref inspection) => body::encode_owned(&**inspection, out),
            Reply::Usage(ref usage) => body::encode(usage, out),
            Reply::Stats(ref stats) => body::encode(&**stats, out),
            Reply::Monitored(ref monitored) => body::encode_owned(monitored, out),
        }
    }

    /// Validates the body of a reply to an op whose status is `Ok`, and borrows the result from it.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(code: OpCode, body: &'a [u8]) -> Result<Reply<'a>, Fault> {
        Ok(match code.reply() {
            ReplyShape::Empty => {
                body::decode_empty(body)?;
                Reply::Unit
            }
            ReplyShape::Int => Reply::Int(body::decode::<i64_le>(body)?.to_native()),
            ReplyShape::Bool => Reply::Bool(*body::decode::<bool>(body)?),
            ReplyShape::Number => Reply::Number(body::decode::<u64_le>(body)?.to_native()),
            ReplyShape::IntSwapped => {
                let swap = body::decode::<ArchivedIntSwappedBody>(body)?;
                Reply::IntSwapped { value: swap.value.to_native(), swapped: swap.swapped }
            }
            ReplyShape::BoolSwapped => {
                let swap = body::decode::<ArchivedBoolSwappedBody>(body)?;
                Reply::BoolSwapped { value: swap.value, swapped: swap.swapped }
            }
            ReplyShape::VersionSwapped => {
                let swap = body::decode::<ArchivedVersionSwappedBody>(body)?;
                Reply::VersionSwapped { version: swap.version.to_native(), swapped: swap.swapped }
            }
            ReplyShape::Appended => {
                let append = body::decode::<ArchivedAppendedBody>(body)?;
                Reply::Appended {
                    version: append.version.to_native(),
                    length: append.length.to_native(),
                }
            }
            ReplyShape::Cell => {
                let cell = body::decode::<ArchivedCellBody<'a>>(body)?;
                Reply::Cell {
                    version: cell.version.to_native(),
                    bytes: cell.newer.then_some(&*cell.bytes),
                }
            }
            ReplyShape::Vector => {
                let vector = body::decode::<ArchivedVectorBody<'a>>(body)?;
                let elements = Elements::read(&vector.elements)?;
                Reply::Vector {
                    version: vector.version.to_native(),
                    columns: vector.columns.to_native(),
                    elements: vector.newer.then_some(elements),
                }
            }
            ReplyShape::Round => {
                let round = body::decode::<ArchivedRoundBody<'a>>(body)?;
                let elements = Elements::read(&round.elements)?;
                Reply::Round { round: round.round.to_native(), elements }
            }
            ReplyShape::Seats => {
                let state = body::decode::<ArchivedSeatState>(body)?;
                Reply::Seats(body::owned(rkyv::deserialize::<_, Failure>(state))?)
            }
            ReplyShape::Value => {
                let value = body::decode::<ArchivedValueBody<'a>>(body)?;
                Reply::Value(value.present.then_some(&*value.bytes))
            }
            ReplyShape::Page => {
                let page = body::decode::<ArchivedPageBody<'a>>(body)?;
                let items = Items::read(&page.items)?.into();
                Reply::Page { at: page.at.to_native(), more: page.more, items }
            }
            ReplyShape::Found => {
                let found = body::decode::<ArchivedFoundBody>(body)?;
                Reply::Found { found: found.found, at: found.at.to_native() }
            }
            ReplyShape::Granted => {
                let grant = body::decode::<ArchivedGrantedBody>(body)?;
                Reply::Granted { granted: grant.granted, token: grant.token.to_native() }
            }
            ReplyShape::Claimed => {
                let claim = body::decode::<ArchivedClaimedBody<'a>>(body)?;
                Reply::Claimed {
                    token: claim.token.to_native(),
                    bytes: claim.present.then_some(&*claim.bytes),
                }
            }
            ReplyShape::Permits => {
                let state = body::decode::<ArchivedPermitsBody>(body)?;
                Reply::Permits {
                    available: state.available.to_native(),
                    permits: state.permits.to_native(),
                    holders: state.holders.to_native(),
                    waiting: state.waiting.to_native(),
                }
            }
            ReplyShape::Scalar => {
                Reply::Scalar(Scalar::read(body::decode::<ArchivedScalarBody>(body)?)?)
            }
            ReplyShape::Listing => Reply::Listing(listing::decode(body)?),
            ReplyShape::Inspection => {
                let inspection = body::decode::<ArchivedInspection>(body)?;
                let inspection = body::owned(rkyv::deserialize::<_, Failure>(inspection))?;
                Reply::Inspection(Box::new(inspection))
            }
            ReplyShape::Usage => Reply::Usage(body::decode::<ArchivedUsage>(body)?.into()),
            ReplyShape::Stats => {
                let stats = body::decode::<ArchivedStats>(body)?;
                Reply::Stats(Box::new(body::owned(rkyv::deserialize::<_, Failure>(stats))?))
            }
            ReplyShape::Monitored => {
                let monitored = body::decode::<ArchivedMonitored>(body)?;
                Reply::Monitored(body::owned(rkyv::deserialize::<_, Failure>(monitored))?)
            }
        })
    }
}
