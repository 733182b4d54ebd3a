//! Scenarios: what the nodes see after a sequence of steps.

use super::script::{check, check_with};
use super::settings;
use crate::chain::record::{Heads, OnTotalLoss, Settings};
use crate::chain::rules::Rules;
use alloc::format;
use alloc::string::String;

/// Three members; the chain is in the order of their names.
const THREE: &str = "
    found a
    until a
    join b
    until ab
    join c
    until abc     => a 3 abc reads | b 3 abc reads | c 3 abc reads
";

const TWO: &str = "
    found a
    until a
    join b
    until ab      => a 2 ab reads | b 2 ab reads
";

fn after(beginning: &str, steps: &str) -> String {
    format!("{beginning}{steps}")
}

#[test]
fn a_cluster_begins_with_one_and_others_join() {
    check(
        2,
        "
        join b              # there is no cluster yet
        after 500           => b nothing
        found a
        after 100           => b nothing | a 1 a reads
        until ab            => b 2 ab reads | a 2 ab reads
        join c              # a spare: two are wanted
        after 5000          => b 2 ab reads | a 2 ab reads | c 2 ab learner
        crash b
        until ac            => a 4 ac reads | c 4 ac reads
        ",
    );
}

/// The tail hears of the learner, the learner not of the tail.
#[test]
fn a_learner_that_never_heard_of_its_tail_is_not_given_up_for_ever() {
    check(
        2,
        "
        found a
        until a
        join b
        cut a>b
        after 500           => a 1 a reads | b 1 a learner
        pause b 4000
        after 4500          => a 1 a reads | b 1 a learner
        heal
        until ab            => a 2 ab reads | b 2 ab reads
        ",
    );
}

/// The only member appends a learner and fails before the learner hears of it: the learner has
/// everything, and finds itself in the register.
#[test]
fn a_learner_is_appended_by_a_tail_that_fails() {
    let beginning =
        "found a\nuntil a\njoin b\nafter 540 => a 1 a acts stopped gate b | b 1 a learner";
    check(2, &format!("{beginning}\nafter 15\ncrash a\nuntil b => b 3 b reads"));
    let late = beginning.replace("join b", "next late 8000\njoin b");
    check(2, &format!("{late}\ncrash a\nafter 7000 => b 1 a learner\nuntil b => b 3 b reads"));
}

/// A new member need not wait for leases that it may not know of: the other is active already.
#[test]
fn a_new_member_acts_at_once() {
    let beginning =
        "found a\nuntil a\njoin b\nafter 540 => a 1 a acts stopped gate b | b 1 a learner";
    check(2, &format!("{beginning}\nafter 30 => a 2 ab reads | b 2 ab reads"));
    check(
        3,
        &after(
            TWO,
            "
            join c
            after 500       => a 2 ab reads | b 2 ab reads gate c | c 2 ab learner
            after 200       => a 3 abc reads | b 3 abc reads | c 3 abc reads
            ",
        ),
    );
}

#[test]
fn of_two_founders_one_joins() {
    check(
        2,
        "
        found a
        found b
        after 100           => a 1 a reads | b 1 a learner
        until ab            => a 2 ab reads | b 2 ab reads
        ",
    );
}

#[test]
fn a_founder_gets_no_clear_reply() {
    for fate in ["unanswered", "repeated", "conflict", "failed", "late 2500"] {
        check(2, &format!("next {fate}\nfound a\nuntil a => a 1 a reads"));
    }
}

#[test]
fn the_head_crashes() {
    check(
        3,
        &after(
            THREE,
            "
            crash a
            after 900       => b 3 abc acts | c 3 abc acts     # the lease expires first
            after 200       => b 4 bc reads | c 4 bc reads
            ",
        ),
    );
}

#[test]
fn the_middle_crashes() {
    check(
        3,
        &after(
            THREE,
            "
            crash b
            until ac => a 4 ac reads | c 4 ac reads
            ",
        ),
    );
}

