//! For each rule, some seed fails without it.
//!
//! Three rules need replicas, logs or clients for that, and are left to the simulator: `clean_wait`
//! and `epoch_check`, which the replica follows, and `fresh_incarnation`, without which data is
//! lost although no node reads or acts when it must not. `tests/chain_model` covers the first and
//! the last.

use super::seeds::is_violated;
use crate::chain::rules::Rules;

const SEEDS_MAX: u64 = 2_000;

fn check_noticed(rule: &str) {
    let rules = Rules::without(rule).expect("a rule of this name");
    let seed = (0..SEEDS_MAX).find(|seed| is_violated(*seed, rules));
    println!("without {rule}: {seed:?}");
    assert!(seed.is_some(), "no seed of {SEEDS_MAX} fails without {rule}");
}

macro_rules! each_is_noticed {
    ($($rule:ident),* $(,)?) => {$(
        #[test]
        fn $rule() {
            check_noticed(stringify!($rule));
        }
    )*};
}

each_is_noticed!(
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
    leave_last,
);
