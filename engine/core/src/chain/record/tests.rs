//! Changes of a record, and what is not a valid record.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::ShardId;
use proptest::prelude::*;

use super::*;

fn node(id: u128) -> NodeId {
    NodeId(id)
}

fn info(id: u128) -> NodeInfo {
    let port = u16::try_from(id % 10_000).expect("below 10,000");
    NodeInfo {
        name: format!("node-{id}"),
        peer: ([10, 0, 0, 1], 20_000 + port).into(),
        clients: vec![([10, 0, 0, 1], 30_000 + port).into(), ([10, 0, 0, 2], 30_000 + port).into()],
        az: (id % 2 == 1).then(|| "use1-az4".into()),
    }
}

fn founders(ids: impl IntoIterator<Item = u128>) -> BTreeMap<NodeId, NodeInfo> {
    ids.into_iter().map(|id| (node(id), info(id))).collect()
}

const CLUSTER: &str = "km-1";

fn settings() -> Settings {
    Settings { shards: 4, replicas: 3, min_members: 1, ..Settings::default() }
}

fn create(ids: &[u128]) -> Record {
    let by = node(ids[0]);
    Record::create(CLUSTER, &settings(), founders(ids.iter().copied()), by, ChangeId(1_000))
        .expect("a valid record")
}

#[test]
fn a_founder_is_alone_in_every_chain() {
    let record = create(&[7]);
    assert_eq!(record.epoch, 1);
    assert_eq!(record.chains, vec![vec![node(7)]; 4]);
    let alone = ChainPosition {
        index: 0,
        predecessor: None,
        successor: None,
        head: node(7),
        tail: node(7),
        len: 1,
    };
    assert_eq!(record.position(ShardId(3), node(7)), Some(alone));
    assert_eq!(record.position(ShardId(4), node(7)), None, "no such shard");
    assert_eq!(record.position(ShardId(0), node(8)), None, "no such member");
}

#[test]
fn heads_are_spread_over_several_founders() {
    let record = create(&[1, 2, 3]);
    let heads: Vec<NodeId> = record.chains.iter().map(|chain| chain[0]).collect();
    assert_eq!(heads, [1, 1, 2, 3].map(node));
    let middle = record.position(ShardId(2), node(3)).expect("a member");
    assert_eq!((middle.predecessor, middle.successor), (Some(node(2)), Some(node(1))));
    assert_eq!((middle.index, middle.len), (1, 3));
}

#[test]
fn reordering_changes_only_the_order() {
    let spread = create(&[1, 2, 3]);
    let lined_up = spread.reordered(ChainOrder::LinedUp, node(1), ChangeId(1)).expect("a change");
    assert_eq!(lined_up.chains, vec![[1, 2, 3].map(node).to_vec(); 4]);
    lined_up.validate().expect("a valid record");
    let again = lined_up.reordered(ChainOrder::Spread, node(1), ChangeId(2)).expect("a change");
    assert_eq!(again.chains, spread.chains);
    assert_eq!((again.epoch, again.change.kind), (3, ChangeKind::Reorder));
    assert_eq!(again.nodes, spread.nodes);
    // Whichever of four cores owns them, each member is the head of half of its eight shards.
    let settings = Settings { shards: 32, ..settings() };
    let record =
        Record::create(CLUSTER, &settings, founders(1..=2), node(1), ChangeId(3)).expect("good");
    for core in 0..4 {
        let owned = record.chains.iter().skip(core).step_by(4);
        assert_eq!(owned.filter(|chain| chain[0] == node(2)).count(), 4);
    }
}

