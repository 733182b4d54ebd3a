//! The byte streams between a core and its clients and peers.
//!
//! Nothing else touches their sockets: reads and writes through the ring, the quick ones that
//! bypass it, shutting down, and options all go through these types. What a stream carries need not
//! be what its socket carries, so a layer between the two (TLS) would have its place here.
//!
//! An operation in the ring owns its buffer until the kernel is done with it, so a core ends it by
//! shutting down its socket, never by dropping its future.

use std::cell::{RefCell, RefMut};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use bytes::Bytes;
use catena_protocol::frame::Envelope;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, setsockopt, shutdown, sockopt};
use socket2::{Socket, TcpKeepalive};

use super::buffer::ReadBuffer;
use super::runtime::{self, TcpListener, TcpReadHalf, TcpStream, TcpWriteHalf, WithBuffer};
use crate::config::{
    CLIENT_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES,
    UNSENT_IN_SOCKET_BYTES_MAX,
};

/// A socket that accepts streams.
pub(super) struct Listener(TcpListener);

impl Listener {
    pub(super) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
        TcpListener::from_std(listener).map(Listener)
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (tcp, peer) = self.0.accept().await?;
        Ok((Stream(tcp), peer))
    }

    /// Ends an accept under way.
    pub(super) fn shut_down(&self) {
        end(self.0.fd(), Shutdown::Both);
    }
}

/// Sets the options of connections with clients, on a socket that is going to listen: those that it
/// accepts inherit them, so that accepting one takes no further system calls.
pub(crate) fn set_client_options(listener: &Socket) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    listener.set_tcp_keepalive(&keepalive)?;
    listener.set_tcp_user_timeout(Some(CLIENT_TIMEOUT))?;
    listener.set_tcp_notsent_lowat(UNSENT_IN_SOCKET_BYTES_MAX)
}

/// A connected stream, whole: its options can be set, and it can be split.
pub(super) struct Stream(TcpStream);

impl Stream {
    /// Connects to another node within `timeout`.
    pub(super) async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Stream> {
        let connected = runtime::timeout(timeout, TcpStream::connect(address)).await;
        connected.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())).map(Stream)
    }

    /// Sends small writes at once.
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.0.set_nodelay()
    }

    /// Breaks the stream when bytes stay unacknowledged for this long.
    pub(super) fn set_user_timeout(&self, ms: u32) -> io::Result<()> {
        Ok(setsockopt(self.0.fd(), sockopt::TcpUserTimeout, &ms)?)
    }

    /// Writes all bytes and closes the stream.
    pub(super) async fn close_with(self, bytes: Vec<u8>) -> io::Result<()> {
        let (_reader, mut writer) = self.0.split();
        writer.write_all(bytes).await.0.map(drop)
    }

    /// Returns the two directions. The socket is closed when both are dropped.
    pub(super) fn split(self) -> (StreamReader, StreamWriter) {
        let socket = self.0.fd();
        let (reader, writer) = self.0.split();
        let writer = StreamWriter { half: RefCell::new(writer), socket };
        (StreamReader { half: reader, socket }, writer)
    }
}

/// The direction from the other end, owned by the task that reads.
pub(super) struct StreamReader {
    half: TcpReadHalf,
    /// Open for as long as `half` is.
    socket: RawFd,
}

impl StreamReader {
    /// Waits for bytes and receives them behind what is in the buffer. 0 bytes are the end.
    #[inline]
    pub(super) fn read(
        &mut self,
        buffer: ReadBuffer,
    ) -> impl Future<Output = WithBuffer<usize, ReadBuffer>> {
        self.half.read(buffer)
    }

    /// Receives the bytes that have arrived, with a system call instead of the ring.
    /// `WouldBlock` if there are none.
    pub(super) fn try_read_now(&mut self, buffer: &mut ReadBuffer) -> io::Result<usize> {
        let bytes = recv(self.socket, buffer.unfilled(), MsgFlags::MSG_DONTWAIT)?;
        buffer.fill(bytes);
        Ok(bytes)
    }
}

/// The direction to the other end, shared by the tasks that write.
pub(super) struct StreamWriter {
    half: RefCell<TcpWriteHalf>,
    /// Open for as long as `half` is.
    socket: RawFd,
}

impl StreamWriter {
    /// Returns the right to write, unless another task has it.
    pub(super) fn try_lock(&self) -> Option<WriteGuard<'_>> {
        self.half.try_borrow_mut().map(WriteGuard).ok()
    }

    /// Writes the bytes that the socket takes at once, with a system call instead of the ring.
    /// `WouldBlock` if it takes none, or while a task has the right to write: its bytes go first.
    pub(super) fn try_write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.half.try_borrow_mut().is_err() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(send(self.socket, bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
    }

    /// Ends reading as if the other end had; what is written still goes out.
    pub(super) fn shut_down_reading(&self) {
        end(self.socket, Shutdown::Read);
    }

    /// Ends reading and writing.
    pub(super) fn shut_down(&self) {
        end(self.socket, Shutdown::Both);
    }
}

/// The right to write to a stream, held while a write is under way.
pub(super) struct WriteGuard<'a>(RefMut<'a, TcpWriteHalf>);

impl WriteGuard<'_> {
    /// Writes all bytes.
    #[inline]
    pub(super) fn write_all(
        &mut self,
        bytes: Vec<u8>,
    ) -> impl Future<Output = WithBuffer<usize, Vec<u8>>> {
        self.0.write_all(bytes)
    }

    /// Writes the frame of a reply whose body is shared.
    pub(super) async fn write_reply(&mut self, envelope: Envelope, body: Bytes) -> io::Result<()> {
        self.0.write_all(envelope.header.to_vec()).await.0?;
        self.0.write_all_shared(body).await.0?;
        if envelope.padding > 0 {
            self.0.write_all(vec![0; envelope.padding]).await.0?;
        }
        Ok(())
    }
}

fn end(socket: RawFd, how: Shutdown) {
    // The other side may have been first.
    _ = shutdown(socket, how);
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use socket2::SockRef;

    use super::*;

    #[test]
    fn accepted_sockets_have_the_options_of_the_listener() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        set_client_options(&SockRef::from(&listener)).expect("Linux has them");
        let client = TcpStream::connect(listener.local_addr().expect("it is bound"));
        let _client = client.expect("it listens");
        let (accepted, _) = listener.accept().expect("a connection");
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), KEEPALIVE_PROBES);
        assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(CLIENT_TIMEOUT));
        let lowat = socket.tcp_notsent_lowat().expect("an option");
        assert_eq!(lowat, UNSENT_IN_SOCKET_BYTES_MAX);
    }
}
