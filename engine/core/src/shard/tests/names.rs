//! Tests of names: sent when an object is created, listed in pages, counted and limited by prefix.

use super::check;
use alloc::format;
use alloc::string::String;

#[test]
fn an_object_is_listed_by_the_name_of_its_first_update() {
    check(
        r#"
        a scope list "" "" 0 => nothing
        a named counter b add 1               => 1
        a named cell a set x                  => 3
        a counter c add 1                     => 1
        a scope list "" "" 0                  => a cell v3, b counter v2, 1 unnamed
        # An object can be named later.
        b named counter c add 1               => 2
        a scope list "" "" 0                  => a cell v3, b counter v2, c counter v6
        "#,
    );
}

#[test]
fn a_name_must_be_the_objects_own() {
    check(
        r#"
        a named:other counter c add 1         => BadArgument
        census                                => 0 objects, 1 sessions, 0 waiters
        a counter c add 1                     => 1
        a named:other counter c add 1         => BadArgument
        a named counter c add 1               => 2
        # The name of a named object is not compared.
        a named:other counter c add 1         => 3
        a scope list "" "" 0                  => c counter v4
        a named counter c get                 => 3
        a !1 counter c add 1                  => BadBody
        a !1 counter c get                    => BadBody
        "#,
    );
}

/// A client that wants an object to have its name sends the name only when it is needed.
#[test]
fn a_name_is_requested_when_the_object_is_created() {
    check(
        r#"
        a wanted counter c add 1              => NameNeeded
        census                                => 0 objects, 1 sessions, 0 waiters
        a named wanted counter c add 1        => 1
        a wanted counter c add 1              => 2
        # An update without effect creates no object, but that is known only afterwards.
        b wanted counter d get                => 0
        b wanted list l set 0 x               => OutOfRange
        b wanted list l pop                   => NameNeeded
        b named list l pop                    => none
        b counter e add 1                     => 1
        b wanted counter e add 1              => 2
        a scope list "" "" 0                  => c counter v3, 1 unnamed
        a delete c                            => true
        a wanted counter c add 1              => NameNeeded
        a scope list "" "" 0                  => 1 unnamed
        "#,
    );
}

#[test]
fn a_listing_continues_while_objects_change() {
    check(
        r#"
        a named counter app/b add 1           => 1
        a named counter app/d add 1           => 1
        a named counter app/f add 1           => 1
        a named counter apple add 1           => 1
        a named counter zoo add 1             => 1
        a scope list app/ "" 2                => app/b counter v2, app/d counter v3, +
        b named counter app/a add 1           => 1
        b named counter app/e add 1           => 1
        b delete app/d                        => true
        a scope list app/ app/d 2             => app/e counter v9, app/f counter v4
        a scope list app/ app/f 2 => nothing
        a scope list app "" 0                 => app/a counter v8, app/b counter v2, app/e counter v9, app/f counter v4, apple counter v5
        a scope list app aaa 0                => app/a counter v8, app/b counter v2, app/e counter v9, app/f counter v4, apple counter v5
        a scope list app/ zoo 0 => nothing
        a scope list "" apple 1               => zoo counter v6
        a scope list app/b "" 0               => app/b counter v2
        a scope list x "" 0 => nothing
        "#,
    );
}

#[test]
fn objects_are_deleted_by_prefix() {
    check(
        r#"
        a named counter app/1 add 1           => 1
        a named counter app/2 add 1           => 1
        a named lock app/3 acquire            => t4
        a named counter apple add 1           => 1
        a counter app/4 add 1                 => 1
        b @900 lock app/3 acquire
        c scope delete app/ 2                 => 2
        c retry                               => 2
        c scope list "" "" 0                  => app/3 lock v4, apple counter v5, 1 unnamed
        c scope delete app/ 2                 => b: Deleted | 1
        c scope delete app/ 2                 => 0
        c scope list "" "" 0                  => apple counter v5, 1 unnamed
        c counter app/4 get                   => 1
        c scope delete "" 0                   => 1
        census                                => 1 objects, 3 sessions, 0 waiters
        "#,
    );
}

