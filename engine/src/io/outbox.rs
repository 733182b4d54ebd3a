//! Where the output of a turn goes: replies to connections, frames to peers.

use std::cell::{Ref, RefMut};
use std::fmt;

use catena_protocol::{Header, Monitored, ObjectId, ShardId, Stats};

use super::conn_table::NO_CONN;
use super::core::Core;
use super::core_link::CoreLink;
use catena_core::chain::outbox::{ReplicaOutbox, ReplicaReport};
use catena_core::chain::record::NodeId;
use catena_core::objects::StoredReply;
use catena_core::shard::{Answered, ConnId, Outbox, Output, Time};

/// Appends replies to the buffers of their connections, and frames to those of the links to peers.
pub(super) struct CoreOutbox<'a> {
    core: &'a Core,
    /// The connection being served; its reply buffer is `unsent`.
    current: ConnId,
    unsent: &'a mut Vec<u8>,
    /// The shard whose frames to peers are being collected.
    shard: ShardId,
    links: Ref<'a, Vec<CoreLink>>,
}

impl<'a> CoreOutbox<'a> {
    /// Creates the output of a turn that serves `current`.
    pub(super) fn of_turn(
        core: &'a Core,
        current: ConnId,
        unsent: &'a mut Vec<u8>,
    ) -> CoreOutbox<'a> {
        CoreOutbox { core, current, unsent, shard: ShardId(0), links: core.links.borrow() }
    }

    /// Creates the output of a shard that sends to its peers after a turn.
    pub(super) fn of_shard(
        core: &'a Core,
        shard: ShardId,
        unsent: &'a mut Vec<u8>,
    ) -> CoreOutbox<'a> {
        CoreOutbox { shard, ..CoreOutbox::of_turn(core, NO_CONN, unsent) }
    }

    /// Lets `write` append to the replies of a connection.
    fn append(&mut self, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        if conn == self.current {
            write(self.unsent);
        } else if let Some(conn) = self.core.conns.get(conn).filter(|conn| !conn.is_broken()) {
            write(&mut conn.replies());
            conn.flush_wanted.notify();
            self.core.limit_unsent(&conn);
        }
    }

    /// Queues a reply for another connection than the current one without copying its body, if that is
    /// large. Returns whether it is.
    fn share(&mut self, conn: ConnId, to: &Header, reply: &StoredReply) -> bool {
        let Core { last_shared, unsent_total, conns, .. } = self.core;
        let Some((status, body)) = last_shared.of(reply, unsent_total) else { return false };
        if let Some(conn) = conns.get(conn).filter(|conn| !conn.is_broken()) {
            conn.push_shared(*to, status, body);
            conn.flush_wanted.notify();
            self.core.limit_unsent(&conn);
        }
        true
    }

    fn write(&mut self, conn: ConnId, to: &Header, output: &Output<'_>) {
        // Replies carry the epoch, so that clients notice a newer one.
        let to = match self.core.epoch.get() {
            0 => to,
            epoch => &Header { epoch, ..*to },
        };
        if conn != self.current
            && let Output::Stored(reply) = output
            && self.share(conn, to, reply)
        {
            return;
        }
        self.append(conn, |unsent| output.write(to, unsent));
    }
}

impl Outbox for CoreOutbox<'_> {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        self.core.meter.at_once(to.op, output.status());
        self.write(conn, to, &output);
    }

    fn push_waited(&mut self, conn: ConnId, to: &Header, output: Output<'_>, waited_us: u64) {
        let since = Time(self.turn_start().0.saturating_sub(waited_us));
        let (op, outcome) = (to.op, output.status());
        self.answered(Answered { op, outcome, since, waited: true });
        self.write(conn, to, &output);
    }

    fn complete(&self, stats: &mut Stats) {
        stats.core = self.core.index().into();
        stats.connections = self.core.conns.len() as u64;
    }

    fn monitored(&self, shard: ShardId, after: u64, per_second: u32) -> Monitored {
        self.core.monitored(shard, after, per_second)
    }

    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        let line = Escaped(line);
        match name {
            Some(name) => tracing::info!(target: "catena::log", log = name, "{line}"),
            None => tracing::info!(target: "catena::log", ?log, "{line}"),
        }
    }
}

impl ReplicaOutbox for CoreOutbox<'_> {
    type PeerBuffer<'b>
        = RefMut<'b, Vec<u8>>
    where
        Self: 'b;

    fn send_large(&mut self, conn: ConnId, to: &Header, reply: &StoredReply) {
        if conn == self.current || !self.share(conn, to, reply) {
            self.append(conn, |unsent| Output::Stored(reply).write(to, unsent));
        }
    }

    fn send_encoded(&mut self, conn: ConnId, replies: &[u8]) {
        // A copy, in a cluster only: these replies waited in the replica until their entries were
        // committed, and a connection's buffer holds only what may be sent now.
        self.append(conn, |unsent| unsent.extend_from_slice(replies));
    }

    fn turn_start(&self) -> Time {
        self.core.meter.began()
    }

    fn answered(&mut self, answered: Answered) {
        self.core.meter.late(answered);
    }

    fn peer_buffer(&mut self, node: NodeId) -> Option<RefMut<'_, Vec<u8>>> {
        let is_it = |link: &&CoreLink| link.peer.node == node && link.peer.owns(self.shard);
        self.links.iter().find(is_it).map(|link| link.conn.unsent.borrow_mut())
    }

    fn report(&mut self, shard: ShardId, report: ReplicaReport) {
        self.core.on_report(shard, report);
    }
}

/// A client's text as a part of one line of the engine's log: without the characters that would end the
/// line or command a terminal, which are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends_line = |c| matches!(c, '\u{2028}' | '\u{2029}');
        let mut rest = self.0;
        while let Some(at) = rest.find(|c: char| c.is_control() || ends_line(c)) {
            let (plain, special) = rest.split_at(at);
            let mut chars = special.chars();
            let special = chars.next().expect("it was found");
            write!(f, "{plain}{}", special.escape_default())?;
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn a_text_stays_in_its_line() {
        let escaped = |text| Escaped(text).to_string();
        assert_eq!(escaped("70 % \"done\", naïve \\o/"), "70 % \"done\", naïve \\o/");
        assert_eq!(escaped("a\nERROR b\r\tc"), "a\\nERROR b\\r\\tc");
        assert_eq!(escaped("\x1b[31mred\u{2028}\u{9b}\0"), "\\u{1b}[31mred\\u{2028}\\u{9b}\\u{0}");
    }
}
