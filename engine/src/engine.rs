//! Starting and stopping a node.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::ShardMap;
use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterPlan, host_name};
use crate::config::{
    BACKLOG, CONNECTIONS_MAX, MEMORY_BYTES_DEFAULT, NOTICES_MAX, PORT_DEFAULT, SHARDS_PER_CORE,
    SPIN_US_MAX,
};
use crate::control::{ControlConfig, ControlThread, Cores, Looking, random};
use crate::io::{
    Command, CoreCensus, CoreCluster, CoreConfig, CoreEnd, CoreHand, CoreThread, Notice,
    ring_builder,
};
use crate::metrics::{About, Counters, Metrics, Reader, Tellers};
use crate::register::RegisterError;
use catena_core::chain::record::NodeId;
use catena_core::objects::user::Object;
use catena_core::shard::Types;
use catena_location::Location;

/// How a core waits for its sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Driver {
    /// io_uring, or epoll where the kernel refuses it.
    #[default]
    Auto,
    /// io_uring; the node does not start where the kernel refuses it.
    IoUring,
    /// epoll.
    Epoll,
}

impl std::fmt::Display for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Driver::Auto => "automatic",
            Driver::IoUring => "io_uring",
            Driver::Epoll => "epoll",
        })
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Bind {
        /// The address of the core that could not be bound.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Without encryption, only this machine may connect unless that is asked for.
    #[error(
        "{0} is reachable from other machines, and Catena does not encrypt: allow it explicitly \
         (--insecure-network) on a network that you trust"
    )]
    OpenNetwork(IpAddr),
    /// A number that a node cannot be started with.
    #[error("{what} cannot be {got}: expected {expected}")]
    BadConfig {
        /// What was configured.
        what: String,
        /// What it was set to.
        got: String,
        /// What it may be.
        expected: String,
    },
    /// Two types of user-defined objects have the same id.
    #[error("the types {names:?} have the same id, {type_id}: give one of them another")]
    SameType {
        /// The id, [`UserType::TYPE_ID`](catena_protocol::UserType::TYPE_ID).
        type_id: u32,
        /// What the types are called.
        names: [&'static str; 2],
    },
    /// The kernel refuses io_uring, and epoll was not allowed.
    #[error("the kernel refuses io_uring ({0}); use the epoll driver instead")]
    NoIoUring(io::Error),
    /// A thread could not be started.
    #[error("cannot start a core: {0}")]
    Thread(io::Error),
    /// Other nodes cannot connect to the address that would be in the record.
    #[error(
        "{0} is no address that other nodes and clients could connect to: say which of this machine's \
         addresses they reach it at (--advertise)"
    )]
    Unadvertised(IpAddr),
    /// What lies where the cluster's record should be cannot be used.
    #[error("cannot use the cluster's register at {location}: {source}")]
    Register {
        /// Where it was looked for.
        location: Location,
        /// What went wrong.
        source: Box<RegisterError>,
    },
    /// Nobody has founded the cluster.
    #[error(
        "there is no cluster {cluster:?} at {location}, and nobody founded it within {patience:?}: \
         start one node with --create"
    )]
    NoCluster {
        /// The name of the cluster.
        cluster: String,
        /// Where it was looked for.
        location: Location,
        /// How long it was waited for.
        patience: Duration,
    },
    /// A [`CancelHandle`](crate::CancelHandle) ended the wait for the cluster.
    #[error("the node was stopped before it found its cluster")]
    Cancelled,
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; is another engine running there? Choose other ports, or stop it"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    }
}

/// What a node is to be like.
#[derive(Clone, Debug)]
pub struct Builder {
    listen: SocketAddr,
    cores: Vec<usize>,
    pin: bool,
    shards: Option<u32>,
    memory_bytes: u64,
    spin: Duration,
    driver: Driver,
    insecure_network: bool,
    types: Types,
    cluster: Option<Cluster>,
    metrics: Option<SocketAddr>,
    emf: Option<Duration>,
}

impl Builder {
    /// The port that a node from the command line listens on with its first core.
    pub const PORT: u16 = PORT_DEFAULT;

