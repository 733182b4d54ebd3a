//! memcached's meta commands: the shortest it has, and the ones it recommends to new clients.

use std::net::TcpStream;

use anyhow::bail;

use super::{KeyOrder, TakenReply, Wire, Workload, line, number, put_key};

/// Makes a connection that does this with one key after the other.
pub(crate) fn wire(workload: Workload, keys: u64, order: KeyOrder) -> Box<dyn Wire> {
    let prefix = workload.key_prefix();
    let (head, tail): (&[u8], Vec<u8>) = match workload {
        // N0 creates a counter that is not there, v returns its value.
        Workload::CounterAdd => (b"ma ", b" N0 v\r\n".to_vec()),
        Workload::CellGet { .. } => (b"mg ", b" v\r\n".to_vec()),
        Workload::CellPut { bytes } => {
            let mut tail = format!(" {bytes}\r\n").into_bytes();
            tail.resize(tail.len() + bytes, b'x');
            tail.extend_from_slice(b"\r\n");
            (b"ms ", tail)
        }
        _ => unreachable!("`Dialect::has` says no"),
    };
    Box::new(MemcachedConnection { head, prefix, tail, keys, order })
}

/// One command with a key in it.
#[derive(Debug)]
struct MemcachedConnection {
    head: &'static [u8],
    prefix: u8,
    tail: Vec<u8>,
    keys: u64,
    order: KeyOrder,
}

impl Wire for MemcachedConnection {
    fn greet(&mut self, _socket: &mut TcpStream) -> anyhow::Result<()> {
        Ok(())
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        put_key(out, self.prefix, self.order.below(self.keys));
        out.extend_from_slice(&self.tail);
    }

    fn reply(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> anyhow::Result<Option<TakenReply>> {
        let Some((line, len)) = line(bytes) else { return Ok(None) };
        let mut words = line.split(|byte| *byte == b' ');
        match words.next() {
            Some(b"HD") => Ok(Some(TakenReply::answer(len))),
            Some(b"VA") => {
                let len = len + number(words.next().unwrap_or_default())? + 2;
                Ok((bytes.len() >= len).then_some(TakenReply::answer(len)))
            }
            _ => bail!("the server answered {}", String::from_utf8_lossy(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{split, take};
    use super::*;

    #[test]
    fn replies_may_come_in_pieces() {
        let mut wire = wire(Workload::CounterAdd, 10, KeyOrder::InTurn(0));
        split(&mut *wire, b"HD\r\n");
        split(&mut *wire, b"VA 4 \r\n1042\r\n");
        split(&mut *wire, b"VA 5\r\na\r\nbc\r\n");
        assert!(take(&mut *wire, b"EN\r\n").is_err());
        assert!(take(&mut *wire, b"SERVER_ERROR out of memory\r\n").is_err());
    }

    #[test]
    fn requests_are_meta_commands() {
        let mut out = Vec::new();
        wire(Workload::CounterAdd, 10, KeyOrder::InTurn(7)).request(&mut out);
        assert_eq!(out, b"ma c000000007 N0 v\r\n");
        out.clear();
        wire(Workload::CellPut { bytes: 2 }, 10, KeyOrder::InTurn(7)).request(&mut out);
        assert_eq!(out, b"ms v000000007 2\r\nxx\r\n");
    }
}
