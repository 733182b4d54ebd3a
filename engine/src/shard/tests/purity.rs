//! The shard and its objects reach for nothing that a replay could not give them.

use std::path::{Path, PathBuf};

/// What decides by anything but the state and the event: sockets, clocks, threads, chance, and maps
/// whose order is another one each time.
const FORBIDDEN: &[&str] = &[
    "std::net",
    "std::time",
    "std::thread",
    "std::io",
    "std::fs",
    "std::env",
    "std::process",
    "std::sync::Mutex",
    "std::sync::atomic",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "monoio",
    "crossbeam",
    "parking_lot",
    "socket2",
    "nix::",
    "libc::",
    "tracing",
    "rand::",
    "getrandom",
    "Instant",
    "SystemTime",
    "RandomState",
    "thread_local!",
    "crate::io",
    "crate::engine",
    "async fn",
    ".await",
    "unsafe",
    "println!",
];

#[test]
fn the_shard_and_its_objects_are_pure() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for folder in ["shard", "objects", "chain"] {
        collect(&source.join(folder), &mut files);
    }
    assert!(files.len() > 10, "the sources are where they were: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable source");
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let word = FORBIDDEN.iter().find(|word| code.contains(**word));
            assert_eq!(word, None, "{}:{number}: {}", file.display(), line.trim());
        }
    }
}

/// All sources below a folder but tests.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some("tests" | "tests.rs") => {}
            _ if path.is_dir() => collect(&path, files),
            _ => files.push(path),
        }
    }
}
