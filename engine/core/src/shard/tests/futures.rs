//! Tests of futures: a value that is set once, and requests that wait for it.

use super::check;

#[test]
fn every_op_of_a_future() {
    check(
        r#"
        a future f state              => 0
        a future f peek               => none
        a @100 future f get
        b @100 future f get
        c future f state              => 0
        c object f inspect            => future v2: pending, 2 waiting; 2 in line
        c future f set ""             => true | a: "" | b: ""
        c future f set other          => false
        c future f cancel late        => false
        c future f state              => 1
        c future f peek               => ""
        c future f get                => ""
        c retry                       => ""
        c object f inspect            => future v6: set, 0 bytes
        c lock f state                => WrongKind(13,14)
        "#,
    );
}

#[test]
fn a_cancelled_future_has_a_reason() {
    check(
        "
        a @100 future f get
        b future f cancel x*257       => BadArgument(256,257)
        b future f cancel fire        => true | a: Broken fire
        b future f state              => 2
        b future f peek               => Broken fire
        b future f get                => Broken fire
        b future f set x              => Broken fire
        b future f cancel flood       => false
        a retry                       => Broken fire
        b object f inspect            => future v4: cancelled: fire
        b delete f                    => true
        b future f set x              => true
        b future f get                => x
        ",
    );
}

#[test]
fn a_wait_for_a_future_times_out() {
    check(
        "
        a @10 future f get
        b @20 future f get
        c future f get
        after 0                       => c: Timeout
        after 10                      => a: Timeout
        a retry                       => Timeout
        a reconnect
        b reconnect
        b retry
        c future f set x              => true | b': x
        a retry                       => Timeout
        a future f get                => x
        ",
    );
}

#[test]
fn a_value_of_a_future_has_a_maximum_size() {
    check(
        "
        a future f set x*8388609      => TooLarge(8388608,8388609)
        census                        => 0 objects, 1 sessions, 0 waiters
        b @100 future f get
        a future f set x*8388608      => true | b: x*8388608
        b retry                       => x*8388608
        a future f peek               => x*8388608
        ",
    );
}

#[test]
fn waiting_for_a_future_changes_no_version() {
    check(
        "
        a @10 future f get
        b object f inspect            => future v2: pending, 1 waiting; 1 in line
        b @5 future f get
        after 10                      => b: Timeout | a: Timeout
        b object f inspect            => future v2: pending, 0 waiting
        b future f set x              => true
        b future f set y              => false
        b future f cancel z           => false
        b future f get                => x
        b object f inspect            => future v7: set, 1 bytes
        ",
    );
}

#[test]
fn deleting_a_future_ends_its_waits() {
    check(
        "
        a @900 future f get
        b delete f                    => a: Deleted | true
        b future f state              => 0
        b @900 future f get
        b close                       => b: SessionUnknown | ok
        census                        => 1 objects, 1 sessions, 0 waiters
        ",
    );
}
