//! Maps and sets.

use anyhow::{Context as _, bail};
use catena_client::{Error, Map, Merge, Scan};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::context::Context;
use crate::outcome::{Outcome, bytes_json};
use crate::values::{GROUP_BYTES, GROUP_ITEMS, LinesArg, ValueError, groups};
use crate::words;

#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// Name of the map
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: MapCommand,
}

#[derive(Debug, Subcommand)]
enum MapCommand {
    /// Print the value of a key
    Get {
        key: String,
        #[command(flatten)]
        number: NumberArg,
    },
    /// Set the value of a key, and print `new`, or `replaced` if it had one
    Put { key: String, value: String },
    /// Set the value of a key that has none, and print whether it did
    PutIfAbsent { key: String, value: String },
    /// Set the value of a key, unless the map has seen a higher fencing token, and print `new` or
    /// `replaced`
    PutWithToken { token: u64, key: String, value: String },
    /// Set or remove the value of a key if it is the expected one, and print whether it did
    Cas {
        key: String,
        /// Expected value [default: the key does not exist]
        #[arg(long)]
        expected: Option<String>,
        /// New value [default: remove the key]
        #[arg(long)]
        value: Option<String>,
    },
    /// Set the value of a key, and print the old one
    Swap {
        key: String,
        value: String,
        #[command(flatten)]
        number: NumberArg,
    },
    /// Remove keys, and print how many existed
    #[command(visible_alias = "rm")]
    Remove {
        #[arg(required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Remove a key, and print its value
    Take {
        key: String,
        #[command(flatten)]
        number: NumberArg,
    },
    /// Print whether a key exists
    Contains { key: String },
    /// Print whether any key has this value
    ContainsValue { value: String },
    /// Print the number of keys
    Len,
    /// Print the keys, in order
    Keys(ScanOptions),
    /// Print the values, in the order of their keys
    Values(ScanOptions),
    /// Print keys and values, in order
    #[command(visible_alias = "ls")]
    Entries(ScanOptions),
    /// Print the entry with the lowest key
    First(NumberArg),
    /// Print the entry with the highest key
    Last(NumberArg),
    /// Print the entries with the highest keys, the highest first
    Top {
        count: u64,
        #[command(flatten)]
        number: NumberArg,
    },
    /// Set several values, given as key value key value …, and print how many keys are new; more
    /// than 2,048 pairs or 4 MiB of them are set in several steps, which are not atomic together
    PutAll {
        #[arg(required = true)]
        pairs: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Merge a value into that of a key, and print the result
    Merge {
        key: String,
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// How to merge
        #[arg(long, value_enum, default_value_t = MergeOperator::Add)]
        op: MergeOperator,
    },
    /// Merge several values, given as key value key value …, and print how many keys are new; more
    /// than 2,048 pairs or 4 MiB of them are merged in several steps, which are not atomic together
    MergeAll {
        /// How to merge
        #[arg(long, value_enum, default_value_t = MergeOperator::Add)]
        op: MergeOperator,
        #[arg(required = true, allow_negative_numbers = true)]
        pairs: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Remove all keys, and print how many
    Clear,
}

/// Which entries to print.
#[derive(Debug, Args)]
struct ScanOptions {
    /// Begin with this key
    #[arg(long)]
    from: Option<String>,
    /// End before this key
    #[arg(long)]
    to: Option<String>,
    /// Print in reverse order
    #[arg(long)]
    reverse: bool,
    /// Print at most this many
    #[arg(long)]
    limit: Option<u64>,
    #[command(flatten)]
    number: NumberArg,
}

/// How values are printed.
#[derive(Clone, Copy, Debug, Args)]
struct NumberArg {
    /// Print values as the integers that `merge` stores in 8 bytes
    #[arg(long)]
    number: bool,
    /// Print values as the floats that `merge --op add-f64` stores in 8 bytes
    #[arg(long, conflicts_with = "number")]
    float: bool,
}

impl NumberArg {
    /// A value as text and as JSON.
    fn shown(self, value: &[u8]) -> Result<(Vec<u8>, Value), ValueError> {
        let word = || {
            let wrong = ValueError::NotANumber { bytes: value.len() };
            <[u8; 8]>::try_from(value).map_err(|_| wrong)
        };
        Ok(match self {
            NumberArg { number: true, .. } => {
                let number = i64::from_le_bytes(word()?);
                (number.to_string().into_bytes(), json!(number))
            }
            NumberArg { float: true, .. } => {
                let number = f64::from_le_bytes(word()?);
                (number.to_string().into_bytes(), json!(number))
            }
            _ => (value.to_vec(), bytes_json(value)),
        })
    }

    /// A value that may be missing.
    fn outcome(self, value: Option<impl AsRef<[u8]>>) -> Result<Outcome, ValueError> {
        let Some(value) = value else { return Ok(Outcome::nothing()) };
        if !self.number && !self.float {
            return Ok(Outcome::bytes(Some(value)));
        }
        let (_, json) = self.shown(value.as_ref())?;
        Ok(Outcome::value(json))
    }

    /// A value that is no longer in the map.
    fn taken(self, value: Option<impl AsRef<[u8]>>) -> anyhow::Result<Outcome> {
        let Some(value) = value else { return Ok(Outcome::nothing()) };
        let value = value.as_ref();
        let outcome = self
            .outcome(Some(value))
            .with_context(|| format!("the value was taken from the map: {}", bytes_json(value)))?;
        Ok(outcome.had_once())
    }
}

/// How values are merged.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MergeOperator {
    /// Add integers
    Add,
    /// Keep the smaller integer
    Min,
    /// Keep the larger integer
    Max,
    /// Add floats
    AddF64,
    /// Keep the smaller float
    MinF64,
    /// Keep the larger float
    MaxF64,
    /// Append bytes
    Append,
    /// Keep the greater bytes
    ReplaceIfGreater,
}

impl MergeOperator {
    fn merge(self) -> Merge {
        match self {
            MergeOperator::Add => Merge::Add,
            MergeOperator::Min => Merge::Min,
            MergeOperator::Max => Merge::Max,
            MergeOperator::AddF64 => Merge::AddF64,
            MergeOperator::MinF64 => Merge::MinF64,
            MergeOperator::MaxF64 => Merge::MaxF64,
            MergeOperator::Append => Merge::Append,
            MergeOperator::ReplaceIfGreater => Merge::ReplaceIfGreater,
        }
    }

    /// Parses a value as the operand that the operator takes.
    fn operand(self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim();
        Ok(match self {
            MergeOperator::Add | MergeOperator::Min | MergeOperator::Max => {
                match text.parse::<i64>() {
                    Ok(value) => value.to_le_bytes().to_vec(),
                    Err(_) => bail!("`{text}` is not an integer"),
                }
            }
            MergeOperator::AddF64 | MergeOperator::MinF64 | MergeOperator::MaxF64 => {
                match text.parse::<f64>() {
                    Ok(value) => value.to_le_bytes().to_vec(),
                    Err(_) => bail!("`{text}` is not a number"),
                }
            }
            MergeOperator::Append | MergeOperator::ReplaceIfGreater => bytes.to_vec(),
        })
    }

    /// The merged value, as text.
    fn result(self, bytes: &[u8]) -> Outcome {
        let word = <[u8; 8]>::try_from(bytes);
        match (self, word) {
            (MergeOperator::Add | MergeOperator::Min | MergeOperator::Max, Ok(word)) => {
                Outcome::value(i64::from_le_bytes(word))
            }
            (MergeOperator::AddF64 | MergeOperator::MinF64 | MergeOperator::MaxF64, Ok(word)) => {
                Outcome::value(f64::from_le_bytes(word))
            }
            _ => Outcome::bytes(Some(bytes)),
        }
    }
}

impl MapArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let map = on.client.map(&self.name);
        Ok(match &self.op {
            MapCommand::Get { key, number } => number.outcome(map.get(&on.bytes(key)?)?)?,
            MapCommand::Put { key, value } => put(map.put(&on.bytes(key)?, &on.bytes(value)?)?),
            MapCommand::PutIfAbsent { key, value } => {
                Outcome::truth(map.put_if_absent(&on.bytes(key)?, &on.bytes(value)?)?)
            }
            MapCommand::PutWithToken { token, key, value } => {
                put(map.put_with_token(*token, &on.bytes(key)?, &on.bytes(value)?)?)
            }
            MapCommand::Cas { key, expected, value } => {
                let expected = expected.as_deref().map(|text| on.bytes(text)).transpose()?;
                let value = value.as_deref().map(|text| on.bytes(text)).transpose()?;
                let (key, expected) = (on.bytes(key)?, expected.as_deref());
                Outcome::truth(map.compare_and_swap(&key, expected, value.as_deref())?)
            }
            MapCommand::Swap { key, value, number } => {
                number.taken(map.swap(&on.bytes(key)?, &on.bytes(value)?)?)?
            }
            MapCommand::Remove { keys, lines } => {
                let mut removed = 0;
                for group in groups(&on.items(keys, *lines)?, GROUP_ITEMS, GROUP_BYTES, Vec::len) {
                    removed += map.remove_all(group)?;
                }
                Outcome::value(removed).ending(removed > 0)
            }
            MapCommand::Take { key, number } => number.taken(map.take(&on.bytes(key)?)?)?,
            MapCommand::Contains { key } => Outcome::truth(map.contains_key(&on.bytes(key)?)?),
            MapCommand::ContainsValue { value } => {
                Outcome::truth(map.contains_value(&on.bytes(value)?)?)
            }
            MapCommand::Len => Outcome::value(map.len()?),
            MapCommand::Keys(options) => lines(options.scan(&map, on)?.keys())?,
            MapCommand::Values(options) => options.values(options.scan(&map, on)?)?,
            MapCommand::Entries(options) => entries(options.scan(&map, on)?, options.number)?,
            MapCommand::First(number) => first(map.scan().limit(1), *number)?,
            MapCommand::Last(number) => first(map.scan().reverse().limit(1), *number)?,
            MapCommand::Top { count, number } => {
                entries(map.scan().reverse().limit(*count), *number)?
            }
            MapCommand::PutAll { pairs, lines } => {
                let pairs = on.input.pairs(pairs, *lines)?;
                let mut new = 0;
                for group in groups(&pairs, GROUP_ITEMS / 2, GROUP_BYTES, pair_bytes) {
                    new += map.put_all(group.iter().map(|(key, value)| (key, value)))?;
                }
                Outcome::value(new)
            }
            MapCommand::Merge { key, value, op } => {
                let value = op.operand(&on.bytes(value)?)?;
                op.result(&map.merge(&on.bytes(key)?, op.merge(), &value)?)
            }
            MapCommand::MergeAll { op, pairs, lines } => {
                let operand = |(key, value): (Vec<u8>, Vec<u8>)| Ok((key, op.operand(&value)?));
                let pairs = on.input.pairs(pairs, *lines)?.into_iter().map(operand);
                let pairs = pairs.collect::<anyhow::Result<Vec<_>>>()?;
                let mut new = 0;
                for group in groups(&pairs, GROUP_ITEMS / 2, GROUP_BYTES, pair_bytes) {
                    let pairs = group.iter().map(|(key, value)| (key, value));
                    new += map.merge_all(op.merge(), pairs)?;
                }
                Outcome::value(new)
            }
            MapCommand::Clear => Outcome::value(map.clear()?),
        })
    }
}

