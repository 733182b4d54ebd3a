//! The echo on epoll: wait, read, write.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::{BUFFER_BYTES, whole_frames};

struct EpollConnection {
    socket: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

const LISTENER: u64 = u64::MAX;

/// Serves until it is killed.
pub(super) fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    let watched = epoll::create(CreateFlags::empty())?;
    epoll::add(&watched, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut conns: Vec<Option<EpollConnection>> = Vec::new();
    let mut events = Vec::with_capacity(1_024);
    loop {
        epoll::wait(&watched, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            if event.data.u64() == LISTENER {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                let token = EventData::new_u64(conns.len() as u64);
                epoll::add(&watched, &socket, token, EventFlags::IN)?;
                conns.push(Some(EpollConnection {
                    socket,
                    buffer: vec![0; BUFFER_BYTES],
                    filled: 0,
                }));
                continue;
            }
            let place = &mut conns[usize::try_from(event.data.u64())?];
            // A connection that closed is dropped, which also ends the watch.
            if place.as_mut().is_some_and(|conn| conn.turn().is_err()) {
                *place = None;
            }
        }
    }
}

impl EpollConnection {
    fn turn(&mut self) -> std::io::Result<()> {
        match self.socket.read(&mut self.buffer[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => self.filled += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let whole = whole_frames(self.filled);
        let mut from = 0;
        while from < whole {
            match self.socket.write(&self.buffer[from..whole]) {
                Ok(bytes) => from += bytes,
                // The load generator reads all the time, so this is over at once.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => return Err(error),
            }
        }
        self.buffer.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        Ok(())
    }
}
