//! What the cores are told, and what all of them together have said.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::chain::member::View;
use crate::chain::record::NodeId;
use crate::io::{Command, CoreHand};

/// The cores of the node.
#[derive(Debug)]
pub(super) struct CoreDesk {
    cores: Vec<Core>,
    /// The last view told: its gate, and the first view that had it.
    gate: Option<NodeId>,
    gate_since: u64,
    near: Chorus<(u32, NodeId)>,
    synced: Chorus<(u32, NodeId, u64)>,
    /// Which cores have no link to whom.
    unlinked: BTreeMap<NodeId, BTreeSet<u16>>,
}

#[derive(Debug)]
struct Core {
    hand: CoreHand,
    /// What there was no room for among its commands. Few: a member does not tell more views before
    /// some are confirmed.
    untold: VecDeque<Told>,
    ready: u64,
}

#[derive(Clone, Debug)]
enum Told {
    Begin(NodeId),
    View(Arc<View>),
}

/// Who of the cores has said something. Said by all, it has been said, and they begin anew.
#[derive(Debug)]
struct Chorus<T> {
    what: Option<T>,
    voices: BTreeSet<u16>,
}

impl<T: Copy + PartialEq> Chorus<T> {
    /// Whether with this voice all `cores` have said it.
    fn join(&mut self, core: u16, what: T, cores: usize) -> bool {
        if self.what != Some(what) {
            self.what = Some(what);
            self.voices.clear();
        }
        self.voices.insert(core);
        let is_full = self.voices.len() == cores;
        if is_full {
            self.voices.clear();
        }
        is_full
    }
}

impl CoreDesk {
    pub(super) fn new(hands: Vec<CoreHand>) -> CoreDesk {
        let core = |hand| Core { hand, untold: VecDeque::new(), ready: 0 };
        CoreDesk {
            cores: hands.into_iter().map(core).collect(),
            gate: None,
            gate_since: 0,
            near: Chorus { what: None, voices: BTreeSet::new() },
            synced: Chorus { what: None, voices: BTreeSet::new() },
            unlinked: BTreeMap::new(),
        }
    }

    pub(super) fn hands(&self) -> impl Iterator<Item = &CoreHand> {
        self.cores.iter().map(|core| &core.hand)
    }

    /// Another life of the node begins: what was said is about the last one.
    pub(super) fn begin(&mut self, life: NodeId) {
        *self = CoreDesk::new(self.cores.drain(..).map(|core| core.hand).collect());
        for core in &mut self.cores {
            core.tell(Told::Begin(life));
        }
    }

    pub(super) fn view(&mut self, view: View) {
        if self.gate != view.gate {
            (self.gate, self.gate_since) = (view.gate, view.number);
        }
        let is_near = |node| view.record.is_member(node) || view.learner == Some(node);
        self.unlinked.retain(|node, _| is_near(*node));
        let view = Arc::new(view);
        for core in &mut self.cores {
            core.tell(Told::View(view.clone()));
        }
    }

    /// Tells the cores what there was no room for before; says whether there still is not.
    pub(super) fn catch_up(&mut self) -> bool {
        self.cores.iter_mut().for_each(Core::catch_up);
        self.cores.iter().any(|core| !core.untold.is_empty())
    }

    /// A core acts according to a view; returns up to which all of them do.
    pub(super) fn on_ready(&mut self, core: u16, view: u64) -> u64 {
        if let Some(core) = self.cores.get_mut(usize::from(core)) {
            core.ready = core.ready.max(view);
        }
        self.cores.iter().map(|core| core.ready).min().unwrap_or_default()
    }

    /// A core has a link to a peer or none; returns whether all of them have.
    pub(super) fn on_link(&mut self, core: u16, peer: NodeId, up: bool) -> bool {
        if up {
            if let Some(cores) = self.unlinked.get_mut(&peer) {
                cores.remove(&core);
            }
        } else if self.unlinked.len() < UNLINKED_MAX {
            self.unlinked.entry(peer).or_default().insert(core);
        }
        self.unlinked.retain(|_, cores| !cores.is_empty());
        up && !self.unlinked.contains_key(&peer)
    }

    /// Returns whether all cores have said that the learner lacks little, since the last time.
    pub(super) fn on_near(&mut self, core: u16, epoch: u32, learner: NodeId) -> bool {
        self.near.join(core, (epoch, learner), self.cores.len())
    }

    /// Returns whether all cores have said that the learner has everything, each after it acknowledged
    /// nothing else: what a core says of a gate that stood before the present one does not count.
    pub(super) fn on_synced(&mut self, core: u16, epoch: u32, learner: NodeId, view: u64) -> bool {
        let is_gated = self.gate == Some(learner) && view >= self.gate_since;
        let what = (epoch, learner, self.gate_since);
        is_gated && self.synced.join(core, what, self.cores.len())
    }
}

/// Peers without a link that are remembered.
const UNLINKED_MAX: usize = 64;

impl Core {
    fn tell(&mut self, told: Told) {
        self.untold.push_back(told);
        self.catch_up();
    }

    fn catch_up(&mut self) {
        while let Some(told) = self.untold.front() {
            let command = match told {
                Told::Begin(life) => Command::Begin(*life),
                Told::View(view) => Command::View(view.clone()),
            };
            if !self.hand.send(command) {
                return;
            }
            self.untold.pop_front();
        }
    }
}

/// Cores that are told to stop when this is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct StopWithUs(pub(super) Vec<CoreHand>);

impl Drop for StopWithUs {
    fn drop(&mut self) {
        for core in &self.0 {
            // A core that is gone needs no telling. One that is too busy for its commands needs time.
            for _ in 0..STOP_TRIES {
                if core.send(Command::Stop) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(STOP_AGAIN_MS));
            }
        }
    }
}

const STOP_TRIES: u32 = 50;
const STOP_AGAIN_MS: u64 = 10;
