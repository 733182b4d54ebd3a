//! Reads and writes of the register, each in a task of its own, and the last error of it.
//!
//! Every task reports its end, also if it panics: such a read has failed, and such a write may or may
//! not have stored the record.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use catena_core::chain::member::{CasOutcome, ReadOutcome};
use catena_core::chain::record::{NodeId, Record, RecordToken};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::event::ControlEvent;
use crate::cluster::ClusterPlan;
use crate::error::StartError;
use crate::register::{AnyRegister, Register, RegisterError, StoreOutcome};

/// The cluster's register. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct RecordStore {
    register: Rc<AnyRegister>,
    error: Rc<RefCell<Option<String>>>,
}

impl RecordStore {
    /// Opens the register.
    pub(super) async fn open(plan: &ClusterPlan) -> Result<RecordStore, StartError> {
        let opened = AnyRegister::open(&plan.location, &plan.cluster, &plan.s3).await;
        let register = opened.map_err(|source| StartError::Register {
            location: plan.location.clone(),
            source: Box::new(source),
        })?;
        Ok(RecordStore { register: Rc::new(register), error: Rc::default() })
    }

    /// Reads the register while nothing else runs.
    pub(super) async fn read_now(&self) -> Result<Option<(Record, RecordToken)>, RegisterError> {
        self.register.read().await
    }

    /// Returns the error of the last use of the register; empty if there was none.
    pub(super) fn last_error(&self) -> String {
        self.error.borrow().clone().unwrap_or_default()
    }

    /// Reads the register in a task, for this incarnation of the node.
    pub(super) fn read(&self, incarnation: NodeId, events: &mpsc::Sender<ControlEvent>) {
        let (store, events) = (self.clone(), events.clone());
        spawn_local(async move {
            let used = store.clone();
            let reading = async move {
                match used.register.read().await {
                    Ok(found) => {
                        used.on_success();
                        found.map_or(ReadOutcome::Empty, |(record, token)| {
                            ReadOutcome::Record(Box::new(record), token)
                        })
                    }
                    Err(error) => {
                        used.on_error(&error.to_string());
                        ReadOutcome::Failed
                    }
                }
            };
            let reading = store.result_of(reading, ReadOutcome::Failed).await;
            // The receiver is gone if the node has stopped.
            _ = events.send(ControlEvent::Read { incarnation, reading }).await;
        });
    }

    /// Stores a record in a task: in place of the record with the token `base`, or, without one, as
    /// the first record.
    pub(super) fn store(
        &self,
        incarnation: NodeId,
        base: Option<RecordToken>,
        record: Arc<Record>,
        events: &mpsc::Sender<ControlEvent>,
    ) {
        let (store, events) = (self.clone(), events.clone());
        spawn_local(async move {
            let change = record.change.id;
            let used = store.clone();
            let outcome = async move {
                let stored = match base {
                    Some(token) => used.register.cas(&token, &record).await,
                    None => used.register.create(&record).await,
                };
                match stored {
                    Ok(StoreOutcome::Won(token)) => {
                        used.on_success();
                        CasOutcome::Won(token)
                    }
                    Ok(StoreOutcome::Lost) => {
                        used.on_success();
                        CasOutcome::Lost
                    }
                    Ok(StoreOutcome::Unknown(why)) => {
                        used.on_error(&why);
                        CasOutcome::Unknown
                    }
                    Err(error) => {
                        used.on_error(&error.to_string());
                        CasOutcome::Failed
                    }
                }
            };
            let outcome = store.result_of(outcome, CasOutcome::Unknown).await;
            _ = events.send(ControlEvent::Stored { incarnation, change, outcome }).await;
        });
    }

    /// Makes a write in a task that changes nothing.
    pub(super) fn probe(&self, incarnation: NodeId, events: &mpsc::Sender<ControlEvent>) {
        let (store, events) = (self.clone(), events.clone());
        spawn_local(async move {
            let used = store.clone();
            let probing = async move {
                match used.register.probe().await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::debug!(%error, "cannot write to the cluster's register");
                        false
                    }
                }
            };
            let done = store.result_of(probing, false).await;
            _ = events.send(ControlEvent::Probed { incarnation, done }).await;
        });
    }

    /// Runs a task; returns its result, or `if_panicked`.
    async fn result_of<T: 'static>(
        &self,
        task: impl Future<Output = T> + 'static,
        if_panicked: T,
    ) -> T {
        match spawn_local(task).await {
            Ok(result) => result,
            Err(error) => {
                self.on_error(&format!("the request to it broke off: {error}"));
                if_panicked
            }
        }
    }

    fn on_success(&self) {
        if self.error.take().is_some() {
            tracing::info!("the cluster's register is available again");
        }
    }

    fn on_error(&self, why: &str) {
        let before = self.error.replace(Some(why.to_owned()));
        if before.as_deref() != Some(why) {
            tracing::warn!(
                error = why,
                "the cluster's register is not available: requests are served, but no node can join \
                 and no failed member can be removed until it is back",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::FileRegister;

    #[test]
    fn a_task_that_panics_reports_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let register = AnyRegister::File(FileRegister::new(directory.path(), "c"));
        let store = RecordStore { register: Rc::new(register), error: Rc::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), async {
            let outcome = store.result_of(async { CasOutcome::Lost }, CasOutcome::Unknown).await;
            assert!(matches!(outcome, CasOutcome::Lost) && store.last_error().is_empty());
            let panicking = async { panic!("a bug in an SDK") };
            let outcome = store.result_of(panicking, CasOutcome::Unknown).await;
            assert!(matches!(outcome, CasOutcome::Unknown), "{outcome:?}");
            assert!(store.last_error().contains("a bug in an SDK"), "{}", store.last_error());
        });
    }
}
