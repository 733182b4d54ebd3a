//! An object store in memory that speaks S3 over HTTP on loopback, for tests.
//!
//! Most stand-ins check a condition first and write later, so that two conditional writers can both
//! win; this one holds one lock over both. It serves the part of S3 that Catena uses: GET with
//! ranges and conditions, PUT with conditions, HEAD, DELETE, ListObjectsV2 with pages, multipart
//! uploads. Entity tags are hashes of the contents, as in S3, so that writing the same contents
//! twice gives the same tag.
//!
//! It can be made to fail as stores and networks do: [`Fault`], [`GetFault`].
//!
//! The program of the same name serves a store, to try things out by hand.
//!
//! The crate is empty without its feature `server`, which takes minutes of building. Features of
//! other crates cannot turn it on, because a feature that names a dev-dependency keeps a crate from
//! being packaged. So tests that use the store say it themselves:
//!
//! ```sh
//! cargo test -p catena-engine --features s3,catena-s3-stand-in/server --lib register
//! cargo test --workspace --all-features
//! ```

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

/// The access key that the stand-in accepts.
pub const ACCESS_KEY: &str = "test";

/// The secret of [`ACCESS_KEY`].
pub const SECRET_ACCESS_KEY: &str = "test-secret";

/// A store that is served until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How a PUT fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The reply is this status, and nothing is stored.
    Refuse(u16),
    /// The object is stored, and the connection ends without a reply.
    LoseReply,
    /// Nothing is stored, and the connection ends without a reply.
    Drop,
    /// The object is stored this much later, even if the client has disconnected by then.
    Late(Duration),
}

/// How a GET of an object fails. Requests other than PUT and GET of an object do not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetFault {
    /// The reply is this status.
    Refuse(u16),
    /// The connection ends after this many bytes of the contents.
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
    /// Starts a store with these buckets on a free port of the loopback interface, on its own
    /// thread.
    ///
    /// # Panics
    ///
    /// There is no loopback interface, or no thread can be started.
    pub fn start(buckets: &[&str]) -> StandIn {
        StandIn::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), buckets)
    }

    /// Starts a store with these buckets at an address.
    ///
    /// # Panics
    ///
    /// The address cannot be bound.
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

    /// Returns the endpoint URL for clients.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes the next PUTs fail in these ways, in order, one fault each.
    pub fn fail_puts(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// Returns how many PUTs arrived, including those that failed.
    pub fn puts(&self) -> u64 {
        *lock(&self.shared.puts)
    }

    /// Makes the next GETs of objects fail in these ways, in order, one fault each.
    pub fn fail_gets(&self, faults: impl IntoIterator<Item = GetFault>) {
        lock(&self.shared.get_faults).extend(faults);
    }

    /// Returns how many GETs of objects arrived, including those that failed.
    pub fn gets(&self) -> u64 {
        *lock(&self.shared.gets)
    }

    /// Returns the keys of all objects in a bucket, in order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.shared.store.keys(bucket)
    }

    /// Stores an object directly.
    ///
    /// # Panics
    ///
    /// The bucket does not exist.
    pub fn put(&self, bucket: &str, key: &str, contents: impl Into<Bytes>) {
        self.shared.store.insert(bucket, key, contents.into()).expect("a bucket");
    }

    /// Returns the contents of an object, if it exists.
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

/// Locks a mutex, also after a panic: a test that failed elsewhere is no reason to fail here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
