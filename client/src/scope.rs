//! The objects of a job, under one prefix.

use std::sync::Arc;
use std::time::Duration;

use catena_protocol::op::ObjectOp;
use catena_protocol::{Op, Reply, Usage, UserType};

use crate::error::Error;
use crate::hold::Hold;
use crate::manage::{ObjectWalk, Quota};
use crate::objects::{
    Barrier, Cell, Counter, Flag, Future, Latch, List, Lock, Log, Map, Reduction, Semaphore, Set,
    SortedMap, UserObject, Vector, ttl_ms,
};
use crate::pipeline::Pipeline;
use crate::requester::Requester;
use crate::target::CallTarget;

/// All objects whose names begin with a prefix, such as `job-1/`: it puts the prefix in front of
/// the names of the handles it makes, and can list, limit and delete all objects of the prefix.
#[derive(Clone, Debug)]
pub struct Scope {
    requester: Requester,
    prefix: Arc<str>,
}

macro_rules! handles {
    ($($method:ident -> $type:ident($($extra:expr)?), $what:literal;)*) => {
        impl Scope {
            $(
                #[doc = concat!("Returns a handle to the ", $what, " `name` in this scope.")]
                ///
                /// ```
                /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
                /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
                #[doc = concat!("let handle = client.scope(\"job-1/\").", stringify!($method), "(\"x\");")]
                /// assert_eq!(handle.name(), "job-1/x");
                /// # Ok::<(), catena_client::Error>(())
                /// ```
                pub fn $method(&self, name: &str) -> $type {
                    $type::new(&self.requester, &self.full_name(name) $(, $extra)?)
                }
            )*
        }
    };
}

handles! {
    counter -> Counter(), "counter";
    flag -> Flag(), "flag";
    cell -> Cell(), "cell";
    vector -> Vector(), "vector";
    reduction -> Reduction(Hold::default()), "reduction";
    barrier -> Barrier(Hold::default()), "barrier";
    latch -> Latch(), "latch";
    list -> List(Hold::default()), "list";
    map -> Map(), "map";
    sorted_map -> SortedMap(), "sorted map";
    set -> Set(), "set";
    lock -> Lock(Hold::default()), "lock";
    future -> Future(), "future";
    log -> Log(), "log";
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Scope {
    pub(crate) fn new(requester: &Requester, prefix: &str) -> Scope {
        Scope { requester: requester.clone(), prefix: prefix.into() }
    }

    /// Returns the prefix.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// assert_eq!(job.prefix(), "job-1/");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the full name of an object: the prefix and `name`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// assert_eq!(job.full_name("done"), "job-1/done");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns a scope inside this one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// assert_eq!(job.scope("map/").prefix(), "job-1/map/");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn scope(&self, prefix: &str) -> Scope {
        Scope::new(&self.requester, &self.full_name(prefix))
    }

    /// Returns a handle to the semaphore `name` in this scope, which has `permits` permits in all.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// let permit = job.semaphore("gpus", 4).try_acquire(1)?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn semaphore(&self, name: &str, permits: u32) -> Semaphore {
        Semaphore::new(&self.requester, &self.full_name(name), permits, Hold::default())
    }

    /// Returns a handle to the object `name` in this scope, of a user-defined type.
    pub fn object<T: UserType>(&self, name: &str) -> UserObject<T> {
        UserObject::new(&self.requester, &self.full_name(name))
    }

    /// Walks all objects in byte order of their names, which include the prefix: see
    /// [`Client::objects`](crate::Client::objects).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// job.counter("done").increment()?;
    /// assert_eq!(job.objects().next().unwrap()?.name, "job-1/done");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn objects(&self) -> ObjectWalk {
        ObjectWalk::new(&self.requester, &self.prefix)
    }

    /// Deletes all objects, see [`Client::delete_prefix`](crate::Client::delete_prefix). Returns
    /// how many.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// job.counter("done").increment()?;
    /// assert_eq!(job.delete_all()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn delete_all(&self) -> Result<u64, Error> {
        self.requester.delete_prefix(&self.prefix)
    }

    /// Returns number and memory of the objects, see [`Client::usage`](crate::Client::usage).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let job = client.scope("job-1/");
    /// job.counter("done").increment()?;
    /// assert_eq!(job.usage()?.objects, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn usage(&self) -> Result<Usage, Error> {
        self.requester.usage(&self.prefix)
    }

    /// Limits number and memory of the objects, in each shard separately: see
    /// [`Client::set_quota`](crate::Client::set_quota).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Quota;
    ///
    /// let job = client.scope("job-1/");
    /// job.set_quota(Quota { objects_max: 1_000, bytes_max: 0 })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set_quota(&self, quota: Quota) -> Result<(), Error> {
        self.requester.set_quota(&self.prefix, quota)
    }

    /// Sets all existing objects to be deleted after `ttl`, even if they change meanwhile; `None`
    /// cancels that. Returns how many objects exist. Objects that are made later do not expire.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use std::time::Duration;
    ///
    /// let job = client.scope("job-1/");
    /// job.counter("done").increment()?;
    /// assert_eq!(job.expire_all(Some(Duration::from_secs(3600)))?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn expire_all(&self, ttl: Option<Duration>) -> Result<u64, Error> {
        let ttl_ms = ttl_ms(ttl);
        let (mut objects, mut found) = (self.objects(), 0);
        loop {
            let mut pipeline = Pipeline::new(&self.requester);
            for object in objects.by_ref().take(EXPIRED_AT_ONCE) {
                let target = CallTarget::any(&object?.name);
                pipeline.queue(&target, Op::Object(ObjectOp::Expire { ttl_ms }));
            }
            if pipeline.is_empty() {
                return Ok(found);
            }
            let replies = pipeline.run().all_ok()?;
            let existing = replies.iter().filter(|reply| matches!(reply, Ok(Reply::Bool(true))));
            found += existing.count() as u64;
        }
    }
}

/// How many objects one batch sets to expire.
const EXPIRED_AT_ONCE: usize = 1_024;
