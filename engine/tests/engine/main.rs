//! The engine over real sockets: loopback, ports that the system chooses, both drivers.
//!
//! Times in here are guards against hanging, never measures.

mod binary;
mod broken;
mod chains;
mod cluster;
mod handshake;
mod life;
mod metrics;
mod pipeline;
mod slow;
mod users;
mod waits;
mod wire;

use catena_engine::{Builder, Driver, Engine, StartError};

/// Runs a test with each driver that the kernel grants, on one core and one shard unless the test
/// says otherwise.
fn with_drivers(test: impl Fn(Builder)) {
    match Engine::builder().driver(Driver::IoUring).start() {
        Ok(_engine) => test(Engine::builder().shards(1).driver(Driver::IoUring)),
        Err(StartError::NoIoUring(error)) => {
            eprintln!("the kernel refuses io_uring ({error}): tested on epoll alone");
        }
        Err(error) => panic!("{error}"),
    }
    test(Engine::builder().shards(1).driver(Driver::Epoll));
}
