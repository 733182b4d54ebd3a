//! Names, listings, quotas, and what can be asked of any object.

use std::time::{Duration, Instant};

use catena_client::{
    Client, CounterOp, Error, Kind, ListedObject, Merge, Quota, ReduceOp, Reply, Retry, Status,
};

use catena_engine::Engine;

use crate::peer::{Peer, fault};
use crate::{LONG, SHORT, engine, status};

/// The names of listed objects.
fn names(objects: impl Iterator<Item = Result<ListedObject, Error>>) -> Vec<String> {
    objects.map(|object| object.unwrap().name).collect()
}

#[test]
fn an_object_is_listed_from_its_first_update_on() {
    let (_engine, client) = engine(2);
    let counter = client.counter("job/visits");
    assert_eq!(counter.get().unwrap(), 0);
    assert_eq!(names(client.objects("")), [""; 0], "reading makes nothing");
    counter.add(1).unwrap();
    let listed: Vec<_> = client.objects("").map(Result::unwrap).collect();
    assert_eq!(listed.len(), 1);
    assert_eq!((&*listed[0].name, listed[0].kind), ("job/visits", Some(Kind::Counter)));
    assert!(listed[0].bytes > 0);
    assert_eq!(listed[0].version, counter.version().unwrap());
    // The same handle makes it again, under its name.
    assert!(counter.delete().unwrap());
    assert_eq!(names(client.objects("")), [""; 0]);
    counter.add(1).unwrap();
    assert_eq!(names(client.objects("job/")), ["job/visits"]);
    // Waiting makes objects as well.
    assert_eq!(status(client.latch("job/latch").wait(2, SHORT)), Status::Timeout);
    let _guard = client.lock("job/lock").lock(LONG).unwrap();
    assert_eq!(names(client.objects("job/")), ["job/latch", "job/lock", "job/visits"]);
    assert_eq!(names(client.objects("other")), [""; 0]);
}

#[test]
fn pipelines_name_objects_too() {
    let (_engine, client) = engine(2);
    let all: Vec<String> = (0..300).map(|n| format!("{n:03}")).collect();
    let counters: Vec<_> = all.iter().map(|name| client.counter(name)).collect();
    let mut pipeline = client.pipeline();
    for counter in &counters {
        pipeline.push(counter, CounterOp::Add { delta: 1 });
    }
    pipeline.run().all_ok().unwrap();
    assert_eq!(names(client.objects("")), all);
    // Objects that are deleted and made again within a pipeline.
    let mut pipeline = client.pipeline();
    for counter in &counters {
        pipeline.push(counter, CounterOp::Add { delta: 1 });
        pipeline.delete(counter);
        pipeline.push(counter, CounterOp::Add { delta: 5 });
        pipeline.push(counter, CounterOp::Get);
    }
    let replies = pipeline.run().all_ok().unwrap();
    for (place, reply) in replies.iter().enumerate() {
        let expected = [Reply::Int(2), Reply::Bool(true), Reply::Int(5), Reply::Int(5)];
        assert_eq!(reply.unwrap(), expected[place % 4], "at {place}");
    }
    drop(replies);
    assert_eq!(names(client.objects("")), all);
}

#[test]
fn a_name_is_sent_once_the_engine_asks_for_it_and_with_the_same_number() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let add = conn.request();
        assert_eq!((add.header.flags, add.name()), (catena_protocol::flags::NAME_WANTED, None));
        conn.refuse(&add, fault(Status::NameNeeded, 0));
        let again = conn.request();
        assert_eq!(again.ticket(), add.ticket());
        assert_eq!((again.name(), again.op()), (Some("visits"), add.op()));
        conn.reply(&again, &Reply::Int(1));
        let read = conn.request();
        assert_eq!(read.header.flags, 0, "a read makes nothing");
        conn.reply(&read, &Reply::Int(1));
        let add = conn.request();
        assert_eq!(add.name(), None, "the engine knows it");
        conn.reply(&add, &Reply::Int(2));
        // An engine that asks twice violates the protocol.
        let add = conn.request();
        conn.refuse(&add, fault(Status::NameNeeded, 0));
        let named = conn.request();
        conn.refuse(&named, fault(Status::NameNeeded, 0));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let visits = client.counter("visits");
    assert_eq!(visits.add(1).unwrap(), 1);
    assert_eq!(visits.get().unwrap(), 1);
    assert_eq!(visits.add(1).unwrap(), 2);
    let error = visits.add(1).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::NameNeeded), Retry::Later));
    client.close();
    peer.join();
}

