//! Tests of user-defined types.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use catena_protocol::op::{CounterOp, ObjectOp, UserOp};
use catena_protocol::rkyv::{self, Archive, Archived, Deserialize, Serialize};
use catena_protocol::{
    Fault, FrameKind, Header, Kind, ObjectId, Op, OpCode, Refusal, Reply, Status, UserType,
    user_type,
};

use crate::config::STORED_REPLY_BYTES_MAX;
use crate::objects::user::{BadSnapshot, Context, Object, Rejection};
use crate::rehearse;
use crate::shard::fuzz::trial::{SHARD, Sent, Trial};
use crate::shard::{ConnId, RestoreError, Shard, Types};

/// A number of at most 100. Some ops make it misbehave.
#[derive(Debug, Default)]
struct Hundred {
    value: u64,
    kept: Vec<u8>,
}

#[derive(Archive, Serialize, Debug)]
#[rkyv(crate = rkyv)]
enum Ask {
    Add { value: u64, why: Option<String> },
    Get,
    Keep { bytes: Vec<u8> },
    Answer { len: u32, known: bool },
    When,
    PanicInCheck,
    PanicInApply,
}

#[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
#[rkyv(crate = rkyv)]
enum HundredReply {
    Value(u64),
    Bytes(Vec<u8>),
}

const TOO_MANY: Rejection = Rejection(100);

impl UserType for Hundred {
    const TYPE_ID: u32 = 100;
    const NAME: &'static str = "hundred";
    type Op = Ask;
    type Reply = HundredReply;
}

impl Object for Hundred {
    fn check(&self, op: &Archived<Ask>) -> Result<(), Rejection> {
        match op {
            ArchivedAsk::Add { value, .. } if self.value + value.to_native() > 100 => Err(TOO_MANY),
            ArchivedAsk::PanicInCheck => panic!("a check that fails"),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, op: &Archived<Ask>, context: &mut Context) -> HundredReply {
        match op {
            ArchivedAsk::Add { value, .. } => self.value += value.to_native(),
            ArchivedAsk::Get => context.unchanged(),
            ArchivedAsk::Keep { bytes } => self.kept = bytes.to_vec(),
            ArchivedAsk::Answer { len, .. } => {
                self.value += 1;
                return HundredReply::Bytes(vec![7; len.to_native() as usize]);
            }
            ArchivedAsk::When => {
                return HundredReply::Value(context.now_us() << 32 | context.version());
            }
            ArchivedAsk::PanicInCheck => unreachable!("it was refused"),
            ArchivedAsk::PanicInApply => panic!("an update that fails"),
        }
        HundredReply::Value(self.value)
    }

    fn read(&self, op: &Archived<Ask>) -> Result<HundredReply, Rejection> {
        match op {
            ArchivedAsk::Get => Ok(HundredReply::Value(self.value)),
            ArchivedAsk::Answer { len, .. } => {
                Ok(HundredReply::Bytes(vec![7; len.to_native() as usize]))
            }
            ArchivedAsk::PanicInCheck => panic!("a read that fails"),
            _ => Err(Rejection::UNSUPPORTED),
        }
    }

    fn reply_bytes_max(&self, op: &Archived<Ask>) -> usize {
        match op {
            ArchivedAsk::Answer { len, known: true } => len.to_native() as usize + 64,
            _ => 0,
        }
    }

    fn bytes(&self) -> u64 {
        self.kept.len() as u64
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value.to_le_bytes());
        out.extend_from_slice(&self.kept);
    }

    fn restore(bytes: &[u8]) -> Result<Hundred, BadSnapshot> {
        let (value, kept) = bytes.split_first_chunk().ok_or(BadSnapshot("a number"))?;
        Ok(Hundred { value: u64::from_le_bytes(*value), kept: kept.to_vec() })
    }

    fn describe(&self) -> String {
        assert_ne!(self.value, 13, "superstition");
        format!("{} of 100\nand more", self.value)
    }
}

