//! The holder's lease ends before the granter's promise, as long as clocks keep what the record says
//! of them.

use super::settings;
use super::truth;
use super::world::World;
use crate::chain::member::grants::held_us;
use crate::chain::record::{ChangeId, NodeId, NodeInfo, Record, Settings};
use crate::chain::rules::Rules;
use alloc::vec;

const MS: u64 = 1_000;

/// Whether, in a cluster of two with such clocks, no lease was ever good for longer than the promise
/// it rests on.
fn is_kept(rates_ppm: [i64; 2]) -> bool {
    let mut world = World::new(5, settings(), Rules::default());
    for (name, rate_ppm) in ['a', 'b'].into_iter().zip(rates_ppm) {
        let at = world.add(name);
        world.nodes[at].rate_ppm = rate_ppm;
        world.nodes[at].offset_us = 86_400_000_000 * (1 + u64::try_from(at).expect("few"));
        world.begin(at, at == 0);
    }
    let is_whole = |world: &World| truth::is_well(world) && members(world) == 2;
    let is_whole = world.pass_until(20_000 * MS, is_whole).expect("nothing goes wrong");
    assert!(is_whole, "two members");
    (0..500).all(|_| {
        world.pass(7 * MS).expect("nobody else acts");
        ends_first(&world, 0, 1) && ends_first(&world, 1, 0)
    })
}

fn members(world: &World) -> usize {
    world.register.record().map_or(0, |record| record.nodes.len())
}

/// By the true time, which neither of them knows.
fn ends_first(world: &World, holder: usize, granter: usize) -> bool {
    let (holder, granter) = (&world.nodes[holder], &world.nodes[granter]);
    let member = granter.member.as_ref().expect("it runs");
    let promise = member.grants.drained_at(member.epoch() + 1, &Rules::default());
    let lease = holder.cores.as_ref().and_then(|view| view.lease).expect("it is not alone");
    holder.when(lease.until) <= granter.when(promise)
}

#[test]
fn a_lease_ends_before_the_promise_it_rests_on() {
    let drift = i64::from(settings().drift_ppm);
    for one in [-drift, 0, drift] {
        for other in [-drift, 0, drift] {
            assert!(is_kept([one, other]), "rates {one} and {other}");
        }
    }
}

/// Or the test above would say nothing.
#[test]
fn clocks_that_are_worse_than_the_record_says_break_the_promise() {
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
            assert!(held + 1 + (lease * drift).div_ceil(500_000) >= lease, "no more is given away");
        }
    }
}