#[test]
fn a_removed_member_cannot_return_under_its_id() {
    let record = create(&[1, 2]);
    let without = record.removed(node(2), node(1), "suspect", ChangeId(1)).expect("a member");
    assert_eq!(without.chains, vec![vec![node(1)]; 4]);
    assert_eq!(without.retired, [node(2)]);
    assert_eq!(without.epoch, 2);
    let again = without.appended(node(2), info(2), node(1), ChangeId(2));
    assert_eq!(again, Err(ChangeError::Retired(node(2))));
    let with = without.appended(node(3), info(2), node(1), ChangeId(2)).expect("a new incarnation");
    assert_eq!(with.chains, vec![vec![node(1), node(3)]; 4]);
    assert_eq!(with.retired, [node(2)]);
}

#[test]
fn impossible_changes_are_refused() {
    let one = create(&[1]);
    let three = create(&[1, 2, 3]);
    let id = ChangeId(1);
    let refused = [
        (one.removed(node(1), node(1), "", id), ChangeError::LastMember(node(1))),
        (one.removed(node(2), node(1), "", id), ChangeError::NotAMember(node(2))),
        (one.appended(node(1), info(1), node(1), id), ChangeError::MemberAlready(node(1))),
        (three.appended(node(4), info(4), node(1), id), ChangeError::Full(3)),
        (one.bumped(node(1), "", ChangeId(1_000)), ChangeError::ChangeMade(ChangeId(1_000))),
        (
            Record { epoch: u32::MAX, ..one.clone() }.bumped(node(1), "", id),
            ChangeError::EpochsSpent(u32::MAX),
        ),
    ];
    for (change, expected) in refused {
        assert_eq!(change, Err(expected));
    }
}

#[test]
fn epochs_that_no_cluster_reaches_are_refused() {
    let record = |epoch| {
        let next = create(&[1]).bumped(node(1), "", ChangeId(1)).expect("a bump");
        Record { epoch, ..next }
    };
    assert_eq!(record(EPOCH_MAX).validate(), Ok(()));
    let error = record(EPOCH_MAX + 1).validate().expect_err("too large");
    assert!(error.to_string().contains("4293967296"), "{error}");
    let spent = record(EPOCH_MAX).bumped(node(1), "", ChangeId(2));
    assert_eq!(spent, Err(ChangeError::EpochsSpent(EPOCH_MAX)));

    assert_eq!(record(1_000_017).validate_after(17), Ok(()));
    assert_eq!(record(16).validate_after(17), Ok(()));
    let error = record(1_000_018).validate_after(17).expect_err("too far ahead");
    let text = error.to_string();
    assert!(text.contains("at most 1000000 above 17") && text.contains("1000018"), "{text}");
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let bumped = create(&[1]).bumped(node(1), &"é".repeat(200), ChangeId(1)).expect("a bump");
    assert_eq!(bumped.change.reason.len(), REASON_BYTES_MAX);
    let reason = format!("x{}", "é".repeat(200));
    let bumped = create(&[1]).bumped(node(1), &reason, ChangeId(1)).expect("a bump");
    assert_eq!(bumped.change.reason.len(), REASON_BYTES_MAX - 1);
}

#[test]
fn the_format_of_a_record_is_fixed() {
    let settings = Settings { shards: 1, ..settings() };
    let record = Record::create(CLUSTER, &settings, founders([1, 2]), node(2), ChangeId(0xabc))
        .expect("a valid record")
        .removed(node(2), node(1), "suspect", ChangeId(0xdef))
        .expect("a member");
    let text = String::from_utf8(record.to_bytes()).expect("JSON");
    assert_eq!(
        text,
        concat!(
            r#"{"v":1,"cluster":"km-1","epoch":2,"change":{"id":"c-00000000000000000000000000000def","#,
            r#""by":"n-00000000000000000000000000000001","kind":"remove","#,
            r#""subject":"n-00000000000000000000000000000002","reason":"suspect"},"#,
            r#""shards":1,"rf":3,"min_members":1,"on_total_loss":"halt","heads":"spread","#,
            r#""lease_ms":900,"suspect_ms":1000,"drift_ppm":10000,"nodes":{"n-00000000000000000000000000000001":"#,
            r#"{"name":"node-1","peer":"10.0.0.1:20001","#,
            r#""clients":["10.0.0.1:30001","10.0.0.2:30001"],"az":"use1-az4"}},"#,
            r#""chains":[["n-00000000000000000000000000000001"]],"#,
            r#""retired":["n-00000000000000000000000000000002"],"base":0}"#,
            "\n",
        )
    );
    assert_eq!(Record::from_bytes(text.as_bytes()), Ok(record));
}

