//! What can be asked of any object by its name, and of all objects whose names begin alike.
//!
//! Objects are spread over the shards of the node by the hash of their names, so what concerns many of
//! them is asked of every shard, in one round trip.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::op::{ObjectOp, ScopeOp};
use catena_protocol::{Inspection, Kind, Listed, Op, Reply, ShardId, Stats, Status, Usage};

use crate::client::Client;
use crate::config::{DELETE_ITEMS, LIST_PAGE_ITEMS};
use crate::error::Error;
use crate::objects::{Target, boolean, number};

/// What named objects may be and take in each shard, see [`Client::set_quota`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How many there may be; 0 for no limit.
    pub objects_max: u64,
    /// What they may take, in bytes; 0 for no limit.
    pub bytes_max: u64,
}

/// A named object, as [`Client::objects`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its name.
    pub name: String,
    /// Its kind; `None` if this client knows no such kind.
    pub kind: Option<Kind>,
    /// What it takes, in bytes.
    pub bytes: u64,
    /// Its version.
    pub version: u64,
}

/// All methods fail with [`Error`].
impl Client {
    /// The named objects whose names begin with `prefix`, in byte order of the names, over all shards.
    /// Objects that are made or deleted meanwhile may be listed or not; no other is missed.
    pub fn objects(&self, prefix: &str) -> ObjectWalk<'_> {
        ObjectWalk::new(self, prefix)
    }

    /// Everything about an object, for people; `None` if there is none.
    pub fn inspect(&self, name: &str) -> Result<Option<Inspection>, Error> {
        self.inspect_object(&any(name))
    }

    /// Deletes an object of any kind; whoever waits on it is told so. Answers whether there was one.
    pub fn delete(&self, name: &str) -> Result<bool, Error> {
        self.delete_object(&any(name))
    }

    /// Deletes all named objects whose names begin with `prefix`. Answers how many. Objects that are
    /// made meanwhile may stay.
    pub fn delete_prefix(&self, prefix: &str) -> Result<u64, Error> {
        let mut shards: Vec<ShardId> = self.shard_ids().collect();
        let mut deleted = 0;
        while !shards.is_empty() {
            let op = ScopeOp::Delete { prefix, limit: DELETE_ITEMS };
            let counts = self.ask_shards(prefix, &shards, op, number)?;
            deleted += counts.iter().sum::<u64>();
            let mut counts = counts.into_iter();
            shards.retain(|_| counts.next().is_some_and(|count| count >= DELETE_ITEMS.into()));
        }
        Ok(deleted)
    }

    /// How many named objects there are whose names begin with `prefix`, what they take, and their
    /// quota: all summed over the shards.
    pub fn usage(&self, prefix: &str) -> Result<Usage, Error> {
        let shards: Vec<ShardId> = self.shard_ids().collect();
        let usages =
            self.ask_shards(prefix, &shards, ScopeOp::Usage { prefix }, |reply| match reply {
                Reply::Usage(usage) => Some(usage),
                _ => None,
            })?;
        Ok(usages.into_iter().fold(Usage::default(), |sum, usage| Usage {
            objects: sum.objects.saturating_add(usage.objects),
            bytes: sum.bytes.saturating_add(usage.bytes),
            objects_max: sum.objects_max.saturating_add(usage.objects_max),
            bytes_max: sum.bytes_max.saturating_add(usage.bytes_max),
        }))
    }

    /// Limits what named objects whose names begin with `prefix` may be and take, in each of the
    /// [`shards`](Client::shards) by itself. An update that would exceed it is refused with
    /// [`Status::QuotaExceeded`]; what is there already stays. A quota without limits is lifted.
    pub fn set_quota(&self, prefix: &str, quota: Quota) -> Result<(), Error> {
        let Quota { objects_max, bytes_max } = quota;
        let shards: Vec<ShardId> = self.shard_ids().collect();
        let op = ScopeOp::Quota { prefix, objects_max, bytes_max };
        let unit = |reply: Reply<'_>| matches!(reply, Reply::Unit).then_some(());
        self.ask_shards(prefix, &shards, op, unit).map(drop)
    }

    /// Deletes an object after `ttl`, whatever happens to it in between; `None` keeps it. Answers
    /// whether there is such an object.
    pub fn expire(&self, name: &str, ttl: Option<Duration>) -> Result<bool, Error> {
        self.expire_object(&any(name), ttl)
    }

    /// Waits until the version of an object is above `version`, and answers it. An object that is not
    /// there has version 0 and may be waited for. [`Error::TimedOut`] after `timeout`, of at most 15
    /// minutes; [`Status::Deleted`] if the object is deleted meanwhile.
    pub fn wait_newer(&self, name: &str, version: u64, timeout: Duration) -> Result<u64, Error> {
        self.wait_newer_object(&any(name), version, timeout)
    }

    /// What each shard and its core are doing, by the number of the shard.
    pub fn stats(&self) -> Result<Vec<Stats>, Error> {
        let shards: Vec<ShardId> = self.shard_ids().collect();
        self.ask_shards("", &shards, ScopeOp::Stats, stats)
    }

    /// Asks one core for something small, and answers how long that took.
    pub fn ping(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        let target = Target::shard(ShardId(0), &"".into());
        self.ask(&target, Op::Scope(ScopeOp::Stats), None, stats)?;
        Ok(start.elapsed())
    }

    /// How many shards the node has.
    pub fn shards(&self) -> u32 {
        self.node.borrow().topology.shards()
    }

    pub(crate) fn delete_object(&self, target: &Target) -> Result<bool, Error> {
        self.ask(target, Op::Object(ObjectOp::Delete), None, boolean)
    }

    pub(crate) fn inspect_object(&self, target: &Target) -> Result<Option<Inspection>, Error> {
        let inspected =
            self.ask(target, Op::Object(ObjectOp::Inspect), None, |reply| match reply {
                Reply::Inspection(inspection) => Some(*inspection),
                _ => None,
            });
        match inspected {
            Err(error) if error.status() == Some(Status::Absent) => Ok(None),
            inspected => inspected.map(Some),
        }
    }

    pub(crate) fn expire_object(
        &self,
        target: &Target,
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        self.ask(target, Op::Object(ObjectOp::Expire { ttl_ms: ttl_ms(ttl) }), None, boolean)
    }

    pub(crate) fn wait_newer_object(
        &self,
        target: &Target,
        version: u64,
        timeout: Duration,
    ) -> Result<u64, Error> {
        self.ask(target, Op::Object(ObjectOp::WaitNewer { version }), Some(timeout), number)
    }

    fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        let shards = self.shards();
        (0..).take(shards as usize).map(ShardId)
    }

    /// Asks the same of several shards at once.
    fn ask_shards<T>(
        &self,
        prefix: &str,
        shards: &[ShardId],
        op: ScopeOp<'_>,
        read: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let prefix: Arc<str> = prefix.into();
        let mut pipeline = self.pipeline();
        for shard in shards {
            pipeline.queue(&Target::shard(*shard, &prefix), Op::Scope(op));
        }
        let replies = pipeline.run().all_ok()?;
        let read = |reply: Result<Reply<'_>, &Error>| {
            // The code of an op decides what its reply is decoded to.
            read(reply.expect("all are there")).expect("an op has replies of one sort")
        };
        Ok(replies.iter().map(read).collect())
    }
}

