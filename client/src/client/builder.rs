//! Timeouts, limits and other choices of a client.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

#[cfg(feature = "s3")]
use catena_location::S3Settings;
use catena_protocol::limits::SESSION_TTL_MS_MAX;

use super::Client;
use crate::buffer::Pool;
use crate::config::{Config, ReadFrom, TIMEOUT_MAX};
use crate::error::Error;
use crate::node::Node;
use crate::register::is_place;
use crate::requester::Requester;
use crate::seeds::Seeds;
use crate::shared::Shared;

/// Chooses timeouts and limits for a [`Client`]; made by [`Client::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
    deadline: Option<Instant>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder { config: Config::default(), deadline: None }
    }

    /// Sets the maximum time to open a connection, and until an unresponsive path is given up for
    /// another connection. 2 seconds unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().connect_timeout(Duration::from_millis(500)).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.config.connect_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// Sets the maximum time from a call to its result, with all retries. 5 seconds unless set. A
    /// call that waits inside the engine may take this in addition to its own timeout, and no
    /// longer than this if the engine is gone.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().call_timeout(Duration::from_secs(1)).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn call_timeout(mut self, timeout: Duration) -> Builder {
        self.config.call_timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// Sets how long to poll the socket for a reply before the thread sleeps until it comes. Off
    /// unless set. 20 to 50 µs shorten the round trip if the caller has a core for itself;
    /// otherwise they only take cpu time from others.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().spin(Duration::from_micros(50)).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn spin(mut self, spin: Duration) -> Builder {
        self.config.spin = spin.min(TIMEOUT_MAX);
        self
    }

    /// Sets after how much silence the engine may forget a session of this client, at most an hour.
    /// 20 minutes unless set. A retry that arrives later is refused.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().session_ttl(Duration::from_secs(60)).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn session_ttl(mut self, ttl: Duration) -> Builder {
        let ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        // 0 would mean the engine's default.
        self.config.session_ttl_ms = ttl_ms.clamp(1, SESSION_TTL_MS_MAX);
        self
    }

    /// Sets the largest reply frame to accept, in bytes. The protocol's limit unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().reply_bytes_max(1 << 20).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn reply_bytes_max(mut self, bytes: u32) -> Builder {
        self.config.reply_bytes_max = bytes;
        self
    }

    /// Chooses which members of a cluster serve reads: the heads of the chains unless set. On a
    /// single node it makes no difference.
    ///
    /// Reads stay linearizable with [`ReadFrom::Any`], because a member replies only with updates
    /// that all members have, and only while it has a lease from the others. It takes load from the
    /// heads where many clients read what few write. A member that is busy twice, or cannot be
    /// reached, is avoided for a second, and the head is asked. Reads in a
    /// [`Pipeline`](crate::Pipeline) with updates go to the heads, to keep their order; so do ops
    /// that wait.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::{Client, ReadFrom};
    ///
    /// let client = Client::builder().read_from(ReadFrom::Any).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn read_from(mut self, read_from: ReadFrom) -> Builder {
        self.config.read_from = read_from;
        self
    }

    /// Sets how the store with a cluster's record is reached. Settings that are missing here come
    /// from the environment (`CATENA_S3_ENDPOINT_URL` and so on), or from where the AWS tools look
    /// for them. Needs the feature `s3`.
    #[cfg(feature = "s3")]
    pub fn s3(mut self, settings: S3Settings) -> Builder {
        self.config.s3 = settings;
        self
    }

    /// Chooses whether an update makes the object if it does not exist, as it does unless set. With
    /// `false` such an update is refused with [`Status::Absent`](crate::Status::Absent): for
    /// clients that join a job late, whose objects another client makes and deletes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::{Client, Status};
    ///
    /// let client = Client::builder().makes_objects(false).connect(engine.addresses()[0])?;
    /// let error = client.counter("visits").increment().unwrap_err();
    /// assert_eq!(error.status(), Some(Status::Absent));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn makes_objects(mut self, makes: bool) -> Builder {
        self.config.makes_objects = makes;
        self
    }

    /// Makes calls end early: as long as `cancel` is true, calls end with [`Error::Cancelled`]. One
    /// that waits inside the engine waits there no longer. It takes up to 50 ms until a call notices,
    /// and until the end of the attempt while it connects.
    ///
    /// For programs whose users interrupt them: a signal handler sets it. Other threads cancel calls
    /// with a [`Canceller`](crate::Canceller), which takes effect at once.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use catena_client::Client;
    ///
    /// let interrupted = Arc::new(AtomicBool::new(false));
    /// let client = Client::builder().cancel_with(interrupted.clone()).connect(engine.addresses()[0])?;
    /// interrupted.store(true, Ordering::SeqCst); // in a signal handler
    /// assert!(client.counter("visits").increment().is_err());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn cancel_with(mut self, cancel: Arc<AtomicBool>) -> Builder {
        self.config.cancel = Some(cancel);
        self
    }

    /// Sets the maximum number of calls in progress at the same time, at least 2; 512 unless set. Each
    /// has connections and sessions of its own in the engine, which serve later calls after its end.
    ///
    /// Seven eighths of them may wait inside the engine. A call above the limit waits until another
    /// has ended; after the [`call_timeout`](Builder::call_timeout) it fails with
    /// [`Error::TooManyCalls`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().calls_max(1_000).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn calls_max(mut self, calls: u32) -> Builder {
        self.config.calls_max = calls.max(2);
        self
    }

    /// Sets the time at which the calling function ends, see [`Client::set_deadline`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::{Duration, Instant};
    ///
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().deadline(Instant::now() + Duration::from_secs(60)).connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn deadline(mut self, deadline: Instant) -> Builder {
        self.deadline = Some(deadline);
        self
    }

    /// Connects, see [`Client::connect`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Client;
    ///
    /// let client = Client::builder().connect(engine.addresses()[0])?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    pub fn connect(self, address: impl ToString) -> Result<Client, Error> {
        let address = address.to_string();
        self.connect_seeds(Seeds::parse(&address), &address, is_place(&address))
    }

    /// Connects, see [`Client::connect_record`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    #[cfg(feature = "register")]
    pub fn connect_record(self, record: &str) -> Result<Client, Error> {
        const PLACE: &str = "the given record";
        let bad = |error| Error::NoRecord { place: PLACE.into(), source: Arc::new(error) };
        let seeds = Seeds::in_record(record).map_err(bad)?;
        self.connect_seeds(seeds, PLACE, true)
    }

    fn connect_seeds(self, seeds: Seeds, name: &str, is_record: bool) -> Result<Client, Error> {
        let pool = Arc::new(Pool::default());
        let node = Node::connect(Arc::new(self.config), seeds, &pool)
            .map_err(|unreached| Error::of_unreached(name, is_record, unreached))?;
        Ok(Client { requester: Requester::new(Shared::new(node, pool, self.deadline)) })
    }
}
