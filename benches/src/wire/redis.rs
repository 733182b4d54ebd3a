//! RESP, for Redis, Valkey and other servers with that protocol.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{bail, ensure};

use super::{ITEM_BYTES, KeyOrder, TakenReply, Wire, Workload, divided, line, number, put_key};

/// Makes a connection that does this with one key after the other.
pub(crate) fn wire(workload: Workload, keys: u64, order: KeyOrder) -> Box<dyn Wire> {
    let prefix = workload.key_prefix();
    let one = |head, tail: &[u8]| vec![RespCommand::new(head, prefix, tail)];
    let commands = match workload {
        Workload::CounterAdd => one(b"*2\r\n$4\r\nINCR\r\n$10\r\n", b"\r\n"),
        Workload::CellGet { .. } => one(b"*2\r\n$3\r\nGET\r\n$10\r\n", b"\r\n"),
        Workload::CellPut { bytes } => one(b"*3\r\n$3\r\nSET\r\n$10\r\n", &then(&value(bytes))),
        Workload::MapPut => {
            let put = one(b"*4\r\n$4\r\nHSET\r\n$10\r\n", &then(&value(ITEM_BYTES)));
            put.into_iter().map(RespCommand::with_field).collect()
        }
        Workload::MapGet => {
            let get = one(b"*3\r\n$4\r\nHGET\r\n$10\r\n", b"\r\n");
            get.into_iter().map(RespCommand::with_field).collect()
        }
        Workload::ListPush => vec![push(prefix)],
        Workload::ListPushPop => {
            let pop = RespCommand::new(b"*2\r\n$4\r\nRPOP\r\n$10\r\n", prefix, b"\r\n");
            vec![push(prefix), RespCommand { stays: true, ..pop }]
        }
        Workload::Multiply { times } => {
            let times = times.to_string();
            let tail = format!("\r\n$2\r\n-1\r\n${}\r\n{times}\r\n", times.len());
            let call = RespCommand::new(b"", prefix, tail.as_bytes());
            vec![RespCommand { script: Some(MULTIPLY), ..call }]
        }
        Workload::CounterMultiply | Workload::VectorAdd { .. } => {
            unreachable!("`Dialect::has` says no")
        }
    };
    let items = workload.items(keys);
    Box::new(RespConnection { commands, turn: 0, keys, items, order, place: (0, 0) })
}

fn push(prefix: u8) -> RespCommand {
    RespCommand::new(b"*3\r\n$5\r\nLPUSH\r\n$10\r\n", prefix, &then(&value(ITEM_BYTES)))
}

/// Multiplies a number repeatedly by a factor, as the engine's `Multiplied` does.
const MULTIPLY: &str = "\
local value = tonumber(redis.call('GET', KEYS[1]) or '1')
local factor, times = tonumber(ARGV[1]), tonumber(ARGV[2])
for _ = 1, times do value = value * factor end
redis.call('SET', KEYS[1], value)
return tostring(value)";

/// Returns what follows a key that a value follows.
fn then(bulk: &[u8]) -> Vec<u8> {
    [b"\r\n", bulk].concat()
}

fn value(bytes: usize) -> Vec<u8> {
    let mut bulk = format!("${bytes}\r\n").into_bytes();
    bulk.resize(bulk.len() + bytes, b'x');
    bulk.extend_from_slice(b"\r\n");
    bulk
}

/// Commands that take turns, each with a key in it.
#[derive(Debug)]
struct RespConnection {
    commands: Vec<RespCommand>,
    turn: usize,
    keys: u64,
    /// How many keys are fields or items of one of Redis' keys.
    items: u64,
    order: KeyOrder,
    /// The key of the last command, and the field in it.
    place: (u64, u64),
}

#[derive(Debug)]
struct RespCommand {
    head: Vec<u8>,
    prefix: u8,
    /// Whether a field follows the key.
    has_field: bool,
    tail: Vec<u8>,
    /// Whether it has the key of the command before it.
    stays: bool,
    /// The script that it calls by its hash. The server returns the hash, and the head is made with
    /// it.
    script: Option<&'static str>,
}

