//! Tests of counters and flags, and of properties of all kinds.

use alloc::format;
use catena_protocol::OpCode;

use super::check;

#[test]
fn every_op_of_a_counter() {
    check(
        "
        a counter c get           => 0
        a counter c add 5         => 5
        a counter c add -7        => -2
        a counter c fetch_add 12  => -2
        a counter c get           => 10
        a counter c swap 3        => 10
        a counter c set 4         => 4
        a counter c cas 4 6       => 6 swapped
        a counter c cas 4 7       => 6 kept
        a counter c multiply -3   => -18
        a counter c min -17       => -18
        a counter c min -19       => -19
        a counter c max -20       => -19
        a counter c max 2         => 2
        b counter c get           => 2
        ",
    );
}

#[test]
fn an_overflow_of_a_counter_changes_nothing() {
    check(
        "
        a counter c set 9223372036854775807   => 9223372036854775807
        a counter c add 1                     => Overflow
        a counter c fetch_add 1               => Overflow
        a counter c multiply 2                => Overflow
        a counter c get                       => 9223372036854775807
        a counter c set -9223372036854775808  => -9223372036854775808
        a counter c add -1                    => Overflow
        a counter c multiply -1               => Overflow
        a counter c get                       => -9223372036854775808
        a counter fresh multiply 5            => 0
        ",
    );
}

#[test]
fn a_refused_update_creates_no_object() {
    check(
        "
        a barrier g wait p/0     => BadArgument(65536,0)
        a latch l wait 65537     => BadArgument(65536,65537)
        a vector v set 2 i64:1   => BadArgument(1,2)
        a counter c get          => 0
        census                   => 0 objects, 1 sessions, 0 waiters
        ",
    );
}

#[test]
fn every_op_of_a_flag() {
    check(
        "
        a flag f get             => false
        a flag f set true        => true
        b flag f get             => true
        a flag f swap false      => true
        a flag f cas true true   => false kept
        a flag f cas false true  => true swapped
        a flag f cas true true   => true swapped
        a flag f set false       => false
        ",
    );
}

#[test]
fn an_object_is_of_one_kind() {
    check(
        "
        a counter c add 1                    => 1
        a counter other get                  => 0
        a flag c get                         => WrongKind(3,2)
        a flag c set true                    => WrongKind(3,2)
        a cell c get                         => WrongKind(4,2)
        a cell c set x                       => WrongKind(4,2)
        a vector c get                       => WrongKind(5,2)
        a vector c add i64:1                 => WrongKind(5,2)
        a reduction c state                  => WrongKind(6,2)
        a reduction c give 0/1 0 sum i64:1   => WrongKind(6,2)
        a barrier c state                    => WrongKind(7,2)
        a barrier c wait p/1                 => WrongKind(7,2)
        a latch c state                      => WrongKind(8,2)
        a latch c wait 1                     => WrongKind(8,2)
        a list c len                         => WrongKind(9,2)
        a @50 list c pop_wait                => WrongKind(9,2)
        a map c len                          => WrongKind(10,2)
        a map c put k v                      => WrongKind(10,2)
        a set c len                          => WrongKind(11,2)
        a set c add x                        => WrongKind(11,2)
        a semaphore c state                  => WrongKind(12,2)
        a @50 semaphore c acquire 1/2        => WrongKind(12,2)
        a lock c state                       => WrongKind(13,2)
        a @50 lock c acquire                 => WrongKind(13,2)
        a future c state                     => WrongKind(14,2)
        a @50 future c get                   => WrongKind(14,2)
        a log c tail 0 0                     => WrongKind(15,2)
        a log c print x                      => WrongKind(15,2)
        a user c read 1 x                    => WrongKind(17,2)
        a user c update 1 x                  => WrongKind(17,2)
        a flag f set true                    => true
        a counter f add 1                    => WrongKind(2,3)
        a counter c get                      => 1
        ",
    );
}

#[test]
fn a_deleted_object_can_become_another_kind() {
    check(
        "
        a delete c           => false
        a counter c add 1    => 1
        census               => 1 objects, 1 sessions, 0 waiters
        b delete c           => true
        b delete c           => false
        a counter c get      => 0
        a cell c set x       => 7
        a delete c           => true
        census               => 0 objects, 2 sessions, 0 waiters
        ",
    );
}

#[test]
fn a_malformed_request_is_refused_alone() {
    check(
        "
        a counter c add 1        => 1
        a !4 counter c add 1     => BadFlags(0,4)
        a !32771 counter c get   => BadFlags(0,32771)
        a ^3 counter c add 1     => WrongEpoch(0,3)
        a raw 65535 c            => UnknownOp(0,65535)
        a raw 0 c                => UnknownOp
        a raw 515 c              => BadBody
        a raw 515 c 1,2,3        => BadBody
        a raw 513 c 0            => BadBody
        a raw 770 f 2            => BadBody
        a counter c add 1        => 2
        ",
    );
}

/// Three bytes that no op decodes, and half a name.
#[test]
fn every_op_has_a_body_of_its_own() {
    for code in OpCode::ALL {
        let code = code.to_wire();
        check(&format!(
            "
            a counter c add 1              => 1
            a raw {code} c 255,255,255     => BadBody
            a !1 raw {code} c 5,0,97       => BadBody
            a counter c add 1              => 2
            "
        ));
    }
}
