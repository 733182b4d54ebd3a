//! Commands about objects of any kind: list, inspect, delete, wait, limit.

use std::time::Duration;

use anyhow::bail;
use bytesize::ByteSize;
use catena_client::{Inspection, Quota, Usage};
use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::outcome::Outcome;
use crate::values::{size, time};

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Prefix of the names
    #[arg(default_value = "", allow_hyphen_values = true)]
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
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let walk = on.client.objects(&self.prefix);
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
    #[arg(allow_hyphen_values = true)]
    name: String,
}

impl InspectArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let Some(inspection) = on.client.inspect(&self.name)? else {
            return Ok(Outcome::nothing());
        };
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
    #[arg(
        required_unless_present = "prefix",
        conflicts_with = "prefix",
        allow_hyphen_values = true
    )]
    name: Option<String>,
    /// Delete all objects whose names begin with this, and print how many
    #[arg(long)]
    prefix: Option<String>,
}

impl RmArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        match (&self.name, &self.prefix) {
            (_, Some(prefix)) if prefix.is_empty() => {
                bail!("an empty prefix would delete all objects: give a longer one")
            }
            (_, Some(prefix)) => {
                let deleted = on.client.delete_prefix(prefix)?;
                Ok(Outcome::value(deleted).ending(deleted > 0))
            }
            (Some(name), None) => {
                let deleted = on.client.delete(name)?;
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
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// Wait until the version is above this one [default: the current version]
    #[arg(long, value_name = "VERSION")]
    newer: Option<u64>,
}

impl WaitArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let version = match self.newer {
            Some(version) => version,
            None => on.client.inspect(&self.name)?.map_or(0, |inspection| inspection.version),
        };
        Ok(Outcome::value(on.client.wait_newer(&self.name, version, on.timeout)?))
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExpireArgs {
    /// Name of the object
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// Time until it is deleted, such as `1h`, or `never`
    after: String,
}

impl ExpireArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let after = match self.after.as_str() {
            "never" => None,
            text => Some(time(text)?),
        };
        Ok(Outcome::truth(on.client.expire(&self.name, after)?))
    }
}

#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Prefix of the names
    #[arg(allow_hyphen_values = true)]
    prefix: String,
    /// Maximum number of objects in each shard; 0 for no limit
    #[arg(long)]
    objects: Option<u64>,
    /// Maximum memory of the objects in each shard, such as `64MiB`; 0 for no limit
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bytes: Option<ByteSize>,
    /// Remove the quota
    #[arg(long, conflicts_with_all = ["objects", "bytes"])]
    remove: bool,
}

impl QuotaArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let shards = on.client.shards();
        let before = ShardQuota::of(&on.client.usage(&self.prefix)?, shards);
        let quota = match self.remove {
            true => Quota::default(),
            // A limit that is not given stays as it is.
            false => Quota {
                objects_max: self.objects.unwrap_or(before.quota.objects_max),
                bytes_max: self.bytes.map_or(before.quota.bytes_max, |bytes| bytes.as_u64()),
            },
        };
        let is_change = self.remove || self.objects.is_some() || self.bytes.is_some();
        let most = u64::MAX / u64::from(shards.max(1));
        if quota.objects_max > most || quota.bytes_max > most {
            bail!(
                "all {shards} shards together cannot have that much: give at most {most} objects and \
                 {} in each",
                ByteSize(most)
            );
        }
        if is_change {
            on.client.set_quota(&self.prefix, quota)?;
        }
        let now = if is_change { ShardQuota { quota, is_uniform: true } } else { before };
        let has_quota = quota != Quota::default();
        let outcome = Outcome::value(now.json(shards)).with_text(now.text(shards));
        Ok(outcome.ending(is_change || has_quota))
    }
}

/// The quota of a prefix in each shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ShardQuota {
    quota: Quota,
    /// Whether all shards may have the same, as far as can be seen.
    is_uniform: bool,
}

