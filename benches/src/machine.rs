//! Where and when a number was made: machine, kernel, commit, command, date. And where to run:
//! cpus.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// A machine, as far as it matters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// What the processor calls itself.
    pub(crate) cpu: String,
    /// The number of cpus, as the kernel counts them.
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

impl Machine {
    pub(crate) fn here() -> Machine {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: model.unwrap_or(std::env::consts::ARCH).to_owned(),
            cores: info.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: kernel.trim().to_owned(),
        }
    }
}

/// Returns the commit of the work tree this runs in, with `+` if files differ from it.
pub(crate) fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // The commit of another project would mislead.
    let ours = git(&["rev-parse", "--show-toplevel"])
        .is_some_and(|root| Path::new(&root).join("benches/BENCHMARKS.md").exists());
    let commit = ours.then(|| git(&["rev-parse", "--short=12", "HEAD"])).flatten();
    let differs = git(&["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
    commit.map_or("unknown".to_owned(), |commit| {
        format!("{commit}{}", if differs { "+" } else { "" })
    })
}

/// Returns the command line, without the directory of the program.
pub(crate) fn command() -> String {
    let mut words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut()
        && let Some(name) = Path::new(&*program).file_name()
    {
        *program = name.to_string_lossy().into_owned();
    }
    words.join(" ")
}

/// Returns today's date in UTC, as year-month-day.
pub(crate) fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date_of(since.as_secs() / 86_400)
}

/// Returns the date this many days after 1970-01-01 (civil_from_days, Hinnant 2013).
fn date_of(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Returns how much memory is free for new programs, in bytes.
pub(crate) fn available_bytes() -> anyhow::Result<u64> {
    let info = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kb.context("/proc/meminfo does not say how much memory is available")? * 1024)
}

/// Returns the resident memory of a process, in bytes.
pub(crate) fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kb.with_context(|| format!("{path} does not say what is resident"))? * 1024)
}

/// Returns the cpus this process may use.
pub(crate) fn cpus() -> Vec<usize> {
    let allowed = sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()
}

/// Keeps this thread, and the threads and processes that it starts, on these cpus.
pub(crate) fn pin(cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU).for_each(|cpu| set.set(*cpu));
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on cpus {cpus:?}"))
}

/// Lets this process and its children open as many files as the system allows, because a thousand
/// parties take more connections than the usual limit.
pub(crate) fn allow_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("cannot allow more open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date_of(0), "1970-01-01");
        assert_eq!(date_of(11_016), "2000-02-29");
        assert_eq!(date_of(20_454), "2026-01-01");
    }

    #[test]
    fn the_machine_has_a_name_and_a_cpu() {
        let machine = Machine::here();
        assert!(machine.cores > 0 && !machine.cpu.is_empty(), "{machine:?}");
    }
}
