//! The control thread: a node's part in its cluster, beside the data.
//!
//! It owns the [`Member`](catena_core::chain::member::Member), the register, and the connections to the
//! control ports of other nodes. What the member decides it carries out; what happens it tells the
//! member, one thing at a time: notices of the cores, messages, what the register says, the time, and
//! what operators want. It never waits for any of them: whatever takes time is a task that says so
//! when it is done.
//!
//! 1. The member's clock is read after that what it is told has arrived.
//! 2. What belongs to an earlier life of the node is dropped, wherever it comes from.
//! 3. Every queue has a limit. Messages to other nodes are dropped beyond it, which the protocol
//!    bears; everybody else waits.
//! 4. When the thread ends, for whatever reason, the cores stop: without it they are no node.

mod cores;
mod founding;
mod frames;
mod greet;
mod links;
mod node;
mod notices;
mod operator;
mod peers;
mod records;
mod report;
mod voices;

use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use self::node::{Node, NodeStart};
use self::records::Records;
use crate::clock::Clock;
use crate::cluster::ClusterPlan;
use crate::engine::StartError;
use crate::io::{CoreEnd, CoreHand, Notice};
use catena_core::chain::record::{NodeId, NodeInfo};
use catena_core::unwind::panic_text;

/// What the control thread has to know of its node.
#[derive(Debug)]
pub(crate) struct ControlConfig {
    pub(crate) plan: ClusterPlan,
    pub(crate) info: NodeInfo,
    /// The node's first life.
    pub(crate) life: NodeId,
    pub(crate) clock: Clock,
}

/// The cores, once they run.
#[derive(Debug)]
pub(crate) struct Cores {
    pub(crate) hands: Vec<CoreHand>,
    pub(crate) notices: mpsc::Receiver<(u16, NodeId, Notice)>,
}

/// A running control thread, as the rest of the node sees it.
#[derive(Debug)]
pub(crate) struct ControlThread {
    stop: Arc<Notify>,
    life: Arc<Mutex<NodeId>>,
    thread: Option<JoinHandle<()>>,
}

/// A control thread that looks for its cluster and has no cores yet.
#[derive(Debug)]
pub(crate) struct Looking {
    control: ControlThread,
    /// How many shards the cluster has, once that is known.
    found: Receiver<Result<u32, StartError>>,
    cores: oneshot::Sender<Cores>,
}

impl Looking {
    /// Starts the thread on a listener that is already bound. `on_end` hears how it ended, once.
    pub(crate) fn spawn(
        config: ControlConfig,
        listener: TcpListener,
        on_end: Sender<CoreEnd>,
    ) -> io::Result<Looking> {
        listener.set_nonblocking(true)?;
        let stop = Arc::new(Notify::new());
        let life = Arc::new(Mutex::new(config.life));
        let (say_found, found) = bounded(1);
        let (cores, cores_come) = oneshot::channel();
        let (told_to_stop, told_life) = (stop.clone(), life.clone());
        let thread =
            std::thread::Builder::new().name("catena-control".to_owned()).spawn(move || {
                let _node = tracing::info_span!("node", name = config.info.name).entered();
                let body = AssertUnwindSafe(|| {
                    let main =
                        live(config, listener, told_life, told_to_stop, say_found, cores_come);
                    run(main)
                });
                let end = match catch_unwind(body) {
                    Ok(Ok(())) => CoreEnd::Stopped,
                    Ok(Err(error)) => CoreEnd::Failed(error),
                    Err(payload) => {
                        let said = panic_text(&*payload);
                        CoreEnd::Failed(format!("an invariant of the cluster is broken: {said}"))
                    }
                };
                // Nobody listens any more if the engine is being dropped.
                _ = on_end.send(end);
            })?;
        let control = ControlThread { stop, life, thread: Some(thread) };
        Ok(Looking { control, found, cores })
    }

    /// Waits until the number of the cluster's shards is known.
    pub(crate) fn shards(&self) -> Result<u32, StartError> {
        self.found.recv().unwrap_or_else(|_| {
            Err(StartError::Thread(io::Error::other("the control thread ended early")))
        })
    }

    /// Lets the node take part, with these cores.
    pub(crate) fn begin(self, cores: Cores) -> ControlThread {
        // If the thread has ended, it says so by itself.
        _ = self.cores.send(cores);
        self.control
    }
}

impl ControlThread {
    /// Tells the node to leave its cluster, and then to stop.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    /// The node's present life.
    pub(crate) fn life(&self) -> NodeId {
        *self.life.lock()
    }

    /// Waits until the thread has ended.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread catches its panics");
        }
    }
}

fn run(main: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the control thread: {error}"))?;
    let ended = tokio::task::LocalSet::new().block_on(&runtime, main);
    // A disk that hangs does not keep the node from ending.
    runtime.shutdown_background();
    ended
}

/// The thread's life.
async fn live(
    config: ControlConfig,
    listener: TcpListener,
    life: Arc<Mutex<NodeId>>,
    stop: Arc<Notify>,
    say_found: Sender<Result<u32, StartError>>,
    cores: oneshot::Receiver<Cores>,
) -> Result<(), String> {
    let ControlConfig { plan, info, life: me, clock } = config;
    let looked = async {
        let records = Records::open(&plan).await?;
        let found = founding::look(&records, &plan).await?;
        Ok((records, found))
    };
    let looked = tokio::select! {
        looked = looked => looked,
        () = plan.cancel.cancelled() => Err(StartError::Cancelled),
    };
    let (records, found) = match looked {
        Ok(looked) => looked,
        Err(error) => {
            // Whoever starts the node waits for it.
            _ = say_found.send(Err(error));
            return Ok(());
        }
    };
    _ = say_found.send(Ok(found.shards));
    let Ok(cores) = cores.await else { return Ok(()) };
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| format!("cannot use the control port: {error}"))?;
    let start = NodeStart { clock, cluster: plan.cluster, info, me, told: life };
    Node::start(start, found, records, cores, listener, stop)?.run().await
}

/// A number that nobody else draws.
pub(crate) fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    // Nobody is 0.
    u128::from_le_bytes(bytes).max(1)
}
