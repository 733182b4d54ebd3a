//! The errors of a node, from its start to its end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use catena_core::chain::record::RecordError;
use catena_location::Location;

use crate::register::RegisterError;

/// Why a node did not start, from [`Builder::start`](crate::Builder::start).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A port is in use, or the address is not one of this machine.
    #[error("cannot listen on {address}: {source}{}", bind_hint(source))]
    Bind {
        /// The address that could not be bound.
        address: SocketAddr,
        /// The error of the kernel.
        source: io::Error,
    },
    /// Other machines could connect, and nothing is encrypted: that has to be allowed explicitly.
    #[error(
        "cannot listen on {0}: other machines can reach it, and Catena does not encrypt or \
         authenticate. On a network that you trust, allow it with --insecure-network"
    )]
    OpenNetwork(IpAddr),
    /// An option is out of range.
    #[error("{what} cannot be {got}: expected {expected}")]
    BadConfig {
        /// The option.
        what: String,
        /// Its value.
        got: String,
        /// The values that are allowed.
        expected: String,
    },
    /// Two types of user-defined objects have the same id.
    #[error("the types {names:?} have the same id, {type_id}: give one of them another id")]
    SameType {
        /// The id, [`UserType::TYPE_ID`](catena_protocol::UserType::TYPE_ID).
        type_id: u32,
        /// The names of the types.
        names: [&'static str; 2],
    },
    /// The kernel refuses io_uring, and epoll was not allowed.
    #[error("the kernel refuses io_uring ({0}): use the epoll driver instead")]
    NoIoUring(io::Error),
    /// A thread could not be started.
    #[error("cannot start a thread of the node: {0}")]
    Thread(io::Error),
    /// Other nodes cannot connect to the address that the record would have.
    #[error(
        "other nodes and clients cannot connect to {0}: say at which of this machine's addresses \
         they reach it, with --advertise"
    )]
    Unadvertised(IpAddr),
    /// The register of the cluster's record could not be used.
    #[error("cannot use the cluster's register at {location}: {source}")]
    Register {
        /// Where the register is.
        location: Location,
        /// The error of the register.
        source: Box<RegisterError>,
    },
    /// The cluster does not exist, and no node created it in time.
    #[error(
        "the cluster {cluster:?} does not exist at {location}, and no node created it within \
         {waited:?}: start one node with --create"
    )]
    NoCluster {
        /// The name of the cluster.
        cluster: String,
        /// Where its record was expected.
        location: Location,
        /// How long the node waited for it.
        waited: Duration,
    },
    /// A [`CancelHandle`](crate::CancelHandle) ended the wait for a port or for the cluster.
    #[error("the node was stopped while it waited for a port or for its cluster")]
    Cancelled,
}

/// Why a node stopped by itself, from [`Engine::wait`](crate::Engine::wait).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A core could not use its socket, its ring or its CPU.
    #[error("core {core} failed: {source}")]
    Core {
        /// The number of the core.
        core: u16,
        /// The error of the kernel.
        source: io::Error,
    },
    /// A thread panicked: an invariant of the engine is broken, or a user-defined type panicked in
    /// the middle of an update.
    #[error("the thread {thread} panicked, so the node cannot go on: {message}")]
    Panicked {
        /// The name of the thread.
        thread: String,
        /// The message of the panic.
        message: String,
    },
    /// The control thread could not start its runtime, or use its port.
    #[error("the control thread failed: {0}")]
    Control(io::Error),
    /// The node cannot join with its settings.
    #[error("this node cannot join its cluster: {0}")]
    Settings(RecordError),
    /// A member of the record belongs to another cluster, and this node is not a member yet.
    #[error(
        "{node} at {address} refused this node because it belongs to another cluster than \
         {cluster:?}: give all nodes of a cluster the same --cluster and --cluster-name"
    )]
    WrongCluster {
        /// The name of the other node.
        node: String,
        /// Its control address.
        address: SocketAddr,
        /// The cluster that this node was started for.
        cluster: String,
    },
    /// The cluster was created anew with another number of shards.
    #[error(
        "the cluster {cluster:?} has {got} shards, and this node was started for {expected}: \
         restart it, and it uses the number in the record"
    )]
    WrongShards {
        /// The name of the cluster.
        cluster: String,
        /// The number in the record.
        got: u32,
        /// The number that the cores were started with.
        expected: u32,
    },
}

fn bind_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; is another engine running there? Choose another port, or stop it"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    }
}
