//! Metrics as lines of CloudWatch's embedded metric format: JSON objects that say which of their fields
//! are metrics. `engine/deploy/README.md` has the table of them, on which dashboards and alarms rely.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::histogram::Histogram;
use super::{CoreCensus, Metrics, NodeLabels};

/// The CloudWatch namespace of the metrics.
const NAMESPACE: &str = "Catena";

/// Returns the lines for the interval between two readings: one line for the node, and one for each
/// kind and outcome with any requests.
pub(super) fn lines(
    labels: &NodeLabels,
    now_ms: u64,
    before: &Metrics,
    now: &Metrics,
) -> Vec<Value> {
    let mut lines = Vec::from_iter(node_line(labels, now_ms, before, now));
    for ((kind, outcome), count) in ops_since(before, now) {
        let declared = json!([{
            "Namespace": NAMESPACE,
            "Dimensions": [["cluster", "kind", "outcome"]],
            "Metrics": [{ "Name": "ops", "Unit": "Count" }],
        }]);
        lines.push(json!({
            "_aws": { "Timestamp": now_ms, "CloudWatchMetrics": declared },
            "cluster": labels.cluster,
            "kind": kind,
            "outcome": outcome,
            "ops": count,
        }));
    }
    lines
}

/// A metric of the node: name, unit, dimensions, and value, if there is one.
struct NodeMetric(&'static str, &'static str, Dimensions, Option<u64>);

#[derive(PartialEq)]
enum Dimensions {
    Node,
    NodeAndCluster,
}

/// Returns `None` if there is no value at all, because the cores have stopped.
fn node_line(labels: &NodeLabels, now_ms: u64, before: &Metrics, now: &Metrics) -> Option<Value> {
    use Dimensions::{Node, NodeAndCluster};
    let latency = immediate(now).since(&immediate(before));
    // Without the cores that do not reply, sums would be too small.
    let cores = || now.cores.iter().filter(|_| now.is_complete());
    let sum = |of: fn(&CoreCensus) -> u64| cores().map(of).reduce(|a, b| a + b);
    let most = |of: fn(&CoreCensus) -> u64| cores().map(of).max();
    let memory_bytes_max = most(|core| core.bytes).map(|_| labels.memory_bytes_max);
    let metrics = [
        NodeMetric("latency_us_p50", "Microseconds", Node, latency.quantile_us(0.5)),
        NodeMetric("latency_us_p99", "Microseconds", Node, latency.quantile_us(0.99)),
        NodeMetric("connections", "Count", Node, sum(|core| core.connections)),
        NodeMetric("waiters", "Count", Node, sum(|core| core.waiters)),
        NodeMetric("memory_bytes", "Bytes", NodeAndCluster, most(|core| core.bytes)),
        NodeMetric("memory_bytes_max", "Bytes", NodeAndCluster, memory_bytes_max),
        NodeMetric(
            "resident_bytes",
            "Bytes",
            Node,
            now.resident_bytes.filter(|_| now.is_complete()),
        ),
        NodeMetric("chain_lag", "Count", NodeAndCluster, most(|core| core.chain_lag)),
        NodeMetric("epoch", "None", NodeAndCluster, now.epoch().map(u64::from)),
    ];
    let declare = |of: Dimensions, dimensions: Value| {
        let present = metrics.iter().filter(|it| it.2 == of && it.3.is_some());
        let metrics: Vec<Value> = present
            .map(|NodeMetric(name, unit, ..)| json!({ "Name": name, "Unit": unit }))
            .collect();
        (!metrics.is_empty()).then(
            || json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics }),
        )
    };
    let declared: Vec<Value> = [
        declare(Node, json!([["cluster", "node"]])),
        declare(NodeAndCluster, json!([["cluster", "node"], ["cluster"]])),
    ]
    .into_iter()
    .flatten()
    .collect();
    if declared.is_empty() {
        return None;
    }
    let mut line = Map::new();
    let metadata = json!({ "Timestamp": now_ms, "CloudWatchMetrics": declared });
    line.insert("_aws".to_owned(), metadata);
    line.insert("cluster".to_owned(), json!(labels.cluster));
    line.insert("node".to_owned(), json!(labels.node));
    for NodeMetric(name, _, _, value) in metrics {
        line.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    Some(Value::Object(line))
}

/// Returns the latency of requests that did not wait for an event.
fn immediate(metrics: &Metrics) -> Histogram {
    let mut sum = Histogram::default();
    metrics.latency.iter().filter(|it| !it.waited).for_each(|it| sum.add(&it.histogram));
    sum
}

/// Returns the number of replies between two readings, by kind and outcome.
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
