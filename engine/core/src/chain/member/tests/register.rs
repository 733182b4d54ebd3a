//! A reliable register, behind an unreliable network.

use crate::chain::member::{CasOutcome, ReadOutcome};
use crate::chain::record::RecordToken;
use crate::chain::record::{ChangeKind, Record};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;

/// The record, and how often it was written.
#[derive(Debug, Default)]
pub(super) struct TestRegister {
    record: Option<Record>,
    version: u64,
}

impl TestRegister {
    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub(super) fn read(&self) -> ReadOutcome {
        match &self.record {
            Some(record) => ReadOutcome::Record(Box::new(record.clone()), self.token()),
            None => ReadOutcome::Empty,
        }
    }

    /// Replaces the record with that token, or creates it.
    pub(super) fn swap(&mut self, base: Option<&RecordToken>, record: &Record) -> CasOutcome {
        let is_base = match (base, &self.record) {
            (None, None) => true,
            (Some(token), Some(_)) => *token == self.token(),
            _ => false,
        };
        if !is_base {
            return CasOutcome::Lost;
        }
        record.validate().expect("only records are proposed");
        if let Some(before) = &self.record {
            assert_is_one_step(before, record);
        }
        self.record = Some(record.clone());
        self.version += 1;
        CasOutcome::Won(self.token())
    }

    /// Changes the epoch of the record, as a person with an editor does.
    pub(super) fn edit(&mut self, epoch: u32) {
        self.record.as_mut().expect("there is a record").epoch = epoch;
        self.version += 1;
    }

    fn token(&self) -> RecordToken {
        RecordToken::new(format!("version {}", self.version))
    }
}

/// Asserts that a change is what it claims, and that the remaining members keep their order, unless
/// that is what changes.
fn assert_is_one_step(before: &Record, after: &Record) {
    assert_eq!(after.epoch, before.epoch + 1);
    assert_ne!(after.change.id, before.change.id);
    let change = &after.change;
    let subject = change.subject;
    for (before, after) in before.chains.iter().zip(&after.chains) {
        let mut expected = before.clone();
        match after.as_slice() {
            // All members were lost.
            [sole] if subject == Some(*sole) => expected = vec![*sole],
            _ => {
                expected.retain(|node| Some(*node) != subject);
            }
        }
        let is_append = subject.is_some_and(|node| after.contains(&node));
        if is_append && expected.len() < after.len() {
            expected.extend(subject);
        }
        let mut after = after.clone();
        if change.kind == ChangeKind::Reorder {
            expected.sort_unstable();
            after.sort_unstable();
        }
        assert_eq!(expected, after);
    }
    assert_ne!(change.kind, ChangeKind::Create);
}
