//! What comes back when the status is `Ok`.

use rkyv::rancor::Failure;
use rkyv::rend::i64_le;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body::{self, Elements, ElementsBody, Scalar, ScalarBody};
use crate::items::{ItemsBody, PageItems};
use crate::listing::{self, Listing};
use crate::op::OpCode;
use crate::report::{ArchivedInspection, ArchivedStats, ArchivedUsage, Inspection, Stats, Usage};
use crate::status::Fault;

/// The result of an op, borrowed from the object on one side and from the frame on the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// Nothing to say.
    Unit,
    /// The value of a counter.
    Int(i64),
    /// The value of a flag; for other ops, whether what they say was so.
    Bool(bool),
    /// A version, generation or round, or how many there are or were.
    Number(u64),
    /// A counter's compare-and-swap.
    IntSwapped {
        /// The value now.
        value: i64,
        /// Whether it was exchanged.
        swapped: bool,
    },
    /// A flag's compare-and-swap.
    BoolSwapped {
        /// The value now.
        value: bool,
        /// Whether it was exchanged.
        swapped: bool,
    },
    /// A cell's compare-and-set.
    VersionSwapped {
        /// The version now.
        version: u64,
        /// Whether the bytes were exchanged.
        swapped: bool,
    },
    /// Version and length of a cell that was appended to.
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
        /// The bytes; `None` if they are not newer than what the caller has.
        bytes: Option<&'a [u8]>,
    },
    /// Version, shape and elements of a vector.
    Vector {
        /// The version of the elements.
        version: u64,
        /// Elements a row.
        columns: u32,
        /// The elements, row by row; `None` if they are not newer than what the caller has.
        elements: Option<Elements<'a>>,
    },
    /// A round that is complete.
    Round {
        /// Which.
        round: u64,
        /// The result.
        elements: Elements<'a>,
    },
    /// Who has come and who has not.
    Seats(SeatState),
    /// A value, or that there is none.
    Value(Option<&'a [u8]>),
    /// Some of many.
    Page {
        /// The place of the first item: its index in a list, the number of a line, else 0.
        at: u64,
        /// Whether there are more behind the last item.
        more: bool,
        /// The items; keys and values in turn if entries were asked for.
        items: PageItems<'a>,
    },
    /// Where an item is.
    Found {
        /// Whether it is anywhere.
        found: bool,
        /// Its index, 0 if it is not.
        at: u64,
    },
    /// Permits, or the lock.
    Granted {
        /// Whether they were.
        granted: bool,
        /// The token of the grant, larger than all before; 0 if there is none.
        token: u64,
    },
    /// An item on loan.
    Claimed {
        /// The token of the claim, larger than all before; 0 if there is none.
        token: u64,
        /// The item; `None` if there was none.
        bytes: Option<&'a [u8]>,
    },
    /// How a semaphore or lock stands.
    Permits {
        /// Permits that are free.
        available: u32,
        /// Permits there are in all.
        permits: u32,
        /// How many grants are held.
        holders: u32,
        /// Requests that wait here.
        waiting: u32,
    },
    /// A number of the vector's type.
    Scalar(Scalar),
    /// Named objects.
    Listing(Listing<'a>),
    /// Everything about an object. Boxed to keep a reply small.
    Inspection(Box<Inspection>),
    /// What objects take and may take.
    Usage(Usage),
    /// What a shard and its core are doing. Boxed to keep a reply small.
    Stats(Box<Stats>),
}

// Replies are handed on by value, also those to the smallest of ops.
const _: () = assert!(size_of::<Reply<'_>>() <= 64);

/// The state of a barrier, latch or reduction: the round in progress and who is missing in it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatState {
    /// The round or generation in progress; 0 for a latch.
    pub round: u64,
    /// How many have come.
    pub arrived: u32,
    /// How many are needed: all but those that are dropped; 0 if nobody said yet.
    pub parties: u32,
    /// Requests that wait here.
    pub waiting: u32,
    /// Those known to be missing, by name, at most
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
    /// The body of a reply that is a single 64-bit number, as most are, read little-endian.
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
                let elements = elements.unwrap_or(Elements::F64(&[])).into();
                body::encode(&VectorBody { version, columns, newer, elements }, out);
            }
            Reply::Round { round, elements } => {
                body::encode(&RoundBody { round, elements: elements.into() }, out);
            }
            Reply::Seats(ref state) => body::encode_owned(state, out),
            Reply::Value(bytes) => {
                let (present, bytes) = (bytes.is_some(), bytes.unwrap_or_default());
                body::encode(&ValueBody { present, bytes }, out);
            }
            Reply::Page { at, more, ref items } => {
                body::encode(&PageBody { at, more, items: items.items().into() }, out);
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
            Reply::Scalar(scalar) => body::encode(&ScalarBody::from(scalar), out),
            Reply::Listing(ref listing) => listing::encode(listing, out),
            Reply::Inspection(ref inspection) => body::encode_owned(&**inspection, out),
            Reply::Usage(ref usage) => body::encode(usage, out),
            Reply::Stats(ref stats) => body::encode(&**stats, out),
        }
    }

    /// Validates the body of a reply to an op whose status is `Ok`, and borrows the result from it.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(code: OpCode, body: &'a [u8]) -> Result<Reply<'a>, Fault> {
        Ok(match code {
            OpCode::SessionOpen | OpCode::SessionClose | OpCode::ScopeQuota => {
                body::decode_empty(body)?;
                Reply::Unit
            }
            OpCode::CounterGet
            | OpCode::CounterSet
            | OpCode::CounterAdd
            | OpCode::CounterFetchAdd
            | OpCode::CounterSwap
            | OpCode::CounterMultiply
            | OpCode::CounterMin
            | OpCode::CounterMax => Reply::Int(body::decode::<i64_le>(body)?.to_native()),
            OpCode::ObjectDelete
            | OpCode::ObjectExpire
            | OpCode::FlagGet
            | OpCode::FlagSet
            | OpCode::FlagSwap
            | OpCode::ListContainsAll
            | OpCode::ListRemoveValue
            | OpCode::ListDone
            | OpCode::ListReturn
            | OpCode::MapContainsKey
            | OpCode::MapContainsValue
            | OpCode::MapPut
            | OpCode::MapPutIfAbsent
            | OpCode::MapCompareAndSwap
            | OpCode::MapRemove
            | OpCode::MapPutWithToken
            | OpCode::SetContains
            | OpCode::SetContainsAll
            | OpCode::SetAdd
            | OpCode::SetRemove
            | OpCode::SemaphoreRelease
            | OpCode::SemaphoreExtend
            | OpCode::LockRelease
            | OpCode::LockExtend
            | OpCode::FutureSet
            | OpCode::FutureCancel => Reply::Bool(*body::decode::<bool>(body)?),
            OpCode::ObjectWaitNewer
            | OpCode::CellSet
            | OpCode::CellSetWithToken
            | OpCode::VectorInit
            | OpCode::VectorSet
            | OpCode::VectorAdd
            | OpCode::VectorAddRows
            | OpCode::VectorScale
            | OpCode::ReductionReset
            | OpCode::ReductionBreak
            | OpCode::BarrierArrive
            | OpCode::BarrierArriveAndWait
            | OpCode::BarrierReset
            | OpCode::BarrierBreak
            | OpCode::LatchCountDown
            | OpCode::LatchWait
            | OpCode::ListLen
            | OpCode::ListPushBack
            | OpCode::ListPushFront
            | OpCode::ListInsert
            | OpCode::ListExtend
            | OpCode::ListRetainAll
            | OpCode::ListRemoveAll
            | OpCode::ListClear
            | OpCode::MapLen
            | OpCode::MapPutAll
            | OpCode::MapMergeAll
            | OpCode::MapClear
            | OpCode::MapRemoveAll
            | OpCode::SetLen
            | OpCode::SetAddAll
            | OpCode::SetRemoveAll
            | OpCode::SetRetainAll
            | OpCode::SetClear
            | OpCode::FutureState
            | OpCode::LogPrint
            | OpCode::ScopeDelete => Reply::Number(body::decode_u64(body)?),
            OpCode::CounterCompareAndSwap => {
                let swap = body::decode::<ArchivedIntSwappedBody>(body)?;
                Reply::IntSwapped { value: swap.value.to_native(), swapped: swap.swapped }
            }
            OpCode::FlagCompareAndSwap => {
                let swap = body::decode::<ArchivedBoolSwappedBody>(body)?;
                Reply::BoolSwapped { value: swap.value, swapped: swap.swapped }
            }
            OpCode::CellCompareVersionAndSet | OpCode::CellCompareAndSet => {
                let swap = body::decode::<ArchivedVersionSwappedBody>(body)?;
                Reply::VersionSwapped { version: swap.version.to_native(), swapped: swap.swapped }
            }
            OpCode::CellAppend => {
                let append = body::decode::<ArchivedAppendedBody>(body)?;
                Reply::Appended {
                    version: append.version.to_native(),
                    length: append.length.to_native(),
                }
            }
            OpCode::CellGet | OpCode::CellGetIfNewer | OpCode::CellReadRange | OpCode::CellSwap => {
                let cell = body::decode::<ArchivedCellBody<'a>>(body)?;
                Reply::Cell {
                    version: cell.version.to_native(),
                    bytes: cell.newer.then_some(&*cell.bytes),
                }
            }
            OpCode::VectorGet | OpCode::VectorGetIfNewer | OpCode::VectorGetRows => {
                let vector = body::decode::<ArchivedVectorBody<'a>>(body)?;
                Reply::Vector {
                    version: vector.version.to_native(),
                    columns: vector.columns.to_native(),
                    elements: vector.newer.then(|| vector.elements.elements()),
                }
            }
            OpCode::ReductionLast | OpCode::ReductionContribute => {
                let round = body::decode::<ArchivedRoundBody<'a>>(body)?;
                Reply::Round { round: round.round.to_native(), elements: round.elements.elements() }
            }
            OpCode::ReductionState | OpCode::BarrierState | OpCode::LatchState => {
                let state = body::decode::<ArchivedSeatState>(body)?;
                Reply::Seats(body::owned(rkyv::deserialize::<_, Failure>(state))?)
            }
            OpCode::ListGet
            | OpCode::ListPopBack
            | OpCode::ListPopFront
            | OpCode::ListPopFrontWait
            | OpCode::ListSet
            | OpCode::ListRemoveAt
            | OpCode::MapGet
            | OpCode::MapTake
            | OpCode::MapSwap
            | OpCode::MapMerge
            | OpCode::FuturePeek
            | OpCode::FutureGet
            | OpCode::UserRead
            | OpCode::UserUpdate => {
                let value = body::decode::<ArchivedValueBody<'a>>(body)?;
                Reply::Value(value.present.then_some(&*value.bytes))
            }
            OpCode::ListRange | OpCode::MapScan | OpCode::SetScan | OpCode::LogTail => {
                let page = body::decode::<ArchivedPageBody<'a>>(body)?;
                let items = page.items.items()?.into();
                Reply::Page { at: page.at.to_native(), more: page.more, items }
            }
            OpCode::ListIndexOf => {
                let found = body::decode::<ArchivedFoundBody>(body)?;
                Reply::Found { found: found.found, at: found.at.to_native() }
            }
            OpCode::SemaphoreAcquire
            | OpCode::SemaphoreTryAcquire
            | OpCode::LockAcquire
            | OpCode::LockTryAcquire => {
                let grant = body::decode::<ArchivedGrantedBody>(body)?;
                Reply::Granted { granted: grant.granted, token: grant.token.to_native() }
            }
            OpCode::ListClaim | OpCode::ListTryClaim => {
                let claim = body::decode::<ArchivedClaimedBody<'a>>(body)?;
                Reply::Claimed {
                    token: claim.token.to_native(),
                    bytes: claim.present.then_some(&*claim.bytes),
                }
            }
            OpCode::SemaphoreState | OpCode::LockState => {
                let state = body::decode::<ArchivedPermitsBody>(body)?;
                Reply::Permits {
                    available: state.available.to_native(),
                    permits: state.permits.to_native(),
                    holders: state.holders.to_native(),
                    waiting: state.waiting.to_native(),
                }
            }
            OpCode::VectorDot | OpCode::VectorSum => Reply::Scalar(body::decode_scalar(body)?),
            OpCode::ScopeList => Reply::Listing(listing::decode(body)?),
            OpCode::ObjectInspect => {
                let inspection = body::decode::<ArchivedInspection>(body)?;
                let inspection = body::owned(rkyv::deserialize::<_, Failure>(inspection))?;
                Reply::Inspection(Box::new(inspection))
            }
            OpCode::ScopeUsage => Reply::Usage(body::decode::<ArchivedUsage>(body)?.into()),
            OpCode::ScopeStats => {
                let stats = body::decode::<ArchivedStats>(body)?;
                Reply::Stats(Box::new(body::owned(rkyv::deserialize::<_, Failure>(stats))?))
            }
        })
    }
}
