//! Closes the sessions of a node: at its end, or because a wait was cancelled.

use std::time::Instant;

use catena_protocol::op::SessionOp;
use catena_protocol::{FrameKind, Header, Op, ShardId, frame};

use super::{Node, write_open};
use crate::buffer::Pool;
use crate::config::ABANDONED_MAX;
use crate::lane::{IoWait, Lane};
use crate::session::Session;
use crate::topology::TopologyUpdate;

impl Node {
    /// Gives up a session in which a request may wait that nobody waits for any more. If that was
    /// cancelled, the session is closed `until` then, so that the request gets nothing, or returns what
    /// it has got. If other things may be held in the session, or it cannot be closed in time, it is
    /// closed with the others of the node; until then the engine ends only the wait, when it sees the
    /// connection broken.
    pub(crate) fn abandon_session(
        &mut self,
        shard: ShardId,
        session: Session,
        until: Option<Instant>,
        pool: &Pool,
    ) {
        let is_closed = until.is_some_and(|until| {
            !self.may_hold(Instant::now()) && self.close_now(shard, &session, until, pool)
        });
        if !is_closed {
            if self.abandoned.len() >= ABANDONED_MAX {
                self.abandoned.pop_front();
            }
            self.abandoned.push_back((shard, session));
        }
    }

    /// Closes a session over a connection of its own. Returns whether that was done in time.
    fn close_now(
        &mut self,
        shard: ShardId,
        session: &Session,
        deadline: Instant,
        pool: &Pool,
    ) -> bool {
        let endpoint = self.topology.head_of(shard);
        let Ok((mut greeted, topology)) = self.greet_at(endpoint, deadline, pool) else {
            return false;
        };
        let mut replies = 1;
        if !session.is_open() {
            // Where the engine has not seen it, opened and closed it cannot be opened by a late copy.
            write_open(session, shard, self.topology.request_epoch(), &mut greeted.out);
            replies += 1;
        }
        self.write_close(&mut greeted, shard, session);
        let closed = greeted.take_replies(replies, deadline, self.config.reply_bytes_max, pool);
        let is_known = self.topology.compare(&topology) == TopologyUpdate::Same;
        let lane = self.lane(endpoint);
        if closed.is_ok() && is_known && lane.connection.is_none() {
            (lane.connection, lane.clock) = (greeted.connection, greeted.clock);
        }
        pool.put(greeted.buffer);
        closed.is_ok()
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
        let sessions = std::mem::take(&mut self.sessions);
        let sessions = (0..).map(ShardId).zip(sessions);
        let mut sessions: Vec<(ShardId, Session)> =
            sessions.filter_map(|(shard, session)| Some((shard, session?))).collect();
        sessions.extend(std::mem::take(&mut self.abandoned));
        // A copy of a request that is still in flight finds the session closed, which the engine
        // remembers.
        sessions.retain(|(_, session)| session.is_open());
        self.connect_to_heads(&sessions, deadline, pool);
        let mut closing = vec![0; self.lanes.len()];
        for (shard, session) in sessions {
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

    /// Connects to the heads of these shards where a connection is missing, if there is time.
    fn connect_to_heads(
        &mut self,
        sessions: &[(ShardId, Session)],
        deadline: Instant,
        pool: &Pool,
    ) {
        for (shard, _) in sessions {
            let head = self.topology.head_of(*shard);
            if Instant::now() >= deadline || self.lane(head).connection.is_some() {
                continue;
            }
            // A head that does not answer is not asked again for its other shards.
            let Ok((greeted, topology)) = self.greet_at(head, deadline, pool) else { return };
            if self.topology.compare(&topology) == TopologyUpdate::Same {
                let lane = self.lane(head);
                (lane.connection, lane.clock) = (greeted.connection, greeted.clock);
            }
            pool.put(greeted.buffer);
        }
    }
}
