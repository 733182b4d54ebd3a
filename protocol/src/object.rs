//! The object that a request is about: its id, its kind, and the shard that holds it.

use crate::wire_enum::wire_enum;

/// The identity of an object: the first 128 bits of the BLAKE3 hash of its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u128);

impl ObjectId {
    /// Returns the id of the object called `name`: bytes 0 to 15 of BLAKE3(name), read
    /// little-endian.
    pub fn of(name: &str) -> ObjectId {
        let hash = blake3::hash(name.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        ObjectId(u128::from_le_bytes(first))
    }
}

impl std::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The number of a shard. Each shard holds a part of all objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// How objects map to shards and shards to cores of one node.
///
/// The number of shards is a power of two, fixed when a cluster is created. The number of cores may
/// differ from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardMap {
    shards_log2: u32,
    cores: u16,
}

impl ShardMap {
    /// Most shards of a cluster.
    pub const SHARDS_MAX: u32 = 32_768;

    /// Returns the map of `shards` shards on `cores` cores; `None` unless `shards` is a power of
    /// two of at most [`ShardMap::SHARDS_MAX`] and there is at least one core.
    pub fn new(shards: u32, cores: u16) -> Option<ShardMap> {
        if !shards.is_power_of_two() || shards > ShardMap::SHARDS_MAX || cores == 0 {
            return None;
        }
        Some(ShardMap { shards_log2: shards.trailing_zeros(), cores })
    }

    /// Returns how many shards there are.
    pub fn shards(&self) -> u32 {
        1 << self.shards_log2
    }

    /// Returns how many cores share them.
    pub fn cores(&self) -> u16 {
        self.cores
    }

    /// Returns the shard that holds an object: the top bits of its id.
    pub fn shard_of(&self, object: ObjectId) -> ShardId {
        let top = (object.0 >> 112) as u16;
        // A shift by 16 is one too many for a u16, and one shard needs no bits at all.
        ShardId(u16::try_from(u32::from(top) >> (16 - self.shards_log2)).expect("at most 16 bits"))
    }

    /// Returns the core that owns a shard.
    pub fn core_of(&self, shard: ShardId) -> u16 {
        shard.0 % self.cores
    }
}

/// Makes [`Kind`] from the table of ops.
macro_rules! declare {
    ($(
        $(#[$doc:meta])*
        $kind:ident = $code:literal, has_objects: $objects:literal,
            $ops:ident $(<$a:lifetime>)? $(, inline($how:ident))?
        { $($op:tt)* }
    )*) => {
        wire_enum! {
            /// The kind of an object: the high byte of the codes of its ops.
            pub enum Kind: u8 { $($(#[$doc])* $kind = $code,)* }
        }

        impl Kind {
            /// Returns whether objects of this kind exist.
            pub const fn has_objects(self) -> bool {
                match self { $(Kind::$kind => $objects,)* }
            }
        }
    };
}

crate::for_each_op!(declare);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_start_of_the_hash_of_the_name() {
        // BLAKE3("visits") begins with these bytes.
        let hash = blake3::hash(b"visits");
        assert_eq!(ObjectId::of("visits").0.to_le_bytes(), hash.as_bytes()[..16]);
    }

    #[test]
    fn shards_are_the_top_bits_and_cores_take_turns() {
        let map = ShardMap::new(64, 3).unwrap();
        assert_eq!(map.shard_of(ObjectId(0)), ShardId(0));
        assert_eq!(map.shard_of(ObjectId(u128::MAX)), ShardId(63));
        assert_eq!(map.shard_of(ObjectId(1 << 122)), ShardId(1));
        assert_eq!(map.core_of(ShardId(4)), 1);
        assert_eq!(ShardMap::new(1, 1).unwrap().shard_of(ObjectId(u128::MAX)), ShardId(0));
    }

    #[test]
    fn a_map_needs_a_power_of_two_and_a_core() {
        assert!(ShardMap::new(48, 1).is_none());
        assert!(ShardMap::new(0, 1).is_none());
        assert!(ShardMap::new(65_536, 1).is_none());
        assert!(ShardMap::new(64, 0).is_none());
    }
}
