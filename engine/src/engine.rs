//! Starting and stopping a node.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_core::chain::record::NodeId;
use catena_core::objects::user::Object;
use catena_core::shard::{Seq, Types};
use catena_protocol::ShardMap;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use crate::clock::{Clock, unix_time};
use crate::cluster::{CancelHandle, Cluster, ClusterPlan, host_name};
use crate::config::{
    BACKLOG, CENSUS_TIME_MAX, CONNECTIONS_DEFAULT, CONNECTIONS_MAX, MEMORY_BYTES_DEFAULT,
    MEMORY_BYTES_MIN, NOTICES_MAX, PORT_DEFAULT, RESIDENT_BYTES, RESIDENT_FACTOR, SHARDS_PER_CORE,
    SPIN_US_MAX,
};
use crate::control::{ControlConfig, ControlThread, Cores, StartingControl, random_u128};
use crate::driver::Driver;
use crate::error::{NodeError, StartError};
use crate::io::{
    Command, CoreCluster, CoreConfig, CoreEnd, CoreHand, CoreThread, Notice, probe_io_uring,
    set_client_options,
};
use crate::metrics::{CoreCensus, Counters, Exporters, Metrics, MetricsReader, NodeLabels};
use crate::resident::{ResidentLimit, ResidentWatch};

/// The options of a node, and how to start it.
#[derive(Clone, Debug)]
pub struct Builder {
    listen: SocketAddr,
    cores: Vec<usize>,
    pin: bool,
    shards: Option<u32>,
    memory_bytes: u64,
    resident_bytes_max: Option<u64>,
    release_memory: Option<fn()>,
    connections: usize,
    spin: Duration,
    driver: Driver,
    insecure_network: bool,
    types: Types,
    cluster: Option<Cluster>,
    metrics: Option<SocketAddr>,
    emf: Option<Duration>,
    port_wait: PortWait,
}

/// How long a node waits for ports that are in use.
#[derive(Clone, Debug, Default)]
struct PortWait {
    time: Duration,
    cancel: CancelHandle,
}

impl Builder {
    /// The port on which the first core of the program `catena-engine` listens by default.
    pub const PORT: u16 = PORT_DEFAULT;

    /// The default memory of a core, in bytes.
    pub const MEMORY_BYTES: u64 = MEMORY_BYTES_DEFAULT;

    /// The default number of shards for each core.
    pub const SHARDS_PER_CORE: u32 = SHARDS_PER_CORE;

    /// The default number of connections that a core accepts.
    pub const CONNECTIONS: usize = CONNECTIONS_DEFAULT;

    /// Runs this many cores, not pinned to any CPU. 1 by default.
    #[must_use]
    pub fn cores(mut self, cores: usize) -> Builder {
        self.cores = (0..cores).collect();
        self.pin = false;
        self
    }

    /// Runs one core on each of these CPUs, pinned to it.
    #[must_use]
    pub fn pinned_to(mut self, cpus: impl IntoIterator<Item = usize>) -> Builder {
        self.cores = cpus.into_iter().collect();
        self.pin = true;
        self
    }

