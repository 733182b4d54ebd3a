//! Counters, flags, cells, vectors, lists, maps and sets.

use crate::shell::Shell;

#[test]
fn numbers_and_flags() {
    Shell::new().script(
        "
        counter visits get                 => 0
        counter visits add 1               => 1
        counter visits add -3              => -2
        counter visits fetch-add 5         => -2
        counter visits increment           => 4
        counter visits decr                => 3
        counter visits swap 7              => 3
        counter visits cas 7 8             => 8
        counter visits cas 7 9             => [1] 8
        counter visits multiply 3          => 24
        counter visits min 5               => 5
        counter visits max 9               => 9
        counter visits add 9223372036854775807 => [5]
        counter visits reset               => 0
        --json counter visits add 2        => 2
        --json counter visits cas 2 3      => {\"now\":3,\"swapped\":true}
        flag ready get                     => [1] false
        flag ready set true                => true
        flag ready get                     => true
        flag ready cas false true          => [1] true
        counter ready get                  => [5]
        ",
    );
}

#[test]
fn bytes_and_vectors() {
    Shell::new().script(
        "
        cell page set hello+world          => *
        cell page get                      => hello world
        cell page range 6..                => world
        cell page append !                 => 12
        cell page cas hello+world! bye     => *
        cell page cas hello+world! bye     => [1] *
        cell page swap again               => bye
        cell page set-with-token 9 safe    => *
        cell page set-with-token 8 late    => [5]
        cell page cas-version 1 late       => [1] *
        cell page get --newer 999999999999999        => [1]
        vector weights get                 => [1]
        vector weights sum                 => [1]
        vector weights set --columns 2 1 2 3 4.5 => *
        vector weights get                 => 1 2 | 3 4.5
        vector weights add 1 1 1 1         => *
        vector weights rows 1..            => 4 5.5
        vector weights sum                 => 14.5
        vector weights dot 1 0 0 -1        => -3.5
        vector weights scale 2             => *
        vector weights add-rows 1 1 1      => *
        vector weights get                 => 4 6 | 9 12
        vector counts set --type i64 1 2   => *
        vector counts sum                  => 3
        vector counts add 1 2              => [5]
        ",
    );
}

#[test]
fn lists_maps_and_sets() {
    Shell::new().script(
        "
        list jobs push a b c               => 3
        list jobs push-front z             => 4
        list jobs range                    => z | a | b | c
        list jobs pop                      => z
        list jobs pop-back                 => c
        list jobs index-of b               => 1
        list jobs index-of q               => [1]
        list jobs insert 1 m               => 3
        list jobs remove m                 => true
        list jobs contains a b             => true
        list jobs set 0 x                  => a
        list jobs len                      => 2
        list jobs clear                    => 2
        list jobs pop                      => [1]
        list jobs pop --wait --timeout 10ms => [3]
        list jobs set 0 x                  => [5]
        map users put ada Ada+Lovelace     => new
        map users put bob Bob              => new
        map users put bob Bob              => replaced
        map users get ada                  => Ada Lovelace
        map users get eve                  => [1]
        map users put-if-absent ada x      => [1] false
        map users cas bob --expected Bob --value Robert => true
        map users keys                     => ada | bob
        map users entries --reverse        => bob\tRobert | ada\tAda Lovelace
        map users keys --from b            => bob
        map users first                    => ada\tAda Lovelace
        map users top 1                    => bob\tRobert
        map users take bob                 => Robert
        map users rm ada eve               => 1
        map users len                      => 0
        map words merge the 2              => 2
        map words merge the 3              => 5
        map words merge-all the 1 a 7      => 1
        map words get the --number         => 6
        map words merge a x                => [2]
        set seen add a b a                 => 2
        set seen contains a b              => true
        set seen contains a c              => [1] false
        set seen members                   => a | b
        set seen rm b                      => 1
        set seen len                       => 1
        ",
    );
}

#[test]
fn what_does_not_exist_is_nothing_with_exit_code_1() {
    let shell = Shell::new();
    shell.script(
        "
        cell c get                         => [1]
        cell c get --json                  => [1] null
        cell c range ..                    => [1]
        cell c swap a                      => [1]
        cell c swap b                      => a
        vector v get                       => [1]
        vector v get --json                => [1] null
        vector v rows ..                   => [1]
        vector v rows 1..2                 => [1]
        vector v sum                       => [1]
        vector v dot 1                     => [1]
        list l get 0                       => [1]
        list l pop                         => [1]
        list l pop-back                    => [1]
        list l index-of x                  => [1]
        list l claim --now                 => [1]
        map m get k                        => [1]
        map m take k                       => [1]
        map m swap k v                     => [1]
        map n first                        => [1]
        map n last                         => [1]
        semaphore s state                  => [1]
        future f peek                      => [1]
        barrier b state                    => [1]
        latch a state                      => [1]
        reduction r state                  => [1]
        reduction r last                   => [1]
        inspect i                          => [1]
        expire i 1h                        => [1] false
        lock k state                       => 1 of 1 free, 0 holding, 0 waiting
        future g state                     => pending
        counter n1 get                     => 0
        flag n2 get                        => [1] false
        list n3 len                        => 0
        list n3 range                      =>
        map n4 len                         => 0
        map n4 entries                     =>
        set n5 len                         => 0
        set n5 members                     =>
        log n6 tail                        =>
        ",
    );
    // An empty cell exists.
    let empty = shell.given("cell empty set -", b"");
    assert!(empty.status.success(), "{empty:?}");
    shell.check("cell empty get", 0, "");
}

#[test]
fn ranges_that_end_before_they_begin_are_refused() {
    let shell = Shell::new();
    for line in ["list l range 5..2", "cell c range 5..2", "vector v rows 5..2"] {
        let complaint = shell.complaint(line, 2);
        assert!(complaint.contains("`5..2` ends before it begins"), "{complaint}");
    }
    shell.check("list l range 2..2", 0, "");
}
