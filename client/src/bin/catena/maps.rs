//! Maps and sets.

use anyhow::bail;
use catena_client::{Client, Map, Merge, Scan};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::answer::{Answer, bytes_json};
use crate::values::{all_bytes, bytes, pairs};

#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// The map's name.
    name: String,
    #[command(subcommand)]
    op: MapOp,
}

#[derive(Debug, Subcommand)]
enum MapOp {
    /// Prints a key's value.
    Get {
        key: String,
        /// Print 8 bytes as a number.
        #[arg(long)]
        number: bool,
    },
    /// Puts a value, and prints whether there was one before.
    Put { key: String, value: String },
    /// Puts a value if there is none.
    PutIfAbsent { key: String, value: String },
    /// Puts a value, unless a higher fencing token came before.
    PutWithToken { token: u64, key: String, value: String },
    /// Puts a value if the one there is the expected one; without a value, removes it.
    Cas {
        key: String,
        /// What has to be there; nothing, unless given.
        #[arg(long)]
        expected: Option<String>,
        /// What to put there; nothing, unless given.
        #[arg(long)]
        value: Option<String>,
    },
    /// Puts a value, and prints the old one.
    Swap { key: String, value: String },
    /// Removes keys, and prints how many were there.
    #[command(visible_alias = "rm")]
    Remove {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Removes a key, and prints its value.
    Take { key: String },
    /// Whether there is a key.
    Contains { key: String },
    /// Whether some key has a value.
    ContainsValue { value: String },
    /// Prints how many keys there are.
    Len,
    /// Prints the keys, in order.
    Keys(Walk),
    /// Prints the values, in the order of their keys.
    Values(Walk),
    /// Prints keys and values, in order.
    #[command(visible_alias = "ls")]
    Entries(Walk),
    /// Prints the entry with the lowest key.
    First,
    /// Prints the entry with the highest key.
    Last,
    /// Prints the entries with the highest keys.
    Top { count: u64 },
    /// Puts many at once: keys and values in turn. Prints how many keys are new.
    PutAll {
        #[arg(required = true)]
        pairs: Vec<String>,
    },
    /// Combines the value with what is there, and prints the result.
    Merge {
        key: String,
        #[arg(allow_negative_numbers = true)]
        value: String,
        #[arg(long, value_enum, default_value_t = Operator::Add)]
        op: Operator,
    },
    /// Combines many at once: keys and values in turn. All or none.
    MergeAll {
        #[arg(long, value_enum, default_value_t = Operator::Add)]
        op: Operator,
        #[arg(required = true, allow_negative_numbers = true)]
        pairs: Vec<String>,
    },
    /// Removes all keys.
    Clear,
}

/// Which entries to print.
#[derive(Debug, Args)]
struct Walk {
    /// From this key on.
    #[arg(long)]
    from: Option<String>,
    /// Up to this key, without it.
    #[arg(long)]
    to: Option<String>,
    /// From the end backwards.
    #[arg(long)]
    reverse: bool,
    /// So many at most.
    #[arg(long)]
    limit: Option<u64>,
}

/// How values are combined.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Operator {
    /// Adds integers.
    Add,
    /// Keeps the smaller integer.
    Min,
    /// Keeps the larger integer.
    Max,
    /// Adds floats.
    AddF64,
    /// Keeps the smaller float.
    MinF64,
    /// Keeps the larger float.
    MaxF64,
    /// Appends bytes.
    Append,
    /// Keeps the greater bytes.
    ReplaceIfGreater,
}

impl Operator {
    fn merge(self) -> Merge {
        match self {
            Operator::Add => Merge::Add,
            Operator::Min => Merge::Min,
            Operator::Max => Merge::Max,
            Operator::AddF64 => Merge::AddF64,
            Operator::MinF64 => Merge::MinF64,
            Operator::MaxF64 => Merge::MaxF64,
            Operator::Append => Merge::Append,
            Operator::ReplaceIfGreater => Merge::ReplaceIfGreater,
        }
    }

    /// The value as the operator takes it.
    fn operand(self, text: &[u8]) -> anyhow::Result<Vec<u8>> {
        let text = || String::from_utf8_lossy(text).trim().to_owned();
        let number = || -> anyhow::Result<String> { Ok(text()) };
        Ok(match self {
            Operator::Add | Operator::Min | Operator::Max => match number()?.parse::<i64>() {
                Ok(value) => value.to_le_bytes().to_vec(),
                Err(_) => bail!("`{}` is no integer", text()),
            },
            Operator::AddF64 | Operator::MinF64 | Operator::MaxF64 => {
                match number()?.parse::<f64>() {
                    Ok(value) => value.to_le_bytes().to_vec(),
                    Err(_) => bail!("`{}` is no number", text()),
                }
            }
            Operator::Append | Operator::ReplaceIfGreater => text().into_bytes(),
        })
    }

    /// What came of it, as people write it.
    fn result(self, bytes: &[u8]) -> Answer {
        let word = <[u8; 8]>::try_from(bytes);
        match (self, word) {
            (Operator::Add | Operator::Min | Operator::Max, Ok(word)) => {
                Answer::value(i64::from_le_bytes(word))
            }
            (Operator::AddF64 | Operator::MinF64 | Operator::MaxF64, Ok(word)) => {
                Answer::value(f64::from_le_bytes(word))
            }
            _ => Answer::bytes(Some(bytes)),
        }
    }
}