    /// Sets the address of the first core; the other cores listen on the ports that follow. Port 0,
    /// the default, picks a free port for every core.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Builder {
        self.listen = address;
        self
    }

    /// Sets the number of shards of the object space, a power of two. By default 8 per core, rounded
    /// up. A cluster keeps the number that it was created with, by default 64.
    #[must_use]
    pub fn shards(mut self, shards: impl Into<Option<u32>>) -> Builder {
        self.shards = shards.into();
        self
    }

    /// Sets the memory that a core may use for objects and sessions, in bytes; 24 MiB at least.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Builder {
        self.memory_bytes = bytes;
        self
    }

    /// Sets how much memory the process may have in all, as the kernel counts it, in bytes. Above that,
    /// updates that need more memory are refused as if the budget of their core were used up. By
    /// default there is no such limit, because the process may belong to another program; `catena-engine`
    /// sets [`resident_bytes_default`](Builder::resident_bytes_default).
    #[must_use]
    pub fn resident_bytes_max(mut self, bytes: impl Into<Option<u64>>) -> Builder {
        self.resident_bytes_max = bytes.into();
        self
    }

    /// Sets what returns the memory that the allocator keeps for the calling thread to the kernel. With
    /// a limit for the memory of the process, each core calls it when the process has far more than is
    /// counted. By default nothing is called.
    #[must_use]
    pub fn release_memory(mut self, release: impl Into<Option<fn()>>) -> Builder {
        self.release_memory = release.into();
        self
    }

    /// Returns more memory than a process should need for a node with so many cores that have so much
    /// memory for objects and sessions each: three times as much, for what connections and state
    /// transfers take beside it, and 256 MiB for each core.
    pub fn resident_bytes_default(cores: usize, memory_bytes: u64) -> u64 {
        let of_core = memory_bytes.saturating_mul(RESIDENT_FACTOR).saturating_add(RESIDENT_BYTES);
        of_core.saturating_mul(cores as u64)
    }

    /// Sets the number of connections that a core accepts, 1 to 65,536. A further one takes the place
    /// of the oldest that has not said Hello, or is refused.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Builder {
        self.connections = connections;
        self
    }

    /// Sets how long a core polls for more bytes before it sleeps. Zero, the default, leaves the CPU
    /// to others. 20 to 50 µs shorten the round trip of a lone client on a dedicated CPU:
    /// `p50_1x1_spin_server` in `benches/BENCHMARKS.md` says by how much.
    #[must_use]
    pub fn spin(mut self, window: Duration) -> Builder {
        self.spin = window;
        self
    }

    /// Sets how cores wait for their sockets.
    #[must_use]
    pub fn driver(mut self, driver: Driver) -> Builder {
        self.driver = driver;
        self
    }

    /// Allows addresses that other machines can reach, although nothing is encrypted.
    #[must_use]
    pub fn insecure_network(mut self, allow: bool) -> Builder {
        self.insecure_network = allow;
        self
    }

    /// Registers a type of user-defined objects; see [`Object`].
    #[must_use]
    pub fn register<T: Object>(mut self) -> Builder {
        self.types.register::<T>();
        self
    }

    /// Makes the node join a cluster, whose members all keep the same objects. Without it the node
    /// stands alone.
    #[must_use]
    pub fn cluster(mut self, cluster: impl Into<Option<Cluster>>) -> Builder {
        self.cluster = cluster.into();
        self
    }

    /// Serves metrics for Prometheus over HTTP at this address, as `/metrics`, and `/health`. Port 0
    /// picks a free port: see [`Engine::metrics_address`].
    #[must_use]
    pub fn metrics(mut self, address: impl Into<Option<SocketAddr>>) -> Builder {
        self.metrics = address.into();
        self
    }

    /// Prints metrics for CloudWatch to the standard output, in embedded metric format, at this
    /// interval and when the node stops.
    #[must_use]
    pub fn emf(mut self, interval: impl Into<Option<Duration>>) -> Builder {
        self.emf = interval.into();
        self
    }

    /// Waits so long for ports that are in use, unless `cancel` ends the wait: then starting the node
    /// fails with [`StartError::Cancelled`]. Not at all by default. A process that was killed keeps its
    /// ports until the kernel has taken its ring apart, some time after the process is gone.
    #[must_use]
    pub fn wait_for_ports(mut self, time: Duration, cancel: &CancelHandle) -> Builder {
        self.port_wait = PortWait { time, cancel: cancel.clone() };
        self
    }

    /// Starts the node. When this returns, it accepts connections; in a cluster it may take longer
    /// until it serves requests.
    ///
    /// # Errors
    ///
    /// A [`StartError`], which says what to change.
    pub fn start(self) -> Result<Engine, StartError> {
        let cores = self.check()?;
        let driver = choose_driver(self.driver)?;
        let ports = PortWaiter::new(&self.port_wait);
        let listen_at = |core| ports.listen(self.address_of(core)?);
        let listeners = (0..cores).map(listen_at).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::Thread)?;
        let metrics = self.metrics.map(|address| ports.listen(address)).transpose()?;
        let core_ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        let clock = self.cluster.as_ref().map_or_else(Clock::standalone, |_| Clock::clustered());
        let (on_end, ends) = unbounded();
        let joining = match self.cluster.clone() {
            Some(cluster) => {
                let plan = cluster.plan(self.listen, self.shards)?;
                Some(JoiningNode::begin(
                    plan,
                    self.insecure_network,
                    (&ports, &core_ports),
                    clock,
                    on_end.clone(),
                )?)
            }
            None => None,
        };
        let shards = match &joining {
            Some(joining) => joining.control.shards()?,
            None => self.shards.unwrap_or_else(|| default_shards(cores)),
        };
        let map = check_shards(shards, cores)?;
        let resident = self
            .resident_bytes_max
            .map(|bytes| Arc::new(ResidentLimit::new(bytes, self.release_memory)));
        let watch = resident.clone().map(ResidentWatch::start).transpose();
        let watch = watch.map_err(StartError::Thread)?;
        let config = CoreConfig {
            index: 0,
            map,
            ports: core_ports,
            clock,
            memory_bytes_max: self.memory_bytes,
            resident: resident.clone(),
            connections_max: self.connections,
            hash_seed: secret(),
            incarnation: if joining.is_some() { 0 } else { incarnation() },
            base: if joining.is_some() { Seq::default() } else { Seq::begun_at(unix_time()) },
            spin: self.spin,
            types: Arc::new(self.types),
            cluster: joining.as_ref().map(|joining| joining.cluster.clone()),
            counters: Arc::new(Counters::new()),
        };
        let (mut cores, mut counted) = (Vec::new(), Vec::new());
        for ((index, cpu), listener) in (0..).zip(self.cores).zip(listeners) {
            let counters = Arc::new(Counters::new());
            counted.push(counters.clone());
            let config = CoreConfig { index, counters, ..config.clone() };
            let pin_to = self.pin.then_some(cpu);
            let core = CoreThread::spawn(config, driver, pin_to, listener, on_end.clone());
            cores.push(core.map_err(StartError::Thread)?);
        }
        let hands: Vec<CoreHand> = cores.iter().map(|core| core.hand().clone()).collect();
        let node = joining.map(|joining| joining.finish(hands.clone()));
        let names = node.as_ref().map(|node| (node.cluster.clone(), node.node_name.clone()));
        let (cluster, node_name) = names.unwrap_or_else(|| ("none".to_owned(), host_name()));
        let labels = NodeLabels {
            cluster,
            node: node_name,
            driver: driver.to_string(),
            memory_bytes_max: self.memory_bytes,
            connections_max: self.connections,
        };
        let census = Box::new(move || census(&hands));
        let reader = Arc::new(MetricsReader { labels, counters: counted, census });
        let mut engine = Engine {
            addresses,
            driver,
            shards: map.shards(),
            cores: Mutex::new(cores),
            ends,
            node,
            reader: reader.clone(),
            beside: None,
        };
        // From here on an error drops the engine, which stops the node.
        let exporters = Exporters::start(reader, metrics, self.emf).map_err(StartError::Thread)?;
        engine.beside = Some(Box::new(ThreadsBeside { exporters, _resident: watch }));
        Ok(engine)
    }

    /// Checks the options that do not depend on the cluster's number of shards; returns the number of
    /// cores.
    fn check(&self) -> Result<u16, StartError> {
        for address in self.metrics.into_iter().chain([self.listen]) {
            check_network(address.ip(), self.insecure_network)?;
        }
        if let Some(interval) = self.emf.filter(|interval| *interval < Duration::from_secs(1)) {
            let got = format!("{interval:?}");
            return Err(bad_config("the interval of metrics", got, "a second or more"));
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        if self.pin
            && let Some(cpu) = self.cores.iter().find(|cpu| !cpu_exists(**cpu))
        {
            let expected = format!("one of the {cpus} CPUs that this process may use");
            return Err(bad_config("cpu", cpu, expected));
        }
        if self.memory_bytes < MEMORY_BYTES_MIN {
            let expected = format!("at least {} MiB for each core", MEMORY_BYTES_MIN >> 20);
            return Err(bad_config("memory", format!("{} bytes", self.memory_bytes), expected));
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            let expected = format!("1 to {CONNECTIONS_MAX} for each core");
            return Err(bad_config("connections", self.connections, expected));
        }
        let cores = u16::try_from(self.cores.len()).unwrap_or(u16::MAX);
        if let Some((type_id, names)) = self.types.clash() {
            return Err(StartError::SameType { type_id, names });
        }
        if self.spin > Duration::from_micros(SPIN_US_MAX) {
            let expected = format!("at most {SPIN_US_MAX} µs");
            return Err(bad_config("spin", format!("{:?}", self.spin), expected));
        }
        check_shards(self.shards.unwrap_or_else(|| default_shards(cores)), cores)?;
        Ok(cores)
    }

    fn address_of(&self, core: u16) -> Result<SocketAddr, StartError> {
        let mut address = self.listen;
        if address.port() != 0 {
            let port = address.port().checked_add(core).ok_or_else(|| {
                let expected = "a port so far below 65536 that every core has one";
                bad_config("port", address.port(), expected)
            })?;
            address.set_port(port);
        }
        Ok(address)
    }
}

