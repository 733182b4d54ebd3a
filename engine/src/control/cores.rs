//! Commands to the cores of the node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use catena_core::chain::member::MembershipView;
use catena_core::chain::record::NodeId;
use tokio::sync::mpsc;

use super::core_reports::CoreReports;
use crate::io::{Command, CoreHand, Notice};

/// The cores, once they run.
#[derive(Debug)]
pub(crate) struct Cores {
    pub(crate) hands: Vec<CoreHand>,
    /// What they report: the core, the incarnation of the node, and the report.
    pub(crate) notices: mpsc::Receiver<(u16, NodeId, Notice)>,
}

/// The cores of the node, and what they have reported.
#[derive(Debug)]
pub(super) struct CoreGroup {
    cores: Vec<CoreQueue>,
    pub(super) reports: CoreReports,
}

#[derive(Debug)]
struct CoreQueue {
    hand: CoreHand,
    /// Commands for which the core had no room. There are few, because a member waits for the
    /// confirmation of a view before it has many more.
    unsent: VecDeque<CoreCommand>,
}

#[derive(Clone, Debug)]
enum CoreCommand {
    Begin(NodeId),
    View(Arc<MembershipView>),
}

impl CoreGroup {
    pub(super) fn new(hands: Vec<CoreHand>) -> CoreGroup {
        let queue = |hand| CoreQueue { hand, unsent: VecDeque::new() };
        let reports = CoreReports::new(hands.len());
        CoreGroup { cores: hands.into_iter().map(queue).collect(), reports }
    }

    pub(super) fn hands(&self) -> impl Iterator<Item = &CoreHand> {
        self.cores.iter().map(|core| &core.hand)
    }

    /// Begins another incarnation of the node: earlier commands and reports are about the last one.
    pub(super) fn begin(&mut self, incarnation: NodeId) {
        self.reports = CoreReports::new(self.cores.len());
        for core in &mut self.cores {
            core.unsent.clear();
            core.send(CoreCommand::Begin(incarnation));
        }
    }

    pub(super) fn view(&mut self, view: MembershipView) {
        self.reports.on_view(&view);
        let view = Arc::new(view);
        for core in &mut self.cores {
            core.send(CoreCommand::View(view.clone()));
        }
    }

    /// Sends the commands for which there was no room before; returns whether some are still unsent.
    pub(super) fn retry(&mut self) -> bool {
        self.cores.iter_mut().for_each(CoreQueue::retry);
        self.cores.iter().any(|core| !core.unsent.is_empty())
    }
}

impl CoreQueue {
    fn send(&mut self, command: CoreCommand) {
        self.unsent.push_back(command);
        self.retry();
    }

    fn retry(&mut self) {
        while let Some(command) = self.unsent.front() {
            let command = match command {
                CoreCommand::Begin(incarnation) => Command::Begin(*incarnation),
                CoreCommand::View(view) => Command::View(view.clone()),
            };
            if !self.hand.send(command) {
                return;
            }
            self.unsent.pop_front();
        }
    }
}

/// Stops the cores when it is dropped, on every way out of the control thread.
#[derive(Debug)]
pub(super) struct StopCoresOnDrop(pub(super) Vec<CoreHand>);

impl Drop for StopCoresOnDrop {
    fn drop(&mut self) {
        for core in &self.0 {
            // A core that has ended needs no command; a busy one needs time to make room for it.
            for _ in 0..STOP_TRIES {
                if core.send(Command::Stop) {
                    break;
                }
                std::thread::sleep(STOP_RETRY);
            }
        }
    }
}

const STOP_TRIES: u32 = 50;
const STOP_RETRY: Duration = Duration::from_millis(10);
