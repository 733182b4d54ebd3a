//! Metrics as a page of OpenMetrics text, the format that Prometheus reads.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{CoreCensus, Metrics, NodeLabels};

/// The content type of the page.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Histogram buckets end at the powers of two from 1 µs to this one, 67 seconds.
const POWER_MAX: u32 = 26;

/// Returns the page.
pub(super) fn page(labels: &NodeLabels, metrics: Metrics) -> String {
    let mut registry = Registry::with_prefix("catena");
    registry.register_collector(Box::new(Page { labels: labels.clone(), metrics }));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("a string has room");
    page
}

#[derive(Debug)]
struct Page {
    labels: NodeLabels,
    metrics: Metrics,
}

/// A gauge of each core: its name, its help text and its value.
type CoreGauge = (&'static str, &'static str, fn(&CoreCensus) -> u64);

const GAUGES: [CoreGauge; 8] = [
    ("connections", "Open connections of clients and other nodes.", |core| core.connections),
    ("sessions", "Open sessions of clients.", |core| core.sessions),
    ("objects", "Objects of any kind.", |core| core.objects),
    ("waiters", "Requests that wait for an event.", |core| core.waiters),
    ("memory_bytes", "Memory of objects, sessions and logs.", |core| core.bytes),
    ("receiving_bytes", "Memory for large frames that have not arrived whole.", |core| {
        core.receiving_bytes
    }),
    ("unsent_bytes", "Replies that clients have not read yet.", |core| core.unsent_bytes),
    (
        "chain_lag_entries",
        "Entries that not all members have acknowledged, in the shard of the core that has most.",
        |core| core.chain_lag,
    ),
];

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Page { labels: node, metrics } = self;
        let mut info = |name, help, labels: &[(&str, &str)]| {
            encoder.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
        };
        let build = [("version", env!("CARGO_PKG_VERSION")), ("driver", &node.driver)];
        info("build", "The version of the engine, and its I/O driver.", &build)?;
        let names = [("cluster", &*node.cluster), ("node", &*node.node)];
        info("node", "The names of the cluster and the node; none without a cluster.", &names)?;

        let help = "Requests with a reply, by kind, op and outcome: done, or the refusal.";
        let mut ops = encoder.encode_descriptor("ops", help, None, MetricType::Counter)?;
        for count in &metrics.ops {
            let labels = [
                ("kind", count.kind_name()),
                ("op", count.op_name()),
                ("outcome", count.outcome_name()),
            ];
            ops.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count.count, None)?;
        }

        let help = "Time from taking up a request to handing its reply to the socket; waited tells \
                    requests that waited for an event from the others.";
        let (unit, kind) = (Unit::Seconds, MetricType::Histogram);
        let mut latency = encoder.encode_descriptor("latency", help, Some(&unit), kind)?;
        for it in metrics.latency.iter().filter(|it| it.histogram.count() > 0) {
            let waited = if it.waited { "yes" } else { "no" };
            let labels = [("kind", it.kind_name()), ("waited", waited)];
            let count = it.histogram.count();
            let mut below = 0;
            let mut bucket = |end: f64, all: u64| (end, all - std::mem::replace(&mut below, all));
            let mut buckets: Vec<(f64, u64)> = (0..=POWER_MAX)
                .map(|power| bucket(f64::from(1 << power) / 1e6, it.histogram.count_below(power)))
                .collect();
            buckets.push(bucket(f64::INFINITY, count));
            #[allow(clippy::cast_precision_loss)] // 285 years
            let sum = it.histogram.sum_us() as f64 / 1e6;
            latency
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }

        for (name, help, of) in GAUGES {
            let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for core in &metrics.cores {
                let labels = [("core", core.core.to_string())];
                gauge.encode_family(&labels)?.encode_gauge(&of(core))?;
            }
        }
        let mut gauge = |name, help, value: u64| {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
        };
        let help = "Memory budget of a core; at 85 % it refuses updates that need more memory.";
        gauge("memory_bytes_max", help, node.memory_bytes_max)?;
        let help = "Connections that a core accepts.";
        gauge("connections_max", help, node.connections_max as u64)?;
        if let Some(bytes) = metrics.resident_bytes {
            gauge("resident_bytes", "Memory of the process, as the kernel counts it.", bytes)?;
        }
        match metrics.epoch() {
            Some(epoch) => gauge(
                "epoch",
                "Epoch of the cluster's record that the node acts by; 0 without a cluster.",
                epoch.into(),
            ),
            None => Ok(()),
        }
    }
}
