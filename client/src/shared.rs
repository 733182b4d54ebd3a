//! What the clones of a client share: its settings, and the nodes that are not in use.
//!
//! A [`Node`] has connections, and a session in each shard; it serves one call at a time. A call
//! checks a node out, or makes one, and returns it at its end.
//!
//! 1. A call waits for another one only if there are [`calls_max`](Config::calls_max) of them. Those
//!    that wait inside the engine are fewer, so that there is always room for others.
//! 2. A thread gets the node that it used last, if that is free. So a program with one thread has
//!    one node, and what it does follows in one session.
//! 3. Holds end with the session that took them. So a node is not closed while it may hold something,
//!    and meanwhile it is left to the guard and to the thread that took it: their requests keep the
//!    session alive. Other threads use it only if no more nodes may be made.
//! 4. What one node learns about the cluster, the others follow when they are used next.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::buffer::Pool;
use crate::cancel::locked;
use crate::config::{Config, IDLE_NODE_MAX, KEPT_HOLDS_MAX};
use crate::node::Node;
use crate::request::{Addressee, Failure};
use crate::topology::Topology;

pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) buffers: Arc<Pool>,
    /// When the caller's function ends.
    deadline: Mutex<Option<Instant>>,
    nodes: Mutex<Nodes>,
    /// A call has returned its node.
    returned: Condvar,
    /// Holds without a guard, the newest last.
    kept: Mutex<Vec<KeptHold>>,
}

struct Nodes {
    phase: Phase,
    /// In the order of their return.
    idle: Vec<IdleNode>,
    /// What other nodes are made from: one without connections and sessions.
    model: Box<Node>,
    /// The number of changes of the model.
    changes: u64,
    /// How often the sessions were forgotten.
    forgotten: u64,
    /// The number of calls in progress, and how many of them may wait inside the engine.
    calls: u32,
    waits: u32,
    /// The number of threads that wait for the end of another call.
    queued: u32,
}

/// Whether calls are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

struct IdleNode {
    node: Box<Node>,
    /// The thread that used it last.
    thread: u64,
}

/// Whether a call may wait inside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallClass {
    Immediate,
    MayWait,
}

impl CallClass {
    pub(crate) fn of(wait: Option<Duration>) -> CallClass {
        if wait.is_some() { CallClass::MayWait } else { CallClass::Immediate }
    }
}

/// Identifies a node, and says what it holds.
#[derive(Debug, Default)]
pub(crate) struct NodeKey {
    /// The number of guards of its holds.
    guards: AtomicU32,
    /// The number of its holds that have outlasted their guards and were not released by their tokens.
    kept: AtomicU32,
}

/// A hold that has outlasted its guard.
#[derive(Debug)]
struct KeptHold {
    object: Addressee,
    token: u64,
    key: Arc<NodeKey>,
}

/// Keeps the node that has taken a hold, as long as the guard of the hold exists.
#[derive(Debug)]
pub(crate) struct HoldKeeper {
    key: Arc<NodeKey>,
}

impl HoldKeeper {
    pub(crate) fn new(key: Arc<NodeKey>) -> HoldKeeper {
        key.guards.fetch_add(1, Ordering::Relaxed);
        HoldKeeper { key }
    }

    pub(crate) fn key(&self) -> &Arc<NodeKey> {
        &self.key
    }
}

impl Drop for HoldKeeper {
    fn drop(&mut self) {
        self.key.guards.fetch_sub(1, Ordering::Relaxed);
    }
}

impl NodeKey {
    pub(crate) fn has_guards(&self) -> bool {
        self.guards.load(Ordering::Relaxed) > 0
    }

    /// Whether it may have a hold, with or without a guard.
    pub(crate) fn may_hold(&self) -> bool {
        self.has_guards() || self.kept.load(Ordering::Relaxed) > 0
    }
}