/// What a put did: whether the key had a value.
fn put(replaced: bool) -> Outcome {
    let text = if replaced { "replaced" } else { "new" };
    Outcome::value(json!({"replaced": replaced})).with_text(text)
}

fn pair_bytes((key, value): &(Vec<u8>, Vec<u8>)) -> usize {
    key.len() + value.len()
}

impl ScanOptions {
    fn scan(&self, map: &Map, on: &Context<'_>) -> anyhow::Result<Scan> {
        use std::ops::Bound;
        let from = self.from.as_deref().map(|text| on.bytes(text)).transpose()?;
        let to = self.to.as_deref().map(|text| on.bytes(text)).transpose()?;
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let to = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let scan = map.scan().range::<[u8]>((from, to));
        let scan = if self.reverse { scan.reverse() } else { scan };
        Ok(match self.limit {
            Some(limit) => scan.limit(limit),
            None => scan,
        })
    }

    fn values(&self, scan: Scan) -> anyhow::Result<Outcome> {
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for value in scan.values() {
            let (text, json) = self.number.shown(value?.as_ref())?;
            rows.push(vec![text]);
            values.push(json);
        }
        Ok(Outcome::rows(rows, Value::Array(values)))
    }
}

fn lines<T: AsRef<[u8]>>(
    items: impl Iterator<Item = Result<T, catena_client::Error>>,
) -> anyhow::Result<Outcome> {
    let items: Result<Vec<Vec<u8>>, _> =
        items.map(|item| item.map(|item| item.as_ref().to_vec())).collect();
    Ok(Outcome::lines(items?))
}

