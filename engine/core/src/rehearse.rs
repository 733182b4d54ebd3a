//! A test for types of user-defined objects.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use catena_protocol::rkyv::Archive;
use catena_protocol::rkyv::util::AlignedVec;
use catena_protocol::user_type;

use crate::objects::user::{Context, Object, Rejection};

/// Tries whether a type keeps the promises of [`Object`], on the ops of your test.
///
/// Two objects get every op, first as a read and then as an update. They have to agree on everything
/// all the way, though one of them is replaced by what its snapshot restores after every op; nothing
/// but `apply` may change them; a reply may be no longer than `reply_bytes_max` says, if that says
/// anything; and snapshots that were cut short may not panic. Time passes by a millisecond an op.
///
/// Answers how each update ended: with the reply, or why it was rejected.
///
/// # Panics
///
/// If the type breaks a promise; the message says which, and at which op.
///
/// # Example
///
/// See [`Object`].
pub fn rehearse<T: Object>(ops: &[T::Op]) -> Vec<Result<T::Reply, Rejection>> {
    let (mut one, mut other) = (T::default(), T::default());
    let mut ends = Vec::new();
    for (version, op) in (1..).zip(ops) {
        let scene = Rehearsal { name: T::NAME, version };
        let mut args = Vec::new();
        user_type::encode_args::<T>(op, &mut args).expect("the op can be archived");
        let args = aligned(&args);
        let op = user_type::access_args::<T>(&args).expect("what was archived is an archive");

        let before = snapshot(&one);
        let reads = [&one, &other].map(|object| object.read(op).map(|reply| archive::<T>(&reply)));
        scene.same("what they answer to a read", &reads[0], &reads[1]);
        scene.same("its state before and after a read", &before, &snapshot(&one));
        let checks = [&one, &other].map(|object| object.check(op));
        scene.same("whether they allow it", checks[0], checks[1]);
        scene.same("its state before and after a check", &before, &snapshot(&one));
        ends.push(match checks[0] {
            Err(rejection) => Err(rejection),
            Ok(()) => Ok(apply(&scene, &mut one, &mut other, op)),
        });
        let after = snapshot(&one);
        scene.same("their states", &after, &snapshot(&other));
        scene.same("the memory they take", one.bytes(), other.bytes());
        scene.same("what they say of themselves", one.describe(), other.describe());
        for len in (0..after.len()).step_by(after.len() / CUTS_MAX + 1) {
            // Whether it is refused is the type's business.
            _ = T::restore(&after[..len]);
        }
        other = T::restore(&after).unwrap_or_else(|error| scene.fails(&error.to_string()));
        scene.same("its state and what that restores", &after, &snapshot(&other));
    }
    ends
}

/// Cut snapshots that are tried, for each op.
const CUTS_MAX: usize = 64;

/// Applies an op to both, and compares.
fn apply<T: Object>(
    scene: &Rehearsal,
    one: &mut T,
    other: &mut T,
    op: &<T::Op as Archive>::Archived,
) -> T::Reply {
    let (now_us, version) = (scene.version * 1_000, scene.version);
    let context = || Context { now_us, version, changed: true };
    let bytes_max = one.reply_bytes_max(op);
    let mut contexts = [context(), context()];
    let before = snapshot(one);
    let reply = one.apply(op, &mut contexts[0]);
    let other_reply = other.apply(op, &mut contexts[1]);
    let archived = archive::<T>(&reply);
    scene.same("what they answer", &archived, &archive::<T>(&other_reply));
    scene.same("whether they have changed", contexts[0].changed, contexts[1].changed);
    if !contexts[0].changed {
        scene.same("its state, which it says is unchanged", &before, &snapshot(one));
    }
    if bytes_max > 0 && archived.len() > bytes_max {
        scene.fails(&format!("it answers {} bytes, not {bytes_max} at most", archived.len()));
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

/// Where we are.
struct Rehearsal {
    name: &'static str,
    /// Which op it is, from 1.
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
        panic!("`{}` does not keep its promises at op {}: {how}", self.name, self.version)
    }
}