impl Shared {
    pub(crate) fn new(node: Node, buffers: Arc<Pool>, deadline: Option<Instant>) -> Shared {
        let nodes = Nodes {
            phase: Phase::Open,
            model: Box::new(node.sibling()),
            idle: vec![IdleNode { node: Box::new(node), thread: this_thread() }],
            changes: 0,
            forgotten: 0,
            calls: 0,
            waits: 0,
            queued: 0,
        };
        Shared {
            config: Arc::clone(&nodes.model.config),
            buffers,
            deadline: Mutex::new(deadline),
            nodes: Mutex::new(nodes),
            returned: Condvar::new(),
            kept: Mutex::default(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        *locked(&self.deadline)
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        *locked(&self.deadline) = deadline;
    }

    /// Remembers which node has taken a hold, for calls that name its token.
    pub(crate) fn keep(&self, object: Addressee, token: u64, keeper: &HoldKeeper) {
        keeper.key.kept.fetch_add(1, Ordering::Relaxed);
        let mut kept = locked(&self.kept);
        if kept.len() >= KEPT_HOLDS_MAX {
            kept.remove(0);
        }
        kept.push(KeptHold { object, token, key: Arc::clone(&keeper.key) });
    }

    /// The node that has taken a hold. Forgets that if the hold `ends`.
    pub(crate) fn keeper_of(
        &self,
        object: Addressee,
        token: u64,
        ends: bool,
    ) -> Option<Arc<NodeKey>> {
        let mut kept = locked(&self.kept);
        let at = kept.iter().rposition(|held| (held.object, held.token) == (object, token))?;
        match ends {
            true => {
                let key = kept.remove(at).key;
                key.kept.fetch_sub(1, Ordering::Relaxed);
                Some(key)
            }
            false => Some(Arc::clone(&kept[at].key)),
        }
    }

    /// Reads from the topology that is known.
    pub(crate) fn topology<T>(&self, read: impl FnOnce(&Topology) -> T) -> T {
        read(&locked(&self.nodes).model.topology)
    }

    /// Takes a node for a call: the one with this key if it is free, otherwise the one that this
    /// thread used last, another one, or a new one.
    ///
    /// # Errors
    ///
    /// If the client is closed, or if there are too many calls until the call timeout is over.
    pub(crate) fn check_out(
        &self,
        class: CallClass,
        via: Option<&Arc<NodeKey>>,
    ) -> Result<CheckedOutNode<'_>, Failure> {
        let mut nodes = locked(&self.nodes);
        let mut until = None;
        while nodes.phase == Phase::Open && !nodes.has_room(class, &self.config) {
            let until = *until.get_or_insert_with(|| Instant::now() + self.config.call_timeout);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::TooManyCalls { calls_max: self.config.calls_max });
            }
            nodes.queued += 1;
            let woken = self.returned.wait_timeout(nodes, left);
            nodes = woken.unwrap_or_else(PoisonError::into_inner).0;
            nodes.queued -= 1;
        }
        if nodes.phase == Phase::Closed {
            return Err(Failure::Closed);
        }
        nodes.calls += 1;
        nodes.waits += u32::from(class == CallClass::MayWait);
        let mut thread = this_thread();
        let node = match nodes.choose(thread, via, &self.config) {
            Some(at) => {
                let idle = nodes.idle.remove(at);
                // Whose requests keep what it holds alive.
                if idle.node.may_hold(Instant::now()) {
                    thread = idle.thread;
                }
                idle.node
            }
            None => Box::new(nodes.model.sibling()),
        };
        let mut checked_out = CheckedOutNode {
            shared: self,
            node: Some(node),
            class,
            thread,
            forgotten: nodes.forgotten,
            was_panicking: std::thread::panicking(),
        };
        if checked_out.node().changes_seen != nodes.changes {
            let changes = nodes.changes;
            checked_out.node().follow(&nodes.model, &self.buffers);
            checked_out.node().changes_seen = changes;
        }
        Ok(checked_out)
    }

    /// Takes a node back.
    fn check_in(&self, mut node: Box<Node>, returned: &CheckedOutNode<'_>) {
        let CheckedOutNode { class, thread, forgotten, was_panicking, .. } = *returned;
        let mut nodes = locked(&self.nodes);
        if nodes.phase == Phase::Closed && nodes.forgotten == forgotten {
            // Before this call counts as ended, because `close` waits for it.
            drop(nodes);
            node.close_sessions(Instant::now() + self.config.call_timeout, &self.buffers);
            nodes = locked(&self.nodes);
        }
        nodes.calls -= 1;
        nodes.waits -= u32::from(class == CallClass::MayWait);
        if nodes.queued > 0 || nodes.phase == Phase::Closed {
            self.returned.notify_all();
        }
        // What was copied with the process belongs to the other copy, and after a panic the state of
        // a node is not known.
        let has_panicked = std::thread::panicking() && !was_panicking;
        let is_lost = nodes.forgotten != forgotten || has_panicked;
        if is_lost || nodes.phase == Phase::Closed {
            return;
        }
        nodes.learn_from(&mut node);
        let now = Instant::now();
        node.used_at = now;
        nodes.idle.push(IdleNode { node, thread });
        if nodes.idle.len() > 1
            && let Some(mut unused) = nodes.take_unused(now)
        {
            drop(nodes);
            unused.close_sessions(Instant::now(), &self.buffers);
        }
    }

    /// Drops all connections and sessions without closing them.
    pub(crate) fn forget_sessions(&self) {
        let mut nodes = locked(&self.nodes);
        nodes.forgotten += 1;
        nodes.changes += 1;
        nodes.model.forget_sessions();
        nodes.idle.clear();
    }

    /// Refuses calls from now on, and closes all sessions. Waits until the engine has done so and the
    /// calls in progress have ended, at most until the timeout of a call is over.
    pub(crate) fn close(&self) {
        let deadline = Instant::now() + self.config.call_timeout;
        let mut nodes = locked(&self.nodes);
        nodes.phase = Phase::Closed;
        self.returned.notify_all();
        let idle = std::mem::take(&mut nodes.idle);
        drop(nodes);
        for mut idle in idle {
            idle.node.close_sessions(deadline, &self.buffers);
        }
        let mut nodes = locked(&self.nodes);
        while nodes.calls > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.returned.wait_timeout(nodes, left);
            nodes = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let nodes = self.nodes.get_mut().unwrap_or_else(PoisonError::into_inner);
        for idle in &mut nodes.idle {
            // Without waiting: a client may be dropped because something has failed.
            idle.node.close_sessions(Instant::now(), &self.buffers);
        }
    }
}

