//! Replies as text.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use catena_protocol::{
    Fault, Holder, Inspection, Items, Kind, Listing, Missing, OpCode, Refusal, Reply, Scalar,
    SeatState, Stats, Status, Usage,
};

use super::numbers;
use crate::shard::fuzz::trial::Sent;

/// Formats a reply.
pub(in crate::shard::tests) fn answer(sent: &Sent) -> String {
    if sent.status == Status::Ok {
        let code = OpCode::from_wire(sent.header.op).expect("only a known op succeeds");
        return reply(&Reply::decode(code, sent.body.bytes()).expect("the reply of the op"));
    }
    match Refusal::decode(sent.status, sent.body.bytes()).expect("a refusal") {
        Refusal::Fault(Fault { status, expected: 0, got: 0 }) => format!("{status:?}"),
        Refusal::Fault(Fault { status: Status::StaleToken, expected, got }) => {
            format!("StaleToken({},{})", token(expected), token(got))
        }
        Refusal::Fault(Fault { status, expected, got }) => format!("{status:?}({expected},{got})"),
        // Only some waits are for parties.
        Refusal::Timeout(Missing { parties: 0, .. }) => "Timeout".to_owned(),
        Refusal::Timeout(Missing { arrived, parties, names }) => {
            format!("Timeout {arrived}/{parties}{}", missing(&names))
        }
        Refusal::Broken(reason) => format!("Broken {}", short(&reason)),
    }
}

fn reply(reply: &Reply<'_>) -> String {
    let swap = |swapped| if swapped { "swapped" } else { "kept" };
    match *reply {
        Reply::Unit => "ok".to_owned(),
        Reply::Int(value) => value.to_string(),
        Reply::Bool(value) => value.to_string(),
        Reply::Number(number) => number.to_string(),
        Reply::IntSwapped { value, swapped } => format!("{value} {}", swap(swapped)),
        Reply::BoolSwapped { value, swapped } => format!("{value} {}", swap(swapped)),
        Reply::VersionSwapped { version, swapped } => format!("v{version} {}", swap(swapped)),
        Reply::Appended { version, length } => format!("v{version} {length} long"),
        Reply::Cell { version, bytes: None } | Reply::Vector { version, elements: None, .. } => {
            format!("v{version} seen")
        }
        Reply::Cell { version, bytes: Some([]) } => format!("v{version}"),
        Reply::Cell { version, bytes: Some(bytes) } => format!("v{version} {}", shown(bytes)),
        Reply::Vector { version, columns, elements: Some(elements) } => {
            format!("v{version} {columns} wide {}", numbers(elements))
        }
        Reply::Round { round, elements } => format!("round {round} {}", numbers(elements)),
        Reply::Seats(SeatState { round, arrived, parties, waiting, missing: ref names }) => {
            format!("round {round} {arrived}/{parties} {waiting} waiting{}", missing(names))
        }
        Reply::Value(value) => value.map_or("none".to_owned(), shown),
        Reply::Page { at, more, ref items } => {
            format!("{at}:{}{}", listed(items.items()), if more { " +" } else { "" })
        }
        Reply::Found { found: false, .. } => "nowhere".to_owned(),
        Reply::Found { at, .. } => format!("at {at}"),
        Reply::Granted { granted: false, .. } => "denied".to_owned(),
        Reply::Granted { token: grant, .. } => token(grant),
        Reply::Claimed { bytes: None, .. } => "none".to_owned(),
        Reply::Claimed { token: claim, bytes: Some(bytes) } => {
            format!("{} {}", token(claim), shown(bytes))
        }
        Reply::Permits { available, permits, holders, waiting } => {
            format!("{available}/{permits} free, {holders} held, {waiting} waiting")
        }
        Reply::Scalar(Scalar::F64(value)) => format!("f64:{value}"),
        Reply::Scalar(Scalar::F32(value)) => format!("f32:{value}"),
        Reply::Scalar(Scalar::I64(value)) => format!("i64:{value}"),
        Reply::Listing(ref listing) => named(listing),
        Reply::Inspection(ref inspection) => inspected(inspection),
        Reply::Usage(Usage { objects, bytes, objects_max, bytes_max }) => {
            format!("{objects} of {objects_max} objects, {bytes} of {bytes_max} bytes")
        }
        Reply::Stats(ref stats) => counted(stats),
        Reply::Monitored(ref monitored) => format!("{} requests", monitored.requests.len()),
    }
}

