//! What the load generator sends and receives, one file for each protocol.
//!
//! A [`Workload`] names an operation independently of the protocol. Requests are written and
//! replies parsed in place, with no allocation per request, for every protocol alike, because a
//! peer must not wait for its client.

pub(crate) mod catena;
pub(crate) mod etcd;
pub(crate) mod memcached;
pub(crate) mod redis;

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, bail};

use crate::multiplied::COMPLEX_TIMES;
use crate::random::SplitMix64;

/// One connection's side of a protocol: requests out, replies in, in order.
pub(crate) trait Wire {
    /// Does the handshake that comes before the first request.
    fn greet(&mut self, socket: &mut TcpStream) -> anyhow::Result<()>;

    /// Returns whether the next request may be sent: one that depends on others waits for them.
    fn is_ready(&self) -> bool {
        true
    }

    /// Appends one more request.
    fn request(&mut self, out: &mut Vec<u8>);

    /// Takes the next reply off the front of `bytes`; `None` if it is not complete. What the server
    /// has to be sent before it answers the request is appended to `again`.
    fn reply(&mut self, bytes: &[u8], again: &mut Vec<u8>) -> anyhow::Result<Option<TakenReply>>;
}

/// A reply that was taken off the front of the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenReply {
    pub(crate) len: usize,
    /// Whether the request is answered. If not, a later reply answers it: one to a request that is
    /// sent again, behind all that are under way.
    pub(crate) is_final: bool,
}

impl TakenReply {
    /// A reply of this length that answers its request.
    pub(crate) fn answer(len: usize) -> TakenReply {
        TakenReply { len, is_final: true }
    }
}

/// The operation that a server is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Adds 1 to a counter and gets the new value.
    CounterAdd,
    /// Multiplies a counter.
    CounterMultiply,
    /// Multiplies a number of a user-defined type this many times: once is the thesis's *simple*
    /// operation, [`COMPLEX_TIMES`] its *complex* one.
    Multiply { times: u32 },
    /// Replaces a value of this many bytes.
    CellPut { bytes: usize },
    /// Gets a value of this many bytes.
    CellGet { bytes: usize },
    /// Adds this many f64 to a vector, element by element.
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
    /// Returns its name in measures, such as `cell_put_1k`.
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

    /// Returns the workload that creates the keys of this one.
    pub(crate) fn preparation(self) -> Workload {
        match self {
            Workload::CellGet { bytes } => Workload::CellPut { bytes },
            Workload::Multiply { .. } => Workload::Multiply { times: 1 },
            Workload::MapGet => Workload::MapPut,
            Workload::ListPushPop => Workload::ListPush,
            other => other,
        }
    }

    /// Returns how many requests a connection has in flight while keys are created.
    pub(crate) fn in_flight(self) -> usize {
        if self.value_bytes() > 4_096 { 16 } else { 128 }
    }

    /// Returns the letter that the names of its keys begin with; the number follows.
    pub(crate) fn key_prefix(self) -> u8 {
        match self {
            Workload::CounterAdd => b'c',
            Workload::CounterMultiply => b'f',
            Workload::Multiply { .. } => b'p',
            Workload::CellPut { .. } | Workload::CellGet { .. } => b'v',
            Workload::VectorAdd { .. } => b'a',
            Workload::MapPut | Workload::MapGet => b'm',
            Workload::ListPush | Workload::ListPushPop => b'l',
        }
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

    /// Returns at most `keys`, limited by [`VALUES_BYTES_MAX`], and a multiple of the items of an
    /// object.
    fn keys(self, keys: u64) -> u64 {
        if let Workload::Multiply { .. } = self {
            return keys.min(PRODUCTS_MAX);
        }
        let keys = keys.min(VALUES_BYTES_MAX / self.value_bytes().max(1) as u64).max(1);
        keys - keys % self.items(keys)
    }

    /// Returns how many of the keys are items of one object.
    pub(crate) fn items(self, keys: u64) -> u64 {
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
pub(crate) const ITEM_BYTES: usize = 16;

/// The most memory that the values of one workload may take on each server, in bytes.
const VALUES_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How many numbers are multiplied in the thesis.
const PRODUCTS_MAX: u64 = 200;

/// In which order keys are used.
#[derive(Clone, Debug)]
pub(crate) enum KeyOrder {
    Random(SplitMix64),
    /// One after the other, again and again.
    InTurn(u64),
}

impl KeyOrder {
    /// Makes a random order; every seed gives another.
    pub(crate) fn random(seed: u64) -> KeyOrder {
        KeyOrder::Random(SplitMix64::new(seed))
    }

    /// Returns the next number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        match self {
            KeyOrder::Random(random) => random.below(end),
            KeyOrder::InTurn(next) => {
                let key = *next % end;
                *next = key + 1;
                key
            }
        }
    }
}

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Catena's own.
    Catena,
    /// RESP, the protocol of Redis and Valkey.
    Redis,
    /// The same, with a `WAIT 1` behind every `batch` commands.
    RedisWaiting { batch: usize },
    /// memcached's meta commands.
    Memcached,
    /// etcd's JSON over HTTP.
    Etcd,
    /// Catena's frames of a counter add, to a server that sends every frame back.
    Echo,
}

