//! A test for types of user-defined objects.

use alloc::format;

use alloc::vec::Vec;
use catena_protocol::rkyv::Archive;
use catena_protocol::rkyv::util::AlignedVec;
use catena_protocol::user_type;

use crate::objects::user::{Context, Object, Rejection};

/// Tests whether a type keeps the promises of [`Object`], with the ops of your test.
///
/// Two objects get every op, first as a read and then as an update, and one of them is replaced by
/// its restored snapshot after every op. The test checks that both always agree, that only `apply`
/// changes them, that no reply is longer than `reply_bytes_max`, if that is not 0, and that a
/// truncated snapshot does not cause a panic. Time passes by a millisecond per op.
///
/// Returns how each update ended: with the reply, or with the reason of its rejection.
///
/// # Panics
///
/// If the type breaks a promise; the message says which one, and at which op.
///
/// # Example
///
/// See [`Object`].
pub fn rehearse<T: Object>(ops: &[T::Op]) -> Vec<Result<T::Reply, Rejection>> {
    let (mut one, mut other) = (T::default(), T::default());
    let mut ends = Vec::new();
    for (version, op) in (1..).zip(ops) {
        let rehearsal = Rehearsal { name: T::NAME, version };
        let mut args = Vec::new();
        user_type::encode_args::<T>(op, &mut args).expect("the op can be archived");
        let args = aligned(&args);
        let op = user_type::access_args::<T>(&args).expect("an archive is valid");

        let before = snapshot(&one);
        let reads = [&one, &other].map(|object| object.read(op).map(|reply| archive::<T>(&reply)));
        rehearsal.same("the replies to a read differ", &reads[0], &reads[1]);
        rehearsal.same("a read changes the state", &before, &snapshot(&one));
        let checks = [&one, &other].map(|object| object.check(op));
        rehearsal.same("the results of `check` differ", checks[0], checks[1]);
        rehearsal.same("`check` changes the state", &before, &snapshot(&one));
        ends.push(match checks[0] {
            Err(rejection) => Err(rejection),
            Ok(()) => Ok(apply(&rehearsal, &mut one, &mut other, op)),
        });
        let after = snapshot(&one);
        rehearsal.same("the states differ", &after, &snapshot(&other));
        rehearsal.same("the results of `bytes` differ", one.bytes(), other.bytes());
        rehearsal.same("the descriptions differ", one.describe(), other.describe());
        for len in (0..after.len()).step_by(after.len() / CUTS_MAX + 1) {
            // A type may accept a part of its snapshot, but must not panic.
            _ = T::restore(&after[..len]);
        }
        other = T::restore(&after)
            .unwrap_or_else(|error| rehearsal.fails(&format!("its snapshot is refused: {error}")));
        rehearsal.same("the restored object has another snapshot", &after, &snapshot(&other));
    }
    ends
}

/// Truncated snapshots that are tried after each op.
const CUTS_MAX: usize = 64;

/// Applies an op to both objects, and compares them.
fn apply<T: Object>(
    rehearsal: &Rehearsal,
    one: &mut T,
    other: &mut T,
    op: &<T::Op as Archive>::Archived,
) -> T::Reply {
    let (now_us, version) = (rehearsal.version * 1_000, rehearsal.version);
    let context = || Context { now_us, version, changed: true };
    let bytes_max = one.reply_bytes_max(op);
    let mut contexts = [context(), context()];
    let before = snapshot(one);
    let reply = one.apply(op, &mut contexts[0]);
    let other_reply = other.apply(op, &mut contexts[1]);
    let archived = archive::<T>(&reply);
    rehearsal.same("the replies differ", &archived, &archive::<T>(&other_reply));
    rehearsal.same("only one of two objects has changed", contexts[0].changed, contexts[1].changed);
    if !contexts[0].changed {
        rehearsal.same(
            "the state changes although it is reported unchanged",
            &before,
            &snapshot(one),
        );
    }
    if bytes_max > 0 && archived.len() > bytes_max {
        rehearsal.fails(&format!(
            "its reply has {} bytes, `reply_bytes_max` is {bytes_max}",
            archived.len()
        ));
    }
    reply
}

fn snapshot<T: Object>(object: &T) -> Vec<u8> {
    let mut out = Vec::new();
    object.snapshot(&mut out);
    out
}

fn archive<T: Object>(reply: &T::Reply) -> Vec<u8> {
    let mut out = Vec::new();
    user_type::encode_reply::<T>(reply, &mut out).expect("the reply can be archived");
    out
}

fn aligned(bytes: &[u8]) -> AlignedVec<16> {
    let mut aligned = AlignedVec::new();
    aligned.extend_from_slice(bytes);
    aligned
}

/// The type on trial, and how far the rehearsal is.
struct Rehearsal {
    name: &'static str,
    /// The number of the op, from 1.
    version: u64,
}

impl Rehearsal {
    #[track_caller]
    fn same<V: PartialEq + core::fmt::Debug>(&self, what: &str, one: V, other: V) {
        if one != other {
            self.fails(&format!("{what}: {one:?} and {other:?}"));
        }
    }

    #[track_caller]
    fn fails(&self, how: &str) -> ! {
        panic!("the type `{}` breaks a promise at op {}: {how}", self.name, self.version)
    }
}
