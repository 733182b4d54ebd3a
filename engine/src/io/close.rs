//! Ending what is under way on a socket.
//!
//! Operations in the ring own their buffers until the kernel is done with them, so a core ends them
//! by shutting their sockets down, never by dropping them.

use std::os::fd::RawFd;

use nix::sys::socket::{Shutdown, shutdown};

/// Lets whoever reads from the socket see its end.
pub(super) fn reading(socket: RawFd) {
    end(socket, Shutdown::Read);
}

/// Lets whoever reads, writes or accepts see the end.
pub(super) fn both_ways(socket: RawFd) {
    end(socket, Shutdown::Both);
}

fn end(socket: RawFd, how: Shutdown) {
    // The other side may have been first.
    _ = shutdown(socket, how);
}
