//! Ops on a latch: opens for good once enough named parties have counted down.

use rkyv::rend::u32_le;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// What can be asked of a latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchOp<'a> {
    /// Answers how many parties have counted down and how many are needed; `Absent` if nobody asked
    /// for the latch yet.
    State,
    /// Counts down in the name of a party; the same name again changes nothing. Answers how many
    /// are still missing.
    CountDown {
        /// Who counts down: a name of 1 to 64 bytes.
        party: &'a str,
        /// How many parties open the latch; the same for all of them.
        parties: u32,
    },
    /// Waits until the latch is open. Answers 0.
    Wait {
        /// How many parties open the latch; the same for all of them.
        parties: u32,
    },
}

#[derive(Archive, Serialize)]
struct CountDownBody<'a> {
    parties: u32,
    #[rkyv(with = InlineAsBox)]
    party: &'a [u8],
}

impl<'a> LatchOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            LatchOp::State => OpCode::LatchState,
            LatchOp::CountDown { .. } => OpCode::LatchCountDown,
            LatchOp::Wait { .. } => OpCode::LatchWait,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            LatchOp::State => {}
            LatchOp::CountDown { party, parties } => {
                body::encode(&CountDownBody { parties, party: party.as_bytes() }, out);
            }
            LatchOp::Wait { parties } => body::encode(&parties, out),
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<LatchOp<'a>, Fault> {
        Ok(match code {
            OpCode::LatchState => {
                body::decode_empty(body)?;
                LatchOp::State
            }
            OpCode::LatchCountDown => {
                let count = body::decode::<ArchivedCountDownBody<'a>>(body)?;
                LatchOp::CountDown {
                    party: body::text(&count.party)?,
                    parties: count.parties.to_native(),
                }
            }
            OpCode::LatchWait => {
                LatchOp::Wait { parties: body::decode::<u32_le>(body)?.to_native() }
            }
            _ => misrouted(code),
        })
    }
}
