//! The register in S3, against a store in memory that is atomic and can be made to fail.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use catena_location::Secret;
use catena_s3_stand_in::{ACCESS_KEY, Fault, SECRET_ACCESS_KEY, StandIn};

use super::*;

const BUCKET: &str = "catena-test";

pub(super) fn settings(endpoint_url: String) -> S3Settings {
    S3Settings {
        access_key: Some(ACCESS_KEY.into()),
        secret_access_key: Some(Secret::new(SECRET_ACCESS_KEY)),
        endpoint_url: Some(endpoint_url),
        region: Some("us-east-1".into()),
        ..S3Settings::default()
    }
}

async fn open(store: &StandIn, cluster: &str) -> S3Register {
    let settings = settings(store.endpoint_url());
    S3Register::open(BUCKET, "a/b", cluster, &settings).await.expect("valid settings")
}

/// Returns a store that has the first record of a cluster.
async fn with_record(cluster: &str) -> (StandIn, S3Register, Record, RecordToken) {
    let store = StandIn::start(&[BUCKET]);
    let register = open(&store, cluster).await;
    let first = first_record(cluster, 1);
    let outcome = register.create(&first).await.expect("an outcome");
    let StoreOutcome::Won(token) = outcome else { panic!("there is no other writer: {outcome:?}") };
    (store, register, first, token)
}

fn next(record: &Record, id: u128) -> Record {
    record.bumped(NodeId(1), "", ChangeId(id)).expect("a bump")
}

async fn read(register: &S3Register) -> Record {
    register.read().await.expect("a result").expect("a record").0
}

#[test]
fn it_keeps_the_contract() {
    run(async {
        let store = StandIn::start(&[BUCKET]);
        check_register(&open(&store, "c").await).await;
        assert!(store.contents(BUCKET, "a/b/c/config.json").is_some());

        // The same, as a node opens it.
        let location: Location = "s3://".parse().expect("a location");
        let named = S3Settings { location: Some(BUCKET.into()), ..settings(store.endpoint_url()) };
        let register = AnyRegister::open(&location, "d", &named).await.expect("settings");
        check_register(&register).await;
        assert!(store.contents(BUCKET, "d/config.json").is_some());
    });
}

#[test]
fn it_counts() {
    run(async {
        let store = StandIn::start(&[BUCKET]);
        // Each writer has a client and connections of its own, as nodes do.
        let mut registers = Vec::new();
        for _ in 0..32 {
            registers.push(open(&store, "c").await);
        }
        count(registers, 4).await.assert_exact();
    });
}

#[test]
fn one_of_many_creates_a_cluster() {
    run(async {
        let store = StandIn::start(&[BUCKET]);
        let mut registers = Vec::new();
        for n in 0..20 {
            registers.push(open(&store, &format!("c{n}")).await);
        }
        assert_eq!(race_to_create(registers, 32).await, [1; 20]);
    });
}

#[test]
fn faults_lose_no_increment_in_s3() {
    run(async {
        let store = StandIn::start(&[BUCKET]);
        for seed in 0..3 {
            let register =
                FaultyRegister::new(open(&store, &format!("c{seed}")).await, Faults::all(), seed);
            let tally = count(vec![register.clone(); 8], 3).await;
            tally.assert_fits(&register.landed().await, &format!("seed {seed}"));
        }
    });
}

#[test]
fn faults_on_the_wire_lose_no_increment() {
    run(async {
        let store = StandIn::start(&[BUCKET]);
        let mut registers = Vec::new();
        for _ in 0..8 {
            registers.push(open(&store, "c").await.with_timeout(Duration::from_millis(150)));
        }
        let late = Fault::Late(Duration::from_millis(200));
        let kinds = [Fault::LoseReply, late, Fault::Drop, Fault::Refuse(409), Fault::Refuse(503)];
        let mut faults = VecDeque::new();
        for _ in 0..10 {
            faults.extend(kinds);
        }
        store.fail_puts(faults);
        let tally = count(registers, 8).await;
        // A late attempt may take effect after the last read; nothing else is under way.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let last = read(&open(&store, "c").await).await;
        let increments = last.epoch as usize - 1;
        assert!(tally.won.len() <= increments, "{tally:?}");
        assert!(increments <= tally.won.len() + tally.unsure.len(), "{tally:?}");
        assert!(store.puts() > 50, "all faults happened");
    });
}

#[test]
fn a_refused_write_has_the_right_outcome() {
    run(async {
        let (store, register, first, token) = with_record("c").await;
        let second = next(&first, 2);
        for (status, unknown) in
            [(409, false), (412, false), (408, true), (429, true), (500, true), (503, true)]
        {
            let before = store.puts();
            store.fail_puts([Fault::Refuse(status)]);
            let outcome = register.cas(&token, &second).await.expect("an outcome");
            assert_eq!(
                matches!(outcome, StoreOutcome::Unknown(_)),
                unknown,
                "{status}: {outcome:?}"
            );
            assert_eq!(matches!(outcome, StoreOutcome::Lost), !unknown, "{status}: {outcome:?}");
            assert_eq!(store.puts(), before + 1, "the SDK does not retry");
            assert_eq!(read(&register).await, first);
        }
        for status in [400, 403, 404] {
            store.fail_puts([Fault::Refuse(status)]);
            let refused = register.create(&first).await.expect_err("refused");
            let RegisterError::Refused { status: got, .. } = refused else { panic!("{refused}") };
            assert_eq!(got, status);
        }
    });
}

