//! The replies of a shard, and the outbox that takes them.

use alloc::vec::Vec;
use catena_protocol::{Header, Monitored, ObjectId, Refusal, Reply, ShardId, Stats, Status, frame};

use super::Time;
use crate::objects::StoredReply;

/// The id of a client's connection, given by the driver. Ids are not reused while a shard may still
/// have one, so a reply to a closed connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

impl ConnId {
    /// No connection: nobody waits here for the reply.
    pub const NONE: ConnId = ConnId(u64::MAX);

    /// Returns the connection, unless it is [`ConnId::NONE`].
    pub(super) fn known(self) -> Option<ConnId> {
        (self != ConnId::NONE).then_some(self)
    }
}

/// The outcome of a request. Borrowed, so that bytes are copied once, from the object to the reply
/// buffer.
#[derive(Debug)]
pub enum Output<'a> {
    /// A reply that is one number.
    Word(u64),
    /// A reply.
    Reply(&'a Reply<'a>),
    /// A refusal.
    Refusal(&'a Refusal),
    /// A reply that was encoded before.
    Stored(&'a StoredReply),
}

impl Output<'_> {
    /// Returns the status of the reply.
    pub fn status(&self) -> Status {
        match *self {
            Output::Word(_) | Output::Reply(_) => Status::Ok,
            Output::Refusal(refusal) => refusal.status(),
            Output::Stored(answer) => answer.status(),
        }
    }

    /// Appends the reply frame for the request with header `to`.
    pub fn write(&self, to: &Header, buffer: &mut Vec<u8>) {
        match *self {
            Output::Word(word) => frame::write_word(buffer, to, word),
            Output::Reply(reply) => match reply.word() {
                Some(word) => frame::write_word(buffer, to, word),
                None => frame::write_reply(buffer, to, Ok(reply)),
            },
            Output::Refusal(refusal) => frame::write_reply(buffer, to, Err(refusal)),
            Output::Stored(answer) => answer.write(to, buffer),
        }
    }
}

/// A reply that is sent some time after its request arrived, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The op code on the wire.
    pub op: u16,
    /// The status of the reply.
    pub outcome: Status,
    /// When the request arrived, by the driver's clock.
    pub since: Time,
    /// Whether it waited in the shard, for a lock or another event.
    pub waited: bool,
}

/// Takes the replies of a shard; implemented by its driver.
pub trait Outbox {
    /// Sends `output` to `conn` as the reply to the request with header `to`. Must not fail: a
    /// reply to a closed connection is dropped.
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>);

    /// Sends the reply to a request that has waited in the shard for `waited_us` microseconds.
    fn push_waited(&mut self, conn: ConnId, to: &Header, output: Output<'_>, waited_us: u64) {
        let _ = waited_us;
        self.push(conn, to, output);
    }

    /// Fills in the driver's part of the statistics: the number of the core that serves the shard,
    /// and its connections.
    fn complete(&self, stats: &mut Stats) {
        let _ = stats;
    }

    /// Returns requests that the driver has noted for a shard, behind the first `after`, and goes on
    /// noting so many a second.
    fn monitored(&self, shard: ShardId, after: u64, per_second: u32) -> Monitored {
        let _ = (shard, after, per_second);
        Monitored::default()
    }

    /// Writes a line, which a client has appended to the shared log `log`, to the node's own log as
    /// well. `name` is the name of the shared log, if it has one.
    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        let _ = (log, name, line);
    }
}
