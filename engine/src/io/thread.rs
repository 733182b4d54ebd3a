//! The thread of a core: from an open listener to the end of the last connection.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use catena_protocol::operator::ShardStatus;
use crossbeam::channel::{Receiver, Sender, bounded};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::sync::oneshot;

use super::core::{Core, CoreConfig};
use super::runtime::{self, WakeReceiver};
use super::stream::Listener;
use crate::config::{COMMANDS_MAX, DRAIN_MS_MAX};
use crate::driver::Driver;
use crate::error::NodeError;
use crate::metrics::CoreCensus;
use catena_core::chain::member::MembershipView;
use catena_core::chain::record::NodeId;
use catena_core::unwind::panic_text;

/// A command to a core.
#[derive(Debug)]
pub(crate) enum Command {
    /// Stop, after the last replies have gone out.
    Stop,
    /// Count connections, objects and memory.
    Census(Sender<CoreCensus>),
    /// Begin another incarnation of the node: with empty shards, and not yet in the cluster.
    Begin(NodeId),
    /// Act according to this view from now on, and confirm with
    /// [`Notice::Ready`](super::Notice::Ready).
    View(Arc<MembershipView>),
    /// Report the state of each shard.
    Shards(oneshot::Sender<Vec<ShardStatus>>),
}

/// How the thread of a core ended.
#[derive(Debug)]
pub(crate) enum CoreEnd {
    /// By [`Command::Stop`].
    Stopped,
    /// It could not start, or found one of its invariants broken.
    Failed(NodeError),
}

/// The thread of a core, for the node that started it.
#[derive(Debug)]
pub(crate) struct CoreThread {
    hand: CoreHand,
    thread: Option<JoinHandle<()>>,
}

/// Sends commands to a core, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct CoreHand {
    commands: Sender<Command>,
    /// A byte written here wakes the core to receive its commands.
    waker: Arc<UnixStream>,
}

impl CoreHand {
    /// Sends a command. Returns `false` if the core has ended, or is too far behind with its
    /// commands.
    pub(crate) fn send(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok() && (&*self.waker).write_all(&[0]).is_ok()
    }
}

impl CoreThread {
    /// Starts a core on a listener that is already bound. `on_end` gets its end, once.
    pub(crate) fn spawn(
        config: CoreConfig,
        driver: Driver,
        pin_to: Option<usize>,
        listener: TcpListener,
        on_end: Sender<CoreEnd>,
    ) -> io::Result<CoreThread> {
        let (commands, receiver) = bounded(COMMANDS_MAX);
        let (waker, wake_receiver) = UnixStream::pair()?;
        let nonblocking = runtime::wants_nonblocking(driver);
        wake_receiver.set_nonblocking(nonblocking)?;
        listener.set_nonblocking(nonblocking)?;
        let core = config.index;
        let name = format!("catena-core-{core}");
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let body =
                AssertUnwindSafe(|| run(config, driver, pin_to, listener, wake_receiver, receiver));
            let end = match catch_unwind(body) {
                Ok(Ok(())) => CoreEnd::Stopped,
                Ok(Err(source)) => CoreEnd::Failed(NodeError::Core { core, source }),
                Err(payload) => {
                    let message = panic_text(&*payload).to_owned();
                    CoreEnd::Failed(NodeError::Panicked { thread: name, message })
                }
            };
            // The receiver is gone if the engine is being dropped.
            _ = on_end.send(end);
        })?;
        let hand = CoreHand { commands, waker: Arc::new(waker) };
        Ok(CoreThread { hand, thread: Some(thread) })
    }

    /// Returns what sends commands to the core.
    pub(crate) fn hand(&self) -> &CoreHand {
        &self.hand
    }

    /// Waits until the thread has ended.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread catches its panics");
        }
    }
}

fn run(
    config: CoreConfig,
    driver: Driver,
    pin_to: Option<usize>,
    listener: TcpListener,
    wake_receiver: UnixStream,
    commands: Receiver<Command>,
) -> io::Result<()> {
    if let Some(cpu) = pin_to {
        pin_this_thread(cpu).map_err(|errno| {
            io::Error::other(format!("cannot pin a thread to cpu {cpu}: {errno}"))
        })?;
    }
    runtime::block_on(driver, run_core(config, listener, wake_receiver, commands))?
}

fn pin_this_thread(cpu: usize) -> nix::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus)
}

/// The pause between two attempts to break connections that do not take their last replies.
const ABANDON_RETRY_MS: u64 = 100;

/// Runs a core: starts its tasks, obeys commands until it is to stop, and waits for its
/// connections.
async fn run_core(
    config: CoreConfig,
    listener: TcpListener,
    wake_receiver: UnixStream,
    commands: Receiver<Command>,
) -> io::Result<()> {
    let core = Rc::new(Core::new(config));
    let listener = Rc::new(Listener::from_std(listener)?);
    let mut wake_receiver = WakeReceiver::from_std(wake_receiver)?;
    let timing = runtime::spawn(core.clone().run_timer());
    let accepting = runtime::spawn(core.clone().accept(listener.clone()));
    let watching = runtime::spawn(core.clone().watch_cluster());
    let sweeping = runtime::spawn(core.clone().watch_connections());

    let mut buffer = vec![0; COMMANDS_MAX];
    let mut is_stopping = false;
    while !is_stopping {
        let (woken, returned) = wake_receiver.read(buffer).await;
        buffer = returned;
        // 0 bytes: all handles were dropped, so no command can come any more.
        is_stopping = woken? == 0;
        for command in commands.try_iter() {
            match command {
                Command::Stop => is_stopping = true,
                // The caller may have given up waiting.
                Command::Census(reply) => _ = reply.try_send(core.census()),
                Command::Begin(life) => core.begin_incarnation(life),
                Command::View(view) => core.apply_view(&view),
                Command::Shards(reply) => _ = reply.send(core.shard_status()),
            }
        }
    }
    core.stop(&listener);
    drop(listener);
    // A task that has not ended when the runtime does never frees what it holds.
    accepting.await;
    timing.await;
    watching.await;
    sweeping.await;
    if core.conns.len() > 0 {
        core.no_connections.notified_within(Some(Duration::from_millis(DRAIN_MS_MAX))).await;
    }
    while core.conns.len() > 0 {
        core.abandon();
        core.no_connections.notified_within(Some(Duration::from_millis(ABANDON_RETRY_MS))).await;
    }
    Ok(())
}
