//! Counters, flags, cells and vectors.

use anyhow::bail;
use catena_client::{Elements, Error, Scalar, Swapped, Vector};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::context::Context;
use crate::outcome::{Outcome, bytes_json, found};
use crate::values;
use crate::words;

#[derive(Debug, Args)]
pub(crate) struct CounterArgs {
    /// Name of the counter
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: CounterCommand,
}

#[derive(Debug, Subcommand)]
enum CounterCommand {
    /// Print the value
    Get,
    /// Set the value
    Set {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Add to the value, and print the new one
    Add {
        #[arg(allow_negative_numbers = true)]
        delta: i64,
    },
    /// Add to the value, and print the old one
    FetchAdd {
        #[arg(allow_negative_numbers = true)]
        delta: i64,
    },
    /// Add 1, and print the new value
    #[command(visible_alias = "incr")]
    Increment,
    /// Subtract 1, and print the new value
    #[command(visible_alias = "decr")]
    Decrement,
    /// Set the value, and print the old one
    Swap {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Set the value if it is the expected one, and print the current one; exit with 1 if not set
    Cas {
        #[arg(allow_negative_numbers = true)]
        expected: i64,
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Multiply the value, and print the new one
    Multiply {
        #[arg(allow_negative_numbers = true)]
        factor: i64,
    },
    /// Set the value to the given one if that is smaller, and print the new one
    Min {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Set the value to the given one if that is larger, and print the new one
    Max {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Set the value to 0
    Reset,
}

impl CounterArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let counter = on.client.counter(&self.name);
        let value = match self.op {
            CounterCommand::Get => counter.get()?,
            CounterCommand::Set { value } => counter.set(value)?,
            CounterCommand::Add { delta } => counter.add(delta)?,
            CounterCommand::FetchAdd { delta } => counter.fetch_add(delta)?,
            CounterCommand::Increment => counter.increment()?,
            CounterCommand::Decrement => counter.decrement()?,
            CounterCommand::Swap { value } => counter.swap(value)?,
            CounterCommand::Multiply { factor } => counter.multiply(factor)?,
            CounterCommand::Min { value } => counter.min(value)?,
            CounterCommand::Max { value } => counter.max(value)?,
            CounterCommand::Reset => counter.set(0)?,
            CounterCommand::Cas { expected, value } => {
                return Ok(swapped(counter.compare_and_swap(expected, value)?));
            }
        };
        let outcome = Outcome::value(value);
        // The numbers that a counter hands out may be tickets, which nobody gets twice.
        Ok(match self.op {
            CounterCommand::Get => outcome,
            _ => outcome.had_once(),
        })
    }
}

/// Whether a compare-and-swap succeeded, and the current value.
fn swapped<T: Into<Value> + Copy + ToString>(swapped: Swapped<T>) -> Outcome {
    let Swapped { swapped, now } = swapped;
    let json = json!({"swapped": swapped, "now": now.into()});
    Outcome::value(json).with_text(now.to_string()).ending(swapped)
}

#[derive(Debug, Args)]
pub(crate) struct FlagArgs {
    /// Name of the flag
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: FlagCommand,
}

#[derive(Debug, Subcommand)]
enum FlagCommand {
    /// Print the value; exit with 1 if it is false
    Get,
    /// Set the value
    Set {
        #[arg(action = clap::ArgAction::Set)]
        value: bool,
    },
    /// Set the value, and print the old one
    Swap {
        #[arg(action = clap::ArgAction::Set)]
        value: bool,
    },
    /// Set the value if it is the expected one, and print the current one; exit with 1 if not set
    Cas {
        #[arg(action = clap::ArgAction::Set)]
        expected: bool,
        #[arg(action = clap::ArgAction::Set)]
        value: bool,
    },
}

impl FlagArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let flag = on.client.flag(&self.name);
        Ok(match self.op {
            FlagCommand::Get => Outcome::truth(flag.get()?),
            FlagCommand::Set { value } => Outcome::value(flag.set(value)?),
            FlagCommand::Swap { value } => Outcome::value(flag.swap(value)?).had_once(),
            FlagCommand::Cas { expected, value } => {
                swapped(flag.compare_and_swap(expected, value)?)
            }
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct CellArgs {
    /// Name of the cell
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: CellCommand,
}

#[derive(Debug, Subcommand)]
enum CellCommand {
    /// Print the bytes, with `--json` also their version; exit with 1 if the cell does not exist
    Get {
        /// Print only if the version is above this one; exit with 1 if not
        #[arg(long, value_name = "VERSION")]
        newer: Option<u64>,
    },
    /// Print a range of the bytes, such as `0..100`
    Range {
        #[arg(value_parser = values::range)]
        range: std::ops::Range<u64>,
    },
    /// Replace the bytes, and print the new version
    Set { value: String },
    /// Replace the bytes, and print the old ones; exit with 1 if there were none
    Swap { value: String },
    /// Replace the bytes if they are the expected ones, and print the version; exit with 1 if not
    /// replaced
    Cas { expected: String, value: String },
    /// Replace the bytes if the version is the expected one, and print the version; exit with 1 if
    /// not replaced
    CasVersion { version: u64, value: String },
    /// Replace the bytes, unless the cell has seen a higher fencing token
    SetWithToken { token: u64, value: String },
    /// Append bytes, and print the new length
    Append { value: String },
}

impl CellArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let cell = on.client.cell(&self.name);
        let view = match &self.op {
            CellCommand::Get { newer: None } => cell.get()?,
            CellCommand::Get { newer: Some(version) } => match cell.get_if_newer(*version)? {
                Some(view) => view,
                None => return Ok(Outcome::nothing()),
            },
            CellCommand::Range { range } => cell.read_range(range.clone())?,
            CellCommand::Swap { value } => cell.swap(&on.bytes(value)?)?,
            CellCommand::Set { value } => return Ok(Outcome::value(cell.set(&on.bytes(value)?)?)),
            CellCommand::SetWithToken { token, value } => {
                return Ok(Outcome::value(cell.set_with_token(*token, &on.bytes(value)?)?));
            }
            CellCommand::Cas { expected, value } => {
                let (expected, value) = (on.bytes(expected)?, on.bytes(value)?);
                return Ok(swapped(cell.compare_and_set(&expected, &value)?));
            }
            CellCommand::CasVersion { version, value } => {
                return Ok(swapped(cell.compare_version_and_set(*version, &on.bytes(value)?)?));
            }
            CellCommand::Append { value } => {
                let appended = cell.append(&on.bytes(value)?)?;
                let json = json!({"version": appended.version, "length": appended.length});
                return Ok(Outcome::value(json).with_text(appended.length.to_string()));
            }
        };
        // A cell that was never set has no version.
        if view.version() == 0 {
            return Ok(Outcome::nothing());
        }
        let json = json!({"version": view.version(), "bytes": bytes_json(&view)});
        let outcome = Outcome::bytes(Some(&view)).with_json(json);
        Ok(match self.op {
            CellCommand::Swap { .. } => outcome.had_once(),
            _ => outcome,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct VectorArgs {
    /// Name of the vector
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    /// Type of the numbers given
    #[arg(long = "type", value_enum, default_value_t = NumberType::F64, global = true)]
    number: NumberType,
    #[command(subcommand)]
    op: VectorCommand,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NumberType {
    F64,
    F32,
    I64,
}

#[derive(Debug, Subcommand)]
enum VectorCommand {
    /// Print the elements, one row per line
    Get,
    /// Print a range of rows, such as `2..5`
    Rows {
        #[arg(value_parser = values::range)]
        rows: std::ops::Range<u64>,
    },
    /// Make the vector if it does not exist
    Init(Shaped),
    /// Replace shape and elements
    Set(Shaped),
    /// Add element by element
    Add {
        #[arg(allow_negative_numbers = true, required = true)]
        numbers: Vec<String>,
    },
    /// Add element by element to whole rows
    AddRows {
        /// First row, from 0
        from: u32,
        #[arg(allow_negative_numbers = true, required = true)]
        numbers: Vec<String>,
    },
    /// Multiply every element
    Scale {
        #[arg(allow_negative_numbers = true)]
        factor: String,
    },
    /// Print the dot product with these numbers
    Dot {
        #[arg(allow_negative_numbers = true, required = true)]
        numbers: Vec<String>,
    },
    /// Print the sum of all elements
    Sum,
}

#[derive(Debug, Args)]
struct Shaped {
    /// Elements per row [default: all in one row]
    #[arg(long)]
    columns: Option<u32>,
    #[arg(allow_negative_numbers = true, required = true)]
    numbers: Vec<String>,
}

/// Parses numbers as the given type: `typed!(type, texts, |numbers| …)`.
macro_rules! typed {
    ($number:expr, $texts:expr, |$numbers:ident| $body:expr) => {
        match $number {
            NumberType::F64 => {
                let $numbers: Vec<f64> = parse($texts)?;
                $body
            }
            NumberType::F32 => {
                let $numbers: Vec<f32> = parse($texts)?;
                $body
            }
            NumberType::I64 => {
                let $numbers: Vec<i64> = parse($texts)?;
                $body
            }
        }
    };
}

impl VectorArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let vector = on.client.vector(&self.name);
        let kind = self.number;
        Ok(match &self.op {
            VectorCommand::Get => {
                let Some(view) = found(vector.get())? else { return Ok(Outcome::nothing()) };
                elements(view.elements(), view.columns())
            }
            VectorCommand::Rows { rows } => {
                let row = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
                let end = match rows.end {
                    u64::MAX => found(all_rows(&vector))?,
                    end => Some(row(end)),
                };
                let Some(end) = end else { return Ok(Outcome::nothing()) };
                let view = found(vector.get_rows(row(rows.start)..end))?;
                let Some(view) = view else { return Ok(Outcome::nothing()) };
                elements(view.elements(), view.columns())
            }
            VectorCommand::Init(Shaped { columns, numbers }) => {
                let columns = columns.unwrap_or(u32::try_from(numbers.len())?);
                Outcome::value(typed!(kind, numbers, |numbers| vector.init(columns, &numbers)?))
            }
            VectorCommand::Set(Shaped { columns, numbers }) => {
                let columns = columns.unwrap_or(u32::try_from(numbers.len())?);
                Outcome::value(typed!(kind, numbers, |numbers| vector.set(columns, &numbers)?))
            }
            VectorCommand::Add { numbers } => {
                Outcome::value(typed!(kind, numbers, |numbers| vector.add(&numbers)?))
            }
            VectorCommand::AddRows { from, numbers } => {
                Outcome::value(typed!(kind, numbers, |numbers| vector.add_rows(*from, &numbers)?))
            }
            VectorCommand::Scale { factor } => {
                let factor = std::slice::from_ref(factor);
                Outcome::value(typed!(kind, factor, |numbers| vector.scale(numbers[0])?))
            }
            VectorCommand::Dot { numbers } => {
                typed!(kind, numbers, |numbers| found(vector.dot(&numbers))?
                    .map_or_else(Outcome::nothing, Outcome::value))
            }
            VectorCommand::Sum => match found(vector.sum())? {
                Some(Scalar::F64(sum)) => Outcome::value(sum),
                Some(Scalar::F32(sum)) => Outcome::value(sum),
                Some(Scalar::I64(sum)) => Outcome::value(sum),
                None => Outcome::nothing(),
            },
        })
    }
}

fn all_rows(vector: &Vector) -> Result<u32, Error> {
    Ok(u32::try_from(vector.get()?.rows()).unwrap_or(u32::MAX))
}

pub(crate) fn parse<T: std::str::FromStr>(texts: &[String]) -> anyhow::Result<Vec<T>> {
    let mut numbers = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(number) => numbers.push(number),
            Err(_) => bail!("`{text}` is not a number of this type"),
        }
    }
    Ok(numbers)
}

/// Numbers, one row per line.
pub(crate) fn elements(elements: Elements<'_>, columns: u32) -> Outcome {
    fn rows<T: Copy + ToString + Into<Value>>(values: &[T], columns: u32) -> (Value, String) {
        let columns = usize::try_from(columns.max(1)).expect("columns fit memory");
        let line = |row: &[T]| row.iter().map(T::to_string).collect::<Vec<_>>().join(" ");
        let text = values.chunks(columns).map(line).collect::<Vec<_>>().join("\n");
        let array = |row: &[T]| Value::Array(row.iter().map(|value| (*value).into()).collect());
        (Value::Array(values.chunks(columns).map(array).collect()), text)
    }
    let (json, text) = match elements {
        Elements::F64(values) => rows(values, columns),
        Elements::F32(values) => rows(values, columns),
        Elements::I64(values) => rows(values, columns),
    };
    Outcome::value(json).with_text(text)
}
