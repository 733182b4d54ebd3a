//! An object store in memory that speaks S3 over HTTP on loopback, for tests.
//!
//! It is there because most stand-ins check a condition first and write later, so that two writers
//! can both win: here one lock is held over both. It answers what Catena uses of S3: GET with ranges
//! and conditions, PUT with conditions, HEAD, DELETE, ListObjectsV2 with pages, multipart uploads.
//! Entity tags are hashes of the contents, as in S3, so that whoever writes the same twice meets the
//! same tag.
//!
//! It can be made to fail as stores and networks do, with what is called a `Fault`.
//!
//! Building it takes the feature `server`, and so does the program of the same name, which is one for
//! trying things out by hand.

#![cfg(feature = "server")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

mod serve;
mod store;

use store::Store;

/// Key id that the stand-in knows.
pub const ACCESS_KEY: &str = "test";

/// The secret that goes with it.
pub const SECRET_ACCESS_KEY: &str = "test-secret";

/// A store that runs until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What befalls a PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and nothing is done.
    Refuse(u16),
    /// It is done, and the connection ends without an answer.
    LoseReply,
    /// Nothing is done, and the connection ends without an answer.
    Drop,
    /// It is done, and answered, this much later, whether or not anybody still waits.
    Late(Duration),
}

/// What befalls a GET of an object. Other requests than these two pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetFault {
    /// It is answered with this status.
    Refuse(u16),
    /// The connection ends after so many bytes of the contents.
    Cut(usize),
}

#[derive(Debug, Default)]
struct Shared {
    store: Store,
    faults: Mutex<VecDeque<Fault>>,
    puts: Mutex<u64>,
    get_faults: Mutex<VecDeque<GetFault>>,
    gets: Mutex<u64>,
}

impl StandIn {
    /// Starts a store with these buckets on a port of its own, on a thread of its own.
    ///
    /// # Panics
    ///
    /// If there is no loopback or no thread to be had.
    pub fn start(buckets: &[&str]) -> StandIn {
        StandIn::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), buckets)
    }

    /// Starts a store at a given address.
    ///
    /// # Panics
    ///
    /// If the address cannot be had.
    pub fn start_at(address: SocketAddr, buckets: &[&str]) -> StandIn {
        let shared = Arc::new(Shared::default());
        for bucket in buckets {
            shared.store.make_bucket(bucket);
        }
        let listener = std::net::TcpListener::bind(address).expect("an address to listen at");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let served = shared.clone();
        let thread = std::thread::Builder::new().name("s3-stand-in".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = serve::serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        let thread = Some(thread.expect("a thread"));
        StandIn { address, shared, stop: Some(stop), thread }
    }

    /// What to tell a client as its endpoint.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next PUTs, in this order, each suffer a fault.
    pub fn fail_puts(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// How many PUTs came, including those that failed.
    pub fn puts(&self) -> u64 {
        *lock(&self.shared.puts)
    }

    /// Lets the next GETs of objects, in the order in which they come, each suffer a fault.
    pub fn fail_gets(&self, faults: impl IntoIterator<Item = GetFault>) {
        lock(&self.shared.get_faults).extend(faults);
    }

    /// How many GETs of objects came, including those that failed.
    pub fn gets(&self) -> u64 {
        *lock(&self.shared.gets)
    }

    /// The keys of all objects in a bucket, in order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.shared.store.keys(bucket)
    }

    /// Puts an object there directly.
    ///
    /// # Panics
    ///
    /// If there is no such bucket.
    pub fn put(&self, bucket: &str, key: &str, contents: impl Into<Bytes>) {
        self.shared.store.insert(bucket, key, contents.into()).expect("a bucket");
    }

    /// What an object contains; nothing if there is none.
    pub fn contents(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.shared.store.contents(bucket, key)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A test that failed elsewhere is no reason to fail here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