impl Nodes {
    /// Whether another call may begin.
    fn has_room(&self, class: CallClass, config: &Config) -> bool {
        let has_room = self.calls < config.calls_max;
        has_room && (class == CallClass::Immediate || self.waits < config.waits_max())
    }

    /// The idle node for a call.
    fn choose(&self, thread: u64, via: Option<&Arc<NodeKey>>, config: &Config) -> Option<usize> {
        if let Some(key) = via
            && let Some(at) = self.idle.iter().position(|idle| Arc::ptr_eq(&idle.node.key, key))
        {
            return Some(at);
        }
        if let Some(at) = self.idle.iter().rposition(|idle| idle.thread == thread) {
            return Some(at);
        }
        let now = Instant::now();
        if let Some(at) = self.idle.iter().rposition(|idle| !idle.node.may_hold(now)) {
            return Some(at);
        }
        // This call is counted already.
        let may_make = self.idle.len() + self.calls as usize <= config.calls_max as usize;
        if may_make {
            return None;
        }
        let without_guards = self.idle.iter().rposition(|idle| !idle.node.key.has_guards());
        without_guards.or(self.idle.len().checked_sub(1))
    }

    /// Records what a node has learnt about the cluster during a call.
    fn learn_from(&mut self, node: &mut Node) {
        if !std::mem::take(&mut node.has_changed) {
            return;
        }
        if self.model.learn_from(node) {
            self.changes += 1;
            node.changes_seen = self.changes;
        }
    }

