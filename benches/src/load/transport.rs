//! How connections send and receive: many through one ring, or a single spinning one without it.
//!
//! The caller keeps the bytes and the room of an operation where they are, and untouched, until its
//! completion has come.

use std::io;
use std::net::TcpStream;

use super::completion::{Completion, WaitMode};
use super::direct::Direct;
use super::ring::Ring;

/// Sends and receives.
pub(super) enum Transport {
    Ring(Ring),
    Direct(Direct),
}

/// Calls the same method on either transport.
macro_rules! either {
    ($transport:expr, |$it:ident| $call:expr) => {
        match $transport {
            Transport::Ring($it) => $call,
            Transport::Direct($it) => $call,
        }
    };
}

impl Transport {
    /// Sends these bytes, or the first of them.
    pub(super) fn send(&mut self, index: usize, socket: &TcpStream, bytes: &[u8]) {
        either!(self, |it| it.send(index, socket, bytes));
    }

    /// Receives into this room.
    pub(super) fn recv(&mut self, index: usize, socket: &TcpStream, room: &mut [u8]) {
        either!(self, |it| it.recv(index, socket, room));
    }

    /// Waits until an operation is done, or as long as `mode` says.
    pub(super) fn wait(&mut self, mode: WaitMode) -> io::Result<()> {
        match self {
            Transport::Ring(ring) => ring.wait(mode),
            Transport::Direct(direct) => {
                direct.wait(mode);
                Ok(())
            }
        }
    }

    /// Returns the next operation that is done, if there is one.
    pub(super) fn next(&mut self) -> Option<Completion> {
        either!(self, |it| it.next())
    }

    /// Waits until the kernel uses no bytes and no room any more.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        match self {
            Transport::Ring(ring) => ring.drain(),
            // It uses them only while it is called.
            Transport::Direct(_) => Ok(()),
        }
    }
}
