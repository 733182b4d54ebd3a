//! The first read of the register, before there are cores: the record decides how many shards they
//! have.

use std::time::Duration;

use catena_core::chain::member::ReadOutcome;
use catena_core::chain::record::Settings;
use tokio::time::Instant;

use super::record_store::RecordStore;
use crate::cluster::ClusterPlan;
use crate::config::RECORD_POLL_MS;
use crate::error::StartError;

/// What a node starts with.
#[derive(Debug)]
pub(super) struct Bootstrap {
    /// The number of shards of the cluster, or of the one that this node creates.
    pub(super) shards: u32,
    /// What the register has.
    pub(super) reading: ReadOutcome,
    /// What this node creates the cluster with, if there is none.
    pub(super) create: Option<Settings>,
}

/// Reads the record; if there is none and this node is not to create it, waits for another node that
/// does.
pub(super) async fn find_cluster(
    store: &RecordStore,
    plan: &ClusterPlan,
) -> Result<Bootstrap, StartError> {
    let started = Instant::now();
    let mut is_logged = false;
    loop {
        let found = store.read_now().await.map_err(|source| StartError::Register {
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
                    "the cluster exists: joining it with its settings, which may differ from the \
                     ones given to this node",
                );
            }
            let (shards, reading) =
                (record.settings.shards, ReadOutcome::Record(Box::new(record), token));
            return Ok(Bootstrap { shards, reading, create: None });
        }
        if let Some(settings) = &plan.create {
            let create = Some(settings.clone());
            return Ok(Bootstrap { shards: settings.shards, reading: ReadOutcome::Empty, create });
        }
        let timeout = plan.join_timeout;
        if started.elapsed() >= timeout {
            return Err(StartError::NoCluster {
                cluster: plan.cluster.clone(),
                location: plan.location.clone(),
                waited: timeout,
            });
        }
        if !is_logged {
            is_logged = true;
            tracing::info!(
                cluster = plan.cluster,
                location = %plan.location,
                "the cluster does not exist yet: waiting {timeout:?} for a node that creates it \
                 (--create)",
            );
        }
        tokio::time::sleep(Duration::from_millis(RECORD_POLL_MS).min(timeout)).await;
    }
}
