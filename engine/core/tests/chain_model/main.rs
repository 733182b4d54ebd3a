//! The protocol of chains, epochs, grants and joining as a model, and every interleaving of it in
//! small clusters.
//!
//! Nodes may be slow for ever, messages late, lost or repeated, anybody may suspect anybody at any
//! time, and a proposal may arrive at the register long after its sender gave up on it. Time is
//! left out: a grant ends at its holder no later than at its granter, which is what the inequality
//! of lease and drift promises. Sessions, waiting requests and disks are not in here; nor is whether
//! anything good happens at last. That is the simulator's.
//!
//! Each rule of the protocol can be left out, and each has a cluster in which it is missed. Not all
//! clusters are for every day: `cargo test --release --test chain_model -- --ignored` has the large
//! ones.

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

/// Far more than a search takes; one that is cut short proves nothing.
const SEARCH_MAX: Duration = Duration::from_secs(6 * 3_600);

/// Searches everything and finds no harm. The number of states is how we know that a change to the
/// model did not make it smaller.
fn holds(cluster: &Cluster, states: usize) {
    let started = Instant::now();
    let checker = cluster.clone().checker().threads(2).timeout(SEARCH_MAX).spawn_bfs().join();
    assert!(started.elapsed() < SEARCH_MAX, "searched to the end");
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

/// Leaves out a rule and finds harm: depth first, which is quicker, if not by the shortest way.
fn misses(cluster: &Cluster, leave_out: fn(&mut Rules)) {
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
    let is_harm = |name: &&str| ![LATER_COMMIT, SPARE_SERVES, UNAWARE].contains(name);
    assert!(checker.discoveries().keys().any(is_harm), "nobody misses it: {cluster:?}");
}

#[test]
fn two_nodes() {
    holds(&TWO, 1_678);
    holds(&Cluster { epochs: 4, restarts: 1, ..TWO }, 19_794);
}

#[test]
fn one_node_and_a_spare() {
    holds(&ONE_AND_SPARE, 5_244);
    holds(&Cluster { restarts: 1, ..ONE_AND_SPARE }, 57_750);
}

#[test]
fn two_nodes_and_a_spare() {
    holds(&TWO_AND_SPARE, 329_300);
}

#[test]
fn three_nodes() {
    holds(&THREE, 90_050);
}

#[test]
fn another_order() {
    holds(&Cluster { orders: 1, ..TWO }, 13_776);
    holds(&Cluster { orders: 2, restarts: 1, ..TWO }, 327_540);
    holds(&Cluster { orders: 1, epochs: 4, ..ONE_AND_SPARE }, 34_328);
}

#[test]
#[ignore = "minutes, and memory"]
fn large_clusters() {
    holds(&Cluster { orders: 1, ..THREE }, 1_807_648);
    holds(&Cluster { epochs: 2, writes: 2, ..THREE }, 333_216);
    holds(&Cluster { epochs: 4, ..TWO_AND_SPARE }, 647_466);
    holds(&Cluster { writes: 2, ..THREE }, 1_152_608);
    holds(&Cluster { restarts: 1, ..TWO_AND_SPARE }, 2_266_469);
    holds(&Cluster { writes: 2, ..TWO_AND_SPARE }, 2_964_672);
}

/// We keep the stronger rule, which costs nothing.
#[test]
#[ignore = "minutes, and memory"]
fn it_would_do_that_the_tail_waits_for_old_grants() {
    let rules = Rules { all_drain: false, ..Rules::ALL };
    holds(&Cluster { rules, ..TWO_AND_SPARE }, 322_568);
}

/// B removes A and commits; A still reads the old value.
#[test]
fn grants_of_older_epochs_have_to_end() {
    misses(&TWO, |rules| rules.drain = false);
}

/// The tail acknowledges after its proposal left; the learner becomes a member without that.
#[test]
fn the_learner_has_to_have_what_is_acknowledged() {
    misses(&ONE_AND_SPARE, |rules| rules.gate = false);
}

/// The tail grants in the epoch that its own append has ended.
#[test]
fn who_proposes_has_to_stop_granting() {
    misses(&TWO_AND_SPARE, |rules| rules.stop_grant = false);
}

/// It reads in that epoch.
#[test]
fn who_proposes_has_to_stop_reading() {
    misses(&TWO_AND_SPARE, |rules| rules.stop_read = false);
}

/// What was taken for refused has happened.
#[test]
fn a_proposal_is_under_way_until_another_record_is_seen() {
    misses(&ONE_AND_SPARE, |rules| rules.resolve = false);
}

/// The new member acts while grants are alive of which it does not know.
#[test]
fn a_new_member_has_to_wait_for_all_grants() {
    misses(&TWO_AND_SPARE, |rules| rules.implied = false);
}

/// The tail never granted to the removed node, and serves while another one still honours it.
#[test]
fn a_lease_needs_every_peer() {
    misses(&THREE, |rules| rules.all_peers = false);
}

/// A slow node's only peer goes on granting to it in later epochs; a node that joined meanwhile
/// removes both, and has never granted to it.
#[test]
fn a_grant_counts_in_its_own_epoch_only() {
    misses(&Cluster { epochs: 4, ..TWO_AND_SPARE }, |rules| rules.own_epoch = false);
}

/// The update that was read vanishes with the nodes that had it.
#[test]
fn a_read_has_to_wait_until_it_is_clean() {
    misses(&THREE, |rules| rules.clean_wait = false);
}

/// The restarted tail has forgotten the append that is on its way.
#[test]
fn a_restarted_node_has_to_change_the_epoch() {
    misses(&Cluster { restarts: 1, ..ONE_AND_SPARE }, |rules| rules.bump = false);
}

/// The new head lacks what the old one took; their logs go apart.
#[test]
fn the_order_changes_only_when_all_have_the_same() {
    misses(&Cluster { orders: 1, ..TWO }, |rules| rules.rest = false);
}

/// A node that was removed and synced again learns of its removal and wipes itself; then it becomes
/// a member.
#[test]
fn who_left_has_to_come_back_under_another_name() {
    misses(&ONE_AND_SPARE, |rules| rules.fresh_incarnation = false);
}