/// Nothing is known of an object but its name.
fn any(name: &str) -> Target {
    Target::new(Kind::Object, name)
}

/// Whole milliseconds, rounded up; 0 for ever.
pub(crate) fn ttl_ms(ttl: Option<Duration>) -> u64 {
    let ms = |ttl: Duration| ttl.as_micros().div_ceil(1_000).max(1);
    ttl.map_or(0, |ttl| u64::try_from(ms(ttl)).unwrap_or(u64::MAX))
}

fn stats(reply: Reply<'_>) -> Option<Stats> {
    match reply {
        Reply::Stats(stats) => Some(*stats),
        _ => None,
    }
}

/// Named objects in the order of their names, asked for page by page; see [`Client::objects`]. Ends
/// after an error.
#[derive(Debug)]
pub struct ObjectWalk<'c> {
    client: &'c Client,
    prefix: Arc<str>,
    after: String,
    page_items: u32,
    /// What is known of each shard; empty before the first page.
    shelves: Vec<Shelf>,
    /// The next object of each shard that has one.
    next: BinaryHeap<Next>,
    ended: bool,
}

/// A page of one shard, and whether there is another.
#[derive(Debug, Default)]
struct Shelf {
    objects: VecDeque<ListedObject>,
    more: bool,
}

#[derive(Debug)]
struct Next {
    object: ListedObject,
    shard: usize,
}

