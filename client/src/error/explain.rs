//! What a refusal means and what to do about it, in the words and units of the caller.
//!
//! The two numbers of a [`Fault`] mean something else for each status and kind. Where the
//! protocol's own text would leave that open, the text here names the thing that is counted.

use catena_protocol::limits::{ITEM_BYTES_MAX, ITEMS_MAX, KEY_BYTES_MAX};
use catena_protocol::op::Merge;
use catena_protocol::{Fault, Kind, OpCode, Status};

use super::Call;

/// Why the engine refused a call.
pub(super) fn reason(call: &Call, fault: &Fault) -> String {
    let Fault { status, expected, got } = *fault;
    match (status, call.kind) {
        (Status::WrongKind, _) => {
            let name = |wire: u64| {
                let kind = u8::try_from(wire).ok().and_then(Kind::from_wire);
                kind.map_or("thing of a later release", Kind::name)
            };
            format!("it is a {}, not a {}", name(got), name(expected))
        }
        _ if is_outside(fault) => {
            "the node is outside its cluster: it was removed, has not joined yet, or all members were \
             lost"
            .to_owned()
        }
        (Status::TooLarge, _) if expected > 0 => match Excess::of(call, fault) {
            Excess::Items => {
                format!("{} items are more than the limit of {}", grouped(got), grouped(expected))
            }
            Excess::Searched => format!(
                "the {} has {} items, and a request looks through {} at most",
                call.kind.name(),
                grouped(got),
                grouped(expected)
            ),
            Excess::Key => {
                let part = if call.kind == Kind::Set { "member" } else { "key" };
                format!("a {part} of {} is longer than {}", bytes(got), bytes(expected))
            }
            Excess::Reply | Excess::Value => {
                format!("{} are more than the limit of {}", bytes(got), bytes(expected))
            }
        },
        (Status::Mismatch, Kind::Map) => number_mismatch(call, expected, got),
        (Status::Mismatch, Kind::Semaphore) => {
            format!("the semaphore has {expected} permits in all, this call says {got}")
        }
        (Status::Mismatch, Kind::Latch) => {
            format!("the latch is of {expected} parties, this call says {got}")
        }
        (Status::Mismatch, Kind::Barrier | Kind::Reduction) => {
            format!("this call has {got} where the {} has {expected}", call.kind.name())
        }
        (Status::Mismatch, Kind::Vector) => {
            format!("the numbers do not fit the vector, which has {expected} where they have {got}")
        }
        (Status::Mismatch, Kind::User) => format!("its type is {expected}, this call says {got}"),
        (Status::OutOfRange, Kind::List) => {
            format!("there is no item at index {got}, the length of the list is {expected}")
        }
        (Status::OutOfRange, Kind::Cell) => {
            format!("byte {got} is behind the end, the cell has {}", bytes(expected))
        }
        (Status::OutOfRange, Kind::Vector) => {
            format!("rows up to {got} were requested, the vector has {expected}")
        }
        (Status::OutOfRange, Kind::Semaphore) => {
            format!("{got} permits are more than the {expected} of the semaphore")
        }
        (Status::OutOfRange, Kind::Reduction) => {
            format!("there is no party {got}, the {expected} parties are counted from 0")
        }
        (Status::WrongRound, Kind::Barrier) => {
            format!("generation {got} is in the future, the current one is {expected}")
        }
        _ => fault.to_string(),
    }
}

/// Whether the node is no member, and so serves nobody. A member refuses only requests that name
/// another epoch than its own, and those of clients of a cluster name none.
fn is_outside(fault: &Fault) -> bool {
    fault.status == Status::WrongEpoch && (fault.got == 0 || fault.got == fault.expected)
}