/// Another type with the same ops.
#[derive(Debug, Default)]
struct Other;

impl UserType for Other {
    const TYPE_ID: u32 = 101;
    const NAME: &'static str = "other";
    type Op = Ask;
    type Reply = HundredReply;
}

impl Object for Other {
    fn apply(&mut self, _: &Archived<Ask>, _: &mut Context) -> HundredReply {
        HundredReply::Value(0)
    }

    fn read(&self, _: &Archived<Ask>) -> Result<HundredReply, Rejection> {
        Ok(HundredReply::Value(0))
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn snapshot(&self, _: &mut Vec<u8>) {}

    fn restore(_: &[u8]) -> Result<Other, BadSnapshot> {
        Ok(Other)
    }
}

/// A client of a shard with both types.
struct TypedClient {
    trial: Trial,
    number: u64,
    last: Option<(Header, Vec<u8>)>,
}

impl TypedClient {
    fn new() -> TypedClient {
        let mut types = Types::default();
        types.register::<Other>();
        types.register::<Hundred>();
        assert_eq!(types.clash(), None);
        let mut client = TypedClient { trial: Trial::with_types(types), number: 0, last: None };
        let open = catena_protocol::op::SessionOp::Open { born_us: 0, nonce: 0, ttl_ms: 0 };
        client.send(Op::Session(open), |sent| assert_eq!(sent[0].status, Status::Ok));
        client
    }

    fn update(&mut self, op: &Ask) -> Result<Option<HundredReply>, Fault> {
        self.update_as::<Hundred>(op)
    }

    fn update_as<T: UserType<Op = Ask, Reply = HundredReply>>(
        &mut self,
        op: &Ask,
    ) -> Result<Option<HundredReply>, Fault> {
        let args = args::<T>(op);
        self.send(Op::User(UserOp::Update { type_id: T::TYPE_ID, args: &args }), told::<T>)
    }

    fn read(&mut self, op: &Ask) -> Result<Option<HundredReply>, Fault> {
        let args = args::<Hundred>(op);
        self.send(
            Op::User(UserOp::Read { type_id: Hundred::TYPE_ID, args: &args }),
            told::<Hundred>,
        )
    }

    /// Reads the value.
    fn value(&mut self) -> u64 {
        match self.read(&Ask::Get) {
            Ok(Some(HundredReply::Value(value))) => value,
            other => panic!("a value, not {other:?}"),
        }
    }

    fn version(&mut self) -> u64 {
        self.inspect().0
    }

    /// Returns version, bytes and description.
    fn inspect(&mut self) -> (u64, u64, String) {
        self.send(Op::Object(ObjectOp::Inspect), |sent| {
            match Reply::decode(OpCode::ObjectInspect, sent[0].body.bytes()) {
                Ok(Reply::Inspection(found)) => {
                    assert_eq!(found.kind, Kind::User.to_wire());
                    (found.version, found.bytes, found.detail.clone())
                }
                other => panic!("an inspection, not {other:?}"),
            }
        })
    }

    fn send<R>(&mut self, op: Op<'_>, look: impl FnOnce(&[Sent]) -> R) -> R {
        let mut body = Vec::new();
        op.encode(&mut body);
        let is_update = !op.code().is_read() && op.code().kind() != Kind::Session;
        self.number += u64::from(is_update);
        let object = if op.code().kind() == Kind::Session { "" } else { "object" };
        let header = Header {
            op: op.code().to_wire(),
            shard: SHARD,
            session: 1,
            number: if is_update { self.number } else { 0 },
            acked_gap: 1,
            deadline_ms: 1_000,
            object: ObjectId::of(object),
            ..Header::new(FrameKind::Request)
        };
        let sent = self.trial.request(ConnId(0), &header, &body);
        self.last = Some((header, body));
        look(&sent)
    }

