//! The async handles: every call on a blocking thread, and futures that cancel what they began.

use std::sync::Arc;
use std::time::Duration;

use catena_client::asynchronous::AsyncClient;
use catena_client::{Client, Error, Status};

use crate::{LONG, SHORT, engine};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap().block_on(future)
}

#[test]
fn async_handles_do_what_the_blocking_ones_do() {
    let (engine, client) = engine(2);
    block_on(async {
        let client = client.asynchronous();
        let (visits, page) = (client.counter("visits"), client.cell("page"));
        let adds: Vec<_> = (0..50)
            .map(|_| {
                let visits = visits.clone();
                tokio::spawn(async move { visits.increment().await.unwrap() })
            })
            .collect();
        for add in adds {
            add.await.unwrap();
        }
        assert_eq!(visits.get().await.unwrap(), 50);
        page.set("hello").await.unwrap();
        assert_eq!(&*page.get().await.unwrap(), b"hello");
        let jobs = client.list("jobs");
        jobs.extend(vec!["a", "b"]).await.unwrap();
        let claim = jobs.claim(LONG).await.unwrap();
        assert_eq!(&claim[..], b"a");
        assert!(claim.done().await.unwrap());
        drop(jobs.try_claim().await.unwrap().unwrap());
        let lock = client.lock("lock");
        let guard = lock.lock(LONG).await.unwrap();
        assert!(lock.try_lock().await.unwrap().is_none());
        assert!(guard.unlock().await.unwrap());
        client.vector("v").set(2, vec![1.0, 2.0]).await.unwrap();
        assert_eq!(client.vector("v").get().await.unwrap().as_f64(), Some(&[1.0, 2.0][..]));
        assert_eq!(client.barrier("b").wait("only", 1, LONG).await.unwrap(), 0);
        let refused = client.cell("visits").get().await.unwrap_err();
        assert_eq!(refused.status(), Some(Status::WrongKind));
        assert!(client.ping().await.is_ok() && visits.delete().await.unwrap());
        let other = AsyncClient::connect(engine.addresses()[0]).await.unwrap();
        let handle = other.run(|client| Ok(client.counter("other"))).await.unwrap();
        assert_eq!(handle.increment().unwrap(), 1, "it is not cancelled");
        other.close().await;
        assert!(matches!(handle.increment(), Err(Error::Closed { .. })));
    });
    // The guard that was dropped was released by then, because the runtime has ended.
    assert_eq!(client.list("jobs").len().unwrap(), 1);
}

#[test]
fn a_dropped_future_ends_its_wait() {
    let (engine, client) = engine(1);
    let guard = client.lock("lock").lock(LONG).unwrap();
    let waiters = |name: &str| client.inspect(name).unwrap().map_or(0, |found| found.waiters);
    block_on(async {
        let client = client.asynchronous();
        let (lock, jobs) = (client.lock("lock"), client.list("jobs"));
        let waiting = tokio::time::timeout(SHORT, lock.lock(LONG * 20)).await;
        assert!(waiting.is_err(), "the timeout of the runtime ends it");
        let task = tokio::spawn(async move { jobs.pop_front_wait(LONG * 20).await.map(drop) });
        while waiters("jobs") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    while waiters("lock") + waiters("jobs") > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(guard.unlock().unwrap());
    let other = Client::connect(engine.addresses()[0]).unwrap();
    assert!(other.lock("lock").try_lock().unwrap().is_some());
    assert_eq!(other.list("jobs").push_back("job").unwrap(), 1);
    assert_eq!(other.list("jobs").len().unwrap(), 1, "nobody takes it");
}

#[test]
fn a_panic_in_a_call_reaches_the_caller() {
    let (_engine, client) = engine(1);
    let client = Arc::new(client.asynchronous());
    let panicking = block_on(async move {
        let client = Arc::clone(&client);
        tokio::spawn(
            async move { client.run(|_| -> Result<(), Error> { panic!("in the call") }).await },
        )
        .await
    });
    assert!(panicking.unwrap_err().is_panic());
}