fn entries(scan: Scan, number: NumberArg) -> anyhow::Result<Outcome> {
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for entry in scan.entries() {
        let (row, json) = entry_as(entry?, number)?;
        rows.push(row);
        values.push(json);
    }
    Ok(Outcome::rows(rows, Value::Array(values)))
}

/// The first entry of a scan.
fn first(scan: Scan, number: NumberArg) -> anyhow::Result<Outcome> {
    let Some(entry) = scan.entries().next() else { return Ok(Outcome::nothing()) };
    let (row, json) = entry_as(entry?, number)?;
    Ok(Outcome::rows(vec![row], json))
}

/// An entry as a row and as JSON.
fn entry_as(
    (key, value): (Vec<u8>, Vec<u8>),
    number: NumberArg,
) -> Result<(Vec<Vec<u8>>, Value), ValueError> {
    let (text, json) = number.shown(&value)?;
    let json = json!({"key": bytes_json(&key), "value": json});
    Ok((vec![key, text], json))
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Name of the set
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: SetCommand,
}

#[derive(Debug, Subcommand)]
enum SetCommand {
    /// Add members, and print how many are new
    Add {
        #[arg(required = true)]
        members: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Remove members, and print how many existed
    #[command(visible_alias = "rm")]
    Remove {
        #[arg(required = true)]
        members: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Print whether all of these are members
    Contains {
        #[arg(required = true)]
        members: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Remove all members except these, and print how many
    RetainAll {
        members: Vec<String>,
        #[command(flatten)]
        lines: LinesArg,
    },
    /// Print the members, in order
    #[command(visible_alias = "ls")]
    Members,
    /// Print the number of members
    Len,
    /// Remove all members, and print how many
    Clear,
}

impl SetArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let set = on.client.set(&self.name);
        Ok(match &self.op {
            SetCommand::Add { members, lines } => {
                let added = by_group(&on.items(members, *lines)?, |group| set.add_all(group))?;
                Outcome::value(added).ending(added > 0)
            }
            SetCommand::Remove { members, lines } => {
                let members = on.items(members, *lines)?;
                let removed = by_group(&members, |group| set.remove_all(group))?;
                Outcome::value(removed).ending(removed > 0)
            }
            SetCommand::Contains { members, lines } => {
                let members = on.items(members, *lines)?;
                let missing = by_group(&members, |group| Ok(u64::from(!set.contains_all(group)?)))?;
                Outcome::truth(missing == 0)
            }
            SetCommand::RetainAll { members, lines } => {
                Outcome::value(set.retain_all(&on.items(members, *lines)?)?)
            }
            SetCommand::Members => lines(set.members())?,
            SetCommand::Len => Outcome::value(set.len()?),
            SetCommand::Clear => Outcome::value(set.clear()?),
        })
    }
}

/// Acts on members in groups that requests can carry. Returns the sum of the results.
fn by_group(
    members: &[Vec<u8>],
    act: impl Fn(&[Vec<u8>]) -> Result<u64, Error>,
) -> Result<u64, Error> {
    groups(members, GROUP_ITEMS, GROUP_BYTES, Vec::len).into_iter().map(act).sum()
}
