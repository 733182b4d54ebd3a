//! The first look into the register, before there are cores: how many shards there are is the
//! cluster's to say.

use std::time::Duration;

use tokio::time::Instant;

use super::records::Records;
use crate::cluster::ClusterPlan;
use crate::config::RECORD_LOOK_MS;
use crate::engine::StartError;
use catena_core::chain::member::Reading;
use catena_core::chain::record::Settings;

/// What a node finds when it starts.
#[derive(Debug)]
pub(super) struct Found {
    /// How many shards the cluster has, or will have.
    pub(super) shards: u32,
    pub(super) reading: Reading,
    /// What this node founds the cluster with, if there is none.
    pub(super) founding: Option<Settings>,
}

/// Reads the record; if there is none, and this node is not to make it, waits for another that does.
pub(super) async fn look(records: &Records, plan: &ClusterPlan) -> Result<Found, StartError> {
    let started = Instant::now();
    let mut said = false;
    loop {
        let found = records.first().await.map_err(|source| StartError::Register {
            location: plan.location.clone(),
            source: Box::new(source),
        })?;
        if let Some((record, token)) = found {
            if plan.create.is_some() {
                tracing::info!(
                    cluster = plan.cluster,
                    epoch = record.epoch,
                    shards = record.settings.shards,
                    replicas = record.settings.replicas,
                    "the cluster exists: joining it, and what it was to be founded with is not used",
                );
            }
            let (shards, reading) =
                (record.settings.shards, Reading::Record(Box::new(record), token));
            return Ok(Found { shards, reading, founding: None });
        }
        if let Some(settings) = &plan.create {
            let founding = Some(settings.clone());
            return Ok(Found { shards: settings.shards, reading: Reading::Empty, founding });
        }
        let patience = plan.join_timeout;
        if started.elapsed() >= patience {
            return Err(StartError::NoCluster {
                cluster: plan.cluster.clone(),
                location: plan.location.clone(),
                patience,
            });
        }
        if !said {
            said = true;
            tracing::info!(
                cluster = plan.cluster,
                location = %plan.location,
                "there is no such cluster yet: waiting {patience:?} for a node that founds it (--create)",
            );
        }
        tokio::time::sleep(Duration::from_millis(RECORD_LOOK_MS).min(patience)).await;
    }
}
