//! User-defined objects: how their ops and replies are carried in bodies.
//!
//! An op of a [`UserType`] is archived with rkyv, in one piece, and that archive is the `args` of
//! [`UserOp`](crate::op::UserOp). It is at the very start of the body, so it begins on a multiple
//! of 16 and the engine reads it in place. The reply is archived in the same way and is the value
//! of [`Reply::Value`](crate::Reply::Value).
//!
//! Archives are validated before they are read, and nested no deeper than [`DEPTH_MAX`].
//!
//! Client and engine have to be built with the same types, because the wire carries nothing about a
//! type but its [`UserType::TYPE_ID`].

use std::num::NonZeroUsize;

use rkyv::api::access_with_context;
use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use rkyv::{Archive, Deserialize, Portable, Serialize};

use crate::limits::FRAME_ALIGNMENT;
use crate::status::{Fault, Status};

/// A user-defined type as client and engine both know it. Both associated types derive `Archive`
/// and `Serialize`, and the reply `Deserialize`, from the [`rkyv`] that this crate re-exports.
pub trait UserType {
    /// Its number, different from that of any other type of the engine.
    const TYPE_ID: u32;
    /// Its name, for people.
    const NAME: &'static str;
    /// Its ops, usually an enum.
    type Op: Archived;
    /// The results of its ops.
    type Reply: Archived<Archived: Deserialize<Self::Reply, HighDeserializer<Failure>>>;
}

/// A type that can be archived and whose archive can be read in place: any type that derives
/// `Archive` and `Serialize`.
pub trait Archived:
    Archive<Archived: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>>
    + for<'o, 'a> Serialize<HighSerializer<&'o mut Vec<u8>, ArenaHandle<'a>, Failure>>
{
}

impl<T> Archived for T where
    T: Archive<Archived: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>>
        + for<'o, 'a> Serialize<HighSerializer<&'o mut Vec<u8>, ArenaHandle<'a>, Failure>>
{
}

/// How deep the archive of an op or a reply may be nested: a list of lists of texts is 3 deep.
/// There is a limit because types that contain themselves are validated by recursion, and a hostile
/// archive must not exhaust the stack.
pub const DEPTH_MAX: usize = 128;

/// Appends the archive of an op.
///
/// # Errors
///
/// `TooLarge` if it cannot be archived, `out` being left as it was.
///
/// # Panics
///
/// If `out` does not end on a multiple of 16, because the archive would not be aligned.
pub fn encode_args<T: UserType>(op: &T::Op, out: &mut Vec<u8>) -> Result<(), Fault> {
    encode(op, out)
}

/// Validates the archive of an op and borrows it.
///
/// # Errors
///
/// `BadBody` if it is not the archive of an op, is nested too deep, or is not aligned.
pub fn access_args<T: UserType>(args: &[u8]) -> Result<&<T::Op as Archive>::Archived, Fault> {
    access::<T::Op>(args).map_err(|Failure| Fault::new(Status::BadBody))
}

/// Appends the archive of a reply.
///
/// # Errors
///
/// `TooLarge` if it cannot be archived, `out` being left as it was.
///
/// # Panics
///
/// If `out` does not end on a multiple of 16, because the archive would not be aligned.
pub fn encode_reply<T: UserType>(reply: &T::Reply, out: &mut Vec<u8>) -> Result<(), Fault> {
    encode(reply, out)
}

/// Validates the archive of a reply and copies it out.
///
/// # Errors
///
/// `BadBody` if it is not the archive of a reply, or is nested too deep.
pub fn decode_reply<T: UserType>(bytes: &[u8]) -> Result<T::Reply, Fault> {
    let decode = |bytes: &[u8]| {
        rkyv::api::high::deserialize::<T::Reply, Failure>(access::<T::Reply>(bytes)?)
    };
    if bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        decode(bytes)
    } else {
        // The reply was kept somewhere else than in a receive buffer.
        let mut aligned = AlignedVec::<ALIGNMENT>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        decode(&aligned)
    }
    .map_err(|Failure| Fault::new(Status::BadBody))
}

fn encode(value: &impl Archived, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    assert!(start.is_multiple_of(ALIGNMENT), "an archive begins aligned: {start}");
    rkyv::api::high::to_bytes_in::<_, Failure>(value, &mut *out).map(|_| ()).map_err(|Failure| {
        out.truncate(start);
        Fault::expected(Status::TooLarge, crate::limits::BODY_BYTES_MAX.into(), u64::MAX)
    })
}

fn access<T: Archived>(bytes: &[u8]) -> Result<&T::Archived, Failure> {
    // The validator counts the root too, and stops before it reaches 0.
    let depth = NonZeroUsize::MIN.saturating_add(DEPTH_MAX + 1);
    let archive = ArchiveValidator::with_max_depth(bytes, Some(depth));
    access_with_context(bytes, &mut Validator::new(archive, SharedValidator::new()))
}

