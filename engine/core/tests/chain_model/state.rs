//! The state of the model: the register, the members, their grants, and what clients have seen.

use std::fmt;

/// The largest number of nodes.
pub(crate) const NODES_MAX: usize = 4;
/// The largest number of different updates.
pub(crate) const WRITES_MAX: usize = 3;
/// The largest number of records, the first one included.
pub(crate) const EPOCHS_MAX: usize = 6;

/// Counts from 1; 0 is before the first.
pub(crate) type Epoch = u8;

/// A node, and its index in every table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(pub(crate) u8);

impl Node {
    pub(crate) fn at(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'A' + self.0))
    }
}

/// Updates in the order in which a node applied them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct UpdateLog {
    pub(crate) len: u8,
    writes: [u8; WRITES_MAX],
}

impl UpdateLog {
    pub(crate) fn writes(&self) -> &[u8] {
        &self.writes[..usize::from(self.len)]
    }

    pub(crate) fn has(&self, write: u8) -> bool {
        self.writes().contains(&write)
    }

    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.len) == WRITES_MAX
    }

    pub(crate) fn push(&mut self, write: u8) {
        self.writes[usize::from(self.len)] = write;
        self.len += 1;
    }

    pub(crate) fn is_prefix_of(&self, other: &UpdateLog) -> bool {
        other.writes().starts_with(self.writes())
    }

    /// Returns whether one of them is a prefix of the other.
    pub(crate) fn nests(&self, other: &UpdateLog) -> bool {
        self.is_prefix_of(other) || other.is_prefix_of(self)
    }

    /// Returns whether no update was executed twice.
    pub(crate) fn is_once_each(&self) -> bool {
        let writes = self.writes();
        (1..writes.len()).all(|at| !writes[..at].contains(&writes[at]))
    }

    pub(crate) fn first(&self, len: u8) -> UpdateLog {
        let mut first = UpdateLog::default();
        self.writes()[..usize::from(len)].iter().for_each(|write| first.push(*write));
        first
    }
}

/// The members of an epoch, the head first. The register has one for every epoch so far.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Chain(pub(crate) Vec<Node>);

impl Chain {
    pub(crate) fn has(&self, node: Node) -> bool {
        self.0.contains(&node)
    }

    fn position(&self, node: Node) -> Option<usize> {
        self.0.iter().position(|member| *member == node)
    }

    pub(crate) fn predecessor(&self, node: Node) -> Option<Node> {
        self.position(node)?.checked_sub(1).map(|before| self.0[before])
    }

    pub(crate) fn successor(&self, node: Node) -> Option<Node> {
        self.0.get(self.position(node)? + 1).copied()
    }

    pub(crate) fn head(&self) -> Node {
        *self.0.first().expect("a chain has a member")
    }

    pub(crate) fn tail(&self) -> Node {
        *self.0.last().expect("a chain has a member")
    }

    pub(crate) fn without(&self, node: Node) -> Chain {
        Chain(self.0.iter().copied().filter(|member| *member != node).collect())
    }

    /// Moves each member one position towards the head, and the head to the tail.
    pub(crate) fn rotated(&self) -> Chain {
        let (head, rest) = self.0.split_first().expect("a chain has a member");
        Chain(rest.iter().chain([head]).copied().collect())
    }

    pub(crate) fn with(&self, node: Node) -> Chain {
        Chain(self.0.iter().copied().chain([node]).collect())
    }
}

/// Whether a node is a member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Membership {
    /// Not a member yet; possibly a learner.
    Spare,
    /// In the chain of its epoch.
    Member,
    /// In the chain of its epoch, having forgotten everything but its log.
    Restarted,
    /// Saw a chain that it is not in. It never returns under this id.
    Removed,
}

/// A change that a node has sent to the register, and whose outcome it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Pending {
    Nothing,
    Removal,
    Append(Node),
    Reorder,
    Bump,
}

/// A set of pairs of granter and holder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Pairs(u16);

impl Pairs {
    fn bit(granter: Node, holder: Node) -> u16 {
        1 << (granter.at() * NODES_MAX + holder.at())
    }

    pub(crate) fn insert(&mut self, granter: Node, holder: Node) {
        self.0 |= Pairs::bit(granter, holder);
    }

    pub(crate) fn remove(&mut self, granter: Node, holder: Node) {
        self.0 &= !Pairs::bit(granter, holder);
    }

