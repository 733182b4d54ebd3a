//! Handles whose methods are async, for programs on tokio. Needs the feature `tokio`.
//!
//! The client is blocking, so every call runs on a blocking thread of the runtime. A call that waits
//! keeps such a thread, of which a runtime has 512 unless told otherwise
//! (`tokio::runtime::Builder::max_blocking_threads`); a client has as many calls
//! ([`Builder::calls_max`](crate::Builder::calls_max)). If all of them wait, a release has to wait for one,
//! too: let fewer tasks wait at the same time than there are threads, for example with a semaphore of
//! tokio.
//!
//! A future that is dropped cancels its call truly, as a [`Canceller`] does: a wait inside the engine
//! ends, and what was granted meanwhile is released. So `tokio::time::timeout` and `select!` work for
//! locks, permits and claims. An item that `pop_front_wait` has taken is gone with its future, so take items
//! that matter with `claim`.
//!
//! ```
//! # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
//! # let client = catena_client::Client::connect(engine.addresses()[0])?;
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::time::Duration;
//!
//! let client = client.asynchronous();
//! let (visits, lock) = (client.counter("visits"), client.lock("report/lock"));
//! assert_eq!(visits.increment().await?, 1);
//! let guard = lock.lock(Duration::from_secs(10)).await?;
//! client.cell("report").set_with_token(guard.token(), b"ready".to_vec()).await?;
//! guard.release().await;
//! // Everything else, and several calls in one step:
//! let total = client.run(|client| {
//!     client.counter("visits").multiply(2)?;
//!     client.counter("visits").add(1)
//! });
//! assert_eq!(total.await?, 3);
//! # Ok::<(), catena_client::Error>(())
//! # })?;
//! # Ok::<(), catena_client::Error>(())
//! ```

mod handles;

use std::ops::Deref;
use std::time::Duration;

use tokio::task::{AbortHandle, spawn_blocking};

pub use self::handles::Async;
use crate::cancel::Canceller;
use crate::client::Client;
use crate::error::Error;
use crate::objects::{
    Barrier, Cell, Claim, Counter, Flag, Latch, List, Lock, LockGuard, Log, Map, Object, Permit,
    Reduction, Semaphore, Set, Vector,
};

/// A client whose handles are async; made by [`Client::asynchronous`].
#[derive(Clone, Debug)]
pub struct AsyncClient {
    client: Client,
}

impl Client {
    /// Returns a client whose handles are async, which shares the connections of this one. Needs the
    /// feature `tokio`; see [`asynchronous`](crate::asynchronous).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let visits = client.asynchronous().counter("visits");
    /// assert_eq!(visits.increment().await?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn asynchronous(&self) -> AsyncClient {
        AsyncClient { client: self.clone() }
    }
}

/// Declares what makes handles.
macro_rules! handles {
    ($($method:ident -> $handle:ident($($arg:ident: $type:ty)?);)*) => {
        impl AsyncClient {$(
            #[doc = concat!("As [`Client::", stringify!($method), "`], with async methods.")]
            pub fn $method(&self, name: &str $(, $arg: $type)?) -> Async<$handle> {
                Async::new(self.client.$method(name $(, $arg)?))
            }
        )*}
    };
}

handles! {
    counter -> Counter();
    flag -> Flag();
    cell -> Cell();
    vector -> Vector();
    reduction -> Reduction();
    barrier -> Barrier();
    latch -> Latch();
    list -> List();
    map -> Map();
    set -> Set();
    semaphore -> Semaphore(permits: u32);
    lock -> Lock();
    future -> SharedFuture();
    log -> Log();
}

/// `Future` of the objects, besides that of the standard library.
type SharedFuture = crate::objects::Future;

impl AsyncClient {
    /// Connects, see [`Client::connect`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// use catena_client::asynchronous::AsyncClient;
    ///
    /// let client = AsyncClient::connect(engine.addresses()[0]).await?;
    /// client.counter("visits").increment().await?;
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    pub async fn connect(address: impl ToString) -> Result<AsyncClient, Error> {
        let address = address.to_string();
        on_blocking_thread(None, move || {
            Client::connect(address).map(|client| client.asynchronous())
        })
        .await
    }

    /// Returns the blocking client.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let client = client.asynchronous();
    /// assert!(client.blocking().shards() > 0);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn blocking(&self) -> &Client {
        &self.client
    }

    /// Makes any calls on a blocking thread. If the future is dropped, the call in progress is
    /// cancelled, and later ones of `calls` fail with [`Error::Cancelled`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let client = client.asynchronous();
    /// let words = client.run(|client| client.map("words").keys().collect::<Result<Vec<_>, _>>());
    /// assert!(words.await?.is_empty());
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `calls`.
    pub async fn run<T: Send + 'static>(
        &self,
        calls: impl FnOnce(&Client) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let canceller = Canceller::new();
        let client = self.client.cancelled_by(&canceller);
        on_blocking_thread(Some(canceller), move || calls(&client)).await
    }

    /// Closes the client and its clones, see [`Client::close`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// client.asynchronous().close().await;
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub async fn close(self) {
        let close = move || {
            self.client.close();
            Ok(())
        };
        // It never fails.
        _ = on_blocking_thread(None, close).await;
    }

    /// Returns how long a small request took, see [`Client::ping`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// println!("{:?}", client.asynchronous().ping().await?);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn ping(&self) -> Result<Duration, Error> {
        self.run(Client::ping).await
    }
}

