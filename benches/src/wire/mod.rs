//! What a load generator sends and understands, one file a protocol.
//!
//! A [`Workload`] says what is asked in words that every protocol has its own for. Requests are
//! written and replies parsed in place, with no allocation per request, for every protocol alike:
//! the one that is compared with must not wait for its client.

pub(crate) mod catena;
pub(crate) mod etcd;
pub(crate) mod memcached;
pub(crate) mod redis;

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, bail};

use crate::multiplied::COMPLEX_TIMES;

/// One connection's side of a protocol: requests out, replies in, in order.
pub(crate) trait Wire {
    /// Says what has to be said before the first request, and takes the answer to it.
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()>;

    /// Whether the next request may go out. One that depends on others is held back until then.
    fn is_ready(&self) -> bool {
        true
    }

    /// Appends one more request.
    fn request(&mut self, out: &mut Vec<u8>);

    /// Takes the next reply off the front of `bytes`; answers its length, or `None` if it is not
    /// all there.
    fn reply(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>>;
}

/// What is asked of a server, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Adds 1 to a counter and gets the new value.
    CounterAdd,
    /// Multiplies a counter.
    CounterMultiply,
    /// Multiplies a number of a user-defined type so many times: once is the thesis's *simple*
    /// operation, [`COMPLEX_TIMES`] its *complex* one.
    Multiply { times: u32 },
    /// Replaces a value of so many bytes.
    CellPut { bytes: usize },
    /// Gets a value of so many bytes.
    CellGet { bytes: usize },
    /// Adds so many f64 to a vector, element by element.
    VectorAdd { elements: usize },
    /// Puts a value of [`ITEM_BYTES`] under a key of a map.
    MapPut,
    /// Gets the value of a key of a map.
    MapGet,
    /// Pushes an item of [`ITEM_BYTES`] to the front of a list.
    ListPush,
    /// Pushes an item to the front of a list, takes one from its back, and so on: lists keep their
    /// lengths.
    ListPushPop,
}

impl Workload {
    /// Its name in measures, such as `cell_put_1k`.
    pub(crate) fn name(self) -> String {
        let size = |bytes: usize| match bytes {
            1024.. if bytes.is_multiple_of(1024) => format!("{}k", bytes / 1024),
            _ => format!("{bytes}b"),
        };
        match self {
            Workload::CounterAdd => "counter_add".to_owned(),
            Workload::CounterMultiply => "counter_multiply".to_owned(),
            Workload::Multiply { times: 1 } => "multiply_simple".to_owned(),
            Workload::Multiply { times: COMPLEX_TIMES } => "multiply_complex".to_owned(),
            Workload::Multiply { times } => format!("multiply_{times}"),
            Workload::CellPut { bytes } => format!("cell_put_{}", size(bytes)),
            Workload::CellGet { bytes } => format!("cell_get_{}", size(bytes)),
            Workload::VectorAdd { elements } => format!("vector_add_{elements}"),
            Workload::MapPut => "map_put".to_owned(),
            Workload::MapGet => "map_get".to_owned(),
            Workload::ListPush => "list_push".to_owned(),
            Workload::ListPushPop => "list_push_pop".to_owned(),
        }
    }

    /// What has to be done to every key before, so that all are there and have their memory.
    pub(crate) fn preparation(self) -> Workload {
        match self {
            Workload::CellGet { bytes } => Workload::CellPut { bytes },
            Workload::Multiply { .. } => Workload::Multiply { times: 1 },
            Workload::MapGet => Workload::MapPut,
            Workload::ListPushPop => Workload::ListPush,
            other => other,
        }
    }

    /// How many requests one connection may have under way while nobody measures.
    pub(crate) fn in_flight(self) -> usize {
        if self.value_bytes() > 4_096 { 16 } else { 128 }
    }

    fn value_bytes(self) -> usize {
        match self {
            Workload::CounterAdd | Workload::CounterMultiply | Workload::Multiply { .. } => 8,
            Workload::CellPut { bytes } | Workload::CellGet { bytes } => bytes,
            Workload::VectorAdd { elements } => elements * 8,
            Workload::MapPut | Workload::MapGet | Workload::ListPush | Workload::ListPushPop => {
                ITEM_BYTES
            }
        }
    }

