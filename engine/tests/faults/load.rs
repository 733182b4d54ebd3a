//! Clients that count, and keep count of what they were told.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena_client::{Client, ReadFrom};

/// Clients under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Where new clients look for the cluster.
    seeds: Mutex<String>,
    /// Updates that clients were told of.
    told: AtomicU64,
    /// What the shared counter had at least, because somebody was told so.
    floor: AtomicI64,
    reads: AtomicU64,
    /// The longest time a client waited for an update, in microseconds, since it was last asked for.
    longest_us: AtomicU64,
    /// What went wrong, for people.
    wrong: Mutex<Vec<String>>,
}

/// What was counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) told: u64,
    pub(crate) reads: u64,
}

/// Longer than any outage here: a call that fails is one too many.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

impl Load {
    /// So many clients that each count in a counter of their own and in one that all share, and
    /// `readers` that read the shared one wherever they please.
    pub(crate) fn start(seeds: &str, writers: usize, readers: usize) -> Load {
        let shared = Arc::new(Shared { seeds: Mutex::new(seeds.to_owned()), ..Shared::default() });
        let writer = |number| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.watched(|shared| shared.write(number)))
        };
        let reader = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.watched(Shared::read))
        };
        let threads = (0..writers).map(writer).chain((0..readers).map(reader)).collect();
        Load { shared, threads }
    }

    /// Updates that clients were told of so far.
    pub(crate) fn told(&self) -> u64 {
        self.shared.told.load(Ordering::SeqCst)
    }

    /// Waits until clients were told of so many more updates.
    pub(crate) fn await_more(&self, more: u64) {
        let (upto, latest) = (self.told() + more, Instant::now() + CALL_TIMEOUT);
        while self.told() < upto {
            assert!(Instant::now() < latest, "nothing gets on: {:?}", self.wrong());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The longest time that a client has waited for an update since this was last asked.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.shared.longest_us.swap(0, Ordering::SeqCst))
    }

    fn wrong(&self) -> Vec<String> {
        self.shared.wrong.lock().unwrap().clone()
    }

    /// Ends it, and compares what clients were told with what is there.
    pub(crate) fn finish(self, seeds: &str) -> Tally {
        self.shared.over.store(true, Ordering::SeqCst);
        let writers = self.threads.len();
        for thread in self.threads {
            thread.join().unwrap();
        }
        let wrong = self.shared.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let client = connect(seeds);
        let own: i64 = (0..writers).map(|n| client.counter(&own_counter(n)).get().unwrap()).sum();
        let (told, shared) = (self.shared.told.load(Ordering::SeqCst), client.counter(SHARED));
        assert_eq!(own, i64::try_from(told).unwrap(), "what is there, and what clients were told");
        assert_eq!(shared.get().unwrap(), own, "both counters were counted up together");
        Tally { told, reads: self.shared.reads.load(Ordering::SeqCst) }
    }
}

const SHARED: &str = "faults/shared";

fn own_counter(number: usize) -> String {
    format!("faults/{number}")
}

fn connect(seeds: &str) -> Client {
    Client::builder().call_timeout(CALL_TIMEOUT).connect(seeds).unwrap()
}

impl Shared {
    /// Says what went wrong in a thread.
    fn watched(&self, work: impl FnOnce(&Shared) -> Result<(), String>) {
        if let Err(why) = work(self) {
            self.wrong.lock().unwrap().push(why);
        }
    }

    fn write(&self, number: usize) -> Result<(), String> {
        let client = connect(&self.seeds.lock().unwrap().clone());
        let name = own_counter(number);
        let (own, shared) = (client.counter(&name), client.counter(SHARED));
        let mut before = 0;
        let mut last_shared = 0;
        while !self.over.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let now = own.increment().map_err(|error| format!("{name}: {error}"))?;
            // Nobody else counts here: each update is there once, or it would show at once.
            if now != before + 1 {
                return Err(format!("{name} went from {before} to {now}"));
            }
            before = now;
            let all = shared.increment().map_err(|error| format!("{SHARED}: {error}"))?;
            if all <= last_shared {
                return Err(format!("{SHARED} went from {last_shared} to {all}"));
            }
            last_shared = all;
            self.floor.fetch_max(all, Ordering::SeqCst);
            self.told.fetch_add(1, Ordering::SeqCst);
            let waited = u64::try_from(begun.elapsed().as_micros()).unwrap();
            self.longest_us.fetch_max(waited, Ordering::SeqCst);
        }
        Ok(())
    }

    fn read(&self) -> Result<(), String> {
        let seeds = self.seeds.lock().unwrap().clone();
        let builder = Client::builder().call_timeout(CALL_TIMEOUT).read_from(ReadFrom::Any);
        let client = builder.connect(seeds).unwrap();
        let shared = client.counter(SHARED);
        while !self.over.load(Ordering::SeqCst) {
            let floor = self.floor.load(Ordering::SeqCst);
            let value = shared.get().map_err(|error| format!("reading {SHARED}: {error}"))?;
            if value < floor {
                return Err(format!("stale: read {value} after somebody was told {floor}"));
            }
            // What one reader saw nobody reads the past of.
            self.floor.fetch_max(value, Ordering::SeqCst);
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}
