//! Tests of snapshots: a restored shard continues like the original.
//!
//! Every trial compares a restored copy along the way. These tests replace a shard by its snapshot
//! in the middle of a scenario, and damage snapshots.

use alloc::sync::Arc;

use catena_protocol::{Header, ObjectId, ShardId};
use proptest::prelude::*;

use super::check;
use super::script::snapshot_after;
use crate::shard::fuzz::{self, trial::SHARD};
use crate::shard::{ConnId, Outbox, Output, RestoreError, Shard, Time, Types};

#[test]
fn an_empty_shard_is_restored() {
    check(
        "
        restore
        a counter c add 1              => 1
        restore
        restore
        a counter c add 1              => 2
        ",
    );
}

#[test]
fn a_barrier_keeps_its_parties() {
    check(
        "
        a @900 barrier g wait a/3 hold 500 loss drop
        b barrier g arrive b/3 hold 500 loss drop  => 0
        restore
        c barrier g state              => round 0 2/3 1 waiting
        a retry
        c barrier g wait c/3 hold 500 loss drop    => 0 | a: 0
        restore
        after 500
        c barrier g state              => round 1 0/0 0 waiting
        ",
    );
}

#[test]
fn a_barrier_stays_broken() {
    check(
        "
        a @900 barrier g wait a/3
        b barrier g break fire         => 0 | a: Broken fire
        restore
        a retry                        => Broken fire
        c barrier g wait c/3           => Broken fire
        ",
    );
}

#[test]
fn a_lock_keeps_its_holder_and_its_waiters() {
    check(
        "
        a lock l acquire hold 50       => t2
        b @900 lock l acquire hold 500
        c @900 lock l acquire hold 500
        restore
        c retry
        d lock l state                 => 0/1 free, 1 held, 2 waiting
        after 49
        after 1
        b retry                        => t8
        b lock l release t8            => true | c: t9
        restore
        c lock l release t9            => true
        ",
    );
}

#[test]
fn a_semaphore_keeps_its_grants() {
    check(
        "
        a semaphore s acquire 2/5 hold 50     => t2
        b semaphore s acquire 2/5             => t4
        c @900 semaphore s acquire 3/5
        restore
        d semaphore s state            => 1/5 free, 2 held, 1 waiting
        b close                        => ok
        c retry                        => t8
        restore
        d semaphore s state            => 0/5 free, 2 held, 0 waiting
        a semaphore s release t2       => true
        d semaphore s state            => 2/5 free, 1 held, 0 waiting
        ",
    );
}

#[test]
fn claimed_items_still_return() {
    check(
        "
        a list l extend one two        => 2
        b list l claim hold 50         => t4 one
        c list l claim hold 100        => t6 two
        d @900 list l claim hold 800
        e @900 list l pop_wait
        restore
        d retry
        after 50                       => d: t11 one
        restore
        c list l done t6               => true
        d list l return t11            => true
        e retry                        => one
        a list l len                   => 0
        ",
    );
}

#[test]
fn a_reduction_continues_in_the_middle_of_a_round() {
    check(
        "
        c @900 reduction r give 2/3 5 sum f64:1e17
        a @900 reduction r give 0/3 5 sum f64:1
        restore
        d reduction r state            => round 5 2/3 2 waiting, missing 1
        a retry
        b reduction r give 1/3 5 sum f64:-1e17  => round 5 f64:0 | a: round 5 f64:0
        restore
        c retry                        => round 5 f64:0
        d reduction r last             => round 5 f64:0
        a @900 reduction r give 0/3 6 max i64:4
        ",
    );
}

#[test]
fn a_session_keeps_its_replies() {
    check(
        "
        a cell c set x*1000            => 2
        a #2~2 cell c swap y           => v2 x*1000
        a #3~3 counter n add 7         => 7
        a #4~4 set s add_all a b       => 2
        b close                        => ok
        restore
        seq                            => 7
        a retry 2                      => v2 x*1000
        a retry 3                      => 7
        a retry 4                      => 2
        a retry 1                      => 2
        seq                            => 7
        a #5~1 counter n add 1         => 8
        restore
        a retry 4                      => Stale(5,4)
        a retry 5                      => 8
        b counter n add 1              => SessionUnknown
        a open nonce 8                 => SessionConflict
        ",
    );
}

#[test]
fn objects_keep_their_expiry_times() {
    check(
        r#"
        a named counter soon add 1     => 1
        a counter later add 1          => 1
        a object soon expire 100       => true
        a object later expire 200      => true
        after 50
        restore
        a scope list "" "" 0           => soon counter v2, 1 unnamed
        after 50
        a scope list "" "" 0           => 1 unnamed
        restore
        after 99
        a counter later get            => 1
        after 1
        a counter later get            => 0
        "#,
    );
}

#[test]
fn quotas_keep_their_usage() {
    check(
        r#"
        a scope quota job/ 2 0         => ok
        a named map job/a put k v*100  => false
        restore
        a scope usage job/             => 1 of 2 objects, 292 of 0 bytes
        a named counter job/b add 1    => 1
        restore
        a named counter job/c add 1    => QuotaExceeded(2,3)
        a delete job/a                 => true
        a named counter job/c add 1    => 1
        "#,
    );
}

#[test]
fn watchers_keep_waiting() {
    check(
        "
        a @900 object c wait_newer 0
        b @900 object c wait_newer 9
        restore
        a retry
        c counter c add 1              => 1 | a: 6
        b retry
        restore
        after 900
        b retry                        => Timeout
        ",
    );
}

