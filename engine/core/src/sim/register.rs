//! The register: one record that changes by compare-and-swap. The simulation delays and drops
//! requests and replies.

use crate::chain::member::{CasOutcome, ReadOutcome};
use crate::chain::record::Record;
use crate::chain::record::RecordToken;
use alloc::boxed::Box;
use alloc::string::ToString;

/// The register and its record.
#[derive(Debug)]
pub(super) struct SimRegister {
    record: Record,
    version: u64,
}

impl SimRegister {
    pub(super) fn new(record: Record) -> SimRegister {
        SimRegister { record, version: 1 }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn read(&self) -> ReadOutcome {
        ReadOutcome::Record(Box::new(self.record.clone()), self.token())
    }

    /// Replaces the record, if it has that token.
    pub(super) fn cas(&mut self, token: Option<&RecordToken>, record: &Record) -> CasOutcome {
        if token != Some(&self.token()) {
            return CasOutcome::Lost;
        }
        self.record = record.clone();
        self.version += 1;
        CasOutcome::Won(self.token())
    }

    fn token(&self) -> RecordToken {
        RecordToken::new(self.version.to_string())
    }
}
