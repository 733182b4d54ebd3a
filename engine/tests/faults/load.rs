//! Clients that increment counters, and record which increments were acknowledged.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena_client::{Client, ReadFrom};

/// Running clients.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// The addresses of the cluster for new clients.
    seeds: Mutex<String>,
    /// Acknowledged updates.
    acknowledged: AtomicU64,
    /// The least value of the shared counter, because a client has received it.
    floor: AtomicI64,
    reads: AtomicU64,
    /// The longest time that a client waited for an update, in microseconds, since it was last read.
    longest_us: AtomicU64,
    /// The failures of clients.
    failures: Mutex<Vec<String>>,
}

/// The counts of a load.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) reads: u64,
}

/// Longer than any outage of these tests, so that no call may fail.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

impl Load {
    /// Starts `writers` clients, each of which increments a counter of its own and one that all share,
    /// and `readers` that read the shared one from any member.
    pub(crate) fn start(seeds: &str, writers: usize, readers: usize) -> Load {
        let shared = Arc::new(Shared { seeds: Mutex::new(seeds.to_owned()), ..Shared::default() });
        let writer = |number| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.guarded(|shared| shared.write(number)))
        };
        let reader = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.guarded(Shared::read))
        };
        let threads = (0..writers).map(writer).chain((0..readers).map(reader)).collect();
        Load { shared, threads }
    }

    /// Returns the number of acknowledged updates so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until this many more updates were acknowledged.
    pub(crate) fn await_more(&self, more: u64) {
        let (upto, latest) = (self.acknowledged() + more, Instant::now() + CALL_TIMEOUT);
        while self.acknowledged() < upto {
            assert!(Instant::now() < latest, "no progress: {:?}", self.failures());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the longest time that a client has waited for an update since the last call of this.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.shared.longest_us.swap(0, Ordering::SeqCst))
    }

    fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap().clone()
    }

    /// Stops the clients, and compares the acknowledged updates with the counters.
    pub(crate) fn finish(self, seeds: &str) -> Tally {
        self.shared.over.store(true, Ordering::SeqCst);
        let writers = self.threads.len();
        for thread in self.threads {
            thread.join().unwrap();
        }
        let failures = self.shared.failures.lock().unwrap();
        assert!(failures.is_empty(), "{failures:#?}");
        let client = connect(seeds);
        let own: i64 = (0..writers).map(|n| client.counter(&own_counter(n)).get().unwrap()).sum();
        let (acknowledged, shared) =
            (self.shared.acknowledged.load(Ordering::SeqCst), client.counter(SHARED));
        assert_eq!(own, i64::try_from(acknowledged).unwrap(), "counted and acknowledged");
        assert_eq!(shared.get().unwrap(), own, "both counters were incremented together");
        Tally { acknowledged, reads: self.shared.reads.load(Ordering::SeqCst) }
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
    /// Runs the work of a thread, and records its failure.
    fn guarded(&self, work: impl FnOnce(&Shared) -> Result<(), String>) {
        if let Err(why) = work(self) {
            self.failures.lock().unwrap().push(why);
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
            // This is the only writer, so a lost or repeated update shows at once.
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
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
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
                return Err(format!("stale: read {value} after a client had received {floor}"));
            }
            // No reader may read an older value than another reader before it.
            self.floor.fetch_max(value, Ordering::SeqCst);
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}
