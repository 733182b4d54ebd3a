//! Other nodes, as far as connections with them go: how they are reached, who of them is let in, and
//! what follows when they do not let us in.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, Status};

use super::greet::{Trouble, Verdict};
use super::links::{Link, Way};
use super::node::{Life, Node};
use catena_core::chain::member::Member;
use catena_core::chain::record::{NodeId, Record, Settings};

impl Node {
    /// How a node is reached, if the member knows.
    pub(super) fn way_to(&self, member: &Member, to: NodeId) -> Option<Way> {
        let info = member.info(to)?;
        Some(Way {
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

    pub(super) fn on_closed(
        &mut self,
        link: &Rc<Link>,
        at: SocketAddr,
        trouble: &Trouble,
    ) -> Result<(), String> {
        let is_news = self.links.on_closed(self.clock.now(), link, trouble);
        if let Life::Begun(member) = &self.life {
            self.links.retain(|node| member.info(node).is_some());
        }
        let name = self.name(link.peer);
        let node = link.peer;
        if trouble.means_gone() && self.links.failures(node) == GONE_FAILURES {
            self.tell(|member, now, out| member.on_link(now, node, false, out))?;
        }
        match trouble {
            Trouble::Refused(Fault { status: Status::WrongCluster, .. }) if !self.is_member() => {
                return Err(format!(
                    "{name} at {at} refused this node: it is of another cluster than {:?}. Nodes of \
                     one cluster take the same --cluster and --cluster-name",
                    self.cluster
                ));
            }
            Trouble::Refused(fault) => {
                if is_news {
                    let advice = advice(fault.status);
                    tracing::warn!(%node, %at, "{name} at {at} refused this node: {fault}; {advice}");
                }
                if fault.status == Status::Retired {
                    return self.tell(Member::on_retired);
                }
            }
            Trouble::Nonsense(fault) if is_news => {
                let advice = advice(fault.status);
                tracing::warn!(%node, %at, "{name} at {at} cannot be understood: {fault}; {advice}");
            }
            Trouble::Io(_) | Trouble::TimedOut | Trouble::End if is_news => {
                tracing::warn!(%node, %at, "{name} at {at} cannot be reached: {trouble}");
            }
            Trouble::Nonsense(_)
            | Trouble::Io(_)
            | Trouble::TimedOut
            | Trouble::End
            | Trouble::Unwanted => {
                tracing::debug!(%node, %at, "no connection with {name}: {trouble}");
            }
        }
        Ok(())
    }

    /// Decides about somebody who has connected.
    pub(super) fn judge(&mut self, hello: &PeerHello, from: SocketAddr) -> Verdict {
        let is_operator = hello.from == 0 && hello.to == 0;
        let is_ours = hello.cluster == self.cluster || is_operator && hello.cluster.is_empty();
        let record = match &self.life {
            Life::Begun(member) => member.record(),
            Life::Waiting { .. } => self.record.as_ref(),
        };
        let node = NodeId(hello.from);
        let refusal = if !is_ours {
            Some(Fault::new(Status::WrongCluster))
        } else if hello.shards != 0 {
            // A link about shards goes to the ports of the cores.
            Some(Fault::expected(Status::BadShard, 0, hello.shards.into()))
        } else if is_operator {
            return Verdict::Operator;
        } else if hello.to != self.me.0 || matches!(self.life, Life::Waiting { .. }) {
            Some(Fault::new(Status::WrongNode))
        } else if node == self.me || node == NodeId(0) {
            // Nobody else is this node.
            Some(Fault::new(Status::WrongNode))
        } else if record.is_some_and(|record| record.is_retired(node)) {
            Some(Fault::new(Status::Retired))
        } else {
            None
        };
        let user_timeout_ms = suspect_ms(record);
        let admitted = match refusal {
            Some(fault) => Err(fault),
            None => self.links.admit(self.me, node),
        };
        match admitted {
            Ok(link) => Verdict::Peer { link, user_timeout_ms },
            Err(fault) => {
                tracing::debug!(%from, %node, "refuses a connection: {fault}");
                Verdict::Refused(fault)
            }
        }
    }
}

/// Whoever could not be connected to so often in a row, though somebody answered, is taken for gone. Once
/// may be an accident.
const GONE_FAILURES: u32 = 3;

fn suspect_ms(record: Option<&Arc<Record>>) -> u32 {
    record.map_or(Settings::default().suspect_ms, |record| record.settings.suspect_ms)
}

/// What to do about a refusal.
fn advice(status: Status) -> &'static str {
    match status {
        Status::WrongCluster => {
            "its address belongs to a node of another cluster now, so it is taken for gone"
        }
        Status::WrongNode => "the node there has begun another life, so this one is taken for gone",
        Status::Retired => "this life of the node was removed, and it is going to begin another",
        Status::BadVersion => {
            "nodes of one cluster have to run the same release: upgrade the older one"
        }
        Status::BadMagic => "something that is no Catena node listens there",
        Status::TooManyConnections => "it is tried again",
        _ => "nodes of one cluster have to run the same release",
    }
}
