//! Compares the quick way of counter updates with the general one: the replies are the same.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::script::answers;

/// An update by a number of an object that is a counter, a flag, or absent.
fn update() -> impl Strategy<Value = String> {
    let number = prop_oneof![-3_i64..4, Just(i64::MAX), Just(i64::MIN)];
    let ops = vec!["add", "fetch_add", "set", "swap", "multiply", "min", "max"];
    let (object, op) = (prop::sample::select(vec!["c", "d", "flag"]), prop::sample::select(ops));
    (object, op, number).prop_map(|(object, op, number)| format!("counter {object} {op} {number}"))
}

/// Clients send updates with the next or another number, and retries, mixed with other ops.
fn step() -> impl Strategy<Value = String> {
    let client = || prop::sample::select(vec!["a", "b"]);
    let turn = prop_oneof![
        6 => Just(String::new()),
        1 => (1_u64..40).prop_map(|number| format!("#{number}")),
        1 => (0_u16..12).prop_map(|gap| format!("~{gap}")),
    ];
    let others = vec!["counter c get", "counter c cas 1 2", "flag flag set true", "delete d"];
    prop_oneof![
        12 => (client(), turn, update()).prop_map(|(client, turn, op)| format!("{client} {turn} {op}")),
        2 => client().prop_map(|client| format!("{client} retry")),
        1 => client().prop_map(|client| format!("{client} retry 1")),
        2 => prop::sample::select(others).prop_map(|op| format!("z {op}")),
    ]
}

proptest! {
    /// While a request watches an object, every update goes the general way.
    #[test]
    fn both_ways_come_to_the_same(steps in prop::collection::vec(step(), 1..200)) {
        let begin = ["a counter c add 1", "b counter c add 1"].map(str::to_owned);
        let quick: Vec<String> = begin.iter().chain(&steps).cloned().collect();
        let watcher = "w @600000 object elsewhere wait_newer 0".to_owned();
        let whole: Vec<String> = core::iter::once(watcher).chain(quick.clone()).collect();
        let ((quick, seq), (whole, whole_seq)) = (answers(&quick), answers(&whole));
        prop_assert_eq!(&quick[..], &whole[1..]);
        // The watcher's session and its wait are two updates.
        prop_assert_eq!(seq + 2, whole_seq);
    }
}