#[test]
fn the_tail_crashes() {
    check(
        3,
        &after(
            THREE,
            "
            crash c
            until ab => a 4 ab reads | b 4 ab reads
            ",
        ),
    );
}

#[test]
fn all_but_one_crash() {
    check(
        3,
        &after(
            THREE,
            "
            crash a
            crash c
            until b => b 5 b reads
            ",
        ),
    );
    check(
        3,
        &after(
            THREE,
            "
            crash b
            after 500
            crash c
            until a => a 5 a reads
            ",
        ),
    );
}

#[test]
fn of_two_partitioned_members_one_continues() {
    check(
        2,
        &after(
            TWO,
            "
            cut a-b
            after 680       => a 2 ab reads | b 2 ab reads
            after 210       => a 2 ab acts | b 2 ab acts        # no reads after the lease
            after 300       => a 3 a reads | b 3 a removed
            heal
            after 60        => a 3 a reads | b 3 a removed
            after 12000     => a 4 ab reads | b 4 ab reads
            ",
        ),
    );
}

#[test]
fn of_two_the_one_that_reaches_the_register_continues() {
    check(
        2,
        &after(
            TWO,
            "
            cut a-b
            cut a-register
            after 1500      => a 2 ab acts | b 3 b reads
            after 20000     => a 2 ab acts | b 3 b reads
            ",
        ),
    );
}

#[test]
fn two_members_that_reach_nothing_stop() {
    check(
        2,
        &after(
            TWO,
            "
            cut a-b
            cut a-register
            cut b-register
            after 60000     => a 2 ab acts | b 2 ab acts
            heal
            until ab        => a 2 ab reads | b 2 ab reads
            ",
        ),
    );
}

#[test]
fn reads_and_updates_continue_without_a_register() {
    check(
        3,
        &after(
            THREE,
            "
            cut a-register
            cut b-register
            cut c-register
            after 60000     => a 3 abc reads | b 3 abc reads | c 3 abc reads
            crash b
            after 10000     => a 3 abc acts | c 3 abc acts
            heal
            until ac        => a 4 ac reads | c 4 ac reads
            ",
        ),
    );
}

#[test]
fn a_link_is_cut_between_two_of_three() {
    check(
        3,
        &after(
            THREE,
            "
            cut a-b
            after 1500 => a 4 ac reads | b 4 ac removed | c 4 ac reads
            heal
            until acb => a 5 acb reads | b 5 acb reads | c 5 acb reads
            ",
        ),
    );
    check(
        3,
        &after(
            THREE,
            "
            cut b-c
            after 1500 => a 4 ab reads | b 4 ab reads | c 4 ab removed
            ",
        ),
    );
    check(
        3,
        &after(
            THREE,
            "
            cut a>c
            after 1700 => a 4 bc removed | b 4 bc reads | c 4 bc reads
            ",
        ),
    );
}

#[test]
fn an_isolated_member_does_not_remove_the_others() {
    check(
        3,
        &after(
            THREE,
            "
            cut a-b
            cut a-c
            after 1900 => a 3 abc acts | b 4 bc reads | c 4 bc reads
            after 5000 => a 4 bc learner | b 4 bc reads | c 4 bc reads
            ",
        ),
    );
    check(
        3,
        &after(
            THREE,
            "
            cut b-a
            cut b-c
            after 1900 => a 4 ac reads | b 3 abc acts | c 4 ac reads
            ",
        ),
    );
    check(
        3,
        &after(
            THREE,
            "
            cut c-a
            cut c-b
            after 1900 => a 4 ab reads | b 4 ab reads | c 3 abc acts
            ",
        ),
    );
}

#[test]
fn an_isolated_member_cannot_read_once_its_removal_takes_effect() {
    check(
        3,
        &after(
            THREE,
            "
            cut a-b
            cut a-c
            cut a-register
            remove a at b
            after 100       => a 3 abc reads | b 4 bc waits | c 4 bc waits
            after 550       => a 3 abc reads | b 4 bc waits | c 4 bc waits
            after 300       => a 3 abc acts | b 4 bc reads | c 4 bc reads
            ",
        ),
    );
}

