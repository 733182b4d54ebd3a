//! `catena-sim`: runs simulated clusters, one for each seed.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // printing is this program's purpose

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use catena_core::chain::rules::{RULES, Rules};
use catena_core::sim;
use clap::Parser;

/// Run simulated clusters with faults, and print the seeds that fail.
///
/// Each seed decides everything in its run: the size of the cluster, the workload, the faults, and
/// the order of events. A run fails if clients see a reply that a linearizable store could not have
/// given, if a replica loses or reorders acknowledged updates, or if the cluster does not recover
/// after the faults. Without options, runs the seeds 0..1000.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = EXAMPLES)]
struct Args {
    /// Run one seed
    #[arg(long, conflicts_with_all = ["seeds", "soak"])]
    seed: Option<u64>,

    /// Print every event of the seed
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Run a range of seeds, the last one excluded
    #[arg(long, value_name = "FROM..TO", value_parser = parse_range, conflicts_with = "soak")]
    seeds: Option<Range<u64>>,

    #[arg(long, value_name = "RULE", value_parser = Rules::without, help = without_help())]
    without: Option<Rules>,

    /// Run seeds without end, beginning at a seed taken from the clock
    #[arg(long)]
    soak: bool,
}

const EXAMPLES: &str = "\
Examples:
  catena-sim --seeds 0..1000             Run a thousand seeds
  catena-sim --seed 17                   Run one seed
  catena-sim --seed 17 --trace           Print everything that happens in it
  catena-sim --seeds 0..10 --without gate
                                         Show that leaving out a rule of the protocol is noticed

From the repository:
  cargo run --release -p catena-core --features sim --bin catena-sim -- --seeds 0..1000";

fn without_help() -> String {
    format!("Leave out a rule of the protocol [possible values: {}]", RULES.join(", "))
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|_| {}));
    let rules = args.without.unwrap_or_default();
    if let Some(seed) = args.seed {
        return run_seed(seed, rules, args.trace);
    }
    let seeds = if args.soak {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let from = now.map_or(0, |since| since.as_secs()) << 24;
        from..u64::MAX
    } else {
        args.seeds.unwrap_or(0..1_000)
    };
    run_seeds(seeds, rules)
}

fn run_seed(seed: u64, rules: Rules, trace: bool) -> ExitCode {
    match sim::run(seed, rules, trace) {
        Ok(summary) => {
            println!("seed {seed} passed: {summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}\nto reproduce: {}", failure.command());
            ExitCode::FAILURE
        }
    }
}

/// Runs seeds on all cpus; prints each failure, the progress now and then, and the totals at the
/// end.
fn run_seeds(seeds: Range<u64>, rules: Rules) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let (events, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    match sim::run(seed, rules, false) {
                        Ok(summary) => {
                            events.fetch_add(summary.events, Ordering::Relaxed);
                            answered.fetch_add(summary.answered, Ordering::Relaxed);
                        }
                        Err(failure) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            let text = failure.to_string();
                            let line = text.lines().next().unwrap_or_default();
                            println!("{line}\nto reproduce: {}", failure.command());
                        }
                    }
                    let done = seed - seeds.start + 1;
                    if done.is_multiple_of(10_000) {
                        println!("{done} seeds, {:.0} s", began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let (count, seconds) = (seeds.end - seeds.start, began.elapsed().as_secs_f64());
    let failed = failed.into_inner();
    println!(
        "{count} seeds, {failed} failed, {} events, {} calls answered, {:.0} seeds per second",
        events.into_inner(),
        answered.into_inner(),
        count as f64 / seconds
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let bounds = text.split_once("..").ok_or("write FROM..TO, such as 0..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(bounds.0)?..number(bounds.1)?)
}