    /// Takes a node out that was not used for long and holds nothing.
    fn take_unused(&mut self, now: Instant) -> Option<Box<Node>> {
        let is_unused = |idle: &IdleNode| {
            now.saturating_duration_since(idle.node.used_at) >= IDLE_NODE_MAX
                && !idle.node.may_hold(now)
        };
        let at = self.idle.iter().position(is_unused)?;
        Some(self.idle.remove(at).node)
    }
}

/// A node that serves a call. Returns at the end of the call.
pub(crate) struct CheckedOutNode<'s> {
    shared: &'s Shared,
    /// There until it is returned.
    node: Option<Box<Node>>,
    class: CallClass,
    /// The thread whose node it is.
    thread: u64,
    forgotten: u64,
    /// The call is one of a destructor while the thread unwinds.
    was_panicking: bool,
}

impl CheckedOutNode<'_> {
    pub(crate) fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("a node is returned at the end of its call")
    }
}

impl Drop for CheckedOutNode<'_> {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            self.shared.check_in(node, self);
        }
    }
}

/// A number for this thread.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    // While the thread ends, any number is as good.
    NUMBER
        .try_with(|number| {
            if number.get() == 0 {
                number.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            number.get()
        })
        .unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]
mod tests {
    use catena_engine::Engine;

    use super::*;
    use crate::Client;

    /// An engine, and what a client shares that has two idle nodes.
    fn two_idle() -> (Engine, Client, Arc<Shared>) {
        let engine = Engine::builder().cores(1).start().unwrap();
        let client = Client::connect(engine.addresses()[0]).unwrap();
        let shared = Arc::clone(&client.counter("a").requester.shared);
        let both = [(); 2].map(|()| shared.check_out(CallClass::Immediate, None).ok().unwrap());
        drop(both);
        assert_eq!(locked(&shared.nodes).idle.len(), 2);
        (engine, client, shared)
    }

    #[test]
    fn a_node_that_holds_nothing_is_closed_when_it_was_idle_for_long() {
        let (_engine, _client, shared) = two_idle();
        let mut nodes = locked(&shared.nodes);
        let later = Instant::now() + IDLE_NODE_MAX;
        assert!(nodes.take_unused(Instant::now()).is_none());
        let keeper = HoldKeeper::new(Arc::clone(&nodes.idle[0].node.key));
        let second = Arc::clone(&nodes.idle[1].node.key);
        let unused = nodes.take_unused(later).unwrap();
        assert!(Arc::ptr_eq(&unused.key, &second), "the first one has a guard");
        assert!(nodes.take_unused(later).is_none());
        drop(keeper);
        nodes.idle[0].node.on_held(Some(2 * IDLE_NODE_MAX));
        assert!(nodes.take_unused(later).is_none(), "it has a hold without a guard");
        assert!(nodes.take_unused(later + 2 * IDLE_NODE_MAX).is_some());
    }

    #[test]
    fn a_thread_gets_its_node_and_leaves_those_with_guards() {
        let (_engine, _client, shared) = two_idle();
        let key = |via: Option<&Arc<NodeKey>>| {
            let mut call = shared.check_out(CallClass::Immediate, via).ok().unwrap();
            Arc::clone(&call.node().key)
        };
        let first = Arc::clone(&locked(&shared.nodes).idle[0].node.key);
        let mine = key(None);
        assert!(!Arc::ptr_eq(&mine, &first), "the one that was returned last");
        assert!(Arc::ptr_eq(&mine, &key(None)), "and that again");
        assert!(Arc::ptr_eq(&key(Some(&first)), &first), "or the one that a guard names");
        let keepers = [&first, &mine].map(|key| HoldKeeper::new(Arc::clone(key)));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| key(None)).join().unwrap();
            assert!(!Arc::ptr_eq(&other, &first) && !Arc::ptr_eq(&other, &mine));
        });
        drop(keepers);
        assert_eq!(locked(&shared.nodes).idle.len(), 3);
    }
}