#[test]
fn unknown_fields_are_ignored() {
    let record = create(&[1, 2]);
    let text = String::from_utf8(record.to_bytes()).expect("JSON");
    let more = text.replacen("{\"v\":1,", "{\"v\":1,\"hash\":{\"of\":[1]},", 1);
    assert_ne!(text, more);
    assert_eq!(Record::from_bytes(more.as_bytes()), Ok(record));
}

#[test]
fn another_version_is_refused_whatever_else_it_contains() {
    for text in [r#"{"v":2}"#, r#"{"epochs":[],"v":2,"chains":"see elsewhere"}"#] {
        let error = Record::from_bytes(text.as_bytes()).expect_err("another version");
        assert_eq!(error, RecordError::Version { got: 2 });
        assert_eq!(
            error.to_string(),
            "the record has version 2, this program reads version 1: use the release that wrote \
             it, or a later one"
        );
    }
}

#[test]
fn bytes_that_are_not_a_record_are_refused() {
    let text = String::from_utf8(create(&[1]).to_bytes()).expect("JSON");
    let upper = text.replace("0003e8", "0003E8");
    assert_ne!(text, upper);
    for text in ["", "{}", "[]", "null", "{\"v\":\"1\"}", "{\"v\":1}", &text[..90], &upper] {
        let error = Record::from_bytes(text.as_bytes()).expect_err("not a record");
        assert!(matches!(error, RecordError::Syntax(_)), "{text}: {error}");
    }
    let long = vec![b' '; RECORD_BYTES_MAX + 1];
    let error = Record::from_bytes(&long).expect_err("too long");
    assert_eq!(error, RecordError::TooLong { got: RECORD_BYTES_MAX + 1 });
}