/// SHA-1 in hexadecimal.
const HASH_BYTES: usize = 40;

impl RespCommand {
    fn new(head: &[u8], prefix: u8, tail: &[u8]) -> RespCommand {
        let (head, tail) = (head.to_vec(), tail.to_vec());
        RespCommand { head, prefix, has_field: false, tail, stays: false, script: None }
    }

    fn with_field(self) -> RespCommand {
        RespCommand { has_field: true, ..self }
    }
}

impl Wire for RespConnection {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        for command in &mut self.commands {
            if let Some(script) = command.script {
                let hash = load(socket, script)?;
                let call =
                    [b"*6\r\n$7\r\nEVALSHA\r\n$40\r\n", &hash[..], b"\r\n$1\r\n1\r\n$10\r\n"];
                command.head = call.concat();
            }
        }
        Ok(())
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        let command = &self.commands[self.turn];
        self.turn = if self.turn + 1 == self.commands.len() { 0 } else { self.turn + 1 };
        if !command.stays {
            let key = self.order.below(self.keys);
            self.place = if self.items == 1 { (key, 0) } else { divided(key, self.items) };
        }
        let (key, field) = self.place;
        out.extend_from_slice(&command.head);
        put_key(out, command.prefix, key);
        if command.has_field {
            out.extend_from_slice(b"\r\n$10\r\n");
            put_key(out, b'f', field);
        }
        out.extend_from_slice(&command.tail);
    }

    fn reply(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> anyhow::Result<Option<TakenReply>> {
        let Some((line, len)) = line(bytes) else { return Ok(None) };
        match line.split_first() {
            Some((b':' | b'+', _)) => Ok(Some(TakenReply::answer(len))),
            Some((b'$', digits)) if digits != b"-1" => {
                let len = len + number(digits)? + 2;
                Ok((bytes.len() >= len).then_some(TakenReply::answer(len)))
            }
            _ => bail!("the server answered {}", String::from_utf8_lossy(line)),
        }
    }
}

/// Makes a connection that does the same on a server with one replica, and waits until the replica
/// has it: `WAIT 1` behind every `batch` commands, which is the least that a pipelining client can
/// do. The next batch is sent when the replica has the one before.
pub(crate) fn waiting(
    workload: Workload,
    keys: u64,
    order: KeyOrder,
    batch: usize,
) -> Box<dyn Wire> {
    Box::new(ReplicatedConnection {
        inner: wire(workload, keys, order),
        batch,
        asked: 0,
        answered: 0,
    })
}

struct ReplicatedConnection {
    inner: Box<dyn Wire>,
    batch: usize,
    /// How many commands of this batch were sent, and how many have their reply.
    asked: usize,
    answered: usize,
}

const WAIT: &[u8] = b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n";

impl Wire for ReplicatedConnection {
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()> {
        self.inner.greet(socket)
    }

    fn is_ready(&self) -> bool {
        self.asked < self.batch
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        self.inner.request(out);
        self.asked += 1;
        if self.asked == self.batch {
            out.extend_from_slice(WAIT);
        }
    }

    fn reply(&mut self, bytes: &[u8], again: &mut Vec<u8>) -> anyhow::Result<Option<TakenReply>> {
        let Some(taken) = self.inner.reply(bytes, again)? else { return Ok(None) };
        if self.answered + 1 < self.batch {
            self.answered += 1;
            return Ok(Some(taken));
        }
        let len = taken.len;
        // The last one counts when the replica has it.
        let Some((replicas, wait_len)) = line(&bytes[len..]) else { return Ok(None) };
        ensure!(replicas == b":1", "the replica has not confirmed");
        (self.asked, self.answered) = (0, 0);
        Ok(Some(TakenReply::answer(len + wait_len)))
    }
}

