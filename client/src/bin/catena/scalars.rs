//! Counters, flags, cells and vectors.

use anyhow::bail;
use catena_client::{Client, Elements, Scalar, Swapped, Vector};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::answer::{Answer, bytes_json};
use crate::values::{self, bytes};

#[derive(Debug, Args)]
pub(crate) struct CounterArgs {
    /// The counter's name.
    name: String,
    #[command(subcommand)]
    op: CounterOp,
}

#[derive(Debug, Subcommand)]
enum CounterOp {
    /// Prints the value.
    Get,
    /// Sets the value.
    Set {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Adds, and prints the new value.
    Add {
        #[arg(allow_negative_numbers = true)]
        delta: i64,
    },
    /// Adds, and prints the old value.
    FetchAdd {
        #[arg(allow_negative_numbers = true)]
        delta: i64,
    },
    /// Adds one.
    #[command(visible_alias = "incr")]
    Increment,
    /// Subtracts one.
    #[command(visible_alias = "decr")]
    Decrement,
    /// Sets the value, and prints the old one.
    Swap {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Sets the value if it is the expected one.
    Cas {
        #[arg(allow_negative_numbers = true)]
        expected: i64,
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Multiplies.
    Multiply {
        #[arg(allow_negative_numbers = true)]
        factor: i64,
    },
    /// Sets the value to the smaller of both.
    Min {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Sets the value to the larger of both.
    Max {
        #[arg(allow_negative_numbers = true)]
        value: i64,
    },
    /// Sets the value to 0.
    Reset,
}

impl CounterArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Answer> {
        let counter = client.counter(&self.name);
        Ok(Answer::value(match self.op {
            CounterOp::Get => counter.get()?,
            CounterOp::Set { value } => counter.set(value)?,
            CounterOp::Add { delta } => counter.add(delta)?,
            CounterOp::FetchAdd { delta } => counter.fetch_add(delta)?,
            CounterOp::Increment => counter.increment()?,
            CounterOp::Decrement => counter.decrement()?,
            CounterOp::Swap { value } => counter.swap(value)?,
            CounterOp::Multiply { factor } => counter.multiply(factor)?,
            CounterOp::Min { value } => counter.min(value)?,
            CounterOp::Max { value } => counter.max(value)?,
            CounterOp::Reset => counter.set(0)?,
            CounterOp::Cas { expected, value } => {
                return Ok(swapped(counter.compare_and_swap(expected, value)?));
            }
        }))
    }
}

/// Whether something was exchanged, and what is there now.
fn swapped<T: Into<Value> + Copy + ToString>(swapped: Swapped<T>) -> Answer {
    let Swapped { swapped, now } = swapped;
    let json = json!({"swapped": swapped, "now": now.into()});
    Answer::value(json).with_text(now.to_string()).ending(swapped)
}

#[derive(Debug, Args)]
pub(crate) struct FlagArgs {
    /// The flag's name.
    name: String,
    #[command(subcommand)]
    op: FlagOp,
}

#[derive(Debug, Subcommand)]
enum FlagOp {
    /// Prints the value, and ends with 1 if it is false.
    Get,
    /// Sets the value.
    Set {
        #[arg(action = clap::ArgAction::Set)]
        value: bool,
    },
    /// Sets the value, and prints the old one.
    Swap {
        #[arg(action = clap::ArgAction::Set)]
        value: bool,
    },
    /// Sets the value if it is the expected one.
    Cas {
        #[arg(action = clap::ArgAction::Set)]
        expected: bool,
        #[arg(action = clap::ArgAction::Set)]
        value: bool,
    },
}

impl FlagArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Answer> {
        let flag = client.flag(&self.name);
        Ok(match self.op {
            FlagOp::Get => Answer::truth(flag.get()?),
            FlagOp::Set { value } => Answer::value(flag.set(value)?),
            FlagOp::Swap { value } => Answer::value(flag.swap(value)?),
            FlagOp::Cas { expected, value } => swapped(flag.compare_and_swap(expected, value)?),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct CellArgs {
    /// The cell's name.
    name: String,
    #[command(subcommand)]
    op: CellOp,
}

#[derive(Debug, Subcommand)]
enum CellOp {
    /// Prints the bytes; with `--json` their version too.
    Get {
        /// Only if the version is above this one.
        #[arg(long, value_name = "VERSION")]
        newer: Option<u64>,
    },
    /// Prints some of the bytes, such as `0..100`.
    Range {
        #[arg(value_parser = values::range)]
        range: std::ops::Range<u64>,
    },
    /// Replaces the bytes, and prints the new version.
    Set { value: String },
    /// Replaces the bytes, and prints the old ones.
    Swap { value: String },
    /// Replaces the bytes if they are the expected ones.
    Cas { expected: String, value: String },
    /// Replaces the bytes if the version is the expected one.
    CasVersion { version: u64, value: String },
    /// Replaces the bytes, unless a higher fencing token came before.
    SetWithToken { token: u64, value: String },
    /// Appends, and prints the new length.
    Append { value: String },
}

impl CellArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Answer> {
        let cell = client.cell(&self.name);
        let view = match &self.op {
            CellOp::Get { newer: None } => cell.get()?,
            CellOp::Get { newer: Some(version) } => match cell.get_if_newer(*version)? {
                Some(view) => view,
                None => return Ok(Answer::nothing()),
            },
            CellOp::Range { range } => cell.read_range(range.clone())?,
            CellOp::Swap { value } => cell.swap(&bytes(value)?)?,
            CellOp::Set { value } => return Ok(Answer::value(cell.set(&bytes(value)?)?)),
            CellOp::SetWithToken { token, value } => {
                return Ok(Answer::value(cell.set_with_token(*token, &bytes(value)?)?));
            }
            CellOp::Cas { expected, value } => {
                let (expected, value) = (bytes(expected)?, bytes(value)?);
                return Ok(swapped(cell.compare_and_set(&expected, &value)?));
            }
            CellOp::CasVersion { version, value } => {
                return Ok(swapped(cell.compare_version_and_set(*version, &bytes(value)?)?));
            }
            CellOp::Append { value } => {
                let appended = cell.append(&bytes(value)?)?;
                let json = json!({"version": appended.version, "length": appended.length});
                return Ok(Answer::value(json).with_text(appended.length.to_string()));
            }
        };
        let json = json!({"version": view.version(), "bytes": bytes_json(&view)});
        Ok(Answer::bytes(Some(&view)).with_json(json))
    }
}

#[derive(Debug, Args)]
pub(crate) struct VectorArgs {
    /// The vector's name.
    name: String,
    /// The type of the numbers given.
    #[arg(long = "type", value_enum, default_value_t = NumberType::F64, global = true)]
    number: NumberType,
    #[command(subcommand)]
    op: VectorOp,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NumberType {
    F64,
    F32,
    I64,
}

#[derive(Debug, Subcommand)]
enum VectorOp {
    /// Prints the elements, a row a line.
    Get,
    /// Prints some rows, such as `2..5`.
    Rows {
        #[arg(value_parser = values::range)]
        rows: std::ops::Range<u64>,
    },
    /// Makes the vector if there is none.
    Init(Shaped),
    /// Replaces shape and elements.
    Set(Shaped),
    /// Adds element by element.
    Add {
        #[arg(allow_negative_numbers = true, required = true)]
        numbers: Vec<String>,
    },
    /// Adds to whole rows.
    AddRows {
        /// The first of them.
        from: u32,
        #[arg(allow_negative_numbers = true, required = true)]
        numbers: Vec<String>,
    },
    /// Multiplies every element.
    Scale {
        #[arg(allow_negative_numbers = true)]
        factor: String,
    },
    /// Prints the sum of the products with these numbers.
    Dot {
        #[arg(allow_negative_numbers = true, required = true)]
        numbers: Vec<String>,
    },
    /// Prints the sum of all elements.
    Sum,
}

#[derive(Debug, Args)]
struct Shaped {
    /// Elements a row; as many as there are, unless given.
    #[arg(long)]
    columns: Option<u32>,
    #[arg(allow_negative_numbers = true, required = true)]
    numbers: Vec<String>,
}

/// Hands the numbers over as the type they are to have: `typed!(type, texts, |numbers| …)`.
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
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Answer> {
        let vector = client.vector(&self.name);
        let kind = self.number;
        Ok(match &self.op {
            VectorOp::Get => {
                let view = vector.get()?;
                elements(view.elements(), view.columns())
            }
            VectorOp::Rows { rows } => {
                let row = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
                let end = if rows.end == u64::MAX { all_rows(&vector)? } else { row(rows.end) };
                let view = vector.get_rows(row(rows.start)..end)?;
                elements(view.elements(), view.columns())
            }
            VectorOp::Init(Shaped { columns, numbers }) => {
                let columns = columns.unwrap_or(u32::try_from(numbers.len())?);
                Answer::value(typed!(kind, numbers, |numbers| vector.init(columns, &numbers)?))
            }
            VectorOp::Set(Shaped { columns, numbers }) => {
                let columns = columns.unwrap_or(u32::try_from(numbers.len())?);
                Answer::value(typed!(kind, numbers, |numbers| vector.set(columns, &numbers)?))
            }
            VectorOp::Add { numbers } => {
                Answer::value(typed!(kind, numbers, |numbers| vector.add(&numbers)?))
            }
            VectorOp::AddRows { from, numbers } => {
                Answer::value(typed!(kind, numbers, |numbers| vector.add_rows(*from, &numbers)?))
            }
            VectorOp::Scale { factor } => {
                let factor = std::slice::from_ref(factor);
                Answer::value(typed!(kind, factor, |numbers| vector.scale(numbers[0])?))
            }
            VectorOp::Dot { numbers } => {
                typed!(kind, numbers, |numbers| Answer::value(vector.dot(&numbers)?))
            }
            VectorOp::Sum => match vector.sum()? {
                Scalar::F64(sum) => Answer::value(sum),
                Scalar::F32(sum) => Answer::value(sum),
                Scalar::I64(sum) => Answer::value(sum),
            },
        })
    }
}

fn all_rows(vector: &Vector<'_>) -> anyhow::Result<u32> {
    Ok(u32::try_from(vector.get()?.rows())?)
}

pub(crate) fn parse<T: std::str::FromStr>(texts: &[String]) -> anyhow::Result<Vec<T>> {
    let mut numbers = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(number) => numbers.push(number),
            Err(_) => bail!("`{text}` is no number of this type"),
        }
    }
    Ok(numbers)
}

/// Numbers, a row a line.
pub(crate) fn elements(elements: Elements<'_>, columns: u32) -> Answer {
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
    Answer::value(json).with_text(text)
}