#[test]
fn requests_behind_one_that_needs_its_name_stay_in_order() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let mut first = Vec::new();
        for _ in 0..256 {
            first.push(conn.request());
        }
        // The first one has the name, and the object is deleted before the others arrive.
        assert_eq!(first[0].name(), Some("list"));
        assert!(first[1..].iter().all(|asked| asked.name().is_none()));
        conn.reply(&first[0], &Reply::Int(0));
        for asked in &first[1..] {
            conn.refuse(asked, fault(Status::NameNeeded, 0));
        }
        // All of them are sent again before any that was not sent yet, except the one that fit into
        // the window before the first refusal was read.
        let mut numbers = Vec::new();
        for _ in 0..300 {
            let asked = conn.request();
            numbers.push(asked.header.number);
            conn.reply(&asked, &Reply::Int(0));
        }
        let resent = numbers.iter().position(|number| *number == 2).unwrap();
        assert!(resent <= 1, "{numbers:?}");
        assert!(numbers[resent..].is_sorted(), "{numbers:?}");
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let list = client.counter("list");
    let mut pipeline = client.pipeline();
    for _ in 0..301 {
        pipeline.push(&list, CounterOp::Add { delta: 1 });
    }
    pipeline.run().all_ok().unwrap();
    client.close();
    peer.join();
}

#[test]
fn listings_are_merged_over_shards_and_continue_where_they_ended() {
    let (_engine, client) = engine(2);
    let mut all: Vec<String> = (0..2_000).map(|n| format!("object {n}")).collect();
    let mut pipeline = client.pipeline();
    let flags: Vec<_> = all.iter().map(|name| client.flag(name)).collect();
    for flag in &flags {
        pipeline.push(flag, catena_client::FlagOp::Set { value: true });
    }
    pipeline.run().all_ok().unwrap();
    all.sort();
    assert_eq!(names(client.objects("")), all);
    assert_eq!(names(client.objects("").page_items(1).take(50)), all[..50]);
    assert_eq!(names(client.objects("object 1").page_items(7)).len(), 1_111);
    assert_eq!(names(client.objects("").after(&all[999])), all[1_000..]);
    // Objects that are deleted behind the walk, or made in front of it, do not affect others.
    let mut seen = Vec::new();
    for object in client.objects("").page_items(3) {
        let name = object.unwrap().name;
        client.delete(&name).unwrap();
        client.flag(&format!("{name}!")).set(true).unwrap();
        seen.push(name);
    }
    seen.retain(|name| !name.ends_with('!'));
    assert_eq!(seen, all);
}

#[test]
fn any_object_is_inspected_and_deleted_by_name() {
    let (_engine, client) = engine(1);
    assert_eq!(client.inspect("page").unwrap(), None);
    assert!(!client.delete("page").unwrap());
    let cell = client.cell("page");
    let version = cell.set(b"hello").unwrap();
    let inspected = client.inspect("page").unwrap().unwrap();
    assert_eq!((&*inspected.name, inspected.kind()), ("page", Some(Kind::Cell)));
    assert_eq!((inspected.version, inspected.expires_ms), (version, 0));
    assert!(!inspected.detail.is_empty());
    assert_eq!(cell.inspect().unwrap().unwrap(), inspected);
    assert_eq!(cell.version().unwrap(), version);
    assert!(client.delete("page").unwrap());
    assert_eq!(cell.version().unwrap(), 0);
    assert!(matches!(client.inspect("").unwrap_err(), Error::BadName { bytes: 0, .. }));
}

