//! The cluster a client belongs to, as it was last told.

use std::net::SocketAddr;

use crate::client::Client;
use crate::topology::Topology;

/// Who holds which shard; answered by [`Client::cluster`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Counts the configurations of the cluster.
    pub epoch: u32,
    /// The members.
    pub members: Vec<Member>,
    /// For each shard all members in the order of its chain.
    chains: Vec<u16>,
}

/// A member of a [`Cluster`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// Where operators reach it, see [`Operator`](crate::operator::Operator).
    pub control: String,
    /// Where clients reach it: an address for each of its cores.
    pub addresses: Vec<SocketAddr>,
}

impl Cluster {
    pub(crate) fn of(topology: &Topology) -> Option<Cluster> {
        let told = topology.members();
        let members: Vec<Member> = (0..)
            .zip(told.names.iter().zip(&told.controls))
            .map(|(at, (name, control))| Member {
                name: name.clone(),
                control: control.clone(),
                addresses: topology.addresses_of(at).to_vec(),
            })
            .collect();
        let chains = told.chains.clone();
        (!members.is_empty()).then(|| Cluster { epoch: topology.epoch(), members, chains })
    }

    /// The members that hold a shard, the head first; none if there is no such shard.
    pub fn chain(&self, shard: u16) -> impl ExactSizeIterator<Item = &Member> + Clone {
        let count = self.members.len();
        let at = usize::from(shard) * count;
        let chain = self.chains.get(at..at + count).unwrap_or_default();
        chain.iter().map(|member| &self.members[usize::from(*member)])
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.chains.len() / self.members.len().max(1)
    }
}

impl Client {
    /// The cluster that the node belongs to, as it was last told; `None` if it is a single node. Asks
    /// nobody: calls keep it up to date as far as they need it.
    pub fn cluster(&self) -> Option<Cluster> {
        Cluster::of(&self.node.borrow().topology)
    }
}