/// One request deletes at most 1024 objects; the client repeats it for the rest.
#[test]
fn many_objects_are_deleted_in_steps() {
    let adds: String = (0..1030).map(|i| format!("a named counter n/{i} add 1 => 1\n")).collect();
    check(&format!(
        "{adds}
        a scope delete n/ 4294967295          => 1024
        a scope usage n/                      => 6 of 0 objects, 432 of 0 bytes
        a scope delete n/ 4294967295          => 6
        a scope delete n/ 4294967295          => 0
        census                                => 0 objects, 1 sessions, 0 waiters
        "
    ));
}

#[test]
fn usage_is_counted_by_prefix() {
    check(
        r#"
        a scope usage ""                      => 0 of 0 objects, 0 of 0 bytes
        a named counter app/1 add 1           => 1
        a named counter app/2 add 1           => 1
        a named cell apple set x*1000         => 4
        a counter app/3 add 1                 => 1
        a scope usage app/                    => 2 of 0 objects, 144 of 0 bytes
        a scope usage app                     => 3 of 0 objects, 1248 of 0 bytes
        a scope usage ""                      => 3 of 0 objects, 1248 of 0 bytes
        a scope quota app/ 5 0                => ok
        a scope usage app/                    => 2 of 5 objects, 144 of 0 bytes
        a named list app/q extend x*100 y*100 => 2
        a scope usage app/                    => 3 of 5 objects, 704 of 0 bytes
        a list app/q pop                      => x*100
        a scope usage app/                    => 3 of 5 objects, 556 of 0 bytes
        a delete app/q                        => true
        a scope usage app/                    => 2 of 5 objects, 144 of 0 bytes
        a scope quota app/ 0 0                => ok
        a scope usage app/                    => 2 of 0 objects, 144 of 0 bytes
        "#,
    );
}

#[test]
fn a_quota_limits_the_number_of_objects() {
    check(
        r#"
        a named counter app/1 add 1           => 1
        a scope quota app/ 2 0                => ok
        a named counter app/2 add 1           => 1
        a named counter app/3 add 1           => QuotaExceeded(2,3)
        a retry                               => QuotaExceeded(2,3)
        census                                => 2 objects, 1 sessions, 0 waiters
        # Existing objects work, and objects without a name or with another prefix are not counted …
        a counter app/2 add 1                 => 2
        a counter app/4 add 1                 => 1
        a named counter apple add 1           => 1
        # … until they are named.
        a named counter app/4 add 1           => QuotaExceeded(2,3)
        a counter app/4 get                   => 1
        b delete app/1                        => true
        a named counter app/4 add 1           => 2
        # A lower quota deletes nothing.
        a scope quota app/ 1 0                => ok
        a counter app/4 add 1                 => 3
        a delete app/2                        => true
        a named counter app/2 add 1           => QuotaExceeded(1,2)
        a scope quota app/ 0 0                => ok
        a named counter app/2 add 1           => 1
        "#,
    );
}

#[test]
fn a_quota_limits_the_memory_of_objects() {
    check(
        r#"
        a named cell app/c set x*100          => 2
        a scope quota app/ 0 1000             => ok
        a scope usage app/                    => 1 of 0 objects, 204 of 1000 bytes
        a cell app/c set x*2000               => QuotaExceeded(1000,2212)
        a named cell app/d set x*900          => QuotaExceeded(1000,1184)
        a named cell app/d set x*300          => 4
        a scope usage app/                    => 2 of 0 objects, 608 of 1000 bytes
        a cell other set x*2000               => 5
        a cell app/c append x*500             => QuotaExceeded(1000,1116)
        # Updates that free memory or add none work.
        a named list app/q push x*100         => 1
        a list app/q push x*200               => QuotaExceeded(1000,1228)
        a scope quota app/ 0 1                => ok
        a list app/q push y                   => QuotaExceeded(1,1032)
        a list app/q remove x*100             => true
        a delete app/d                        => true
        a scope usage app/                    => 2 of 0 objects, 468 of 1 bytes
        "#,
    );
}

