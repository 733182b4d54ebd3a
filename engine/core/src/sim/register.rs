//! The register: one record that changes by compare-and-swap. Whether and when anybody learns what
//! came of a request is the world's to decide.

use crate::chain::member::{Outcome, Reading};
use crate::chain::record::Record;
use crate::chain::record::RecordToken;
use alloc::boxed::Box;
use alloc::string::ToString;

/// Where the record lies.
#[derive(Debug)]
pub(super) struct Register {
    record: Record,
    version: u64,
}

impl Register {
    pub(super) fn new(record: Record) -> Register {
        Register { record, version: 1 }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn read(&self) -> Reading {
        Reading::Record(Box::new(self.record.clone()), self.token())
    }

    /// Replaces the record, if it is the one of that token.
    pub(super) fn cas(&mut self, token: Option<&RecordToken>, record: &Record) -> Outcome {
        if token != Some(&self.token()) {
            return Outcome::Lost;
        }
        self.record = record.clone();
        self.version += 1;
        Outcome::Won(self.token())
    }

    fn token(&self) -> RecordToken {
        RecordToken::new(self.version.to_string())
    }
}
