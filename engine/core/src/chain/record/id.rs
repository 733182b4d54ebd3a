//! The ids in a record, as people and JSON see them: a prefix and 32 hexadecimal digits.

use core::fmt;
use core::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The identity of one incarnation of a node: drawn at random at every start of a process, and
/// again at every new attempt to join.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

/// The identity of a change, drawn at random by the node that proposes it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub u128);

macro_rules! hex_id {
    ($id:ident, $prefix:literal) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $id {
            type Err = BadId;

            fn from_str(text: &str) -> Result<$id, BadId> {
                let digits = text.strip_prefix($prefix).ok_or(BadId)?;
                let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                if digits.len() != 32 || !digits.bytes().all(hex) {
                    return Err(BadId);
                }
                u128::from_str_radix(digits, 16).map($id).map_err(|_| BadId)
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$id, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $id;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("\"", $prefix, "\" and 32 hexadecimal digits"))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$id, E> {
                        text.parse()
                            .map_err(|BadId| E::invalid_value(de::Unexpected::Str(text), &self))
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

hex_id!(NodeId, "n-");
hex_id!(ChangeId, "c-");

/// The error for a text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected a prefix and 32 hexadecimal digits, in lower case")]
pub struct BadId;