/// Why bytes cannot be read or merged as a number: either the value in the map, whose length is
/// `expected`, or the given value, whose length is `got`, does not have the length of a number.
fn number_mismatch(call: &Call, expected: u64, got: u64) -> String {
    let (action, numbers) = match call.merge {
        Some(Merge::Add) => ("add", "integers"),
        Some(Merge::Min) => ("take the minimum", "integers"),
        Some(Merge::Max) => ("take the maximum", "integers"),
        Some(Merge::AddF64) => ("add", "floats"),
        Some(Merge::MinF64) => ("take the minimum", "floats"),
        Some(Merge::MaxF64) => ("take the maximum", "floats"),
        Some(Merge::Append | Merge::ReplaceIfGreater) | None => ("read a number", "numbers"),
    };
    let is_stored = got == NUMBER_BYTES;
    let value = match (&call.key, is_stored) {
        (Some(key), true) => format!("the value of key {}", quoted(key)),
        (Some(key), false) => format!("the value given for key {}", quoted(key)),
        (None, true) => "the value of one of the keys".to_owned(),
        (None, false) => "one of the values given".to_owned(),
    };
    let length = bytes(if is_stored { expected } else { got });
    format!("cannot {action}: {value} is {length}, {numbers} are {NUMBER_BYTES}")
}

/// The length of integers and floats in maps.
const NUMBER_BYTES: u64 = 8;

/// What is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    /// The items of a request are too many.
    Items,
    /// The object has too many items for an op that looks through them.
    Searched,
    /// A key of a map or a member of a set is too long.
    Key,
    /// The reply to an update is too long to be kept for a retry.
    Reply,
    /// A value is too long.
    Value,
}

impl Excess {
    fn of(call: &Call, fault: &Fault) -> Excess {
        let limit = usize::try_from(fault.expected).unwrap_or(usize::MAX);
        let is_collection = matches!(call.kind, Kind::List | Kind::Map | Kind::Set);
        let searches = matches!(
            call.op,
            OpCode::ListIndexOf
                | OpCode::ListContainsAll
                | OpCode::ListRemoveValue
                | OpCode::ListRemoveAll
                | OpCode::ListRetainAll
                | OpCode::MapContainsValue
                | OpCode::SetRetainAll
        );
        match limit {
            KEY_BYTES_MAX if matches!(call.kind, Kind::Map | Kind::Set) => Excess::Key,
            ITEM_BYTES_MAX if call.kind == Kind::List => Excess::Value,
            _ if is_collection && fault.expected == u64::from(ITEMS_MAX) => Excess::Items,
            _ if searches => Excess::Searched,
            STORED_REPLY_BYTES
                if matches!(call.op, OpCode::CellSwap | OpCode::MapSwap | OpCode::MapTake) =>
            {
                Excess::Reply
            }
            _ => Excess::Value,
        }
    }
}

/// How large a reply to an update an engine keeps for a retry.
const STORED_REPLY_BYTES: usize = 64 * 1024;

/// What to do about a refused call.
pub(super) fn advice_for(call: &Call, fault: &Fault) -> &'static str {
    let status = fault.status;
    match (status, call.kind) {
        _ if is_outside(fault) => "Ask a member, or wait until the node has joined",
        (Status::TooLarge, kind) => match (Excess::of(call, fault), kind) {
            (Excess::Items, _) => "Split the request",
            (Excess::Searched, _) => "Read it page by page",
            (Excess::Key, Kind::Set) => "Use a shorter member, such as a hash of it",
            (Excess::Key, _) => "Use a shorter key, such as a hash of it",
            (Excess::Reply, _) => "Read the value, and then change it without having it returned",
            (Excess::Value, Kind::List) => {
                "Put the value into a cell or a map, and its name into the list"
            }
            (Excess::Value, Kind::Log) => "Split the line",
            (Excess::Value, _) => advice(status),
        },
        (Status::Mismatch, Kind::Map) => {
            "Use another key, or store numbers with put_i64 or put_f64"
        }
        (Status::Mismatch, Kind::Semaphore) => "Give the same number of permits in all calls",
        (Status::Mismatch, Kind::Latch) => "Give the same number of parties in all calls",
        (Status::Mismatch, Kind::Barrier) => {
            "Give the same number of parties, and the same on_loss, in all calls"
        }
        (Status::Mismatch, Kind::Reduction) => {
            "Give the same parties, op, on_loss, and type and number of elements in all calls"
        }
        (Status::Mismatch, Kind::Vector) => "Check type, columns and number of the elements",
        (Status::Mismatch, Kind::User) => "Use a handle of the object's type, or another name",
        _ => advice(status),
    }
}

