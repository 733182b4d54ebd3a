//! Requests about all objects whose names begin alike.
//!
//! Objects are spread over the shards of the node by the hash of their names, so a request about
//! many of them goes to every shard, in one round trip.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::limits::PAGE_ITEMS_MAX;
use catena_protocol::op::ScopeOp;
use catena_protocol::{Kind, Listed, Op, Reply, ShardId, Stats, Status, Usage};

use crate::config::{DELETE_ITEMS, LIST_PAGE_ITEMS};
use crate::error::Error;
use crate::objects::number;
use crate::pipeline::Pipeline;
use crate::requester::Requester;
use crate::target::CallTarget;

/// Limits for named objects in each shard, see [`Client::set_quota`](crate::Client::set_quota).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The maximum number of objects; 0 for no limit.
    pub objects_max: u64,
    /// The maximum memory of the objects, in bytes; 0 for no limit.
    pub bytes_max: u64,
}

/// A named object, as [`Client::objects`](crate::Client::objects) lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its name.
    pub name: String,
    /// Its kind; `None` if this client does not know the kind.
    pub kind: Option<Kind>,
    /// Its memory, in bytes.
    pub bytes: u64,
    /// Its version.
    pub version: u64,
}

/// What a [`Client`](crate::Client) and a [`Scope`](crate::Scope) offer about objects with a
/// prefix.
impl Requester {
    pub(crate) fn delete_prefix(&self, prefix: &str) -> Result<u64, Error> {
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

    pub(crate) fn usage(&self, prefix: &str) -> Result<Usage, Error> {
        let shards: Vec<ShardId> = self.shard_ids().collect();
        let usages =
            self.ask_shards(prefix, &shards, ScopeOp::Usage { prefix }, |reply| match reply {
                Reply::Usage(usage) => Some(usage),
                _ => None,
            });
        let usages = match usages {
            // Too many for one request, and no quota counts them.
            Err(error) if error.status() == Some(Status::TooLarge) => {
                return ObjectWalk::new(self, prefix).page_items(PAGE_ITEMS_MAX).try_fold(
                    Usage::default(),
                    |sum, object| {
                        let (objects, bytes) = (sum.objects + 1, sum.bytes + object?.bytes);
                        Ok(Usage { objects, bytes, ..sum })
                    },
                );
            }
            usages => usages?,
        };
        Ok(usages.into_iter().fold(Usage::default(), |sum, usage| Usage {
            objects: sum.objects.saturating_add(usage.objects),
            bytes: sum.bytes.saturating_add(usage.bytes),
            objects_max: sum.objects_max.saturating_add(usage.objects_max),
            bytes_max: sum.bytes_max.saturating_add(usage.bytes_max),
        }))
    }

    pub(crate) fn set_quota(&self, prefix: &str, quota: Quota) -> Result<(), Error> {
        let Quota { objects_max, bytes_max } = quota;
        let shards: Vec<ShardId> = self.shard_ids().collect();
        let op = ScopeOp::Quota { prefix, objects_max, bytes_max };
        let unit = |reply: Reply<'_>| matches!(reply, Reply::Unit).then_some(());
        self.ask_shards(prefix, &shards, op, unit).map(drop)
    }

    pub(crate) fn stats(&self) -> Result<Vec<Stats>, Error> {
        let shards: Vec<ShardId> = self.shard_ids().collect();
        self.ask_shards("", &shards, ScopeOp::Stats, stats)
    }

    pub(crate) fn ping(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        let target = CallTarget::shard(ShardId(0), &"".into());
        self.ask(&target, Op::Scope(ScopeOp::Stats), None, stats)?;
        Ok(start.elapsed())
    }

    fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        let shards = self.shards();
        (0..).take(shards as usize).map(ShardId)
    }

    /// Sends the same op to several shards at once.
    fn ask_shards<T>(
        &self,
        prefix: &str,
        shards: &[ShardId],
        op: ScopeOp<'_>,
        read: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let prefix: Arc<str> = prefix.into();
        let mut pipeline = Pipeline::new(self);
        for shard in shards {
            pipeline.queue(&CallTarget::shard(*shard, &prefix), Op::Scope(op));
        }
        let replies = pipeline.run().all_ok()?;
        let read = |reply: Result<Reply<'_>, &Error>| {
            // The code of an op decides what its reply is decoded to.
            read(reply.expect("all are there")).expect("an op has replies of one sort")
        };
        Ok(replies.iter().map(read).collect())
    }
}

