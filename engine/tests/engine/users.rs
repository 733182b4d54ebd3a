//! User-defined types of objects, over real sockets.

use catena_engine::rkyv::Archived;
use catena_engine::{BadSnapshot, Context, Engine, Object, Rejection, StartError, UserType};
use catena_protocol::op::UserOp;
use catena_protocol::{Op, Reply, Status, user_type};

use crate::wire::{RequestHeader, Wire};
use crate::with_drivers;

/// A sum, with the type id `ID`. It panics at a thousand.
#[derive(Default)]
struct Sum<const ID: u32>(u64);

impl<const ID: u32> UserType for Sum<ID> {
    const TYPE_ID: u32 = ID;
    const NAME: &'static str = if ID == 1 { "sum" } else { "other sum" };
    type Op = u64;
    type Reply = u64;
}

impl<const ID: u32> Object for Sum<ID> {
    fn check(&self, op: &Archived<u64>) -> Result<(), Rejection> {
        assert_ne!(op.to_native(), 13, "superstition");
        Ok(())
    }

    fn apply(&mut self, op: &Archived<u64>, _: &mut Context) -> u64 {
        self.0 += op.to_native();
        assert!(self.0 < 1_000, "a thousand is too much");
        self.0
    }

    fn read(&self, _: &Archived<u64>) -> Result<u64, Rejection> {
        Ok(self.0)
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn restore(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let sum = bytes.try_into().map_err(|_| BadSnapshot("a number"))?;
        Ok(Sum(u64::from_le_bytes(sum)))
    }
}

/// Sends an update.
fn add(wire: &mut Wire, number: u64, value: u64) {
    let mut args = Vec::new();
    user_type::encode_args::<Sum<1>>(&value, &mut args).expect("a number can be archived");
    let ask = RequestHeader { session: 7, number, name: "sum", ..RequestHeader::default() };
    wire.send(&ask.frame(Op::User(UserOp::Update { type_id: 1, args: &args })));
}

#[test]
fn only_a_panic_in_apply_stops_the_node() {
    with_drivers(|builder| {
        let engine = builder.cores(2).shards(2).register::<Sum<1>>().start().expect("it starts");
        let mut wire = Wire::open(engine.addresses()[0], 7);
        add(&mut wire, 1, 999);
        let answer = wire.receive();
        let Reply::Value(Some(bytes)) = answer.reply() else { panic!("a value") };
        assert_eq!(user_type::decode_reply::<Sum<1>>(bytes), Ok(999));
        add(&mut wire, 2, 13);
        assert_eq!(wire.receive().status(), Status::Panicked);

        add(&mut wire, 2, 1);
        let end = engine.wait().expect_err("an update was half applied").to_string();
        assert!(end.contains("`sum` panicked in the middle of an update"), "{end}");
        assert!(end.contains("a thousand is too much"), "{end}");
    });
}

#[test]
fn two_types_cannot_have_one_id() {
    let builder = || Engine::builder().register::<Sum<1>>().register::<Sum<2>>();
    builder().start().expect("two types with two ids");
    match builder().register::<Sum<1>>().start() {
        Err(StartError::SameType { type_id: 1, names: ["sum", "sum"] }) => {}
        other => panic!("{other:?}"),
    }
}
