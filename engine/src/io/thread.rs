//! The thread of a core: from an open listener to the end of the last connection.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use catena_protocol::operator::ShardStatus;
use crossbeam::channel::{Receiver, Sender, bounded};
use monoio::io::AsyncReadRent;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};
use tokio::sync::oneshot;

use super::core::{Core, CoreConfig};
use crate::config::{COMMANDS_MAX, DRAIN_MS_MAX, RING_ENTRIES};
use crate::driver::Driver;
use crate::error::NodeError;
use crate::metrics::CoreCensus;
use catena_core::chain::member::View;
use catena_core::chain::record::NodeId;
use catena_core::unwind::panic_text;

/// What is asked of a core.
#[derive(Debug)]
pub(crate) enum Command {
    /// Stop, after the last replies have gone out.
    Stop,
    /// Say what you hold.
    Census(Sender<CoreCensus>),
    /// Begin another life of the node: with empty shards, and no place in the cluster yet.
    Begin(NodeId),
    /// Act according to this view from now on, and say [`Notice::Ready`](super::Notice::Ready).
    View(Arc<View>),
    /// Say how the shards stand.
    Shards(oneshot::Sender<Vec<ShardStatus>>),
}

/// How the thread of a core ended.
#[derive(Debug)]
pub(crate) enum CoreEnd {
    /// It was told to stop.
    Stopped,
    /// It could not start, or broke one of its own invariants.
    Failed(NodeError),
}

/// A running core, as the rest of the node sees it.
#[derive(Debug)]
pub(crate) struct CoreThread {
    hand: CoreHand,
    thread: Option<JoinHandle<()>>,
}

/// What reaches a core from any thread.
#[derive(Clone, Debug)]
pub(crate) struct CoreHand {
    commands: Sender<Command>,
    /// A byte in here wakes the core to look at its commands.
    waker: Arc<UnixStream>,
}

impl CoreHand {
    /// Hands a command to the core; false if it is gone, or has not looked at many before.
    pub(crate) fn send(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok() && (&*self.waker).write_all(&[0]).is_ok()
    }
}

impl CoreThread {
    /// Starts a core on a listener that is already bound. `on_end` hears how it ended, once.
    pub(crate) fn spawn(
        config: CoreConfig,
        driver: Driver,
        pin_to: Option<usize>,
        listener: TcpListener,
        on_end: Sender<CoreEnd>,
    ) -> io::Result<CoreThread> {
        let (commands, receiver) = bounded(COMMANDS_MAX);
        let (waker, wakened) = UnixStream::pair()?;
        // io_uring waits in the kernel, epoll outside.
        wakened.set_nonblocking(driver == Driver::Epoll)?;
        listener.set_nonblocking(driver == Driver::Epoll)?;
        let core = config.index;
        let name = format!("catena-core-{core}");
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let body =
                AssertUnwindSafe(|| run(config, driver, pin_to, listener, wakened, receiver));
            let end = match catch_unwind(body) {
                Ok(Ok(())) => CoreEnd::Stopped,
                Ok(Err(source)) => CoreEnd::Failed(NodeError::Core { core, source }),
                Err(payload) => {
                    let message = panic_text(&*payload).to_owned();
                    CoreEnd::Failed(NodeError::Panicked { thread: name, message })
                }
            };
            // Nobody listens any more if the engine is being dropped.
            _ = on_end.send(end);
        })?;
        let hand = CoreHand { commands, waker: Arc::new(waker) };
        Ok(CoreThread { hand, thread: Some(thread) })
    }

    /// What reaches it.
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
    wakened: UnixStream,
    commands: Receiver<Command>,
) -> io::Result<()> {
    if let Some(cpu) = pin_to {
        monoio::utils::bind_to_cpu_set([cpu]).map_err(|errno| {
            io::Error::other(format!("cannot pin a thread to cpu {cpu}: {errno}"))
        })?;
    }
    let main = live(config, listener, wakened, commands);
    match driver {
        Driver::IoUring => io_uring_runtime()?.block_on(main),
        Driver::Epoll => {
            RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?.block_on(main)
        }
        Driver::Auto => unreachable!("the engine chose a driver"),
    }
}

/// A ring that only this thread submits to, and whose completions do not interrupt it. Not
/// `DEFER_TASKRUN`: monoio never reaps its completions while a task spins.
pub(crate) fn ring_builder() -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun();
    builder
}

fn io_uring_runtime() -> io::Result<Runtime<monoio::time::TimeDriver<IoUringDriver>>> {
    RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(RING_ENTRIES)
        .uring_builder(ring_builder())
        .enable_timer()
        .build()
}

/// A core's life.
async fn live(
    config: CoreConfig,
    listener: TcpListener,
    wakened: UnixStream,
    commands: Receiver<Command>,
) -> io::Result<()> {
    let core = Rc::new(Core::new(config));
    let listener_fd = listener.as_raw_fd();
    let listener = monoio::net::TcpListener::from_std(listener)?;
    let mut wakened = monoio::net::UnixStream::from_std(wakened)?;
    let keeping_time = monoio::spawn(core.clone().keep_time());
    let accepting = monoio::spawn(core.clone().accept(listener));
    let watching = monoio::spawn(core.clone().watch());

    let mut buffer = vec![0; COMMANDS_MAX];
    let mut told_to_stop = false;
    while !told_to_stop {
        let (woken, returned) = wakened.read(buffer).await;
        buffer = returned;
        // Whoever held the other end is gone: nobody can ask for anything any more.
        told_to_stop = woken? == 0;
        for command in commands.try_iter() {
            match command {
                Command::Stop => told_to_stop = true,
                // Whoever asked may have lost patience.
                Command::Census(reply) => _ = reply.try_send(core.census()),
                Command::Begin(life) => core.begin(life),
                Command::View(view) => core.look(&view),
                Command::Shards(reply) => _ = reply.send(core.shards()),
            }
        }
    }
    core.stop(listener_fd);
    // A task that is left behind keeps what it holds for ever.
    accepting.await;
    keeping_time.await;
    watching.await;
    if core.conns.len() > 0 {
        core.deserted.notified_within(Some(Duration::from_millis(DRAIN_MS_MAX))).await;
    }
    while core.conns.len() > 0 {
        core.abandon();
        core.deserted.notified_within(Some(Duration::from_millis(100))).await;
    }
    Ok(())
}
