//! One TCP connection to one core, and the ways to wait on it.
//!
//! A connection handles bytes, blocking modes and timeouts; it knows nothing of frames. The end of
//! the stream is an error like any other, because a peer never closes a connection that is in use.
//! Modes and timeouts cost system calls, so they change only when the next step needs another one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use crate::config::{
    Config, IDLE_MAX, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, TIMEOUT_MIN, TIMEOUT_SLACK,
};

#[derive(Debug)]
pub(crate) struct Connection {
    /// Shared with what wakes a thread that sleeps on it.
    stream: Arc<TcpStream>,
    pub(crate) peer: SocketAddr,
    /// Its number among the connections of this client.
    pub(crate) serial: u64,
    /// Whether the Welcome has arrived.
    pub(crate) greeted: bool,
    nonblocking: bool,
    read_timeout: Duration,
    write_timeout: Duration,
    used_at: Instant,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(
        peer: SocketAddr,
        serial: u64,
        timeout: Duration,
        config: &Config,
    ) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&peer, timeout.max(TIMEOUT_MIN))?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
        socket.set_tcp_keepalive(&keepalive)?;
        // Bytes that are not acknowledged for this long mean a dead path, and leave time in the
        // call to find another. A slow engine is not affected, because its kernel acknowledges
        // them.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(config.connect_timeout))?;
        let (read_timeout, write_timeout) = (Duration::ZERO, Duration::ZERO);
        Ok(Connection {
            stream: Arc::new(stream),
            peer,
            serial,
            greeted: false,
            nonblocking: false,
            read_timeout,
            write_timeout,
            used_at: Instant::now(),
        })
    }

    /// Whether the peer has closed the connection, or sent anything, while it was idle.
    pub(crate) fn is_stale(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.used_at) < IDLE_MAX || !self.greeted {
            return false;
        }
        if self.set_nonblocking(true).is_err() {
            return true;
        }
        // No request is in flight, so a good connection has nothing to read.
        !matches!(self.stream.peek(&mut [0]), Err(error) if is_nothing(&error))
    }

    /// Sends what fits without waiting. Returns how many bytes did.
    pub(crate) fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.set_nonblocking(true)?;
        self.write(bytes)
    }

    /// Sends, waiting at most `timeout` for room. Returns how many bytes were sent.
    pub(crate) fn write_within(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        if self.nonblocking {
            // A spinning client leaves the socket in this mode; mostly there is room.
            let written = self.write(bytes)?;
            if written > 0 {
                return Ok(written);
            }
        }
        self.set_nonblocking(false)?;
        if is_off(self.write_timeout, timeout) {
            self.write_timeout = timeout.max(TIMEOUT_MIN);
            self.stream.set_write_timeout(Some(self.write_timeout))?;
        }
        self.write(bytes)
    }

    /// Receives what has arrived; `None` if nothing has.
    pub(crate) fn read_now(&mut self, spare: &mut [u8]) -> io::Result<Option<usize>> {
        self.set_nonblocking(true)?;
        self.read(spare)
    }

    /// Receives, waiting at most `timeout`; `None` if nothing arrived. For the first `spin` of that
    /// it polls the socket.
    pub(crate) fn read_within(
        &mut self,
        spare: &mut [u8],
        timeout: Duration,
        spin: Duration,
    ) -> io::Result<Option<usize>> {
        if !spin.is_zero() {
            let start = Instant::now();
            while start.elapsed() < spin.min(timeout) {
                if let Some(bytes) = self.read_now(spare)? {
                    return Ok(Some(bytes));
                }
                std::hint::spin_loop();
            }
        }
        self.set_nonblocking(false)?;
        if is_off(self.read_timeout, timeout) {
            self.read_timeout = timeout.max(TIMEOUT_MIN);
            self.stream.set_read_timeout(Some(self.read_timeout))?;
        }
        self.read(spare)
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Closes the connection so that nothing still in flight arrives later.
    pub(crate) fn abort(self) {
        // Best effort, because the connection is given up either way.
        _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&*self.stream).write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(written),
                Err(error) if is_nothing(&error) => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, spare: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match (&*self.stream).read(spare) {
                Ok(0) => return Err(hung_up()),
                Ok(bytes) => {
                    self.used_at = Instant::now();
                    return Ok(Some(bytes));
                }
                Err(error) if is_nothing(&error) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn set_nonblocking(&mut self, nonblocking: bool) -> io::Result<()> {
        if self.nonblocking != nonblocking {
            self.stream.set_nonblocking(nonblocking)?;
            self.nonblocking = nonblocking;
        }
        Ok(())
    }
}

/// Whether the timeout in force is too far from the one wanted.
fn is_off(in_force: Duration, wanted: Duration) -> bool {
    // No timeout is set yet, or the one in force would overrun a short one.
    let is_wrong = in_force.is_zero() || (in_force > wanted && wanted < TIMEOUT_SLACK);
    is_wrong || in_force.abs_diff(wanted) > TIMEOUT_SLACK
}

/// Whether an error means "not now": from a non-blocking socket, or from a blocking one at its
/// timeout.
fn is_nothing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

fn hung_up() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the engine closed the connection")
}
