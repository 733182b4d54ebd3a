//! Requests exactly as `catena-client` writes them: header, flags, numbers, names.
//!
//! Whatever is measured with Catena's own frames gets them from here, because a server that is sent
//! something else than clients send is measured at something that no user sees. A test in
//! `wire/catena/tests.rs` compares the bytes with those of the client, op by op.

use catena_protocol::limits::SESSION_TTL_MS_DEFAULT;
use catena_protocol::op::SessionOp;
use catena_protocol::{FrameKind, Header, Kind, ObjectId, Op, ShardId, flags, frame, named};

/// What the header of a request says beside the op.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead {
    /// The number of a single node from its Welcome, 0 in a cluster.
    pub(crate) epoch: u32,
    pub(crate) shard: ShardId,
    pub(crate) object: ObjectId,
    /// The session of an update, 0 for a read.
    pub(crate) session: u64,
    /// The number of an update in its session; of a read, among the reads of the client.
    pub(crate) number: u64,
    /// How far `number` is from the last number up to which every reply has arrived; 0 for a read.
    pub(crate) acked_gap: u16,
    /// How long an op may wait on the server.
    pub(crate) deadline_ms: u32,
}

/// Appends a request. `name` is the name of the object, once the server has asked for it.
pub(crate) fn put_request(out: &mut Vec<u8>, head: &RequestHead, name: Option<&str>, op: &Op<'_>) {
    let RequestHead { epoch, shard, object, session, number, acked_gap, deadline_ms } = *head;
    let code = op.code();
    let of_object = !matches!(code.kind(), Kind::Session | Kind::Object | Kind::Scope);
    let header = Header {
        op: code.to_wire(),
        flags: match name {
            Some(_) => flags::NAMED,
            None if of_object && !code.is_read() => flags::NAME_WANTED,
            None => 0,
        },
        deadline_ms,
        shard,
        acked_gap,
        epoch,
        session,
        number,
        object,
        ..Header::new(FrameKind::Request)
    };
    let written = frame::write(out, &header, |out| {
        if let Some(name) = name {
            named::put(name, out);
        }
        op.encode(out);
    });
    written.expect("values are below 16 MiB");
}

/// Appends what opens a session in a shard, born at `born_us` by the clock of the server.
pub(crate) fn put_open(out: &mut Vec<u8>, epoch: u32, shard: ShardId, session: u64, born_us: u64) {
    let open = SessionOp::Open { born_us, nonce: session, ttl_ms: SESSION_TTL_MS_DEFAULT };
    let head = RequestHead {
        epoch,
        shard,
        object: ObjectId(0),
        session,
        number: 0,
        acked_gap: 0,
        deadline_ms: 0,
    };
    put_request(out, &head, None, &Op::Session(open));
}

/// The numbers of a session's updates, and which of them have their reply.
#[derive(Clone, Debug)]
pub(crate) struct SessionNumbers {
    /// The number to draw next.
    next: u64,
    /// The lowest number without a reply; `next` if all have theirs.
    lowest: u64,
    /// Numbers above `lowest` that have their reply.
    early: Vec<u64>,
}

impl SessionNumbers {
    pub(crate) fn new() -> SessionNumbers {
        SessionNumbers { next: 1, lowest: 1, early: Vec::new() }
    }

    /// Returns the number of a new update.
    pub(crate) fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Returns what [`RequestHead::acked_gap`] says of a number without a reply.
    pub(crate) fn acked_gap(&self, number: u64) -> u16 {
        u16::try_from(number - self.lowest + 1)
            .expect("a session has at most 256 updates under way")
    }

    /// Notes that an update has its reply.
    pub(crate) fn answered(&mut self, number: u64) {
        if number > self.lowest {
            self.early.push(number);
            return;
        }
        self.lowest += 1;
        while let Some(at) = self.early.iter().position(|early| *early == self.lowest) {
            self.early.swap_remove(at);
            self.lowest += 1;
        }
    }
}
