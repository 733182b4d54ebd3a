//! What is asked, in words.

use alloc::string::String;
use alloc::vec::Vec;
use catena_protocol::limits::HOLD_FROM_GRANT;
use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, Edge, FlagOp, FutureOp,
    GENERATION_CURRENT, LatchOp, ListOp, LockOp, LogOp, Loss, MapOp, Merge, ObjectOp, Permit,
    ReduceOp, ReductionOp, ScanArgs, ScanWhat, ScopeOp, SemaphoreOp, SetOp, UserOp, VectorOp,
};
use catena_protocol::{Elements, ItemsBuf, Op};

use super::{Numbers, number, text, token};

/// What the words of an op say, owned so that the op can borrow it.
struct Words<'w> {
    words: Vec<&'w str>,
    texts: Vec<String>,
    bytes: Vec<Vec<u8>>,
    numbers: Option<Numbers>,
    /// All but the first word, and all but the first two.
    items: [ItemsBuf; 2],
    /// `p*2/3`: the party `pp`, one of three.
    seat: Option<(String, &'w str)>,
    /// `hold 50`.
    hold_ms: u32,
    /// `loss drop`.
    loss: Loss,
}

/// Hands over the op that the words stand for.
pub(in crate::shard::tests) fn with_op<R>(
    kind: &str,
    words: &[&str],
    hand: impl FnOnce(Op<'_>) -> R,
) -> R {
    let spoken = Words::new(words);
    hand(match kind {
        "object" => Op::Object(spoken.object()),
        "scope" => Op::Scope(spoken.scope()),
        "counter" => Op::Counter(spoken.counter()),
        "flag" => Op::Flag(spoken.flag()),
        "cell" => Op::Cell(spoken.cell()),
        "vector" => Op::Vector(spoken.vector()),
        "reduction" => Op::Reduction(spoken.reduction()),
        "barrier" => Op::Barrier(spoken.barrier()),
        "latch" => Op::Latch(spoken.latch()),
        "list" => Op::List(spoken.list()),
        "map" => Op::Map(spoken.map()),
        "set" => Op::Set(spoken.set()),
        "semaphore" => Op::Semaphore(spoken.semaphore()),
        "lock" => Op::Lock(spoken.lock()),
        "future" => Op::Future(spoken.future()),
        "log" => Op::Log(spoken.log()),
        "user" => Op::User(spoken.user()),
        _ => panic!("what is {kind} {words:?}?"),
    })
}

impl<'w> Words<'w> {
    fn new(words: &[&'w str]) -> Words<'w> {
        let (mut hold_ms, mut loss, mut left) = (0, Loss::Wait, Vec::new());
        let mut rest = words;
        while let [word, more @ ..] = rest {
            rest = more;
            match (*word, more.first()) {
                ("hold", Some(ms)) if !left.is_empty() => hold_ms = number(ms),
                ("granted", Some(ms)) if !left.is_empty() => {
                    hold_ms = HOLD_FROM_GRANT | number::<u32>(ms);
                }
                ("loss", Some(what)) if !left.is_empty() => {
                    loss = match *what {
                        "wait" => Loss::Wait,
                        "drop" => Loss::Drop,
                        "break" => Loss::Break,
                        other => panic!("what is loss {other}?"),
                    }
                }
                _ => {
                    left.push(*word);
                    continue;
                }
            }
            rest = &more[1..];
        }
        let bytes: Vec<Vec<u8>> = left.iter().map(|word| super::bytes(word)).collect();
        Words {
            seat: left
                .get(1)
                .and_then(|word| word.rsplit_once('/'))
                .map(|(party, parties)| (text(party), parties)),
            texts: left.iter().map(|word| text(word)).collect(),
            numbers: left.last().and_then(|word| Numbers::parse(word)),
            items: [1, 2].map(|from| bytes.iter().skip(from).collect()),
            bytes,
            words: left,
            hold_ms,
            loss,
        }
    }

    fn text(&self, at: usize) -> &str {
        &self.texts[at]
    }

    fn bytes(&self, at: usize) -> &[u8] {
        &self.bytes[at]
    }

    fn elements(&self) -> Elements<'_> {
        self.numbers.as_ref().map_or(Elements::F64(&[]), Numbers::elements)
    }

    /// `none` stands for nothing.
    fn value(&self, at: usize) -> Option<&[u8]> {
        (self.words[at] != "none").then(|| self.bytes(at))
    }

    fn unknown(&self) -> ! {
        panic!("what is {:?}?", self.words)
    }

    fn object(&self) -> ObjectOp {
        match *self.words {
            ["delete"] => ObjectOp::Delete,
            ["inspect"] => ObjectOp::Inspect,
            ["wait_newer", version] => ObjectOp::WaitNewer { version: number(version) },
            ["expire", ms] => ObjectOp::Expire { ttl_ms: number(ms) },
            _ => self.unknown(),
        }
    }

    fn scope(&self) -> ScopeOp<'_> {
        match *self.words {
            ["list", _, _, limit] => {
                let (prefix, after) = (self.text(1), self.text(2));
                ScopeOp::List { after, prefix, limit: number(limit) }
            }
            ["usage", _] => ScopeOp::Usage { prefix: self.text(1) },
            ["delete", _, limit] => ScopeOp::Delete { prefix: self.text(1), limit: number(limit) },
            ["quota", _, objects, bytes] => ScopeOp::Quota {
                prefix: self.text(1),
                objects_max: number(objects),
                bytes_max: number(bytes),
            },
            ["stats"] => ScopeOp::Stats,
            _ => self.unknown(),
        }
    }

    fn counter(&self) -> CounterOp {
        match *self.words {
            ["get"] => CounterOp::Get,
            ["set", value] => CounterOp::Set { value: number(value) },
            ["add", delta] => CounterOp::Add { delta: number(delta) },
            ["fetch_add", delta] => CounterOp::FetchAdd { delta: number(delta) },
            ["swap", value] => CounterOp::Swap { value: number(value) },
            ["cas", expected, value] => {
                CounterOp::CompareAndSwap { expected: number(expected), value: number(value) }
            }
            ["multiply", factor] => CounterOp::Multiply { factor: number(factor) },
            ["min", value] => CounterOp::Min { value: number(value) },
            ["max", value] => CounterOp::Max { value: number(value) },
            _ => self.unknown(),
        }
    }

    fn flag(&self) -> FlagOp {
        match *self.words {
            ["get"] => FlagOp::Get,
            ["set", value] => FlagOp::Set { value: number(value) },
            ["swap", value] => FlagOp::Swap { value: number(value) },
            ["cas", expected, value] => {
                FlagOp::CompareAndSwap { expected: number(expected), value: number(value) }
            }
            _ => self.unknown(),
        }
    }

    fn cell(&self) -> CellOp<'_> {
        match *self.words {
            ["get"] => CellOp::Get,
            ["newer", version] => CellOp::GetIfNewer { version: number(version) },
            ["range", from, length] => {
                CellOp::ReadRange { from: number(from), length: number(length) }
            }
            ["set", _] => CellOp::Set { bytes: self.bytes(1) },
            ["set_token", fence, _] => {
                CellOp::SetWithToken { token: token(fence), bytes: self.bytes(2) }
            }
            ["swap", _] => CellOp::Swap { bytes: self.bytes(1) },
            ["append", _] => CellOp::Append { bytes: self.bytes(1) },
            ["cas", _, _] => {
                CellOp::CompareAndSet { expected: self.bytes(1), bytes: self.bytes(2) }
            }
            ["cas_version", version, _] => {
                CellOp::CompareVersionAndSet { version: number(version), bytes: self.bytes(2) }
            }
            _ => self.unknown(),
        }
    }

    fn vector(&self) -> VectorOp<'_> {
        let elements = self.elements();
        match *self.words {
            ["get"] => VectorOp::Get,
            ["newer", version] => VectorOp::GetIfNewer { version: number(version) },
            ["init", columns, _] => VectorOp::Init { columns: number(columns), elements },
            ["set", columns, _] => VectorOp::Set { columns: number(columns), elements },
            ["add", _] => VectorOp::Add { elements },
            ["rows", from, count] => VectorOp::GetRows { from: number(from), count: number(count) },
            ["add_rows", from, _] => VectorOp::AddRows { from: number(from), elements },
            ["scale", _] => {
                let factor = self.numbers.as_ref().expect("a factor").scalar();
                VectorOp::Scale { factor }
            }
            ["dot", _] => VectorOp::Dot { elements },
            ["sum"] => VectorOp::Sum,
            _ => self.unknown(),
        }
    }

    fn reduction(&self) -> ReductionOp<'_> {
        let (seat, round, op) = match *self.words {
            ["last"] => return ReductionOp::Last,
            ["state"] => return ReductionOp::State,
            ["reset"] => return ReductionOp::Reset,
            ["break", _] => return ReductionOp::Break { reason: self.text(1) },
            ["give", seat, round, op, _] => (seat, round, op),
            _ => self.unknown(),
        };
        let (party, parties) = seat.split_once('/').expect("seat/parties");
        let op = match op {
            "sum" => ReduceOp::Sum,
            "mean" => ReduceOp::Mean,
            "min" => ReduceOp::Min,
            "max" => ReduceOp::Max,
            other => panic!("what is {other}?"),
        };
        ReductionOp::Contribute(Contribution {
            party: number(party),
            parties: number(parties),
            round: number(round),
            op,
            hold_ms: self.hold_ms,
            loss: self.loss,
            elements: self.elements(),
        })
    }

    fn barrier(&self) -> BarrierOp<'_> {
        let (how, generation) = match *self.words {
            ["state"] => return BarrierOp::State,
            ["reset"] => return BarrierOp::Reset,
            ["break", _] => return BarrierOp::Break { reason: self.text(1) },
            [how, _] => (how, GENERATION_CURRENT),
            [how, _, generation] => (how, number(generation)),
            _ => self.unknown(),
        };
        let (party, parties) = self.seat();
        let Words { hold_ms, loss, .. } = *self;
        let arrival = Arrival { party, parties, generation, hold_ms, loss };
        match how {
            "arrive" => BarrierOp::Arrive(arrival),
            "wait" => BarrierOp::ArriveAndWait(arrival),
            other => panic!("what is {other}?"),
        }
    }

    fn latch(&self) -> LatchOp<'_> {
        match *self.words {
            ["state"] => LatchOp::State,
            ["wait", parties] => LatchOp::Wait { parties: number(parties) },
            ["count", _] => {
                let (party, parties) = self.seat();
                LatchOp::CountDown { party, parties }
            }
            _ => self.unknown(),
        }
    }

    fn seat(&self) -> (&str, u32) {
        let (party, parties) = self.seat.as_ref().expect("party/parties");
        (party, number(parties))
    }

    fn list(&self) -> ListOp<'_> {
        let [items, _] = self.items.each_ref().map(ItemsBuf::items);
        let hold_ms = self.hold_ms;
        match *self.words {
            ["len"] => ListOp::Len,
            ["get", index] => ListOp::Get { index: number(index) },
            ["range", from, limit] => ListOp::Range { from: number(from), limit: number(limit) },
            ["index", _] => ListOp::IndexOf { from_end: false, bytes: self.bytes(1) },
            ["last_index", _] => ListOp::IndexOf { from_end: true, bytes: self.bytes(1) },
            ["contains", ..] => ListOp::ContainsAll { items },
            ["push", _] => ListOp::PushBack { bytes: self.bytes(1) },
            ["push_front", _] => ListOp::PushFront { bytes: self.bytes(1) },
            ["pop_back"] => ListOp::PopBack,
            ["pop"] => ListOp::PopFront,
            ["pop_wait"] => ListOp::PopFrontWait,
            ["set", index, _] => ListOp::Set { index: number(index), bytes: self.bytes(2) },
            ["insert", index, _] => ListOp::Insert { index: number(index), bytes: self.bytes(2) },
            ["remove_at", index] => ListOp::RemoveAt { index: number(index) },
            ["remove", _] => ListOp::RemoveValue { bytes: self.bytes(1) },
            ["extend", ..] => ListOp::Extend { items },
            ["retain_all", ..] => ListOp::RetainAll { items },
            ["remove_all", ..] => ListOp::RemoveAll { items },
            ["clear"] => ListOp::Clear,
            ["claim"] => ListOp::Claim { hold_ms },
            ["try_claim"] => ListOp::TryClaim { hold_ms },
            ["done", claim] => ListOp::Done { token: token(claim) },
            ["return", claim] => ListOp::Return { token: token(claim) },
            _ => self.unknown(),
        }
    }

    fn map(&self) -> MapOp<'_> {
        let [items, behind] = self.items.each_ref().map(ItemsBuf::items);
        let entry = || (self.bytes(1), self.bytes(2));
        match *self.words {
            ["len"] => MapOp::Len,
            ["get", _] => MapOp::Get { key: self.bytes(1) },
            ["has", _] => MapOp::ContainsKey { key: self.bytes(1) },
            ["has_value", _] => MapOp::ContainsValue { value: self.bytes(1) },
            ["scan", ..] => MapOp::Scan(self.scan()),
            ["put", _, _] => {
                let (key, value) = entry();
                MapOp::Put { key, value }
            }
            ["put_new", _, _] => {
                let (key, value) = entry();
                MapOp::PutIfAbsent { key, value }
            }
            ["cas", _, _, _] => MapOp::CompareAndSwap {
                key: self.bytes(1),
                expected: self.value(2),
                value: self.value(3),
            },
            ["remove", _] => MapOp::Remove { key: self.bytes(1) },
            ["take", _] => MapOp::Take { key: self.bytes(1) },
            ["swap", _, _] => {
                let (key, value) = entry();
                MapOp::Swap { key, value }
            }
            ["put_all", ..] => MapOp::PutAll { items },
            ["merge", how, _, _] => {
                let (key, value) = (self.bytes(2), self.bytes(3));
                MapOp::Merge { key, value, merge: merge(how) }
            }
            ["merge_all", how, ..] => MapOp::MergeAll { merge: merge(how), items: behind },
            ["clear"] => MapOp::Clear,
            ["put_token", fence, _, _] => MapOp::PutWithToken {
                token: token(fence),
                key: self.bytes(2),
                value: self.bytes(3),
            },
            ["remove_all", ..] => MapOp::RemoveAll { items },
            _ => self.unknown(),
        }
    }

    /// `scan entries reverse limit 3 from b before x`.
    fn scan(&self) -> ScanArgs<'_> {
        let what = match self.words[1] {
            "keys" => ScanWhat::Keys,
            "values" => ScanWhat::Values,
            "entries" => ScanWhat::Entries,
            _ => self.unknown(),
        };
        let (from, to) = (Edge::None, Edge::None);
        let mut scan = ScanArgs { what, reverse: false, limit: 0, from, to };
        let mut at = 2;
        while let Some(word) = self.words.get(at) {
            at += if *word == "reverse" { 1 } else { 2 };
            match *word {
                "reverse" => scan.reverse = true,
                "limit" => scan.limit = number(self.words[at - 1]),
                "from" => scan.from = Edge::Included(self.bytes(at - 1)),
                "after" => scan.from = Edge::Excluded(self.bytes(at - 1)),
                "to" => scan.to = Edge::Included(self.bytes(at - 1)),
                "before" => scan.to = Edge::Excluded(self.bytes(at - 1)),
                _ => self.unknown(),
            }
        }
        scan
    }

    fn set(&self) -> SetOp<'_> {
        let [items, _] = self.items.each_ref().map(ItemsBuf::items);
        match *self.words {
            ["len"] => SetOp::Len,
            ["has", _] => SetOp::Contains { bytes: self.bytes(1) },
            ["has_all", ..] => SetOp::ContainsAll { items },
            ["scan", ..] => SetOp::Scan(self.scan()),
            ["add", _] => SetOp::Add { bytes: self.bytes(1) },
            ["remove", _] => SetOp::Remove { bytes: self.bytes(1) },
            ["add_all", ..] => SetOp::AddAll { items },
            ["remove_all", ..] => SetOp::RemoveAll { items },
            ["retain_all", ..] => SetOp::RetainAll { items },
            ["clear"] => SetOp::Clear,
            _ => self.unknown(),
        }
    }

    /// `acquire 2/5` is two of five permits.
    fn semaphore(&self) -> SemaphoreOp {
        let hold_ms = self.hold_ms;
        let permit = |word: &str| {
            let (count, permits) = word.split_once('/').expect("count/permits");
            Permit { permits: number(permits), count: number(count), hold_ms }
        };
        match *self.words {
            ["state"] => SemaphoreOp::State,
            ["acquire", share] => SemaphoreOp::Acquire(permit(share)),
            ["try", share] => SemaphoreOp::TryAcquire(permit(share)),
            ["release", grant] => SemaphoreOp::Release { token: token(grant) },
            ["extend", grant] => SemaphoreOp::Extend { token: token(grant), hold_ms },
            _ => self.unknown(),
        }
    }

    fn lock(&self) -> LockOp {
        let hold_ms = self.hold_ms;
        match *self.words {
            ["state"] => LockOp::State,
            ["acquire"] => LockOp::Acquire { hold_ms },
            ["try"] => LockOp::TryAcquire { hold_ms },
            ["release", grant] => LockOp::Release { token: token(grant) },
            ["extend", grant] => LockOp::Extend { token: token(grant), hold_ms },
            _ => self.unknown(),
        }
    }

    fn future(&self) -> FutureOp<'_> {
        match *self.words {
            ["state"] => FutureOp::State,
            ["peek"] => FutureOp::Peek,
            ["set", _] => FutureOp::Set { bytes: self.bytes(1) },
            ["get"] => FutureOp::Get,
            ["cancel", _] => FutureOp::Cancel { reason: self.text(1) },
            _ => self.unknown(),
        }
    }

    fn log(&self) -> LogOp<'_> {
        match *self.words {
            ["tail", after, limit] => LogOp::Tail { after: number(after), limit: number(limit) },
            ["print", _] => LogOp::Print { line: self.text(1) },
            _ => self.unknown(),
        }
    }

    fn user(&self) -> UserOp<'_> {
        match *self.words {
            ["read", type_id, _] => UserOp::Read { type_id: number(type_id), args: self.bytes(2) },
            ["update", type_id, _] => {
                UserOp::Update { type_id: number(type_id), args: self.bytes(2) }
            }
            _ => self.unknown(),
        }
    }
}

fn merge(word: &str) -> Merge {
    match word {
        "add" => Merge::Add,
        "min" => Merge::Min,
        "max" => Merge::Max,
        "add_f64" => Merge::AddF64,
        "min_f64" => Merge::MinF64,
        "max_f64" => Merge::MaxF64,
        "append" => Merge::Append,
        "replace_if_greater" => Merge::ReplaceIfGreater,
        other => panic!("what is merging by {other}?"),
    }
}
