//! What clients say, taken from bytes.
//!
//! Arguments are few and small, so that clients meet: at the same objects, keys, parties and places.
//! Edges come as often. Tokens are those that the shard gave out, mostly.

use alloc::vec::Vec;
use core::cell::OnceCell;

use catena_protocol::limits::HOLD_FROM_GRANT;
use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp,
    GENERATION_CURRENT, LatchOp, ListOp, LockOp, LogOp, Loss, MapOp, Merge, ObjectOp, Permit,
    ReduceOp, ReductionOp, ScanArgs, ScanWhat, ScopeOp, SemaphoreOp, SessionOp, SetOp, UserOp,
    VectorOp,
};
use catena_protocol::{Elements, Items, ItemsBuf, Kind, Op, OpCode, Scalar};

/// The bytes that are left; when they are used up, zeros.
pub(super) struct Source<'b> {
    bytes: &'b [u8],
    /// Tokens that were given out last.
    tokens: [u64; 8],
    /// The kinds that this life is about; all if there are none.
    kinds: Vec<Kind>,
}

/// What an op borrows besides what is always there: its fields fill it one after another.
#[derive(Default)]
pub(super) struct Material {
    f64s: OnceCell<Vec<f64>>,
    f32s: OnceCell<Vec<f32>>,
    i64s: OnceCell<Vec<i64>>,
    items: OnceCell<ItemsBuf>,
    words: [OnceCell<[u8; 8]>; 2],
}

impl Material {
    /// A number as bytes.
    fn word(&self, word: i64) -> &[u8] {
        let free = self.words.iter().find(|kept| kept.get().is_none());
        free.expect("an op has no more").get_or_init(|| word.to_le_bytes())
    }
}

impl<'b> Source<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Source<'b> {
        let mut source = Source { bytes, tokens: [0; 8], kinds: Vec::new() };
        // Mostly a few kinds, so that their ops come in every order.
        for _ in 0..source.byte() % 4 {
            let kind = source.any_kind();
            source.kinds.push(kind);
        }
        source
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Small ones mostly, and the edges.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => u64::from(small % 8),
            200..=229 => u64::MAX - u64::from(self.byte() % 4),
            _ => self.take(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }

    /// One of these.
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    fn yes(&mut self) -> bool {
        self.byte().is_multiple_of(2)
    }

    fn small(&mut self) -> u32 {
        match self.byte() {
            small @ 0..=249 => u32::from(small % 5),
            edge => u32::MAX - u32::from(edge % 4),
        }
    }

    fn int(&mut self) -> i64 {
        match self.byte() {
            small @ 0..=199 => i64::from(small) - 100,
            200..=229 => i64::MAX - i64::from(self.byte() % 4),
            _ => i64::MIN + i64::from(self.byte() % 4),
        }
    }

    /// For how long something may be held: as long as the session lives, or up to some minutes.
    fn hold_ms(&mut self) -> u32 {
        match self.byte() {
            0..=99 => 0,
            some @ 240.. => HOLD_FROM_GRANT | 1 << (some % 16),
            some => 1 << (some % 20),
        }
    }

    fn loss(&mut self) -> Loss {
        // Parties have to agree, so mostly they do.
        match self.byte() {
            0..=199 => Loss::Drop,
            other => Loss::ALL[usize::from(other) % Loss::ALL.len()],
        }
    }

    /// Notes a token that the shard gave out.
    pub(super) fn learn(&mut self, token: u64) {
        self.tokens.rotate_right(1);
        self.tokens[0] = token;
    }

    fn token(&mut self) -> u64 {
        match self.byte() {
            known @ 0..=219 => self.tokens[usize::from(known) % self.tokens.len()],
            _ => self.number(),
        }
    }

    fn any_kind(&mut self) -> Kind {
        self.one_of(Kind::ALL)
    }

    /// A kind that has objects.
    pub(super) fn kind(&mut self) -> Kind {
        let kinds = core::mem::take(&mut self.kinds);
        let kind = self.one_of(if kinds.is_empty() { Kind::ALL } else { &kinds });
        self.kinds = kinds;
        kind
    }

