//! Coordination of several parties: barriers, latches and reductions.

use catena_client::{Arrival, GENERATION_CURRENT, Loss, ReduceOp, RoundView, SeatState};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::context::Context;
use crate::outcome::{Outcome, found};
use crate::scalars;
use crate::values::HoldArg;
use crate::words;

#[derive(Debug, Args)]
pub(crate) struct BarrierArgs {
    /// Name of the barrier
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: BarrierCommand,
}

#[derive(Debug, Subcommand)]
enum BarrierCommand {
    /// Arrive, wait until all parties have arrived, and print the completed generation
    #[command(visible_alias = "wait")]
    Arrive {
        /// Name of the party, which counts once however often it arrives
        #[arg(long)]
        party: String,
        /// Number of parties, the same for all of them
        #[arg(long)]
        parties: u32,
        /// Generation to arrive in [default: the one in progress]
        #[arg(long)]
        generation: Option<u64>,
        /// Do not wait for the other parties
        #[arg(long)]
        no_wait: bool,
        /// What happens to the others if this party is lost
        #[arg(long, value_enum, default_value_t = OnLoss::Wait)]
        on_loss: OnLoss,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Print the generation in progress and the missing parties
    State,
    /// Repair the barrier, and begin a new generation
    Reset,
    /// Break the barrier: waiting and later arrivals fail with this reason
    Break { reason: String },
}

/// What happens to the others if a party is lost.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnLoss {
    /// They wait for it
    Wait,
    /// They continue without it
    Drop,
    /// Their calls fail
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
    /// Whether a time is given for which the seat is held.
    pub(crate) fn has_hold(&self) -> bool {
        matches!(&self.op, BarrierCommand::Arrive { hold, .. } if hold.is_given())
    }

    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let barrier = on.client.barrier(&self.name);
        Ok(match &self.op {
            BarrierCommand::Arrive { party, parties, generation, no_wait, on_loss, hold } => {
                let arrival = Arrival {
                    party,
                    parties: *parties,
                    generation: generation.unwrap_or(GENERATION_CURRENT),
                    hold_ms: on.client.hold_ms(hold.seat_hold()),
                    loss: on_loss.loss(),
                };
                // The seat stays held, because the party may arrive again in another invocation.
                let completed = match no_wait {
                    true => barrier.arrive(arrival)?,
                    false => barrier.arrive_and_wait(arrival, on.timeout)?,
                };
                Outcome::value(completed).keeping_session()
            }
            BarrierCommand::State => seats(found(barrier.state())?),
            BarrierCommand::Reset => Outcome::value(barrier.reset()?),
            BarrierCommand::Break { reason } => Outcome::value(barrier.break_with(reason)?),
        })
    }
}

fn seats(state: Option<SeatState>) -> Outcome {
    // One that nobody has used yet has no parties, and no round behind it.
    let used = state.filter(|state| state.parties > 0 || state.round > 0);
    let Some(state) = used else { return Outcome::nothing() };
    let SeatState { round, arrived, parties, waiting, missing } = &state;
    let mut text = format!("round {round}, {arrived} of {parties} arrived, {waiting} waiting");
    if !missing.is_empty() {
        text += &format!(", missing: {}", missing.join(", "));
    }
    let json = json!({
        "round": round, "arrived": arrived, "parties": parties, "waiting": waiting,
        "missing": missing,
    });
    Outcome::value(json).with_text(text)
}

#[derive(Debug, Args)]
pub(crate) struct LatchArgs {
    /// Name of the latch
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: LatchCommand,
}

#[derive(Debug, Subcommand)]
enum LatchCommand {
    /// Count down in the name of a party, once, and print how many are missing
    CountDown {
        /// Name of the party
        #[arg(long)]
        party: String,
        /// Number of parties, the same for all of them
        #[arg(long)]
        parties: u32,
    },
    /// Wait until all parties have counted down
    Wait {
        /// Number of parties, the same for all of them
        #[arg(long)]
        parties: u32,
    },
    /// Print how many parties have counted down
    State,
}

impl LatchArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let latch = on.client.latch(&self.name);
        Ok(match &self.op {
            LatchCommand::CountDown { party, parties } => {
                Outcome::value(latch.count_down(party, *parties)?)
            }
            LatchCommand::Wait { parties } => {
                latch.wait(*parties, on.timeout)?;
                Outcome::done()
            }
            LatchCommand::State => seats(found(latch.state())?),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReductionArgs {
    /// Name of the reduction
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: ReductionCommand,
}

#[derive(Debug, Subcommand)]
enum ReductionCommand {
    /// Contribute numbers, wait for all parties, and print the result
    Contribute {
        /// Number of the party, from 0
        #[arg(long)]
        party: u32,
        /// Number of parties, the same for all of them
        #[arg(long)]
        parties: u32,
        /// Number of the round
        #[arg(long, default_value_t = 0)]
        round: u64,
        /// How to combine the contributions
        #[arg(long, value_enum, default_value_t = Combine::Sum)]
        op: Combine,
        /// What happens to the others if this party is lost
        #[arg(long, value_enum, default_value_t = OnLoss::Wait)]
        on_loss: OnLoss,
        #[command(flatten)]
        hold: HoldArg,
        #[arg(required = true, allow_negative_numbers = true)]
        numbers: Vec<String>,
    },
    /// Print the result of the last complete round
    Last,
    /// Print the round in progress and the missing parties
    State,
    /// Repair the reduction, and discard the contributions to the round in progress
    Reset,
    /// Break the reduction: waiting and later contributions fail with this reason
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
    /// Whether a time is given for which the seat is held.
    pub(crate) fn has_hold(&self) -> bool {
        matches!(&self.op, ReductionCommand::Contribute { hold, .. } if hold.is_given())
    }

    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let reduction = on.client.reduction(&self.name);
        Ok(match &self.op {
            ReductionCommand::Contribute { party, parties, round, op, on_loss, hold, numbers } => {
                let op = match op {
                    Combine::Sum => ReduceOp::Sum,
                    Combine::Mean => ReduceOp::Mean,
                    Combine::Min => ReduceOp::Min,
                    Combine::Max => ReduceOp::Max,
                };
                let numbers: Vec<f64> = scalars::parse(numbers)?;
                let mut seat = reduction
                    .with_hold(hold.seat_hold())
                    .seat(*party, *parties)
                    .starting_at(*round)
                    .on_loss(on_loss.loss());
                self::round(&seat.contribute(op, &numbers, on.timeout)?).keeping_session()
            }
            ReductionCommand::Last => {
                found(reduction.last())?.as_ref().map_or_else(Outcome::nothing, round)
            }
            ReductionCommand::State => seats(found(reduction.state())?),
            ReductionCommand::Reset => Outcome::value(reduction.reset()?),
            ReductionCommand::Break { reason } => Outcome::value(reduction.break_with(reason)?),
        })
    }
}

fn round(view: &RoundView) -> Outcome {
    let columns = u32::try_from(view.elements().len()).expect("they fit a frame");
    scalars::elements(view.elements(), columns)
}
