//! The register, asked by tasks, and what trouble there was with it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::node::Event;
use crate::chain::member::{Outcome, Reading};
use crate::chain::record::{NodeId, Record};
use crate::cluster::ClusterPlan;
use crate::engine::StartError;
use crate::register::{AnyRegister, Outcome as Stored, Register, RegisterError, Token};

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
    pub(super) async fn first(&self) -> Result<Option<(Record, Token)>, RegisterError> {
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
            let reading = match records.register.read().await {
                Ok(found) => {
                    records.went_well();
                    found.map_or(Reading::Empty, |(record, token)| {
                        Reading::Record(Box::new(record), token)
                    })
                }
                Err(error) => {
                    records.went_wrong(&error.to_string());
                    Reading::Failed
                }
            };
            // The loop is gone if the node stops.
            _ = events.send(Event::Read { life, reading }).await;
        });
    }

    /// Stores a record: in place of the one with this token, or if there is none.
    pub(super) fn store(
        &self,
        life: NodeId,
        base: Option<Token>,
        record: Arc<Record>,
        events: &mpsc::Sender<Event>,
    ) {
        let (records, events) = (self.clone(), events.clone());
        spawn_local(async move {
            let stored = match base {
                Some(token) => records.register.cas(&token, &record).await,
                None => records.register.create(&record).await,
            };
            let outcome = match stored {
                Ok(Stored::Won(token)) => {
                    records.went_well();
                    Outcome::Won(token)
                }
                Ok(Stored::Lost) => {
                    records.went_well();
                    Outcome::Lost
                }
                Ok(Stored::Unknown(why)) => {
                    records.went_wrong(&why);
                    Outcome::Unknown
                }
                Err(error) => {
                    records.went_wrong(&error.to_string());
                    Outcome::Failed
                }
            };
            let change = record.change.id;
            _ = events.send(Event::Stored { life, change, outcome }).await;
        });
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
