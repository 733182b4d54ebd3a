//! The Santa Claus problem (Trono, 1994): Santa sleeps until all nine reindeer are back, or three
//! of ten elves need help; reindeer have priority. It takes nested barriers, a semaphore for the
//! study, and a queue as the bell.
//!
//! `cargo run -p catena-client --example santa_claus [HOST:PORT]`; without an address it
//! starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use std::time::{Duration, Instant};

use catena_client::{Client, Error};
use common::{ExampleEngine, Random, in_threads};

const REINDEER: u32 = 9;
const ELVES: u32 = 10;
/// How many elves Santa sees at a time.
const GROUP: u32 = 3;
const CHRISTMASES: i64 = 30;
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;
    let client = engine.client()?;
    client.delete_prefix("example/santa/")?;

    let start = Instant::now();
    in_threads(1 + REINDEER + ELVES, |at| -> Result<(), Error> {
        let client = engine.client()?;
        match at {
            0 => santa(&client),
            1..=REINDEER => reindeer(&client, at - 1),
            _ => elf(&client, at - 1 - REINDEER),
        }
    })?;

    let helped = client.counter("example/santa/helped").get()?;
    let delivered = client.counter("example/santa/delivered").get()?;
    println!(
        "{CHRISTMASES} times all toys were delivered, and {helped} times an elf was helped, in \
         {:.1?}",
        start.elapsed()
    );
    assert_eq!(delivered, CHRISTMASES * i64::from(REINDEER), "every reindeer, every time");
    assert_eq!(helped % i64::from(GROUP), 0, "elves are helped in threes");
    client.delete_prefix("example/santa/")?;
    Ok(())
}

/// Sleeps until the bell rings, then meets the group that rang it.
fn santa(client: &Client) -> Result<(), Error> {
    let bell = client.list("example/santa/bell");
    let (delivered, helped) =
        (client.counter("example/santa/delivered"), client.counter("example/santa/helped"));
    let mut christmases = 0;
    while christmases < CHRISTMASES {
        let rung = bell.pop_front_wait(TIMEOUT)?.to_vec();
        let (room, others, counter) = match &rung[..] {
            b"reindeer" => ("sleigh", REINDEER, &delivered),
            _ => ("study", GROUP, &helped),
        };
        let before = counter.get()?;
        meet(client, room, "in", "santa", others + 1)?;
        // All are in, and each counts itself before it leaves.
        meet(client, room, "out", "santa", others + 1)?;
        assert_eq!(counter.get()?, before + i64::from(others), "no other group came in between");
        christmases += i64::from(room == "sleigh");
    }
    // Elves that wait for others to form a group, or for Santa, go home.
    client.barrier("example/santa/queue").break_with("Christmas is over")?;
    client.barrier("example/santa/study in").break_with("Christmas is over")?;
    Ok(())
}

fn reindeer(client: &Client, number: u32) -> Result<(), Error> {
    let name = format!("reindeer {number}");
    let mut random = Random::new(number.into());
    for _ in 0..CHRISTMASES {
        rest(&mut random);
        meet(client, "warm stable", "", &name, REINDEER)?;
        if number == 0 {
            // Ahead of elves that rang before.
            client.list("example/santa/bell").push_front("reindeer")?;
        }
        meet(client, "sleigh", "in", &name, REINDEER + 1)?;
        client.counter("example/santa/delivered").increment()?;
        meet(client, "sleigh", "out", &name, REINDEER + 1)?;
    }
    Ok(())
}

fn elf(client: &Client, number: u32) -> Result<(), Error> {
    let name = format!("elf {number}");
    let mut random = Random::new(100 + u64::from(number));
    let study = client.semaphore("example/santa/porch", GROUP);
    let queue = client.barrier("example/santa/queue");
    let mut me = queue.party(&name, GROUP);
    loop {
        rest(&mut random);
        let permit = study.acquire(1, TIMEOUT)?;
        let group = match me.wait(TIMEOUT) {
            Ok(group) => group,
            Err(Error::Broken { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        // One of the three rings: the first to enter the number of the group.
        if client.map("example/santa/rung").put_if_absent(group.to_be_bytes(), &name)? {
            client.list("example/santa/bell").push_back("elves")?;
        }
        match meet(client, "study", "in", &name, GROUP + 1) {
            Ok(()) => {}
            Err(Error::Broken { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        client.counter("example/santa/helped").increment()?;
        meet(client, "study", "out", &name, GROUP + 1)?;
        permit.release()?;
    }
}

/// Waits in a doorway until all parties are there.
fn meet(client: &Client, room: &str, door: &str, name: &str, parties: u32) -> Result<(), Error> {
    let barrier = client.barrier(&format!("example/santa/{room} {door}"));
    barrier.party(name, parties).wait(TIMEOUT).map(drop)
}

fn rest(random: &mut Random) {
    std::thread::sleep(Duration::from_micros(random.bits() % 500));
}