/// What to do about a status.
pub(super) fn advice(status: Status) -> &'static str {
    match status {
        Status::Busy | Status::ShuttingDown | Status::NotHead | Status::WrongEpoch => {
            "Try again later"
        }
        Status::UnderReplicated => "Bring the lost nodes back, or add others",
        Status::TooManyConnections => "Share clients between calls, or add a node",
        Status::TooSlow => "Let fewer calls share the client, or give it more CPU time",
        Status::TooManySessions => {
            "Keep clients from call to call, or set a shorter session time to live"
        }
        Status::TooManyObjects | Status::OutOfMemory => {
            "Delete objects, or give the node more memory"
        }
        Status::QuotaExceeded => "Delete objects with this prefix, or raise the quota",
        Status::StaleToken => "Stop: another client has held the lock since",
        Status::UnknownType => "Build the engine with this type",
        Status::Rejected => "See the documentation of the type for its codes",
        Status::TooManyWaiters => "Let fewer callers wait on one object",
        Status::BadVersion | Status::MissingFeature => "Use client and engine of the same release",
        Status::BadMagic => "Check the address: another program listens there",
        Status::WrongKind => "Use the handle of the right kind, or another name",
        Status::TooLarge => "Split the value over several objects",
        Status::Absent => "Write it before reading it",
        Status::WrongRound => "Read its state for the current one",
        Status::Deleted => "Begin again with a new object",
        Status::BadLength => "Raise reply_bytes_max if replies may be that large",
        Status::BadChecksum
        | Status::BadBody
        | Status::BadFrameKind
        | Status::NameNeeded
        | Status::Panicked => "Please report this if it happens again",
        Status::Ok
        | Status::Timeout
        | Status::Broken
        | Status::WrongShard
        | Status::SessionUnknown
        | Status::Stale
        | Status::WindowExceeded
        | Status::SessionConflict
        | Status::Overflow
        | Status::OutOfRange
        | Status::Mismatch
        | Status::BadArgument
        | Status::HelloRequired
        | Status::BadFlags
        | Status::UnknownOp
        | Status::BadShard
        | Status::WrongCluster
        | Status::WrongNode
        | Status::Retired => "Check the arguments",
    }
}

/// How an object ended its waits, and what to do about it.
pub(super) fn broken(kind: Kind, reason: &str) -> String {
    match kind {
        Kind::Future => format!("cancelled: {reason}. It stays cancelled: use another future"),
        _ => format!("broken: {reason}. Reset it to use it again"),
    }
}

/// Why a reply is lost, and what to do about it.
pub(super) fn loss(fault: &Fault) -> &'static str {
    match fault.status {
        Status::TooLarge => {
            "it is larger than the engine keeps for retries. Let the type return smaller replies"
        }
        _ => "it is not a reply of this type. Build client and engine with the same types",
    }
}

/// A length in bytes, with thousands set apart.
fn bytes(length: u64) -> String {
    match length {
        1 => "1 byte".to_owned(),
        length => grouped(length) + " bytes",
    }
}

