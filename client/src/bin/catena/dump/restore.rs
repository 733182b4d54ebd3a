//! Makes the objects of a dump anew.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use catena_client::{Client, Kind};
use clap::Args;
use serde_json::{Value, json};

use super::format::{DumpError, DumpReader, Record, bytes_of, from_hex};
use crate::context::Context;
use crate::outcome::Outcome;
use crate::values::{GROUP_BYTES, GROUP_ITEMS, groups};

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The dump [default: standard input]. A file is checked before anything is changed; from a
    /// pipe, objects are made as they come
    file: Option<PathBuf>,
    /// Replace objects that exist
    #[arg(long)]
    replace: bool,
    /// Only check the dump, and print how many objects it has
    #[arg(long)]
    check: bool,
}

impl RestoreArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let mut file = match &self.file {
            Some(path) => {
                File::open(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            None => {
                if on.input.stdin_taken {
                    return Err(crate::values::ValueError::StdinTaken.into());
                }
                File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(DumpError::Read)?)
            }
        };
        // A pipe cannot be read twice.
        let start = file.stream_position().ok();
        if self.check || start.is_some() {
            let mut reader = DumpReader::new(BufReader::new(&file))?;
            let mut objects = 0_u64;
            while let Some(record) = reader.next()? {
                if let Some(target) = Target::of(&record, &reader)? {
                    objects += 1;
                    if !self.replace && !self.check {
                        refuse_existing(on.client, &target.name)?;
                    }
                }
            }
            if self.check {
                return Ok(Outcome::value(json!({"objects": objects}))
                    .with_text(format!("the dump is whole: {objects} objects")));
            }
        }
        if let Some(start) = start {
            file.seek(SeekFrom::Start(start)).map_err(DumpError::Read)?;
        }
        let mut reader = DumpReader::new(BufReader::new(&file))?;
        let restored = restore(on.client, &mut reader, self.replace);
        let (objects, failure) = restored;
        if let Some(error) = failure {
            return Err(error.context(format!("restored {objects} objects, then it failed")));
        }
        let outcome = Outcome::value(json!({ "objects": objects }));
        Ok(outcome
            .with_text(format!("restored {objects} object{}", if objects == 1 { "" } else { "s" })))
    }
}

/// An object that is restored.
struct Target {
    name: String,
    kind: Kind,
    expires: Option<Duration>,
    has_contents: bool,
}

impl Target {
    /// The object that a record begins, if it begins one.
    fn of<R: std::io::BufRead>(
        record: &Record,
        reader: &DumpReader<R>,
    ) -> Result<Option<Target>, DumpError> {
        let Some(name) = record.0.get("object") else { return Ok(None) };
        let name = name.as_str().ok_or_else(|| reader.bad("`object` is a name"))?;
        let kind = record
            .0
            .get("kind")
            .and_then(Value::as_str)
            .and_then(|name| KINDS.into_iter().find(|kind| kind.name() == name));
        let kind = kind.ok_or_else(|| reader.bad("`kind` is one that a dump may have"))?;
        let expires = record.0.get("expires_ms").and_then(Value::as_u64).map(Duration::from_millis);
        Ok(Some(Target { name: name.to_owned(), kind, expires, has_contents: false }))
    }
}

/// The kinds of objects in dumps.
const KINDS: [Kind; 10] = [
    Kind::Counter,
    Kind::Flag,
    Kind::Cell,
    Kind::Vector,
    Kind::Semaphore,
    Kind::Future,
    Kind::List,
    Kind::Map,
    Kind::Set,
    Kind::Log,
];

fn refuse_existing(client: &Client, name: &str) -> anyhow::Result<()> {
    match client.inspect(name)? {
        Some(_) => Err(DumpError::Exists { name: name.to_owned() }.into()),
        None => Ok(()),
    }
}

