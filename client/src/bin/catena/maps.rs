//! Maps and sets.

use anyhow::bail;
use catena_client::{Client, Map, Merge, Scan};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::outcome::{Outcome, bytes_json};
use crate::values::{all_bytes, bytes, pairs};

#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// Name of the map
    name: String,
    #[command(subcommand)]
    op: MapCommand,
}

#[derive(Debug, Subcommand)]
enum MapCommand {
    /// Print the value of a key
    Get {
        key: String,
        /// Print the 8 bytes of an integer as a number
        #[arg(long)]
        number: bool,
    },
    /// Set the value of a key, and print whether it had one
    Put { key: String, value: String },
    /// Set the value of a key that has none, and print whether it did
    PutIfAbsent { key: String, value: String },
    /// Set the value of a key, unless the map has seen a higher fencing token
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
    Swap { key: String, value: String },
    /// Remove keys, and print how many existed
    #[command(visible_alias = "rm")]
    Remove {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Remove a key, and print its value
    Take { key: String },
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
    First,
    /// Print the entry with the highest key
    Last,
    /// Print the entries with the highest keys, the highest first
    Top { count: u64 },
    /// Set several values atomically, given as key value key value …, and print how many keys are
    /// new
    PutAll {
        #[arg(required = true)]
        pairs: Vec<String>,
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
    /// Merge several values atomically, given as key value key value …, and print how many keys are
    /// new
    MergeAll {
        /// How to merge
        #[arg(long, value_enum, default_value_t = MergeOperator::Add)]
        op: MergeOperator,
        #[arg(required = true, allow_negative_numbers = true)]
        pairs: Vec<String>,
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
    fn operand(self, text: &[u8]) -> anyhow::Result<Vec<u8>> {
        let text = || String::from_utf8_lossy(text).trim().to_owned();
        let number = || -> anyhow::Result<String> { Ok(text()) };
        Ok(match self {
            MergeOperator::Add | MergeOperator::Min | MergeOperator::Max => {
                match number()?.parse::<i64>() {
                    Ok(value) => value.to_le_bytes().to_vec(),
                    Err(_) => bail!("`{}` is not an integer", text()),
                }
            }
            MergeOperator::AddF64 | MergeOperator::MinF64 | MergeOperator::MaxF64 => {
                match number()?.parse::<f64>() {
                    Ok(value) => value.to_le_bytes().to_vec(),
                    Err(_) => bail!("`{}` is not a number", text()),
                }
            }
            MergeOperator::Append | MergeOperator::ReplaceIfGreater => text().into_bytes(),
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
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let map = client.map(&self.name);
        Ok(match &self.op {
            MapCommand::Get { key, number: true } => {
                map.get_i64(&bytes(key)?)?.map_or_else(Outcome::nothing, Outcome::value)
            }
            MapCommand::Get { key, number: false } => Outcome::bytes(map.get(&bytes(key)?)?),
            MapCommand::Put { key, value } => {
                Outcome::value(map.put(&bytes(key)?, &bytes(value)?)?)
            }
            MapCommand::PutIfAbsent { key, value } => {
                Outcome::truth(map.put_if_absent(&bytes(key)?, &bytes(value)?)?)
            }
            MapCommand::PutWithToken { token, key, value } => {
                Outcome::value(map.put_with_token(*token, &bytes(key)?, &bytes(value)?)?)
            }
            MapCommand::Cas { key, expected, value } => {
                let expected = expected.as_deref().map(bytes).transpose()?;
                let value = value.as_deref().map(bytes).transpose()?;
                let (key, expected) = (bytes(key)?, expected.as_deref());
                Outcome::truth(map.compare_and_swap(&key, expected, value.as_deref())?)
            }
            MapCommand::Swap { key, value } => {
                Outcome::bytes(map.swap(&bytes(key)?, &bytes(value)?)?)
            }
            MapCommand::Remove { keys } => {
                let removed = map.remove_all(&all_bytes(keys)?)?;
                Outcome::value(removed).ending(removed > 0)
            }
            MapCommand::Take { key } => Outcome::bytes(map.take(&bytes(key)?)?),
            MapCommand::Contains { key } => Outcome::truth(map.contains_key(&bytes(key)?)?),
            MapCommand::ContainsValue { value } => {
                Outcome::truth(map.contains_value(&bytes(value)?)?)
            }
            MapCommand::Len => Outcome::value(map.len()?),
            MapCommand::Keys(options) => lines(options.scan(&map)?.keys())?,
            MapCommand::Values(options) => lines(options.scan(&map)?.values())?,
            MapCommand::Entries(options) => entries(options.scan(&map)?)?,
            MapCommand::First => first(map.scan().limit(1))?,
            MapCommand::Last => first(map.scan().reverse().limit(1))?,
            MapCommand::Top { count } => entries(map.scan().reverse().limit(*count))?,
            MapCommand::PutAll { pairs: texts } => Outcome::value(map.put_all(pairs(texts)?)?),
            MapCommand::Merge { key, value, op } => {
                let value = op.operand(&bytes(value)?)?;
                op.result(&map.merge(&bytes(key)?, op.merge(), &value)?)
            }
            MapCommand::MergeAll { op, pairs: texts } => {
                let operand = |(key, value): (Vec<u8>, Vec<u8>)| Ok((key, op.operand(&value)?));
                let pairs: anyhow::Result<Vec<_>> =
                    pairs(texts)?.into_iter().map(operand).collect();
                Outcome::value(map.merge_all(op.merge(), pairs?)?)
            }
            MapCommand::Clear => Outcome::value(map.clear()?),
        })
    }
}

impl ScanOptions {
    fn scan<'c>(&self, map: &Map<'c>) -> anyhow::Result<Scan<'c>> {
        use std::ops::Bound;
        let from = self.from.as_deref().map(bytes).transpose()?;
        let to = self.to.as_deref().map(bytes).transpose()?;
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let to = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let scan = map.scan().range::<[u8]>((from, to));
        let scan = if self.reverse { scan.reverse() } else { scan };
        Ok(match self.limit {
            Some(limit) => scan.limit(limit),
            None => scan,
        })
    }
}

fn lines<T: AsRef<[u8]>>(
    items: impl Iterator<Item = Result<T, catena_client::Error>>,
) -> anyhow::Result<Outcome> {
    let items: Result<Vec<Vec<u8>>, _> =
        items.map(|item| item.map(|item| item.as_ref().to_vec())).collect();
    Ok(Outcome::lines(items?))
}

fn entries(scan: Scan<'_>) -> anyhow::Result<Outcome> {
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for entry in scan.entries() {
        let (text, json) = entry_as(&entry?);
        texts.push(text);
        values.push(json);
    }
    Ok(Outcome::value(Value::Array(values)).with_text(texts.join("\n")))
}

/// The first entry of a scan.
fn first(scan: Scan<'_>) -> anyhow::Result<Outcome> {
    let Some(entry) = scan.entries().next() else { return Ok(Outcome::nothing()) };
    let (text, json) = entry_as(&entry?);
    Ok(Outcome::value(json).with_text(text))
}

/// An entry as text and as JSON.
fn entry_as((key, value): &(Vec<u8>, Vec<u8>)) -> (String, Value) {
    let text = format!("{}\t{}", String::from_utf8_lossy(key), String::from_utf8_lossy(value));
    (text, json!({"key": bytes_json(key), "value": bytes_json(value)}))
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Name of the set
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
    },
    /// Remove members, and print how many existed
    #[command(visible_alias = "rm")]
    Remove {
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Print whether all of these are members
    Contains {
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Remove all members except these, and print how many
    RetainAll { members: Vec<String> },
    /// Print the members, in order
    #[command(visible_alias = "ls")]
    Members,
    /// Print the number of members
    Len,
    /// Remove all members, and print how many
    Clear,
}

impl SetArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Outcome> {
        let set = client.set(&self.name);
        Ok(match &self.op {
            SetCommand::Add { members } => {
                let added = set.add_all(&all_bytes(members)?)?;
                Outcome::value(added).ending(added > 0)
            }
            SetCommand::Remove { members } => {
                let removed = set.remove_all(&all_bytes(members)?)?;
                Outcome::value(removed).ending(removed > 0)
            }
            SetCommand::Contains { members } => {
                Outcome::truth(set.contains_all(&all_bytes(members)?)?)
            }
            SetCommand::RetainAll { members } => {
                Outcome::value(set.retain_all(&all_bytes(members)?)?)
            }
            SetCommand::Members => lines(set.members())?,
            SetCommand::Len => Outcome::value(set.len()?),
            SetCommand::Clear => Outcome::value(set.clear()?),
        })
    }
}