/// Quotas of all prefixes of a name apply.
#[test]
fn quotas_can_be_nested() {
    check(
        r#"
        a scope quota "" 3 0                  => ok
        a scope quota a/ 2 0                  => ok
        a scope quota a/b/ 1 0                => ok
        a named counter a/b/1 add 1           => 1
        a named counter a/b/2 add 1           => QuotaExceeded(1,2)
        a named counter a/1 add 1             => 1
        a named counter a/2 add 1             => QuotaExceeded(2,3)
        a named counter b add 1               => 1
        a named counter c add 1               => QuotaExceeded(3,4)
        a scope usage ""                      => 3 of 3 objects, 216 of 0 bytes
        a scope usage a/                      => 2 of 2 objects, 144 of 0 bytes
        a scope usage a/b/                    => 1 of 1 objects, 72 of 0 bytes
        a scope delete a/ 9                   => 2
        a scope usage ""                      => 1 of 3 objects, 72 of 0 bytes
        a scope usage a/b/                    => 0 of 1 objects, 0 of 0 bytes
        "#,
    );
}

/// A quota of many objects counts some at once and the others a part at a time, while they change.
#[test]
fn a_quota_counts_many_objects_a_part_at_a_time() {
    let adds: String =
        (0..400).map(|at| format!("a named counter q{at:03} add 1 => 1\n")).collect();
    check(&format!(
        r#"
        {adds}
        a scope quota q 401 0                 => ok
        a scope usage q                       => 128 of 401 objects, 9216 of 0 bytes
        # Both sides of what is counted change.
        a delete q001                         => true
        a delete q398                         => true
        a named counter q000x add 1           => 1
        a named counter q399x add 1           => 1
        a scope usage q                       => 128 of 401 objects, 9216 of 0 bytes
        # A copy counts on from there. The limits change, and others come and go.
        restore
        a scope quota q 400 0                 => ok
        a scope quota q39 1 0                 => ok
        a scope quota q39 0 0                 => ok
        a scope usage q                       => 400 of 400 objects, 28800 of 0 bytes
        after 1
        a scope usage q                       => 400 of 400 objects, 28800 of 0 bytes
        a named counter q7 add 1              => QuotaExceeded(400,401)
        "#
    ));
}

#[test]
fn a_shard_has_a_maximum_number_of_quotas() {
    let quotas: String = (1..=256).map(|i| format!("a scope quota q{i}/ 1 0 => ok\n")).collect();
    check(&format!(
        "{quotas}
        a scope quota more/ 1 0               => QuotaExceeded(256,257)
        a scope quota q7/ 2 0                 => ok
        a scope quota more/ 0 0               => ok
        a scope quota q9/ 0 0                 => ok
        a scope quota more/ 1 0               => ok
        # A prefix is at most as long as a name.
        a scope quota more/ 0 0               => ok
        a scope quota x*1024 1 0              => ok
        a scope quota x*1025 1 0              => BadArgument(1024,1025)
        a scope quota x*1025 0 0              => BadArgument(1024,1025)
        a scope usage x*1025                  => 0 of 0 objects, 0 of 0 bytes
        "
    ));
}

#[test]
fn a_shard_has_statistics() {
    check(
        "
        a scope stats                         => at 0: 1 updates, 1 reads, 0 objects, 0 named, 1 sessions, 0 waiters, 0 holds
        a named lock l acquire                => t2
        a counter n get                       => 0
        b @900 lock l acquire
        after 5
        a scope stats                         => at 5000: 4 updates, 3 reads, 1 objects, 1 named, 2 sessions, 1 waiters, 2 holds
        ",
    );
}