    /// At most `keys`, no more than make [`VALUES_BYTES_MAX`] together, and as many in every object.
    fn keys(self, keys: u64) -> u64 {
        if let Workload::Multiply { .. } = self {
            return keys.min(PRODUCTS_MAX);
        }
        let keys = keys.min(VALUES_BYTES_MAX / self.value_bytes().max(1) as u64).max(1);
        keys - keys % self.items(keys)
    }

    /// How many of so many keys are in one object.
    fn items(self, keys: u64) -> u64 {
        match self {
            Workload::MapPut | Workload::MapGet => ITEMS.min(keys),
            Workload::ListPush | Workload::ListPushPop => ITEMS.min(keys),
            _ => 1,
        }
    }
}

/// Entries of a map and items of a list: more than what Redis packs into one piece of memory, where
/// it would have to search.
const ITEMS: u64 = 1_000;

/// Bytes of a value in a map, and of an item of a list.
const ITEM_BYTES: usize = 16;

/// So much memory the values of one workload take on each server.
const VALUES_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// As many numbers are multiplied in the thesis.
const PRODUCTS_MAX: u64 = 200;

/// In which order keys are asked for.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    /// At random.
    Random(Spread),
    /// One after the other, over and over.
    InTurn(u64),
}

impl Keys {
    /// Different seeds give different sequences; 0 is as good as any.
    pub(crate) fn random(seed: u64) -> Keys {
        Keys::Random(Spread(seed.wrapping_mul(2).wrapping_add(1)))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        match self {
            Keys::Random(spread) => spread.below(end),
            Keys::InTurn(next) => {
                let key = *next % end;
                *next = key + 1;
                key
            }
        }
    }
}

/// Small and good enough numbers to spread requests over keys (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub(crate) struct Spread(u64);

impl Spread {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        (high * end) >> 32
    }
}

/// A protocol and what it takes to speak it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Catena's own.
    Catena,
    /// RESP, as Redis speaks it.
    Redis,
    /// The same, with a `WAIT 1` behind every so many commands.
    RedisWaiting {
        /// How many.
        batch: usize,
    },
    /// memcached's meta commands.
    Memcached,
    /// etcd's JSON over HTTP.
    Etcd,
    /// Catena's frames of a counter add, to a server that sends back what it gets.
    Echo,
}

/// How a server's connections are to be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// What to ask.
    pub(crate) workload: Workload,
    /// Over so many keys.
    pub(crate) keys: u64,
    /// From so many connections.
    pub(crate) connections: u64,
}

impl Dialect {
    /// How many keys a plan has on such a server.
    pub(crate) fn keys(self, plan: &Plan) -> u64 {
        // etcd takes a minute to write as many as the others write in a second.
        let most = if self == Dialect::Etcd { 2_000 } else { u64::MAX };
        plan.workload.keys(plan.keys).min(most)
    }

    /// Whether the protocol has words for a workload.
    pub(crate) fn has(self, workload: Workload) -> bool {
        match workload {
            Workload::CounterAdd => self != Dialect::Etcd,
            Workload::CellPut { bytes } | Workload::CellGet { bytes } => match self {
                Dialect::Echo => false,
                // Its largest value is a mebibyte; its largest pipeline is one request.
                Dialect::Etcd => bytes <= 1024,
                _ => true,
            },
            Workload::MapPut | Workload::MapGet | Workload::ListPush | Workload::ListPushPop => {
                matches!(self, Dialect::Catena | Dialect::Redis)
            }
            // To Redis it is a script.
            Workload::Multiply { .. } => matches!(self, Dialect::Catena | Dialect::Redis),
            Workload::CounterMultiply | Workload::VectorAdd { .. } => self == Dialect::Catena,
        }
    }

