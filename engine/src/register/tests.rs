//! Every kind of register against the same trials, and against the faults that each can have.

use std::collections::BTreeMap;

use super::*;
use catena_core::chain::record::{ChangeId, NodeId, NodeInfo, Settings};

mod counter;
mod faulty;
mod file;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod seaweed;
#[cfg(feature = "s3")]
mod stand_in;

use counter::{count, race_to_create};
use faulty::{Careless, Faults, Faulty, Memory};

/// The first record of a cluster, as a node of this number would write it.
fn founding(cluster: &str, founder: u128) -> Record {
    let address = ([127, 0, 0, 1], 1).into();
    let info =
        NodeInfo { name: format!("n{founder}"), peer: address, clients: vec![address], az: None };
    let founders = BTreeMap::from([(NodeId(founder), info)]);
    Record::create(cluster, &Settings::default(), founders, NodeId(founder), ChangeId(founder))
        .expect("a record that makes sense")
}

/// Runs on one thread, as the control thread does.
fn run<T>(trial: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), trial)
}

#[test]
fn one_thing_is_read_as_it_was_stored() {
    run(async {
        let register = Memory::new("c");
        what_every_register_does(&register).await;
    });
}

/// What one writer sees that is alone.
async fn what_every_register_does(register: &impl Register) {
    let cluster = register.cluster().to_owned();
    assert_eq!(register.read().await.expect("an answer"), None);
    let first = founding(&cluster, 1);
    let stale = RecordToken::new("\"d41d8cd98f00b204e9800998ecf8427e\"");
    let early = register.cas(&stale, &first).await.expect("an outcome");
    assert_eq!(early, Outcome::Lost, "there is nothing to replace");

    let Outcome::Won(token) = register.create(&first).await.expect("an outcome") else {
        panic!("nobody else was there");
    };
    assert_eq!(register.read().await.expect("an answer"), Some((first.clone(), token.clone())));
    let again = register.create(&founding(&cluster, 2)).await.expect("an outcome");
    assert_eq!(again, Outcome::Lost, "there is one already");

    let second = first.bumped(NodeId(1), "é", ChangeId(2)).expect("a bump");
    let Outcome::Won(next) = register.cas(&token, &second).await.expect("an outcome") else {
        panic!("nobody else was there");
    };
    assert_ne!(token, next);
    assert_eq!(register.read().await.expect("an answer"), Some((second.clone(), next)));
    let repeated = register.cas(&token, &second).await.expect("an outcome");
    assert_eq!(repeated, Outcome::Lost, "its own success is what it lost to");

    let error = register.cas(&token, &founding("another", 1)).await.expect_err("another cluster");
    assert!(matches!(error, RegisterError::Cluster { .. }), "{error}");
    assert_eq!(register.read().await.expect("an answer").map(|(record, _)| record), Some(second));
}

#[test]
fn what_lies_there_has_to_be_a_record_of_the_cluster() {
    run(async {
        let register = Memory::new("c");
        for (bytes, expected) in [
            (b"{\"v\":2}".to_vec(), "the record has version 2"),
            (b"<html>".to_vec(), "the record cannot be read"),
            (founding("another", 1).to_bytes(), "the record is of cluster \"another\""),
        ] {
            register.put(bytes);
            let error = register.read().await.expect_err("no record of this cluster");
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    });
}

/// A counter in a register that checks first and writes later must come out wrong, or the trials
/// below show nothing.
#[test]
fn the_counter_finds_a_careless_register() {
    let tally = run(count(vec![Careless(Memory::new("c")); 32], 3));
    assert!(tally.won.len() > tally.increments(), "{tally:?}");
    let winners = run(race_to_create((0..8).map(|_| Careless(Memory::new("c"))).take(1), 8));
    assert!(winners[0] > 1, "{winners:?}");
}

#[test]
fn a_careful_register_counts() {
    run(count(vec![Memory::new("c"); 32], 8)).assert_exact();
    let winners = run(race_to_create([Memory::new("c")], 32));
    assert_eq!(winners, [1]);
}

#[test]
fn faults_lose_no_increment() {
    let mut suffered = faulty::Suffered::default();
    for seed in 0..60 {
        let register = Faulty::new(Memory::new("c"), Faults::all(), seed);
        let tally = run(count(vec![register.clone(); 8], 4));
        let landed = run(register.landed());
        tally.assert_fits(&landed, &format!("seed {seed}"));
        suffered.add(register.suffered());
    }
    suffered.assert_each();
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_build_without_s3_says_how_to_get_one_with_it() {
    let location = "s3://bucket/a".parse().expect("a location");
    let opened = run(AnyRegister::open(&location, "c", &S3Settings::default()));
    let error = opened.expect_err("not built in").to_string();
    assert_eq!(
        error,
        "this program was built without S3 and cannot use s3://bucket/a: build it with \
         `cargo build --release -p catena-engine --features s3`"
    );
}