impl ShardQuota {
    /// The quota of each shard, from the sum over all of them.
    fn of(usage: &Usage, shards: u32) -> ShardQuota {
        let shards = u64::from(shards.max(1));
        let of_each = |sum: u64| sum.div_ceil(shards);
        let quota =
            Quota { objects_max: of_each(usage.objects_max), bytes_max: of_each(usage.bytes_max) };
        let is_whole = |sum: u64| sum.is_multiple_of(shards) || sum == u64::MAX;
        ShardQuota { quota, is_uniform: is_whole(usage.objects_max) && is_whole(usage.bytes_max) }
    }

    fn text(self, shards: u32) -> String {
        let Quota { objects_max, bytes_max } = self.quota;
        let mut limits = Vec::new();
        if objects_max > 0 {
            limits.push(format!(
                "{objects_max} {}",
                if objects_max == 1 { "object" } else { "objects" }
            ));
        }
        if bytes_max > 0 {
            limits.push(ByteSize(bytes_max).to_string());
        }
        if limits.is_empty() {
            return "no quota".to_owned();
        }
        let mut all = Vec::new();
        if objects_max > 0 {
            all.push(format!("{} objects", objects_max.saturating_mul(shards.into())));
        }
        if bytes_max > 0 {
            all.push(ByteSize(bytes_max.saturating_mul(shards.into())).to_string());
        }
        let note =
            if self.is_uniform { "" } else { "; it is not the same in all shards: set it again" };
        format!(
            "at most {} in each of {shards} shards, where names are spread by their hash: up to {} in \
             all{note}",
            limits.join(" and "),
            all.join(" and "),
        )
    }

    fn json(self, shards: u32) -> Value {
        let Quota { objects_max, bytes_max } = self.quota;
        json!({
            "objects_max_per_shard": objects_max, "bytes_max_per_shard": bytes_max,
            "shards": shards, "uniform": self.is_uniform,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Prefix of the names
    #[arg(default_value = "", allow_hyphen_values = true)]
    prefix: String,
}

impl UsageArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let usage = on.client.usage(&self.prefix)?;
        let objects = if usage.objects == 1 { "object" } else { "objects" };
        let text = format!("{} {objects}, {}", usage.objects, ByteSize(usage.bytes));
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
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let mut times: Vec<f64> = Vec::new();
        for _ in 0..self.count.clamp(1, 1_000_000) {
            times.push(on.client.ping()?.as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[times.len() / 2]);
        let most = times[times.len() - 1];
        // `ping` asks the head of shard 0.
        let cluster = on.client.cluster();
        let asked = cluster.as_ref().and_then(|cluster| cluster.chain(0).next());
        let node = asked.map(|member| member.name.clone());
        let of_node = node.as_ref().map_or(String::new(), |node| format!(" at {node}"));
        let text = format!(
            "{}{of_node} ({} shards): minimum {least:.0} µs, median {median:.0} µs, maximum \
             {most:.0} µs",
            on.client.engine(),
            on.client.shards(),
        );
        let json = json!({
            "engine": on.client.engine(), "node": node, "shards": on.client.shards(),
            "least_us": least, "median_us": median, "most_us": most,
        });
        Ok(Outcome::value(json).with_text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_says_that_it_is_per_shard() {
        let usage = |objects_max, bytes_max| Usage { objects_max, bytes_max, ..Usage::default() };
        let one = ShardQuota::of(&usage(16, 0), 16);
        assert_eq!((one.quota.objects_max, one.is_uniform), (1, true));
        assert_eq!(
            one.text(16),
            "at most 1 object in each of 16 shards, where names are spread by their hash: up to 16 \
             objects in all"
        );
        assert_eq!(ShardQuota::of(&usage(0, 0), 16).text(16), "no quota");
        let partial = ShardQuota::of(&usage(15, 0), 16);
        assert!(partial.text(16).contains("not the same in all shards"), "{}", partial.text(16));
    }
}
