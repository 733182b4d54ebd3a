//! How connections send and receive: many through one ring, one that nobody sleeps for without it.
//!
//! The caller keeps the bytes and the room of an operation where they are, and untouched, until its
//! completion has come.

use std::io;
use std::net::TcpStream;
use std::time::Instant;

use super::direct::Direct;
use super::ring::Ring;

/// One operation that is done.
pub(super) enum Completion {
    Sent { index: usize, bytes: io::Result<usize> },
    Received { index: usize, bytes: io::Result<usize> },
}

/// How to wait for one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// Asleep, however long it takes.
    Sleeping,
    /// Asleep, until then at the latest.
    Until(Instant),
    /// Awake, until then at the latest, if there is a latest.
    Spinning(Option<Instant>),
}

/// Sends and receives.
pub(super) enum Transport {
    Ring(Ring),
    Direct(Direct),
}

/// Hands a call to whichever it is.
macro_rules! either {
    ($transport:expr, |$it:ident| $call:expr) => {
        match $transport {
            Transport::Ring($it) => $call,
            Transport::Direct($it) => $call,
        }
    };
}

impl Transport {
    /// Sends these bytes, or some of them.
    pub(super) fn send(&mut self, index: usize, socket: &TcpStream, bytes: &[u8]) {
        either!(self, |it| it.send(index, socket, bytes));
    }

    /// Receives into this room.
    pub(super) fn recv(&mut self, index: usize, socket: &TcpStream, room: &mut [u8]) {
        either!(self, |it| it.recv(index, socket, room));
    }

    /// Waits until something is done or it is time.
    pub(super) fn wait(&mut self, wait: Wait) -> io::Result<()> {
        match self {
            Transport::Ring(ring) => ring.wait(wait),
            Transport::Direct(direct) => {
                direct.wait(wait);
                Ok(())
            }
        }
    }

    /// The next operation that is done, if there is one.
    pub(super) fn next(&mut self) -> Option<Completion> {
        either!(self, |it| it.next())
    }

    /// Waits until nobody uses any bytes or room any more.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        match self {
            Transport::Ring(ring) => ring.drain(),
            // It uses them when it is called, and not in between.
            Transport::Direct(_) => Ok(()),
        }
    }
}