    /// Memory a core may use unless told otherwise, in bytes.
    pub const MEMORY_BYTES: u64 = MEMORY_BYTES_DEFAULT;

    /// Shards for each core of a node that was not told how many.
    pub const SHARDS_PER_CORE: u32 = SHARDS_PER_CORE;

    /// Connections a core accepts.
    pub const CONNECTIONS_MAX: usize = CONNECTIONS_MAX;

    /// How many cores, not pinned to any cpu. One by default.
    #[must_use]
    pub fn cores(mut self, cores: usize) -> Builder {
        self.cores = (0..cores).collect();
        self.pin = false;
        self
    }

    /// One core for each of these cpus, pinned to it.
    #[must_use]
    pub fn pinned_to(mut self, cpus: impl IntoIterator<Item = usize>) -> Builder {
        self.cores = cpus.into_iter().collect();
        self.pin = true;
        self
    }

    /// Where the first core listens; the others take the ports that follow. Port 0, the default,
    /// lets the system choose all ports.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Builder {
        self.listen = address;
        self
    }

    /// How many shards the object space has: a power of two. Eight a core by default, rounded up. In a
    /// cluster its founder decides, by default for 64.
    #[must_use]
    pub fn shards(mut self, shards: impl Into<Option<u32>>) -> Builder {
        self.shards = shards.into();
        self
    }

    /// The memory a core may use for objects and sessions, in bytes.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Builder {
        self.memory_bytes = bytes;
        self
    }

    /// How long a core looks for more bytes after the last ones before it sleeps. Zero, the default,
    /// leaves the cpu to others. 20 to 50 µs shorten the round trip of a lone client on a cpu that
    /// nobody else needs: `p50_1x1_spin_server` in `benches/BENCHMARKS.md` says by how much.
    #[must_use]
    pub fn spin(mut self, window: Duration) -> Builder {
        self.spin = window;
        self
    }

    /// How cores wait for their sockets.
    #[must_use]
    pub fn driver(mut self, driver: Driver) -> Builder {
        self.driver = driver;
        self
    }

    /// Allows addresses that other machines can reach, though nothing is encrypted.
    #[must_use]
    pub fn insecure_network(mut self, allow: bool) -> Builder {
        self.insecure_network = allow;
        self
    }

    /// Lets clients make objects of a type of your own; see [`Object`].
    #[must_use]
    pub fn register<T: Object>(mut self) -> Builder {
        self.types.register::<T>();
        self
    }

    /// Makes the node part of a cluster, whose nodes all hold the same. Without this it is alone.
    #[must_use]
    pub fn cluster(mut self, cluster: impl Into<Option<Cluster>>) -> Builder {
        self.cluster = cluster.into();
        self
    }

    /// Serves metrics for Prometheus over HTTP at this address, as `/metrics`, and `/health`. Port 0 lets
    /// the system choose: see [`Engine::metrics_address`].
    #[must_use]
    pub fn metrics(mut self, address: impl Into<Option<SocketAddr>>) -> Builder {
        self.metrics = address.into();
        self
    }

    /// Prints metrics for CloudWatch on the standard output, in embedded metric format, so often and when
    /// the node stops.
    #[must_use]
    pub fn emf(mut self, every: impl Into<Option<Duration>>) -> Builder {
        self.emf = every.into();
        self
    }

    /// Starts the node. When this returns, it accepts connections; in a cluster it may take a while
    /// until it serves them.
    ///
    /// # Errors
    ///
    /// A [`StartError`] that says what to change.
    pub fn start(self) -> Result<Engine, StartError> {
        let cores = self.check()?;
        let driver = choose_driver(self.driver)?;
        let listeners =
            (0..cores).map(|core| listen(self.address_of(core)?)).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::Thread)?;
        let metrics = self.metrics.map(listen).transpose()?;
        let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        let clock = self.cluster.as_ref().map_or_else(Clock::alone, |_| Clock::in_a_cluster());
        let (on_end, ends) = unbounded();
        let joining = match self.cluster.clone() {
            Some(cluster) => {
                let plan = cluster.plan(self.listen, self.shards)?;
                Some(Joining::begin(plan, self.insecure_network, &ports, clock, on_end.clone())?)
            }
            None => None,
        };
        let shards = match &joining {
            Some(joining) => joining.looking.shards()?,
            None => self.shards.unwrap_or_else(|| shards_of(cores)),
        };
        let map = check_shards(shards, cores)?;
        let config = CoreConfig {
            index: 0,
            map,
            ports,
            clock,
            memory_bytes_max: self.memory_bytes,
            hash_seed: hash_seed(),
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
        let node = joining.map(|joining| joining.end(hands.clone()));
        let names = node.as_ref().map(|node| (node.cluster.clone(), node.node_name.clone()));
        let (cluster, node_name) = names.unwrap_or_else(|| ("none".to_owned(), host_name()));
        let about = About {
            cluster,
            node: node_name,
            driver: driver.to_string(),
            memory_bytes_max: self.memory_bytes,
        };
        let reader = Arc::new(Reader { about, cores: hands.into_iter().zip(counted).collect() });
        let mut engine = Engine {
            addresses,
            driver,
            shards: map.shards(),
            cores: Mutex::new(cores),
            ends,
            node,
            reader: reader.clone(),
            tellers: None,
        };
        // From here on an error stops the node.
        let tellers = Tellers::start(reader, metrics, self.emf).map_err(StartError::Thread)?;
        engine.tellers = Some(Box::new(tellers));
        Ok(engine)
    }

    /// Checks what can be checked before it is known how many shards there are.
    fn check(&self) -> Result<u16, StartError> {
        for address in self.metrics.into_iter().chain([self.listen]) {
            check_network(address.ip(), self.insecure_network)?;
        }
        if self.emf.is_some_and(|every| every < Duration::from_secs(1)) {
            let got = format!("{:?}", self.emf.unwrap_or_default());
            return Err(bad_config("the time between metrics", got, "a second or more"));
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        if self.pin
            && let Some(cpu) = self.cores.iter().find(|cpu| !cpu_exists(**cpu))
        {
            let expected = format!("one of the {cpus} cpus that this process may use");
            return Err(bad_config("cpu", cpu, expected));
        }
        let cores = u16::try_from(self.cores.len()).unwrap_or(u16::MAX);
        if let Some((type_id, names)) = self.types.clash() {
            return Err(StartError::SameType { type_id, names });
        }
        if self.spin > Duration::from_micros(SPIN_US_MAX) {
            let expected = format!("at most {SPIN_US_MAX} µs");
            return Err(bad_config("spin", format!("{:?}", self.spin), expected));
        }
        check_shards(self.shards.unwrap_or_else(|| shards_of(cores)), cores)?;
        Ok(cores)
    }

    fn address_of(&self, core: u16) -> Result<SocketAddr, StartError> {
        let mut address = self.listen;
        if address.port() != 0 {
            let port = address.port().checked_add(core).ok_or_else(|| {
                let expected = "a port so far below 65536 that each core has one";
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

/// How many shards a node of so many cores has unless told otherwise.
fn shards_of(cores: u16) -> u32 {
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

/// A node on its way into a cluster.
#[derive(Debug)]
struct Joining {
    looking: Looking,
    cluster: CoreCluster,
    notices: mpsc::Receiver<(u16, NodeId, Notice)>,
    node_name: String,
    control_address: SocketAddr,
}

impl Joining {
    /// Binds the control port and looks for the cluster.
    fn begin(
        plan: ClusterPlan,
        insecure_network: bool,
        ports: &[u16],
        clock: Clock,
        on_end: Sender<CoreEnd>,
    ) -> Result<Joining, StartError> {
        check_network(plan.control.ip(), insecure_network)?;
        let listener = listen(plan.control)?;
        let control_address = listener.local_addr().map_err(StartError::Thread)?;
        let (tell, notices) = mpsc::channel(NOTICES_MAX);
        let life = NodeId(random());
        let cluster = CoreCluster { name: plan.cluster.clone(), life, notices: tell };
        let info = plan.info(control_address.port(), ports);
        let node_name = plan.node_name.clone();
        let config = ControlConfig { plan, info, life, clock };
        let looking = Looking::spawn(config, listener, on_end).map_err(StartError::Thread)?;
        Ok(Joining { looking, cluster, notices, node_name, control_address })
    }

    /// The cores are there.
    fn end(self, hands: Vec<CoreHand>) -> ClusterNode {
        let Joining { looking, cluster, notices, node_name, control_address } = self;
        let control = looking.begin(Cores { hands, notices });
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
    reader: Arc<Reader>,
    tellers: Option<Box<Tellers>>,
}

/// What a node in a cluster has beside its cores.
#[derive(Debug)]
struct ClusterNode {
    control: ControlThread,
    node_name: String,
    cluster: String,
    control_address: SocketAddr,
}

impl Engine {
    /// A node on loopback with one core, for a start.
    pub fn builder() -> Builder {
        Builder {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            cores: vec![0],
            pin: false,
            shards: None,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            spin: Duration::ZERO,
            driver: Driver::Auto,
            insecure_network: false,
            types: Types::default(),
            cluster: None,
            metrics: None,
            emf: None,
        }
    }

    /// Where each core listens. A client needs any one of them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The driver in use: never [`Driver::Auto`].
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// How many shards the object space has.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Where it listens for other nodes and for operators, if it is part of a cluster.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.node.as_ref().map(|node| node.control_address)
    }

    /// Its present life in its cluster, if it is part of one. Another one begins each time that it was
    /// removed.
    pub fn node_id(&self) -> Option<NodeId> {
        self.node.as_ref().map(|node| node.control.life())
    }

    /// What people call it in its cluster, and the cluster.
    pub fn names(&self) -> Option<(&str, &str)> {
        self.node.as_ref().map(|node| (&*node.node_name, &*node.cluster))
    }

    /// What each core holds. A core that does not answer within a second is left out.
    pub fn census(&self) -> Vec<CoreCensus> {
        self.reader.census()
    }

    /// What the node has done since it started, and what each core holds.
    pub fn metrics(&self) -> Metrics {
        self.reader.read()
    }

    /// Where it serves metrics, if it does.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.tellers.as_ref().and_then(|tellers| tellers.address())
    }

    /// Waits until the node stops.
    ///
    /// # Errors
    ///
    /// What went wrong, if a core, or what ties the node to its cluster, did not stop of its own accord.
    /// The others are then stopped too: a node with a core missing is no node.
    pub fn wait(&self) -> Result<(), String> {
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

    /// Tells the node to answer what it has taken and then stop. A member of a cluster first waits for
    /// the others to go on without it, for a few seconds at most. Returns at once; see
    /// [`Engine::wait`].
    pub fn stop(&self) {
        match &self.node {
            // It stops the cores when the node is out, or if it fails.
            Some(node) => node.control.stop(),
            None => self.stop_cores(),
        }
    }

    fn stop_cores(&self) {
        for core in self.cores.lock().iter() {
            // A core that is gone needs no telling.
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

/// Decides for io_uring if the kernel grants a ring with our flags.
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

/// Asks the kernel for a ring. In a thread of its own: the end of a ring interrupts what the thread
/// that made it does next, and this one is not ours.
fn probe_io_uring() -> io::Result<()> {
    let probe = std::thread::Builder::new().spawn(|| ring_builder().build(8).map(drop))?;
    probe.join().expect("asking does not panic")
}

/// Binds a core's port. SO_REUSEPORT stays off: it would let a second engine share the port
/// silently.
fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    bind().map_err(|source| StartError::Bind { address, source })
}

/// Whether this thread may run on a cpu.
fn cpu_exists(cpu: usize) -> bool {
    nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))
        .is_ok_and(|allowed| allowed.is_set(cpu).unwrap_or(false))
}

/// A number that clients cannot guess.
fn hash_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("catena")
}
