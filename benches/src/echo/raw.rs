//! The echo on a raw io_uring ring: receives and sends for all connections, one system call a turn.
#![allow(unsafe_code)]

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

use anyhow::ensure;
use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::{BUFFER_BYTES, whole_frames};

/// One connection. A buffer that the kernel has is not touched: the incoming one between `recv` and
/// its completion, the outgoing one between `send` and its completion.
struct RingConnection {
    socket: TcpStream,
    incoming: Vec<u8>,
    filled: usize,
    outgoing: Vec<u8>,
    /// How many bytes of `outgoing` are sent, while a send is under way.
    sent: Option<usize>,
    /// Whether the kernel has `incoming`.
    receiving: bool,
}

const ACCEPT: u64 = u64::MAX;
const ENTRIES: u32 = 4_096;

/// Serves until it is killed.
pub(super) fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let mut ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES)?;
    let mut conns: Vec<RingConnection> = Vec::new();
    accept(&mut ring, &listener)?;
    loop {
        ring.submit_and_wait(1)?;
        while let Some(entry) = next(&mut ring) {
            if entry.user_data() == ACCEPT {
                ensure!(entry.result() >= 0, "accept failed: {}", entry.result());
                // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
                let socket = unsafe { TcpStream::from_raw_fd(entry.result()) };
                socket.set_nodelay(true)?;
                conns.push(RingConnection::new(socket));
                let index = conns.len() - 1;
                conns[index].recv(index, &mut ring)?;
                accept(&mut ring, &listener)?;
                continue;
            }
            let index = usize::try_from(entry.user_data() >> 1)?;
            let conn = &mut conns[index];
            match (entry.user_data() & 1, usize::try_from(entry.result())) {
                (0, Ok(bytes)) => conn.on_sent(bytes, index, &mut ring)?,
                (1, Ok(bytes)) if bytes > 0 => conn.on_received(bytes, index, &mut ring)?,
                // The other end is gone. Its buffers stay until the process ends: connections are
                // few.
                _ => {}
            }
        }
    }
}

/// Returns the next operation that is done, if there is one.
fn next(ring: &mut IoUring) -> Option<cqueue::Entry> {
    ring.completion().next()
}

impl RingConnection {
    fn new(socket: TcpStream) -> RingConnection {
        let (incoming, outgoing) = (vec![0; BUFFER_BYTES], Vec::with_capacity(BUFFER_BYTES));
        RingConnection { socket, incoming, filled: 0, outgoing, sent: None, receiving: false }
    }

    fn on_received(
        &mut self,
        bytes: usize,
        index: usize,
        ring: &mut IoUring,
    ) -> anyhow::Result<()> {
        self.filled += bytes;
        self.receiving = false;
        if self.sent.is_some() { Ok(()) } else { self.turn(index, ring) }
    }

    fn on_sent(&mut self, bytes: usize, index: usize, ring: &mut IoUring) -> anyhow::Result<()> {
        let sent = self.sent.expect("a send was under way") + bytes;
        if sent < self.outgoing.len() {
            self.sent = Some(sent);
            return self.send(sent, index, ring);
        }
        self.sent = None;
        if self.receiving { Ok(()) } else { self.turn(index, ring) }
    }

    /// Sends back what is whole and asks for more.
    fn turn(&mut self, index: usize, ring: &mut IoUring) -> anyhow::Result<()> {
        let whole = whole_frames(self.filled);
        if whole > 0 {
            self.outgoing.clear();
            self.outgoing.extend_from_slice(&self.incoming[..whole]);
            self.incoming.copy_within(whole..self.filled, 0);
            self.filled -= whole;
            self.sent = Some(0);
            self.send(0, index, ring)?;
        }
        self.recv(index, ring)
    }

    fn recv(&mut self, index: usize, ring: &mut IoUring) -> anyhow::Result<()> {
        let room = &mut self.incoming[self.filled..];
        let len = u32::try_from(room.len())?;
        let recv = opcode::Recv::new(types::Fd(self.socket.as_raw_fd()), room.as_mut_ptr(), len);
        self.receiving = true;
        push(ring, recv.build().user_data((index as u64) << 1 | 1))
    }

    fn send(&self, from: usize, index: usize, ring: &mut IoUring) -> anyhow::Result<()> {
        let rest = &self.outgoing[from..];
        let len = u32::try_from(rest.len())?;
        let send = opcode::Send::new(types::Fd(self.socket.as_raw_fd()), rest.as_ptr(), len);
        push(ring, send.build().user_data((index as u64) << 1))
    }
}

fn accept(ring: &mut IoUring, listener: &TcpListener) -> anyhow::Result<()> {
    let fd = types::Fd(listener.as_raw_fd());
    let (address, len) = (std::ptr::null_mut(), std::ptr::null_mut());
    push(ring, opcode::Accept::new(fd, address, len).build().user_data(ACCEPT))
}

fn push(ring: &mut IoUring, entry: squeue::Entry) -> anyhow::Result<()> {
    // SAFETY: an accept points to nothing. Buffers of a send or receive live on the heap as long as
    // the process, are never resized beyond their capacity, and are left alone until it completes.
    unsafe { ring.submission().push(&entry) }?;
    Ok(())
}