    /// An op that is none on a session.
    pub(super) fn code(&mut self) -> OpCode {
        let any = OpCode::ALL[2 + usize::from(self.byte()) % (OpCode::ALL.len() - 2)];
        if self.kinds.is_empty() || self.byte() < 16 {
            return any;
        }
        let kind = self.kind();
        let is_ours = |code: &&OpCode| code.kind() == kind && code.kind() != Kind::Session;
        let ours: Vec<OpCode> = OpCode::ALL.iter().filter(is_ours).copied().collect();
        if ours.is_empty() { any } else { self.one_of(&ours) }
    }

    /// Short ones, and sometimes one that has to be kept outside.
    fn text(&mut self) -> &'static str {
        const LONG: &str = match core::str::from_utf8(&[b'x'; 300]) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        };
        const NAMES: [&str; 4] = ["a", "b", "c", ""];
        match self.byte() {
            name @ 0..=223 => NAMES[usize::from(name % 32 / 10)],
            long => &LONG[..usize::from(long - 223) * 9],
        }
    }

    fn bytes(&mut self) -> &'static [u8] {
        self.text().as_bytes()
    }

    /// How names begin.
    fn prefix(&mut self) -> &'static str {
        self.one_of(&["", "l", "list/", "list/a", "map/", "counter/", "lock", "no such"])
    }

    /// Text, or a number.
    fn value<'m>(&mut self, material: &'m Material) -> &'m [u8] {
        if self.byte() < 80 {
            return self.bytes();
        }
        material.word(self.int())
    }

    fn items(&mut self) -> ItemsBuf {
        (0..self.byte() % 6).map(|_| self.bytes()).collect()
    }

    fn pairs(&mut self) -> ItemsBuf {
        let mut items = ItemsBuf::new();
        for _ in 0..self.byte() % 4 {
            let (key, material) = (self.bytes(), Material::default());
            items.push(key);
            items.push(self.value(&material));
        }
        items
    }

    fn elements<'m>(&mut self, material: &'m Material) -> Elements<'m> {
        let shape = self.byte();
        let len = usize::from(shape % 5);
        let ints: Vec<i64> = (0..len).map(|_| self.int()).collect();
        match shape / 64 {
            0 => Elements::F64(material.f64s.get_or_init(|| {
                ints.iter().map(|int| f64::from_bits(int.cast_unsigned())).collect()
            })),
            1 => Elements::F32(
                material
                    .f32s
                    .get_or_init(|| [1.5, f32::NAN, -0.0, f32::MAX][..len.min(4)].to_vec()),
            ),
            _ => Elements::I64(material.i64s.get_or_init(|| ints)),
        }
    }

    fn scalar(&mut self) -> Scalar {
        match self.byte() % 4 {
            0 => Scalar::F64(1.5),
            1 => Scalar::F32(f32::NAN),
            _ => Scalar::I64(self.int()),
        }
    }

    fn scan(&mut self) -> ScanArgs<'static> {
        let what = match self.byte() {
            0..=199 => ScanWhat::Keys,
            other => ScanWhat::ALL[usize::from(other) % ScanWhat::ALL.len()],
        };
        let reverse = self.yes();
        let limit = self.small();
        let mut edge = || match self.byte() % 3 {
            0 => Edge::None,
            1 => Edge::Included(self.bytes()),
            _ => Edge::Excluded(self.bytes()),
        };
        let (from, to) = (edge(), edge());
        ScanArgs { what, reverse, limit, from, to }
    }

    fn permit(&mut self) -> Permit {
        // Those who ask have to agree on how many there are, so mostly they do.
        let permits = if self.byte() < 240 { 3 } else { self.small() };
        Permit { permits, count: self.small(), hold_ms: self.hold_ms() }
    }

    fn parties(&mut self) -> u32 {
        if self.byte() < 230 { 2 } else { self.small() }
    }

    fn arrival(&mut self) -> Arrival<'static> {
        let (party, parties) = (self.text(), self.parties());
        let generation = if self.yes() { GENERATION_CURRENT } else { self.number() };
        Arrival { party, parties, generation, hold_ms: self.hold_ms(), loss: self.loss() }
    }

    fn contribution<'m>(&mut self, material: &'m Material) -> Contribution<'m> {
        Contribution {
            party: self.small(),
            parties: self.parties(),
            round: self.number(),
            op: if self.byte() < 200 { ReduceOp::Sum } else { self.one_of(ReduceOp::ALL) },
            hold_ms: self.hold_ms(),
            loss: self.loss(),
            elements: self.elements(material),
        }
    }
}

