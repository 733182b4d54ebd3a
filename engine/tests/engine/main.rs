//! The engine over real sockets: loopback, ports that the system chooses, both drivers.
//!
//! Times in here guard against hanging; nothing is measured.

mod binary;
mod broken;
mod chains;
mod cluster;
mod handshake;
mod large;
mod lifecycle;
mod limits;
mod metrics;
mod monitor;
mod pipeline;
mod slow;
mod users;
mod waits;
mod wire;

use catena_engine::{Builder, Driver, Engine, StartError};

/// Runs a test with each driver that the kernel allows, on one core and one shard unless the test
/// changes that.
fn with_drivers(test: impl Fn(Builder)) {
    match Engine::builder().driver(Driver::IoUring).start() {
        Ok(_engine) => test(Engine::builder().shards(1).driver(Driver::IoUring)),
        Err(StartError::NoIoUring(error)) => {
            eprintln!("the kernel refuses io_uring ({error}): tested on epoll only");
        }
        Err(error) => panic!("{error}"),
    }
    test(Engine::builder().shards(1).driver(Driver::Epoll));
}
