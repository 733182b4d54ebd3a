//! Two user-defined types of objects: a counter with bounds, and the most frequent words of a
//! stream, counted approximately in constant memory.
//!
//! `cargo run -p catena-client --example custom_objects`; it starts an engine, because an engine
//! has to be built with its user-defined types.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::collections::BTreeMap;
use std::thread;

use catena_client::rkyv::{Archive, Archived, Deserialize, Serialize};
use catena_client::{Client, Error, UserType};
use catena_engine::{BadSnapshot, Context, Engine, Object, Rejection};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const THREADS: u64 = 4;

/// A number from 0 to 100.
#[derive(Default)]
struct Bounded {
    value: u64,
}

const BOUND: u64 = 100;
/// The code with which a bounded counter refuses an op.
const OUT_OF_BOUNDS: Rejection = Rejection(1);

#[derive(Archive, Serialize)]
#[rkyv(crate = catena_client::rkyv)]
enum BoundedOp {
    Add { delta: i64 },
    Value,
}

// The part that client and engine share.
impl UserType for Bounded {
    const TYPE_ID: u32 = 1;
    const NAME: &'static str = "bounded counter";
    type Op = BoundedOp;
    type Reply = u64;
}

impl Bounded {
    fn plus(&self, delta: i64) -> Result<u64, Rejection> {
        let sum = self.value.checked_add_signed(delta);
        sum.filter(|sum| *sum <= BOUND).ok_or(OUT_OF_BOUNDS)
    }
}

// The part of the engine.
impl Object for Bounded {
    fn check(&self, op: &Archived<BoundedOp>) -> Result<(), Rejection> {
        match op {
            ArchivedBoundedOp::Add { delta } => self.plus(delta.to_native()).map(drop),
            ArchivedBoundedOp::Value => Ok(()),
        }
    }

    fn apply(&mut self, op: &Archived<BoundedOp>, context: &mut Context) -> u64 {
        match op {
            ArchivedBoundedOp::Add { delta } => {
                self.value = self.plus(delta.to_native()).expect("the op was checked");
            }
            ArchivedBoundedOp::Value => context.unchanged(),
        }
        self.value
    }

    fn read(&self, op: &Archived<BoundedOp>) -> Result<u64, Rejection> {
        match op {
            ArchivedBoundedOp::Value => Ok(self.value),
            ArchivedBoundedOp::Add { .. } => Err(Rejection::UNSUPPORTED),
        }
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value.to_le_bytes());
    }

    fn restore(bytes: &[u8]) -> Result<Bounded, BadSnapshot> {
        let value = bytes.try_into().map_err(|_| BadSnapshot("a number"))?;
        Ok(Bounded { value: u64::from_le_bytes(value) })
    }

    fn describe(&self) -> String {
        format!("{} of {BOUND}", self.value)
    }
}

/// The most frequent words of a stream, with a fixed number of counts: the Space-Saving sketch
/// (Metwally, Agrawal, El Abbadi: *Efficient Computation of Frequent and Top-k Elements in Data
/// Streams*, 2005). A new word replaces the rarest one and continues its count, so a count is never
/// too low, and too high by at most `error`.
#[derive(Default)]
struct TopWords {
    counts: BTreeMap<String, Count>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[rkyv(crate = catena_client::rkyv)]
struct Count {
    count: u64,
    error: u64,
}

/// The number of words that are counted at a time.
const ROOM: usize = 24;

#[derive(Archive, Serialize)]
#[rkyv(crate = catena_client::rkyv)]
enum TopOp {
    Seen { words: Vec<String> },
    Top { limit: u32 },
}

impl UserType for TopWords {
    const TYPE_ID: u32 = 2;
    const NAME: &'static str = "top words";
    type Op = TopOp;
    type Reply = Vec<(String, Count)>;
}

impl TopWords {
    fn see(&mut self, word: &str) {
        if let Some(known) = self.counts.get_mut(word) {
            known.count += 1;
            return;
        }
        let mut seen = Count { count: 1, error: 0 };
        if self.counts.len() == ROOM {
            // The first of the rarest ones, so that every replica chooses the same.
            let rarest = self.counts.iter().min_by_key(|(_, known)| known.count);
            let rarest = rarest.expect("there is room for some").0.clone();
            let Count { count, .. } = self.counts.remove(&rarest).expect("it is there");
            seen = Count { count: count + 1, error: count };
        }
        self.counts.insert(word.to_owned(), seen);
    }

    fn top(&self, limit: usize) -> Vec<(String, Count)> {
        let mut top: Vec<_> =
            self.counts.iter().map(|(word, count)| (word.clone(), *count)).collect();
        top.sort_by_key(|(_, count)| std::cmp::Reverse(count.count));
        top.truncate(limit);
        top
    }
}

impl Object for TopWords {
    fn apply(&mut self, op: &Archived<TopOp>, context: &mut Context) -> Vec<(String, Count)> {
        match op {
            ArchivedTopOp::Seen { words } => {
                words.iter().for_each(|word| self.see(word));
                Vec::new()
            }
            ArchivedTopOp::Top { limit } => {
                context.unchanged();
                self.top(limit.to_native() as usize)
            }
        }
    }

    fn read(&self, op: &Archived<TopOp>) -> Result<Vec<(String, Count)>, Rejection> {
        match op {
            ArchivedTopOp::Top { limit } => Ok(self.top(limit.to_native() as usize)),
            ArchivedTopOp::Seen { .. } => Err(Rejection::UNSUPPORTED),
        }
    }

