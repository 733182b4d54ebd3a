//! Accepting connections, up to the limit.
//!
//! Nobody is kept out by connections that do not say Hello: when the table is full, or one source has
//! more than its share of it, the oldest of them makes room for the new one.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use catena_protocol::{Fault, Status};

use super::conn::{self, ConnRole};
use super::core::Core;
use super::newcomers::source_of;
use super::runtime;
use super::stream::{Listener, Stream};
use crate::config::{CROWDED_PERCENT, ROOMY_PERCENT, SOURCE_SHARE};
use catena_core::shard::ConnId;

/// The pause after an accept that failed.
const ACCEPT_RETRY_MS: u64 = 10;

/// What the log has said about the number of connections, since there were few of them last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Crowding {
    #[default]
    Roomy,
    /// There are many.
    Crowded,
    /// One was refused.
    Full,
}

impl Core {
    /// Accepts connections until the node stops.
    pub(super) async fn accept(self: Rc<Core>, listener: Rc<Listener>) {
        while !self.is_stopping() {
            match listener.accept().await {
                _ if self.is_stopping() => return,
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    // Most likely the process is out of file descriptors; some may be closed soon.
                    tracing::warn!(%error, "cannot accept a connection");
                    runtime::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                }
            }
        }
    }

    fn admit(self: &Rc<Core>, stream: Stream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay() {
            tracing::debug!(%peer, %error, "connection broke at once");
            return;
        }
        let source = source_of(peer.ip());
        if !self.make_room_for(source) {
            self.report_crowding(Crowding::Full);
            tracing::debug!(%peer, "refused a connection");
            runtime::spawn(turn_away(stream, self.too_many()));
            return;
        }
        let conn = conn::start(self, stream, source, ConnRole::New);
        self.newcomers.borrow_mut().insert(conn.id, source);
        let percent = self.conns.len() * 100 / self.connections_max();
        if percent >= CROWDED_PERCENT {
            self.report_crowding(Crowding::Crowded);
        } else if percent < ROOMY_PERCENT {
            self.crowding.set(Crowding::Roomy);
        }
    }

    /// Makes room for another connection, at the cost of one without Hello if need be. Returns `false`
    /// if there is none.
    fn make_room_for(&self, source: IpAddr) -> bool {
        let max = self.connections_max();
        let share = (max / SOURCE_SHARE).max(1);
        let of_source = self.newcomers.borrow_mut().pop_oldest_of(source, share);
        if let Some(oldest) = of_source {
            self.displace(oldest);
        }
        // A displaced connection is in the table until its task has ended.
        if self.conns.len() - self.displaced.get() < max {
            return true;
        }
        let oldest = self.newcomers.borrow_mut().pop_oldest();
        if let Some(oldest) = oldest {
            self.displace(oldest);
        }
        oldest.is_some()
    }

    fn displace(&self, conn: ConnId) {
        if let Some(conn) = self.conns.get(conn) {
            tracing::debug!(conn = conn.id.0, "closing a connection without Hello for another");
            self.displaced.set(self.displaced.get() + 1);
            conn.is_displaced.set(true);
            conn.break_off(self.too_many());
        }
    }

    fn too_many(&self) -> Fault {
        let limit = self.connections_max() as u64;
        Fault::expected(Status::TooManyConnections, limit, limit + 1)
    }

    /// Tells the log that there are many connections, or too many; once until there are few again.
    fn report_crowding(&self, crowding: Crowding) {
        let before = self.crowding.get();
        let (limit, connections) = (self.connections_max(), self.conns.len());
        match (before, crowding) {
            (Crowding::Roomy, Crowding::Crowded) => tracing::warn!(
                connections,
                limit,
                "this core has most of the connections that it allows: at the limit it refuses more"
            ),
            (Crowding::Roomy | Crowding::Crowded, Crowding::Full) => {
                tracing::warn!(limit, "this core refuses connections: it has as many as it allows");
            }
            _ => return,
        }
        self.crowding.set(crowding);
    }
}

/// Sends a refusal and closes.
async fn turn_away(stream: Stream, fault: Fault) {
    let mut reply = Vec::new();
    conn::write_refusal(&mut reply, &fault.into());
    // The client may have gone already.
    _ = stream.close_with(reply).await;
}
