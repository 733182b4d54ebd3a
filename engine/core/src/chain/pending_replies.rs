//! Answers that wait until what they say is committed.
//!
//! 1. They leave in the order in which they came, none before the entry it was given at is committed.
//! 2. Bytes are encoded once, into one buffer that is reused.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use catena_protocol::Header;

use super::replica::Exits;
use crate::shard::{Answered, ConnId, Output, Time};

/// Answers of a shard that are not sent yet.
#[derive(Debug, Default)]
pub(crate) struct Held {
    answers: VecDeque<Answer>,
    /// The encoded answers, one behind the other from `start` on.
    bytes: Vec<u8>,
    start: usize,
    /// How many answers at the end have no index yet.
    unsealed: usize,
}

#[derive(Debug)]
struct Answer {
    index: u64,
    conn: ConnId,
    len: usize,
    answered: Answered,
}

/// Bytes that were sent may stay in front of the others until they are this many.
const SENT_BYTES_MAX: usize = 64 * 1024;

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Keeps an answer; [`Held::seal`] says until when.
    pub(crate) fn push(
        &mut self,
        conn: ConnId,
        to: &Header,
        output: &Output<'_>,
        since: Time,
        waited: bool,
    ) {
        let before = self.bytes.len();
        output.write(to, &mut self.bytes);
        let len = self.bytes.len() - before;
        let answered = Answered { op: to.op, outcome: output.status(), since, waited };
        self.answers.push_back(Answer { index: u64::MAX, conn, len, answered });
        self.unsealed += 1;
    }

    /// Says that the answers pushed since the last time depend on the entry `index`.
    pub(crate) fn seal(&mut self, index: u64) {
        let sealed = self.answers.len() - self.unsealed;
        for answer in self.answers.range_mut(sealed..) {
            answer.index = index;
        }
        self.unsealed = 0;
    }

    /// Forgets the answers pushed since the last time; says whether there were any.
    pub(crate) fn retract(&mut self) -> bool {
        let unsealed = self.answers.split_off(self.answers.len() - self.unsealed);
        let len: usize = unsealed.iter().map(|answer| answer.len).sum();
        self.bytes.truncate(self.bytes.len() - len);
        self.unsealed = 0;
        !unsealed.is_empty()
    }

    /// Hands over the answers that depend on nothing behind the entry `committed`, those that follow one
    /// another to the same connection in one piece.
    pub(crate) fn release(&mut self, committed: u64, out: &mut impl Exits) {
        while let Some(Answer { conn, mut len, answered, .. }) =
            self.answers.pop_front_if(|answer| answer.index <= committed)
        {
            out.answered(answered);
            let is_next = |next: &mut Answer| next.index <= committed && next.conn == conn;
            while let Some(next) = self.answers.pop_front_if(is_next) {
                out.answered(next.answered);
                len += next.len;
            }
            out.encoded(conn, &self.bytes[self.start..self.start + len]);
            self.start += len;
        }
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > SENT_BYTES_MAX && self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Forgets all answers.
    pub(crate) fn clear(&mut self) {
        *self = Held::default();
    }
}