#[test]
fn invalid_records_are_refused() {
    type Spoil = fn(&mut Record);
    let spoils: &[(&str, Spoil)] = &[
        ("cluster", |r| r.cluster = String::new()),
        ("cluster", |r| r.cluster = "../up".into()),
        ("cluster", |r| r.cluster = ".hidden".into()),
        ("cluster", |r| r.cluster = "x".repeat(65)),
        ("shards", |r| r.settings.shards = 0),
        ("shards", |r| r.settings.shards = 3),
        ("shards", |r| r.settings.shards = 8_192),
        ("chains", |r| r.settings.shards = 8),
        ("replicas", |r| r.settings.replicas = 0),
        ("replicas", |r| r.settings.replicas = 17),
        ("members", |r| r.settings.replicas = 2),
        ("min_members", |r| r.settings.min_members = 0),
        ("min_members", |r| r.settings.min_members = 4),
        ("lease_ms", |r| r.settings.lease_ms = 0),
        ("lease_ms", |r| r.settings.lease_ms = r.settings.suspect_ms),
        ("suspect_ms", |r| r.settings.suspect_ms = 0),
        ("drift_ppm", |r| r.settings.drift_ppm = 100_001),
        ("a chain", |r| r.chains[1].clear()),
        ("a chain", |r| r.chains[2][0] = node(9)),
        ("a chain", |r| r.chains[2][0] = r.chains[2][1]),
        ("a chain", |r| r.chains[0].truncate(2)),
        ("a chain", |r| {
            r.nodes.remove(&node(1));
        }),
        ("members", |r| r.nodes.clear()),
        ("a node's name or zone", |r| r.nodes.get_mut(&node(1)).expect("1").name.clear()),
        ("a node's name or zone", |r| r.nodes.get_mut(&node(1)).expect("1").az = Some("".into())),
        ("a node's client ports", |r| r.nodes.get_mut(&node(1)).expect("1").clients.clear()),
        ("retired", |r| r.retired.push(node(1))),
        ("retired", |r| r.retired.extend([node(9), node(9)])),
        ("retired", |r| r.retired.extend((100..357).map(node))),
        ("the reason of the change", |r| r.change.reason = "x".repeat(257)),
        ("the change", |r| r.epoch = 0),
        ("the change", |r| r.epoch = 2),
        ("the change", |r| r.change.by = node(9)),
        ("the change", |r| r.change.kind = ChangeKind::Bump),
        ("the change", |r| r.change.subject = Some(node(1))),
        ("the change", |r| {
            (r.epoch, r.change.kind) = (2, ChangeKind::Remove);
        }),
        ("the change", |r| {
            (r.epoch, r.change.kind, r.change.subject) = (2, ChangeKind::Remove, Some(node(1)));
        }),
        ("the change", |r| {
            (r.epoch, r.change.kind, r.change.subject) = (2, ChangeKind::Append, Some(node(1)));
        }),
    ];
    for (number, (part, spoil)) in spoils.iter().enumerate() {
        let mut record = create(&[1, 2, 3]);
        spoil(&mut record);
        let error = record.validate().expect_err(part);
        let RecordError::Invalid { what, .. } = &error else { panic!("{number}: {error}") };
        assert_eq!(what, part, "{number}: {error}");
        let bytes = serde_json::to_vec(&record).expect("JSON");
        assert_eq!(Record::from_bytes(&bytes), Err(error), "{number}");
    }
    let error = Record { v: 2, ..create(&[1]) }.validate();
    assert_eq!(error, Err(RecordError::Version { got: 2 }));
}

#[test]
fn invalid_settings_are_refused() {
    let founder = || founders([1]);
    for settings in
        [Settings { shards: 0, ..settings() }, Settings { shards: u32::MAX, ..settings() }]
    {
        Record::create(CLUSTER, &settings, founder(), node(1), ChangeId(1)).expect_err("invalid");
    }
    Record::create("a/b", &settings(), founder(), node(1), ChangeId(1)).expect_err("no name");
    Record::create(CLUSTER, &settings(), founder(), node(2), ChangeId(1))
        .expect_err("not a founder");
    Record::create(CLUSTER, &settings(), founders([]), node(2), ChangeId(1))
        .expect_err("no founders");
    Record::create(CLUSTER, &settings(), founders(1..=4), node(1), ChangeId(1))
        .expect_err("more than replicas");
}

#[test]
fn the_largest_record_can_be_stored() {
    let label = "z".repeat(LABEL_BYTES_MAX);
    let info = NodeInfo {
        name: label.clone(),
        peer: "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".parse().expect("an address"),
        clients: vec![
            "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".parse().expect("an address");
            CLIENT_PORTS_MAX
        ],
        az: Some(label.clone()),
    };
    let settings = Settings { shards: CHAINS_MAX, replicas: MEMBERS_MAX, ..settings() };
    let founders =
        (0..u128::from(MEMBERS_MAX)).map(|id| (node(u128::MAX - id), info.clone())).collect();
    let mut record =
        Record::create(&label, &settings, founders, node(u128::MAX), ChangeId(u128::MAX))
            .expect("a valid record");
    record.retired = (0..RETIRED_MAX as u128).map(node).collect();
    assert!(record.to_bytes().len() < RECORD_BYTES_MAX / 4 * 3);
}

/// A change that the property tests attempt; it may be refused.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    Remove(u128),
    Append(u128),
    Bump,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    // Few ids, so that attempts meet members, removed members and unknown nodes alike.
    let id = 1..24_u128;
    let attempt = prop_oneof![
        3 => id.clone().prop_map(Attempt::Remove),
        4 => id.prop_map(Attempt::Append),
        1 => Just(Attempt::Bump),
    ];
    prop::collection::vec(attempt, 0..60)
}

