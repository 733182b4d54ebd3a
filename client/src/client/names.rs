//! What a client offers about objects by their names, and about the node.

use std::time::Duration;

use catena_protocol::{Inspection, Stats, Usage};

use super::Client;
use crate::error::Error;
use crate::manage::{ObjectWalk, Quota};
use crate::monitor::Monitor;
use crate::target::CallTarget;

/// What can be asked of any object by its name, and of all objects with a prefix. All methods that
/// return a [`Result`] fail with [`Error`].
impl Client {
    /// Walks the named objects whose names begin with `prefix`, in byte order of the names, over
    /// all shards. An object that is made or deleted during the walk may be missing or not; no
    /// other is missed.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("job-1/done").increment()?;
    /// for object in client.objects("job-1/") {
    ///     println!("{}", object?.name);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn objects(&self, prefix: &str) -> ObjectWalk {
        ObjectWalk::new(&self.requester, prefix)
    }

    /// Describes an object for people; `None` if it does not exist.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.inspect("visits")?.is_none());
    /// client.counter("visits").increment()?;
    /// println!("{}", client.inspect("visits")?.unwrap().detail);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn inspect(&self, name: &str) -> Result<Option<Inspection>, Error> {
        self.requester.inspect_object(&CallTarget::any(name))
    }

    /// Deletes an object of any kind; requests that wait on it fail with
    /// [`Status::Deleted`](crate::Status::Deleted). Returns whether it existed.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("visits").increment()?;
    /// assert!(client.delete("visits")? && !client.delete("visits")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn delete(&self, name: &str) -> Result<bool, Error> {
        self.requester.delete_object(&CallTarget::any(name))
    }

    /// Deletes all named objects whose names begin with `prefix`. Returns how many. Objects that
    /// are made meanwhile may stay.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("job-1/done").increment()?;
    /// assert_eq!(client.delete_prefix("job-1/")?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn delete_prefix(&self, prefix: &str) -> Result<u64, Error> {
        self.requester.delete_prefix(prefix)
    }

    /// Returns how many named objects there are whose names begin with `prefix`, their memory, and
    /// their quota, all summed over the shards.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("job-1/done").increment()?;
    /// assert_eq!(client.usage("job-1/")?.objects, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn usage(&self, prefix: &str) -> Result<Usage, Error> {
        self.requester.usage(prefix)
    }

    /// Limits number and memory of the named objects whose names begin with `prefix`, in each of
    /// the [`shards`](Client::shards) separately. An update that would exceed the quota is refused
    /// with [`Status::QuotaExceeded`](crate::Status::QuotaExceeded); existing objects stay. A quota
    /// without limits removes it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Quota;
    ///
    /// client.set_quota("job-1/", Quota { objects_max: 1_000, bytes_max: 0 })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set_quota(&self, prefix: &str, quota: Quota) -> Result<(), Error> {
        self.requester.set_quota(prefix, quota)
    }

    /// Sets an object to be deleted after `ttl`, even if it changes meanwhile; `None` cancels that.
    /// Returns whether the object exists.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// client.counter("visits").increment()?;
    /// assert!(client.expire("visits", Some(Duration::from_secs(3600)))?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn expire(&self, name: &str, ttl: Option<Duration>) -> Result<bool, Error> {
        self.requester.expire_object(&CallTarget::any(name), ttl)
    }

    /// Waits until the version of an object is above `version`, and returns it. An object that does
    /// not exist has version 0 and can be waited for. [`Error::TimedOut`] after `timeout`, of at
    /// most 15 minutes; [`Status::Deleted`](crate::Status::Deleted) if the object is deleted
    /// meanwhile.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// let version = client.cell("page").version()?;
    /// client.cell("page").set(b"hello")?;
    /// assert!(client.wait_newer("page", version, Duration::from_secs(10))? > version);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn wait_newer(&self, name: &str, version: u64, timeout: Duration) -> Result<u64, Error> {
        self.requester.wait_newer_object(&CallTarget::any(name), version, timeout)
    }

    /// Returns the statistics of each shard and its core, by the number of the shard.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// println!("{} shards", client.stats()?.len());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Vec<Stats>, Error> {
        self.requester.stats()
    }

    /// Follows what all clients do: of each shard at most so many requests a second, and at most
    /// 1,000. That costs the engine little, and nothing once nobody follows.
    ///
    /// Only what the heads of the chains serve is seen, not reads by other members.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let mut monitor = client.monitor(100);
    /// monitor.poll()?;
    /// client.counter("visits").add(1)?;
    /// for request in monitor.poll()? {
    ///     println!("{} {:?} {}", request.source, request.op_code(), request.object);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn monitor(&self, per_second: u32) -> Monitor {
        Monitor::new(&self.requester, per_second)
    }

    /// Sends a small request to one core, and returns how long the reply took.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// println!("{:?}", client.ping()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn ping(&self) -> Result<Duration, Error> {
        self.requester.ping()
    }
}
