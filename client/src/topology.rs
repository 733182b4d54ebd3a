//! What an engine sent about itself and its cluster in a Welcome: which members hold each shard,
//! their addresses, the limits, the clock.
//!
//! Requests are sent to *endpoints*: an endpoint is a core of a member. Endpoints are numbered
//! through, first those of the first member, then those of the second, and so on. A single node
//! counts as the only member.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::{Fault, Members, ObjectId, ShardId, ShardMap, Status, Welcome, features};

use crate::config::{CLOCK_MARGIN_MAX, CLOCK_MARGIN_OF_TTL};

#[derive(Clone, Debug)]
pub(crate) struct Topology {
    /// The sender of the Welcome; the cores of a single node have their ports on this host.
    host: SocketAddr,
    welcome: Welcome,
    map: ShardMap,
    endpoints: Vec<SocketAddr>,
    /// The first endpoint of each member, followed by the number of endpoints.
    firsts: Vec<usize>,
    /// The name of each member; empty on a single node.
    names: Vec<Arc<str>>,
    clock: Clock,
    /// Shards that the engine reported on another core of a member than the computed one.
    moved: Vec<Moved>,
}

/// A reading of a node's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    now_us: u64,
    read_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moved {
    shard: ShardId,
    member: u16,
    core: u16,
}

/// How the topology of a Welcome compares to the known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopologyUpdate {
    /// The same, except for the clock.
    Same,
    /// The node or cluster has changed since.
    Newer,
    /// An earlier configuration of the cluster.
    Older,
    /// Another cluster.
    Foreign,
}

impl Topology {
    /// The topology in a `welcome` from `host`.
    ///
    /// # Errors
    ///
    /// If it describes an engine that this client cannot use.
    pub(crate) fn new(host: SocketAddr, welcome: Welcome) -> Result<Topology, Fault> {
        if welcome.features & features::ALL != features::ALL {
            return Err(Fault::expected(Status::MissingFeature, welcome.features, features::ALL));
        }
        let map = welcome.shard_map().ok_or(Status::BadBody)?;
        if welcome.core >= map.cores() || welcome.session_window == 0 {
            return Err(Fault::new(Status::BadBody));
        }
        let members = &welcome.members;
        let mut firsts = vec![0];
        let endpoints = if members.count() == 0 {
            firsts.push(welcome.ports.len());
            welcome.ports.iter().map(|port| SocketAddr::new(host.ip(), *port)).collect()
        } else {
            for cores in &members.cores {
                firsts.push(firsts[firsts.len() - 1] + usize::from(*cores));
            }
            let addresses = members.addresses.iter().map(|address| address.parse());
            addresses.collect::<Result<Vec<_>, _>>().map_err(|_| Status::BadBody)?
        };
        let names = members.names.iter().map(|name| name.as_str().into()).collect();
        let clock = Clock { now_us: welcome.now_us, read_at: Instant::now() };
        Ok(Topology { host, welcome, map, endpoints, firsts, names, clock, moved: Vec::new() })
    }

    /// Whether it is of a cluster. If not, there is one node, which may be restarted without its
    /// objects.
    pub(crate) fn is_cluster(&self) -> bool {
        !self.names.is_empty()
    }

    /// Compares a topology from a Welcome to this one.
    pub(crate) fn compare(&self, told: &Topology) -> TopologyUpdate {
        if !self.is_cluster() && !told.is_cluster() {
            let facts = |topology: &Topology| {
                let Welcome { epoch, shards, frame_bytes_max, session_window, .. } =
                    topology.welcome;
                (topology.host.ip(), epoch, shards, frame_bytes_max, session_window)
            };
            let agree = facts(self) == facts(told) && self.welcome.ports == told.welcome.ports;
            return if agree { TopologyUpdate::Same } else { TopologyUpdate::Newer };
        }
        // A node that is no member knows nothing of a cluster but its epoch.
        let are_clusters = self.is_cluster() && told.is_cluster();
        let incarnations = told.welcome.incarnation.cmp(&self.welcome.incarnation);
        let incarnations = if are_clusters { incarnations } else { std::cmp::Ordering::Equal };
        match incarnations.then(told.welcome.epoch.cmp(&self.welcome.epoch)) {
            std::cmp::Ordering::Greater => TopologyUpdate::Newer,
            std::cmp::Ordering::Less => TopologyUpdate::Older,
            std::cmp::Ordering::Equal => {
                let agree = self.welcome.shards == told.welcome.shards
                    && self.welcome.members == told.welcome.members;
                if agree { TopologyUpdate::Same } else { TopologyUpdate::Foreign }
            }
        }
    }