#[test]
fn objects_expire() {
    let (_engine, client) = engine(1);
    assert!(!client.expire("page", Some(SHORT)).unwrap(), "there is none");
    let cell = client.cell("page");
    cell.set(b"hello").unwrap();
    assert!(client.expire("page", Some(LONG)).unwrap());
    assert!(client.inspect("page").unwrap().unwrap().expires_ms > 20_000);
    assert!(cell.expire(None).unwrap());
    assert_eq!(client.inspect("page").unwrap().unwrap().expires_ms, 0);
    assert!(cell.expire(Some(SHORT)).unwrap());
    let start = Instant::now();
    while cell.inspect().unwrap().is_some() {
        assert!(start.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(start.elapsed() + Duration::from_millis(20) > SHORT);
    assert_eq!(names(client.objects("")), [""; 0]);
}

#[test]
fn waiting_for_a_newer_version_ends_with_the_change() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let cell = client.cell("page");
    // Also of an object that does not exist yet.
    let waiting = std::thread::spawn(move || {
        let client = Client::connect(address).unwrap();
        client.wait_newer("page", 0, LONG).unwrap()
    });
    while client.stats().unwrap().iter().all(|shard| shard.waiters == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let version = cell.set(b"one").unwrap();
    assert_eq!(waiting.join().unwrap(), version);
    assert_eq!(cell.wait_newer(0, Duration::ZERO).unwrap(), version, "it is newer already");
    assert_eq!(status(cell.wait_newer(version, SHORT)), Status::Timeout);
    let waiting = std::thread::spawn(move || {
        let client = Client::connect(address).unwrap();
        client.cell("page").wait_newer(version, LONG).unwrap_err()
    });
    while client.inspect("page").unwrap().unwrap().waiters == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    cell.delete().unwrap();
    assert_eq!(waiting.join().unwrap().status(), Some(Status::Deleted));
    assert!(cell.set(b"two").unwrap() > version, "versions grow over deletion");
}

#[test]
fn a_scope_is_everything_of_a_job() {
    let (_engine, client) = engine(2);
    let job = client.scope("job-1/");
    assert_eq!((job.prefix(), &*job.full_name("x")), ("job-1/", "job-1/x"));
    job.counter("counter").add(1).unwrap();
    job.flag("flag").set(true).unwrap();
    job.cell("cell").set(b"x").unwrap();
    job.vector("vector").set(1, &[1.0]).unwrap();
    job.latch("latch").count_down("ada", 2).unwrap();
    job.barrier("barrier").arrive(catena_client::Arrival::new("ada", 2)).unwrap();
    let mut seat = job.reduction("reduction").seat(0, 2);
    assert_eq!(status(seat.contribute(ReduceOp::Sum, &[1.0], Duration::ZERO)), Status::Timeout);
    job.list("list").push_back("x").unwrap();
    job.map("map").put("k", "v").unwrap();
    job.sorted_map("sorted").merge("k", Merge::Append, "v").unwrap();
    job.set("set").add("x").unwrap();
    job.semaphore("semaphore", 2).acquire(1, LONG).unwrap();
    job.lock("lock").lock(LONG).unwrap();
    job.future("future").set("x").unwrap();
    job.log("log").print("x").unwrap();
    job.scope("step/").counter("counter").add(1).unwrap();
    client.counter("job-10").add(1).unwrap();
    let listed = names(job.objects());
    assert_eq!(listed.len(), 16, "{listed:?}");
    assert!(listed.iter().all(|name| name.starts_with("job-1/")));
    assert_eq!(job.counter("counter").name(), "job-1/counter");
    let usage = job.usage().unwrap();
    assert_eq!((usage.objects, usage.objects_max), (16, 0));
    assert!(usage.bytes > 0);
    assert_eq!(job.expire_all(Some(LONG)).unwrap(), 16);
    assert!(client.inspect("job-1/cell").unwrap().unwrap().expires_ms > 0);
    assert_eq!(job.expire_all(None).unwrap(), 16);
    assert_eq!(client.inspect("job-1/cell").unwrap().unwrap().expires_ms, 0);
    assert_eq!(job.delete_all().unwrap(), 16);
    assert_eq!(job.delete_all().unwrap(), 0);
    assert_eq!(names(client.objects("")), ["job-10"]);
}

#[test]
fn quotas_are_of_each_shard() {
    let (_engine, client) = engine(1);
    let job = client.scope("job/");
    let quota = Quota { objects_max: 1, bytes_max: 10_000 };
    job.set_quota(quota).unwrap();
    let shards = u64::from(client.shards());
    let usage = job.usage().unwrap();
    assert_eq!((usage.objects_max, usage.bytes_max), (shards, 10_000 * shards));
    let made = (0..1_000).filter(|n| job.flag(&n.to_string()).set(true).is_ok());
    assert_eq!(made.count() as u64, shards, "one in each shard");
    let error = job.flag("one more").set(true).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::QuotaExceeded), Retry::Later));
    assert!(error.to_string().contains("quota"), "{error}");
    client.flag("elsewhere").set(true).unwrap();
    job.delete_all().unwrap();
    assert_eq!(status(job.cell("cell").set(&[0; 20_000])), Status::QuotaExceeded);
    job.set_quota(Quota::default()).unwrap();
    job.cell("cell").set(&[0; 20_000]).unwrap();
    assert_eq!(job.usage().unwrap().bytes_max, 0);
}

