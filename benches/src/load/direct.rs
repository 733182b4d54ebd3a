//! One connection without a ring, as a spinning client has it: system calls that do not wait.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::completion::{Completion, WaitMode};

/// Sends at once, and polls the socket while the caller waits.
#[derive(Default)]
pub(super) struct Direct {
    sending: Option<Lent<*const u8>>,
    receiving: Option<Lent<*mut u8>>,
    done: VecDeque<Completion>,
}

/// The buffer of an operation under way: bytes to send, or room to receive into.
#[derive(Clone, Copy)]
struct Lent<P> {
    index: usize,
    socket: RawFd,
    pointer: P,
    len: usize,
}

impl Direct {
    pub(super) fn send(&mut self, index: usize, socket: &TcpStream, bytes: &[u8]) {
        let (socket, pointer, len) = (socket.as_raw_fd(), bytes.as_ptr(), bytes.len());
        self.sending = Some(Lent { index, socket, pointer, len });
        self.try_send();
    }

    pub(super) fn recv(&mut self, index: usize, socket: &TcpStream, room: &mut [u8]) {
        let (socket, pointer, len) = (socket.as_raw_fd(), room.as_mut_ptr(), room.len());
        self.receiving = Some(Lent { index, socket, pointer, len });
    }

    pub(super) fn wait(&mut self, mode: WaitMode) {
        let until = match mode {
            WaitMode::Sleeping | WaitMode::Spinning(None) => None,
            WaitMode::Until(until) | WaitMode::Spinning(Some(until)) => Some(until),
        };
        while self.done.is_empty() && until.is_none_or(|until| Instant::now() < until) {
            self.try_recv();
            self.try_send();
        }
    }

    fn try_send(&mut self) {
        let Some(Lent { index, socket, pointer, len }) = self.sending else { return };
        // SAFETY: the caller keeps the socket, and the bytes untouched, until the completion.
        let (socket, bytes) =
            unsafe { (BorrowedFd::borrow_raw(socket), std::slice::from_raw_parts(pointer, len)) };
        let bytes = match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => return,
            sent => sent.map_err(io::Error::from),
        };
        self.sending = None;
        self.done.push_back(Completion::Sent { index, bytes });
    }

    fn try_recv(&mut self) {
        let Some(Lent { index, socket, pointer, len }) = self.receiving else { return };
        // SAFETY: the caller keeps the socket, and the room untouched, until the completion.
        let (socket, room) = unsafe {
            (BorrowedFd::borrow_raw(socket), std::slice::from_raw_parts_mut(pointer, len))
        };
        let bytes = match recv(socket, room, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return,
            received => received.map(|(bytes, _)| bytes).map_err(io::Error::from),
        };
        self.receiving = None;
        self.done.push_back(Completion::Received { index, bytes });
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        self.done.pop_front()
    }
}
