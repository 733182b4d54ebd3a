//! What comes back: a [`Reply`] when the status is `Ok`, a [`Refusal`] otherwise.

use rkyv::rancor::Failure;
use rkyv::rend::{i64_le, u64_le};
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body::{self, ArchivedBytesBody, BytesBody, Elements, ElementsBody};
use crate::op::OpCode;
use crate::status::{Fault, Status};

/// The result of an op, borrowed from the object on one side and from the frame on the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// Nothing to say.
    Unit,
    /// The value of a counter.
    Int(i64),
    /// The value of a flag; for a delete, whether there was an object.
    Bool(bool),
    /// A version, generation, or number of missing parties.
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
}

/// The state of a barrier, latch or reduction: the round in progress and who is missing in it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatState {
    /// The round or generation in progress; 0 for a latch.
    pub round: u64,
    /// How many have come.
    pub arrived: u32,
    /// How many are needed; 0 if nobody said yet.
    pub parties: u32,
    /// Requests that wait here.
    pub waiting: u32,
    /// Those known to be missing, by name, at most
    /// [`MISSING_NAMED_MAX`](crate::limits::MISSING_NAMED_MAX).
    pub missing: Vec<String>,
}

/// Who a timed-out wait was waiting for.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many had come.
    pub arrived: u32,
    /// How many were needed.
    pub parties: u32,
    /// Those known to be missing, by name, at most
    /// [`MISSING_NAMED_MAX`](crate::limits::MISSING_NAMED_MAX).
    pub names: Vec<String>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Refused, with the numbers that explain it.
    Fault(Fault),
    /// The wait ran out of time.
    Timeout(Missing),
    /// The barrier was broken, and why.
    Broken(String),
}

impl Refusal {
    /// The status that goes into the header.
    pub fn status(&self) -> Status {
        match self {
            Refusal::Fault(fault) => fault.status,
            Refusal::Timeout(_) => Status::Timeout,
            Refusal::Broken(_) => Status::Broken,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            // The status decides what the reader takes the body for, however it was put here.
            Refusal::Fault(Fault { status: Status::Timeout, .. }) => {
                encode_owned(&Missing::default(), out);
            }
            Refusal::Fault(Fault { status: Status::Broken, .. }) => {
                body::encode(&BytesBody { bytes: &[] }, out);
            }
            Refusal::Fault(Fault { expected, got, .. }) => {
                body::encode(&FaultBody { expected: *expected, got: *got }, out);
            }
            Refusal::Timeout(missing) => encode_owned(missing, out),
            Refusal::Broken(reason) => body::encode(&BytesBody { bytes: reason.as_bytes() }, out),
        }
    }

    /// Reads the body of a reply whose status is not `Ok`.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(status: Status, bytes: &[u8]) -> Result<Refusal, Fault> {
        Ok(match status {
            Status::Timeout => {
                let missing = body::decode::<ArchivedMissing>(bytes)?;
                Refusal::Timeout(owned(rkyv::deserialize::<_, Failure>(missing))?)
            }
            Status::Broken => {
                let reason = &body::decode::<ArchivedBytesBody<'_>>(bytes)?.bytes;
                Refusal::Broken(body::text(reason)?.to_owned())
            }
            _ => {
                let fault = body::decode::<ArchivedFaultBody>(bytes)?;
                let (expected, got) = (fault.expected.to_native(), fault.got.to_native());
                Refusal::Fault(Fault { status, expected, got })
            }
        })
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Fault(fault) => fault.fmt(f),
            Refusal::Broken(reason) => write!(f, "the barrier was broken: {reason}"),
            Refusal::Timeout(Missing { arrived, parties, names }) => {
                write!(f, "the wait ran out of time with {arrived} of {parties} parties there")?;
                if !names.is_empty() {
                    write!(f, "; missing: {}", names.join(", "))?;
                }
                Ok(())
            }
        }
    }
}

#[derive(Archive, Serialize)]
struct FaultBody {
    expected: u64,
    got: u64,
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
            Reply::Seats(ref state) => encode_owned(state, out),
        }
    }

    /// Validates the body of a reply to an op whose status is `Ok`, and borrows the result from it.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(code: OpCode, body: &'a [u8]) -> Result<Reply<'a>, Fault> {
        Ok(match code {
            OpCode::SessionOpen | OpCode::SessionClose => {
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
            OpCode::ObjectDelete | OpCode::FlagGet | OpCode::FlagSet | OpCode::FlagSwap => {
                Reply::Bool(*body::decode::<bool>(body)?)
            }
            OpCode::CellSet
            | OpCode::VectorInit
            | OpCode::VectorSet
            | OpCode::VectorAdd
            | OpCode::BarrierArrive
            | OpCode::BarrierArriveAndWait
            | OpCode::BarrierReset
            | OpCode::BarrierBreak
            | OpCode::LatchCountDown
            | OpCode::LatchWait => Reply::Number(body::decode::<u64_le>(body)?.to_native()),
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
            OpCode::VectorGet | OpCode::VectorGetIfNewer => {
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
                Reply::Seats(owned(rkyv::deserialize::<_, Failure>(state))?)
            }
        })
    }
}

/// Writes a body that is not flat; such bodies are rare and off the data path.
fn encode_owned<T>(value: &T, out: &mut Vec<u8>)
where
    T: for<'o, 'a> Serialize<
        rkyv::api::high::HighSerializer<
            &'o mut Vec<u8>,
            rkyv::ser::allocator::ArenaHandle<'a>,
            Failure,
        >,
    >,
{
    let written = rkyv::api::high::to_bytes_in::<_, Failure>(value, &mut *out);
    assert!(written.is_ok(), "a Vec takes all that is written");
}

fn owned<T>(value: Result<T, Failure>) -> Result<T, Fault> {
    value.map_err(|Failure| Fault::new(Status::BadBody))
}
