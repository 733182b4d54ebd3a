//! What the cores are told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::voices::Voices;
use crate::io::{Command, CoreHand};
use catena_core::chain::member::MembershipView;
use catena_core::chain::record::NodeId;

/// The cores of the node.
#[derive(Debug)]
pub(super) struct CoreDesk {
    cores: Vec<Core>,
    pub(super) voices: Voices,
}

#[derive(Debug)]
struct Core {
    hand: CoreHand,
    /// What there was no room for among its commands. Few: a member does not tell more views before
    /// some are confirmed.
    untold: VecDeque<Told>,
}

#[derive(Clone, Debug)]
enum Told {
    Begin(NodeId),
    View(Arc<MembershipView>),
}

impl CoreDesk {
    pub(super) fn new(hands: Vec<CoreHand>) -> CoreDesk {
        let core = |hand| Core { hand, untold: VecDeque::new() };
        let voices = Voices::of(hands.len());
        CoreDesk { cores: hands.into_iter().map(core).collect(), voices }
    }

    pub(super) fn hands(&self) -> impl Iterator<Item = &CoreHand> {
        self.cores.iter().map(|core| &core.hand)
    }

    /// Another life of the node begins: what was said is about the last one.
    pub(super) fn begin(&mut self, life: NodeId) {
        self.voices = Voices::of(self.cores.len());
        for core in &mut self.cores {
            core.untold.clear();
            core.tell(Told::Begin(life));
        }
    }

    pub(super) fn view(&mut self, view: MembershipView) {
        self.voices.on_view(&view);
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
}

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
                std::thread::sleep(STOP_AGAIN);
            }
        }
    }
}

const STOP_TRIES: u32 = 50;
const STOP_AGAIN: Duration = Duration::from_millis(10);
