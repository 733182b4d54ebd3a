//! The saved corpus of the fuzz target `frame`, run as an ordinary test.

use std::path::PathBuf;

use catena_protocol::OpCode;
use catena_protocol::fuzz;

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
    // What a connection carries: a request, then its reply.
    for code in OpCode::ALL {
        let exchange = [&find(&format!("request {code:?}"))[..], find(&format!("reply {code:?}"))];
        save(&format!("exchange-{code:?}"), &exchange.concat());
    }
    save("handshake", &[&find("hello")[..], find("welcome")].concat());
    for name in ["Timeout", "Broken", "Busy"] {
        save(&format!("refusal-{name}"), find(&format!("refusal {name}")));
    }
    for name in ["f32 VectorSet", "i64 VectorSet", "empty VectorAdd", "empty CellSet"] {
        save(&format!("request-{}", name.replace(' ', "-")), find(&format!("request-{name}")));
    }
    // What the fuzzer takes for an op code and a body: the body alone, behind its code.
    for name in ["CellCompareAndSet", "ReductionContribute", "BarrierArrive", "VectorSet"] {
        let request = golden::whole(find(&format!("request {name}")));
        let code = request.header.op.to_le_bytes();
        save(&format!("body-{name}"), &[&code[..], request.body].concat());
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
