//! The control thread: a node's part in its cluster, beside the data path.
//!
//! It owns the [`Member`](catena_core::chain::member::Member), the register, and the connections with
//! the control ports of other nodes. It tells the member what happens, one event at a time: reports of
//! the cores, messages, results of the register, the time, and requests of operators. Then it carries
//! out what the member decides. It never waits for any of that: everything that takes time is a task
//! that sends an event when it is done.
//!
//! 1. The member's clock is read after the event that it is told about has arrived.
//! 2. Everything that belongs to an earlier incarnation of the node is dropped.
//! 3. Every queue has a limit. Messages to other nodes are dropped beyond it, which the protocol
//!    allows; every other sender waits.
//! 4. When the thread ends, for any reason, the cores stop, because a node cannot serve without it.
//!
//! The modules from the bottom up, each of which imports only those before it: `random`, `frames`,
//! `peer_link`, `event`, `core_reports`, `cores`, `record_store`, `handshake`, `peer_clocks`, `peer_links`,
//! `bootstrap`, `reporter`, `node`.

mod bootstrap;
mod core_reports;
mod cores;
mod event;
mod frames;
mod handshake;
mod node;
mod peer_clocks;
mod peer_link;
mod peer_links;
mod random;
mod record_store;
mod reporter;

use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use catena_core::chain::record::{NodeId, NodeInfo};
use catena_core::unwind::panic_text;
use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

pub(crate) use self::cores::Cores;
use self::node::{ControlNode, NodeIdentity};
pub(crate) use self::random::random_u128;
use self::record_store::RecordStore;
use crate::clock::Clock;
use crate::cluster::ClusterPlan;
use crate::error::{NodeError, StartError};
use crate::io::CoreEnd;

/// What the control thread has to know of its node.
#[derive(Debug)]
pub(crate) struct ControlConfig {
    pub(crate) plan: ClusterPlan,
    pub(crate) info: NodeInfo,
    /// The node's first incarnation.
    pub(crate) incarnation: NodeId,
    pub(crate) clock: Clock,
}

/// A running control thread, as the rest of the node sees it.
#[derive(Debug)]
pub(crate) struct ControlThread {
    stop: Arc<Notify>,
    incarnation: Arc<Mutex<NodeId>>,
    thread: Option<JoinHandle<()>>,
}

/// A control thread that looks for its cluster and has no cores yet.
#[derive(Debug)]
pub(crate) struct StartingControl {
    control: ControlThread,
    /// The number of shards of the cluster, once it is known.
    shards: Receiver<Result<u32, StartError>>,
    cores: oneshot::Sender<Cores>,
}

const THREAD_NAME: &str = "catena-control";

impl StartingControl {
    /// Starts the thread on a listener that is already bound. `on_end` receives how it ended, once.
    pub(crate) fn spawn(
        config: ControlConfig,
        listener: TcpListener,
        on_end: Sender<CoreEnd>,
    ) -> io::Result<StartingControl> {
        listener.set_nonblocking(true)?;
        let stop = Arc::new(Notify::new());
        let incarnation = Arc::new(Mutex::new(config.incarnation));
        let (shards_sender, shards) = bounded(1);
        let (cores, cores_receiver) = oneshot::channel();
        let channels = Channels {
            stop: stop.clone(),
            incarnation: incarnation.clone(),
            shards: shards_sender,
            cores: cores_receiver,
        };
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
            let _node = tracing::info_span!("node", name = config.info.name).entered();
            let body = AssertUnwindSafe(|| block_on(run(config, listener, channels)));
            let end = match catch_unwind(body) {
                Ok(Ok(())) => CoreEnd::Stopped,
                Ok(Err(error)) => CoreEnd::Failed(error),
                Err(payload) => {
                    let message = panic_text(&*payload).to_owned();
                    let thread = THREAD_NAME.to_owned();
                    CoreEnd::Failed(NodeError::Panicked { thread, message })
                }
            };
            // The receiver is gone if the engine is being dropped.
            _ = on_end.send(end);
        })?;
        let control = ControlThread { stop, incarnation, thread: Some(thread) };
        Ok(StartingControl { control, shards, cores })
    }

    /// Waits until the number of the cluster's shards is known.
    pub(crate) fn shards(&self) -> Result<u32, StartError> {
        self.shards.recv().unwrap_or_else(|_| {
            Err(StartError::Thread(io::Error::other("the control thread ended early")))
        })
    }

    /// Lets the node join its cluster, with these cores.
    pub(crate) fn begin(self, cores: Cores) -> ControlThread {
        // If the thread has ended, it reports that itself.
        _ = self.cores.send(cores);
        self.control
    }
}

impl ControlThread {
    /// Tells the node to leave its cluster and then stop.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Returns the node's present incarnation.
    pub(crate) fn incarnation(&self) -> NodeId {
        *self.incarnation.lock()
    }

    /// Waits until the thread has ended.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread catches its panics");
        }
    }
}

/// The thread's ends of the channels to the rest of the node.
struct Channels {
    stop: Arc<Notify>,
    incarnation: Arc<Mutex<NodeId>>,
    shards: Sender<Result<u32, StartError>>,
    cores: oneshot::Receiver<Cores>,
}

fn block_on(main: impl Future<Output = Result<(), NodeError>>) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NodeError::Control)?;
    let ended = tokio::task::LocalSet::new().block_on(&runtime, main);
    // A disk that hangs does not keep the node from ending.
    runtime.shutdown_background();
    ended
}

async fn run(
    config: ControlConfig,
    listener: TcpListener,
    channels: Channels,
) -> Result<(), NodeError> {
    let ControlConfig { plan, info, incarnation: me, clock } = config;
    let Channels { stop, incarnation, shards, cores } = channels;
    let finding = async {
        let store = RecordStore::open(&plan).await?;
        let bootstrap = bootstrap::find_cluster(&store, &plan).await?;
        Ok((store, bootstrap))
    };
    let found = tokio::select! {
        found = finding => found,
        () = plan.cancel.cancelled() => Err(StartError::Cancelled),
    };
    let (store, bootstrap) = match found {
        Ok(found) => found,
        Err(error) => {
            // The caller that starts the node receives the error.
            _ = shards.send(Err(error));
            return Ok(());
        }
    };
    _ = shards.send(Ok(bootstrap.shards));
    let Ok(cores) = cores.await else { return Ok(()) };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(NodeError::Control)?;
    let identity = NodeIdentity { clock, cluster: plan.cluster, info, me, published: incarnation };
    ControlNode::start(identity, bootstrap, store, cores, listener, stop)?.run().await
}
