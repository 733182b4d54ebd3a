//! A register that can be trusted; the way to it cannot.

use crate::chain::member::{Outcome, Reading};
use crate::chain::record::RecordToken;
use crate::chain::record::{ChangeKind, Record};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;

/// The record, and how often it was written.
#[derive(Debug, Default)]
pub(super) struct Register {
    record: Option<Record>,
    version: u64,
}

impl Register {
    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub(super) fn read(&self) -> Reading {
        match &self.record {
            Some(record) => Reading::Record(Box::new(record.clone()), self.token()),
            None => Reading::Empty,
        }
    }

    /// Writes a record over the one with that token, or over none.
    pub(super) fn swap(&mut self, base: Option<&RecordToken>, record: &Record) -> Outcome {
        let is_base = match (base, &self.record) {
            (None, None) => true,
            (Some(token), Some(_)) => *token == self.token(),
            _ => false,
        };
        if !is_base {
            return Outcome::Lost;
        }
        record.validate().expect("only records are proposed");
        if let Some(before) = &self.record {
            assert_is_one_step(before, record);
        }
        self.record = Some(record.clone());
        self.version += 1;
        Outcome::Won(self.token())
    }

    fn token(&self) -> RecordToken {
        RecordToken::new(format!("version {}", self.version))
    }
}

/// A change is what it says, and survivors keep their order, unless that is what changes.
fn assert_is_one_step(before: &Record, after: &Record) {
    assert_eq!(after.epoch, before.epoch + 1);
    assert_ne!(after.change.id, before.change.id);
    let change = &after.change;
    let subject = change.subject;
    for (before, after) in before.chains.iter().zip(&after.chains) {
        let mut expected = before.clone();
        match after.as_slice() {
            // Nobody was left.
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
