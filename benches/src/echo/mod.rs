//! Reference servers: what a machine's sockets can carry, with nothing behind them.
//!
//! They send back every complete 80-byte frame, the size of a counter add and of its reply, and
//! batch as the engine does: one read, as many frames as it brought, one write. They do not look
//! into frames.

mod epoll;
mod raw;

use std::net::TcpListener;

/// How the server waits for its sockets.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum EchoKind {
    /// A raw io_uring ring.
    Ring,
    /// epoll, read and write.
    Epoll,
}

impl EchoKind {
    /// Serves until it is killed.
    pub(crate) fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        match self {
            EchoKind::Ring => raw::serve(listener),
            EchoKind::Epoll => epoll::serve(&listener),
        }
    }
}

/// A counter add, and the reply to one.
const FRAME_BYTES: usize = 80;

/// The buffer that the engine has for a busy connection.
const BUFFER_BYTES: usize = 64 * 1024;

/// Returns how many of `bytes` are complete frames.
fn whole_frames(bytes: usize) -> usize {
    bytes - bytes % FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn whole_frames_come_back_and_parts_wait() {
        for kind in [EchoKind::Ring, EchoKind::Epoll] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || kind.serve(listener));
            let Ok(mut socket) = TcpStream::connect(address) else {
                panic!("{kind:?}: {:?}", server.join())
            };
            let sent: Vec<u8> = (0..250_u8).cycle().take(3 * FRAME_BYTES).collect();
            socket.write_all(&sent[..100]).unwrap();
            let mut received = vec![0; FRAME_BYTES];
            socket.read_exact(&mut received).unwrap();
            assert_eq!(received, sent[..FRAME_BYTES], "{kind:?}");
            socket.write_all(&sent[100..]).unwrap();
            let mut received = vec![0; 2 * FRAME_BYTES];
            socket.read_exact(&mut received).unwrap();
            assert_eq!(received, sent[FRAME_BYTES..], "{kind:?}");
            // The thread goes on until the tests end.
        }
    }
}