fn attempt(record: &Record, attempt: Attempt, id: ChangeId) -> Result<Record, ChangeError> {
    let by = record.members().next().expect("a member");
    match attempt {
        Attempt::Remove(id_) => record.removed(node(id_), by, "suspect", id),
        Attempt::Append(id_) => record.appended(node(id_), info(id_), by, id),
        Attempt::Bump => record.bumped(by, "restart", id),
    }
}

fn is_subsequence(short: &[NodeId], long: &[NodeId]) -> bool {
    let mut long = long.iter();
    short.iter().all(|node| long.any(|other| other == node))
}

proptest! {
    #[test]
    fn a_history_of_changes_keeps_the_invariants(
        founding in prop::collection::btree_set(1..24_u128, 1..5),
        replicas in 4..6_u32,
        attempts in attempts(),
    ) {
        let by = node(*founding.first().expect("a founder"));
        let settings = Settings { replicas, ..settings() };
        let mut record =
            Record::create(CLUSTER, &settings, founders(founding), by, ChangeId(0)).expect("a valid record");
        let mut left = BTreeSet::new();
        let mut bodies = BTreeSet::from([record.to_bytes()]);
        for (number, what) in (1..).zip(attempts) {
            let Ok(next) = attempt(&record, what, ChangeId(number)) else { continue };
            prop_assert_eq!(next.validate(), Ok(()));
            prop_assert_eq!(next.epoch, record.epoch + 1);
            prop_assert!(bodies.insert(next.to_bytes()), "a body came twice");
            prop_assert_eq!(&Record::from_bytes(&next.to_bytes()), &Ok(next.clone()));

            let before: BTreeSet<NodeId> = record.members().collect();
            let after: BTreeSet<NodeId> = next.members().collect();
            prop_assert!(before.symmetric_difference(&after).count() <= 1, "one change at a time");
            for (old, new) in record.chains.iter().zip(&next.chains) {
                let stayed: Vec<NodeId> =
                    old.iter().copied().filter(|node| after.contains(node)).collect();
                prop_assert!(is_subsequence(&stayed, new), "{:?} became {:?}", old, new);
                prop_assert_eq!(&new[..stayed.len()], &stayed[..], "a new member is the tail");
            }
            prop_assert!(after.is_disjoint(&left), "a removed member returned");
            left.extend(before.difference(&after).copied());
            record = next;
        }
    }

    #[test]
    fn competing_changes_of_one_kind_differ(subject in 1..4_u128, one in 1..4_u128, two in 1..4_u128) {
        let record = create(&[1, 2, 3]);
        let one = record.removed(node(subject), node(one), "suspect", ChangeId(1)).expect("one");
        let two = record.removed(node(subject), node(two), "suspect", ChangeId(2)).expect("two");
        prop_assert_ne!(one.to_bytes(), two.to_bytes());
        prop_assert_eq!(one.epoch, two.epoch);
    }

    #[test]
    fn ids_are_read_as_they_are_written(id: u128) {
        prop_assert_eq!(NodeId(id).to_string().parse(), Ok(NodeId(id)));
        prop_assert_eq!(ChangeId(id).to_string().parse(), Ok(ChangeId(id)));
        prop_assert_eq!(ChangeId(id).to_string().parse::<NodeId>(), Err(BadId));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, cut in 0..600_usize, flip in 0..600_usize) {
        let _ = Record::from_bytes(&bytes);
        let mut good = create(&[1, 2]).to_bytes();
        let at = flip % good.len();
        good[at] ^= 1 << (cut % 8);
        if let Ok(record) = Record::from_bytes(&good) {
            prop_assert_eq!(record.validate(), Ok(()));
        }
        good.truncate(cut);
        let _ = Record::from_bytes(&good);
    }
}