impl MapArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Answer> {
        let map = client.map(&self.name);
        Ok(match &self.op {
            MapOp::Get { key, number: true } => {
                map.get_i64(&bytes(key)?)?.map_or_else(Answer::nothing, Answer::value)
            }
            MapOp::Get { key, number: false } => Answer::bytes(map.get(&bytes(key)?)?),
            MapOp::Put { key, value } => Answer::value(map.put(&bytes(key)?, &bytes(value)?)?),
            MapOp::PutIfAbsent { key, value } => {
                Answer::truth(map.put_if_absent(&bytes(key)?, &bytes(value)?)?)
            }
            MapOp::PutWithToken { token, key, value } => {
                Answer::value(map.put_with_token(*token, &bytes(key)?, &bytes(value)?)?)
            }
            MapOp::Cas { key, expected, value } => {
                let expected = expected.as_deref().map(bytes).transpose()?;
                let value = value.as_deref().map(bytes).transpose()?;
                let (key, expected) = (bytes(key)?, expected.as_deref());
                Answer::truth(map.compare_and_swap(&key, expected, value.as_deref())?)
            }
            MapOp::Swap { key, value } => Answer::bytes(map.swap(&bytes(key)?, &bytes(value)?)?),
            MapOp::Remove { keys } => {
                let removed = map.remove_all(&all_bytes(keys)?)?;
                Answer::value(removed).ending(removed > 0)
            }
            MapOp::Take { key } => Answer::bytes(map.take(&bytes(key)?)?),
            MapOp::Contains { key } => Answer::truth(map.contains_key(&bytes(key)?)?),
            MapOp::ContainsValue { value } => Answer::truth(map.contains_value(&bytes(value)?)?),
            MapOp::Len => Answer::value(map.len()?),
            MapOp::Keys(walk) => lines(walk.scan(&map)?.keys())?,
            MapOp::Values(walk) => lines(walk.scan(&map)?.values())?,
            MapOp::Entries(walk) => entries(walk.scan(&map)?)?,
            MapOp::First => first(map.scan().limit(1))?,
            MapOp::Last => first(map.scan().reverse().limit(1))?,
            MapOp::Top { count } => entries(map.scan().reverse().limit(*count))?,
            MapOp::PutAll { pairs: texts } => Answer::value(map.put_all(pairs(texts)?)?),
            MapOp::Merge { key, value, op } => {
                let value = op.operand(&bytes(value)?)?;
                op.result(&map.merge(&bytes(key)?, op.merge(), &value)?)
            }
            MapOp::MergeAll { op, pairs: texts } => {
                let operand = |(key, value): (Vec<u8>, Vec<u8>)| Ok((key, op.operand(&value)?));
                let pairs: anyhow::Result<Vec<_>> =
                    pairs(texts)?.into_iter().map(operand).collect();
                Answer::value(map.merge_all(op.merge(), pairs?)?)
            }
            MapOp::Clear => Answer::value(map.clear()?),
        })
    }
}

impl Walk {
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
) -> anyhow::Result<Answer> {
    let items: Result<Vec<Vec<u8>>, _> =
        items.map(|item| item.map(|item| item.as_ref().to_vec())).collect();
    Ok(Answer::lines(items?))
}

fn entries(scan: Scan<'_>) -> anyhow::Result<Answer> {
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for entry in scan.entries() {
        let (text, json) = entry_as(&entry?);
        texts.push(text);
        values.push(json);
    }
    Ok(Answer::value(Value::Array(values)).with_text(texts.join("\n")))
}

/// The entry that a scan begins with.
fn first(scan: Scan<'_>) -> anyhow::Result<Answer> {
    let Some(entry) = scan.entries().next() else { return Ok(Answer::nothing()) };
    let (text, json) = entry_as(&entry?);
    Ok(Answer::value(json).with_text(text))
}

/// An entry for people and for machines.
fn entry_as((key, value): &(Vec<u8>, Vec<u8>)) -> (String, Value) {
    let text = format!("{}\t{}", String::from_utf8_lossy(key), String::from_utf8_lossy(value));
    (text, json!({"key": bytes_json(key), "value": bytes_json(value)}))
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The set's name.
    name: String,
    #[command(subcommand)]
    op: SetOp,
}

#[derive(Debug, Subcommand)]
enum SetOp {
    /// Adds members, and prints how many are new.
    Add {
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Removes members, and prints how many were there.
    #[command(visible_alias = "rm")]
    Remove {
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Whether all of these are in it.
    Contains {
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Removes all others, and prints how many.
    RetainAll { members: Vec<String> },
    /// Prints the members, in order.
    #[command(visible_alias = "ls")]
    Members,
    /// Prints how many members there are.
    Len,
    /// Removes all members.
    Clear,
}

impl SetArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Answer> {
        let set = client.set(&self.name);
        Ok(match &self.op {
            SetOp::Add { members } => {
                let added = set.add_all(&all_bytes(members)?)?;
                Answer::value(added).ending(added > 0)
            }
            SetOp::Remove { members } => {
                let removed = set.remove_all(&all_bytes(members)?)?;
                Answer::value(removed).ending(removed > 0)
            }
            SetOp::Contains { members } => Answer::truth(set.contains_all(&all_bytes(members)?)?),
            SetOp::RetainAll { members } => Answer::value(set.retain_all(&all_bytes(members)?)?),
            SetOp::Members => lines(set.members())?,
            SetOp::Len => Answer::value(set.len()?),
            SetOp::Clear => Answer::value(set.clear()?),
        })
    }
}
