//! RESP, for Redis and everything that speaks like it.

use std::net::TcpStream;

use anyhow::bail;

use super::{Keys, Wire, Workload, line, number, put_key};

/// A connection that asks this of random keys.
pub(crate) fn wire(workload: Workload, keys: u64, order: Keys) -> Box<dyn Wire> {
    match workload {
        Workload::CounterAdd => boxed(b"*2\r\n$4\r\nINCR\r\n$10\r\n", b'c', b"\r\n", keys, order),
        Workload::CellGet { .. } => {
            boxed(b"*2\r\n$3\r\nGET\r\n$10\r\n", b'v', b"\r\n", keys, order)
        }
        Workload::CellPut { bytes } => {
            let mut tail = format!("\r\n${bytes}\r\n").into_bytes();
            tail.resize(tail.len() + bytes, b'x');
            tail.extend_from_slice(b"\r\n");
            boxed(b"*3\r\n$3\r\nSET\r\n$10\r\n", b'v', &tail, keys, order)
        }
        Workload::CounterMultiply | Workload::VectorAdd { .. } => {
            unreachable!("`Dialect::has` says no")
        }
    }
}

fn boxed(head: &'static [u8], prefix: u8, tail: &[u8], keys: u64, order: Keys) -> Box<dyn Wire> {
    Box::new(Resp { head, prefix, tail: tail.to_vec(), keys, order })
}

/// One command with a key in it.
#[derive(Debug)]
struct Resp {
    head: &'static [u8],
    prefix: u8,
    tail: Vec<u8>,
    keys: u64,
    order: Keys,
}

impl Wire for Resp {
    fn greet(&mut self, _socket: &mut TcpStream) -> anyhow::Result<()> {
        Ok(())
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        put_key(out, self.prefix, self.order.below(self.keys));
        out.extend_from_slice(&self.tail);
    }

    fn reply(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>> {
        let Some((line, len)) = line(bytes) else { return Ok(None) };
        match line.split_first() {
            Some((b':' | b'+', _)) => Ok(Some(len)),
            Some((b'$', digits)) if digits != b"-1" => {
                let len = len + number(digits)? + 2;
                Ok((bytes.len() >= len).then_some(len))
            }
            _ => bail!("the server answered {}", String::from_utf8_lossy(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::split;
    use super::*;

    #[test]
    fn replies_may_come_in_pieces() {
        let mut wire = wire(Workload::CounterAdd, 10, Keys::InTurn(0));
        split(&mut *wire, b":1042\r\n");
        split(&mut *wire, b"+OK\r\n");
        split(&mut *wire, b"$5\r\na\r\nbc\r\n");
        assert!(wire.reply(b"-ERR no\r\n").is_err());
        assert!(wire.reply(b"$-1\r\n").is_err());
    }

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        let mut out = Vec::new();
        wire(Workload::CounterAdd, 10, Keys::InTurn(7)).request(&mut out);
        assert_eq!(out, b"*2\r\n$4\r\nINCR\r\n$10\r\nc000000007\r\n");
        out.clear();
        wire(Workload::CellPut { bytes: 2 }, 10, Keys::InTurn(7)).request(&mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$10\r\nv000000007\r\n$2\r\nxx\r\n");
    }
}
