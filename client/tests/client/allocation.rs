//! Calls allocate nothing in the steady state.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use catena_client::{Client, UserType};
use catena_protocol::op::{ListOp, LockOp, MapOp};
use catena_protocol::{Members, Op, Reply};

use crate::LONG;
use crate::peer::Peer;

/// The system's allocator, which counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code)]
// SAFETY: all calls are passed to the system's allocator unchanged. Counting neither allocates nor
// panics, because the counter has a constant initial value and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s promises, and the memory came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A user-defined type.
struct Sum;

impl UserType for Sum {
    const TYPE_ID: u32 = 1;
    const NAME: &'static str = "sum";
    type Op = (u64, u64);
    type Reply = u64;
}

#[test]
fn warmed_up_calls_allocate_nothing() {
    calls_allocate_nothing(false);
}

#[test]
fn warmed_up_calls_of_a_cluster_allocate_nothing() {
    calls_allocate_nothing(true);
}

fn calls_allocate_nothing(in_cluster: bool) {
    let peer = Peer::start(move |mut stage| {
        if in_cluster {
            stage.welcome.epoch = 3;
            stage.welcome.members = Members {
                names: vec!["node-a".into()],
                controls: vec!["127.0.0.1:9".into()],
                cores: vec![1],
                addresses: vec![stage.address().to_string()],
                chains: vec![0],
            };
        }
        let mut conn = stage.greet();
        while let Some(asked) = conn.next() {
            match asked.op() {
                Op::Session(_) => conn.reply(&asked, &Reply::Unit),
                Op::Cell(_) => {
                    conn.reply(&asked, &Reply::Cell { version: 1, bytes: Some(&[7; 1000]) });
                }
                Op::Map(MapOp::Merge { .. } | MapOp::Get { .. }) | Op::List(ListOp::PopFront) => {
                    conn.reply(&asked, &Reply::Value(Some(&[1, 0, 0, 0, 0, 0, 0, 0])));
                }
                Op::List(ListOp::TryClaim { .. }) => {
                    conn.reply(&asked, &Reply::Claimed { token: 1, bytes: Some(b"item") });
                }
                Op::Lock(LockOp::Acquire { .. }) => {
                    conn.reply(&asked, &Reply::Granted { granted: true, token: 1 });
                }
                Op::Map(_) | Op::Lock(_) | Op::List(_) => conn.reply(&asked, &Reply::Bool(true)),
                Op::User(_) => conn.reply(&asked, &Reply::Value(Some(&1_u64.to_le_bytes()))),
                _ => conn.reply(&asked, &Reply::Int(1)),
            }
        }
    });
    let client = Client::connect(peer.address).unwrap();
    client.set_deadline(Instant::now() + LONG);
    let (counter, cell) = (client.counter("visits"), client.cell("page"));
    let (map, list, lock) = (client.map("words"), client.list("work"), client.lock("lock"));
    let sum = client.object::<Sum>("sum");
    let calls = || {
        for _ in 0..100 {
            assert_eq!(counter.add(1).unwrap(), 1);
            assert_eq!(counter.get().unwrap(), 1);
            assert_eq!(cell.get().unwrap().len(), 1000);
            assert!(map.put("key", b"value").unwrap());
            assert_eq!(map.add("key", 1).unwrap(), 1);
            assert_eq!(map.get("key").unwrap().unwrap().as_i64(), Some(1));
            assert_eq!(list.pop_front().unwrap().unwrap().len(), 8);
            assert!(list.try_claim().unwrap().unwrap().done().unwrap());
            assert!(lock.lock(LONG).unwrap().unlock().unwrap());
            assert_eq!(sum.update(&(1, 2)).unwrap(), 1);
            assert_eq!(sum.read(&(1, 2)).unwrap(), 1);
        }
    };
    calls();
    let before = ALLOCATIONS.get();
    calls();
    assert_eq!(ALLOCATIONS.get() - before, 0);
    client.close();
    peer.join();
}
