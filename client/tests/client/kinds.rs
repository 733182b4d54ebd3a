//! Each op of each kind against a real engine, including what it refuses.

use catena_client::{CellOp, CounterOp, Elements, FlagOp, Reply, Retry, Status, Swapped};

use crate::{engine, status};

#[test]
fn counters() {
    let (_engine, client) = engine(2);
    let counter = client.counter("visits");
    assert_eq!(counter.get().unwrap(), 0);
    assert_eq!(counter.set(5).unwrap(), 5);
    assert_eq!(counter.add(-7).unwrap(), -2);
    assert_eq!(counter.fetch_add(10).unwrap(), -2);
    assert_eq!(counter.increment().unwrap(), 9);
    assert_eq!(counter.decrement().unwrap(), 8);
    assert_eq!(counter.swap(3).unwrap(), 8);
    assert_eq!(counter.compare_and_swap(4, 9).unwrap(), Swapped { swapped: false, now: 3 });
    assert_eq!(counter.compare_and_swap(3, 9).unwrap(), Swapped { swapped: true, now: 9 });
    assert_eq!(counter.multiply(-2).unwrap(), -18);
    assert_eq!(counter.min(-20).unwrap(), -20);
    assert_eq!(counter.min(0).unwrap(), -20);
    assert_eq!(counter.max(4).unwrap(), 4);
    assert_eq!(counter.reset().unwrap(), 4);
    counter.set(i64::MAX).unwrap();
    assert_eq!(status(counter.increment()), Status::Overflow);
    assert_eq!(status(counter.multiply(2)), Status::Overflow);
    assert_eq!(counter.get().unwrap(), i64::MAX, "a refusal changes nothing");
    assert!(counter.delete().unwrap());
    assert!(!counter.delete().unwrap());
    assert_eq!(counter.get().unwrap(), 0);
}

#[test]
fn flags() {
    let (_engine, client) = engine(1);
    let flag = client.flag("done");
    assert!(!flag.get().unwrap());
    assert!(flag.set(true).unwrap());
    assert!(flag.swap(false).unwrap());
    assert_eq!(flag.compare_and_swap(true, true).unwrap(), Swapped { swapped: false, now: false });
    assert_eq!(flag.compare_and_swap(false, true).unwrap(), Swapped { swapped: true, now: true });
    assert!(flag.delete().unwrap());
}

#[test]
fn cells() {
    let (_engine, client) = engine(1);
    let cell = client.cell("page");
    let empty = cell.get().unwrap();
    assert_eq!((empty.version(), &empty[..]), (0, &b""[..]));
    // Versions are positions in the shard's order, so they grow by more than one.
    let first = cell.set(b"hello").unwrap();
    assert!(first > 0);
    let appended = cell.append(b" world").unwrap();
    assert!(appended.version > first);
    assert_eq!(appended.length, 11);
    let view = cell.get().unwrap();
    assert_eq!((view.version(), &view[..]), (appended.version, &b"hello world"[..]));
    assert!(cell.get_if_newer(appended.version).unwrap().is_none());
    assert_eq!(&cell.get_if_newer(first).unwrap().unwrap()[..], b"hello world");
    assert_eq!(&cell.read_range(6..9).unwrap()[..], b"wor");
    assert_eq!(&cell.read_range(6..900).unwrap()[..], b"world");
    assert_eq!(status(cell.read_range(12..13)), Status::OutOfRange);
    let old = cell.swap(b"new").unwrap();
    assert_eq!((old.version(), &old[..]), (appended.version, &b"hello world"[..]));
    let now = cell.compare_version_and_set(appended.version, b"x").unwrap();
    assert!(!now.swapped && now.now > appended.version, "{now:?}");
    let now = cell.compare_version_and_set(now.now, b"x").unwrap();
    assert!(now.swapped);
    let unchanged = cell.compare_and_set(b"y", b"z").unwrap();
    assert_eq!(unchanged, Swapped { swapped: false, now: now.now });
    assert!(cell.compare_and_set(b"x", b"z").unwrap().swapped);
    assert!(cell.set_with_token(7, b"fenced").unwrap() > now.now);
    assert_eq!(status(cell.set_with_token(6, b"late")), Status::StaleToken);
    assert!(cell.set_with_token(7, b"fenced again").is_ok());
    assert_eq!(&view[..], b"hello world", "a view does not change");
    assert_eq!(status(cell.set(&vec![0; 9 << 20])), Status::TooLarge);
    assert_eq!(status(cell.set(&vec![0; 20 << 20])), Status::TooLarge);
    let large = vec![9; 7 << 20];
    cell.set(&large).unwrap();
    assert_eq!(&cell.get().unwrap()[..], &large);
    assert!(cell.delete().unwrap());
}