/// Restores all objects. Returns how many are complete, and why not all.
fn restore<R: std::io::BufRead>(
    client: &Client,
    reader: &mut DumpReader<R>,
    replace: bool,
) -> (u64, Option<anyhow::Error>) {
    let mut objects = 0;
    let mut target: Option<Target> = None;
    let mut step = || -> anyhow::Result<bool> {
        let record = reader.next()?;
        let next = record.as_ref().map(|record| Target::of(record, reader)).transpose()?.flatten();
        if (record.is_none() || next.is_some())
            && let Some(done) = target.take()
        {
            complete(client, &done)?;
            objects += 1;
        }
        match (record, next) {
            (None, _) => return Ok(false),
            (Some(record), Some(next)) => {
                match replace {
                    true => _ = client.delete(&next.name)?,
                    false => refuse_existing(client, &next.name)?,
                }
                begin(client, &next, &record)
                    .with_context(|| in_object(&next.name))?
                    .ok_or_else(|| reader.bad("the fields of its kind are missing"))?;
                target = Some(next);
            }
            (Some(record), None) => {
                let target = target.as_mut().ok_or_else(|| reader.bad("it has no object"))?;
                let items = record.0.get("items").and_then(Value::as_array);
                let items = items.and_then(|items| items.iter().map(bytes_of).collect());
                let items: Vec<Vec<u8>> = items.ok_or_else(|| reader.bad("it has no `items`"))?;
                target.has_contents |= !items.is_empty();
                contents(client, target, &items)
                    .with_context(|| in_object(&target.name))?
                    .ok_or_else(|| reader.bad("these are no items of this kind"))?;
            }
        }
        Ok(true)
    };
    let failure = loop {
        match step() {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    (objects, failure)
}

fn in_object(name: &str) -> String {
    format!("cannot restore `{name}`")
}

/// Makes an object, without contents that follow. `None` if fields are missing.
///
/// An update that changes nothing makes no object, so one with the value of a new object is changed
/// twice.
fn begin(client: &Client, target: &Target, record: &Record) -> anyhow::Result<Option<()>> {
    let name = &target.name;
    let field = |name: &str| record.0.get(name);
    let made = match target.kind {
        Kind::Counter => field("value").and_then(Value::as_i64).map(|value| {
            let counter = client.counter(name);
            counter.set(if value == 0 { 1 } else { value })?;
            counter.set(value).map(drop)
        }),
        Kind::Flag => field("value").and_then(Value::as_bool).map(|value| {
            let flag = client.flag(name);
            flag.set(true)?;
            flag.set(value).map(drop)
        }),
        Kind::Cell => field("bytes").and_then(bytes_of).map(|bytes| {
            let cell = client.cell(name);
            if bytes.is_empty() {
                cell.set(b"-")?;
            }
            cell.set(&bytes).map(drop)
        }),
        Kind::Vector => return vector(client, name, record),
        Kind::Semaphore => {
            let permits = field("permits").and_then(Value::as_u64);
            permits
                .and_then(|permits| u32::try_from(permits).ok())
                .map(|permits| client.semaphore(name, permits).try_acquire(1).map(drop))
        }
        Kind::Future => match (field("bytes").and_then(bytes_of), field("cancelled")) {
            (Some(bytes), _) => Some(client.future(name).set(&bytes).map(drop)),
            (None, Some(reason)) => {
                reason.as_str().map(|reason| client.future(name).cancel(reason).map(drop))
            }
            (None, None) => None,
        },
        _ => Some(Ok(())),
    };
    Ok(made.transpose()?)
}

fn vector(client: &Client, name: &str, record: &Record) -> anyhow::Result<Option<()>> {
    let columns = record.0.get("columns").and_then(Value::as_u64);
    let columns = columns.and_then(|columns| u32::try_from(columns).ok());
    let bytes = record.0.get("hex").and_then(Value::as_str).and_then(from_hex);
    let (Some(columns), Some(bytes)) = (columns, bytes) else { return Ok(None) };
    let vector = client.vector(name);
    macro_rules! set {
        ($type:ty) => {{
            const BYTES: usize = size_of::<$type>();
            let words = bytes.chunks(BYTES).map(<[u8; BYTES]>::try_from);
            let Ok(words) = words.collect::<Result<Vec<_>, _>>() else { return Ok(None) };
            let numbers: Vec<$type> = words.into_iter().map(<$type>::from_le_bytes).collect();
            vector.set(columns, &numbers)?;
        }};
    }
    match record.0.get("type").and_then(Value::as_str) {
        Some("f64") => set!(f64),
        Some("f32") => set!(f32),
        Some("i64") => set!(i64),
        _ => return Ok(None),
    }
    Ok(Some(()))
}

/// Adds contents to an object. `None` if they are not of its kind.
fn contents(client: &Client, target: &Target, items: &[Vec<u8>]) -> anyhow::Result<Option<()>> {
    let name = &target.name;
    match target.kind {
        Kind::List => {
            for group in groups(items, GROUP_ITEMS, GROUP_BYTES, Vec::len) {
                client.list(name).extend(group)?;
            }
        }
        Kind::Set => {
            for group in groups(items, GROUP_ITEMS, GROUP_BYTES, Vec::len) {
                client.set(name).add_all(group)?;
            }
        }
        Kind::Map if items.len().is_multiple_of(2) => {
            let pairs: Vec<&[Vec<u8>]> = items.chunks(2).collect();
            let bytes = |pair: &&[Vec<u8>]| pair.iter().map(Vec::len).sum();
            for group in groups(&pairs, GROUP_ITEMS / 2, GROUP_BYTES, bytes) {
                client.map(name).put_all(group.iter().map(|pair| (&pair[0], &pair[1])))?;
            }
        }
        Kind::Log => {
            for line in items {
                let Ok(line) = std::str::from_utf8(line) else { return Ok(None) };
                client.log(name).print(line)?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(()))
}

/// Makes an empty object of a kind with contents, and lets it expire if it should.
fn complete(client: &Client, target: &Target) -> anyhow::Result<()> {
    let name = &target.name;
    if !target.has_contents {
        match target.kind {
            Kind::List => {
                client.list(name).push_back(b"-")?;
                client.list(name).clear()?;
            }
            Kind::Set => {
                client.set(name).add(b"-")?;
                client.set(name).clear()?;
            }
            Kind::Map => {
                client.map(name).put(b"-", b"-")?;
                client.map(name).clear()?;
            }
            _ => {}
        }
    }
    if target.expires.is_some() {
        client.expire(name, target.expires)?;
    }
    Ok(())
}