    /// Retries the last request.
    fn again(&mut self) -> Result<Option<HundredReply>, Fault> {
        let (header, body) = self.last.as_ref().expect("there was a request");
        told::<Hundred>(&self.trial.request(ConnId(0), header, body))
    }
}

fn args<T: UserType>(op: &T::Op) -> Vec<u8> {
    let mut args = Vec::new();
    user_type::encode_args::<T>(op, &mut args).expect("an op can be archived");
    args
}

/// Decodes the only reply.
fn told<T: UserType>(sent: &[Sent]) -> Result<Option<T::Reply>, Fault> {
    assert_eq!(sent.len(), 1, "one reply: {sent:?}");
    let body = sent[0].body.bytes();
    if sent[0].status != Status::Ok {
        let Refusal::Fault(fault) = Refusal::decode(sent[0].status, body).expect("a refusal")
        else {
            panic!("a fault, not {sent:?}");
        };
        return Err(fault);
    }
    match Reply::decode(OpCode::UserUpdate, body) {
        Ok(Reply::Value(value)) => {
            Ok(value.map(|bytes| user_type::decode_reply::<T>(bytes).expect("a reply")))
        }
        other => panic!("a value, not {other:?}"),
    }
}

fn add(value: u64) -> Ask {
    Ask::Add { value, why: Some("because it was asked for".to_owned()) }
}

#[test]
fn ops_are_checked_and_applied() {
    let mut client = TypedClient::new();
    assert_eq!(client.value(), 0, "the object that nobody has changed");
    assert_eq!(client.trial.census().objects, 0, "a read creates none");
    assert_eq!(client.update(&add(40)), Ok(Some(HundredReply::Value(40))));
    assert_eq!(client.update(&add(60)), Ok(Some(HundredReply::Value(100))));
    assert_eq!(client.value(), 100);
    assert_eq!(client.update(&Ask::Get), Ok(Some(HundredReply::Value(100))));
    assert_eq!(client.read(&add(1)), Err(Rejection::UNSUPPORTED.into()));
}

#[test]
fn a_rejected_update_changes_nothing() {
    let mut client = TypedClient::new();
    let rejected = Err(Fault::expected(Status::Rejected, 100, 0));
    assert_eq!(client.update(&add(101)), rejected);
    assert_eq!((client.trial.seq(), client.trial.census().objects), (1, 0), "nothing was created");
    client.update(&add(99)).expect("it fits");
    let (seq, before) = (client.trial.seq(), client.inspect());
    assert_eq!(client.update(&add(2)), rejected);
    assert_eq!((client.trial.seq(), client.inspect()), (seq, before));
    assert_eq!(
        client.update(&add(1)),
        Ok(Some(HundredReply::Value(100))),
        "a refusal does not use up the number"
    );
}

#[test]
fn a_panic_before_the_update_changes_nothing() {
    let mut client = TypedClient::new();
    let panicked = Err(Fault::new(Status::Panicked));
    assert_eq!(client.update(&Ask::PanicInCheck), panicked);
    assert_eq!(client.read(&Ask::PanicInCheck), panicked);
    assert_eq!(client.trial.census().objects, 0);
    client.update(&add(5)).expect("it fits");
    let (seq, before) = (client.trial.seq(), client.inspect());
    assert_eq!(client.update(&Ask::PanicInCheck), panicked);
    assert_eq!(client.again(), panicked);
    assert_eq!(client.read(&Ask::PanicInCheck), panicked);
    assert_eq!((client.trial.seq(), client.inspect()), (seq, before));
    assert_eq!(client.update(&add(5)), Ok(Some(HundredReply::Value(10))));
}

#[test]
#[should_panic(expected = "`hundred` panicked in the middle of an update: an update that fails")]
fn a_panic_in_an_update_is_a_broken_invariant() {
    _ = TypedClient::new().update(&Ask::PanicInApply);
}

#[test]
fn types_are_not_confused() {
    let mut client = TypedClient::new();
    let unknown = Op::User(UserOp::Update { type_id: 7, args: &[] });
    assert_eq!(
        client.send(unknown, told::<Hundred>),
        Err(Fault::expected(Status::UnknownType, 0, 7))
    );
    let unknown = Op::User(UserOp::Read { type_id: 7, args: &[] });
    assert_eq!(
        client.send(unknown, told::<Hundred>),
        Err(Fault::expected(Status::UnknownType, 0, 7))
    );
    assert_eq!(client.trial.census().objects, 0);
    client.update(&add(5)).expect("it fits");
    let mismatch = Err(Fault::expected(Status::Mismatch, 100, 101));
    assert_eq!(client.update_as::<Other>(&add(5)), mismatch);
    let known = Op::User(UserOp::Read { type_id: 101, args: &args::<Other>(&Ask::Get) });
    assert_eq!(client.send(known, told::<Other>), mismatch);
    let wrong = client.send(Op::Counter(CounterOp::Add { delta: 1 }), told::<Hundred>);
    assert_eq!(wrong.map_err(|fault| fault.status), Err(Status::WrongKind));
    assert_eq!(client.value(), 5);
}

#[test]
fn malformed_archives_are_refused() {
    let mut client = TypedClient::new();
    client.update(&add(5)).expect("it fits");
    let good = args::<Hundred>(&add(5));
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let bent = (0..good.len()).map(|at| {
        let mut args = good.clone();
        args[at] ^= 0xFF;
        args
    });
    for args in cut.chain(bent) {
        for op in [
            UserOp::Read { type_id: 100, args: &args },
            UserOp::Update { type_id: 100, args: &args },
        ] {
            // Some of them are other valid ops; none may cause a panic.
            match client.send(Op::User(op), told::<Hundred>) {
                Ok(_) => {}
                Err(Fault { status, .. }) => assert!(
                    matches!(status, Status::BadBody | Status::Rejected | Status::TooLarge),
                    "{status:?}"
                ),
            }
        }
    }
}

#[test]
fn a_retry_gets_the_same_reply() {
    let mut client = TypedClient::new();
    // The trial compares the replies byte by byte; this checks that they are not empty.
    for op in [add(1), Ask::Answer { len: 3, known: true }, Ask::Answer { len: 900, known: true }] {
        let first = client.update(&op);
        assert!(matches!(first, Ok(Some(_))), "{first:?}");
        assert_eq!(client.again(), first);
        assert_eq!(client.again(), first);
    }
    assert_eq!(client.value(), 3, "applied once each");
}

#[test]
fn replies_have_a_maximum_size() {
    let mut client = TypedClient::new();
    let most = u32::try_from(STORED_REPLY_BYTES_MAX).expect("it is small");
    let refused = client.update(&Ask::Answer { len: most, known: true });
    assert_eq!(refused.map_err(|fault| fault.status), Err(Status::TooLarge));
    assert_eq!(client.value(), 0, "it was refused");
    let kept = client.update(&Ask::Answer { len: most - 64, known: true });
    assert!(
        matches!(kept, Ok(Some(HundredReply::Bytes(bytes))) if bytes.len() == (most - 64) as usize)
    );
    assert_eq!(client.value(), 1);

    // The length was not announced, so the update takes effect without its reply.
    let bytes_before = client.trial.census().bytes;
    assert_eq!(client.update(&Ask::Answer { len: 16 * most, known: false }), Ok(None));
    assert_eq!(client.again(), Ok(None), "a retry gets the same reply");
    assert_eq!(client.value(), 2, "the update took effect");
    assert!(client.trial.census().bytes < bytes_before, "nothing of it is kept");

    // The reply to a read is not stored, so only the frame limits it.
    let read = client.read(&Ask::Answer { len: 64 * most, known: true });
    assert!(
        matches!(read, Ok(Some(HundredReply::Bytes(bytes))) if bytes.len() == 64 * most as usize)
    );
    let read = client.read(&Ask::Answer { len: 256 * most, known: true });
    assert_eq!(read.map_err(|fault| fault.status), Err(Status::TooLarge));
}

#[test]
fn a_version_grows_with_what_changed() {
    let mut client = TypedClient::new();
    client.update(&add(1)).expect("it fits");
    let version = client.version();
    client.update(&Ask::Get).expect("anybody may ask");
    assert_eq!(client.version(), version, "it said that nothing changed");

    let newer = Op::Object(ObjectOp::WaitNewer { version });
    client.send(newer, |sent| assert_eq!(sent, [], "it waits"));
    client.number += 1;
    let args = args::<Hundred>(&add(1));
    let mut body = Vec::new();
    Op::User(UserOp::Update { type_id: 100, args: &args }).encode(&mut body);
    let header = Header {
        op: OpCode::UserUpdate.to_wire(),
        number: client.number,
        acked_gap: 2,
        ..client.last.as_ref().expect("there was a request").0
    };
    let sent = client.trial.request(ConnId(0), &header, &body);
    let mut ops: Vec<_> = sent.iter().map(|sent| sent.header.op).collect();
    ops.sort_unstable();
    assert_eq!(ops, [OpCode::ObjectWaitNewer.to_wire(), OpCode::UserUpdate.to_wire()]);
    assert!(client.version() > version);
}

#[test]
fn an_update_knows_time_and_place() {
    let mut client = TypedClient::new();
    client.trial.pass(77);
    let told = client.update(&Ask::When);
    assert_eq!(told, Ok(Some(HundredReply::Value(77 << 32 | client.trial.seq()))));
    assert_eq!(client.version(), client.trial.seq());
}

#[test]
fn memory_is_counted() {
    let mut client = TypedClient::new();
    client.update(&Ask::Keep { bytes: vec![7; 10_000] }).expect("it fits");
    let (_, bytes, _) = client.inspect();
    assert!(bytes > 10_000 && bytes < 10_500, "{bytes}");
    client.update(&Ask::Keep { bytes: Vec::new() }).expect("it fits");
    let (_, bytes, _) = client.inspect();
    assert!(bytes < 500, "{bytes}");
    client.trial.memory_bytes_max = 20_000;
    let full = client.update(&Ask::Keep { bytes: vec![7; 20_000] });
    assert_eq!(full.map_err(|fault| fault.status), Err(Status::OutOfMemory));
}

#[test]
fn an_inspection_shows_a_line_of_the_types_own() {
    let mut client = TypedClient::new();
    client.update(&add(12)).expect("it fits");
    assert_eq!(client.inspect().2, "hundred: 12 of 100");
    client.update(&add(1)).expect("it fits");
    assert_eq!(client.inspect().2, "hundred: its description panicked");
}

#[test]
fn a_good_type_passes_the_rehearsal() {
    let ends = rehearse::<Hundred>(&[
        add(70),
        add(31),
        Ask::Keep { bytes: vec![1, 2, 3] },
        Ask::Get,
        add(30),
        Ask::Answer { len: 9, known: true },
    ]);
    assert_eq!(ends[0], Ok(HundredReply::Value(70)));
    assert_eq!(ends[1], Err(TOO_MANY));
    assert_eq!(ends[4], Ok(HundredReply::Value(100)));
    assert_eq!(ends[5], Ok(HundredReply::Bytes(vec![7; 9])));
}

/// A type that breaks a promise, chosen by the number.
#[derive(Default)]
struct Liar<const HOW: u32> {
    value: u64,
    reads: core::cell::Cell<u64>,
    updates: u64,
}

impl<const HOW: u32> UserType for Liar<HOW> {
    const TYPE_ID: u32 = HOW;
    const NAME: &'static str = "liar";
    type Op = u64;
    type Reply = u64;
}

/// Returns a random number.
fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(1)
}

