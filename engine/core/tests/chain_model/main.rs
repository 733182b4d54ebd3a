//! A model of the protocol of chains, epochs, leases and joining, and an exhaustive search of every
//! interleaving in small clusters.
//!
//! Nodes may be slow for ever. Messages may be late, lost or repeated. Any node may suspect any
//! other at any time, and a proposal may arrive at the register long after its sender gave up on
//! it. Time is left out: a grant expires at its holder no later than at its granter, which the
//! inequality of lease and drift guarantees. Sessions, waiting requests, disks and liveness are not
//! modelled; the simulator covers them.
//!
//! Each rule of the protocol can be left out, and for each there is a cluster in which its absence
//! violates a property. The large clusters take long: `cargo test --release -p catena-core --test
//! chain_model -- --ignored` runs them.

mod cluster;
mod effects;
mod rules;
mod state;

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use self::cluster::{Cluster, LATER_COMMIT, SPARE_SERVES, UNAWARE};
use self::rules::Rules;

const TWO: Cluster = Cluster {
    founders: 2,
    spares: 0,
    writes: 2,
    epochs: 3,
    restarts: 0,
    orders: 0,
    rules: Rules::ALL,
};
const ONE_AND_SPARE: Cluster = Cluster { founders: 1, spares: 1, epochs: 4, ..TWO };
const TWO_AND_SPARE: Cluster = Cluster { founders: 2, spares: 1, writes: 1, ..TWO };
const THREE: Cluster = Cluster { founders: 3, writes: 1, ..TWO };

/// Far longer than a search takes. A search that is cut short proves nothing.
const SEARCH_MAX: Duration = Duration::from_secs(6 * 3_600);

/// Searches all states and expects no violation. The expected number of states shows that a change
/// to the model did not make it smaller.
fn check_holds(cluster: &Cluster, states: usize) {
    let started = Instant::now();
    let checker = cluster.clone().checker().threads(2).timeout(SEARCH_MAX).spawn_bfs().join();
    assert!(started.elapsed() < SEARCH_MAX, "the search was cut short");
    for (name, path) in checker.discoveries() {
        let is_wanted = [LATER_COMMIT, SPARE_SERVES, UNAWARE].contains(&name);
        assert!(is_wanted, "{cluster:?}: not {name}: {:?}", path.into_actions());
    }
    assert_eq!(checker.unique_state_count(), states, "{cluster:?}");
    checker.assert_any_discovery(UNAWARE);
    if cluster.epochs > 3 || cluster.founders == 3 && cluster.epochs == 3 {
        checker.assert_any_discovery(LATER_COMMIT);
    }
    checker.assert_any_discovery(SPARE_SERVES);
}

/// Leaves out a rule and expects a violation. The search is depth first, which finds one sooner, if
/// not on the shortest path.
fn check_noticed(cluster: &Cluster, leave_out: fn(&mut Rules)) {
    let mut cluster = cluster.clone();
    leave_out(&mut cluster.rules);
    let checker = cluster
        .clone()
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(SEARCH_MAX)
        .spawn_dfs()
        .join();
    let is_violation = |name: &&str| ![LATER_COMMIT, SPARE_SERVES, UNAWARE].contains(name);
    assert!(
        checker.discoveries().keys().any(is_violation),
        "no violation without the rule: {cluster:?}"
    );
}

#[test]
fn two_nodes() {
    check_holds(&TWO, 1_678);
    check_holds(&Cluster { epochs: 4, restarts: 1, ..TWO }, 19_794);
}

#[test]
fn one_node_and_a_spare() {
    check_holds(&ONE_AND_SPARE, 5_244);
    check_holds(&Cluster { restarts: 1, ..ONE_AND_SPARE }, 57_750);
}

#[test]
fn two_nodes_and_a_spare() {
    check_holds(&TWO_AND_SPARE, 329_896);
}

#[test]
fn three_nodes() {
    check_holds(&THREE, 90_050);
}

#[test]
fn reordered_chains() {
    check_holds(&Cluster { orders: 1, ..TWO }, 13_776);
    check_holds(&Cluster { orders: 2, restarts: 1, ..TWO }, 327_540);
    check_holds(&Cluster { orders: 1, epochs: 4, ..ONE_AND_SPARE }, 34_328);
}

