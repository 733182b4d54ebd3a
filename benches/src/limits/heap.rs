//! The engine's use of its allocator: calls in steady state, and memory for a million counters.

use std::time::Duration;

use crate::load::{Load, Pressure};
use crate::record::Sample;
use crate::server::Server;
use crate::wire::{LoadPlan, Workload};

/// What runs until only values change any more, and with how many connections × requests in flight.
const STEADY: [(Workload, u64, usize); 9] = [
    (Workload::CounterAdd, 16, 1),
    (Workload::CounterAdd, 16, 32),
    (Workload::CounterAdd, 64, 64),
    (Workload::CellPut { bytes: 1_024 }, 16, 32),
    (Workload::CellGet { bytes: 1_024 }, 16, 32),
    (Workload::VectorAdd { elements: 2_525 }, 16, 32),
    (Workload::MapPut, 16, 32),
    (Workload::MapGet, 16, 32),
    (Workload::ListPushPop, 16, 32),
];

const KEYS: u64 = 10_000;

/// Presses before the one that is measured.
const WARM_UPS: u32 = 8;

/// How many counters the memory is measured with.
const COUNTERS: u64 = 1_000_000;

/// Measures calls to the allocator for one op, in an engine that counts them.
pub(super) fn allocations(cpu: usize) -> anyhow::Result<Vec<Sample>> {
    let mut engine = Server::counting_engine(cpu)?;
    let mut samples = Vec::new();
    for (workload, connections, depth) in STEADY {
        let plan = LoadPlan { workload, keys: KEYS, connections };
        engine.fill(&plan)?;
        let mut load = Load::open(engine.dialect.wires(engine.address, &plan)?)?;
        let measure = Duration::from_millis(200);
        let pressure =
            Pressure { depth, warm_up: Duration::ZERO, measure, spin: false, rate: None };
        // Until every connection has the buffers, and every session the ring, that it keeps.
        for _ in 0..WARM_UPS {
            load.press(&pressure, &|| None)?;
            load.settle()?;
        }
        let before = engine.allocations()?;
        let ops = load.press(&pressure, &|| None)?.ops;
        load.settle()?;
        let asked = engine.allocations()? - before;
        #[allow(clippy::cast_precision_loss)] // far below 2^53 operations
        let per_op = asked as f64 / ops as f64;
        let measure = format!("heap allocations, {}_{connections}x{depth}", workload.name());
        samples.push(Sample::new(&measure, &engine.name, "calls/op", &[per_op]));
    }
    Ok(samples)
}

/// Measures the memory that a million counters take in an engine that has nothing else.
pub(super) fn memory(cpu: usize) -> anyhow::Result<Option<Sample>> {
    let engine = Server::engine(&[cpu], 0)?;
    let before = engine.resident_bytes();
    let plan = LoadPlan { workload: Workload::CounterAdd, keys: COUNTERS, connections: 1 };
    engine.fill(&plan)?;
    let taken = before.zip(engine.resident_bytes()).map(|(before, after)| after - before);
    #[allow(clippy::cast_precision_loss)] // far below 2^53 bytes
    let each = taken.map(|taken| taken as f64 / COUNTERS as f64);
    let measure = "resident memory, 1 M named counters";
    Ok(each.map(|each| Sample::new(measure, &engine.name, "B each", &[each])))
}
