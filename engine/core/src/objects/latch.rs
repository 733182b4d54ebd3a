//! A latch: opens for good when all its named parties have counted down.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use catena_protocol::op::LatchOp;
use catena_protocol::{Fault, Missing, Refusal, Reply, SeatState, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{ObjectKind, SharedObject};
use super::state::check;
use super::tree::tree_bytes;
use super::{Applied, Description, Turn, WaiterId, check_seat, check_waiters};

/// A latch; without parties before the first op says how many open it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latch {
    /// The number of parties that open it; 0 before the first op.
    parties: u32,
    /// The parties that have counted down, while it is closed.
    counted: BTreeSet<Box<str>>,
    open: bool,
    waiters: BTreeSet<WaiterId>,
}

impl ObjectKind for Latch {
    type Op<'o> = LatchOp<'o>;

    fn read(&self, op: &LatchOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            LatchOp::State if self.parties == 0 => Err(Fault::new(Status::Absent).into()),
            LatchOp::State => Ok(Reply::Seats(SeatState {
                round: 0,
                arrived: self.parties - self.missing(),
                parties: self.parties,
                waiting: u32::try_from(self.waiters.len()).expect("waiters are bounded"),
                missing: Vec::new(),
            })),
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &LatchOp<'_>) -> Result<(), Refusal> {
        let (party, parties) = match *op {
            LatchOp::CountDown { party, parties } => (Some(party), parties),
            LatchOp::Wait { parties } => (None, parties),
            LatchOp::State => unreachable!("{op:?} is a read"),
        };
        check_seat(party, parties)?;
        if self.parties != 0 && self.parties != parties {
            let (expected, got) = (self.parties.into(), parties.into());
            return Err(Fault::expected(Status::Mismatch, expected, got).into());
        }
        match op {
            LatchOp::Wait { .. } => Ok(check_waiters(self.waiters.len())?),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, op: &LatchOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match *op {
            LatchOp::CountDown { party, parties } => {
                if self.open || self.counted.contains(party) {
                    turn.unchanged();
                } else {
                    self.parties = parties;
                    self.counted.insert(party.into());
                    self.open_if_complete(turn);
                }
                turn.done(&Reply::Number(self.missing().into()))
            }
            LatchOp::Wait { .. } if self.open => {
                turn.unchanged();
                turn.done(&Reply::Number(0))
            }
            LatchOp::Wait { parties } => {
                turn.unchanged();
                self.parties = parties;
                self.waiters.insert(turn.waiter);
                Applied::Parked
            }
            LatchOp::State => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        let Latch { parties, counted, open, waiters } = self;
        let is_over = *open && !(counted.is_empty() && waiters.is_empty());
        check(
            !is_over && counted.len() <= *parties as usize,
            "a latch has too many parties, or is open and has waiters or parties",
        )
    }
}

impl SharedObject for Latch {
    fn describe(&self) -> Description {
        let (parties, missing) = (self.parties, self.missing());
        let detail = format!(
            "{} of {parties} parties, {}",
            parties - missing,
            if self.open { "open" } else { "closed" }
        );
        Description { detail, ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        /// Heap of a name, of a common length.
        const NAME_BYTES: usize = 16;
        let names = self.counted.len() * NAME_BYTES;
        let trees = tree_bytes::<Box<str>, ()>(self.counted.len())
            + tree_bytes::<WaiterId, ()>(self.waiters.len());
        (size_of::<Latch>() + names) as u64 + trees
    }

    fn waiters(&self) -> Vec<WaiterId> {
        self.waiters.iter().copied().collect()
    }

    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        turn.unchanged();
        self.waiters.remove(&waiter);
        let parties = self.parties;
        Missing { arrived: parties - self.missing(), parties, names: Vec::new() }
    }
}

impl Latch {
    fn open_if_complete(&mut self, turn: &mut Turn<'_>) {
        if self.counted.len() < self.parties as usize {
            return;
        }
        self.open = true;
        self.counted.clear();
        let answer = turn.store(&Reply::Number(0));
        turn.release(core::mem::take(&mut self.waiters), &answer);
    }

    fn missing(&self) -> u32 {
        if self.open {
            return 0;
        }
        self.parties - u32::try_from(self.counted.len()).expect("parties are bounded")
    }
}