/// Formats bytes as text; if they are not text, eight bytes as a number and others one by one.
pub(in crate::shard::tests) fn shown(bytes: &[u8]) -> String {
    /// Eight bytes are an integer if it is nearer to 0, or to an end of the range, than this; else
    /// a float.
    const INTS: i64 = 1 << 48;
    match core::str::from_utf8(bytes) {
        Ok("") => "\"\"".to_owned(),
        Ok(text) if !text.contains(char::is_control) => short(text),
        _ => {
            let Ok(word) = bytes.try_into() else { return format!("{bytes:02x?}") };
            let int = i64::from_le_bytes(word);
            let is_float = (INTS..=i64::MAX - INTS).contains(&int.saturating_abs());
            if is_float {
                format!("f64:{}", f64::from_le_bytes(word))
            } else {
                format!("i64:{int}")
            }
        }
    }
}

/// Formats items, each after a space.
fn listed(items: Items<'_>) -> String {
    items.iter().map(|item| format!(" {}", shown(item))).collect()
}

fn token(token: u64) -> String {
    match (token >> 16, token & 0xFFFF) {
        (0, bare) => bare.to_string(),
        (version, 0) => format!("t{version}"),
        (version, nth) => format!("t{version}.{nth}"),
    }
}

fn named(listing: &Listing<'_>) -> String {
    let columns = listing.columns();
    let mut told: Vec<String> = columns
        .iter()
        .map(|object| {
            let kind = object.kind.map_or("nothing", Kind::name);
            format!("{} {kind} v{}", object.name, object.version)
        })
        .collect();
    if columns.more() {
        told.push("+".to_owned());
    }
    if columns.unnamed() > 0 {
        told.push(format!("{} unnamed", columns.unnamed()));
    }
    if told.is_empty() {
        told.push("nothing".to_owned());
    }
    told.join(", ")
}

fn inspected(inspection: &Inspection) -> String {
    let Inspection { version, expires_ms, waiters, kind, name, detail, missing, holders, .. } =
        inspection;
    let kind = Kind::from_wire(*kind).map_or("nothing", Kind::name);
    let mut told = vec![format!("{name} {kind} v{version}: {detail}").trim_start().to_owned()];
    if *expires_ms > 0 {
        told.push(format!("expires in {expires_ms}"));
    }
    if *waiters > 0 {
        told.push(format!("{waiters} in line"));
    }
    if !missing.is_empty() {
        told.push(format!("missing {}", missing.join(" ")));
    }
    told.extend(holders.iter().take(8).map(held));
    told.join("; ")
}

fn held(holder: &Holder) -> String {
    let Holder { session, token: grant, left_ms, permits, party } = holder;
    let client: String = session
        .to_be_bytes()
        .iter()
        .filter(|byte| **byte != 0)
        .map(|byte| char::from(*byte))
        .collect();
    let party = if party.is_empty() { String::new() } else { format!(" as {party}") };
    let until = if *left_ms == 0 { "as it lives".to_owned() } else { format!("for {left_ms}") };
    format!("{client} holds {permits} by {}{party} {until}", token(*grant))
}

fn counted(stats: &Stats) -> String {
    let Stats { now_us, updates, reads, objects, named, sessions, waiters, holds, .. } = stats;
    format!(
        "at {now_us}: {updates} updates, {reads} reads, {objects} objects, {named} named, \
         {sessions} sessions, {waiters} waiters, {holds} holds"
    )
}

fn missing(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names if names.len() > 8 => format!(", missing {} named", names.len()),
        names => format!(", missing {}", names.join(" ")),
    }
}

/// Shortens long repetitions to text like `x*30`.
fn short(text: &str) -> String {
    match text.chars().next() {
        Some(first) if text.len() > 20 && text.chars().all(|other| other == first) => {
            format!("{first}*{}", text.chars().count())
        }
        _ => text.to_owned(),
    }
}