impl<const HOW: u32> Object for Liar<HOW> {
    fn apply(&mut self, op: &Archived<u64>, context: &mut Context) -> u64 {
        self.value += op.to_native();
        self.updates += 1;
        match HOW {
            1 => self.value = chance(),
            2 => return chance(),
            3 => return self.updates,
            4 => context.unchanged(),
            _ => {}
        }
        self.value
    }

    fn read(&self, _: &Archived<u64>) -> Result<u64, Rejection> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.value)
    }

    fn reply_bytes_max(&self, _: &Archived<u64>) -> usize {
        if HOW == 5 { 7 } else { 0 }
    }

    fn bytes(&self) -> u64 {
        if HOW == 6 { chance() } else { 0 }
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value.to_le_bytes());
        if HOW == 7 {
            out.extend_from_slice(&self.reads.get().to_le_bytes());
        }
    }

    fn restore(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let value = match bytes.first_chunk() {
            Some(value) => u64::from_le_bytes(*value),
            None if HOW == 8 => panic!("cannot restore {bytes:?}"),
            None => return Err(BadSnapshot("a number")),
        };
        let value = if HOW == 9 { 0 } else { value };
        Ok(Liar { value, ..Liar::default() })
    }
}

#[test]
fn a_rehearsal_tells_which_promise_is_broken() {
    fn complaint<const HOW: u32>() -> String {
        let rehearsal = || rehearse::<Liar<HOW>>(&[1, 2]);
        let payload = std::panic::catch_unwind(rehearsal).expect_err("it is a liar");
        crate::unwind::panic_text(&*payload).to_owned()
    }
    assert_eq!(rehearse::<Liar<0>>(&[1, 2]), [Ok(1), Ok(3)]);
    for (complaint, expected) in [
        (complaint::<1>(), "op 1: the replies differ:"),
        (complaint::<2>(), "op 1: the replies differ:"),
        (complaint::<3>(), "op 2: the replies differ:"),
        (complaint::<4>(), "op 1: the state changes although it is reported unchanged:"),
        (complaint::<5>(), "op 1: its reply has 8 bytes, `reply_bytes_max` is 7"),
        (complaint::<6>(), "op 1: the results of `bytes` differ:"),
        (complaint::<7>(), "op 1: a read changes the state:"),
        (complaint::<8>(), "cannot restore []"),
        (complaint::<9>(), "op 1: the restored object has another snapshot:"),
    ] {
        assert!(complaint.contains(expected), "{complaint} is not {expected}");
    }
}

