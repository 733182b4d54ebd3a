//! The memory budget: beyond 85 % nothing grows, and everything else goes on.

use super::check;

#[test]
fn without_room_nothing_grows_and_the_rest_goes_on() {
    check(
        "
        a counter n add 1              => 1
        a flag f set true              => true
        a cell c set x*1000            => 4
        b barrier g arrive p/3         => 0
        a #4~4 @50 latch l wait 2
        memory 1000
        # What would grow is refused …
        c open                         => OutOfMemory(1000,320)
        b counter new add 1            => OutOfMemory(1000,72)
        b flag new set true            => OutOfMemory(1000,72)
        b cell c set y*2000            => OutOfMemory(1000,2008)
        b cell c append y*9            => OutOfMemory(1000,20)
        b cell c append y              => OutOfMemory(1000,12)
        b barrier g arrive q/3         => OutOfMemory(1000,40)
        b #99~99 counter n add 1       => OutOfMemory(1000,0)
        # … and everything else goes on: reads, changes in place, retries, waits, deletes.
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

/// All that was taken is given back in the end.
#[test]
fn what_is_deleted_and_forgotten_is_given_back() {
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
        used                           => 640
        after 60000
        used                           => 0
        ",
    );
}
