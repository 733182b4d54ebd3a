//! Each rule is missed by some seed.
//!
//! Three rules need replicas, logs or clients to be missed, and are left to the simulator:
//! `clean_wait` and `epoch_check`, which the replica keeps, and `fresh_incarnation`, whose lack loses
//! data without anybody reading or acting out of turn. `tests/chain_model` finds the first and the
//! last.

use super::seeds::is_harmed;
use crate::chain::rules::Rules;

const SEEDS_MAX: u64 = 2_000;

fn missed(rule: &str) {
    let rules = Rules::without(rule).expect("a rule of this name");
    let seed = (0..SEEDS_MAX).find(|seed| is_harmed(*seed, rules));
    println!("without {rule}: {seed:?}");
    assert!(seed.is_some(), "nobody misses {rule} in {SEEDS_MAX} seeds");
}

macro_rules! each_is_missed {
    ($($rule:ident),* $(,)?) => {$(
        #[test]
        fn $rule() {
            missed(stringify!($rule));
        }
    )*};
}

each_is_missed!(
    drain,
    gate,
    stop_grant,
    stop_read,
    rest,
    confirm,
    resolve,
    one_change_id,
    implied,
    all_peers,
    own_epoch,
    drift,
    bump,
    forward,
);
