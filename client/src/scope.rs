//! The objects of a job, under one prefix.

use std::sync::Arc;
use std::time::Duration;

use catena_protocol::op::ObjectOp;
use catena_protocol::{Kind, Op, Reply, Usage, UserType};

use crate::client::Client;
use crate::error::Error;
use crate::manage::{ObjectWalk, Quota, ttl_ms};
use crate::objects::{
    Barrier, Cell, Counter, Flag, Future, Latch, List, Lock, Log, Map, Reduction, Semaphore, Set,
    SortedMap, Target, UserObject, Vector,
};

/// All objects whose names begin with a prefix, as `job-1/`: the handles it makes put it in front of
/// their names, and the whole can be listed, limited and deleted.
#[derive(Clone, Debug)]
pub struct Scope<'c> {
    client: &'c Client,
    prefix: Arc<str>,
}

macro_rules! handles {
    ($($method:ident -> $type:ident, $what:literal;)*) => {
        impl<'c> Scope<'c> {
            $(
                #[doc = concat!("The ", $what, " called `name` in this scope.")]
                pub fn $method(&self, name: &str) -> $type<'c> {
                    self.client.$method(&self.full_name(name))
                }
            )*
        }
    };
}

handles! {
    counter -> Counter, "counter";
    flag -> Flag, "flag";
    cell -> Cell, "cell";
    vector -> Vector, "vector";
    reduction -> Reduction, "reduction";
    barrier -> Barrier, "barrier";
    latch -> Latch, "latch";
    list -> List, "list";
    map -> Map, "map";
    sorted_map -> SortedMap, "sorted map";
    set -> Set, "set";
    lock -> Lock, "lock";
    future -> Future, "future";
    log -> Log, "log";
}

/// What answers a [`Result`] fails with [`Error`].
impl<'c> Scope<'c> {
    pub(crate) fn new(client: &'c Client, prefix: &str) -> Scope<'c> {
        Scope { client, prefix: prefix.into() }
    }

    /// What the names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of an object with this scope's prefix in front.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A scope inside this one.
    pub fn scope(&self, prefix: &str) -> Scope<'c> {
        Scope::new(self.client, &self.full_name(prefix))
    }

    /// The semaphore called `name` in this scope, of `permits` permits in all.
    pub fn semaphore(&self, name: &str, permits: u32) -> Semaphore<'c> {
        self.client.semaphore(&self.full_name(name), permits)
    }

    /// The object called `name` in this scope, of a type of your own.
    pub fn object<T: UserType>(&self, name: &str) -> UserObject<'c, T> {
        self.client.object(&self.full_name(name))
    }

    /// All objects in byte order of their names, which are whole: see [`Client::objects`].
    pub fn objects(&self) -> ObjectWalk<'c> {
        self.client.objects(&self.prefix)
    }

    /// Deletes all objects, see [`Client::delete_prefix`]. Answers how many.
    pub fn delete_all(&self) -> Result<u64, Error> {
        self.client.delete_prefix(&self.prefix)
    }

    /// How many objects there are and what they take, see [`Client::usage`].
    pub fn usage(&self) -> Result<Usage, Error> {
        self.client.usage(&self.prefix)
    }

    /// Limits what the objects may be and take, in each shard by itself: see [`Client::set_quota`].
    pub fn set_quota(&self, quota: Quota) -> Result<(), Error> {
        self.client.set_quota(&self.prefix, quota)
    }

    /// Deletes the objects there are now after `ttl`, whatever happens to them in between; `None`
    /// keeps them. Answers how many there are. Objects that are made later have no end.
    pub fn expire_all(&self, ttl: Option<Duration>) -> Result<u64, Error> {
        let ttl_ms = ttl_ms(ttl);
        let (mut objects, mut found) = (self.objects(), 0);
        loop {
            let mut pipeline = self.client.pipeline();
            for object in objects.by_ref().take(EXPIRED_AT_ONCE) {
                let target = Target::new(Kind::Object, &object?.name);
                pipeline.queue(&target, Op::Object(ObjectOp::Expire { ttl_ms }));
            }
            if pipeline.is_empty() {
                return Ok(found);
            }
            let replies = pipeline.run().all_ok()?;
            let there = replies.iter().filter(|reply| matches!(reply, Ok(Reply::Bool(true))));
            found += there.count() as u64;
        }
    }
}

/// Objects that are given their end in one go.
const EXPIRED_AT_ONCE: usize = 1_024;
