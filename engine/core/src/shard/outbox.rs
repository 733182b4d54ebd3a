//! Where a shard's answers go.

use alloc::vec::Vec;
use catena_protocol::{Header, ObjectId, Refusal, Reply, Stats, Status, frame};

use super::Time;
use crate::objects::StoredReply;

/// A client's connection, as the driver numbers them. Numbers are not reused while a shard may
/// still hold one, so an answer to a connection that is gone goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What a shard has to say. Borrowed, so that bytes go from the object to the reply buffer once.
#[derive(Debug)]
pub enum Output<'a> {
    /// A result that is one number.
    Word(u64),
    /// A result.
    Reply(&'a Reply<'a>),
    /// A refusal.
    Refusal(&'a Refusal),
    /// An answer that was encoded before.
    Stored(&'a StoredReply),
}

impl Output<'_> {
    /// How the request ended.
    pub fn status(&self) -> Status {
        match *self {
            Output::Word(_) | Output::Reply(_) => Status::Ok,
            Output::Refusal(refusal) => refusal.status(),
            Output::Stored(answer) => answer.status(),
        }
    }

    /// Appends it as the reply to the request with header `to`.
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

/// What is to be known of an answer that goes out later than its request came, for whoever counts.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The op, as it is on the wire.
    pub op: u16,
    /// How the request ended.
    pub outcome: Status,
    /// When it came, by the driver's clock.
    pub since: Time,
    /// Whether it waited in the shard for something to happen.
    pub waited: bool,
}

/// What the driver of a shard provides: a place for answers.
pub trait Outbox {
    /// Sends `output` to `conn` as the answer to the request with header `to`. Must not fail: a
    /// connection that is gone takes no more answers, which is fine.
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>);

    /// The same for a request that has waited in the shard for so long.
    fn push_waited(&mut self, conn: ConnId, to: &Header, output: Output<'_>, waited_us: u64) {
        let _ = waited_us;
        self.push(conn, to, output);
    }

    /// Fills in what the driver knows of the core that serves the shard: its number and its connections.
    fn complete(&self, stats: &mut Stats) {
        let _ = stats;
    }

    /// Writes a line that was printed to a shared log, also to the node's own. `name` is the log's,
    /// if it has one.
    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        let _ = (log, name, line);
    }
}
