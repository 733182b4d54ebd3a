//! `catena-sim`: runs simulated clusters, one a seed.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // what it prints is what it is for

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use catena_core::sim;
use clap::Parser;

/// Runs simulated clusters with faults, and says which seeds went wrong.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Run this seed.
    #[arg(long, conflicts_with_all = ["seeds", "soak"])]
    seed: Option<u64>,

    /// Print everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Run these seeds, the last one excluded.
    #[arg(long, value_name = "FROM..TO", value_parser = parse_range, conflicts_with = "soak")]
    seeds: Option<Range<u64>>,

    /// Leave out a rule of the protocol, to see what goes wrong.
    #[arg(long, value_name = "RULE")]
    without: Option<String>,

    /// Run seeds without end, beginning at a new place every time.
    #[arg(long)]
    soak: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = args.seed {
        return one(seed, args.without.as_deref(), args.trace);
    }
    let seeds = if args.soak {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let from = now.map_or(0, |since| since.as_secs()) << 24;
        from..u64::MAX
    } else {
        args.seeds.unwrap_or(0..1_000)
    };
    many(seeds, args.without.as_deref())
}

fn one(seed: u64, without: Option<&str>, trace: bool) -> ExitCode {
    match sim::run(seed, without, trace) {
        Ok(summary) => {
            println!("seed {seed} passed: {summary:?}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed} failed: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs seeds on all cpus; a line for each that fails, and one about all now and then.
fn many(seeds: Range<u64>, without: Option<&str>) -> ExitCode {
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
                    match sim::run(seed, without, false) {
                        Ok(summary) => {
                            events.fetch_add(summary.events, Ordering::Relaxed);
                            answered.fetch_add(summary.answered, Ordering::Relaxed);
                        }
                        Err(why) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            let line = why.lines().next().unwrap_or_default();
                            println!("catena-sim --seed {seed} --trace: {line}");
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
        "{count} seeds, {failed} failed, {} events, {} calls answered, {:.0} seeds a second",
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