fn stats(reply: Reply<'_>) -> Option<Stats> {
    match reply {
        Reply::Stats(stats) => Some(*stats),
        _ => None,
    }
}

/// Named objects in the order of their names, fetched page by page; see
/// [`Client::objects`](crate::Client::objects). Ends after an error.
#[derive(Debug)]
pub struct ObjectWalk {
    requester: Requester,
    prefix: Arc<str>,
    after: String,
    page_items: u32,
    /// The current page of each shard; empty before the first one is fetched.
    pages: Vec<ShardPage>,
    /// The next object of each shard that has one.
    next: BinaryHeap<NextObject>,
    ended: bool,
}

/// What is left of a page of one shard, and whether there is another.
#[derive(Debug, Default)]
struct ShardPage {
    objects: VecDeque<ListedObject>,
    more: bool,
}

#[derive(Debug)]
struct NextObject {
    object: ListedObject,
    shard: usize,
}

impl ObjectWalk {
    pub(crate) fn new(requester: &Requester, prefix: &str) -> ObjectWalk {
        ObjectWalk {
            requester: requester.clone(),
            prefix: prefix.into(),
            after: String::new(),
            page_items: LIST_PAGE_ITEMS,
            pages: Vec::new(),
            next: BinaryHeap::new(),
            ended: false,
        }
    }

    /// Starts behind this name, for example where another walk ended.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("job-1/a").increment()?;
    /// client.counter("job-1/b").increment()?;
    /// assert_eq!(client.objects("job-1/").after("job-1/a").count(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn after(mut self, name: &str) -> ObjectWalk {
        self.after = name.to_owned();
        self
    }

    /// Sets how many objects of a shard to fetch at once, 256 unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("job-1/a").increment()?;
    /// client.counter("job-1/b").increment()?;
    /// assert_eq!(client.objects("job-1/").page_items(1).count(), 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn page_items(mut self, objects: u32) -> ObjectWalk {
        self.page_items = objects;
        self
    }

    /// Fetches the first page of every shard.
    fn begin(&mut self) -> Result<(), Error> {
        let shards: Vec<ShardId> = self.requester.shard_ids().collect();
        self.pages = self.fetch(&shards, &self.after)?;
        (0..self.pages.len()).for_each(|shard| self.put_next(shard));
        Ok(())
    }

    fn fetch(&self, shards: &[ShardId], after: &str) -> Result<Vec<ShardPage>, Error> {
        let op = ScopeOp::List { after, prefix: &self.prefix, limit: self.page_items };
        self.requester.ask_shards(&self.prefix, shards, op, |reply| match reply {
            Reply::Listing(listing) => {
                let columns = listing.columns();
                let objects = columns.iter().map(owned).collect();
                Some(ShardPage { objects, more: columns.more() })
            }
            _ => None,
        })
    }

    /// Takes the next object, and puts the one behind it in its shard into the heap.
    fn step(&mut self) -> Result<Option<ListedObject>, Error> {
        if self.pages.is_empty() {
            self.begin()?;
        }
        let Some(NextObject { object, shard }) = self.next.pop() else { return Ok(None) };
        if self.pages[shard].objects.is_empty() && self.pages[shard].more {
            let id = ShardId(u16::try_from(shard).expect("shards are counted in 16 bits"));
            let page = self.fetch(&[id], &object.name)?.pop();
            self.pages[shard] = page.unwrap_or_default();
        }
        self.put_next(shard);
        Ok(Some(object))
    }

    fn put_next(&mut self, shard: usize) {
        let object = self.pages[shard].objects.pop_front();
        self.next.extend(object.map(|object| NextObject { object, shard }));
    }
}

impl Iterator for ObjectWalk {
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

// The heap pops the largest element, so the lowest name has to be the largest.
impl Ord for NextObject {
    fn cmp(&self, other: &NextObject) -> std::cmp::Ordering {
        other.object.name.cmp(&self.object.name)
    }
}

impl PartialOrd for NextObject {
    fn partial_cmp(&self, other: &NextObject) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for NextObject {
    fn eq(&self, other: &NextObject) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for NextObject {}
