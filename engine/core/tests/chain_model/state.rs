//! What the model remembers: registers, members, grants and what clients have seen.

use std::fmt;

/// Nodes that a model can have.
pub(crate) const NODES_MAX: usize = 4;
/// Different updates that clients can ask for.
pub(crate) const WRITES_MAX: usize = 3;
/// Records that there can be, the first one included.
pub(crate) const EPOCHS_MAX: usize = 6;

/// Counts from 1; 0 is before any.
pub(crate) type Epoch = u8;

/// A node, and its place in every table.
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
pub(crate) struct Log {
    pub(crate) len: u8,
    writes: [u8; WRITES_MAX],
}

impl Log {
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

    pub(crate) fn is_prefix_of(&self, other: &Log) -> bool {
        other.writes().starts_with(self.writes())
    }

    /// Whether one of them is a prefix of the other.
    pub(crate) fn nests(&self, other: &Log) -> bool {
        self.is_prefix_of(other) || other.is_prefix_of(self)
    }

    /// Whether nothing was executed twice.
    pub(crate) fn is_once_each(&self) -> bool {
        let writes = self.writes();
        (1..writes.len()).all(|at| !writes[..at].contains(&writes[at]))
    }

    pub(crate) fn first(&self, len: u8) -> Log {
        let mut first = Log::default();
        self.writes()[..usize::from(len)].iter().for_each(|write| first.push(*write));
        first
    }
}

/// The members of an epoch, the head first. The register holds one for every epoch there has been.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Chain(pub(crate) Vec<Node>);

impl Chain {
    pub(crate) fn has(&self, node: Node) -> bool {
        self.0.contains(&node)
    }

    fn place(&self, node: Node) -> Option<usize> {
        self.0.iter().position(|member| *member == node)
    }

    pub(crate) fn predecessor(&self, node: Node) -> Option<Node> {
        self.place(node)?.checked_sub(1).map(|before| self.0[before])
    }

    pub(crate) fn successor(&self, node: Node) -> Option<Node> {
        self.0.get(self.place(node)? + 1).copied()
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

    /// Each member moves one place towards the head, whose place is the tail's.
    pub(crate) fn rotated(&self) -> Chain {
        let (head, rest) = self.0.split_first().expect("a chain has a member");
        Chain(rest.iter().chain([head]).copied().collect())
    }

    pub(crate) fn with(&self, node: Node) -> Chain {
        Chain(self.0.iter().copied().chain([node]).collect())
    }
}

/// Whether a node may take part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Standing {
    /// Not yet a member; perhaps a learner.
    Spare,
    /// In the chain of its epoch.
    Member,
    /// In the chain of its epoch, having forgotten everything but its log.
    Restarted,
    /// Saw a chain that it is not in. Never comes back under this name.
    Removed,
}

/// A change that a node has sent to the register and does not know the outcome of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Pending {
    Nothing,
    Removal,
    Append(Node),
    Reorder,
    Bump,
}

/// Pairs of granter and holder.
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

/// What one node knows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Replica {
    pub(crate) standing: Standing,
    /// Of the newest record it has learned.
    pub(crate) epoch: Epoch,
    /// Whether the grants from before this epoch are over.
    pub(crate) active: bool,
    pub(crate) log: Log,
    /// How much of its log it knows to be at every member.
    pub(crate) committed: u8,
    /// How much it has acknowledged as tail of this epoch.
    pub(crate) acked: u8,
    pub(crate) pending: Pending,
    /// It takes no updates in this epoch any more …
    pub(crate) resting: bool,
    /// … and has said that every member has those that it took.
    pub(crate) at_rest: bool,
    /// How much the learner that it is appending has acknowledged.
    pub(crate) learner_acked: u8,
    /// The epoch of the tail that it was synced from.
    pub(crate) synced_in: Epoch,
    /// Grants that were alive when it learned that it is a member: others may rest on them.
    pub(crate) implied: Pairs,
}

impl Replica {
    /// Whether it is in the chain of its epoch, as far as it knows.
    pub(crate) fn is_member(&self) -> bool {
        matches!(self.standing, Standing::Member | Standing::Restarted)
    }
}

/// One node's promise to another. It ends at the holder no later than at the granter, and that is
/// all there is of time in this model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Grant {
    pub(crate) epoch: Epoch,
    /// Whether the holder still has it.
    pub(crate) held: bool,
    /// Whether the granter still remembers it.
    pub(crate) remembered: bool,
}

/// A compare-and-swap on its way to the register. It may arrive long after everybody gave up on it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Proposal {
    pub(crate) base: Epoch,
    pub(crate) chain: Chain,
}

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Harm {
    /// A read returned less than what clients had already seen.
    StaleRead,
    /// What was acknowledged is gone, or in another order.
    LostAck,
    /// Logs of one chain do not nest.
    Fork,
    /// An update was executed twice.
    Twice,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) replicas: Vec<Replica>,
    /// By granter and holder.
    pub(crate) grants: [[Grant; NODES_MAX]; NODES_MAX],
    /// The record of epoch e at e - 1.
    pub(crate) register: Vec<Chain>,
    pub(crate) in_flight: Vec<Proposal>,
    /// What a node that has left an epoch had forwarded in it: it may still arrive.
    pub(crate) forwarded: [[Log; NODES_MAX]; EPOCHS_MAX],
    /// And what it had acknowledged.
    pub(crate) acknowledged: [[u8; NODES_MAX]; EPOCHS_MAX],
    /// The longest log that any client has been shown, by an acknowledgement or a read.
    pub(crate) shown: Log,
    pub(crate) restarts: u8,
    /// How often the order was to be changed.
    pub(crate) orders: u8,
    pub(crate) harm: Option<Harm>,
}

impl State {
    /// The epoch in the register.
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

    /// Replaces a grant. Whoever waited for the one before knows it to be over: a new one is given
    /// only to a holder that has shown its epoch.
    pub(crate) fn set_grant(&mut self, granter: Node, holder: Node, grant: Grant) {
        self.grants[granter.at()][holder.at()] = grant;
        for replica in &mut self.replicas {
            replica.implied.remove(granter, holder);
        }
    }

    /// The grants that somebody may rest a read on.
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