    /// Whether all objects are lost that there were at `before`: the node has been restarted, or the
    /// cluster created anew.
    pub(crate) fn has_lost_what(&self, before: &Topology) -> bool {
        let are_alike = self.is_cluster() == before.is_cluster();
        are_alike && self.welcome.incarnation != before.welcome.incarnation
    }

    /// The incarnation of the node, or of the cluster.
    pub(crate) fn incarnation(&self) -> u64 {
        self.welcome.incarnation
    }

    /// Whether it is the configuration right after `before`.
    pub(crate) fn follows(&self, before: &Topology) -> bool {
        let epochs = before.welcome.epoch.checked_add(1) == Some(self.welcome.epoch);
        let is_same = self.welcome.incarnation == before.welcome.incarnation;
        epochs
            && is_same
            && self.is_cluster()
            && before.is_cluster()
            && self.shards() == before.shards()
    }

    /// Adopts a later reading of the clock.
    pub(crate) fn set_clock(&mut self, later: &Topology) {
        self.clock = later.clock;
    }

    /// The clock of the node that sent the Welcome.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The birth time for a session of this time to live, if the clock of the node that will open
    /// it is not known. In a cluster that may be another node than the sender of the Welcome, and
    /// if its clock is behind, it would refuse a session born in its future. So the birth is set
    /// back a little, which is safe.
    pub(crate) fn birth_us(&self, ttl_ms: u32) -> u64 {
        let now_us = self.clock.now_us();
        if !self.is_cluster() {
            return now_us;
        }
        let margin = Duration::from_millis(ttl_ms.into()) / CLOCK_MARGIN_OF_TTL;
        let margin = margin.min(CLOCK_MARGIN_MAX).as_micros();
        now_us.saturating_sub(u64::try_from(margin).expect("seconds in microseconds"))
    }

    pub(crate) fn shard_of(&self, object: ObjectId) -> ShardId {
        self.map.shard_of(object)
    }

    /// The endpoint for updates of a shard.
    pub(crate) fn head_of(&self, shard: ShardId) -> usize {
        let chain = self.welcome.members.chain(shard);
        self.endpoint_in(chain.first().copied().unwrap_or(0), shard)
    }