#[test]
#[ignore = "takes minutes and much memory"]
fn large_clusters() {
    check_holds(&Cluster { orders: 1, ..THREE }, 1_807_648);
    check_holds(&Cluster { epochs: 2, writes: 2, ..THREE }, 333_216);
    check_holds(&Cluster { epochs: 4, ..TWO_AND_SPARE }, 650_930);
    check_holds(&Cluster { writes: 2, ..THREE }, 1_152_608);
    check_holds(&Cluster { restarts: 1, ..TWO_AND_SPARE }, 2_315_025);
    check_holds(&Cluster { writes: 2, ..TWO_AND_SPARE }, 2_972_201);
}

/// The implementation follows the stronger rule, because it costs nothing.
#[test]
#[ignore = "takes minutes and much memory"]
fn it_suffices_that_the_tail_waits_for_old_grants() {
    let rules = Rules { all_drain: false, ..Rules::ALL };
    check_holds(&Cluster { rules, ..TWO_AND_SPARE }, 323_116);
}

/// B removes A and commits; A still reads the old value.
#[test]
fn grants_of_older_epochs_have_to_expire() {
    check_noticed(&TWO, |rules| rules.drain = false);
}

/// The tail acknowledges an update after it sent its proposal; the learner becomes a member without
/// that update.
#[test]
fn the_learner_has_to_have_what_is_acknowledged() {
    check_noticed(&ONE_AND_SPARE, |rules| rules.gate = false);
}

/// The tail grants in the epoch that its own append has ended.
#[test]
fn a_proposing_member_has_to_stop_granting() {
    check_noticed(&TWO_AND_SPARE, |rules| rules.stop_grant = false);
}

/// The tail reads in the epoch that its own append has ended.
#[test]
fn a_proposing_member_has_to_stop_reading() {
    check_noticed(&TWO_AND_SPARE, |rules| rules.stop_read = false);
}

/// A proposal that was taken for refused takes effect.
#[test]
fn a_proposal_is_under_way_until_another_record_is_seen() {
    check_noticed(&ONE_AND_SPARE, |rules| rules.resolve = false);
}

/// The new member acts while there are grants that it does not know of.
#[test]
fn a_new_member_has_to_wait_for_all_grants() {
    check_noticed(&TWO_AND_SPARE, |rules| rules.implied = false);
}

/// It takes the word of a member that is active in an older epoch, where the grants still count.
#[test]
fn a_new_member_trusts_a_member_of_its_own_epoch_only() {
    check_noticed(&TWO_AND_SPARE, |rules| rules.proof_epoch = false);
}

/// The tail never granted to the removed node, and commits while another member still honours its
/// grant.
#[test]
fn a_lease_needs_every_peer() {
    check_noticed(&THREE, |rules| rules.all_peers = false);
}

/// A slow node's only peer keeps granting to it in later epochs. A node that joined meanwhile
/// removes both, and has never granted to it.
#[test]
fn a_grant_counts_in_its_own_epoch_only() {
    check_noticed(&Cluster { epochs: 4, ..TWO_AND_SPARE }, |rules| rules.own_epoch = false);
}

/// The update that was read is lost with the nodes that had it.
#[test]
fn a_read_has_to_wait_until_it_is_clean() {
    check_noticed(&THREE, |rules| rules.clean_wait = false);
}

/// The restarted tail has forgotten the append that is under way.
#[test]
fn a_restarted_node_has_to_change_the_epoch() {
    check_noticed(&Cluster { restarts: 1, ..ONE_AND_SPARE }, |rules| rules.bump = false);
}

/// The new head lacks what the old one accepted; their logs diverge.
#[test]
fn the_order_changes_only_when_all_logs_are_equal() {
    check_noticed(&Cluster { orders: 1, ..TWO }, |rules| rules.rest = false);
}

/// A node that was removed and synced again learns of its removal and drops its state; then it
/// becomes a member.
#[test]
fn a_removed_node_has_to_rejoin_under_a_new_id() {
    check_noticed(&ONE_AND_SPARE, |rules| rules.fresh_incarnation = false);
}
