//! The driver: monoio tasks that carry bytes between sockets and shards.
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

mod buffer;
mod chain;
mod close;
mod conn;
mod core;
mod link;
mod notice;
mod notify;
mod spares;
mod spin;
mod thread;

pub(crate) use self::core::CoreConfig;
pub(crate) use self::notice::{CoreCluster, Notice};
pub(crate) use self::thread::{Command, CoreEnd, CoreHand, CoreThread, ring_builder};
