//! Steady state allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use catena_client::Client;
use catena_protocol::{Op, Reply};

use crate::peer::Peer;

/// The system's allocator, counting for each thread how often it was asked.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code)]
// SAFETY: everything is passed on to the system's allocator as it is; counting neither allocates
// nor panics, the counter being a constant without destructor.
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

#[test]
fn warmed_up_calls_allocate_nothing() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        while let Some(asked) = conn.next() {
            match asked.op() {
                Op::Session(_) => conn.reply(&asked, &Reply::Unit),
                Op::Cell(_) => {
                    conn.reply(&asked, &Reply::Cell { version: 1, bytes: Some(&[7; 1000]) });
                }
                _ => conn.reply(&asked, &Reply::Int(1)),
            }
        }
    });
    let client = Client::connect(peer.address).unwrap();
    let (counter, cell) = (client.counter("visits"), client.cell("page"));
    let calls = || {
        for _ in 0..100 {
            assert_eq!(counter.add(1).unwrap(), 1);
            assert_eq!(counter.get().unwrap(), 1);
            assert_eq!(cell.get().unwrap().len(), 1000);
        }
    };
    calls();
    let before = ALLOCATIONS.get();
    calls();
    assert_eq!(ALLOCATIONS.get() - before, 0);
    drop(client);
    peer.join();
}
