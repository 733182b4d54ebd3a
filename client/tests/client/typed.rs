//! Typed values.

use catena_client::{Error, Retry};
use serde::{Deserialize, Serialize};

use crate::{LONG, engine};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Job {
    name: String,
    sizes: Vec<u32>,
}

fn job(name: &str) -> Job {
    Job { name: name.into(), sizes: vec![1, 2, 300] }
}

#[test]
fn typed_values_come_back_as_they_went() {
    let (_engine, client) = engine(2);
    let cell = client.cell("cell").typed::<Job>();
    assert_eq!(cell.get().unwrap(), None);
    let version = cell.set(&job("a")).unwrap();
    assert_eq!(cell.get_versioned().unwrap(), Some((version, job("a"))));
    assert_eq!(cell.swap(&job("b")).unwrap(), Some(job("a")));
    assert!(!cell.compare_version_and_set(version, &job("c")).unwrap().swapped);
    let list = client.list("list").typed::<Job>();
    assert_eq!(list.extend(&[job("a"), job("b"), job("c")]).unwrap(), 3);
    assert_eq!(list.items().collect::<Result<Vec<_>, _>>().unwrap().len(), 3);
    let claim = list.claim(LONG).unwrap();
    assert_eq!((claim.name.as_str(), claim.value()), ("a", &job("a")));
    assert!(claim.give_back().unwrap());
    assert_eq!(list.pop_front().unwrap(), Some(job("a")));
    assert_eq!(list.pop_front_wait(LONG).unwrap(), job("b"));
    assert_eq!((list.pop_back().unwrap(), list.pop_back().unwrap()), (Some(job("c")), None));
    let map = client.map("map").typed::<Job>();
    assert!(!map.put("key", &job("a")).unwrap() && !map.put_if_absent("key", &job("b")).unwrap());
    assert_eq!(map.swap("key", &job("b")).unwrap(), Some(job("a")));
    let entries: Vec<_> = map.entries().collect::<Result<_, _>>().unwrap();
    assert_eq!(entries, [(b"key".to_vec(), job("b"))]);
    assert_eq!((map.take("key").unwrap(), map.get("key").unwrap()), (Some(job("b")), None));
    let future = client.future("future").typed::<Job>();
    assert_eq!(future.peek().unwrap(), None);
    assert!(future.set(&job("a")).unwrap() && !future.set(&job("b")).unwrap());
    assert_eq!(future.get(LONG).unwrap(), job("a"));
}

#[test]
fn an_update_is_not_lost_when_two_make_it() {
    let (_engine, client) = engine(1);
    let numbers = client.cell("numbers").typed::<Vec<u32>>();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let numbers = &numbers;
            scope.spawn(move || {
                for _ in 0..50 {
                    let push = |numbers: Option<Vec<u32>>| {
                        let mut numbers = numbers.unwrap_or_default();
                        numbers.push(worker);
                        numbers
                    };
                    numbers.update(push).unwrap();
                }
            });
        }
    });
    assert_eq!(numbers.get().unwrap().unwrap().len(), 200);
}

#[test]
fn bytes_of_another_type_are_an_error_that_says_so() {
    let (_engine, client) = engine(1);
    client.cell("cell").set(&[0xff; 3]).unwrap();
    let error = client.cell("cell").typed::<Job>().get().unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert_eq!((error.retry(), error.status()), (Retry::Never, None));
    assert!(error.to_string().starts_with("the cell `cell` holds something else"), "{error}");
    client.list("jobs").push_back([0xff; 3]).unwrap();
    let jobs = client.list("jobs").typed::<Job>();
    assert!(matches!(jobs.claim(LONG).map(drop), Err(Error::Decode { .. })));
    assert_eq!(client.list("jobs").len().unwrap(), 1, "it is back");
    client.cell("long").set(&[1, 2]).unwrap();
    let error = client.cell("long").typed::<u8>().get().unwrap_err();
    assert!(error.to_string().contains("1 bytes are left behind the value"), "{error}");
}
