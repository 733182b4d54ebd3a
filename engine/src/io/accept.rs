//! Accepting connections, up to the limit.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use catena_protocol::{Fault, Status};

use super::conn::{self, ConnRole};
use super::core::Core;
use super::runtime;
use super::stream::{Listener, Stream};
use crate::config::CONNECTIONS_MAX;

/// The pause after an accept that failed.
const ACCEPT_RETRY_MS: u64 = 10;

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
        if self.conns.len() >= CONNECTIONS_MAX {
            tracing::warn!(%peer, limit = CONNECTIONS_MAX, "refused a connection");
            runtime::spawn(turn_away(stream));
            return;
        }
        conn::start(self, stream, ConnRole::New);
    }
}

/// Sends `TooManyConnections` and closes.
async fn turn_away(stream: Stream) {
    let mut reply = Vec::new();
    let limit = CONNECTIONS_MAX as u64;
    let fault = Fault::expected(Status::TooManyConnections, limit, limit + 1);
    conn::write_refusal(&mut reply, &fault.into());
    // The client may have gone already.
    _ = stream.close_with(reply).await;
}
