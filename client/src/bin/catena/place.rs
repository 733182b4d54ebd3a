//! Where the engine or the cluster is, and how it is reached.

#[cfg(feature = "s3")]
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "s3")]
use catena_client::S3Settings;
use catena_client::{Builder, Client};
use clap::Args;

use crate::interrupt;
use crate::values::with_ports;

/// Where the engine or the cluster is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct PlaceArgs {
    /// Address of the engine, or of any members of its cluster, separated by commas (the port is
    /// 7400 unless given); or the place of the cluster's record, `s3://bucket/prefix#cluster` or
    /// `file:///directory#cluster` [env: CATENA_ENGINE] [default: 127.0.0.1:7400]
    // Not read from the environment by the parser, which shows what it finds there as required.
    #[arg(long, visible_alias = "seeds", global = true, value_name = "HOST:PORT")]
    engine: Option<String>,

    #[cfg(feature = "s3")]
    #[command(flatten)]
    store: StoreArgs,
}

/// How to reach the store with the cluster's record, if it is in one.
#[cfg(feature = "s3")]
#[derive(Clone, Debug, Args)]
struct StoreArgs {
    /// File with settings for S3: a JSON object with `location`, `access_key`, `secret_access_key`,
    /// `endpoint_url` and `region`, all optional; overridden by `CATENA_S3_LOCATION` and so on
    #[arg(long, global = true, value_name = "FILE")]
    s3_config: Option<PathBuf>,

    /// URL of an S3-compatible store other than AWS
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl PlaceArgs {
    /// The address, or the place of the record.
    pub(crate) fn engine(&self) -> String {
        let variable = || std::env::var(ENGINE_VARIABLE).ok().filter(|place| !place.is_empty());
        with_ports(&self.engine.clone().or_else(variable).unwrap_or_else(|| ENGINE.to_owned()))
    }

    /// The builder of a client.
    pub(crate) fn builder(&self) -> anyhow::Result<Builder> {
        let builder = Client::builder().call_timeout(CALL_TIMEOUT);
        // Only the shell catches interrupts; other clients need not look for them.
        let builder = match interrupt::is_caught() {
            true => builder.cancel_with(interrupt::flag()),
            false => builder,
        };
        #[cfg(feature = "s3")]
        let builder = builder.s3(self.store.settings()?);
        Ok(builder)
    }
}

#[cfg(feature = "s3")]
impl StoreArgs {
    fn settings(&self) -> anyhow::Result<S3Settings> {
        let flags = S3Settings { endpoint_url: self.endpoint_url.clone(), ..S3Settings::default() };
        let settings = flags.or(S3Settings::from_env());
        Ok(match &self.s3_config {
            Some(path) => settings.or(S3Settings::from_file(path)?),
            None => settings,
        })
    }
}

/// The address unless given, and the variable that may give it.
const ENGINE: &str = "127.0.0.1:7400";
const ENGINE_VARIABLE: &str = "CATENA_ENGINE";

/// Maximum time of a call that does not block.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
