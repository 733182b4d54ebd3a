//! The saved corpus of the fuzz target `frame`, run as an ordinary test.

use std::path::PathBuf;

use catena_protocol::{Kind, OpCode, fuzz};

use crate::golden;

const FILES_MAX: usize = 100;
const BYTES_MAX: usize = 200 * 1024;

#[test]
fn every_seed_returns() {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder()).expect("the seeds are there") {
        let seed =
            std::fs::read(entry.expect("a readable folder").path()).expect("a readable seed");
        (files, bytes) = (files + 1, bytes + seed.len());
        fuzz::frame(&seed);
    }
    assert!((1..FILES_MAX).contains(&files), "{files} seeds");
    assert!(bytes < BYTES_MAX, "{bytes} bytes of seeds");
}

/// Writes the seeds that follow from the golden frames. Seeds that a fuzzer found stay.
pub(crate) fn write() {
    let frames = golden::frames();
    let find = |name: &str| {
        let found = frames.iter().find(|(other, _)| other == name);
        &found.expect("there is a golden frame of this name").1
    };
    let save = |name: &str, bytes: &[u8]| {
        std::fs::write(folder().join(name), bytes).expect("the seeds can be written");
    };
    std::fs::create_dir_all(folder()).expect("the seeds have a folder");
    // What a connection carries: requests, each with its reply.
    for kind in Kind::ALL {
        let of_kind = OpCode::ALL.iter().filter(|code| code.kind() == *kind);
        let exchange = of_kind.flat_map(|code| {
            [find(&format!("request {code:?}")).clone(), find(&format!("reply {code:?}")).clone()]
        });
        save(&format!("exchange-{}", kind.name()), &exchange.collect::<Vec<_>>().concat());
    }
    save("handshake", &[&find("hello")[..], find("welcome")].concat());
    for name in ["Timeout", "Broken", "Busy"] {
        save(&format!("refusal-{name}"), find(&format!("refusal {name}")));
    }
    for name in [
        "f32 VectorSet",
        "i64 VectorSet",
        "empty VectorAdd",
        "empty CellSet",
        "f32 VectorScale",
        "remove MapCompareAndSwap",
        "named ListPushBack",
    ] {
        save(&format!("request-{}", name.replace(' ', "-")), find(&format!("request-{name}")));
    }
    // What the fuzzer takes for an op code and a body: the body alone, behind its code.
    for name in [
        "request CellCompareAndSet",
        "request ReductionContribute",
        "request BarrierArrive",
        "request VectorSet",
        "request VectorScale",
        "request ListExtend",
        "request ListSet",
        "request MapScan",
        "request MapCompareAndSwap",
        "request MapMergeAll",
        "request MapPutWithToken",
        "request SemaphoreAcquire",
        "request ScopeList",
        "request ScopeQuota",
        "request UserUpdate",
        "request-named ListPushBack",
        "reply BarrierState",
        "reply ListRange",
        "reply ListClaim",
        "reply ListIndexOf",
        "reply LockAcquire",
        "reply MapGet",
        "reply SemaphoreState",
        "reply VectorSum",
        "reply ObjectInspect",
        "reply ScopeList",
        "reply ScopeStats",
    ] {
        let frame = golden::whole(find(name));
        let code = frame.header.op.to_le_bytes();
        save(&format!("body-{}", name.replace(' ', "-")), &[&code[..], frame.body].concat());
    }
    // What has to be refused.
    let add = find("request CounterAdd");
    for (name, at, byte) in [
        ("magic", 0, 0x50),
        ("version", 2, 0xFF),
        ("kind", 3, 0x10),
        ("checksum", 4, 0x00),
        ("op", 8, 0xEE),
        ("frame-bytes", 12, 0x51),
        ("body-bytes", 16, 0xFF),
        ("body", 64, 0xAA),
    ] {
        let mut bad = add.clone();
        bad[at] = byte;
        save(&format!("bad-{name}"), &bad);
    }
    save("truncated-header", &add[..40]);
    save("truncated-body", &add[..72]);
    save("empty", b"");
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "seeds", "frame"].iter().collect()
}
