//! Counts words: every worker counts its part of a text, and merges its counts into one map with
//! one call.
//!
//! `cargo run -p catena-client --example word_count [HOST:PORT]`; without an address it
//! starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use std::collections::BTreeMap;

use catena_client::Error;
use common::{ExampleEngine, in_threads};

const WORKERS: u32 = 4;
const TEXT: &str = include_str!("../../ARCHITECTURE.md");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;
    let client = engine.client()?;
    client.map("example/words").delete()?;

    let lines: Vec<&str> = TEXT.lines().collect();
    in_threads(WORKERS, |worker| -> Result<(), Error> {
        let part = lines.iter().skip(worker as usize).step_by(WORKERS as usize);
        let client = engine.client()?;
        client.map("example/words").add_all(count(part))?;
        Ok(())
    })?;

    let words = client.map("example/words");
    let expected = count(lines.iter());
    assert_eq!(words.len()?, expected.len() as u64);
    for entry in words.entries() {
        let (word, times) = entry?;
        let times = i64::from_le_bytes(times.as_slice().try_into().expect("a number"));
        let word = String::from_utf8(word)?;
        assert_eq!(expected.get(&word), Some(&times), "{word}");
    }
    let mut often: Vec<_> = expected.iter().collect();
    often.sort_by_key(|(word, times)| (-**times, word.as_str()));
    let total: i64 = expected.values().sum();
    println!("{WORKERS} workers counted {total} words, {} of them different", expected.len());
    for (word, times) in often.iter().take(5) {
        println!("{times:>5} {word}");
    }
    words.delete()?;
    Ok(())
}

fn count<'a>(lines: impl Iterator<Item = &'a &'a str>) -> BTreeMap<String, i64> {
    let mut times = BTreeMap::new();
    for word in lines.flat_map(|line| line.split(|c: char| !c.is_alphanumeric())) {
        if !word.is_empty() {
            *times.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    times
}