const ALIGNMENT: usize = FRAME_ALIGNMENT as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Op, OpCode, Reply, frame, limits};

    /// Ids that were given out, each with a name.
    struct Register;

    #[derive(Archive, Serialize, Debug, PartialEq)]
    enum RegisterOp {
        Claim { id: u128, names: Vec<String> },
        Count,
    }

    #[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
    struct Given {
        ids: Vec<u128>,
        comment: Option<String>,
    }

    impl UserType for Register {
        const TYPE_ID: u32 = 7;
        const NAME: &'static str = "register";
        type Op = RegisterOp;
        type Reply = Given;
    }

    #[test]
    fn an_op_is_read_where_it_lies_in_the_frame() {
        let name = "a name that is longer than eight bytes".to_owned();
        for op in [RegisterOp::Claim { id: 1 << 100, names: vec![name] }, RegisterOp::Count] {
            let mut args = Vec::new();
            encode_args::<Register>(&op, &mut args).unwrap();
            let user = crate::op::UserOp::Update { type_id: Register::TYPE_ID, args: &args };
            let header = crate::Header {
                op: OpCode::UserUpdate.to_wire(),
                ..crate::Header::new(crate::FrameKind::Request)
            };
            let mut out = AlignedVec::<16>::new();
            let mut written = Vec::new();
            frame::write(&mut written, &header, |out| {
                crate::named::put("register", out);
                Op::User(user).encode(out);
            })
            .unwrap();
            out.extend_from_slice(&written);
            let Ok(frame::Next::Frame(frame)) = frame::next(&out, limits::FRAME_BYTES_MAX) else {
                panic!("a frame");
            };
            let (_, body) = crate::named::split(frame.body).unwrap();
            let Ok(Op::User(crate::op::UserOp::Update { type_id: 7, args })) =
                Op::decode(frame.header.op, body)
            else {
                panic!("an update");
            };
            match (access_args::<Register>(args).unwrap(), &op) {
                (ArchivedRegisterOp::Claim { id, names }, RegisterOp::Claim { id: sent, .. }) => {
                    assert_eq!((id.to_native(), names.len()), (*sent, 1));
                }
                (ArchivedRegisterOp::Count, RegisterOp::Count) => {}
                _ => panic!("another op came out"),
            }
        }
        assert_eq!(access_args::<Register>(b"").map(|_| ()), Err(Fault::new(Status::BadBody)));
    }

    /// A type that contains itself.
    struct Nested;

    #[derive(Archive, Serialize, Deserialize, Debug)]
    #[rkyv(serialize_bounds(__S: rkyv::ser::Writer, __S::Error: rkyv::rancor::Source))]
    #[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
    #[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext)))]
    enum Nest {
        Empty,
        Of(#[rkyv(omit_bounds)] Box<Nest>),
    }

    impl UserType for Nested {
        const TYPE_ID: u32 = 8;
        const NAME: &'static str = "nested";
        type Op = Nest;
        type Reply = Nest;
    }

    #[test]
    fn a_hostile_archive_does_not_exhaust_the_stack() {
        let mut nest = Nest::Empty;
        for _ in 0..DEPTH_MAX {
            nest = Nest::Of(Box::new(nest));
        }
        let mut deepest = Vec::new();
        encode_args::<Nested>(&nest, &mut deepest).unwrap();
        assert!(access_args::<Nested>(&deepest).is_ok());
        assert!(decode_reply::<Nested>(&deepest).is_ok());

        // Each node points to the one before it, 12 bytes before its pointer.
        let node = [[1, 0, 0, 0], i32::to_le_bytes(-12)].concat();
        for depth in [DEPTH_MAX, DEPTH_MAX + 1, 1_000_000] {
            let archive = [&[0; 8], &node.repeat(depth)[..]].concat();
            let bad = Fault::new(Status::BadBody);
            let refused = (depth > DEPTH_MAX).then_some(bad);
            assert_eq!(access_args::<Nested>(&archive).err(), refused, "{depth} deep");
            assert_eq!(decode_reply::<Nested>(&archive).err(), refused, "{depth} deep");
        }
    }

    #[test]
    fn a_reply_comes_back_wherever_it_lies() {
        let given = || Given { ids: vec![1, 1 << 90], comment: Some("as asked for".to_owned()) };
        let mut bytes = Vec::new();
        encode_reply::<Register>(&given(), &mut bytes).unwrap();
        let mut body = Vec::new();
        Reply::Value(Some(&bytes)).encode(&mut body);
        for skip in 0..16 {
            let mut moved = AlignedVec::<16>::new();
            moved.resize(skip, 0);
            moved.extend_from_slice(&bytes);
            assert_eq!(decode_reply::<Register>(&moved[skip..]), Ok(given()));
        }
        let bad = Err(Fault::new(Status::BadBody));
        assert_eq!(decode_reply::<Register>(&bytes[1..]), bad);
    }
}