/// Loads a script into the server, and returns its hash.
fn load(socket: &mut TcpStream, script: &str) -> anyhow::Result<[u8; HASH_BYTES]> {
    let len = script.len();
    let request = format!("*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n${len}\r\n{script}\r\n");
    socket.write_all(request.as_bytes())?;
    // `$40`, the hash, and the end of a line behind each.
    let mut reply = [0; 5 + HASH_BYTES + 2];
    socket.read_exact(&mut reply[..1])?;
    ensure!(reply[0] == b'$', "the server takes no scripts");
    socket.read_exact(&mut reply[1..])?;
    Ok(*reply[5..].first_chunk().expect("the reply has its hash"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{split, take};
    use super::*;

    #[test]
    fn replies_may_come_in_pieces() {
        let mut wire = wire(Workload::CounterAdd, 10, KeyOrder::InTurn(0));
        split(&mut *wire, b":1042\r\n");
        split(&mut *wire, b"+OK\r\n");
        split(&mut *wire, b"$5\r\na\r\nbc\r\n");
        assert!(take(&mut *wire, b"-ERR no\r\n").is_err());
        assert!(take(&mut *wire, b"$-1\r\n").is_err());
    }

    #[test]
    fn a_batch_is_answered_when_the_replica_has_it() {
        let mut wire = waiting(Workload::CounterAdd, 10, KeyOrder::InTurn(0), 2);
        let mut out = Vec::new();
        wire.request(&mut out);
        assert!(wire.is_ready());
        wire.request(&mut out);
        assert!(!wire.is_ready() && out.ends_with(WAIT));
        assert_eq!(take(&mut *wire, b":1\r\n:2").unwrap(), Some(4));
        assert_eq!(take(&mut *wire, b":2\r\n").unwrap(), None);
        assert!(take(&mut *wire, b":2\r\n:0\r\n").is_err());
        assert_eq!(take(&mut *wire, b":2\r\n:1\r\n").unwrap(), Some(8));
        assert!(wire.is_ready());
    }

    #[test]
    fn a_script_is_loaded_once_and_called_by_its_hash() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let hash = "0123456789".repeat(4);
        write!(server, "$40\r\n{hash}\r\n").unwrap();
        let mut wire = wire(Workload::Multiply { times: 10_000 }, 10, KeyOrder::InTurn(7));
        wire.greet(&mut socket).unwrap();
        let mut out = Vec::new();
        wire.request(&mut out);
        let sent = String::from_utf8(out).unwrap();
        let call = ["EVALSHA", &hash, "1", "p000000007", "-1", "10000"];
        let call = call.map(|word| format!("${}\r\n{word}\r\n", word.len()));
        assert_eq!(sent, format!("*6\r\n{}", call.concat()));
        write!(server, "-ERR unknown command\r\n").unwrap();
        assert!(wire.greet(&mut socket).is_err());
    }

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        let mut out = Vec::new();
        wire(Workload::CounterAdd, 10, KeyOrder::InTurn(7)).request(&mut out);
        assert_eq!(out, b"*2\r\n$4\r\nINCR\r\n$10\r\nc000000007\r\n");
        out.clear();
        wire(Workload::CellPut { bytes: 2 }, 10, KeyOrder::InTurn(7)).request(&mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$10\r\nv000000007\r\n$2\r\nxx\r\n");
        out.clear();
        wire(Workload::MapPut, 3_000, KeyOrder::InTurn(2_007)).request(&mut out);
        let put = b"*4\r\n$4\r\nHSET\r\n$10\r\nm000000002\r\n$10\r\nf000000007\r\n$16\r\n";
        assert_eq!(out, [&put[..], b"xxxxxxxxxxxxxxxx\r\n"].concat());
    }

    #[test]
    fn what_is_pushed_to_a_list_is_taken_from_the_same() {
        let mut wire = wire(Workload::ListPushPop, 2_000, KeyOrder::InTurn(999));
        let mut next = || {
            let mut out = Vec::new();
            wire.request(&mut out);
            out
        };
        assert_eq!(
            next(),
            b"*3\r\n$5\r\nLPUSH\r\n$10\r\nl000000000\r\n$16\r\nxxxxxxxxxxxxxxxx\r\n"
        );
        assert_eq!(next(), b"*2\r\n$4\r\nRPOP\r\n$10\r\nl000000000\r\n");
        assert!(next().ends_with(b"l000000001\r\n$16\r\nxxxxxxxxxxxxxxxx\r\n"));
    }
}
