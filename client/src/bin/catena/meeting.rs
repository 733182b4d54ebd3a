//! Where parties meet: barriers, latches and reductions.

use std::time::Duration;

use catena_client::{Arrival, Client, GENERATION_CURRENT, Loss, ReduceOp, RoundView, SeatState};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::answer::Answer;
use crate::scalars;
use crate::values::HoldArg;

#[derive(Debug, Args)]
pub(crate) struct BarrierArgs {
    /// The barrier's name.
    name: String,
    #[command(subcommand)]
    op: BarrierOp,
}

#[derive(Debug, Subcommand)]
enum BarrierOp {
    /// Arrives and waits until all parties have; prints the generation that was completed.
    #[command(visible_alias = "wait")]
    Arrive {
        /// In whose name: arriving twice in one name counts once.
        #[arg(long)]
        party: String,
        /// How many parties there are: the same for all of them.
        #[arg(long)]
        parties: u32,
        /// In which generation; the one in progress unless given.
        #[arg(long)]
        generation: Option<u64>,
        /// Arrive without waiting for the others.
        #[arg(long)]
        no_wait: bool,
        /// What becomes of the others if this party is lost.
        #[arg(long, value_enum, default_value_t = OnLoss::Wait)]
        on_loss: OnLoss,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Prints the generation in progress and who is missing in it.
    State,
    /// Mends it and begins a new generation.
    Reset,
    /// Breaks it: whoever waits or arrives is told the reason.
    Break { reason: String },
}

/// What becomes of the others if a party is lost.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnLoss {
    /// They wait for it to come back.
    Wait,
    /// They go on without it.
    Drop,
    /// They are told.
    Break,
}

impl OnLoss {
    fn loss(self) -> Loss {
        match self {
            OnLoss::Wait => Loss::Wait,
            OnLoss::Drop => Loss::Drop,
            OnLoss::Break => Loss::Break,
        }
    }
}

impl BarrierArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let barrier = client.barrier(&self.name);
        Ok(match &self.op {
            BarrierOp::Arrive { party, parties, generation, no_wait, on_loss, hold } => {
                let arrival = Arrival {
                    party,
                    parties: *parties,
                    generation: generation.unwrap_or(GENERATION_CURRENT),
                    hold_ms: client.hold_ms(hold.hold()),
                    loss: on_loss.loss(),
                };
                // The seat is kept: the party may arrive again from another call.
                let completed = match no_wait {
                    true => barrier.arrive(arrival)?,
                    false => barrier.arrive_and_wait(arrival, timeout)?,
                };
                Answer::value(completed).keeping()
            }
            BarrierOp::State => seats(&barrier.state()?),
            BarrierOp::Reset => Answer::value(barrier.reset()?),
            BarrierOp::Break { reason } => Answer::value(barrier.break_with(reason)?),
        })
    }
}

fn seats(state: &SeatState) -> Answer {
    let SeatState { round, arrived, parties, waiting, missing } = state;
    let mut text = format!("round {round}, {arrived} of {parties} there, {waiting} waiting");
    if !missing.is_empty() {
        text += &format!(", missing: {}", missing.join(", "));
    }
    let json = json!({
        "round": round, "arrived": arrived, "parties": parties, "waiting": waiting, "missing": missing,
    });
    Answer::value(json).with_text(text)
}

#[derive(Debug, Args)]
pub(crate) struct LatchArgs {
    /// The latch's name.
    name: String,
    #[command(subcommand)]
    op: LatchOp,
}

#[derive(Debug, Subcommand)]
enum LatchOp {
    /// Counts down in a party's name, once; prints how many are missing.
    CountDown {
        #[arg(long)]
        party: String,
        #[arg(long)]
        parties: u32,
    },
    /// Waits until all have counted down.
    Wait {
        #[arg(long)]
        parties: u32,
    },
    /// Prints how many have counted down.
    State,
}

impl LatchArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let latch = client.latch(&self.name);
        Ok(match &self.op {
            LatchOp::CountDown { party, parties } => {
                Answer::value(latch.count_down(party, *parties)?)
            }
            LatchOp::Wait { parties } => {
                latch.wait(*parties, timeout)?;
                Answer::done()
            }
            LatchOp::State => seats(&latch.state()?),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReductionArgs {
    /// The reduction's name.
    name: String,
    #[command(subcommand)]
    op: ReductionOp,
}

#[derive(Debug, Subcommand)]
enum ReductionOp {
    /// Contributes numbers, waits for all parties, and prints the combined ones.
    Contribute {
        /// Which seat, from 0.
        #[arg(long)]
        party: u32,
        /// How many parties there are: the same for all of them.
        #[arg(long)]
        parties: u32,
        /// The round.
        #[arg(long, default_value_t = 0)]
        round: u64,
        /// How to combine.
        #[arg(long, value_enum, default_value_t = Combine::Sum)]
        op: Combine,
        /// What becomes of the others if this party is lost.
        #[arg(long, value_enum, default_value_t = OnLoss::Wait)]
        on_loss: OnLoss,
        #[command(flatten)]
        hold: HoldArg,
        #[arg(required = true, allow_negative_numbers = true)]
        numbers: Vec<String>,
    },
    /// Prints the result of the last complete round.
    Last,
    /// Prints the round in progress and who is missing in it.
    State,
    /// Mends it, and forgets what was contributed to the round in progress.
    Reset,
    /// Breaks it: whoever waits or contributes is told the reason.
    Break { reason: String },
}

/// How contributions are combined.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Combine {
    Sum,
    Mean,
    Min,
    Max,
}

impl ReductionArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let reduction = client.reduction(&self.name);
        Ok(match &self.op {
            ReductionOp::Contribute { party, parties, round, op, on_loss, hold, numbers } => {
                let op = match op {
                    Combine::Sum => ReduceOp::Sum,
                    Combine::Mean => ReduceOp::Mean,
                    Combine::Min => ReduceOp::Min,
                    Combine::Max => ReduceOp::Max,
                };
                let numbers: Vec<f64> = scalars::parse(numbers)?;
                let mut seat = reduction
                    .with_hold(hold.hold())
                    .seat(*party, *parties)
                    .starting_at(*round)
                    .on_loss(on_loss.loss());
                self::round(&seat.contribute(op, &numbers, timeout)?).keeping()
            }
            ReductionOp::Last => round(&reduction.last()?),
            ReductionOp::State => seats(&reduction.state()?),
            ReductionOp::Reset => Answer::value(reduction.reset()?),
            ReductionOp::Break { reason } => Answer::value(reduction.break_with(reason)?),
        })
    }
}

fn round(view: &RoundView<'_>) -> Answer {
    let columns = u32::try_from(view.elements().len()).expect("they fit a frame");
    scalars::elements(view.elements(), columns)
}
