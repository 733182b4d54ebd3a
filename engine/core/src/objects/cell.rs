//! Bytes with compare-and-swap by version or value, and with fencing tokens.

use alloc::format;
use alloc::vec::Vec;
use catena_protocol::op::CellOp;
use catena_protocol::{Fault, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{ObjectKind, SharedObject};
use super::state::{check, roomy_bytes};
use super::{Applied, Description, Turn, check_len, check_stored};
use crate::config::CELL_BYTES_MAX;
use crate::prefetch::{LINE_BYTES, prefetch};

/// A cell; empty before the first write. Writes reuse its memory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    #[serde(with = "roomy_bytes")]
    bytes: Vec<u8>,
    /// The highest fencing token of a write.
    fence: u64,
}

impl ObjectKind for Cell {
    type Op<'o> = CellOp<'o>;

    fn read(&self, op: &CellOp<'_>, version: u64) -> Result<Reply<'_>, Refusal> {
        match *op {
            CellOp::Get => Ok(Reply::Cell { version, bytes: Some(&self.bytes) }),
            CellOp::GetIfNewer { version: seen } => {
                Ok(Reply::Cell { version, bytes: (version > seen).then_some(&self.bytes[..]) })
            }
            CellOp::ReadRange { from, length } => {
                let len = self.bytes.len() as u64;
                if from > len {
                    return Err(Fault::expected(Status::OutOfRange, len, from).into());
                }
                let upto = from.saturating_add(length).min(len);
                Ok(Reply::Cell { version, bytes: Some(&self.bytes[index(from)..index(upto)]) })
            }
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &CellOp<'_>) -> Result<(), Refusal> {
        let len_after = match op {
            CellOp::Append { bytes } => self.bytes.len() + bytes.len(),
            CellOp::Set { bytes }
            | CellOp::Swap { bytes }
            | CellOp::CompareVersionAndSet { bytes, .. }
            | CellOp::CompareAndSet { bytes, .. }
            | CellOp::SetWithToken { bytes, .. } => bytes.len(),
            _ => 0,
        };
        check_len(len_after, CELL_BYTES_MAX)?;
        match op {
            // The reply is the old bytes, and the session has to keep it.
            CellOp::Swap { .. } => Ok(check_stored(self.bytes.len())?),
            CellOp::SetWithToken { token, .. } => Ok(check_token(self.fence, *token)?),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, op: &CellOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match *op {
            CellOp::Set { bytes } => {
                self.replace(bytes);
                turn.done(&Reply::Number(turn.version))
            }
            CellOp::SetWithToken { token, bytes } => {
                self.fence = token;
                self.replace(bytes);
                turn.done(&Reply::Number(turn.version))
            }
            CellOp::Swap { bytes } => {
                let version = turn.version_before;
                let old = Reply::Cell { version, bytes: Some(&self.bytes) };
                let applied = turn.done(&old);
                self.replace(bytes);
                applied
            }
            CellOp::CompareVersionAndSet { version, bytes } => {
                let swapped = turn.version_before == version;
                self.replace_if(swapped, bytes, turn)
            }
            CellOp::CompareAndSet { expected, bytes } => {
                let swapped = self.bytes == expected;
                self.replace_if(swapped, bytes, turn)
            }
            CellOp::Append { bytes } => {
                self.bytes.extend_from_slice(bytes);
                let length = self.bytes.len() as u64;
                turn.done(&Reply::Appended { version: turn.version, length })
            }
            CellOp::Get | CellOp::GetIfNewer { .. } | CellOp::ReadRange { .. } => {
                unreachable!("a read is not applied")
            }
        }
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        check(self.bytes.len() <= CELL_BYTES_MAX, "a cell is too large")
    }
}

impl SharedObject for Cell {
    fn describe(&self) -> Description {
        Description { detail: format!("{} bytes", self.bytes.len()), ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        (size_of::<Cell>() + self.bytes.capacity()) as u64
    }

    fn prefetch(&self) {
        prefetch(self, 1);
    }

    /// Prefetches the first bytes; the cpu's own prefetcher loads the rest.
    fn prefetch_contents(&self) {
        if let Some(first) = self.bytes.first() {
            prefetch(first, self.bytes.len().div_ceil(LINE_BYTES).min(4));
        }
    }
}

impl Cell {
    fn replace_if(&mut self, swapped: bool, bytes: &[u8], turn: &mut Turn<'_>) -> Applied {
        if swapped {
            self.replace(bytes);
        } else {
            turn.unchanged();
        }
        turn.done(&Reply::VersionSwapped { version: turn.version_now(), swapped })
    }

    fn replace(&mut self, bytes: &[u8]) {
        // A cell that shrinks a lot frees memory.
        if bytes.len() < self.bytes.capacity() / 4 {
            self.bytes = Vec::with_capacity(bytes.len());
        }
        self.bytes.clear();
        // The only copy of the bytes: the frame's buffer is reused for the next read.
        self.bytes.extend_from_slice(bytes);
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("the check compares it with a length")
}

/// Refuses a write whose fencing token is older than that of an earlier write: its client has lost
/// the lock that the token is of.
pub(super) fn check_token(fence: u64, token: u64) -> Result<(), Fault> {
    if token >= fence {
        return Ok(());
    }
    Err(Fault::expected(Status::StaleToken, fence, token))
}
