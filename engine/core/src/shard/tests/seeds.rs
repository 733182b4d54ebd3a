//! The other callers of the fuzz body: the saved seeds, and random bytes.

use std::path::PathBuf;

use proptest::prelude::*;

use crate::shard::fuzz;

const FILES_MAX: usize = 100;
const BYTES_MAX: usize = 200 * 1024;

#[test]
fn every_seed_returns() {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "..", "fuzz", "seeds", "shard"].iter().collect();
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("the seeds are there") {
        let seed =
            std::fs::read(entry.expect("a readable folder").path()).expect("a readable seed");
        (files, bytes) = (files + 1, bytes + seed.len());
        fuzz::events(&seed);
    }
    assert!((1..FILES_MAX).contains(&files), "{files} seeds");
    assert!(bytes < BYTES_MAX, "{bytes} bytes of seeds");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Two shards with different hash seeds send the same bytes for the same events.
    #[test]
    fn the_same_events_give_the_same_replies(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        fuzz::events(&bytes);
    }
}
