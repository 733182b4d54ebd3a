//! The handle to a cell.

use std::ops::Range;

use catena_protocol::op::CellOp;
use catena_protocol::{Op, Reply};

use super::{Object, Swapped, handle, number};
use crate::Error;
use crate::view::CellView;

handle! {
    /// Bytes with a version that grows with every change. A cell that nobody wrote is empty and has
    /// version 0.
    ///
    /// Reading lends out the bytes where they were received, without a copy: see [`CellView`].
    pub struct Cell: Cell
}

/// Version and length of a cell that was appended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The version now.
    pub version: u64,
    /// The length now, in bytes.
    pub length: u64,
}

/// All methods fail with [`Error`].
impl<'c> Cell<'c> {
    /// Version and bytes.
    pub fn get(&self) -> Result<CellView<'c>, Error> {
        self.read(CellOp::Get)
    }

    /// Version and bytes if the version is above `version`.
    pub fn get_if_newer(&self, version: u64) -> Result<Option<CellView<'c>>, Error> {
        let op = Op::Cell(CellOp::GetIfNewer { version });
        let (held, found) =
            self.client.ask_held(&self.target, op, None, |held, reply| match reply {
                Reply::Cell { version, bytes } => {
                    Some(bytes.map(|bytes| (version, held.place_of(bytes))))
                }
                _ => None,
            })?;
        Ok(found.map(|(version, place)| CellView::new(held, version, place)))
    }

    /// Version and the bytes in `range`, or those of them that are there.
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if it begins behind the end.
    pub fn read_range(&self, range: Range<u64>) -> Result<CellView<'c>, Error> {
        let length = range.end.saturating_sub(range.start);
        self.read(CellOp::ReadRange { from: range.start, length })
    }

    /// Replaces the bytes. Answers the new version.
    pub fn set(&self, bytes: &[u8]) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Cell(CellOp::Set { bytes }), None, number)
    }

    /// Replaces the bytes, under the `token` of a lock, permit or claim. Answers the new version;
    /// [`Status::StaleToken`](crate::Status::StaleToken) if a higher one was seen in this cell:
    /// somebody else holds the lock now.
    pub fn set_with_token(&self, token: u64, bytes: &[u8]) -> Result<u64, Error> {
        let op = Op::Cell(CellOp::SetWithToken { token, bytes });
        self.client.ask(&self.target, op, None, number)
    }

    /// Replaces the bytes. Answers the old version and bytes.
    pub fn swap(&self, bytes: &[u8]) -> Result<CellView<'c>, Error> {
        self.read(CellOp::Swap { bytes })
    }

    /// Replaces the bytes if the version is `version`, which is 0 for a cell that nobody wrote.
    pub fn compare_version_and_set(
        &self,
        version: u64,
        bytes: &[u8],
    ) -> Result<Swapped<u64>, Error> {
        self.exchange(CellOp::CompareVersionAndSet { version, bytes })
    }

    /// Replaces the bytes if they are `expected`.
    pub fn compare_and_set(&self, expected: &[u8], bytes: &[u8]) -> Result<Swapped<u64>, Error> {
        self.exchange(CellOp::CompareAndSet { expected, bytes })
    }

    /// Appends.
    pub fn append(&self, bytes: &[u8]) -> Result<Appended, Error> {
        let op = Op::Cell(CellOp::Append { bytes });
        self.client.ask(&self.target, op, None, |reply| match reply {
            Reply::Appended { version, length } => Some(Appended { version, length }),
            _ => None,
        })
    }

    fn read(&self, op: CellOp<'_>) -> Result<CellView<'c>, Error> {
        let op = Op::Cell(op);
        let (held, (version, place)) =
            self.client.ask_held(&self.target, op, None, |held, reply| match reply {
                Reply::Cell { version, bytes: Some(bytes) } => {
                    Some((version, held.place_of(bytes)))
                }
                _ => None,
            })?;
        Ok(CellView::new(held, version, place))
    }

    fn exchange(&self, op: CellOp<'_>) -> Result<Swapped<u64>, Error> {
        self.client.ask(&self.target, Op::Cell(op), None, |reply| match reply {
            Reply::VersionSwapped { version: now, swapped } => Some(Swapped { swapped, now }),
            _ => None,
        })
    }
}

impl Object for Cell<'_> {
    type Op<'o> = CellOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Cell(op)
    }
}