    /// Opens nothing yet: the wires of a plan, and where each is to connect.
    pub(crate) fn wires(self, address: SocketAddr, plan: &Plan) -> anyhow::Result<Wires> {
        if !self.has(plan.workload) {
            bail!("{self:?} has no {}", plan.workload.name());
        }
        let keys = self.keys(plan);
        let seeds = 0..plan.connections;
        let everywhere = |wire: &dyn Fn(Keys) -> Box<dyn Wire>| {
            seeds.clone().map(|seed| (wire(Keys::random(seed)), address)).collect()
        };
        Ok(match self {
            Dialect::Catena => {
                catena::Node::at(address)?.wires(plan.workload, keys, plan.connections)?
            }
            Dialect::Echo => catena::echoed(address, keys, plan.connections),
            Dialect::Redis => everywhere(&|order| redis::wire(plan.workload, keys, order)),
            Dialect::RedisWaiting { batch } => {
                everywhere(&|order| redis::waiting(plan.workload, keys, order, batch))
            }
            Dialect::Memcached => everywhere(&|order| memcached::wire(plan.workload, keys, order)),
            Dialect::Etcd => everywhere(&|order| etcd::wire(plan.workload, keys, order)),
        })
    }

    /// One wire that asks for every key in turn.
    pub(crate) fn in_turn(self, address: SocketAddr, plan: &Plan) -> anyhow::Result<Wires> {
        let keys = self.keys(plan);
        let order = Keys::InTurn(0);
        let wire = match self {
            Dialect::Catena | Dialect::Echo => {
                return catena::Node::at(address)?.in_turn(plan.workload, keys);
            }
            Dialect::Redis | Dialect::RedisWaiting { .. } => {
                redis::wire(plan.workload, keys, order)
            }
            Dialect::Memcached => memcached::wire(plan.workload, keys, order),
            Dialect::Etcd => etcd::wire(plan.workload, keys, order),
        };
        Ok(vec![(wire, address)])
    }
}

/// Wires, each with the address it belongs to.
pub(crate) type Wires = Vec<(Box<dyn Wire>, SocketAddr)>;

/// Appends a key of constant length, so that the lengths around it are constant.
fn put_key(out: &mut Vec<u8>, prefix: u8, number: u64) {
    let mut key = [0; KEY_BYTES];
    set_key(&mut key, prefix, number);
    out.extend_from_slice(&key);
}

fn set_key(key: &mut [u8; KEY_BYTES], prefix: u8, mut number: u64) {
    key[0] = prefix;
    for digit in key[1..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
}

/// The object a key is in, and which of its items it is.
fn divided(key: u64, items: u64) -> (u64, u64) {
    (key / items, key % items)
}

/// Length of the peers' keys, and of keys in maps.
const KEY_BYTES: usize = 10;

/// The first line of `bytes` without its end, and how long it is with it.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// A decimal number.
fn number(digits: &[u8]) -> anyhow::Result<usize> {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    text.parse().with_context(|| format!("`{}` is no length", String::from_utf8_lossy(digits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` one more at a time; the reply must be there at the end and not before.
    pub(super) fn split(wire: &mut dyn Wire, bytes: &[u8]) {
        for len in 1..bytes.len() {
            assert_eq!(wire.reply(&bytes[..len]).unwrap(), None, "after {len} bytes");
        }
        assert_eq!(wire.reply(bytes).unwrap(), Some(bytes.len()));
        let more = [bytes, b"more"].concat();
        assert_eq!(wire.reply(&more).unwrap(), Some(bytes.len()));
    }

    #[test]
    fn keys_in_turn_come_round_and_random_ones_stay_below() {
        let mut keys = Keys::InTurn(0);
        let turn: Vec<u64> = (0..5).map(|_| keys.below(3)).collect();
        assert_eq!(turn, [0, 1, 2, 0, 1]);
        let mut keys = Keys::random(7);
        let seen: std::collections::BTreeSet<u64> = (0..1_000).map(|_| keys.below(8)).collect();
        assert_eq!(seen, (0..8).collect());
    }

    #[test]
    fn every_map_has_as_many_entries() {
        let map = Workload::MapPut;
        assert_eq!([map.keys(100_999), map.keys(999)], [100_000, 999]);
        assert_eq!([map.items(100_000), map.items(999)], [1_000, 999]);
    }

    #[test]
    fn large_values_get_fewer_keys() {
        assert_eq!(Workload::CounterAdd.keys(100_000), 100_000);
        assert_eq!(Workload::CellPut { bytes: 65_536 }.keys(100_000), 2_048);
    }
}