#[test]
fn many_objects_are_deleted_at_once() {
    let (_engine, client) = engine(1);
    let counters: Vec<_> = (0..20_000).map(|n| client.counter(&format!("job/{n}"))).collect();
    let mut pipeline = client.pipeline();
    for counter in &counters {
        pipeline.push(counter, CounterOp::Add { delta: 1 });
    }
    pipeline.run().all_ok().unwrap();
    client.counter("other").add(1).unwrap();
    assert_eq!(client.usage("job/").unwrap().objects, 20_000);
    assert_eq!(client.delete_prefix("job/").unwrap(), 20_000);
    assert_eq!(names(client.objects("")), ["other"]);
    assert_eq!(client.delete_prefix("").unwrap(), 1);
}

/// An engine does not count as many objects in one request: the client goes from page to page.
#[test]
fn very_many_objects_are_counted() {
    let engine = Engine::builder().shards(1).start().unwrap();
    let client = Client::connect(engine.addresses()[0]).unwrap();
    let counters: Vec<_> = (0..32_769).map(|n| client.counter(&format!("job/{n}"))).collect();
    for counters in counters.chunks(8_192) {
        let mut pipeline = client.pipeline();
        for counter in counters {
            pipeline.push(counter, CounterOp::Add { delta: 1 });
        }
        pipeline.run().all_ok().unwrap();
    }
    let counted = client.usage("job/").unwrap();
    assert_eq!(counted.objects, 32_769);
    assert!(counters[0].delete().unwrap());
    let one_less = client.usage("job/").unwrap();
    assert_eq!(one_less.objects, 32_768);
    assert_eq!(one_less.bytes / one_less.objects, counted.bytes / counted.objects);
    // A quota counts however many.
    client.counter("job/0").add(1).unwrap();
    client.set_quota("job/", Quota { objects_max: 40_000, bytes_max: 0 }).unwrap();
    assert_eq!(client.usage("job/").unwrap().objects, 32_769);
}

#[test]
fn a_node_reports_statistics() {
    let (_engine, client) = engine(2);
    client.counter("visits").add(1).unwrap();
    assert_eq!(client.counter("visits").get().unwrap(), 1);
    let stats = client.stats().unwrap();
    assert_eq!(stats.len(), client.shards() as usize);
    assert_eq!(stats.iter().map(|shard| shard.objects).sum::<u64>(), 1);
    assert_eq!(stats.iter().map(|shard| shard.named).sum::<u64>(), 1);
    assert!(stats.iter().map(|shard| shard.reads).sum::<u64>() >= 1);
    assert!(stats.iter().all(|shard| shard.connections >= 1 && shard.core < 2));
    assert!(client.ping().unwrap() < Duration::from_secs(5));
}

#[test]
fn a_client_that_joins_late_makes_nothing() {
    let (engine, client) = engine(2);
    let late = Client::builder().makes_objects(false).connect(engine.addresses()[0]).unwrap();
    let visits = late.counter("visits");
    assert_eq!(status(visits.add(1)), Status::Absent);
    let mut pipeline = late.pipeline();
    (0..3).for_each(|_| _ = pipeline.push(&visits, CounterOp::Add { delta: 1 }));
    let replies = pipeline.run();
    assert_eq!(status(replies.all_ok()), Status::Absent);
    assert_eq!(client.objects("").count(), 0);
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);
    assert_eq!(visits.add(1).unwrap(), 2, "what is there can be used");
    assert!(visits.delete().unwrap());
    assert_eq!(status(visits.add(1)), Status::Absent);
    assert_eq!(client.objects("").count(), 0);
}