fn check_network(ip: IpAddr, insecure_network: bool) -> Result<(), StartError> {
    if ip.is_loopback() || insecure_network { Ok(()) } else { Err(StartError::OpenNetwork(ip)) }
}

/// Returns the default number of shards of a node with this many cores.
fn default_shards(cores: u16) -> u32 {
    (u32::from(cores) * SHARDS_PER_CORE).next_power_of_two().min(ShardMap::SHARDS_MAX)
}

fn check_shards(shards: u32, cores: u16) -> Result<ShardMap, StartError> {
    if cores == 0 || u32::from(cores) > shards {
        let expected = format!("1 to {shards}, the number of shards");
        return Err(bad_config("cores", cores, expected));
    }
    ShardMap::new(shards, cores).ok_or_else(|| {
        let expected = format!("a power of two up to {}", ShardMap::SHARDS_MAX);
        bad_config("shards", shards, expected)
    })
}

fn bad_config(
    what: &'static str,
    got: impl std::fmt::Display,
    expected: impl Into<String>,
) -> StartError {
    StartError::BadConfig { what: what.to_owned(), got: got.to_string(), expected: expected.into() }
}

/// A node of a cluster whose cores have not started.
#[derive(Debug)]
struct JoiningNode {
    control: StartingControl,
    cluster: CoreCluster,
    notices: mpsc::Receiver<(u16, NodeId, Notice)>,
    node_name: String,
    control_address: SocketAddr,
}

