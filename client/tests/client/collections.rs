//! Lists, maps and sets against a real engine, including what they refuse.

use std::time::{Duration, Instant};

use catena_client::{Client, Error, ListOp, MapOp, Merge, Reply, SetOp, Status};

use crate::{LONG, SHORT, engine, status};

/// The bytes of an optional value.
fn bytes(value: Option<impl AsRef<[u8]>>) -> Option<Vec<u8>> {
    value.map(|value| value.as_ref().to_vec())
}

fn some(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

/// The items of a walk, as text.
fn texts(walk: impl Iterator<Item = Result<Vec<u8>, Error>>) -> Vec<String> {
    walk.map(|item| String::from_utf8(item.unwrap()).unwrap()).collect()
}

#[test]
fn lists() {
    let (_engine, client) = engine(2);
    let list = client.list("list");
    assert_eq!(list.len().unwrap(), 0);
    assert!(list.is_empty().unwrap());
    assert!(list.get(0).unwrap().is_none() && list.first().unwrap().is_none());
    assert!(list.pop_front().unwrap().is_none() && list.pop_back().unwrap().is_none());
    assert!(list.try_claim().unwrap().is_none());
    assert!(list.items().next().is_none());
    assert_eq!(list.push_back("b").unwrap(), 1);
    assert_eq!(list.push_front("a").unwrap(), 2);
    assert_eq!(list.extend(["c", "b", ""]).unwrap(), 5);
    assert_eq!(texts(list.items()), ["a", "b", "c", "b", ""]);
    assert_eq!(bytes(list.get(2).unwrap()), some("c"));
    assert_eq!(bytes(list.first().unwrap()), some("a"));
    assert!(list.get(5).unwrap().is_none() && list.get(u64::MAX).unwrap().is_none());
    assert_eq!(list.get(2).unwrap().unwrap().as_str(), Some("c"));
    assert_eq!(list.index_of("b").unwrap(), Some(1));
    assert_eq!(list.last_index_of("b").unwrap(), Some(3));
    assert_eq!(list.index_of("z").unwrap(), None);
    assert!(list.contains("").unwrap() && !list.contains("z").unwrap());
    assert!(list.contains_all(["a", "c"]).unwrap() && !list.contains_all(["a", "z"]).unwrap());
    let page = list.range(1..3).unwrap();
    assert_eq!((page.at(), page.more(), page.len()), (1, true, 2));
    assert_eq!(page.iter().collect::<Vec<_>>(), [b"b", b"c"]);
    assert!(list.range(3..3).unwrap().is_empty());
    assert_eq!(list.range(3..u64::MAX).unwrap().len(), 2);
    assert_eq!(bytes(Some(list.set(1, "B").unwrap())), some("b"));
    assert_eq!(status(list.set(5, "x")), Status::OutOfRange);
    assert_eq!(list.insert(5, "end").unwrap(), 6);
    assert_eq!(status(list.insert(7, "x")), Status::OutOfRange);
    assert_eq!(&list.remove_at(4).unwrap()[..], b"");
    assert_eq!(status(list.remove_at(5)), Status::OutOfRange);
    assert!(list.remove_value("c").unwrap() && !list.remove_value("c").unwrap());
    assert_eq!(texts(list.items()), ["a", "B", "b", "end"]);
    assert_eq!(list.retain_all(["a", "b", "end", "other"]).unwrap(), 1);
    assert_eq!(list.remove_all(["b", "other"]).unwrap(), 1);
    assert_eq!(bytes(list.pop_back().unwrap()), some("end"));
    assert_eq!(&list.pop_front_wait(LONG).unwrap()[..], b"a");
    let start = Instant::now();
    assert_eq!(status(list.pop_front_wait(SHORT)), Status::Timeout);
    assert!(start.elapsed() >= SHORT);
    list.extend(["x", "y"]).unwrap();
    assert_eq!(list.clear().unwrap(), 2);
    assert_eq!(status(list.push_back(vec![0; 61 << 10])), Status::TooLarge);
    assert_eq!(status(list.extend([vec![0; 61 << 10]])), Status::TooLarge);
    assert_eq!(list.len().unwrap(), 0, "a refusal changes nothing");
    assert_eq!(status(client.set("list").add("x")), Status::WrongKind);
    assert!(list.delete().unwrap());
}

#[test]
fn a_long_list_comes_page_by_page() {
    let (_engine, client) = engine(1);
    let list = client.list("list");
    let items: Vec<String> = (0..10_000).map(|n| format!("item {n}")).collect();
    assert_eq!(status(list.extend(&items)), Status::TooLarge);
    let (first, others) = items.split_at(8_192);
    assert_eq!(list.extend(first).unwrap(), 8_192);
    assert_eq!(list.extend(others).unwrap(), 10_000);
    assert_eq!(texts(list.items()), items);
    let mut pages = list.pages().page_items(3_000);
    let page = pages.next().unwrap().unwrap();
    let held = pages.next().unwrap().unwrap();
    drop(page);
    assert_eq!(pages.count(), 2);
    assert_eq!((held.at(), held.len(), held.more()), (3_000, 3_000, true));
    assert_eq!(held.iter().next(), Some(items[3_000].as_bytes()), "a page does not change");
    // Large items end a page early.
    let large = client.list("large");
    for n in 0..30_u8 {
        large.push_back(vec![n; 60 << 10]).unwrap();
    }
    assert!(large.pages().count() > 1);
    let firsts: Vec<u8> = large.items().map(|item| item.unwrap()[0]).collect();
    assert_eq!(firsts, (0..30).collect::<Vec<u8>>());
}

#[test]
fn items_are_claimed_until_they_are_done() {
    let (engine, client) = engine(1);
    let work = client.list("work");
    work.extend(["one", "two", "three"]).unwrap();
    let one = work.claim(LONG).unwrap();
    assert_eq!(&one[..], b"one");
    let two = work.try_claim().unwrap().unwrap();
    assert_eq!((&two[..], two.token() > one.token()), (&b"two"[..], true));
    assert_eq!(work.len().unwrap(), 1, "what is claimed is not there");
    drop(one);
    assert_eq!(bytes(work.first().unwrap()), some("one"), "what is dropped goes back to the front");
    assert!(two.done().unwrap());
    let one = work.claim(LONG).unwrap();
    let token = one.keep();
    assert!(work.give_back(token).unwrap());
    assert!(!work.give_back(token).unwrap() && !work.done(token).unwrap());
    assert!(work.claim(LONG).unwrap().give_back().unwrap());
    let token = work.try_claim().unwrap().unwrap().keep();
    assert!(work.done(token).unwrap());
    // After its hold, an item can be claimed by another client.
    let three = work.clone().with_hold(SHORT).claim(LONG).unwrap();
    assert_eq!(&three[..], b"three");
    let other = Client::connect(engine.addresses()[0]).unwrap();
    let again = other.list("work").claim(LONG).unwrap();
    assert_eq!((&again[..], again.token() > three.token()), (&b"three"[..], true));
    assert!(!three.done().unwrap());
    // So can the item of a client that closes its session.
    again.keep();
    drop(other);
    assert_eq!(&work.claim(LONG).unwrap()[..], b"three");
    assert_eq!(status(client.list("nothing").claim(SHORT)), Status::Timeout);
}

#[test]
fn maps() {
    let (_engine, client) = engine(2);
    let map = client.map("map");
    assert!(map.is_empty().unwrap());
    assert!(map.get("a").unwrap().is_none() && map.take("a").unwrap().is_none());
    assert!(!map.remove("a").unwrap());
    assert!(!map.put("a", "1").unwrap() && map.put("a", "2").unwrap());
    assert_eq!(bytes(map.get("a").unwrap()), some("2"));
    assert!(!map.put_if_absent("a", "3").unwrap() && map.put_if_absent("b", "3").unwrap());
    assert!(map.contains_key("b").unwrap() && !map.contains_key("c").unwrap());
    assert!(map.contains_value("3").unwrap() && !map.contains_value("9").unwrap());
    assert_eq!(bytes(map.swap("a", "4").unwrap()), some("2"));
    assert!(map.swap("c", "5").unwrap().is_none());
    assert_eq!(bytes(map.take("c").unwrap()), some("5"));
    assert!(!map.compare_and_swap("a", Some(b"x"), Some(b"y")).unwrap());
    assert!(map.compare_and_swap("a", Some(b"4"), Some(b"y")).unwrap());
    assert!(!map.compare_and_swap("a", None, Some(b"z")).unwrap());
    assert!(map.compare_and_swap("d", None, Some(b"new")).unwrap());
    assert!(map.compare_and_swap("d", Some(b"new"), None).unwrap());
    assert!(!map.contains_key("d").unwrap());
    assert_eq!(map.put_all([("b", "6"), ("e", "7"), ("f", "8")]).unwrap(), 2);
    assert_eq!(map.len().unwrap(), 4);
    assert_eq!(texts(map.keys()), ["a", "b", "e", "f"]);
    assert_eq!(texts(map.values()), ["y", "6", "7", "8"]);
    let entries: Vec<_> = map.entries().map(Result::unwrap).collect();
    assert_eq!(entries[1], (b"b".to_vec(), b"6".to_vec()));
    assert_eq!(map.remove_all(["a", "zzz"]).unwrap(), 1);
    assert!(map.remove("b").unwrap());
    assert_eq!(map.clear().unwrap(), 2);
    assert!(!map.put_with_token(5, "a", "fenced").unwrap());
    assert_eq!(status(map.put_with_token(4, "a", "late")), Status::StaleToken);
    assert_eq!(status(map.put_with_token(4, "other", "late")), Status::StaleToken);
    assert_eq!(bytes(map.get("a").unwrap()), some("fenced"));
    assert_eq!(status(map.put([0; 4097], "x")), Status::TooLarge);
    let large = vec![7; 1 << 20];
    map.put("large", &large).unwrap();
    assert_eq!(bytes(map.get("large").unwrap()).as_ref(), Some(&large));
    assert_eq!(status(map.take("large")), Status::TooLarge);
    assert_eq!(status(map.swap("large", "x")), Status::TooLarge);
    assert_eq!(status(client.list("map").push_back("x")), Status::WrongKind);
    assert!(map.delete().unwrap());
}

#[test]
fn numbers_are_merged_next_to_the_data() {
    let (_engine, client) = engine(1);
    let map = client.map("words");
    assert_eq!(map.get_i64("apple").unwrap(), None);
    assert_eq!(map.add("apple", 5).unwrap(), 5);
    assert_eq!(map.add("apple", -7).unwrap(), -2);
    assert_eq!(map.get_i64("apple").unwrap(), Some(-2));
    assert!(map.put_i64("apple", i64::MAX).unwrap());
    assert_eq!(status(map.add("apple", 1)), Status::Overflow);
    assert!(!map.put_f64("pi", 3.0).unwrap());
    assert_eq!(map.add_f64("pi", 0.25).unwrap(), 3.25);
    assert_eq!(map.get_f64("pi").unwrap(), Some(3.25));
    let word = |number: i64| number.to_le_bytes();
    assert_eq!(map.merge("low", Merge::Min, word(4)).unwrap().as_i64(), Some(4));
    assert_eq!(map.merge("low", Merge::Min, word(-4)).unwrap().as_i64(), Some(-4));
    assert_eq!(map.merge("low", Merge::Max, word(9)).unwrap().as_i64(), Some(9));
    assert_eq!(map.merge("pi", Merge::MaxF64, 9.5_f64.to_le_bytes()).unwrap().as_f64(), Some(9.5));
    assert_eq!(map.merge("pi", Merge::MinF64, 1.5_f64.to_le_bytes()).unwrap().as_f64(), Some(1.5));
    assert_eq!(&map.merge("text", Merge::Append, "ab").unwrap()[..], b"ab");
    assert_eq!(&map.merge("text", Merge::Append, "cd").unwrap()[..], b"abcd");
    assert_eq!(&map.merge("text", Merge::ReplaceIfGreater, "b").unwrap()[..], b"b");
    assert_eq!(&map.merge("text", Merge::ReplaceIfGreater, "a").unwrap()[..], b"b");
    let error = map.add("text", 1).unwrap_err();
    assert_eq!(error.status(), Some(Status::Mismatch));
    let expected = "cannot add: the value of key `text` is 1 byte, integers are 8";
    assert!(error.to_string().contains(expected), "{error}");
    let error = map.get_i64("text").unwrap_err();
    assert_eq!(error.status(), Some(Status::Mismatch));
    let error = error.to_string();
    assert!(error.contains("get of map `words`"), "{error}");
    assert!(error.contains("the value of key `text` is 1 byte, numbers are 8"), "{error}");
    assert_eq!(map.add_all([("a", 1), ("b", 2), ("a", 3)]).unwrap(), 2);
    assert_eq!((map.get_i64("a").unwrap(), map.get_i64("b").unwrap()), (Some(4), Some(2)));
    assert_eq!(map.merge_all(Merge::Append, [("log", "x"), ("log", "y")]).unwrap(), 1);
    assert_eq!(status(map.add_all([("a", 1), ("apple", 1)])), Status::Overflow);
    assert_eq!(map.get_i64("a").unwrap(), Some(4), "all or nothing");
}

#[test]
fn a_sorted_map_is_read_from_either_end() {
    let (_engine, client) = engine(1);
    let sorted = client.sorted_map("sorted");
    assert!(sorted.first().unwrap().is_none() && sorted.last().unwrap().is_none());
    assert!(sorted.top(3).next().is_none());
    for key in ["pear", "apple", "fig", "banana", "kiwi"] {
        sorted.put(key, key.to_uppercase()).unwrap();
    }
    let first = sorted.first().unwrap().unwrap();
    assert_eq!((first.key(), first.value()), (&b"apple"[..], &b"APPLE"[..]));
    assert_eq!(sorted.last().unwrap().unwrap().key(), b"pear");
    assert_eq!(texts(sorted.range("b".."kiwi").keys()), ["banana", "fig"]);
    assert_eq!(texts(sorted.range("b"..="kiwi").reverse().keys()), ["kiwi", "fig", "banana"]);
    assert_eq!(texts(sorted.range("z".."a").keys()), [""; 0]);
    assert_eq!(texts(sorted.range("fig".."fig").keys()), [""; 0]);
    assert_eq!(texts(sorted.range::<str>(..).keys()).len(), 5);
    assert_eq!(texts(sorted.head("fig").values()), ["APPLE", "BANANA"]);
    assert_eq!(texts(sorted.tail("fig").reverse().values()), ["PEAR", "KIWI", "FIG"]);
    let top: Vec<_> = sorted.top(2).map(|entry| entry.unwrap().0).collect();
    assert_eq!(top, [b"pear".to_vec(), b"kiwi".to_vec()]);
    assert_eq!(sorted.top(99).count(), 5);
    assert_eq!(client.map("sorted").len().unwrap(), 5, "it is a map");
    // Small pages have the same result, in both directions and up to a limit.
    for items in 1..7 {
        let scan = || sorted.scan().page_items(items);
        assert_eq!(texts(scan().keys()), ["apple", "banana", "fig", "kiwi", "pear"]);
        assert_eq!(texts(scan().reverse().values()), ["PEAR", "KIWI", "FIG", "BANANA", "APPLE"]);
        assert_eq!(texts(scan().limit(3).keys()), ["apple", "banana", "fig"]);
        assert_eq!(scan().pages().map(|page| page.unwrap().entries().count()).sum::<usize>(), 5);
    }
}

#[test]
fn a_walk_misses_and_repeats_nothing_that_stays() {
    let (_engine, client) = engine(1);
    let map = client.map("map");
    map.put_all((0..1_000).map(|n| (format!("{n:04}"), "x"))).unwrap();
    let mut seen = Vec::new();
    for key in map.scan().page_items(10).keys() {
        let key = String::from_utf8(key.unwrap()).unwrap();
        // Removes an entry behind the walk, and adds one in front of it.
        map.remove(&key).unwrap();
        map.put(format!("{key}!"), "y").unwrap();
        seen.push(key);
    }
    seen.retain(|key| key.len() == 4);
    assert_eq!(seen, (0..1_000).map(|n| format!("{n:04}")).collect::<Vec<_>>());
}

#[test]
fn sets() {
    let (_engine, client) = engine(2);
    let set = client.set("set");
    assert!(set.is_empty().unwrap() && !set.contains("a").unwrap() && !set.remove("a").unwrap());
    assert!(set.add("b").unwrap() && !set.add("b").unwrap());
    assert_eq!(set.add_all(["a", "b", "c", "d"]).unwrap(), 3);
    assert_eq!(set.len().unwrap(), 4);
    assert!(set.contains("c").unwrap());
    assert!(set.contains_all(["a", "d"]).unwrap() && !set.contains_all(["a", "z"]).unwrap());
    assert_eq!(texts(set.members()), ["a", "b", "c", "d"]);
    assert_eq!(texts(set.range("b".."d")), ["b", "c"]);
    assert_eq!(set.pages("b"..).page_items(1).count(), 3);
    assert!(set.remove("a").unwrap());
    assert_eq!(set.remove_all(["b", "z"]).unwrap(), 1);
    assert_eq!(set.retain_all(["c", "z"]).unwrap(), 1);
    assert_eq!(set.clear().unwrap(), 1);
    assert_eq!(status(set.add([0; 4097])), Status::TooLarge);
    assert_eq!(status(client.map("set").put("a", "b")), Status::WrongKind);
    assert!(set.delete().unwrap());
}

#[test]
fn collections_are_asked_in_pipelines() {
    let (_engine, client) = engine(2);
    let (list, map) = (client.list("list"), client.map("map"));
    let (set, sorted) = (client.set("set"), client.sorted_map("sorted"));
    let mut pipeline = client.pipeline();
    for n in 0..2_000_u32 {
        pipeline.push(&list, ListOp::PushBack { bytes: NAMES[n as usize % NAMES.len()] });
    }
    let put = pipeline.push(&map, MapOp::Put { key: b"k", value: b"v" });
    let get = pipeline.push(&map, MapOp::Get { key: b"k" });
    let add = pipeline.push(&set, SetOp::Add { bytes: b"m" });
    let absent = pipeline.push(&sorted, MapOp::Get { key: b"k" });
    let replies = pipeline.run().all_ok().unwrap();
    for n in 0..2_000 {
        assert_eq!(replies.get(n).unwrap(), Reply::Number(n as u64 + 1), "in their order");
    }
    assert_eq!(replies.get(put).unwrap(), Reply::Bool(false));
    assert_eq!(replies.get(get).unwrap(), Reply::Value(Some(b"v")));
    assert_eq!(replies.get(add).unwrap(), Reply::Bool(true));
    assert_eq!(replies.get(absent).unwrap(), Reply::Value(None));
    drop(replies);
    let names = list.items().map(Result::unwrap);
    assert!(names.zip(NAMES.iter().cycle()).all(|(item, name)| item == *name));
}

const NAMES: [&[u8]; 3] = [b"ada", b"grace", b"alan"];

#[test]
fn a_wait_for_an_item_ends_when_there_is_one() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let waiting = std::thread::spawn(move || {
        let client = Client::connect(address).unwrap();
        client.list("list").pop_front_wait(LONG).unwrap().to_vec()
    });
    let list = client.list("list");
    while list.inspect().unwrap().is_none_or(|found| found.waiters == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    list.push_back("item").unwrap();
    assert_eq!(waiting.join().unwrap(), b"item");
    assert!(list.is_empty().unwrap());
}
