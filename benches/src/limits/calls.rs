//! The number of the engine's system calls.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal};

use super::KEYS;
use crate::load::{Load, Pressure};
use crate::record::Sample;
use crate::server::Server;
use crate::wire::{LoadPlan, Workload};

/// Counts system calls for one op with strace, which slows the engine down, so that its batches are
/// a little larger. `None` if there is no strace, or it may not trace.
pub(super) fn system_calls(
    engine: &Server,
    connections: u64,
    depth: usize,
) -> anyhow::Result<Option<Sample>> {
    let pid = engine.pid().context("the engine was started here")?.to_string();
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-p", &pid, "-o"]).arg(&counts).stderr(Stdio::null());
    let Ok(mut strace) = strace.spawn() else { return Ok(None) };
    std::thread::sleep(Duration::from_millis(300));
    let plan = LoadPlan { workload: Workload::CounterAdd, keys: KEYS, connections };
    let mut load = Load::open(engine.dialect.wires(engine.address, &plan)?)?;
    let second = Duration::from_secs(1);
    let pressure =
        Pressure { depth, warm_up: Duration::ZERO, measure: second, spin: false, rate: None };
    let ops = load.press(&pressure, &|| None)?.ops;
    // On this signal strace detaches and writes its table. If it has ended already, there is none.
    let _ = rustix::process::kill_process(Pid::from_child(&strace), Signal::INT);
    strace.wait()?;
    load.settle()?;
    let table = std::fs::read_to_string(&counts).unwrap_or_default();
    let Some(calls) = total(&table) else { return Ok(None) };
    #[allow(clippy::cast_precision_loss)] // far below 2^53 operations
    let per_op = calls as f64 / ops as f64;
    let measure = format!("system calls, counter_add_{connections}x{depth}");
    Ok(Some(Sample::new(&measure, &engine.name, "calls/op", &[per_op])))
}

/// The number of calls in the last line of strace's table.
fn total(table: &str) -> Option<u64> {
    let line = table.lines().find(|line| line.ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_straces_table() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.011000           1      9000         1 io_uring_enter\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.011000           1      9042         1 total\n";
        assert_eq!(total(table), Some(9_042));
        assert_eq!(total(""), None);
    }
}