    pub(crate) fn has(self, granter: Node, holder: Node) -> bool {
        self.0 & Pairs::bit(granter, holder) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The state of one node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Replica {
    pub(crate) membership: Membership,
    /// The epoch of the newest record that it has learned of.
    pub(crate) epoch: Epoch,
    /// Whether the grants of older epochs have expired.
    pub(crate) active: bool,
    pub(crate) log: UpdateLog,
    /// How much of its log it knows to be at every member.
    pub(crate) committed: u8,
    /// How much it has acknowledged as the tail of this epoch.
    pub(crate) acked: u8,
    pub(crate) pending: Pending,
    /// Whether it accepts no updates in this epoch.
    pub(crate) quiescing: bool,
    /// Whether it has reported that every member has those that it accepted.
    pub(crate) quiesced: bool,
    /// How much the learner that it is appending has acknowledged.
    pub(crate) learner_acked: u8,
    /// The epoch of the tail that synced it.
    pub(crate) synced_in: Epoch,
    /// The grants that existed when it learned that it is a member: reads may depend on them.
    pub(crate) implied: Pairs,
}

impl Replica {
    /// Returns whether it is in the chain of its epoch, as far as it knows.
    pub(crate) fn is_member(&self) -> bool {
        matches!(self.membership, Membership::Member | Membership::Restarted)
    }
}

/// A node's grant of a lease to another. It expires at the holder no later than at the granter,
/// which is all that this model knows of time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Grant {
    pub(crate) epoch: Epoch,
    /// Whether the holder still has it.
    pub(crate) held: bool,
    /// Whether the granter still remembers it.
    pub(crate) remembered: bool,
}

/// A compare-and-swap on its way to the register. It may arrive long after its sender gave up on
/// it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Proposal {
    pub(crate) base: Epoch,
    pub(crate) chain: Chain,
}

/// A violation of the protocol's guarantees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Violation {
    /// A read returned less than clients had already seen.
    StaleRead,
    /// An acknowledged update is lost, or in another order.
    LostAck,
    /// The logs of one chain do not nest.
    Fork,
    /// An update was executed twice.
    Twice,
}

/// The state of the whole cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ClusterState {
    pub(crate) replicas: Vec<Replica>,
    /// By granter and holder.
    pub(crate) grants: [[Grant; NODES_MAX]; NODES_MAX],
    /// The record of epoch `e` is at index `e - 1`.
    pub(crate) register: Vec<Chain>,
    pub(crate) in_flight: Vec<Proposal>,
    /// What a node that has left an epoch had forwarded in it, because that may still arrive.
    pub(crate) forwarded: [[UpdateLog; NODES_MAX]; EPOCHS_MAX],
    /// What it had acknowledged.
    pub(crate) acknowledged: [[u8; NODES_MAX]; EPOCHS_MAX],
    /// The longest log that any client has seen, by an acknowledgement or a read.
    pub(crate) shown: UpdateLog,
    pub(crate) restarts: u8,
    /// How often a reordering was proposed.
    pub(crate) orders: u8,
    pub(crate) violation: Option<Violation>,
}

impl ClusterState {
    /// Returns the epoch in the register.
    pub(crate) fn newest(&self) -> Epoch {
        Epoch::try_from(self.register.len()).expect("few epochs")
    }

    pub(crate) fn chain(&self, epoch: Epoch) -> &Chain {
        &self.register[usize::from(epoch) - 1]
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = Node> + use<> {
        (0..u8::try_from(self.replicas.len()).expect("few nodes")).map(Node)
    }

    pub(crate) fn replica(&self, node: Node) -> &Replica {
        &self.replicas[node.at()]
    }

    pub(crate) fn replica_mut(&mut self, node: Node) -> &mut Replica {
        &mut self.replicas[node.at()]
    }

    pub(crate) fn grant(&self, granter: Node, holder: Node) -> Grant {
        self.grants[granter.at()][holder.at()]
    }

    /// Replaces a grant. A node that waits for the previous one knows that it has ended, because a
    /// new one is given only to a holder that has shown its epoch.
    pub(crate) fn set_grant(&mut self, granter: Node, holder: Node, grant: Grant) {
        self.grants[granter.at()][holder.at()] = grant;
        for replica in &mut self.replicas {
            replica.implied.remove(granter, holder);
        }
    }

    /// Returns the grants on which reads may depend.
    pub(crate) fn held_grants(&self) -> Pairs {
        let mut pairs = Pairs::default();
        for granter in self.nodes() {
            for holder in self.nodes() {
                if self.grant(granter, holder).held {
                    pairs.insert(granter, holder);
                }
            }
        }
        pairs
    }

    pub(crate) fn propose(&mut self, base: Epoch, chain: Chain) {
        self.in_flight.push(Proposal { base, chain });
        self.in_flight.sort();
        self.in_flight.dedup();
    }
}
