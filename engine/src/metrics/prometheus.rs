//! Metrics as a page of OpenMetrics text, which is what Prometheus asks for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{About, Metrics};
use crate::io::CoreCensus;

/// What a browser and Prometheus are told the page is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The buckets of a page end at the powers of two from 1 µs to this: 67 seconds.
const POWER_MAX: u32 = 26;

/// The page.
pub(super) fn page(about: &About, metrics: Metrics) -> String {
    let mut registry = Registry::with_prefix("catena");
    registry.register_collector(Box::new(Page { about: about.clone(), metrics }));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("a string has room");
    page
}

#[derive(Debug)]
struct Page {
    about: About,
    metrics: Metrics,
}

/// A number that each core has, and what people are told of it.
type Gauge = (&'static str, &'static str, fn(&CoreCensus) -> u64);

const GAUGES: [Gauge; 6] = [
    ("connections", "Open connections, of clients and other nodes.", |core| core.connections),
    ("sessions", "Open sessions of clients.", |core| core.sessions),
    ("objects", "Objects of any kind.", |core| core.objects),
    ("waiters", "Requests that wait for something to happen.", |core| core.waiters),
    ("memory_bytes", "Memory that objects, sessions and logs take.", |core| core.bytes),
    (
        "chain_lag_entries",
        "Entries that not all members have, in the shard of the core with most.",
        |core| core.chain_lag,
    ),
];

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Page { about, metrics } = self;
        let mut info = |name, help, labels: &[(&str, &str)]| {
            encoder.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
        };
        let build = [("version", env!("CARGO_PKG_VERSION")), ("driver", &about.driver)];
        info("build", "The engine, and how its cores wait for sockets.", &build)?;
        let node = [("cluster", &*about.cluster), ("node", &*about.node)];
        info("node", "Which node this is; the cluster is none if it is alone.", &node)?;

        let help = "Requests answered, by kind, op, and outcome: done, or the refusal.";
        let mut ops = encoder.encode_descriptor("ops", help, None, MetricType::Counter)?;
        for count in &metrics.ops {
            let labels = [
                ("kind", count.kind_name()),
                ("op", count.op_name()),
                ("outcome", count.outcome_name()),
            ];
            ops.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count.count, None)?;
        }

        let help = "How long requests took, from being taken up until their reply was handed to the \
                    socket; those that waited for something to happen are told apart.";
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
        let help = "Memory that a core may use; at 85 % it refuses updates that need more.";
        gauge("memory_bytes_max", help, about.memory_bytes_max)?;
        match metrics.epoch() {
            Some(epoch) => gauge(
                "epoch",
                "Of the configuration that the node acts by; 0 if it is alone.",
                epoch.into(),
            ),
            None => Ok(()),
        }
    }
}
