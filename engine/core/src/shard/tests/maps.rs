//! Tests of maps: byte strings by key, in the order of their keys.

use super::check;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

#[test]
fn every_op_of_a_map() {
    check(
        r#"
        a map m len                   => 0
        a map m get k                 => none
        a map m has k                 => false
        a map m has_value v           => false
        a map m scan entries          => 0:
        a map m remove k              => false
        a map m take k                => none
        a map m remove_all k          => 0
        a map m clear                 => 0
        census                        => 0 objects, 1 sessions, 0 waiters
        a map m put k v               => false
        a map m put k w               => true
        a map m get k                 => w
        a map m put_new k x           => false
        a map m put_new l x           => true
        a map m swap k y              => w
        a map m swap n z              => none
        a map m put_all k 1 o 2 p 3 o 4 => 2
        a map m scan entries          => 0: k 1 l x n z o 4 p 3
        a map m has o                 => true
        a map m has q                 => false
        a map m has_value x           => true
        a map m has_value 2           => false
        a map m len                   => 5
        a map m remove l              => true
        a map m remove l              => false
        a map m take n                => z
        a map m take n                => none
        a map m remove_all k o o q    => 2
        a map m scan entries          => 0: p 3
        a map m put "" ""             => false
        a map m get ""                => ""
        a map m clear                 => 2
        a map m len                   => 0
        "#,
    );
}

#[test]
fn a_key_is_compared_and_swapped() {
    check(
        r#"
        a map m cas k x y             => false
        a map m cas k x none          => false
        a map m cas k none none       => true
        census                        => 0 objects, 1 sessions, 0 waiters
        a map m cas k none x          => true
        a map m cas k none y          => false
        a map m cas k x y             => true
        a map m get k                 => y
        a map m cas k y none          => true
        a map m has k                 => false
        a map m cas k "" y            => false
        a map m put k ""              => false
        a map m cas k none y          => false
        a map m cas k "" y            => true
        a map m get k                 => y
        "#,
    );
}

#[test]
fn a_scan_of_a_map_goes_in_both_directions() {
    check(
        r#"
        a map m put_all a 1 b 2 c 3 d 4 e 5       => 5
        a map m scan keys                         => 0: a b c d e
        a map m scan values                       => 0: 1 2 3 4 5
        a map m scan entries limit 2              => 0: a 1 b 2 +
        a map m scan values limit 2 after b       => 0: 3 4 +
        a map m scan keys reverse                 => 0: e d c b a
        a map m scan entries reverse limit 2 before d => 0: c 3 b 2 +
        a map m scan keys from b to d             => 0: b c d
        a map m scan keys reverse from b to d     => 0: d c b
        a map m scan keys after b before d        => 0: c
        a map m scan keys from d to b             => 0:
        a map m scan keys after b before b        => 0:
        a map m scan keys from b before b         => 0:
        a map m scan keys after b to b            => 0:
        a map m scan keys from b to b             => 0: b
        a map m scan keys from "" to ""           => 0:
        a map m scan keys limit 5                 => 0: a b c d e
        a map m scan keys limit 4                 => 0: a b c d +
        "#,
    );
}

/// A page has at most a mebibyte and 4096 entries, but at least one entry if there is any.
#[test]
fn a_page_of_a_map_has_a_maximum_size() {
    check(
        r#"
        a map m put a x*600000        => false
        a map m put b y*600000        => false
        a map m put c z*4000000       => false
        a map m scan values           => 0: x*600000 +
        a map m scan values after a   => 0: y*600000 +
        a map m scan values after b   => 0: z*4000000
        a map m scan entries reverse  => 0: c z*4000000 +
        a map m scan keys             => 0: a b c
        "#,
    );
    let keys: Vec<String> = (0..4097).map(|key| format!(" {key:04}")).collect();
    let entries: String = keys[..4096].iter().map(|key| format!("{key} v")).collect();
    check(&format!(
        "a map m put_all {entries}    => 4096
        a map m put 4096 v           => false
        a map m scan keys limit 9999 => 0:{} +
        a map m scan keys from 0001  => 0:{}",
        keys[..4096].concat(),
        keys[1..].concat(),
    ));
}

#[test]
fn a_value_is_merged_with_the_old_one() {
    check(
        r#"
        a map m merge add n i64:5                 => i64:5
        a map m merge add n i64:-7                => i64:-2
        a map m merge min n i64:-3                => i64:-3
        a map m merge min n i64:1                 => i64:-3
        a map m merge max n i64:9                 => i64:9
        a map m merge add_f64 f f64:1.5           => f64:1.5
        a map m merge add_f64 f f64:0.25          => f64:1.75
        a map m merge min_f64 f f64:-2.5          => f64:-2.5
        a map m merge max_f64 f f64:3.5           => f64:3.5
        a map m merge append t ab                 => ab
        a map m merge append t cd                 => abcd
        a map m merge append t ""                 => abcd
        a map m merge replace_if_greater g m      => m
        a map m merge replace_if_greater g lzz    => m
        a map m merge replace_if_greater g mm     => mm
        a map m merge replace_if_greater g m      => mm
        a map m len                               => 4
        "#,
    );
}

