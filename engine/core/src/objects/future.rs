//! A value that is set once, and the requests that wait for it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use catena_protocol::op::FutureOp;
use catena_protocol::{Missing, Refusal, Reply};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{Growth, ObjectKind, SharedObject};
use super::state::{blob, check};
use super::tree::tree_bytes;
use super::{
    Applied, Description, StoredReply, Turn, WaiterId, check_len, check_reason, check_waiters,
};
use crate::config::CELL_BYTES_MAX;

/// A future; pending until it is set or cancelled, which is final.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Future {
    state: FutureState,
    waiters: BTreeSet<WaiterId>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
enum FutureState {
    #[default]
    Pending,
    /// All replies share the bytes of `answer`.
    Set {
        #[serde(with = "blob")]
        value: Box<[u8]>,
        /// Follows from the value.
        #[serde(skip, default = "unknown")]
        answer: StoredReply,
    },
    /// The reason of the cancellation.
    Cancelled(Box<str>),
}

impl ObjectKind for Future {
    type Op<'o> = FutureOp<'o>;

    fn growth(op: &FutureOp<'_>) -> Growth {
        match op {
            // A reason is short, and must reach the waiting requests even if memory is short.
            FutureOp::Cancel { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &FutureOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        match (op, &self.state) {
            (FutureOp::State, FutureState::Pending) => Ok(Reply::Number(0)),
            (FutureOp::State, FutureState::Set { .. }) => Ok(Reply::Number(1)),
            (FutureOp::State, FutureState::Cancelled(_)) => Ok(Reply::Number(2)),
            (FutureOp::Peek, FutureState::Pending) => Ok(Reply::Value(None)),
            (FutureOp::Peek, FutureState::Set { value, .. }) => Ok(Reply::Value(Some(value))),
            (FutureOp::Peek, FutureState::Cancelled(reason)) => {
                Err(Refusal::Broken(reason.to_string()))
            }
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &FutureOp<'_>) -> Result<(), Refusal> {
        match (*op, &self.state) {
            (FutureOp::Set { .. } | FutureOp::Get, FutureState::Cancelled(reason)) => {
                Err(Refusal::Broken(reason.to_string()))
            }
            (FutureOp::Set { bytes }, _) => Ok(check_len(bytes.len(), CELL_BYTES_MAX)?),
            (FutureOp::Cancel { reason }, _) => Ok(check_reason(reason)?),
            (FutureOp::Get, FutureState::Pending) => Ok(check_waiters(self.waiters.len())?),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, op: &FutureOp<'_>, turn: &mut Turn<'_>) -> Applied {
        let is_pending = matches!(self.state, FutureState::Pending);
        match *op {
            FutureOp::Set { bytes } if is_pending => {
                let answer = turn.store(&Reply::Value(Some(bytes)));
                turn.release(core::mem::take(&mut self.waiters), &answer);
                self.state = FutureState::Set { value: bytes.into(), answer };
                turn.done(&Reply::Bool(true))
            }
            FutureOp::Cancel { reason } if is_pending => {
                let answer = StoredReply::refusal(&Refusal::Broken(reason.into()));
                turn.release(core::mem::take(&mut self.waiters), &answer);
                self.state = FutureState::Cancelled(reason.into());
                turn.done(&Reply::Bool(true))
            }
            FutureOp::Set { .. } | FutureOp::Cancel { .. } => {
                turn.unchanged();
                turn.done(&Reply::Bool(false))
            }
            FutureOp::Get => {
                turn.unchanged();
                match &self.state {
                    FutureState::Set { answer, .. } => Applied::Done(answer.clone()),
                    FutureState::Pending => {
                        self.waiters.insert(turn.waiter);
                        Applied::Parked
                    }
                    FutureState::Cancelled(_) => {
                        unreachable!("the check refuses a cancelled future")
                    }
                }
            }
            FutureOp::State | FutureOp::Peek => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        if let FutureState::Set { value, answer } = &mut self.state {
            check(value.len() <= CELL_BYTES_MAX, "a future is too large")?;
            *answer = StoredReply::of(&Reply::Value(Some(value)), &mut Vec::new());
        }
        let may_wait = matches!(self.state, FutureState::Pending);
        check(may_wait || self.waiters.is_empty(), "a request waits for a future that is completed")
    }
}

impl SharedObject for Future {
    fn describe(&self) -> Description {
        let detail = match &self.state {
            FutureState::Pending => format!("pending, {} waiting", self.waiters.len()),
            FutureState::Set { value, .. } => format!("set, {} bytes", value.len()),
            FutureState::Cancelled(reason) => format!("cancelled: {reason}"),
        };
        Description { detail, ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        let state = match &self.state {
            FutureState::Pending => 0,
            FutureState::Set { value, answer } => value.len() as u64 + answer.bytes(),
            FutureState::Cancelled(reason) => reason.len() as u64,
        };
        size_of::<Future>() as u64 + state + tree_bytes::<WaiterId, ()>(self.waiters.len())
    }

    fn waiters(&self) -> Vec<WaiterId> {
        self.waiters.iter().copied().collect()
    }

    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        turn.unchanged();
        self.waiters.remove(&waiter);
        Missing::default()
    }
}

/// A placeholder until `complete_restored` computes the answer.
fn unknown() -> StoredReply {
    StoredReply::Word(0)
}
