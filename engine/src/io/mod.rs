//! The driver: tasks that carry bytes between sockets and shards.
//!
//! There is one thread per core, and threads share nothing. On the data path a request takes four
//! steps: `conn::serve` reads, [`frame::next`](catena_protocol::frame::next) cuts and checks,
//! [`Replica::on_request`](catena_core::chain::replica::Replica::on_request) produces the reply,
//! and `Conn::flush` writes it. That is one read, all requests that it brought, and one write.
//!
//! In a cluster, core links (`core_link`) carry frames between the cores of nodes that own the same
//! shards. The frames of a turn to one peer go out in one write, like replies.
//!
//! This layer knows time, sockets and buffers, and decides nothing about objects. The async runtime
//! is the business of `runtime` alone, and sockets that of `stream`.

mod accept;
mod buffer;
mod cluster;
mod conn;
mod conn_table;
mod core;
mod core_link;
mod local_notify;
mod monitor;
mod newcomers;
mod notice;
mod outbox;
mod receive_memory;
mod reply_buffers;
mod runtime;
mod session_sources;
mod shared_body;
mod spin;
mod stream;
mod sweep;
mod thread;
mod unsent;

pub(crate) use self::core::CoreConfig;
pub(crate) use self::notice::{CoreCluster, Notice};
pub(crate) use self::runtime::probe_io_uring;
pub(crate) use self::stream::set_client_options;
pub(crate) use self::thread::{Command, CoreEnd, CoreHand, CoreThread};
