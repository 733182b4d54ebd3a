//! Reads objects into records.

use std::io::Write;

use catena_client::{Client, Elements, Error, Kind, ListedObject};
use serde_json::{Value, json};

use super::format::{DumpWriter, Record};
use super::{Summary, with_expiry};
use crate::outcome::bytes_json;
use crate::output::OutputError;
use crate::values::{GROUP_BYTES, GROUP_ITEMS};

/// Writes an object. One that was deleted meanwhile is left out.
pub(super) fn object<W: Write>(
    client: &Client,
    object: &ListedObject,
    out: &mut DumpWriter<W>,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let name = &object.name;
    let Some(inspection) = client.inspect(name)? else { return Ok(()) };
    let Some(kind) = inspection.kind() else {
        *summary.left_out.entry("object of an unknown kind").or_default() += 1;
        return Ok(());
    };
    let fields = match kind {
        Kind::Counter => json!({"value": client.counter(name).get()?}),
        Kind::Flag => json!({"value": client.flag(name).get()?}),
        Kind::Cell => json!({"bytes": bytes_json(&client.cell(name).get()?)}),
        Kind::Vector => {
            let vector = client.vector(name).get()?;
            let (number, bytes) = bytes_of(vector.elements());
            json!({"type": number, "columns": vector.columns(), "hex": hex(&bytes)})
        }
        Kind::Semaphore => json!({"permits": client.semaphore(name, 1).state()?.permits}),
        Kind::Future => match client.future(name).peek() {
            Ok(Some(bytes)) => json!({"bytes": bytes_json(&bytes)}),
            // It has no state yet that could be restored.
            Ok(None) => {
                *summary.left_out.entry("pending future").or_default() += 1;
                return Ok(());
            }
            Err(Error::Broken { reason, .. }) => json!({"cancelled": reason}),
            Err(error) => return Err(error.into()),
        },
        Kind::List | Kind::Map | Kind::Set | Kind::Log => json!({}),
        kind => {
            *summary.left_out.entry(kind.name()).or_default() += 1;
            return Ok(());
        }
    };
    let mut record = json!({"object": name, "kind": kind.name()});
    if let (Value::Object(record), Value::Object(fields)) = (&mut record, fields) {
        record.extend(fields);
    }
    let record = record.as_object().cloned().unwrap_or_default();
    out.record(with_expiry(record, inspection.expires_ms)).map_err(OutputError::from)?;
    summary.objects += 1;
    let requests = match kind {
        Kind::List => {
            let claimed = inspection.holders.len();
            if claimed > 0 {
                let note =
                    format!("`{name}` has items that are claimed, which are not in the dump");
                summary.warnings.push(note);
            }
            contents(client.list(name).items(), out)?
        }
        Kind::Set => contents(client.set(name).members(), out)?,
        Kind::Log => {
            let lines = client.log(name);
            let (mut after, mut requests) = (0, 0);
            loop {
                let page = lines.tail(after)?;
                requests += 1;
                contents(page.iter().map(|line| Ok(line.to_vec())), out)?;
                after = (page.at() + page.len() as u64).saturating_sub(1).max(after);
                if !page.more() || page.is_empty() {
                    break requests;
                }
            }
        }
        Kind::Map => {
            let entries = client.map(name).scan().entries();
            let items = entries.flat_map(|entry| match entry {
                Ok((key, value)) => vec![Ok(key), Ok(value)],
                Err(error) => vec![Err(error)],
            });
            contents(items, out)?
        }
        _ => 0,
    };
    if requests > 0 {
        let now = client.inspect(name)?;
        if now.is_none_or(|now| now.version != inspection.version) {
            let note = format!("`{name}` changed while it was read: its copy may mix both states");
            summary.warnings.push(note);
        }
    }
    Ok(())
}

/// Writes items in records of bounded size. Returns how many records.
fn contents<W: Write>(
    items: impl Iterator<Item = Result<Vec<u8>, Error>>,
    out: &mut DumpWriter<W>,
) -> anyhow::Result<u64> {
    let (mut group, mut bytes, mut records) = (Vec::new(), 0, 0);
    let mut write = |group: &mut Vec<Value>| -> anyhow::Result<()> {
        let items = Value::Array(std::mem::take(group));
        let fields = [("items".to_owned(), items)].into_iter().collect();
        records += 1;
        Ok(out.record(Record(fields)).map_err(OutputError::from)?)
    };
    // An even number of items, so that no key is apart from its value.
    for item in items {
        let item = item?;
        bytes += item.len();
        group.push(bytes_json(&item));
        let is_full = group.len() >= GROUP_ITEMS || bytes >= GROUP_BYTES;
        if is_full && group.len().is_multiple_of(2) {
            write(&mut group)?;
            bytes = 0;
        }
    }
    if !group.is_empty() {
        write(&mut group)?;
    }
    Ok(records.max(1))
}

/// The type of numbers, and their bytes.
fn bytes_of(elements: Elements<'_>) -> (&'static str, Vec<u8>) {
    match elements {
        Elements::F64(values) => {
            ("f64", values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Elements::F32(values) => {
            ("f32", values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Elements::I64(values) => {
            ("i64", values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
