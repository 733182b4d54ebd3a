//! The driver: monoio tasks that carry bytes between sockets and shards.
//!
//! One thread a core, and nothing shared between them. On the data path a request takes four steps:
//! `conn::serve` reads, [`frame::next`](catena_protocol::frame::next) cuts and checks,
//! [`Shard::on_request`](crate::shard::Shard::on_request) answers, `Conn::flush` writes: one read,
//! as many requests as it brought, one write.
//!
//! This layer knows the time, sockets and buffers, and decides nothing about objects.

mod buffer;
mod close;
mod conn;
mod core;
mod notice;
mod notify;
mod spin;
mod thread;

pub(crate) use self::core::CoreConfig;
pub(crate) use self::notice::{CoreCluster, Notice, Notices};
pub use self::thread::CoreCensus;
pub(crate) use self::thread::{Command, CoreEnd, CoreHand, CoreThread, ring_builder};
