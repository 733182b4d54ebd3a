//! The connections that a server beside the cores has open, up to a limit: those of the control port and
//! of the metrics.
//!
//! A connection is *busy* while its request is being handled, and *idle* before and after. A further
//! connection takes the place of the oldest idle one, so that clients that send nothing, or take
//! nothing, keep nobody out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

/// The tasks of the open connections, the oldest first.
#[derive(Debug)]
pub(crate) struct OpenConnections {
    max: usize,
    tasks: VecDeque<(AbortHandle, Activity)>,
}

/// Whether a connection is busy; shared with its task. Idle at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<AtomicBool>);

impl Activity {
    pub(crate) fn set_busy(&self, busy: bool) {
        self.0.store(busy, Ordering::Relaxed);
    }

    fn is_busy(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl OpenConnections {
    pub(crate) fn new(max: usize) -> OpenConnections {
        OpenConnections { max, tasks: VecDeque::new() }
    }

    /// Makes room for another connection, at the cost of the oldest idle one if need be. Returns
    /// `false` if all are busy.
    pub(crate) fn make_room(&mut self) -> bool {
        self.tasks.retain(|(task, _)| !task.is_finished());
        if self.tasks.len() < self.max {
            return true;
        }
        let idle = self.tasks.iter().position(|(_, activity)| !activity.is_busy());
        let Some((task, _)) = idle.and_then(|idle| self.tasks.remove(idle)) else { return false };
        task.abort();
        true
    }

    /// Closes the oldest connection, although it is busy.
    pub(crate) fn close_oldest(&mut self) {
        if let Some((task, _)) = self.tasks.pop_front() {
            task.abort();
        }
    }

    /// Adds the task of a connection for which there is room.
    pub(crate) fn add(&mut self, task: AbortHandle, activity: Activity) {
        self.tasks.push_back((task, activity));
    }

    /// Removes a connection without closing it.
    pub(crate) fn remove(&mut self, activity: &Activity) {
        self.tasks.retain(|(_, other)| !Arc::ptr_eq(&other.0, &activity.0));
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    #[test]
    fn the_oldest_idle_connection_goes_first() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut open = OpenConnections::new(3);
            let mut tasks: Vec<JoinHandle<()>> = Vec::new();
            let mut add = |open: &mut OpenConnections| {
                let (task, activity) = (tokio::spawn(std::future::pending()), Activity::default());
                open.add(task.abort_handle(), activity.clone());
                tasks.push(task);
                (tasks.len() - 1, activity)
            };
            let busy = [add(&mut open), add(&mut open)].map(|(_, activity)| activity);
            busy.iter().for_each(|activity| activity.set_busy(true));
            let (idle, _) = add(&mut open);
            assert!(open.make_room());
            let (last, activity) = add(&mut open);
            activity.set_busy(true);
            assert!(!open.make_room(), "all are busy");
            open.remove(&busy[1]);
            assert!(open.make_room());
            assert!(tasks.remove(idle).await.is_err_and(|error| error.is_cancelled()));
            assert!(!tasks.remove(last - 1).is_finished(), "the rest goes on");
        });
    }
}
