//! The cluster a client belongs to, as the client knows it.

use std::net::SocketAddr;

use crate::topology::Topology;

/// Which members hold which shard; returned by [`Client::cluster`](crate::Client::cluster).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The number of the configuration; it grows with every change of the members.
    pub epoch: u32,
    /// The members.
    pub members: Vec<Member>,
    /// For each shard all members in the order of its chain.
    chains: Vec<u16>,
}

/// A member of a [`Cluster`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The address of its control port, see [`Operator`](crate::operator::Operator).
    pub control: String,
    /// Its addresses for clients, one for each core.
    pub addresses: Vec<SocketAddr>,
}

impl Cluster {
    pub(crate) fn of(topology: &Topology) -> Option<Cluster> {
        let known = topology.members();
        let members: Vec<Member> = (0..)
            .zip(known.names.iter().zip(&known.controls))
            .map(|(at, (name, control))| Member {
                name: name.clone(),
                control: control.clone(),
                addresses: topology.addresses_of(at).to_vec(),
            })
            .collect();
        let chains = known.chains.clone();
        (!members.is_empty()).then(|| Cluster { epoch: topology.epoch(), members, chains })
    }

    /// Returns the members that hold a shard, the head first; none if there is no such shard.
    pub fn chain(&self, shard: u16) -> impl ExactSizeIterator<Item = &Member> + Clone {
        let count = self.members.len();
        let at = usize::from(shard) * count;
        let chain = self.chains.get(at..at + count).unwrap_or_default();
        chain.iter().map(|member| &self.members[usize::from(*member)])
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.chains.len() / self.members.len().max(1)
    }
}