impl JoiningNode {
    /// Binds the control port, and starts the control thread that looks for the cluster.
    fn begin(
        plan: ClusterPlan,
        insecure_network: bool,
        (ports, core_ports): (&PortWaiter<'_>, &[u16]),
        clock: Clock,
        on_end: Sender<CoreEnd>,
    ) -> Result<JoiningNode, StartError> {
        check_network(plan.control.ip(), insecure_network)?;
        let listener = ports.listen(plan.control)?;
        let control_address = listener.local_addr().map_err(StartError::Thread)?;
        let (notices_sender, notices) = mpsc::channel(NOTICES_MAX);
        let incarnation = NodeId(random_u128());
        let cluster =
            CoreCluster { name: plan.cluster.clone(), life: incarnation, notices: notices_sender };
        let info = plan.info(control_address.port(), core_ports);
        let node_name = plan.node_name.clone();
        let config = ControlConfig { plan, info, incarnation, clock };
        let control =
            StartingControl::spawn(config, listener, on_end).map_err(StartError::Thread)?;
        Ok(JoiningNode { control, cluster, notices, node_name, control_address })
    }

    /// Hands the cores, which run now, to the control thread.
    fn finish(self, hands: Vec<CoreHand>) -> ClusterNode {
        let JoiningNode { control, cluster, notices, node_name, control_address } = self;
        let control = control.begin(Cores { hands, notices });
        ClusterNode { control, node_name, control_address, cluster: cluster.name }
    }
}

/// A running node. Dropping it stops it.
#[derive(Debug)]
pub struct Engine {
    addresses: Vec<SocketAddr>,
    driver: Driver,
    shards: u32,
    cores: Mutex<Vec<CoreThread>>,
    ends: Receiver<CoreEnd>,
    node: Option<ClusterNode>,
    reader: Arc<MetricsReader>,
    beside: Option<Box<ThreadsBeside>>,
}

/// The threads of a node beside its cores and the control thread.
#[derive(Debug)]
struct ThreadsBeside {
    exporters: Exporters,
    _resident: Option<ResidentWatch>,
}

/// What a node of a cluster has beside its cores.
#[derive(Debug)]
struct ClusterNode {
    control: ControlThread,
    node_name: String,
    cluster: String,
    control_address: SocketAddr,
}

impl Engine {
    /// Returns the options of a node on loopback with one core, to be changed and started.
    pub fn builder() -> Builder {
        Builder {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            cores: vec![0],
            pin: false,
            shards: None,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            resident_bytes_max: None,
            release_memory: None,
            connections: CONNECTIONS_DEFAULT,
            spin: Duration::ZERO,
            driver: Driver::Auto,
            insecure_network: false,
            types: Types::default(),
            cluster: None,
            metrics: None,
            emf: None,
            port_wait: PortWait::default(),
        }
    }

    /// Returns the address of each core. A client needs any one of them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the driver in use, which is never [`Driver::Auto`].
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// Returns the number of shards of the object space.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Returns where the node listens for other nodes and operators, if it is part of a cluster.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.node.as_ref().map(|node| node.control_address)
    }

    /// Returns the node's present id in its cluster, if it is part of one. A node that was removed
    /// rejoins with another id.
    pub fn node_id(&self) -> Option<NodeId> {
        self.node.as_ref().map(|node| node.control.incarnation())
    }

    /// Returns the display name of the node and the name of its cluster, if it is part of one.
    pub fn names(&self) -> Option<(&str, &str)> {
        self.node.as_ref().map(|node| (&*node.node_name, &*node.cluster))
    }

