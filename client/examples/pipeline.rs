//! Counts words in one batch instead of one call for each word: the same result in far fewer round
//! trips.
//!
//! `cargo run -p catena-client --example pipeline [HOST:PORT]`; without an address it
//! starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use std::time::Instant;

use catena_client::{Counter, CounterOp, Reply};
use common::ExampleEngine;

const TEXT: &str = "to be or not to be that is the question";
const TIMES: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;

    let client = engine.client()?;
    let counter = |word| client.counter(&format!("example/word/{word}"));
    let words: Vec<Counter> = TEXT.split(' ').map(counter).collect();
    words.iter().try_for_each(|word| word.delete().map(drop))?;

    let start = Instant::now();
    for word in words.iter().cycle().take(words.len() * TIMES) {
        word.increment()?;
    }
    let one_by_one = start.elapsed();

    let start = Instant::now();
    let mut pipeline = client.pipeline();
    for word in words.iter().cycle().take(words.len() * TIMES) {
        pipeline.push(word, CounterOp::Add { delta: 1 });
    }
    let gets: Vec<usize> = words.iter().map(|word| pipeline.push(word, CounterOp::Get)).collect();
    let replies = pipeline.run().all_ok()?;
    let pipelined = start.elapsed();

    for (word, get) in words.iter().zip(gets) {
        let in_text = TEXT.split(' ').filter(|other| word.name().ends_with(&format!("/{other}")));
        let expected = i64::try_from(2 * TIMES * in_text.count())?;
        assert_eq!(
            replies.get(get).expect("all succeeded"),
            Reply::Int(expected),
            "{}",
            word.name()
        );
    }
    let ops = words.len() * TIMES;
    println!("{ops} ops one by one in {one_by_one:?}, as a pipeline in {pipelined:?}");
    words.iter().try_for_each(|word| word.delete().map(drop))?;
    Ok(())
}