#[test]
fn all_other_kinds_keep_their_state() {
    check(
        r#"
        a flag f set true              => true
        a vector v set 2 i64:1,2,3,4   => 3
        a vector v set 1 i64:5         => 4
        a latch l count p/2            => 1
        b @900 latch l wait 2
        a future u set x*100           => true
        a future w cancel fire         => true
        a log o print one              => 1
        a map m put_token t9 k v       => false
        a cell c append abc            => v12 3 long
        restore
        b retry
        a flag f get                   => true
        a vector v get                 => v4 1 wide i64:5
        a object v inspect             => vector v4: 1 × 1 i64
        a latch l count q/2            => 0 | b: 0
        a future u get                 => x*100
        a future w get                 => Broken fire
        a log o print two              => 2
        a map m put_token t8 k v       => StaleToken(t9,t8)
        a map m get k                  => v
        a cell c append d              => v16 4 long
        "#,
    );
}

/// Steps that leave a state with every kind of object, wait and hold.
const RICH: &str = r#"
    a counter c add 5
    a flag f set true
    a cell b set hello
    a vector v set 2 f64:1,2,3,4
    a @900 reduction r give 0/4 7 sum f64:1 hold 500 loss drop
    b @900 reduction r give 2/4 7 sum f64:2 hold 500 loss drop
    a @900 barrier g wait p/3 hold 400 loss break
    b barrier g arrive q/3 hold 400 loss break
    a @900 latch l wait 2
    a latch l count p/2
    a named list q extend one two three
    a list q claim hold 500
    a list w push x
    b list w claim hold 500
    b @900 list w claim hold 500
    a @900 list w pop_wait
    a map m put k v
    a named set s add_all a b
    a semaphore e acquire 2/3 hold 100
    b @900 semaphore e acquire 3/3 hold 100
    a lock k acquire hold 100
    b @900 lock k acquire hold 100
    a future u set xyz
    b @900 future p get
    a log o print one
    a object c expire 800
    a scope quota s 10 1000
    b @900 object c wait_newer 99
    c close
"#;

#[test]
fn a_damaged_snapshot_is_refused_or_harmless() {
    let state = snapshot_after(RICH);
    assert!(restore(&state).is_ok());
    for len in 0..state.len() {
        assert!(restore(&state[..len]).is_err(), "the first {len} bytes");
    }
    assert!(restore(&[&state[..], &[0]].concat()).is_err(), "a byte too many");
    for at in 0..state.len() {
        for damage in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut damaged = state.clone();
            damaged[at] ^= damage;
            try_out(&damaged);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_do_harm(
        events in prop::collection::vec(any::<u8>(), 0..1_000),
        is_rich: bool,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        len in any::<prop::sample::Index>(),
        is_cut in prop::bool::weighted(0.2),
    ) {
        let mut state = if is_rich { snapshot_after(RICH) } else { fuzz::state_after(&events) };
        for (at, byte) in hits {
            let at = at.index(state.len());
            state[at] = byte;
        }
        if is_cut {
            state.truncate(len.index(state.len()));
        }
        try_out(&state);
    }

    #[test]
    fn noise_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        try_out(&bytes);
        let len = u32::try_from(bytes.len() + 1).expect("they are few").to_le_bytes();
        try_out(&[&[3][..], &len, &[0], &bytes].concat());
    }
}

#[test]
fn a_snapshot_is_of_one_shard_and_one_format() {
    let state = snapshot_after("a counter c add 1");
    let other = Shard::new(ShardId(7), 1, Arc::new(Types::default()));
    let error = other.restored(&state).unwrap_err();
    assert_eq!(error, RestoreError::Shard { ours: ShardId(7), theirs: SHARD });
    let error = restore(&[&[9], &state[1..]].concat()).unwrap_err();
    assert_eq!(error, RestoreError::Format { ours: 4, theirs: 9 });
}

/// A few bytes with a large length do not allocate gigabytes.
#[test]
fn announced_lengths_allocate_nothing() {
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    let state = snapshot_after(RICH);
    for at in 1..state.len() {
        assert!(restore(&[&state[..at], &huge].concat()).is_err());
    }
}

fn restore(state: &[u8]) -> Result<Shard, RestoreError> {
    Shard::new(SHARD, 9, Arc::new(Types::default())).restored(state)
}

/// If the snapshot is restored, the shard can run until all waits and sessions have ended.
fn try_out(state: &[u8]) {
    let Ok(mut shard) = restore(state) else { return };
    shard.check_invariants();
    assert_eq!(restore(&shard.snapshot()).map(|again| again.digest()), Ok(shard.digest()));
    shard.on_time(Time(1 << 63), &mut Nowhere);
    shard.check_invariants();
}

struct Nowhere;

impl Outbox for Nowhere {
    fn push(&mut self, _: ConnId, _: &Header, _: Output<'_>) {}

    fn print(&mut self, _: ObjectId, _: Option<&str>, _: &str) {}
}

/// Otherwise the damage tests would cover less than they claim.
#[test]
fn the_damaged_snapshots_have_everything() {
    let shard = restore(&snapshot_after(RICH)).expect("a snapshot is one");
    let found = shard.census();
    assert_eq!((found.objects, found.sessions, found.waiters), (16, 2, 10), "{found:?}");
    assert_eq!((shard.workspace.holds.len(), shard.watchers.len()), (11, 1));
}
