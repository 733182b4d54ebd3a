//! Ops on a cell: bytes with a version that grows with every change.

use rkyv::rend::u64_le;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body::{self, ArchivedBytesBody, BytesBody};
use crate::status::Fault;

/// What can be asked of a cell. A cell that nobody wrote is empty and has version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellOp<'a> {
    /// Answers version and bytes.
    Get,
    /// Answers version and bytes if the version is above `version`, else only the version.
    GetIfNewer {
        /// The version the caller has.
        version: u64,
    },
    /// Answers version and the bytes from `from`, at most `length` of them. `OutOfRange` if `from`
    /// lies behind the end.
    ReadRange {
        /// The first byte to read.
        from: u64,
        /// How many at most.
        length: u64,
    },
    /// Replaces the bytes. Answers the new version.
    Set {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes. Answers the old version and bytes.
    Swap {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes if the version is `version`. Answers whether it was, and the version now.
    CompareVersionAndSet {
        /// The version that must be there; 0 for a cell nobody wrote.
        version: u64,
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Replaces the bytes if they are `expected`. Answers whether they were, and the version now.
    CompareAndSet {
        /// The bytes that must be there.
        expected: &'a [u8],
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Appends. Answers the new version and length.
    Append {
        /// The bytes to append.
        bytes: &'a [u8],
    },
    /// Replaces the bytes, unless a higher token was seen: `StaleToken`. Answers the new version.
    SetWithToken {
        /// The token of the lock or permit under which this is done. The cell remembers the highest.
        token: u64,
        /// The bytes to set.
        bytes: &'a [u8],
    },
}

#[derive(Archive, Serialize)]
struct RangeBody {
    from: u64,
    length: u64,
}

#[derive(Archive, Serialize)]
struct VersionedBody<'a> {
    version: u64,
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

#[derive(Archive, Serialize)]
struct CompareAndSetBody<'a> {
    #[rkyv(with = InlineAsBox)]
    expected: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

#[derive(Archive, Serialize)]
struct FencedBody<'a> {
    token: u64,
    #[rkyv(with = InlineAsBox)]
    bytes: &'a [u8],
}

impl<'a> CellOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            CellOp::Get => OpCode::CellGet,
            CellOp::GetIfNewer { .. } => OpCode::CellGetIfNewer,
            CellOp::ReadRange { .. } => OpCode::CellReadRange,
            CellOp::Set { .. } => OpCode::CellSet,
            CellOp::Swap { .. } => OpCode::CellSwap,
            CellOp::CompareVersionAndSet { .. } => OpCode::CellCompareVersionAndSet,
            CellOp::CompareAndSet { .. } => OpCode::CellCompareAndSet,
            CellOp::Append { .. } => OpCode::CellAppend,
            CellOp::SetWithToken { .. } => OpCode::CellSetWithToken,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            CellOp::Get => {}
            CellOp::GetIfNewer { version } => body::encode(&version, out),
            CellOp::ReadRange { from, length } => body::encode(&RangeBody { from, length }, out),
            CellOp::Set { bytes } | CellOp::Swap { bytes } | CellOp::Append { bytes } => {
                body::encode(&BytesBody { bytes }, out);
            }
            CellOp::CompareVersionAndSet { version, bytes } => {
                body::encode(&VersionedBody { version, bytes }, out);
            }
            CellOp::CompareAndSet { expected, bytes } => {
                body::encode(&CompareAndSetBody { expected, bytes }, out);
            }
            CellOp::SetWithToken { token, bytes } => {
                body::encode(&FencedBody { token, bytes }, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<CellOp<'a>, Fault> {
        let bytes = || Ok::<&'a [u8], Fault>(&body::decode::<ArchivedBytesBody<'a>>(body)?.bytes);
        Ok(match code {
            OpCode::CellGet => {
                body::decode_empty(body)?;
                CellOp::Get
            }
            OpCode::CellGetIfNewer => {
                CellOp::GetIfNewer { version: body::decode::<u64_le>(body)?.to_native() }
            }
            OpCode::CellReadRange => {
                let range = body::decode::<ArchivedRangeBody>(body)?;
                CellOp::ReadRange { from: range.from.to_native(), length: range.length.to_native() }
            }
            OpCode::CellSet => CellOp::Set { bytes: bytes()? },
            OpCode::CellSwap => CellOp::Swap { bytes: bytes()? },
            OpCode::CellCompareVersionAndSet => {
                let set = body::decode::<ArchivedVersionedBody<'a>>(body)?;
                CellOp::CompareVersionAndSet { version: set.version.to_native(), bytes: &set.bytes }
            }
            OpCode::CellCompareAndSet => {
                let set = body::decode::<ArchivedCompareAndSetBody<'a>>(body)?;
                CellOp::CompareAndSet { expected: &set.expected, bytes: &set.bytes }
            }
            OpCode::CellAppend => CellOp::Append { bytes: bytes()? },
            OpCode::CellSetWithToken => {
                let set = body::decode::<ArchivedFencedBody<'a>>(body)?;
                CellOp::SetWithToken { token: set.token.to_native(), bytes: &set.bytes }
            }
            _ => misrouted(code),
        })
    }
}
