//! Replies that wait until the entries they depend on are committed.
//!
//! 1. Replies are sent in the order in which they were added, and none before the entry that it
//!    depends on is committed.
//! 2. Each reply is encoded once, into one buffer that is reused; large ones are shared instead.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use catena_protocol::Header;

use super::outbox::ReplicaOutbox;
use crate::objects::StoredReply;
use crate::shard::{Answered, ConnId, Output};
use crate::time::Time;

/// Replies of a shard that are not sent yet.
#[derive(Debug, Default)]
pub(crate) struct PendingReplies {
    queue: VecDeque<PendingReply>,
    /// The encoded replies, one after the other, beginning at `start`.
    bytes: Vec<u8>,
    start: usize,
    /// Bytes of the large replies, each time that it is in the queue.
    large_bytes: usize,
    /// The number of replies at the end of the queue that have no index yet.
    unsealed: usize,
}

#[derive(Debug)]
struct PendingReply {
    /// The entry on which it depends.
    index: u64,
    conn: ConnId,
    /// Its bytes in the buffer; 0 if it is large.
    len: usize,
    large: Option<Box<LargeReply>>,
    answered: Answered,
}

/// A reply that is encoded when it is sent.
#[derive(Debug)]
struct LargeReply {
    /// The header of the request.
    to: Header,
    reply: StoredReply,
}

impl LargeReply {
    fn len(&self) -> usize {
        self.reply.large_body().map_or(0, |(_, body)| body.len())
    }
}

/// Bytes already sent stay in front of the others until there are this many.
const SENT_BYTES_MAX: usize = 64 * 1024;

/// A buffer that has grown beyond this is freed once it is empty: more than usual replies take.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

impl PendingReplies {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the bytes of the replies, each large one as often as it is to be sent.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() - self.start + self.large_bytes
    }

    /// Returns the memory that they take in bytes. Large ones are in that of their sessions.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
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
        let large = match output {
            Output::Stored(reply) if reply.large_body().is_some() => {
                let large = LargeReply { to: *to, reply: (*reply).clone() };
                self.large_bytes += large.len();
                Some(Box::new(large))
            }
            _ => {
                output.write(to, &mut self.bytes);
                None
            }
        };
        let len = self.bytes.len() - before;
        let answered = Answered { op: to.op, outcome: output.status(), since, waited };
        self.queue.push_back(PendingReply { index: u64::MAX, conn, len, large, answered });
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
        let large = unsealed.iter().filter_map(|reply| reply.large.as_ref());
        self.large_bytes -= large.map(|large| large.len()).sum::<usize>();
        self.unsealed = 0;
        !unsealed.is_empty()
    }

    /// Sends the replies that depend on no entry after `committed`. Consecutive replies to one
    /// connection are sent in one piece.
    pub(crate) fn release(&mut self, committed: u64, out: &mut impl ReplicaOutbox) {
        while let Some(PendingReply { conn, mut len, large, answered, .. }) =
            self.queue.pop_front_if(|reply| reply.index <= committed)
        {
            out.answered(answered);
            if let Some(large) = large {
                self.large_bytes -= large.len();
                out.send_large(conn, &large.to, &large.reply);
                continue;
            }
            let is_next = |next: &mut PendingReply| {
                next.index <= committed && next.conn == conn && next.large.is_none()
            };
            while let Some(next) = self.queue.pop_front_if(is_next) {
                out.answered(next.answered);
                len += next.len;
            }
            out.send_encoded(conn, &self.bytes[self.start..self.start + len]);
            self.start += len;
        }
        if self.start == self.bytes.len() {
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use catena_protocol::{FrameKind, Reply, ShardId};

    use super::*;
    use crate::chain::outbox::ReplicaReport;
    use crate::chain::record::NodeId;
    use crate::shard::Outbox;

    /// What was sent to which connection.
    #[derive(Default)]
    struct Sent(Vec<(ConnId, Vec<u8>)>);

    impl Outbox for Sent {
        fn push(&mut self, _conn: ConnId, _to: &Header, output: Output<'_>) {
            unreachable!("{output:?} does not wait");
        }
    }

    impl ReplicaOutbox for Sent {
        type PeerBuffer<'a> = &'a mut Vec<u8>;

        fn send_encoded(&mut self, conn: ConnId, replies: &[u8]) {
            self.0.push((conn, replies.to_vec()));
        }

        fn peer_buffer(&mut self, _node: NodeId) -> Option<&mut Vec<u8>> {
            None
        }

        fn report(&mut self, _shard: ShardId, report: ReplicaReport) {
            unreachable!("{report:?} is not about replies");
        }
    }

    #[test]
    fn large_replies_keep_their_place_and_are_not_copied() {
        let value = vec![7; 100_000];
        let large = StoredReply::of(&Reply::Value(Some(&value)), &mut Vec::new());
        let to = |number| Header { number, ..Header::new(FrameKind::Request) };
        let replies = [
            (ConnId(1), Output::Word(5)),
            (ConnId(1), Output::Stored(&large)),
            (ConnId(2), Output::Stored(&large)),
            (ConnId(2), Output::Word(6)),
            (ConnId(2), Output::Word(7)),
        ];
        let mut pending = PendingReplies::default();
        let mut expected: Vec<(ConnId, Vec<u8>)> = Vec::new();
        for (number, (conn, output)) in (0..).zip(&replies) {
            pending.push(*conn, &to(number), output, Time::default(), true);
            let mut frame = Vec::new();
            output.write(&to(number), &mut frame);
            match expected.last_mut() {
                Some((last, frames)) if *last == *conn => frames.extend_from_slice(&frame),
                _ => expected.push((*conn, frame)),
            }
        }
        pending.seal(4);
        assert!(pending.memory() < 1_000, "{} bytes are kept", pending.memory());
        assert!(pending.bytes() > 200_000, "{} bytes are to be sent", pending.bytes());
        let mut sent = Sent::default();
        pending.release(3, &mut sent);
        assert!(sent.0.is_empty());
        pending.release(4, &mut sent);
        assert!(pending.is_empty() && pending.bytes() == 0);
        let mut joined: Vec<(ConnId, Vec<u8>)> = Vec::new();
        for (conn, bytes) in sent.0 {
            match joined.last_mut() {
                Some((last, frames)) if *last == conn => frames.extend_from_slice(&bytes),
                _ => joined.push((conn, bytes)),
            }
        }
        assert_eq!(joined, expected);
        // Those that are retracted are gone, whatever their size.
        pending.push(ConnId(1), &to(9), &Output::Stored(&large), Time::default(), true);
        pending.push(ConnId(1), &to(10), &Output::Word(1), Time::default(), true);
        assert!(pending.retract() && pending.is_empty() && pending.bytes() == 0);
    }
}