#[test]
fn the_outcome_of_a_removal_is_unknown() {
    for fate in ["unanswered", "repeated", "conflict", "failed", "late 2500"] {
        check(2, &after(TWO, &format!("next {fate}\ncrash b\nuntil a => a 3 a reads")));
    }
}

#[test]
fn the_outcome_of_an_append_is_unknown() {
    for fate in ["unanswered", "repeated", "conflict", "failed", "late 2500"] {
        let steps = format!("found a\nuntil a\nnext {fate}\njoin b\nuntil ab");
        check(2, &format!("{steps} => a 2 ab reads | b 2 ab reads"));
    }
}

#[test]
fn the_appending_tail_stays_gated_and_stopped_until_the_outcome_is_known() {
    check(
        2,
        "
        found a
        until a
        next late 5000
        join b
        after 1500          => a 1 a acts stopped gate b | b 1 a learner
        after 3000          => a 2 ab reads | b 2 ab reads
        until ab            => a 2 ab reads | b 2 ab reads
        ",
    );
}

#[test]
fn a_change_that_is_not_permitted_stops_no_member() {
    check(
        2,
        "
        found a
        until a
        next failed
        next failed
        join b
        after 900           => a 1 a reads | b 1 a learner
        until ab            => a 2 ab reads | b 2 ab reads
        ",
    );
}

#[test]
fn a_learner_that_stalls_at_the_gate_is_dropped() {
    check(
        2,
        "
        found a
        until a
        join b
        after 480           => a 1 a reads gate b | b 1 a learner
        cut a-b
        after 1000          => a 1 a reads | b 1 a learner
        after 2000          => a 1 a reads | b 1 a learner
        ",
    );
}

#[test]
fn a_crashed_learner_that_becomes_a_member_is_removed() {
    check(
        2,
        "
        found a
        until a
        next late 2500
        join b
        after 700           => a 1 a acts stopped gate b | b 1 a learner
        crash b
        after 1000          => a 1 a acts stopped gate b
        after 4500          => a 3 a reads
        ",
    );
}

#[test]
fn a_paused_node_is_removed_and_rejoins() {
    check(
        2,
        &after(
            TWO,
            "
            pause a 3000
            after 1500      => a 2 ab acts | b 3 b reads
            after 1600      => a 3 b removed | b 3 b reads
            until ba        => a 4 ba reads | b 4 ba reads
            ",
        ),
    );
}

#[test]
fn a_short_pause_has_no_consequence() {
    check(
        2,
        &after(
            TWO,
            "
            pause a 900
            after 1200 => a 2 ab reads | b 2 ab reads
            ",
        ),
    );
}

#[test]
fn a_node_whose_cores_are_stuck_falls_silent() {
    check(
        2,
        &after(
            TWO,
            "
            stick a 60000
            after 2500 => a 2 ab acts | b 2 ab reads
            after 2000 => a 2 ab acts | b 3 b reads
            ",
        ),
    );
}

#[test]
fn an_operator_removes_a_node() {
    check(
        3,
        &after(
            THREE,
            "
            remove b at c
            after 60 => a 4 ac reads | b 4 ac removed | c 4 ac reads
            until ac => a 4 ac reads | b 4 ac removed | c 4 ac reads
            ",
        ),
    );
}

/// Only the members know where it is while it waits, and an operator who wants it back asks them.
#[test]
fn members_remember_a_node_that_an_operator_removed() {
    check(
        3,
        &after(
            THREE,
            "
            after 4000              # nobody has asked to join for long
            spares - at a
            remove b at c
            until ac
            spares b at a
            spares b at c
            until acb
            spares - at a
            spares - at c
            ",
        ),
    );
    // A crashed node is not there.
    check(3, &after(THREE, "after 4000\ncrash b\nuntil ac\nspares - at a"));
}

