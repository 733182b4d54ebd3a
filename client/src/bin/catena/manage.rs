//! Commands about objects of any kind: list, inspect, delete, wait, limit.

use std::time::Duration;

use anyhow::bail;
use bytesize::ByteSize;
use catena_client::{Client, Inspection, Quota};
use clap::Args;
use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::values::time;

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Prefix of the names
    #[arg(default_value = "")]
    prefix: String,
    /// Print also kind, size and version
    #[arg(long, short)]
    long: bool,
    /// Begin behind this name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// Print at most this many
    #[arg(long)]
    limit: Option<usize>,
}

impl LsArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let walk = client.objects(&self.prefix);
        let walk = match &self.after {
            Some(name) => walk.after(name),
            None => walk,
        };
        let (mut lines, mut values) = (Vec::new(), Vec::new());
        for object in walk.take(self.limit.unwrap_or(usize::MAX)) {
            let object = object?;
            let kind = object.kind.map_or("unknown", |kind| kind.name());
            let size = ByteSize(object.bytes).to_string();
            lines.push(match self.long {
                true => format!("{kind:<10} {size:>10} {:>10}  {}", object.version, object.name),
                false => object.name.clone(),
            });
            values.push(json!({
                "name": object.name, "kind": kind, "bytes": object.bytes, "version": object.version,
            }));
        }
        Ok(Outcome::value(Value::Array(values)).with_text(lines.join("\n")))
    }
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Name of the object
    name: String,
}

impl InspectArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let Some(inspection) = client.inspect(&self.name)? else { return Ok(Outcome::nothing()) };
        let kind = inspection.kind().map_or("unknown", |kind| kind.name());
        let Inspection { version, bytes, expires_ms, waiters, detail, missing, holders, .. } =
            &inspection;
        let mut text =
            format!("{} is a {kind}: {detail}\nversion {version}, {}", self.name, ByteSize(*bytes));
        if *waiters > 0 {
            text += &format!("\n{waiters} waiting");
        }
        if !missing.is_empty() {
            text += &format!("\nmissing: {}", missing.join(", "));
        }
        if *expires_ms > 0 {
            text += &format!("\nexpires in {:?}", Duration::from_millis(*expires_ms));
        }
        for holder in holders {
            text += &format!("\nheld by session {:016x}", holder.session);
            if !holder.party.is_empty() {
                text += &format!(" as {}", holder.party);
            }
            if holder.token > 0 {
                text += &format!(", token {}", holder.token);
            }
            if holder.permits > 1 {
                text += &format!(", {} permits", holder.permits);
            }
            if holder.left_ms > 0 {
                text += &format!(", for {:?}", Duration::from_millis(holder.left_ms));
            }
        }
        let holders: Vec<Value> = holders
            .iter()
            .map(|holder| {
                json!({
                    "session": format!("{:016x}", holder.session), "token": holder.token,
                    "permits": holder.permits, "left_ms": holder.left_ms, "party": holder.party,
                })
            })
            .collect();
        let json = json!({
            "name": self.name, "kind": kind, "version": version, "bytes": bytes, "detail": detail,
            "expires_ms": expires_ms, "waiters": waiters, "missing": missing, "holders": holders,
        });
        Ok(Outcome::value(json).with_text(text))
    }
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Name of the object
    #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
    name: Option<String>,
    /// Delete all objects whose names begin with this, and print how many
    #[arg(long)]
    prefix: Option<String>,
}

impl RmArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        match (&self.name, &self.prefix) {
            (_, Some(prefix)) if prefix.is_empty() => {
                bail!("an empty prefix would delete all objects: give a longer one")
            }
            (_, Some(prefix)) => {
                let deleted = client.delete_prefix(prefix)?;
                Ok(Outcome::value(deleted).ending(deleted > 0))
            }
            (Some(name), None) => {
                let deleted = client.delete(name)?;
                Ok(Outcome::truth(deleted).with_text(if deleted {
                    ""
                } else {
                    "there is no such object"
                }))
            }
            (None, None) => bail!("give a name, or a prefix"),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Name of the object, which need not exist yet
    name: String,
    /// Wait until the version is above this one [default: the current version]
    #[arg(long, value_name = "VERSION")]
    newer: Option<u64>,
}

impl WaitArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Outcome> {
        let version = match self.newer {
            Some(version) => version,
            None => client.inspect(&self.name)?.map_or(0, |inspection| inspection.version),
        };
        Ok(Outcome::value(client.wait_newer(&self.name, version, timeout)?))
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExpireArgs {
    /// Name of the object
    name: String,
    /// Time until it is deleted, such as `1h`, or `never`
    after: String,
}

impl ExpireArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let after = match self.after.as_str() {
            "never" => None,
            text => Some(time(text)?),
        };
        Ok(Outcome::truth(client.expire(&self.name, after)?))
    }
}

#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Prefix of the names
    prefix: String,
    /// Maximum number of objects in each shard; 0 for no limit
    #[arg(long, default_value_t = 0)]
    objects: u64,
    /// Maximum memory of the objects in each shard, such as `64MiB`; 0 for no limit
    #[arg(long, default_value_t = ByteSize(0))]
    bytes: ByteSize,
}

impl QuotaArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let quota = Quota { objects_max: self.objects, bytes_max: self.bytes.as_u64() };
        client.set_quota(&self.prefix, quota)?;
        Ok(Outcome::done())
    }
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Prefix of the names
    #[arg(default_value = "")]
    prefix: String,
}

impl UsageArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let usage = client.usage(&self.prefix)?;
        let text = format!("{} objects, {}", usage.objects, ByteSize(usage.bytes));
        Ok(Outcome::value(json!({"objects": usage.objects, "bytes": usage.bytes})).with_text(text))
    }
}

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// Number of round trips
    #[arg(long, short, default_value_t = 4)]
    count: u32,
}

impl PingArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let mut times: Vec<f64> = Vec::new();
        for _ in 0..self.count.clamp(1, 1_000_000) {
            times.push(client.ping()?.as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[times.len() / 2]);
        let most = times[times.len() - 1];
        // `ping` asks the head of shard 0.
        let cluster = client.cluster();
        let asked = cluster.as_ref().and_then(|cluster| cluster.chain(0).next());
        let node = asked.map(|member| member.name.clone());
        let of_node = node.as_ref().map_or(String::new(), |node| format!(" at {node}"));
        let text = format!(
            "{}{of_node} ({} shards): minimum {least:.0} µs, median {median:.0} µs, maximum \
             {most:.0} µs",
            client.engine(),
            client.shards(),
        );
        let json = json!({
            "engine": client.engine(), "node": node, "shards": client.shards(),
            "least_us": least, "median_us": median, "most_us": most,
        });
        Ok(Outcome::value(json).with_text(text))
    }
}
