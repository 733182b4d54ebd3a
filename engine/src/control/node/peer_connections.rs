//! Connections with other nodes: how to reach them, which of them to accept, and what follows when
//! they refuse this node.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use catena_core::chain::member::Member;
use catena_core::chain::record::{NodeId, Record, Settings};
use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, Status};

use super::{ControlNode, Membership};
use crate::control::event::Admission;
use crate::control::peer_link::{PeerLink, PeerLinkError, PeerRoute};
use crate::error::NodeError;

impl ControlNode {
    /// Returns how to connect to a node, if the member knows.
    pub(super) fn route_to(&self, member: &Member, to: NodeId) -> Option<PeerRoute> {
        let info = member.info(to)?;
        Some(PeerRoute {
            address: info.peer,
            hello: PeerHello {
                from: self.me.0,
                to: to.0,
                shards: 0,
                core: 0,
                cores: 0,
                cluster: self.cluster.clone(),
            },
            user_timeout_ms: suspect_ms(member.record()),
        })
    }

    pub(super) fn on_link_closed(
        &mut self,
        link: &Rc<PeerLink>,
        at: SocketAddr,
        error: &PeerLinkError,
    ) -> Result<(), NodeError> {
        let is_new = self.links.on_closed(self.clock.now(), link, error);
        if let Membership::Begun(member) = &self.membership {
            self.links.retain(|node| member.info(node).is_some());
        }
        let name = self.name(link.peer);
        let node = link.peer;
        if error.means_gone() && self.links.failures(node) == GONE_FAILURES {
            self.tell(|member, now, out| member.on_link(now, node, false, out))?;
        }
        match error {
            PeerLinkError::Refused(Fault { status: Status::WrongCluster, .. })
                if !self.is_member() =>
            {
                let cluster = self.cluster.clone();
                return Err(NodeError::WrongCluster { node: name, address: at, cluster });
            }
            PeerLinkError::Refused(fault) => {
                if is_new {
                    let advice = advice(fault.status);
                    tracing::warn!(%node, %at, "{name} at {at} refused this node: {fault}; {advice}");
                }
                if fault.status == Status::Retired {
                    return self.tell(Member::on_retired);
                }
            }
            PeerLinkError::Invalid(fault) if is_new => {
                let advice = advice(fault.status);
                tracing::warn!(%node, %at, "{name} at {at} sent an invalid frame: {fault}; {advice}");
            }
            PeerLinkError::Io(_) | PeerLinkError::TimedOut | PeerLinkError::Closed if is_new => {
                tracing::warn!(%node, %at, "cannot connect to {name} at {at}: {error}");
            }
            PeerLinkError::Invalid(_)
            | PeerLinkError::Io(_)
            | PeerLinkError::TimedOut
            | PeerLinkError::Closed
            | PeerLinkError::Dropped => {
                tracing::debug!(%node, %at, "no connection with {name}: {error}");
            }
        }
        Ok(())
    }

    /// Decides about a connection that sent its PeerHello.
    pub(super) fn admit(&mut self, hello: &PeerHello, from: SocketAddr) -> Admission {
        let is_operator = hello.from == 0 && hello.to == 0;
        let is_ours = hello.cluster == self.cluster || is_operator && hello.cluster.is_empty();
        let record = match &self.membership {
            Membership::Begun(member) => member.record(),
            Membership::Waiting { .. } => self.record.as_ref(),
        };
        let node = NodeId(hello.from);
        let refusal = if !is_ours {
            Some(Fault::new(Status::WrongCluster))
        } else if hello.shards != 0 {
            // Links that replicate shards connect to the ports of the cores.
            Some(Fault::expected(Status::BadShard, 0, hello.shards.into()))
        } else if is_operator {
            return Admission::Operator;
        } else if hello.to != self.me.0 || matches!(self.membership, Membership::Waiting { .. }) {
            Some(Fault::new(Status::WrongNode))
        } else if node == self.me || node == NodeId(0) {
            // No other node has the id of this one.
            Some(Fault::new(Status::WrongNode))
        } else if record.is_some_and(|record| record.is_retired(node)) {
            Some(Fault::new(Status::Retired))
        } else {
            None
        };
        let user_timeout_ms = suspect_ms(record);
        let accepted = match refusal {
            Some(fault) => Err(fault),
            None => self.links.accept(self.me, node),
        };
        match accepted {
            Ok(link) => Admission::Peer { link, user_timeout_ms },
            Err(fault) => {
                tracing::debug!(%from, %node, "refuses a connection: {fault}");
                Admission::Refused(fault)
            }
        }
    }
}

/// After this many failures in a row that [mean](PeerLinkError::means_gone) that the node is gone, it
/// counts as gone. A single one may be an accident.
const GONE_FAILURES: u32 = 3;

fn suspect_ms(record: Option<&Arc<Record>>) -> u32 {
    record.map_or(Settings::default().suspect_ms, |record| record.settings.suspect_ms)
}

/// Returns what follows from a refusal, or what to do about it.
fn advice(status: Status) -> &'static str {
    match status {
        Status::WrongCluster => {
            "a node of another cluster has its address now, so it counts as gone"
        }
        Status::WrongNode => "the node at that address has restarted, so this one counts as gone",
        Status::Retired => "this node was removed from the cluster and is going to rejoin",
        Status::BadVersion => {
            "nodes of one cluster have to run the same release: upgrade the older one"
        }
        Status::BadMagic => "the process at that address is not a Catena node",
        Status::TooManyConnections => "this node tries again",
        _ => "nodes of one cluster have to run the same release",
    }
}