/// Runs a call on a blocking thread, and cancels it if the future is dropped.
async fn on_blocking_thread<T: Send + 'static>(
    canceller: Option<Canceller>,
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let task = spawn_blocking(call);
    let mut guard = CancelOnDrop { canceller, task: task.abort_handle() };
    let result = task.await;
    // What the call returns may make other calls.
    guard.canceller = None;
    match result {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and polls this future no more.
        Err(_) => std::future::pending().await,
    }
}

/// Cancels a call whose future is dropped.
struct CancelOnDrop {
    canceller: Option<Canceller>,
    task: AbortHandle,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // One that no thread has begun yet never begins.
        self.task.abort();
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
    }
}

/// Something that is held, and released on a blocking thread when this is dropped: a
/// [`LockGuard`], a [`Permit`] or a [`Claim`].
#[derive(Debug)]
pub struct AsyncGuard<G: Send + 'static> {
    /// There until it is released.
    guard: Option<G>,
}

impl<G: Send + 'static> AsyncGuard<G> {
    fn new(guard: G) -> AsyncGuard<G> {
        AsyncGuard { guard: Some(guard) }
    }

    /// Returns the guard with blocking methods.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.asynchronous().list("jobs");
    /// jobs.push_back("resize").await?;
    /// let job = jobs.claim(seconds).await?;
    /// assert_eq!(&job.into_blocking()[..], b"resize");
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn into_blocking(mut self) -> G {
        self.guard.take().expect("it is there until it is released")
    }

    /// Releases it, and waits until that is done.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.asynchronous().list("jobs");
    /// jobs.push_back("resize").await?;
    /// let job = jobs.claim(seconds).await?;
    /// job.release().await;
    /// assert_eq!(jobs.len().await?, 1, "it is back");
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub async fn release(self) {
        let guard = self.into_blocking();
        // Dropping ignores errors, because the engine releases it automatically.
        _ = on_blocking_thread(None, move || {
            drop(guard);
            Ok(())
        })
        .await;
    }

    /// Makes a call that ends it, such as [`Claim::done`] or [`LockGuard::unlock`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.asynchronous().list("jobs");
    /// jobs.push_back("resize").await?;
    /// let job = jobs.claim(seconds).await?;
    /// assert!(job.end(|job| job.give_back()).await?);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the call.
    pub async fn end<T: Send + 'static>(
        self,
        call: impl FnOnce(G) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let guard = self.into_blocking();
        on_blocking_thread(None, move || call(guard)).await
    }
}

impl AsyncGuard<Claim> {
    /// Removes the item for good, see [`Claim::done`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.asynchronous().list("jobs");
    /// jobs.push_back("resize").await?;
    /// let job = jobs.claim(seconds).await?;
    /// assert!(job.done().await?);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn done(self) -> Result<bool, Error> {
        self.end(Claim::done).await
    }
}

impl AsyncGuard<LockGuard> {
    /// Releases the lock, see [`LockGuard::unlock`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let guard = client.asynchronous().lock("report").lock(seconds).await?;
    /// assert!(guard.unlock().await?);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn unlock(self) -> Result<bool, Error> {
        self.end(LockGuard::unlock).await
    }
}

impl<G: Send + 'static> Deref for AsyncGuard<G> {
    type Target = G;

    fn deref(&self) -> &G {
        self.guard.as_ref().expect("it is there until it is released")
    }
}

impl<G: Send + 'static> Drop for AsyncGuard<G> {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => _ = runtime.spawn_blocking(move || drop(guard)),
            // Outside of a runtime nothing is disturbed by a short call.
            Err(_) => drop(guard),
        }
    }
}

/// A guard that an [`AsyncGuard`] can hold.
const _: () = {
    const fn sendable<T: Send + Sync>() {}
    sendable::<AsyncGuard<LockGuard>>();
    sendable::<AsyncGuard<Permit>>();
    sendable::<AsyncGuard<Claim>>();
};

impl<H: Object + Clone + Send + 'static> Async<H> {
    /// Makes any calls of the handle on a blocking thread, see [`AsyncClient::run`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let names = client.asynchronous().set("names");
    /// assert_eq!(names.run(|names| names.add_all(["ada", "alan"])).await?, 2);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `calls`.
    pub async fn run<T: Send + 'static>(
        &self,
        calls: impl FnOnce(&H) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let canceller = Canceller::new();
        let handle = self.blocking();
        let handle = handle.with_requester(handle.requester().cancelled_by(&canceller));
        on_blocking_thread(Some(canceller), move || calls(&handle)).await
    }
}
