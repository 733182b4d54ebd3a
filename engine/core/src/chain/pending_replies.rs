//! Replies that wait until the entries they depend on are committed.
//!
//! 1. Replies are sent in the order in which they were added, and none before the entry that it
//!    depends on is committed.
//! 2. Each reply is encoded once, into one buffer that is reused.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use catena_protocol::Header;

use super::outbox::ReplicaOutbox;
use crate::shard::{Answered, ConnId, Output};
use crate::time::Time;

/// Replies of a shard that are not sent yet.
#[derive(Debug, Default)]
pub(crate) struct PendingReplies {
    queue: VecDeque<PendingReply>,
    /// The encoded replies, one after the other, beginning at `start`.
    bytes: Vec<u8>,
    start: usize,
    /// The number of replies at the end of the queue that have no index yet.
    unsealed: usize,
}

#[derive(Debug)]
struct PendingReply {
    /// The entry on which it depends.
    index: u64,
    conn: ConnId,
    len: usize,
    answered: Answered,
}

/// Bytes already sent stay in front of the others until there are this many.
const SENT_BYTES_MAX: usize = 64 * 1024;

impl PendingReplies {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a reply; [`PendingReplies::seal`] sets the entry on which it depends.
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
        self.queue.push_back(PendingReply { index: u64::MAX, conn, len, answered });
        self.unsealed += 1;
    }

    /// Makes the replies pushed since the last call depend on the entry `index`.
    pub(crate) fn seal(&mut self, index: u64) {
        let sealed = self.queue.len() - self.unsealed;
        for reply in self.queue.range_mut(sealed..) {
            reply.index = index;
        }
        self.unsealed = 0;
    }

    /// Drops the replies pushed since the last [`PendingReplies::seal`]; returns whether there were
    /// any.
    pub(crate) fn retract(&mut self) -> bool {
        let unsealed = self.queue.split_off(self.queue.len() - self.unsealed);
        let len: usize = unsealed.iter().map(|reply| reply.len).sum();
        self.bytes.truncate(self.bytes.len() - len);
        self.unsealed = 0;
        !unsealed.is_empty()
    }

    /// Sends the replies that depend on no entry after `committed`. Consecutive replies to one
    /// connection are sent in one piece.
    pub(crate) fn release(&mut self, committed: u64, out: &mut impl ReplicaOutbox) {
        while let Some(PendingReply { conn, mut len, answered, .. }) =
            self.queue.pop_front_if(|reply| reply.index <= committed)
        {
            out.answered(answered);
            let is_next = |next: &mut PendingReply| next.index <= committed && next.conn == conn;
            while let Some(next) = self.queue.pop_front_if(is_next) {
                out.answered(next.answered);
                len += next.len;
            }
            out.send_encoded(conn, &self.bytes[self.start..self.start + len]);
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

    /// Drops all replies.
    pub(crate) fn clear(&mut self) {
        *self = PendingReplies::default();
    }
}
