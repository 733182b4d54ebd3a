//! Closes the sessions of a node: at its end, or because a wait was cancelled.

use std::time::Instant;

use catena_protocol::op::SessionOp;
use catena_protocol::{FrameKind, Header, Op, ShardId, frame};

use super::{Node, write_open};
use crate::buffer::Pool;
use crate::config::ABANDON_MAX;
use crate::lane::{IoWait, Lane};
use crate::session::{Session, SessionEnd};
use crate::topology::TopologyUpdate;

impl Node {
    /// Closes a session in which a request may wait that was cancelled, so that it gets nothing any
    /// more, or returns what it has got. If other things may be held in the session, it is left to
    /// its time to live; then the engine ends only the wait, when it sees the connection broken.
    pub(crate) fn abandon_session(&mut self, shard: ShardId, session: Session, pool: &Pool) {
        let now = Instant::now();
        if self.may_hold(now) {
            return;
        }
        let (endpoint, deadline) = (self.topology.head_of(shard), now + ABANDON_MAX);
        let Ok((mut greeted, topology)) = self.greet_at(endpoint, deadline, pool) else { return };
        let mut replies = 1;
        if !session.is_open() {
            // Where the engine has not seen it, opened and closed it cannot be opened by a late copy.
            write_open(&session, shard, self.topology.request_epoch(), &mut greeted.out);
            replies += 1;
        }
        self.write_close(&mut greeted, shard, &session);
        let closed = greeted.take_replies(replies, deadline, self.config.reply_bytes_max, pool);
        let is_known = self.topology.compare(&topology) == TopologyUpdate::Same;
        let lane = self.lane(endpoint);
        if closed.is_ok() && is_known && lane.connection.is_none() {
            (lane.connection, lane.clock) = (greeted.connection, greeted.clock);
        }
        pool.put(greeted.buffer);
    }

    /// Appends the frame that closes a session.
    fn write_close(&self, lane: &mut Lane, shard: ShardId, session: &Session) {
        let op = Op::Session(SessionOp::Close);
        let header = Header {
            op: op.code().to_wire(),
            shard,
            epoch: self.topology.request_epoch(),
            session: session.id,
            ..Header::new(FrameKind::Request)
        };
        frame::write(&mut lane.out, &header, |out| op.encode(out))
            .expect("closing a session takes no body");
    }

    /// Closes the sessions, and waits for the replies until `deadline`; those whose Close has none
    /// by then expire by themselves.
    pub(crate) fn close_sessions(&mut self, deadline: Instant, pool: &Pool) {
        let mut closing = vec![0; self.lanes.len()];
        let sessions = std::mem::take(&mut self.sessions);
        for (shard, session) in (0..).map(ShardId).zip(sessions) {
            let closable =
                |session: &Session| session.is_open() && session.end == SessionEnd::Close;
            let Some(session) = session.filter(closable) else { continue };
            let head = self.topology.head_of(shard);
            let Some(mut lane) = self.lanes.get_mut(head).map(std::mem::take) else { continue };
            // A busy lane has frames under way.
            if lane.is_idle() || closing[head] > 0 {
                self.write_close(&mut lane, shard, &session);
                closing[head] += 1;
            }
            self.lanes[head] = lane;
        }
        for lane in &mut self.lanes {
            _ = lane.write(IoWait::None);
        }
        for (lane, count) in self.lanes.iter_mut().zip(closing) {
            _ = lane.take_replies(count, deadline, self.config.reply_bytes_max, pool);
        }
    }
}