#[test]
fn a_refused_merge_changes_nothing() {
    check(
        r#"
        a map m merge add n abc                   => Mismatch(8,3)
        census                                    => 0 objects, 1 sessions, 0 waiters
        a map m put t abc                         => false
        a map m merge add t i64:1                 => Mismatch(3,8)
        a map m merge max_f64 t f64:1.5           => Mismatch(3,8)
        a map m merge add n i64:9223372036854775807 => i64:9223372036854775807
        a map m merge add n i64:1                 => Overflow
        a map m merge add n x                     => Mismatch(8,1)
        a map m get n                             => i64:9223372036854775807
        a map m put big x*65536                   => false
        a map m merge append big y                => TooLarge(65536,65537)
        a map m merge replace_if_greater big a    => x*65536
        a retry                                   => x*65536
        a map m put big x*65537                   => true
        a map m merge replace_if_greater big a    => TooLarge(65536,65537)
        a map m merge replace_if_greater big z    => z
        "#,
    );
}

#[test]
fn many_merges_are_applied_all_or_none() {
    check(
        r#"
        a map m merge_all add a i64:1 b i64:2 a i64:3 => 2
        a map m scan entries                          => 0: a i64:4 b i64:2
        a map m merge_all add c i64:1 b x             => Mismatch(8,1)
        a map m merge_all add c i64:1 d i64:9223372036854775807 d i64:1 => Overflow
        a map m scan entries                          => 0: a i64:4 b i64:2
        # An overflow in between is refused, even if the end result fits.
        a map m merge_all add c i64:9223372036854775807 c i64:1 c i64:-9 => Overflow
        a map m merge_all min a i64:3 b i64:1         => 0
        a map m scan entries                          => 0: a i64:3 b i64:1
        a map m merge_all append t a u x t b t c      => 2
        a map m scan entries from t                   => 0: t abc u x
        a map m merge_all replace_if_greater t abd t abb u "" v "" => 1
        a map m scan entries from t                   => 0: t abd u x v ""
        a map m merge_all append t x*8388606          => TooLarge(8388608,8388609)
        a map m merge_all append t x*4000000 v x t x*4388606 => TooLarge(8388608,8388609)
        a map m merge_all add                         => 0
        a map m scan keys                             => 0: a b t u v
        "#,
    );
}

#[test]
fn keys_and_values_have_a_maximum_size() {
    check(
        r#"
        a map m put k*4097 v                  => TooLarge(4096,4097)
        a map m put k v*8388609               => TooLarge(8388608,8388609)
        a map m put_new k*4097 v              => TooLarge(4096,4097)
        a map m put_all a b k*4097 v          => TooLarge(4096,4097)
        a map m cas k*4097 none v             => TooLarge(4096,4097)
        a map m merge append k*4097 v         => TooLarge(4096,4097)
        a map m merge_all append k*4097 v     => TooLarge(4096,4097)
        a map m put_token t1 k*4097 v         => TooLarge(4096,4097)
        census                                => 0 objects, 1 sessions, 0 waiters
        a map m put k*4096 v*8388608          => false
        a map m get k*4096                    => v*8388608
        a map m get k*4097                    => none
        # A value that is too long for a stored reply is not taken.
        a map m take k*4096                   => TooLarge(65536,8388608)
        a map m swap k*4096 v                 => TooLarge(65536,8388608)
        a map m remove k*4096                 => true
        a map m put k v*65536                 => false
        a map m swap k w*65536                => v*65536
        a map m take k                        => w*65536
        a retry                               => w*65536
        "#,
    );
}

/// A body with a key and no value is refused.
#[test]
fn keys_have_values() {
    check(
        "
        a map m put_all a                     => BadBody
        a map m put_all a 1 b                 => BadBody
        a map m merge_all append a 1 b        => BadBody
        a map m put_all                       => 0
        census                                => 0 objects, 1 sessions, 0 waiters
        ",
    );
}

#[test]
fn a_stale_token_is_refused_by_the_whole_map() {
    check(
        "
        a map m put_token t3 k one            => false
        a map m put_token t3 k two            => true
        b map m put_token t2 other x          => StaleToken(t3,t2)
        b map m put_token t2.9 k x            => StaleToken(t3,t2.9)
        b map m put other y                   => false
        a map m put_token t3.1 l three        => false
        a map m put_token t3 l four           => StaleToken(t3.1,t3)
        a map m scan entries                  => 0: k two l three other y
        a delete m                            => true
        b map m put_token t2 k x              => false
        ",
    );
}

#[test]
fn an_unchanged_map_keeps_its_version() {
    check(
        r#"
        a map m put k i64:5                   => false
        a map m put_new k x                   => false
        a map m cas k x y                     => false
        a map m remove l                      => false
        a map m take l                        => none
        a map m remove_all l                  => 0
        a map m merge max k i64:4             => i64:5
        a map m merge replace_if_greater k "" => i64:5
        a map m merge_all add k i64:0         => 0
        a map m put_all                       => 0
        a object m inspect                    => map v2: 1 entries
        a map m merge add k i64:1             => i64:6
        a object m inspect                    => map v12: 1 entries
        "#,
    );
}

/// A page continues where the one before ended, whatever was inserted or removed in between.
#[test]
fn a_scan_continues_while_keys_change() {
    check(
        "
        a map m put_all b 1 d 2 f 3 h 4       => 4
        a map m scan entries limit 2          => 0: b 1 d 2 +
        b map m put_all a 9 c 9 e 9           => 3
        b map m remove d                      => true
        a map m scan entries limit 2 after d  => 0: e 9 f 3 +
        b map m put f 8                       => true
        a map m scan entries limit 2 after f  => 0: h 4
        ",
    );
}
