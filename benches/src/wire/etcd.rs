//! etcd's JSON over HTTP/1.1, kept alive. Its gRPC is faster; this is what needs no gRPC client.

use std::net::TcpStream;

use anyhow::{Context, bail};

use super::{KeyOrder, TakenReply, Wire, Workload, line, number};

/// Makes a connection that does this with one key after the other.
pub(crate) fn wire(workload: Workload, keys: u64, order: KeyOrder) -> Box<dyn Wire> {
    let (path, tail) = match workload {
        Workload::CellPut { bytes } => {
            ("put", format!(r#"","value":"{}"}}"#, base64(&vec![b'x'; bytes])))
        }
        Workload::CellGet { .. } => ("range", r#""}"#.to_owned()),
        _ => unreachable!("`Dialect::has` says no"),
    };
    let length = BODY.len() + base64(&key(0)).len() + tail.len();
    let head = format!(
        "POST /v3/kv/{path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{BODY}"
    );
    Box::new(EtcdConnection { head, tail, keys, order })
}

const BODY: &str = r#"{"key":""#;

#[derive(Debug)]
struct EtcdConnection {
    head: String,
    tail: String,
    keys: u64,
    order: KeyOrder,
}

impl Wire for EtcdConnection {
    fn greet(&mut self, _socket: &mut TcpStream) -> anyhow::Result<()> {
        Ok(())
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(base64(&key(self.order.below(self.keys))).as_bytes());
        out.extend_from_slice(self.tail.as_bytes());
    }

    fn reply(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> anyhow::Result<Option<TakenReply>> {
        let Some((status, mut at)) = line(bytes) else { return Ok(None) };
        if status != b"HTTP/1.1 200 OK" {
            bail!("the server answered {}", String::from_utf8_lossy(bytes));
        }
        let mut body = None;
        loop {
            let Some((field, len)) = line(&bytes[at..]) else { return Ok(None) };
            at += len;
            if field.is_empty() {
                break;
            }
            let field = field.to_ascii_lowercase();
            if let Some(digits) = field.strip_prefix(b"content-length: ") {
                body = Some(number(digits)?);
            }
        }
        match body {
            Some(body) => Ok((bytes.len() >= at + body).then_some(TakenReply::answer(at + body))),
            None => Ok(chunks(&bytes[at..])?.map(|len| TakenReply::answer(at + len))),
        }
    }
}

/// Returns the length of a chunked body, or `None` if it is not complete.
fn chunks(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let mut at = 0;
    loop {
        let Some((size, len)) = line(&bytes[at..]) else { return Ok(None) };
        let size = std::str::from_utf8(size).unwrap_or_default();
        let size = usize::from_str_radix(size, 16).context("a chunk without a length")?;
        at += len + size + 2;
        if bytes.len() < at {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    let mut key = Vec::new();
    super::put_key(&mut key, b'v', number);
    key
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, i| word << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= chunk.len() { DIGITS[index].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{split, take};
    use super::*;

    #[test]
    fn replies_may_come_in_pieces() {
        let mut wire = wire(Workload::CellPut { bytes: 3 }, 10, KeyOrder::InTurn(0));
        split(&mut *wire, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: now\r\n\r\n{ }");
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n";
        split(&mut *wire, chunked);
        assert!(take(&mut *wire, b"HTTP/1.1 404 Not Found\r\n").is_err());
    }

    #[test]
    fn base64_pads_as_the_rfc_says() {
        let of = |text: &str| base64(text.as_bytes());
        assert_eq!(
            [of("f"), of("fo"), of("foo"), of("foob")],
            ["Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }
}