    /// Returns what each core holds. A core that does not reply within a second is left out.
    pub fn census(&self) -> Vec<CoreCensus> {
        self.reader.census()
    }

    /// Returns what the node has done since it started, and what each core holds.
    pub fn metrics(&self) -> Metrics {
        self.reader.read()
    }

    /// Returns where the node serves metrics over HTTP, if it does.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.beside.as_ref().and_then(|threads| threads.exporters.address())
    }

    /// Waits until the node stops.
    ///
    /// # Errors
    ///
    /// A [`NodeError`] if a core or the control thread ended without being told to. The other threads
    /// are stopped then, because a node cannot serve without one of them.
    pub fn wait(&self) -> Result<(), NodeError> {
        let threads = self.addresses.len() + usize::from(self.node.is_some());
        let mut result = Ok(());
        for _ in 0..threads {
            match self.ends.recv() {
                Ok(CoreEnd::Stopped) => {}
                Ok(CoreEnd::Failed(error)) => {
                    result = result.and(Err(error));
                    self.stop();
                }
                Err(_) => break,
            }
        }
        result
    }

    /// Tells the node to reply to the requests that it has received and then stop. A member of a
    /// cluster leaves it first, which takes a few seconds at most. Returns at once; see
    /// [`Engine::wait`].
    pub fn stop(&self) {
        match &self.node {
            // The control thread stops the cores when the node has left the cluster, or if it fails.
            Some(node) => node.control.stop(),
            None => self.stop_cores(),
        }
    }

    fn stop_cores(&self) {
        for core in self.cores.lock().iter() {
            // A core that has ended needs no command.
            core.hand().send(Command::Stop);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        if let Some(node) = &mut self.node {
            node.control.join();
        }
        self.cores.lock().iter_mut().for_each(CoreThread::join);
    }
}

/// Asks every core what it holds. A core that does not reply in time is left out.
fn census(cores: &[CoreHand]) -> Vec<CoreCensus> {
    let ask = |core: &CoreHand| {
        let (reply, census) = bounded(1);
        core.send(Command::Census(reply)).then_some(census)
    };
    let asked: Vec<_> = cores.iter().filter_map(ask).collect();
    asked.iter().filter_map(|census| census.recv_timeout(CENSUS_TIME_MAX).ok()).collect()
}

/// Chooses io_uring if the kernel grants a ring with the engine's flags.
fn choose_driver(wanted: Driver) -> Result<Driver, StartError> {
    match wanted {
        Driver::Epoll => Ok(Driver::Epoll),
        Driver::IoUring | Driver::Auto => match probe_io_uring() {
            Ok(()) => Ok(Driver::IoUring),
            Err(error) if wanted == Driver::IoUring => Err(StartError::NoIoUring(error)),
            Err(error) => {
                tracing::warn!(%error, "the kernel refuses io_uring, falling back to epoll");
                Ok(Driver::Epoll)
            }
        },
    }
}

/// Binds the ports of a node, and waits for those in use.
struct PortWaiter<'a> {
    wait: &'a PortWait,
    until: Instant,
}

impl PortWaiter<'_> {
    fn new(wait: &PortWait) -> PortWaiter<'_> {
        PortWaiter { wait, until: Instant::now() + wait.time }
    }

    fn listen(&self, address: SocketAddr) -> Result<TcpListener, StartError> {
        let mut is_logged = false;
        loop {
            let source = match bind(address) {
                Ok(listener) => return Ok(listener),
                Err(source) => source,
            };
            if source.kind() != io::ErrorKind::AddrInUse || Instant::now() >= self.until {
                return Err(StartError::Bind { address, source });
            }
            if self.wait.cancel.is_cancelled() {
                return Err(StartError::Cancelled);
            }
            if !is_logged {
                is_logged = true;
                let time = self.wait.time;
                tracing::warn!(%address, "the port is in use: waiting up to {time:?} until it is free");
            }
            std::thread::sleep(PORT_POLL);
        }
    }
}

/// How often a port in use is tried again.
const PORT_POLL: Duration = Duration::from_millis(20);

/// Binds a port. SO_REUSEPORT stays off, because it would let a second engine share the port without
/// an error.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    set_client_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Returns whether this thread may run on a CPU.
fn cpu_exists(cpu: usize) -> bool {
    nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))
        .is_ok_and(|allowed| allowed.is_set(cpu).unwrap_or(false))
}

/// Returns a random number for a node without a cluster, above 0.
fn incarnation() -> u32 {
    u32::try_from(secret() >> 32).expect("32 bits").max(1)
}

/// Returns a random number that clients cannot guess.
fn secret() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("catena")
}