#[test]
fn vectors() {
    let (_engine, client) = engine(1);
    let vector = client.vector("weights");
    assert_eq!(status(vector.get()), Status::Absent);
    let first = vector.init(2, &[1.0, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(vector.init(2, &[0.0; 4]).unwrap(), first, "it is there already");
    assert_eq!(status(vector.init(4, &[0.0; 4])), Status::Mismatch);
    let second = vector.add(&[0.5; 4]).unwrap();
    assert!(second > first);
    assert_eq!(status(vector.add(&[0.5; 3])), Status::Mismatch);
    assert_eq!(status(vector.add(&[1_i64; 4])), Status::Mismatch);
    let view = vector.get().unwrap();
    assert_eq!((view.version(), view.rows(), view.columns()), (second, 2, 2));
    assert_eq!(view.as_f64(), Some(&[1.5, 2.5, 3.5, 4.5][..]));
    assert_eq!(view.elements(), Elements::F64(&[1.5, 2.5, 3.5, 4.5]));
    assert!(vector.get_if_newer(second).unwrap().is_none());
    assert!(vector.set(3, &[1_i64, 2, i64::MAX]).unwrap() > second);
    assert_eq!(status(vector.add(&[0_i64, 0, 1])), Status::Overflow);
    assert_eq!(vector.get().unwrap().as_i64(), Some(&[1, 2, i64::MAX][..]));
    let single = client.vector("single");
    assert!(single.add(&[1.0_f32, 2.0]).unwrap() > 0, "adding makes one");
    assert_eq!(single.get().unwrap().as_f32(), Some(&[1.0, 2.0][..]));
    assert!(vector.delete().unwrap());
}

#[test]
fn kinds_are_not_mixed_up() {
    let (_engine, client) = engine(1);
    client.cell("thing").set(b"bytes").unwrap();
    let error = client.counter("thing").add(1).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::WrongKind), Retry::Never));
    assert!(
        error.to_string().contains("add of counter `thing`")
            && error.to_string().contains("is a cell, not a counter"),
        "{error}"
    );
    assert_eq!(status(client.vector("thing").get()), Status::WrongKind);
    assert_eq!(status(client.flag("thing").get()), Status::WrongKind);
}

#[test]
fn a_pipeline_over_many_shards_and_cores() {
    let (_engine, client) = engine(2);
    let names: Vec<String> = (0..500).map(|n| format!("pipelined {n}")).collect();
    let counters: Vec<_> = names.iter().map(|name| client.counter(name)).collect();
    let (flag, cell) = (client.flag("flag"), client.cell("cell"));
    let mut pipeline = client.pipeline();
    for (value, counter) in (0..).zip(&counters) {
        pipeline.push(counter, CounterOp::Add { delta: value });
        pipeline.push(counter, CounterOp::Get);
    }
    let set = pipeline.push(&flag, FlagOp::Set { value: true });
    pipeline.push(&cell, CellOp::Set { bytes: b"bytes" });
    let get = pipeline.push(&cell, CellOp::Get);
    let wrong = pipeline.push(&counters[0], CounterOp::Multiply { factor: 3 });
    let gone = pipeline.delete(&flag);
    let replies = pipeline.run().all_ok().unwrap();
    for (value, place) in (0..500).zip((0..).step_by(2)) {
        assert_eq!(replies.get(place).unwrap(), Reply::Int(value));
        assert_eq!(replies.get(place + 1).unwrap(), Reply::Int(value));
    }
    assert_eq!(replies.get(set).unwrap(), Reply::Bool(true));
    let bytes = Some(&b"bytes"[..]);
    assert!(matches!(replies.get(get), Ok(Reply::Cell { bytes: got, .. }) if got == bytes));
    assert_eq!(replies.get(wrong).unwrap(), Reply::Int(0));
    assert_eq!(replies.get(gone).unwrap(), Reply::Bool(true));
}

#[test]
fn a_dropped_client_leaves_no_session_behind() {
    let (engine, client) = engine(1);
    client.counter("visits").add(1).unwrap();
    let sessions = || engine.census().iter().map(|core| core.sessions).sum::<u64>();
    assert_eq!(sessions(), 1);
    drop(client);
    let start = std::time::Instant::now();
    while sessions() > 0 {
        assert!(start.elapsed().as_secs() < 5, "the session was not closed");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
