//! The driver: tasks that carry bytes between sockets and shards.
//!
//! One thread a core, and nothing shared between them. On the data path a request takes four steps:
//! `conn::serve` reads, [`frame::next`](catena_protocol::frame::next) cuts and checks,
//! [`Replica::on_request`](catena_core::chain::replica::Replica::on_request) answers, `Conn::flush` writes: one read,
//! as many requests as it brought, one write.
//!
//! In a cluster, links (`link`) carry frames between the cores of nodes that own the same shards; what a
//! turn has for another node goes out in one write, like replies.
//!
//! This layer knows the time, sockets and buffers, and decides nothing about objects.

mod accept;
mod buffer;
mod chain;
mod conn;
mod conn_table;
mod core;
mod link;
mod notice;
mod notify;
mod runtime;
mod spares;
mod spin;
mod stream;
mod thread;
mod turn_output;

pub(crate) use self::core::CoreConfig;
pub(crate) use self::notice::{CoreCluster, Notice};
pub(crate) use self::runtime::ring_builder;
pub use self::thread::CoreCensus;
pub(crate) use self::thread::{Command, CoreEnd, CoreHand, CoreThread};