#[test]
fn an_operator_lets_a_node_rejoin_whose_cores_are_still_stopping() {
    check(
        3,
        &after(
            THREE,
            "
            stick b 1500
            remove b at c
            after 500               # it knows that it was removed
            rejoin b
            after 1200 => a 4 ac reads | b 4 ac learner | c 4 ac reads  # it has begun anew
            until acb
            spares - at a
            spares - at c
            ",
        ),
    );
}

#[test]
fn a_node_leaves() {
    check(
        2,
        &after(
            TWO,
            "
            leave a
            after 50 => a 3 b removed | b 3 b reads     # nobody waits until its lease expires
            ",
        ),
    );
    check(
        3,
        &after(
            THREE,
            "
            leave b
            after 55 => a 4 ac reads | b 4 ac removed | c 4 ac reads
            ",
        ),
    );
}

#[test]
fn a_removed_node_whose_cores_do_not_stop_keeps_its_leases() {
    check(
        2,
        &after(
            TWO,
            "
            leave a
            stick a 1500
            after 500 => a 2 ab reads | b 3 b waits
            until b   => a 2 ab acts | b 3 b reads
            ",
        ),
    );
}

#[test]
fn a_record_with_an_absurd_epoch_is_not_believed() {
    check(
        3,
        &after(
            THREE,
            "
            edit 1000000000
            after 6000 => a 3 abc reads | b 3 abc reads | c 3 abc reads
            crash c             # nothing is proposed that cannot take effect
            after 3000 => a 3 abc acts | b 3 abc acts
            edit 3
            until ab   => a 4 ab reads | b 4 ab reads
            edit 1000   # this may be
            until ab   => a 1000 ab reads | b 1000 ab reads
            ",
        ),
    );
}

#[test]
fn a_message_with_an_absurd_epoch_is_not_believed() {
    check(
        2,
        &after(
            TWO,
            "
            claim 4000000000 by b at a
            cut a-b
            cut b-register
            remove b at a
            after 100  => a 3 a waits | b 2 ab reads
            until a    => a 3 a reads | b 2 ab acts
            ",
        ),
    );
}

#[test]
fn a_peer_cannot_be_connected_to() {
    check(
        2,
        &after(
            TWO,
            "
            crash b
            link b at a
            after 100 => a 3 a waits
            ",
        ),
    );
    check(
        2,
        &after(
            TWO,
            "
            link b at a
            after 800 => a 3 a reads | b 3 a removed    # but is heard from
            ",
        ),
    );
}

#[test]
fn the_last_node_before_a_stall_removes_it() {
    check(
        3,
        &after(
            THREE,
            "
            stall b at a
            stall c at b    # c is to blame
            after 100       => a 4 ab reads | b 4 ab reads | c 4 ab removed
            ",
        ),
    );
    let stall = "
            stall b at a
            after 900       => a 3 abc reads | b 3 abc reads | c 3 abc reads
            ";
    check(3, &after(THREE, stall));
    let again =
        format!("{stall}stall b at a\nafter 200 => a 4 ac reads | b 4 ac removed | c 4 ac reads");
    check(3, &after(THREE, &again));
}

#[test]
fn a_member_that_lacks_dropped_entries_has_to_join_again() {
    check(
        2,
        &after(
            TWO,
            "
            behind b at a
            after 100       => a 3 a reads | b 3 a removed
            until ab        => a 4 ab reads | b 4 ab reads
            ",
        ),
    );
}

#[test]
fn a_restarted_node_changes_the_epoch_first() {
    check(1, "found a\nuntil a\nrestart a\nafter 100 => a 2 a waits\nafter 2000 => a 2 a reads");
    check(
        2,
        &after(
            TWO,
            "
            restart b
            after 150 => a 3 ab reads | b 3 ab reads        # a is active, so no old lease holds
            ",
        ),
    );
}

