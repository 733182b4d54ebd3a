//! Handles to objects with typed values, which a codec turns into bytes. Needs the feature `serde`.
//!
//! A typed handle is made from one with bytes, `client.cell("settings").typed::<Settings>()`, and both
//! can be used on the same object. The default codec is [`Postcard`]: compact, without names of fields,
//! so that both sides need the same type. Any other is a [`Codec`], chosen with `typed_with`.

mod codec;
mod list;
mod values;

pub use self::codec::{Codec, CodecError, Postcard};
pub use self::list::{TypedClaim, TypedList};
pub use self::values::{TypedCell, TypedFuture, TypedMap};
