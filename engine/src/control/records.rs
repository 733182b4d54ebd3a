//! The register, asked by tasks, and what trouble there was with it.
//!
//! Whatever becomes of a task, its end is told: one that panics has read nothing, and may have stored
//! what it was given.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::node::Event;
use crate::cluster::ClusterPlan;
use crate::engine::StartError;
use crate::register::{AnyRegister, Outcome as Stored, Register, RegisterError};
use catena_core::chain::member::{CasOutcome, ReadOutcome};
use catena_core::chain::record::{NodeId, Record, RecordToken};

/// The cluster's register.
#[derive(Clone, Debug)]
pub(super) struct Records {
    register: Rc<AnyRegister>,
    trouble: Rc<RefCell<Option<String>>>,
}

impl Records {
    /// Opens the register.
    pub(super) async fn open(plan: &ClusterPlan) -> Result<Records, StartError> {
        let opened = AnyRegister::open(&plan.location, &plan.cluster, &plan.s3).await;
        let register = opened.map_err(|source| StartError::Register {
            location: plan.location.clone(),
            source: Box::new(source),
        })?;
        Ok(Records { register: Rc::new(register), trouble: Rc::default() })
    }

    /// Reads it while nothing else goes on.
    pub(super) async fn first(&self) -> Result<Option<(Record, RecordToken)>, RegisterError> {
        self.register.read().await
    }

    /// What went wrong when it was last used; empty if nothing did.
    pub(super) fn trouble(&self) -> String {
        self.trouble.borrow().clone().unwrap_or_default()
    }

    /// Reads it, for this life of the node.
    pub(super) fn read(&self, life: NodeId, events: &mpsc::Sender<Event>) {
        let (records, events) = (self.clone(), events.clone());
        spawn_local(async move {
            let asked = records.clone();
            let reading = async move {
                match asked.register.read().await {
                    Ok(found) => {
                        asked.went_well();
                        found.map_or(ReadOutcome::Empty, |(record, token)| {
                            ReadOutcome::Record(Box::new(record), token)
                        })
                    }
                    Err(error) => {
                        asked.went_wrong(&error.to_string());
                        ReadOutcome::Failed
                    }
                }
            };
            let reading = records.end_of(reading, ReadOutcome::Failed).await;
            // The loop is gone if the node stops.
            _ = events.send(Event::Read { life, reading }).await;
        });
    }

    /// Stores a record: in place of the one with this token, or if there is none.
    pub(super) fn store(
        &self,
        life: NodeId,
        base: Option<RecordToken>,
        record: Arc<Record>,
        events: &mpsc::Sender<Event>,
    ) {
        let (records, events) = (self.clone(), events.clone());
        spawn_local(async move {
            let change = record.change.id;
            let asked = records.clone();
            let outcome = async move {
                let stored = match base {
                    Some(token) => asked.register.cas(&token, &record).await,
                    None => asked.register.create(&record).await,
                };
                match stored {
                    Ok(Stored::Won(token)) => {
                        asked.went_well();
                        CasOutcome::Won(token)
                    }
                    Ok(Stored::Lost) => {
                        asked.went_well();
                        CasOutcome::Lost
                    }
                    Ok(Stored::Unknown(why)) => {
                        asked.went_wrong(&why);
                        CasOutcome::Unknown
                    }
                    Err(error) => {
                        asked.went_wrong(&error.to_string());
                        CasOutcome::Failed
                    }
                }
            };
            let outcome = records.end_of(outcome, CasOutcome::Unknown).await;
            _ = events.send(Event::Stored { life, change, outcome }).await;
        });
    }

    /// What comes of a task, which is `broken` if it panics.
    async fn end_of<T: 'static>(&self, task: impl Future<Output = T> + 'static, broken: T) -> T {
        match spawn_local(task).await {
            Ok(end) => end,
            Err(error) => {
                self.went_wrong(&format!("asking it broke off: {error}"));
                broken
            }
        }
    }

    fn went_well(&self) {
        if self.trouble.take().is_some() {
            tracing::info!("the cluster's register can be used again");
        }
    }

    fn went_wrong(&self, why: &str) {
        let before = self.trouble.replace(Some(why.to_owned()));
        if before.as_deref() != Some(why) {
            tracing::warn!(
                error = why,
                "the cluster's register cannot be used: requests are served, but until it is back \
                 nobody can join, and nobody who fails can be removed",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::FileRegister;

    #[test]
    fn a_task_that_panics_has_an_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let register = AnyRegister::File(FileRegister::new(directory.path(), "c"));
        let records = Records { register: Rc::new(register), trouble: Rc::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), async {
            let outcome = records.end_of(async { CasOutcome::Lost }, CasOutcome::Unknown).await;
            assert!(matches!(outcome, CasOutcome::Lost) && records.trouble().is_empty());
            let broken = async { panic!("a bug in an SDK") };
            let outcome = records.end_of(broken, CasOutcome::Unknown).await;
            assert!(matches!(outcome, CasOutcome::Unknown), "{outcome:?}");
            assert!(records.trouble().contains("a bug in an SDK"), "{}", records.trouble());
        });
    }
}