    /// The endpoint of one of the members that hold a shard, chosen by `salt` and the shard.
    pub(crate) fn any_of(&self, shard: ShardId, salt: u64) -> usize {
        let chain = self.welcome.members.chain(shard);
        // Mixing in the shard spreads the reads of one client as well (Fibonacci hashing).
        let mixed = (salt ^ u64::from(shard.0)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let member = chain.get(usize::try_from(mixed).expect("32 bits") % chain.len().max(1));
        self.endpoint_in(member.copied().unwrap_or(0), shard)
    }

    /// The endpoint of the core that owns a shard in a member.
    fn endpoint_in(&self, member: u16, shard: ShardId) -> usize {
        let at = usize::from(member);
        let (first, behind) = (self.firsts[at], self.firsts[at + 1]);
        let is_it = |moved: &&Moved| (moved.member, moved.shard) == (member, shard);
        match self.moved.iter().find(is_it) {
            Some(moved) => first + usize::from(moved.core),
            None => first + usize::from(shard.0) % (behind - first),
        }
    }

    /// Records which core owns a shard in the member at `endpoint`, as the member reported; `false`
    /// if that is impossible, or known already.
    pub(crate) fn on_moved(&mut self, shard: ShardId, endpoint: usize, core: u64) -> bool {
        let member = self.member_at(endpoint);
        let at = usize::from(member);
        let cores = self.firsts[at + 1] - self.firsts[at];
        let named = u16::try_from(core).ok().filter(|core| usize::from(*core) < cores);
        let Some(core) = named else { return false };
        if self.endpoint_in(member, shard) == self.firsts[at] + usize::from(core) {
            return false;
        }
        self.moved.retain(|moved| (moved.member, moved.shard) != (member, shard));
        self.moved.push(Moved { shard, member, core });
        true
    }

    /// The member of an endpoint.
    pub(crate) fn member_at(&self, endpoint: usize) -> u16 {
        let member = self.firsts.partition_point(|first| *first <= endpoint) - 1;
        u16::try_from(member).expect("members are counted in 16 bits")
    }

    /// The name of the member of an endpoint; `None` on a single node.
    pub(crate) fn name_at(&self, endpoint: usize) -> Option<&Arc<str>> {
        self.names.get(usize::from(self.member_at(endpoint)))
    }

    /// The address of an endpoint.
    pub(crate) fn address_of(&self, endpoint: usize) -> SocketAddr {
        self.endpoints[endpoint]
    }

    /// The endpoint with this address.
    pub(crate) fn endpoint_at(&self, address: SocketAddr) -> Option<usize> {
        self.endpoints.iter().position(|endpoint| *endpoint == address)
    }

    /// The endpoint that sent the Welcome, if it is one of the topology.
    pub(crate) fn greeter(&self) -> Option<usize> {
        match self.is_cluster() {
            true => self.endpoint_at(self.host),
            false => Some(usize::from(self.welcome.core)),
        }
    }

    /// An address of every member, none on a single node: in rotation by `turn`, with the member of
    /// the endpoint `last` behind all others.
    pub(crate) fn members_from(&self, turn: usize, last: Option<usize>) -> Vec<(u16, SocketAddr)> {
        let last = last.map(|endpoint| self.member_at(endpoint));
        let count = self.names.len();
        let members = (0..count).map(|at| (at + turn) % count);
        let mut members: Vec<(u16, SocketAddr)> = members
            .map(|member| {
                let number = u16::try_from(member).expect("members are counted in 16 bits");
                (number, self.endpoints[self.firsts[member]])
            })
            .collect();
        // A stable sort keeps the rotation.
        members.sort_by_key(|(member, _)| Some(*member) == last);
        members
    }

    /// The epoch to name in requests: none in a cluster, because the node itself checks whether it
    /// may serve the request, and a change of members should not fail requests that it does not
    /// affect. A single node that was restarted refuses what was meant for its former self.
    pub(crate) fn request_epoch(&self) -> u32 {
        if self.is_cluster() { 0 } else { self.welcome.epoch }
    }

    /// The epoch of the cluster's configuration; on a single node, the number of its incarnation.
    pub(crate) fn epoch(&self) -> u32 {
        self.welcome.epoch
    }

    /// The members of the cluster and the chains of its shards; empty on a single node.
    pub(crate) fn members(&self) -> &Members {
        &self.welcome.members
    }

    /// The addresses of a member's cores.
    pub(crate) fn addresses_of(&self, member: usize) -> &[SocketAddr] {
        &self.endpoints[self.firsts[member]..self.firsts[member + 1]]
    }

    pub(crate) fn shards(&self) -> u32 {
        self.welcome.shards
    }

    pub(crate) fn session_window(&self) -> u16 {
        self.welcome.session_window
    }

    pub(crate) fn frame_bytes_max(&self) -> u32 {
        self.welcome.frame_bytes_max
    }

    /// Name and version of the engine.
    pub(crate) fn engine(&self) -> &str {
        &self.welcome.engine
    }
}

impl Clock {
    /// The current time of the clock, or slightly less, never more.
    ///
    /// Two clocks may drift apart by some parts in 10,000, so a thousandth of the elapsed time is
    /// left out.
    pub(crate) fn now_us(self) -> u64 {
        let elapsed_us = u64::try_from(self.read_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.now_us.saturating_add(elapsed_us - elapsed_us / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster of members with these numbers of cores, each chain beginning at another member.
    fn cluster(epoch: u32, shards: u32, cores: &[u16]) -> Topology {
        let count = u16::try_from(cores.len()).unwrap();
        let chain = |shard| (0..count).map(move |at| (at + shard) % count);
        let port = |member: usize, core| format!("10.0.0.{member}:{}", 7400 + core);
        let members = Members {
            names: (0..count).map(|member| format!("node-{member}")).collect(),
            controls: (0..count).map(|member| format!("10.0.0.{member}:7399")).collect(),
            cores: cores.to_vec(),
            addresses: (0..)
                .zip(cores)
                .flat_map(|(member, cores)| (0..*cores).map(move |core| port(member, core)))
                .collect(),
            chains: (0..u16::try_from(shards).unwrap()).flat_map(chain).collect(),
        };
        topology(epoch, shards, members).unwrap()
    }

    fn topology(epoch: u32, shards: u32, members: Members) -> Result<Topology, Fault> {
        let welcome = Welcome {
            features: features::ALL,
            now_us: 60_000_000,
            incarnation: 1,
            epoch,
            shards,
            frame_bytes_max: 1 << 20,
            session_window: 256,
            core: 0,
            ports: vec![7400, 7401],
            engine: String::new(),
            members,
        };
        Topology::new("10.0.0.1:7400".parse().unwrap(), welcome)
    }

    #[test]
    fn a_single_node_is_its_ports() {
        let node = topology(0, 8, Members::default()).unwrap();
        assert!(!node.is_cluster());
        assert_eq!((node.head_of(ShardId(4)), node.head_of(ShardId(5))), (0, 1));
        assert_eq!(node.any_of(ShardId(5), 77), 1);
        assert_eq!(node.address_of(1).to_string(), "10.0.0.1:7401");
        assert_eq!((node.greeter(), node.name_at(1)), (Some(0), None));
        assert!(node.members_from(3, Some(1)).is_empty());
    }

    #[test]
    fn a_shard_is_at_its_core_of_the_head_of_its_chain() {
        let three = cluster(5, 8, &[1, 2, 3]);
        let heads: Vec<usize> = (0..8).map(|shard| three.head_of(ShardId(shard))).collect();
        // Members 0, 1, 2, 0 …, whose endpoints begin at 0, 1 and 3.
        assert_eq!(heads, [0, 1 + 1, 3 + 2, 0, 1, 3 + 2, 0, 1 + 1]);
        assert_eq!(three.name_at(5).unwrap().as_ref(), "node-2");
        assert_eq!(three.endpoint_at("10.0.0.2:7402".parse().unwrap()), Some(5));
        assert_eq!(three.greeter(), Some(1));
        let any: Vec<u16> =
            (0..64).map(|salt| three.member_at(three.any_of(ShardId(2), salt))).collect();
        assert!((0..3).all(|member| any.contains(&member)), "{any:?}");
    }

    #[test]
    fn members_are_asked_in_rotation_and_the_failing_one_last() {
        let three = cluster(5, 8, &[1, 2, 3]);
        let order = |turn, last| {
            three.members_from(turn, last).iter().map(|(member, _)| *member).collect::<Vec<_>>()
        };
        assert_eq!(order(0, None), [0, 1, 2]);
        assert_eq!(order(1, Some(2)), [2, 0, 1]);
        assert_eq!(order(5, Some(0)), [2, 1, 0]);
    }

    #[test]
    fn a_shard_that_moved_is_remembered_for_the_member_that_said_so() {
        let mut three = cluster(5, 8, &[1, 2, 3]);
        assert!(three.on_moved(ShardId(2), 5, 0));
        assert_eq!(three.head_of(ShardId(2)), 3);
        assert!(!three.on_moved(ShardId(2), 3, 0), "nothing new");
        assert!(!three.on_moved(ShardId(2), 3, 3), "no such core");
        assert!(three.on_moved(ShardId(2), 3, 1));
        assert_eq!((three.head_of(ShardId(2)), three.head_of(ShardId(1))), (4, 2));
    }

    #[test]
    fn epochs_decide_which_topology_is_newer() {
        let five = cluster(5, 8, &[1, 1]);
        assert_eq!(five.compare(&cluster(5, 8, &[1, 1])), TopologyUpdate::Same);
        assert_eq!(five.compare(&cluster(6, 8, &[1])), TopologyUpdate::Newer);
        assert_eq!(five.compare(&cluster(4, 8, &[1, 1, 1])), TopologyUpdate::Older);
        assert_eq!(five.compare(&cluster(5, 8, &[1])), TopologyUpdate::Foreign);
        // A cluster that was created anew is newer, whatever its epoch.
        let of = |incarnation, epoch| {
            let mut topology = cluster(epoch, 8, &[1, 1]);
            topology.welcome.incarnation = incarnation;
            topology
        };
        assert_eq!(five.compare(&of(2, 1)), TopologyUpdate::Newer);
        assert_eq!(five.compare(&of(0, 9)), TopologyUpdate::Older);
        assert!(of(2, 6).has_lost_what(&five) && !of(2, 6).follows(&five));
        assert!(!cluster(9, 8, &[1]).has_lost_what(&five));
        let alone = topology(0, 8, Members::default()).unwrap();
        assert_eq!(five.compare(&alone), TopologyUpdate::Older);
        assert_eq!(alone.compare(&five), TopologyUpdate::Newer);
        assert!(cluster(6, 8, &[1]).follows(&five));
        assert!(!cluster(7, 8, &[1]).follows(&five) && !cluster(6, 4, &[1]).follows(&five));
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let mut members = cluster(5, 8, &[1, 1]).welcome.members;
        members.addresses[1] = "somewhere:7400".into();
        assert_eq!(topology(5, 8, members).unwrap_err().status, Status::BadBody);
    }

    #[test]
    fn sessions_are_born_a_little_early_in_a_cluster() {
        // A second by which this test may be late.
        let is_about =
            |birth_us: u64, expected: u64| (expected..expected + 1_000_000).contains(&birth_us);
        let alone = topology(0, 8, Members::default()).unwrap();
        assert!(is_about(alone.birth_us(1_200_000), 60_000_000));
        let five = cluster(5, 8, &[1, 1]);
        assert!(is_about(five.birth_us(1_200_000), 50_000_000));
        assert!(is_about(five.birth_us(24_000), 57_000_000));
    }
}
