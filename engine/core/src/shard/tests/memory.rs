//! Tests of the memory budget: beyond 85 % nothing grows, and all other ops work.

use super::check;
use alloc::format;

#[test]
fn without_room_only_growth_is_refused() {
    check(
        "
        a counter n add 1              => 1
        a flag f set true              => true
        a cell c set x*1000            => 4
        b barrier g arrive p/3         => 0
        a #4~4 @50 latch l wait 2
        memory 1000
        # Growth is refused …
        c open                         => OutOfMemory(1000,320)
        b counter new add 1            => OutOfMemory(1000,72)
        b flag new set true            => OutOfMemory(1000,72)
        b cell c set y*2000            => OutOfMemory(1000,2008)
        b cell c append y*9            => OutOfMemory(1000,20)
        b cell c append y              => OutOfMemory(1000,12)
        b barrier g arrive q/3         => OutOfMemory(1000,40)
        b #99~99 counter n add 1       => OutOfMemory(1000,0)
        # … and everything else works: reads, changes in place, retries, waits, deletions.
        b cell c get                   => v4 x*1000
        b #8 counter n add 1           => 2
        b flag f set false             => false
        b retry                        => false
        a retry 3                      => 4
        after 50                       => a: Timeout 0/2
        b delete c                     => true
        b delete g                     => true
        a close                        => ok
        b close                        => ok
        memory 100000
        c open                         => ok
        c counter new add 1            => 1
        ",
    );
}

/// All memory is freed in the end.
#[test]
fn deleted_and_expired_memory_is_freed() {
    use crate::shard::fuzz::trial::Trial;
    assert_eq!(Trial::new().census().bytes, 0);
    check(
        "
        a cell c set x*1000            => 2
        a cell c swap y*1000           => v2 x*1000
        a cell c swap z*1000           => v3 y*1000
        a @900 #4~4 latch l wait 1
        a #30~26 vector v set 1 f64:1*500    => BadArgument(2,4)
        a #30~27 vector v set 1 f64:1*500    => 6
        a #31~28 reduction r give 0/1 0 sum f64:1*500  => round 0 f64:1*500
        a #18446744073709551615~1 cell c swap z*1000   => BadArgument(3,18446744073709551614)
        b latch l count p/1            => 0 | a#4: 0
        a #18446744073709551614~1 cell c swap z*1000   => v4 z*1000
        a #18446744073709551615~1 cell c swap z*1000   => v10 z*1000
        a close                        => ok
        b delete c                     => true
        b delete l                     => true
        b delete v                     => true
        b delete r                     => true
        b close                        => ok
        # Closed sessions are remembered for a minute.
        used                           => 128
        after 61000
        used                           => 0
        ",
    );
}

/// Items can be removed and holds released.
#[test]
fn without_room_everything_can_be_removed() {
    check(
        r#"
        a list l extend a b c d e f g    => 7
        a map m put_all a 1 b 2 c 3      => 3
        a set s add_all a b c d          => 4
        a semaphore p acquire 1/2        => t5
        a lock k acquire                 => t6
        a list l claim                   => t7 a
        a list l claim                   => t8 b
        a vector v set 1 i64:1,2         => 9
        b open                           => ok
        memory 1000
        b list l push x                  => OutOfMemory(1000,12)
        b map m put d 4                  => OutOfMemory(1000,20)
        b set s add x                    => OutOfMemory(1000,12)
        a list l done t7                 => true
        a list l return t8               => true
        a list l remove_at 0             => b
        a list l remove c                => true
        a list l remove_all d            => 1
        a list l retain_all e f          => 1
        a list l pop                     => e
        a list l clear                   => 1
        a map m remove a                 => true
        a map m take b                   => 2
        a map m remove_all c             => 1
        a set s remove a                 => true
        a set s remove_all b             => 1
        a set s retain_all c             => 1
        a semaphore p extend t5 hold 900 => true
        a semaphore p release t5         => true
        a lock k extend t6 hold 900      => true
        a lock k release t6              => true
        a vector v scale i64:2           => 29
        a vector v add_rows 1 i64:1      => 30
        a scope delete "" 0              => 0
        "#,
    );
}

#[test]
fn without_room_waits_can_be_ended() {
    check(
        "
        a @900 #1~1 barrier g wait a/2
        a @900 #2~2 reduction r give 0/2 0 sum i64:1
        a @900 #3~3 future f get
        a @900 #4~4 list q claim hold 900
        b list l push x                  => 1
        used                             => 5792
        memory 5400
        b @900 latch l count p/2         => OutOfMemory(5400,16)
        b @900 object n wait_newer 0     => OutOfMemory(5400,256)
        b @900 barrier g wait b/2        => OutOfMemory(5400,296)
        b list l try_claim               => t8 x
        b barrier g break fire           => 0 | a#1: Broken fire
        b reduction r break fire         => 0 | a#2: Broken fire
        b future f cancel fire           => true | a#3: Broken fire
        after 900                        => a: Timeout
        used                             => 3188
        ",
    );
}

/// Many small items take more memory than their bytes.
#[test]
fn the_overhead_of_items_is_counted() {
    let items = "x ".repeat(1000);
    check(&format!(
        "
        a counter n add 1                => 1
        memory 20000
        a list l extend {items}          => OutOfMemory(20000,69016)
        a set s add_all {items}          => OutOfMemory(20000,69016)
        a map m put_all {items}          => OutOfMemory(20000,69016)
        a map m merge_all append {items} => OutOfMemory(20000,69020)
        a list l push x                  => 1
        "
    ));
}

#[test]
fn a_name_takes_memory() {
    check(
        "
        a counter n add 1                => 1
        memory 1000
        a named counter n add 1          => 2
        memory 900
        a named counter m add 1          => OutOfMemory(900,329)
        a counter m add 1                => 1
        a named counter m add 1          => OutOfMemory(900,257)
        a counter m add 1                => 2
        a named counter n add 1          => 3
        ",
    );
}

/// A list that was once long, and names and expiry times of deleted objects, take no memory.
#[test]
fn unused_memory_is_freed() {
    let items = "x ".repeat(1000);
    check(&format!(
        r#"
        a named list l extend {items}    => 1000
        a object l expire 90000          => true
        a list l retain_all              => 1000
        a lock k acquire hold 90000      => t5
        b @9000 lock k acquire hold 100  
        a object k expire 70000          => true
        a delete l                       => true
        a object k expire 0              => true
        after 100                        => b: Timeout
        a lock k release t5              => true
        a delete k                       => true
        a scope quota "" 1 1             => ok
        a close                          => ok
        b close                          => ok
        after 61000
        used                             => 0
        "#
    ));
}