/// What a server is loaded with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlan {
    pub(crate) workload: Workload,
    /// How many keys, at most.
    pub(crate) keys: u64,
    pub(crate) connections: u64,
}

impl Dialect {
    /// Returns how many keys a plan has on a server of this protocol.
    pub(crate) fn keys(self, plan: &LoadPlan) -> u64 {
        // etcd takes a minute to write as many as the others write in a second.
        let most = if self == Dialect::Etcd { 2_000 } else { u64::MAX };
        plan.workload.keys(plan.keys).min(most)
    }

    /// Returns whether the protocol has a workload.
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

    /// Makes the wires of a plan, and the address that each is to connect to.
    pub(crate) fn wires(self, address: SocketAddr, plan: &LoadPlan) -> anyhow::Result<Wires> {
        if !self.has(plan.workload) {
            bail!("{self:?} has no {}", plan.workload.name());
        }
        let keys = self.keys(plan);
        let seeds = 0..plan.connections;
        let everywhere = |wire: &dyn Fn(KeyOrder) -> Box<dyn Wire>| {
            seeds.clone().map(|seed| (wire(KeyOrder::random(seed)), address)).collect()
        };
        Ok(match self {
            Dialect::Catena => {
                catena::NodeTopology::at(address)?.wires(plan.workload, keys, plan.connections)?
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

    /// Makes one wire that goes through the keys in turn.
    pub(crate) fn in_turn(self, address: SocketAddr, plan: &LoadPlan) -> anyhow::Result<Wires> {
        let keys = self.keys(plan);
        let order = KeyOrder::InTurn(0);
        let wire = match self {
            Dialect::Catena | Dialect::Echo => {
                return catena::NodeTopology::at(address)?.in_turn(plan.workload, keys);
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

/// Wires, each with the address that it is to connect to.
pub(crate) type Wires = Vec<(Box<dyn Wire>, SocketAddr)>;

/// Appends the name of a key. Its length is constant, so that the lengths around it are as well.
fn put_key(out: &mut Vec<u8>, prefix: u8, number: u64) {
    let mut key = [0; KEY_BYTES];
    set_key(&mut key, prefix, number);
    out.extend_from_slice(&key);
}

/// Returns the name of a key.
pub(crate) fn key_name(prefix: u8, number: u64) -> String {
    let mut key = [0; KEY_BYTES];
    set_key(&mut key, prefix, number);
    String::from_utf8(key.to_vec()).expect("a letter and digits")
}

/// Writes the name of a key in place.
fn set_key(key: &mut [u8; KEY_BYTES], prefix: u8, mut number: u64) {
    key[0] = prefix;
    for digit in key[1..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
}

/// Returns the object that a key is in, and which of its items it is.
pub(crate) fn divided(key: u64, items: u64) -> (u64, u64) {
    (key / items, key % items)
}

/// Length of the names of keys, and of the keys in maps, in bytes.
const KEY_BYTES: usize = 10;

/// Returns the first line of `bytes` without its line break, and its length with it.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// Parses a decimal number.
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
            assert_eq!(take(wire, &bytes[..len]).unwrap(), None, "after {len} bytes");
        }
        assert_eq!(take(wire, bytes).unwrap(), Some(bytes.len()));
        let more = [bytes, b"more"].concat();
        assert_eq!(take(wire, &more).unwrap(), Some(bytes.len()));
    }

    /// Takes a reply that answers its request, and returns its length.
    pub(super) fn take(wire: &mut dyn Wire, bytes: &[u8]) -> anyhow::Result<Option<usize>> {
        let mut again = Vec::new();
        let taken = wire.reply(bytes, &mut again)?;
        assert!(again.is_empty() && taken.is_none_or(|taken| taken.is_final));
        Ok(taken.map(|taken| taken.len))
    }

    #[test]
    fn keys_in_turn_come_round_and_random_ones_stay_below() {
        let mut keys = KeyOrder::InTurn(0);
        let turn: Vec<u64> = (0..5).map(|_| keys.below(3)).collect();
        assert_eq!(turn, [0, 1, 2, 0, 1]);
        let mut keys = KeyOrder::random(7);
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
