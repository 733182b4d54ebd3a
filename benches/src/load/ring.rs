//! The generator's io_uring.
#![allow(unsafe_code)]

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Instant;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::completion::{Completion, WaitMode};

/// Sends and receives for many connections, submitted together.
pub(super) struct Ring {
    ring: IoUring,
    /// How many operations the kernel has.
    under_way: usize,
}

impl Ring {
    /// Makes a ring for this many connections.
    pub(super) fn new(connections: usize) -> anyhow::Result<Ring> {
        // A send and a receive for each connection, and some to spare.
        let entries = u32::try_from((connections * 2 + 16).next_power_of_two())?;
        let ring = IoUring::builder().setup_single_issuer().setup_coop_taskrun().build(entries)?;
        Ok(Ring { ring, under_way: 0 })
    }

    pub(super) fn send(&mut self, index: usize, socket: &TcpStream, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).expect("batches are far below 4 GiB");
        let send = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), len);
        self.push(send.build().user_data((index as u64) << 1));
    }

    pub(super) fn recv(&mut self, index: usize, socket: &TcpStream, room: &mut [u8]) {
        let len = u32::try_from(room.len()).expect("buffers are far below 4 GiB");
        let recv = opcode::Recv::new(types::Fd(socket.as_raw_fd()), room.as_mut_ptr(), len);
        self.push(recv.build().user_data((index as u64) << 1 | 1));
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: the caller keeps socket and buffer alive and untouched until the completion, and
        // `Load` drains the ring before they go, however it ends.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the queue has room for a send and a receive per connection");
        self.under_way += 1;
    }

    /// Submits, and waits until an operation is done or it is time.
    pub(super) fn wait(&mut self, mode: WaitMode) -> io::Result<()> {
        match mode {
            WaitMode::Sleeping => self.ring.submit_and_wait(1).map(drop),
            WaitMode::Until(instant) => self.sleep_until(instant),
            WaitMode::Spinning(until) => {
                self.ring.submit()?;
                while self.ring.completion().is_empty()
                    && until.is_none_or(|until| Instant::now() < until)
                {
                    // Lets the kernel post completions without sleeping.
                    self.ring.submit_and_wait(0)?;
                }
                Ok(())
            }
        }
    }

    fn sleep_until(&mut self, instant: Instant) -> io::Result<()> {
        let left = instant.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return self.ring.submit().map(drop);
        }
        let left = types::Timespec::from(left);
        let args = types::SubmitArgs::new().timespec(&left);
        match self.ring.submitter().submit_with_args(1, &args) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::TIME.raw_os_error()) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        let entry: cqueue::Entry = self.ring.completion().next()?;
        self.under_way -= 1;
        let index = usize::try_from(entry.user_data() >> 1).expect("it was made of an index");
        let bytes = usize::try_from(entry.result())
            .map_err(|_| io::Error::from_raw_os_error(-entry.result()));
        Some(match entry.user_data() & 1 {
            0 => Completion::Sent { index, bytes },
            _ => Completion::Received { index, bytes },
        })
    }

    /// Waits until the kernel is done with all operations.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        while self.under_way > 0 {
            self.ring.submit_and_wait(1)?;
            while self.next().is_some() {}
        }
        Ok(())
    }
}
