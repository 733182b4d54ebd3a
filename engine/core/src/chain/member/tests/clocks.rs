//! A lease ends at its holder before it ends at its granter, as long as clocks are as exact as the
//! record says.

use super::cluster::TestCluster;
use super::oracle;
use super::settings;
use crate::chain::member::lease_grants::held_us;
use crate::chain::record::{ChangeId, NodeId, NodeInfo, Record, Settings};
use crate::chain::rules::Rules;
use alloc::vec;

const MS: u64 = 1_000;

/// Returns whether, in a cluster of two nodes with such clocks, every lease ended at its holder
/// first.
fn is_kept(rates_ppm: [i64; 2]) -> bool {
    let mut cluster = TestCluster::new(5, settings(), Rules::default());
    for (name, rate_ppm) in ['a', 'b'].into_iter().zip(rates_ppm) {
        let at = cluster.add(name);
        cluster.nodes[at].rate_ppm = rate_ppm;
        cluster.nodes[at].offset_us = 86_400_000_000 * (1 + u64::try_from(at).expect("few"));
        cluster.start_later(at, at == 0);
    }
    let is_complete = |cluster: &TestCluster| oracle::is_healthy(cluster) && members(cluster) == 2;
    let is_complete = cluster.pass_until(20_000 * MS, is_complete).expect("the invariants hold");
    assert!(is_complete, "two members");
    (0..500).all(|_| {
        cluster.pass(7 * MS).expect("the invariants hold");
        ends_first(&cluster, 0, 1) && ends_first(&cluster, 1, 0)
    })
}

fn members(cluster: &TestCluster) -> usize {
    cluster.register.record().map_or(0, |record| record.nodes.len())
}

/// Compares by the true time, which neither node knows.
fn ends_first(cluster: &TestCluster, holder: usize, granter: usize) -> bool {
    let (holder, granter) = (&cluster.nodes[holder], &cluster.nodes[granter]);
    let member = granter.member.as_ref().expect("it runs");
    let granted_until = member.grants.drained_at(member.epoch() + 1, &Rules::default());
    let lease =
        holder.cores.as_ref().and_then(|view| view.lease).expect("it is not the only member");
    holder.when(lease.until) <= granter.when(granted_until)
}

#[test]
fn a_lease_ends_at_its_holder_first() {
    let drift = i64::from(settings().drift_ppm);
    for one in [-drift, 0, drift] {
        for other in [-drift, 0, drift] {
            assert!(is_kept([one, other]), "rates {one} and {other}");
        }
    }
}

/// Without this, the test above would show nothing.
#[test]
fn worse_clocks_than_the_record_says_break_that() {
    let worse = 3 * i64::from(settings().drift_ppm);
    assert!(!is_kept([-worse, worse]));
    assert!(!is_kept([worse, -worse]));
}

#[test]
fn the_inequality_holds_for_every_lease_and_drift() {
    let info = NodeInfo {
        name: "a".into(),
        peer: ([127, 0, 0, 1], 1).into(),
        clients: vec![([127, 0, 0, 1], 2).into()],
        az: None,
    };
    for drift_ppm in [0, 1, 999, 10_000, 33_333, 100_000] {
        for lease_ms in [1, 7, 850, 900, 59_999] {
            let settings = Settings { lease_ms, suspect_ms: 60_000, drift_ppm, ..settings() };
            let founders = [(NodeId(1), info.clone())].into();
            let record = Record::create("catena", &settings, founders, NodeId(1), ChangeId(1))
                .expect("good settings");
            let held = held_us(&record, &Rules::default());
            let (lease, drift) = (u64::from(lease_ms) * 1_000, u64::from(drift_ppm));
            assert!(held * (1_000_000 + drift) <= lease * (1_000_000 - drift));
            assert!(
                held + 1 + (lease * drift).div_ceil(500_000) >= lease,
                "and is not shorter than that requires"
            );
        }
    }
}
