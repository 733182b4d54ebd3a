//! The same over RESP, for Redis and everything that speaks like it.

use std::net::TcpStream;

use anyhow::bail;

use super::{Spread, Wire};

/// One connection that increments random keys.
#[derive(Debug)]
pub(crate) struct Incr {
    keys: u64,
    spread: Spread,
}

impl Incr {
    pub(crate) fn new(keys: u64, seed: u64) -> Incr {
        Incr { keys, spread: Spread::new(seed) }
    }
}

impl Wire for Incr {
    fn greet(&mut self, _socket: &mut TcpStream) -> anyhow::Result<()> {
        Ok(())
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        // Keys of one length, so that the length prefix is constant.
        out.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n$10\r\nc");
        let mut digits = [b'0'; 9];
        let mut rest = self.spread.below(self.keys);
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        out.extend_from_slice(&digits);
        out.extend_from_slice(b"\r\n");
    }

    fn reply(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        if bytes[0] != b':' {
            bail!("the server answered {}", String::from_utf8_lossy(&bytes[..end]));
        }
        Ok(Some(end + 1))
    }
}