/// A number with thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A key as text if it is text, else in hexadecimal; long ones are cut.
fn quoted(key: &[u8]) -> String {
    let text = match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("0x{}", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    };
    match text.char_indices().nth(KEY_CHARS_MAX) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// How much of a key a message shows.
const KEY_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use catena_protocol::{OpCode, Retry};

    use super::*;

    fn call(kind: Kind, op: OpCode) -> Call {
        let (object, node, member) = ("words".into(), None, None);
        Call { kind, object, op, node, member, retry: Retry::Never, key: None, merge: None }
    }

    #[test]
    fn bytes_that_are_no_number_are_named_by_their_key() {
        let add = Call {
            key: Some(b"a".as_slice().into()),
            merge: Some(Merge::Add),
            ..call(Kind::Map, OpCode::MapMerge)
        };
        let stored = Fault::expected(Status::Mismatch, 1, 8);
        let expected = "cannot add: the value of key `a` is 1 byte, integers are 8";
        assert_eq!(reason(&add, &stored), expected);
        let given = Fault::expected(Status::Mismatch, 8, 3);
        let expected = "cannot add: the value given for key `a` is 3 bytes, integers are 8";
        assert_eq!(reason(&add, &given), expected);
        let many = Call { key: None, merge: Some(Merge::MaxF64), ..add.clone() };
        let expected = "cannot take the maximum: one of the values given is 3 bytes, floats are 8";
        assert_eq!(reason(&many, &given), expected);
        let read = Call { merge: None, ..add };
        let expected = "cannot read a number: the value of key `a` is 1 byte, numbers are 8";
        assert_eq!(reason(&read, &stored), expected);
    }

    #[test]
    fn a_node_outside_its_cluster_is_said_to_be_there() {
        let get = call(Kind::Counter, OpCode::CounterGet);
        for (ours, theirs) in [(0, 0), (4, 0), (7, 7)] {
            let outside = Fault::expected(Status::WrongEpoch, ours, theirs);
            let text = reason(&get, &outside);
            assert!(text.starts_with("the node is outside its cluster"), "{text}");
            assert!(advice_for(&get, &outside).starts_with("Ask a member"));
        }
        let restarted = reason(&get, &Fault::expected(Status::WrongEpoch, 9, 7));
        assert_eq!(restarted, "the shard is in epoch 9, the request names epoch 7");
    }

    #[test]
    fn numbers_of_a_fault_have_their_unit() {
        let push = call(Kind::List, OpCode::ListPushBack);
        let large = Fault::expected(Status::TooLarge, 61_440, 8_388_608);
        let expected = "8,388,608 bytes are more than the limit of 61,440 bytes";
        assert_eq!(reason(&push, &large), expected);
        let wrong = Kind::List.to_wire().into();
        let wrong = Fault::expected(Status::WrongKind, wrong, Kind::Cell.to_wire().into());
        assert_eq!(reason(&push, &wrong), "it is a cell, not a list");
    }

    #[test]
    fn what_is_too_large_is_named_and_has_its_own_advice() {
        let told = |kind, op, limit, got| {
            let (call, fault) = (call(kind, op), Fault::expected(Status::TooLarge, limit, got));
            format!("{}. {}", reason(&call, &fault), advice_for(&call, &fault))
        };
        assert_eq!(
            told(Kind::Map, OpCode::MapPut, 4_096, 5_000),
            "a key of 5,000 bytes is longer than 4,096 bytes. Use a shorter key, such as a hash of it"
        );
        assert!(told(Kind::Set, OpCode::SetAdd, 4_096, 5_000).contains("Use a shorter member"));
        assert_eq!(
            told(Kind::List, OpCode::ListExtend, 8_192, 10_000),
            "10,000 items are more than the limit of 8,192. Split the request"
        );
        assert_eq!(
            told(Kind::List, OpCode::ListIndexOf, 1 << 20, 2_000_000),
            "the list has 2,000,000 items, and a request looks through 1,048,576 at most. Read it \
             page by page"
        );
        let item = told(Kind::List, OpCode::ListPushBack, 61_440, 100_000);
        assert!(
            item.contains("100,000 bytes are more than the limit of 61,440 bytes. Put"),
            "{item}"
        );
        let log = told(Kind::Log, OpCode::LogPrint, 4_096, 5_000);
        assert!(log.ends_with("Split the line"), "{log}");
        assert!(told(Kind::Cell, OpCode::CellSwap, 65_536, 100_000).contains("Read the value"));
        let cell = told(Kind::Cell, OpCode::CellSet, 8 << 20, 9 << 20);
        assert!(cell.ends_with("Split the value over several objects"), "{cell}");
    }

    #[test]
    fn keys_are_shown_as_far_as_they_are_readable() {
        assert_eq!(quoted(b"ada"), "`ada`");
        assert_eq!(quoted(&[0xff, 0]), "`0xff00`");
        assert_eq!(quoted("ä".repeat(100).as_bytes()), format!("`{}…`", "ä".repeat(64)));
    }
}