#[test]
fn a_cluster_without_members_stays_down_or_begins_empty() {
    let lost = "
        found a
        until a
        crash a
        join b
        after 29000         => b 1 a learner
    ";
    let said = "
        reports TotalLoss 0
        after 2000          => b 1 a learner
        reports TotalLoss 1
        after 58000         => b 1 a learner
        reports TotalLoss 1
        after 62000         => b 1 a learner
        reports TotalLoss 3
    ";
    check(2, &after(lost, said));
    let settings = Settings { on_total_loss: OnTotalLoss::Empty, ..settings() };
    check_with(settings, Rules::default(), &after(lost, "after 3000 => b 2 b reads"));
}

/// Checks a scenario of a cluster whose heads are spread.
fn check_spread(replicas: u32, steps: &str) {
    let settings = Settings { replicas, heads: Heads::Spread, ..settings() };
    check_with(settings, Rules::default(), steps);
}

#[test]
fn heads_are_spread_when_all_members_are_there() {
    check_spread(
        2,
        &after(
            TWO,
            "
            after 900   => a 2 ab reads | b 2 ab reads
            after 250   => a 3 ab,ba reads | b 3 ab,ba reads
            crash a
            until b     => b 4 b reads
            join a
            after 5000  => a 6 ab,ba reads | b 6 ab,ba reads
            ",
        ),
    );
}

#[test]
fn chains_are_aligned_for_a_learner() {
    check_spread(
        3,
        &after(
            TWO,
            "
            after 9000  => a 2 ab reads | b 2 ab reads          # a third node may join
            after 3000  => a 3 ab,ba reads | b 3 ab,ba reads
            join c
            until abc   => a 5 abc reads | b 5 abc reads | c 5 abc reads
            after 1500  => a 6 abc,bca reads | b 6 abc,bca reads | c 6 abc,bca reads
            join d                                              # a spare: three are wanted
            after 5000  => a 6 abc,bca reads | b 6 abc,bca reads | c 6 abc,bca reads | d 6 abc,bca learner
            crash b
            until acd   => a 9 acd reads | c 9 acd reads | d 9 acd reads
            after 1500  => a 10 acd,cda reads | c 10 acd,cda reads | d 10 acd,cda reads
            ",
        ),
    );
}

/// Updates would wait for the register, and the move can wait.
#[test]
fn heads_are_not_moved_while_the_register_is_slow_to_write() {
    let quiet = |epoch| format!("=> a {epoch} ab reads | b {epoch} ab reads");
    let waits: String = [1_100, 50, 50, 100, 500, 1_000, 1_200, 3_000, 3_000]
        .into_iter()
        .map(|ms| format!("after {ms} {}\n", quiet(2)))
        .collect();
    let then = "slow 0\nafter 20000 => a 3 ab,ba reads | b 3 ab,ba reads";
    check_spread(2, &after(TWO, &format!("slow 5000\n{waits}{then}")));
}

#[test]
fn members_do_not_quiesce_for_long() {
    check_spread(
        2,
        &after(
            TWO,
            "
            after 800
            stick b 1900
            after 400   => a 2 ab reads quiescing | b 2 ab reads    # it was not asked to quiesce
            after 1200  => a 3 ab reads | b 2 ab acts           # so the epoch ended
            after 1200  => a 4 ab,ba reads | b 4 ab,ba reads
            ",
        ),
    );
}

#[test]
fn spare_nodes_do_not_take_members_for_lost() {
    for heads in [Heads::One, Heads::Spread] {
        let settings = Settings { on_total_loss: OnTotalLoss::Empty, heads, ..settings() };
        let seen = match heads {
            Heads::One => "a 2 ab reads | b 2 ab reads | c 2 ab learner | d 2 ab learner",
            Heads::Spread => {
                "a 3 ab,ba reads | b 3 ab,ba reads | c 3 ab,ba learner | d 3 ab,ba learner"
            }
        };
        let steps = format!("{TWO}join c\njoin d\nafter 90000 => {seen}");
        check_with(settings, Rules::default(), &steps);
    }
}
