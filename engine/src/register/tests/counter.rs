//! A counter kept by compare-and-swap, and a race to create a record, which show whether a register is
//! atomic. Writers behave as members do: after an unknown outcome they send the same bytes again until
//! they read another record.

use std::collections::BTreeSet;
use std::rc::Rc;

use tokio::task::spawn_local;

use super::first_record;
use crate::register::{RecordToken, Register, StoreOutcome};
use catena_core::chain::record::{ChangeId, NodeId, Record};

/// What the writers know of their increments, each identified by its change.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The register reported that they are stored, or the writer read them.
    pub(super) won: BTreeSet<ChangeId>,
    /// The register reported that they are not stored, and no earlier attempt was unknown.
    pub(super) lost: BTreeSet<ChangeId>,
    /// Another record was stored before the writer knew.
    pub(super) unsure: BTreeSet<ChangeId>,
    /// The record in the register at the end.
    pub(super) last: Option<Record>,
}

impl Tally {
    /// Returns how often the register was changed, by its epoch.
    pub(super) fn increments(&self) -> usize {
        self.last.as_ref().map_or(0, |record| record.epoch as usize - 1)
    }

    /// Checks a trial without faults, in which the outcome of every increment is known.
    pub(super) fn assert_exact(&self) {
        assert_eq!(self.increments(), self.won.len(), "an increment was lost: {self:?}");
        assert_eq!(self.unsure, BTreeSet::new());
        assert!(self.won.is_disjoint(&self.lost));
    }

    /// Checks a trial with faults: what the writers know agrees with what was stored.
    pub(super) fn assert_fits(&self, stored: &BTreeSet<ChangeId>, context: &str) {
        assert_eq!(self.increments(), stored.len(), "{context}: one overwrote another: {self:?}");
        assert!(self.won.is_subset(stored), "{context}: won, but not stored: {self:?}");
        assert!(self.lost.is_disjoint(stored), "{context}: lost, but stored: {self:?}");
        let known = self.won.len() + stored.intersection(&self.unsure).count();
        assert_eq!(known, stored.len(), "{context}: stored, and known to no writer: {self:?}");
    }

    fn add(&mut self, other: Tally) {
        self.won.extend(other.won);
        self.lost.extend(other.lost);
        self.unsure.extend(other.unsure);
    }
}

/// Lets one writer per register, all of the same cluster, make this many increments each.
pub(super) async fn count<R: Register + 'static>(registers: Vec<R>, each: usize) -> Tally {
    let first = first_record(registers[0].cluster(), 1);
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

/// Lets this many writers create a cluster in each register; returns how many succeeded.
pub(super) async fn race_to_create<R: Register + 'static>(
    registers: impl IntoIterator<Item = R>,
    writers: u128,
) -> Vec<usize> {
    let mut winners = Vec::new();
    for register in registers {
        let register = Rc::new(register);
        let attempts: Vec<_> = (1..=writers)
            .map(|node| {
                let register = register.clone();
                spawn_local(async move {
                    let record = first_record(register.cluster(), node);
                    (record.clone(), register.create(&record).await.expect("an outcome"))
                })
            })
            .collect();
        let mut won = Vec::new();
        for attempt in attempts {
            match attempt.await.expect("a writer does not panic") {
                (record, StoreOutcome::Won(token)) => won.push((record, token)),
                (_, StoreOutcome::Lost) => {}
                (_, StoreOutcome::Unknown(why)) => panic!("there were no faults: {why}"),
            }
        }
        winners.push(won.len());
        let read = read(&*register).await;
        assert!(won.contains(&read), "{read:?} was created by no writer");
    }
    winners
}

/// Makes this many increments. Every writer of the cluster needs its own number `writer`.
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
            ChangeFate::Won => tally.won.insert(id),
            ChangeFate::Lost => tally.lost.insert(id),
            ChangeFate::Unsure => tally.unsure.insert(id),
        };
    }
    tally
}

enum ChangeFate {
    Won,
    Lost,
    Unsure,
}

/// Tries one change until its outcome is known, or cannot be known any more.
async fn settle(
    register: &impl Register,
    from: &Record,
    base: &RecordToken,
    next: &Record,
) -> ChangeFate {
    let mut is_unknown = false;
    for _ in 0..10_000 {
        match register.cas(base, next).await {
            Ok(StoreOutcome::Won(_)) => return ChangeFate::Won,
            Ok(StoreOutcome::Lost) => {
                let (now, _) = read(register).await;
                if is_unknown && now.change.id == next.change.id {
                    return ChangeFate::Won;
                }
                if now.epoch > from.epoch {
                    return if is_unknown { ChangeFate::Unsure } else { ChangeFate::Lost };
                }
                // A conflict with a writer that did not win either. If no earlier attempt is unknown,
                // the writer can give up.
                if !is_unknown {
                    return ChangeFate::Lost;
                }
            }
            Ok(StoreOutcome::Unknown(_)) => is_unknown = true,
            Err(error) => panic!("the register refused: {error}"),
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