    fn reply_bytes_max(&self, op: &Archived<TopOp>) -> usize {
        match op {
            ArchivedTopOp::Seen { .. } => 64,
            // Long words may exceed the limit for the reply to an update.
            ArchivedTopOp::Top { .. } => {
                64 + self.counts.keys().map(|word| word.len() + 40).sum::<usize>()
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.counts.keys().map(|word| word.len() as u64 + 64).sum()
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        for (word, Count { count, error }) in &self.counts {
            out.extend_from_slice(&count.to_le_bytes());
            out.extend_from_slice(&error.to_le_bytes());
            out.extend_from_slice(&(word.len() as u64).to_le_bytes());
            out.extend_from_slice(word.as_bytes());
        }
    }

    fn restore(mut bytes: &[u8]) -> Result<TopWords, BadSnapshot> {
        let mut top = TopWords::default();
        while !bytes.is_empty() {
            let (count, error) = (number(&mut bytes)?, number(&mut bytes)?);
            let len = usize::try_from(number(&mut bytes)?).unwrap_or(usize::MAX);
            let (word, rest) = bytes.split_at_checked(len).ok_or(BadSnapshot("a word"))?;
            let word = str::from_utf8(word).map_err(|_| BadSnapshot("text"))?;
            top.counts.insert(word.to_owned(), Count { count, error });
            bytes = rest;
        }
        Ok(top)
    }

    fn describe(&self) -> String {
        match self.top(1).first() {
            Some((word, Count { count, .. })) => format!("`{word}` comes first, {count} times"),
            None => "no words yet".to_owned(),
        }
    }
}

fn number(bytes: &mut &[u8]) -> Result<u64, BadSnapshot> {
    let (number, rest) = bytes.split_first_chunk().ok_or(BadSnapshot("a number"))?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*number))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Checks that the type is deterministic; every type should have this test.
    catena_engine::rehearse::<Bounded>(&[BoundedOp::Add { delta: 3 }, BoundedOp::Value]);
    let words = (0..200).map(|i| TopOp::Seen { words: vec![word(i)] });
    let ops: Vec<TopOp> = words.chain([TopOp::Top { limit: 100 }]).collect();
    catena_engine::rehearse::<TopWords>(&ops);

    let engine = Engine::builder().register::<Bounded>().register::<TopWords>().start()?;
    let address = engine.addresses()[0].to_string();
    sell_seats(&address)?;
    count_words(&address)?;
    Ok(())
}

/// Sells seats to more buyers than there are: each seat is sold, and sold once.
fn sell_seats(address: &str) -> Result<(), Error> {
    let buyer = || -> Result<u64, Error> {
        let client = Client::connect(address)?;
        let seats = client.object::<Bounded>("example/seats");
        let mut bought = 0;
        for _ in 0..BOUND / 2 {
            match seats.update(&BoundedOp::Add { delta: 1 }) {
                Ok(_) => bought += 1,
                Err(error) if error.rejection() == Some(OUT_OF_BOUNDS.0) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bought)
    };
    let bought = on_threads(|_| buyer())?;
    let client = Client::connect(address)?;
    let seats = client.object::<Bounded>("example/seats");
    let sold = seats.read(&BoundedOp::Value)?;
    println!("{THREADS} buyers wanted {} seats and got {bought:?}", THREADS * (BOUND / 2));
    assert_eq!((sold, bought.iter().sum::<u64>()), (BOUND, BOUND), "all seats, each once");
    let refused = seats.update(&BoundedOp::Add { delta: 1 }).expect_err("none is left");
    println!("one more: {refused}");
    Ok(())
}

/// Counts words from several threads, and compares the counts with the exact ones.
fn count_words(address: &str) -> Result<(), Error> {
    const WORDS: u64 = 40_000;
    on_threads(|thread| {
        let client = Client::connect(address)?;
        let top = client.object::<TopWords>("example/words");
        let mine: Vec<String> = (0..WORDS).filter(|i| i % THREADS == thread).map(word).collect();
        mine.chunks(100)
            .try_for_each(|words| top.update(&TopOp::Seen { words: words.to_vec() }).map(drop))
    })?;

    let mut truth = BTreeMap::new();
    for word in (0..WORDS).map(word) {
        *truth.entry(word).or_insert(0_u64) += 1;
    }
    let client = Client::connect(address)?;
    let top = client.object::<TopWords>("example/words");
    let found = top.read(&TopOp::Top { limit: 8 })?;
    println!("{WORDS} words, {} different ones, {ROOM} counts:", truth.len());
    for (word, Count { count, error }) in &found {
        let real = truth[word];
        println!("  {word:>8}: {}..={count} times, exactly {real}", count - error);
        assert!((count - error..=*count).contains(&real), "the bounds hold");
        assert!(*error <= WORDS / ROOM as u64, "the error bound of the paper holds");
    }
    let most = truth.iter().max_by_key(|(_, count)| **count).expect("there are words");
    assert_eq!(&found[0].0, most.0, "the most frequent word is found");
    let line = top.inspect()?.expect("it is there").detail;
    println!("`catena inspect` shows: {line}");
    Ok(())
}

/// Runs `act` on several threads.
fn on_threads<T: Send>(act: impl Fn(u64) -> Result<T, Error> + Sync) -> Result<Vec<T>, Error> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || act(i))).collect();
        threads.into_iter().map(|thread| thread.join().expect("does not panic")).collect()
    })
}

/// Word number `i` of a random stream, of which one word is half, another a sixth, and so on.
fn word(i: u64) -> String {
    let random = SplitMix64::seed_from_u64(i).next_u64() >> 40;
    format!("word-{}", (1 << 24) / (random + 1))
}
