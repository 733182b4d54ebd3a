//! The seam to the async runtime, which is monoio: everything that the engine uses of it is here.
//!
//! What the rest of `io` relies on, and another runtime would have to keep:
//!
//! 1. A task runs on the thread that spawned it and need not be `Send`.
//! 2. A read or write owns its buffer until the kernel is done with it, and then returns it.
//!    Shutting down the socket ends it; its future is never dropped before.
//! 3. Two tasks that wake each other leave every other task its turn. A task that wakes itself does
//!    not: monoio 0.2.4 puts it in front of the queue, where it starves the rest.
//! 4. The thread sleeps only when no task can run.
//!
//! With `prefetch.rs` of `catena-core` the only `unsafe` of the engine: the promise about
//! [`ReadBuffer`] that lets the kernel write into it.
#![allow(unsafe_code)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use super::buffer::ReadBuffer;
use crate::config::RING_ENTRIES;
use crate::driver::Driver;

/// Runs a future, and the tasks that it spawns, on a runtime of this thread's own.
pub(super) fn block_on<F: Future>(driver: Driver, main: F) -> io::Result<F::Output> {
    Ok(match driver {
        Driver::IoUring => io_uring_runtime()?.block_on(main),
        Driver::Epoll => {
            RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?.block_on(main)
        }
        Driver::Auto => unreachable!("the engine chose a driver"),
    })
}

fn io_uring_runtime() -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(RING_ENTRIES)
        .uring_builder(ring_builder())
        .enable_timer()
        .build()
}

/// Checks that the kernel grants a ring with the flags of a core's.
pub(crate) fn probe_io_uring() -> io::Result<()> {
    // In a thread of its own, because the end of a ring interrupts what the thread that made it does
    // next, and the caller's thread does not belong to the engine.
    let probe = std::thread::Builder::new().spawn(|| ring_builder().build(8).map(drop))?;
    probe.join().expect("asking for a ring does not panic")
}

/// Returns the builder of a ring that only one thread submits to, and whose completions do not
/// interrupt it. Not `DEFER_TASKRUN`: monoio never reaps its completions while a task spins.
fn ring_builder() -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun();
    builder
}

/// Returns whether sockets that the runtime is given have to be non-blocking: io_uring waits in the
/// kernel, epoll outside of the read or write.
pub(super) fn wants_nonblocking(driver: Driver) -> bool {
    driver == Driver::Epoll
}

/// A task, to be awaited or left to itself. Dropping this does not end it.
pub(super) type Task<T> = monoio::task::JoinHandle<T>;

/// Starts a task on this thread.
pub(super) fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> Task<T> {
    monoio::spawn(task)
}

/// Waits until `time` has passed.
pub(super) fn sleep(time: Duration) -> impl Future<Output = ()> {
    monoio::time::sleep(time)
}

/// Waits for a future, but not longer than `time`. Only for futures that own no buffer.
pub(super) async fn timeout<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    monoio::time::timeout(time, future).await.ok()
}

/// The result of an operation that owned a buffer, and the buffer.
pub(super) type WithBuffer<T, B> = (io::Result<T>, B);

/// A listening TCP socket.
pub(super) struct TcpListener(monoio::net::TcpListener);

impl TcpListener {
    pub(super) fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        monoio::net::TcpListener::from_std(listener).map(TcpListener)
    }

    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((TcpStream(stream), peer))
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A connected TCP socket.
pub(super) struct TcpStream(monoio::net::TcpStream);

impl TcpStream {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        monoio::net::TcpStream::connect_addr(address).await.map(TcpStream)
    }

    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.0.set_nodelay(true)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Returns two halves that own the socket together: it is closed with the last of them.
    pub(super) fn split(self) -> (TcpReadHalf, TcpWriteHalf) {
        let (reader, writer) = self.0.into_split();
        (TcpReadHalf(reader), TcpWriteHalf(writer))
    }
}

/// The half of a TCP socket that reads.
pub(super) struct TcpReadHalf(OwnedReadHalf<monoio::net::TcpStream>);

impl TcpReadHalf {
    /// Waits for bytes and receives them behind what is in the buffer. 0 bytes are the end.
    #[inline]
    pub(super) fn read(
        &mut self,
        buffer: ReadBuffer,
    ) -> impl Future<Output = WithBuffer<usize, ReadBuffer>> {
        self.0.read(buffer)
    }
}

/// The half of a TCP socket that writes.
pub(super) struct TcpWriteHalf(OwnedWriteHalf<monoio::net::TcpStream>);

impl TcpWriteHalf {
    /// Writes all bytes.
    #[inline]
    pub(super) fn write_all(
        &mut self,
        bytes: Vec<u8>,
    ) -> impl Future<Output = WithBuffer<usize, Vec<u8>>> {
        self.0.write_all(bytes)
    }

    /// Writes all of some shared bytes.
    pub(super) fn write_all_shared(
        &mut self,
        bytes: Bytes,
    ) -> impl Future<Output = WithBuffer<usize, Bytes>> {
        self.0.write_all(bytes)
    }
}

/// The end of a pair of sockets by which other threads wake this one.
pub(super) struct WakeReceiver(monoio::net::UnixStream);

impl WakeReceiver {
    pub(super) fn from_std(socket: UnixStream) -> io::Result<WakeReceiver> {
        monoio::net::UnixStream::from_std(socket).map(WakeReceiver)
    }

    /// Waits for a byte for each time that the other end was used. 0 bytes are its end.
    pub(super) fn read(
        &mut self,
        buffer: Vec<u8>,
    ) -> impl Future<Output = WithBuffer<usize, Vec<u8>>> {
        self.0.read(buffer)
    }
}

// SAFETY: `write_ptr` and `bytes_total` describe `unfilled`, the part of the buffer's memory behind
// what was received. It is owned by the buffer, initialized, and stays where it is while the buffer
// is lent to the runtime: its heap block does not move when the `ReadBuffer` does, and nothing else
// touches a lent buffer.
unsafe impl IoBufMut for ReadBuffer {
    fn write_ptr(&mut self) -> *mut u8 {
        self.unfilled().as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.unfilled().len()
    }

    unsafe fn set_init(&mut self, bytes: usize) {
        self.fill(bytes);
    }
}
