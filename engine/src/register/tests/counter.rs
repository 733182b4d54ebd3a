//! A counter kept by compare-and-swap, and a race to be first: what shows whether a register can be
//! trusted. Writers behave as members do: after an unknown outcome they send the same bytes again
//! until they read something else.

use std::collections::BTreeSet;
use std::rc::Rc;

use tokio::task::spawn_local;

use super::founding;
use crate::register::{Outcome, RecordToken, Register};
use catena_core::chain::record::{ChangeId, NodeId, Record};

/// What writers know of their increments, each by the id of its change.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The register said so, or the writer read it.
    pub(super) won: BTreeSet<ChangeId>,
    /// The register said so, and no earlier attempt with these bytes was in doubt.
    pub(super) lost: BTreeSet<ChangeId>,
    /// Another record came before the writer knew.
    pub(super) unsure: BTreeSet<ChangeId>,
    /// What the register holds in the end.
    pub(super) last: Option<Record>,
}

impl Tally {
    /// How often the register was really changed, as far as it tells.
    pub(super) fn increments(&self) -> usize {
        self.last.as_ref().map_or(0, |record| record.epoch as usize - 1)
    }

    /// Without faults, every increment is known.
    pub(super) fn assert_exact(&self) {
        assert_eq!(self.increments(), self.won.len(), "an increment was lost: {self:?}");
        assert_eq!(self.unsure, BTreeSet::new());
        assert!(self.won.is_disjoint(&self.lost));
    }

    /// With faults, what writers know agrees with what landed.
    pub(super) fn assert_fits(&self, landed: &BTreeSet<ChangeId>, context: &str) {
        assert_eq!(self.increments(), landed.len(), "{context}: one landed on another: {self:?}");
        assert!(self.won.is_subset(landed), "{context}: won, but not stored: {self:?}");
        assert!(self.lost.is_disjoint(landed), "{context}: lost, but stored: {self:?}");
        let known = self.won.len() + landed.intersection(&self.unsure).count();
        assert_eq!(known, landed.len(), "{context}: stored, and nobody's: {self:?}");
    }

    fn add(&mut self, other: Tally) {
        self.won.extend(other.won);
        self.lost.extend(other.lost);
        self.unsure.extend(other.unsure);
    }
}

/// Lets a writer per register, all of the same cluster, count to this many each.
pub(super) async fn count<R: Register + 'static>(registers: Vec<R>, each: usize) -> Tally {
    let first = founding(registers[0].cluster(), 1);
    while registers[0].read().await.ok().flatten().is_none() {
        let _ = registers[0].create(&first).await;
    }
    let last = Rc::new(registers);
    let writers: Vec<_> = (0..last.len())
        .map(|writer| {
            let registers = last.clone();
            spawn_local(async move { write(&registers[writer], writer as u128 + 2, each).await })
        })
        .collect();
    let mut tally = Tally::default();
    for writer in writers {
        tally.add(writer.await.expect("a writer does not panic"));
    }
    tally.last = Some(read(&last[0]).await.0);
    tally
}

/// Lets so many writers found a cluster in each register. Returns how many succeeded.
pub(super) async fn race_to_create<R: Register + 'static>(
    registers: impl IntoIterator<Item = R>,
    writers: u128,
) -> Vec<usize> {
    let mut winners = Vec::new();
    for register in registers {
        let register = Rc::new(register);
        let attempts: Vec<_> = (1..=writers)
            .map(|founder| {
                let register = register.clone();
                spawn_local(async move {
                    let record = founding(register.cluster(), founder);
                    (record.clone(), register.create(&record).await.expect("an outcome"))
                })
            })
            .collect();
        let mut won = Vec::new();
        for attempt in attempts {
            match attempt.await.expect("a founder does not panic") {
                (record, Outcome::Won(token)) => won.push((record, token)),
                (_, Outcome::Lost) => {}
                (_, Outcome::Unknown(why)) => panic!("there were no faults: {why}"),
            }
        }
        winners.push(won.len());
        let read = read(&*register).await;
        assert!(won.contains(&read), "{read:?} was founded by nobody");
    }
    winners
}

/// Counts up so often. `writer` has to be another for every writer of the cluster.
pub(super) async fn write(register: &impl Register, writer: u128, each: usize) -> Tally {
    let mut tally = Tally::default();
    let mut attempts = 0;
    let mut epoch = 0;
    while tally.won.len() + tally.unsure.len() < each {
        let (record, base) = read(register).await;
        assert!(record.epoch >= epoch, "the register went back from {epoch} to {}", record.epoch);
        epoch = record.epoch;
        attempts += 1;
        let id = ChangeId(writer << 64 | attempts);
        let next = record.bumped(NodeId(writer), "", id).expect("a bump");
        match settle(register, &record, &base, &next).await {
            Settled::Won => tally.won.insert(id),
            Settled::Lost => tally.lost.insert(id),
            Settled::Unsure => tally.unsure.insert(id),
        };
    }
    tally
}

enum Settled {
    Won,
    Lost,
    Unsure,
}

/// One change until its fate is known or cannot be any more.
async fn settle(
    register: &impl Register,
    from: &Record,
    base: &RecordToken,
    next: &Record,
) -> Settled {
    let mut doubt = false;
    for _ in 0..10_000 {
        match register.cas(base, next).await {
            Ok(Outcome::Won(_)) => return Settled::Won,
            Ok(Outcome::Lost) => {
                let (now, _) = read(register).await;
                if doubt && now.change.id == next.change.id {
                    return Settled::Won;
                }
                if now.epoch > from.epoch {
                    return if doubt { Settled::Unsure } else { Settled::Lost };
                }
                // A conflict with a writer that did not win either. Without a doubt about an
                // earlier attempt this one may be given up.
                if !doubt {
                    return Settled::Lost;
                }
            }
            Ok(Outcome::Unknown(_)) => doubt = true,
            Err(error) => panic!("no reason to refuse: {error}"),
        }
    }
    panic!("nothing was settled in 10,000 attempts");
}

async fn read(register: &impl Register) -> (Record, RecordToken) {
    for _ in 0..10_000 {
        if let Ok(Some(read)) = register.read().await {
            return read;
        }
    }
    panic!("nothing was read in 10,000 attempts");
}