/// A field of an op, taken from the bytes: by its type, and by its name or its op where that matters.
trait Field<'m> {
    fn take(source: &mut Source<'_>, material: &'m Material, code: OpCode, name: &str) -> Self;
}

/// Declares how fields of some types are taken.
macro_rules! fields {
    ($($type:ty: |$source:ident, $material:ident, $code:ident, $name:ident| $take:expr;)*) => {$(
        impl<'m> Field<'m> for $type {
            fn take(
                $source: &mut Source<'_>,
                $material: &'m Material,
                $code: OpCode,
                $name: &str,
            ) -> $type {
                $take
            }
        }
    )*};
}

fields! {
    bool: |source, _material, _code, _name| source.yes();
    i64: |source, _material, _code, _name| source.int();
    u64: |source, _material, _code, name| match name {
        "token" => source.token(),
        "ttl_ms" if source.yes() => source.hold_ms().into(),
        "objects_max" => source.small().into(),
        "bytes_max" => if source.yes() { 0 } else { 1 << (source.byte() % 16) },
        _ => source.number(),
    };
    u32: |source, _material, _code, name| match name {
        "hold_ms" => source.hold_ms(),
        "parties" => source.parties(),
        _ => source.small(),
    };
    &'m [u8]: |source, material, _code, name| match name {
        "value" | "args" => source.value(material),
        _ => source.bytes(),
    };
    Option<&'m [u8]>: |source, material, _code, _name| {
        if source.yes() { Some(source.value(material)) } else { None }
    };
    &'m str: |source, _material, _code, name| match name {
        "prefix" | "after" => source.prefix(),
        _ => source.text(),
    };
    Items<'m>: |source, material, code, _name| {
        let items = match code {
            OpCode::MapPutAll | OpCode::MapMergeAll => source.pairs(),
            _ => source.items(),
        };
        material.items.get_or_init(|| items).items()
    };
    Elements<'m>: |source, material, _code, _name| source.elements(material);
    Scalar: |source, _material, _code, _name| source.scalar();
    Merge: |source, _material, _code, _name| source.one_of(Merge::ALL);
    ScanArgs<'m>: |source, _material, _code, _name| source.scan();
    Permit: |source, _material, _code, _name| source.permit();
    Arrival<'m>: |source, _material, _code, _name| source.arrival();
    Contribution<'m>: |source, material, _code, _name| source.contribution(material);
}

/// Makes of the table of ops what takes one from the bytes.
macro_rules! declare {
    ($(
        $(#[$doc:meta])*
        $kind:ident = $kind_code:literal, has_objects: $objects:literal, $ops:ident $(<$a:lifetime>)?
            $(, inline($how:ident))?
        {$(
            $code:ident = $wire:literal, $class:ident, $op:ident { $($field:tt $(: $name:ident)?),* }
                = $shape:ident $parts:tt -> $reply:ident $(or $nothing:ident)?;
        )*}
    )*) => {
        impl Source<'_> {
            /// An op with this code and fields from the bytes, in the order of the table.
            pub(super) fn op<'m>(&mut self, code: OpCode, material: &'m Material) -> Op<'m> {
                if code == OpCode::ScopeStats {
                    // The saved seeds have a prefix here too.
                    self.prefix();
                }
                match code {$($(
                    OpCode::$code => Op::$kind($ops::$op {
                        $($field: Field::take(self, material, code, stringify!($field)),)*
                    }),
                )*)*}
            }
        }
    };
}

catena_protocol::for_each_op!(declare);
