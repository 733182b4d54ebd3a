//! Seeds that have to pass, and rules whose absence has to show.

use super::*;

#[test]
fn a_seed_says_everything() {
    for seed in 0..8 {
        assert_eq!(run(seed, None, false), run(seed, None, false), "seed {seed}");
    }
}

#[test]
fn seeds_pass() {
    let failed: Vec<(u64, String)> =
        (0..200).filter_map(|seed| Some((seed, run(seed, None, false).err()?))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Without a rule, one of these seeds goes wrong. The rules that are not here are missed by the model
/// (`tests/chain_model`) or by the member's own tests.
#[test]
fn rules_are_missed() {
    for (rule, seeds) in [("drain", 260..300), ("hold", 0..40), ("clean_wait", 30..120)] {
        let missed = seeds.clone().any(|seed| run(seed, Some(rule), false).is_err());
        assert!(missed, "nobody misses {rule} in {seeds:?}");
    }
}
