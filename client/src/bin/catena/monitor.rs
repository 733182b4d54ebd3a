//! Prints what clients do, live.

use std::time::{Duration, Instant};

use catena_client::MonitoredRequest;
use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::display::{Shown, escaped};
use crate::interrupt;
use crate::outcome::{self, Outcome};
use crate::values::time;

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    /// Show requests for objects whose names begin like this
    #[arg(default_value = "")]
    prefix: String,
    /// Show ops whose names begin like this, such as `counter` or `'map put'`
    #[arg(long, default_value = "")]
    op: String,
    /// Note at most this many requests a second of each shard
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// End after this time [default: never]
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    period: Option<Duration>,
    /// End after this many requests [default: never]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl MonitorArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let mut monitor = on.client.monitor(self.rate);
        // What others have asked for before is not of now.
        monitor.poll()?;
        let (began, mut left) = (Instant::now(), self.count.unwrap_or(u64::MAX));
        let mut missed = 0;
        while left > 0 {
            let rest = self.period.map(|period| period.saturating_sub(began.elapsed()));
            interrupt::sleep(rest.unwrap_or(POLL).min(POLL))?;
            let requests = monitor.poll()?;
            for request in requests.iter().filter(|request| self.is_wanted(request)) {
                if left > 0 {
                    left -= 1;
                    Outcome::value(json_of(request)).with_text(line(request)).print(on.format)?;
                }
            }
            if monitor.missed() > missed {
                let newly = monitor.missed() - missed;
                outcome::say(&format!("{newly} requests were noted and not fetched in time"));
                missed = monitor.missed();
            }
            if rest.is_some_and(|rest| rest <= POLL) {
                break;
            }
        }
        Ok(Outcome::silent(0))
    }

    fn is_wanted(&self, request: &MonitoredRequest) -> bool {
        request.object.starts_with(&self.prefix) && op(request).starts_with(&self.op)
    }
}

/// How often the engine is asked.
const POLL: Duration = Duration::from_millis(200);

/// The name of the op, such as `map put`.
fn op(request: &MonitoredRequest) -> String {
    let Some(code) = request.op_code() else { return format!("{:#06x}", request.op) };
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push(' ');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn status(request: &MonitoredRequest) -> String {
    match request.status() {
        Some(status) => format!("{status:?}"),
        None if request.replied => format!("status {}", request.status),
        None => "waits".to_owned(),
    }
}

fn line(request: &MonitoredRequest) -> String {
    let MonitoredRequest { at_us, session, took_ns, body_bytes, source, object, .. } = request;
    let (day_ms, took_us) = (at_us / 1_000 % 86_400_000, f64::from(*took_ns) / 1_000.0);
    let (seconds, object) = (day_ms / 1_000, escaped(object.as_bytes(), Shown::Part));
    format!(
        "{:02}:{:02}:{:02}.{:03}  {source:<15}  {session:016x}  {:<20}  {object}  {body_bytes} B  {}  \
         {took_us:.1} µs",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        day_ms % 1_000,
        op(request),
        status(request),
    )
}

fn json_of(request: &MonitoredRequest) -> Value {
    let MonitoredRequest { at_us, session, took_ns, body_bytes, source, object, .. } = request;
    json!({
        "at_us": at_us, "source": source, "session": format!("{session:016x}"), "op": op(request),
        "object": object, "body_bytes": body_bytes, "status": status(request), "took_ns": took_ns,
    })
}