#[test]
fn an_object_is_restored_if_its_type_is_known_and_takes_it() {
    let mut client = TypedClient::new();
    client.update(&add(40)).expect("it fits");
    client.update(&Ask::Keep { bytes: vec![7; 100] }).expect("it fits");
    let before = client.inspect();
    client.trial.restore();
    assert_eq!(client.inspect(), before, "counted and described as before");
    assert_eq!(client.update(&add(60)), Ok(Some(HundredReply::Value(100))));
    client.trial.restore();
    assert_eq!(client.again(), Ok(Some(HundredReply::Value(100))), "a retry gets its reply once");
    assert_eq!(client.update(&add(1)), Err(TOO_MANY.into()));

    let state = client.trial.snapshot();
    let stranger = Shard::new(SHARD, 1, Arc::default());
    assert_eq!(stranger.restored(&state).unwrap_err(), RestoreError::UnknownType(100));
    // The type's own snapshot begins with a number of eight bytes.
    let at = state.windows(9).position(|bytes| bytes == [108, 100, 0, 0, 0, 0, 0, 0, 0]);
    let at = at.expect("it is there");
    let mut row = 1;
    let end_of = |row: usize| {
        let len = state[row..].first_chunk().map(|len| u32::from_le_bytes(*len));
        row + 4 + len.expect("a row has a length") as usize
    };
    while end_of(row) < at {
        row = end_of(row);
    }
    let mut cut = [&state[..at], &[0]].concat();
    let len = u32::try_from(cut.len() - row - 4).expect("it is short");
    cut[row..row + 4].copy_from_slice(&len.to_le_bytes());
    let mut types = Types::default();
    types.register::<Hundred>();
    let error = Shard::new(SHARD, 1, Arc::new(types)).restored(&cut).unwrap_err();
    assert_eq!(error, RestoreError::User { name: "hundred", why: BadSnapshot("a number") });
}