#[test]
fn a_success_whose_reply_was_lost_is_found_by_its_id() {
    run(async {
        let (store, register, first, token) = with_record("c").await;
        let second = next(&first, 2);
        let before = store.puts();
        store.fail_puts([Fault::LoseReply]);
        let outcome = register.cas(&token, &second).await.expect("an outcome");
        assert!(matches!(outcome, StoreOutcome::Unknown(_)), "{outcome:?}");
        assert_eq!(store.puts(), before + 1, "the SDK does not retry");
        let outcome = register.cas(&token, &second).await.expect("an outcome");
        assert_eq!(outcome, StoreOutcome::Lost, "to itself");
        assert_eq!(read(&register).await.change.id, second.change.id);
    });
}

#[test]
fn a_dropped_write_can_be_retried() {
    run(async {
        let (store, register, first, token) = with_record("c").await;
        let second = next(&first, 2);
        let before = store.puts();
        store.fail_puts([Fault::Drop]);
        let outcome = register.cas(&token, &second).await.expect("an outcome");
        assert!(matches!(outcome, StoreOutcome::Unknown(_)), "{outcome:?}");
        assert_eq!(store.puts(), before + 1, "the SDK does not retry");
        assert_eq!(read(&register).await, first);
        let outcome = register.cas(&token, &second).await.expect("an outcome");
        assert!(matches!(outcome, StoreOutcome::Won(_)), "{outcome:?}");
    });
}

#[test]
fn a_late_write_takes_effect_later() {
    run(async {
        let (store, register, first, token) = with_record("c").await;
        let second = next(&first, 2);
        let hurried = register.clone().with_timeout(Duration::from_millis(500));
        store.fail_puts([Fault::Late(Duration::from_millis(1_500))]);
        let outcome = hurried.cas(&token, &second).await.expect("an outcome");
        assert!(matches!(outcome, StoreOutcome::Unknown(_)), "{outcome:?}");
        assert_eq!(read(&register).await, first, "not yet");
        let start = Instant::now();
        while read(&register).await != second {
            assert!(start.elapsed() < Duration::from_secs(30), "it never takes effect");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn an_unreachable_store_is_not_an_empty_one() {
    run(async {
        let first = first_record("c", 1);
        let time = Duration::from_millis(200);
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let opened = S3Register::open(BUCKET, "", "c", &settings(url)).await;
        let register = opened.expect("valid settings").with_timeout(time);
        let error = register.read().await.expect_err("silence");
        assert!(matches!(error, RegisterError::TimedOut(_)), "{error}");
        let outcome = register.create(&first).await.expect("an outcome");
        assert!(matches!(outcome, StoreOutcome::Unknown(_)), "{outcome:?}");

        drop(silent);
        let register = register.with_timeout(READ_TIME_MAX);
        let error = register.read().await.expect_err("no store listens");
        assert!(matches!(error, RegisterError::Unreadable(_)), "{error}");
        let outcome = register.create(&first).await.expect("an outcome");
        assert!(matches!(outcome, StoreOutcome::Unknown(_)), "{outcome:?}");
    });
}

#[test]
fn a_refusal_of_the_store_names_the_object() {
    run(async {
        let store = StandIn::start(&[BUCKET]);
        let first = first_record("c", 1);
        let refusals = |settings: S3Settings, bucket: &'static str| async move {
            let register = S3Register::open(bucket, "", "c", &settings).await.expect("settings");
            let read = register.read().await.expect_err("refused").to_string();
            let written = register.create(&first_record("c", 1)).await.expect_err("refused");
            (read, written.to_string())
        };
        let (read, written) = refusals(settings(store.endpoint_url()), "no-such-bucket").await;
        assert!(read.contains("s3://no-such-bucket/c/config.json: status 404"), "{read}");
        assert!(written.contains("status 404, NoSuchBucket"), "{written}");

        let wrong = Some(Secret::new("wrong"));
        let wrong = S3Settings { secret_access_key: wrong, ..settings(store.endpoint_url()) };
        let (read, written) = refusals(wrong, BUCKET).await;
        assert!(read.contains("refused to read s3://catena-test/c/config.json"), "{read}");
        assert!(read.contains("may not list the bucket"), "{read}");
        assert!(written.contains("status 403"), "{written}");
        assert!(!read.contains("wrong") && !written.contains("wrong"), "a secret was shown");

        store.put(BUCKET, "a/b/c/config.json", vec![b' '; 5 << 20]);
        let register = open(&store, "c").await;
        let error = register.read().await.expect_err("too long");
        assert!(matches!(error, RegisterError::Record(RecordError::TooLong { .. })), "{error}");
        let outcome = register.create(&first).await.expect("an outcome");
        assert_eq!(outcome, StoreOutcome::Lost, "the object is not touched");
    });
}