impl<'c> ObjectWalk<'c> {
    fn new(client: &'c Client, prefix: &str) -> ObjectWalk<'c> {
        ObjectWalk {
            client,
            prefix: prefix.into(),
            after: String::new(),
            page_items: LIST_PAGE_ITEMS,
            shelves: Vec::new(),
            next: BinaryHeap::new(),
            ended: false,
        }
    }

    /// Only names behind this one: to go on where another walk ended.
    #[must_use]
    pub fn after(mut self, name: &str) -> ObjectWalk<'c> {
        self.after = name.to_owned();
        self
    }

    /// So many objects of a shard at once, 256 unless set.
    #[must_use]
    pub fn page_items(mut self, objects: u32) -> ObjectWalk<'c> {
        self.page_items = objects;
        self
    }

    /// The first page of every shard.
    fn begin(&mut self) -> Result<(), Error> {
        let shards: Vec<ShardId> = self.client.shard_ids().collect();
        self.shelves = self.fetch(&shards, &self.after)?;
        (0..self.shelves.len()).for_each(|shard| self.put_next(shard));
        Ok(())
    }

    fn fetch(&self, shards: &[ShardId], after: &str) -> Result<Vec<Shelf>, Error> {
        let op = ScopeOp::List { after, prefix: &self.prefix, limit: self.page_items };
        self.client.ask_shards(&self.prefix, shards, op, |reply| match reply {
            Reply::Listing(listing) => {
                let columns = listing.columns();
                let objects = columns.iter().map(owned).collect();
                Some(Shelf { objects, more: columns.more() })
            }
            _ => None,
        })
    }

    /// Takes the next object, in the place of which comes the next of its shard.
    fn step(&mut self) -> Result<Option<ListedObject>, Error> {
        if self.shelves.is_empty() {
            self.begin()?;
        }
        let Some(Next { object, shard }) = self.next.pop() else { return Ok(None) };
        if self.shelves[shard].objects.is_empty() && self.shelves[shard].more {
            let id = ShardId(u16::try_from(shard).expect("shards are counted in 16 bits"));
            let shelf = self.fetch(&[id], &object.name)?.pop();
            self.shelves[shard] = shelf.unwrap_or_default();
        }
        self.put_next(shard);
        Ok(Some(object))
    }

    fn put_next(&mut self, shard: usize) {
        let object = self.shelves[shard].objects.pop_front();
        self.next.extend(object.map(|object| Next { object, shard }));
    }
}

impl Iterator for ObjectWalk<'_> {
    type Item = Result<ListedObject, Error>;

    fn next(&mut self) -> Option<Result<ListedObject, Error>> {
        if self.ended {
            return None;
        }
        let stepped = self.step();
        self.ended = !matches!(stepped, Ok(Some(_)));
        stepped.transpose()
    }
}

fn owned(listed: Listed<'_>) -> ListedObject {
    let Listed { name, kind, bytes, version } = listed;
    ListedObject { name: name.to_owned(), kind, bytes, version }
}

// The heap answers the largest: the lowest name.
impl Ord for Next {
    fn cmp(&self, other: &Next) -> std::cmp::Ordering {
        other.object.name.cmp(&self.object.name)
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}
