//! Metrics as lines of CloudWatch's embedded metric format: JSON objects that say which of their fields are
//! metrics. `engine/deploy/README.md` has the table of them; dashboards and alarms go by it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::histogram::Histogram;
use super::{About, Metrics};

/// Where CloudWatch puts them.
const NAMESPACE: &str = "Catena";

/// The lines about what happened between two readings: one about the node, and one for each kind and outcome
/// of which there were any.
pub(super) fn lines(about: &About, now_ms: u64, before: &Metrics, now: &Metrics) -> Vec<Value> {
    let mut lines = Vec::from_iter(node_line(about, now_ms, before, now));
    for ((kind, outcome), count) in ops_since(before, now) {
        let declared = json!([{
            "Namespace": NAMESPACE,
            "Dimensions": [["cluster", "kind", "outcome"]],
            "Metrics": [{ "Name": "ops", "Unit": "Count" }],
        }]);
        lines.push(json!({
            "_aws": { "Timestamp": now_ms, "CloudWatchMetrics": declared },
            "cluster": about.cluster,
            "kind": kind,
            "outcome": outcome,
            "ops": count,
        }));
    }
    lines
}

/// A metric, and for what it is told beside the node.
struct Told(&'static str, &'static str, Of, Option<u64>);

#[derive(PartialEq)]
enum Of {
    Node,
    NodeAndCluster,
}

/// `None` when there is nothing to tell: the cores have stopped.
fn node_line(about: &About, now_ms: u64, before: &Metrics, now: &Metrics) -> Option<Value> {
    let latency = at_once(now).since(&at_once(before));
    // A core that does not answer would make sums too small.
    let cores = || now.cores.iter().filter(|_| now.is_complete());
    let sum = |of: fn(&crate::CoreCensus) -> u64| cores().map(of).reduce(|a, b| a + b);
    let most = |of: fn(&crate::CoreCensus) -> u64| cores().map(of).max();
    let memory_bytes_max = most(|core| core.bytes).map(|_| about.memory_bytes_max);
    let told = [
        Told("latency_us_p50", "Microseconds", Of::Node, latency.quantile_us(0.5)),
        Told("latency_us_p99", "Microseconds", Of::Node, latency.quantile_us(0.99)),
        Told("connections", "Count", Of::Node, sum(|core| core.connections)),
        Told("waiters", "Count", Of::Node, sum(|core| core.waiters)),
        Told("memory_bytes", "Bytes", Of::NodeAndCluster, most(|core| core.bytes)),
        Told("memory_bytes_max", "Bytes", Of::NodeAndCluster, memory_bytes_max),
        Told("chain_lag", "Count", Of::NodeAndCluster, most(|core| core.chain_lag)),
        Told("epoch", "None", Of::NodeAndCluster, now.epoch().map(u64::from)),
    ];
    let declare = |of: Of, dimensions: Value| {
        let told = told.iter().filter(|it| it.2 == of && it.3.is_some());
        let metrics: Vec<Value> =
            told.map(|Told(name, unit, ..)| json!({ "Name": name, "Unit": unit })).collect();
        (!metrics.is_empty()).then(
            || json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics }),
        )
    };
    let declared: Vec<Value> = [
        declare(Of::Node, json!([["cluster", "node"]])),
        declare(Of::NodeAndCluster, json!([["cluster", "node"], ["cluster"]])),
    ]
    .into_iter()
    .flatten()
    .collect();
    if declared.is_empty() {
        return None;
    }
    let mut line = Map::new();
    let about_line = json!({ "Timestamp": now_ms, "CloudWatchMetrics": declared });
    line.insert("_aws".to_owned(), about_line);
    line.insert("cluster".to_owned(), json!(about.cluster));
    line.insert("node".to_owned(), json!(about.node));
    for Told(name, _, _, value) in told {
        line.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    Some(Value::Object(line))
}

/// Of requests that did not have to wait for something to happen.
fn at_once(metrics: &Metrics) -> Histogram {
    let mut sum = Histogram::default();
    metrics.latency.iter().filter(|it| !it.waited).for_each(|it| sum.add(&it.histogram));
    sum
}

/// Requests answered between two readings, by kind and outcome.
fn ops_since(before: &Metrics, now: &Metrics) -> BTreeMap<(&'static str, &'static str), u64> {
    let mut ops = BTreeMap::new();
    for it in &now.ops {
        *ops.entry((it.kind_name(), it.outcome_name())).or_insert(0) += it.count;
    }
    for it in &before.ops {
        *ops.entry((it.kind_name(), it.outcome_name())).or_insert(0) -= it.count;
    }
    ops.retain(|_, count| *count > 0);
    ops
}
