//! What turns values into bytes and back.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Turns values into bytes and back.
///
/// ```
/// use catena_client::typed::{Codec, CodecError};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// /// JSON, which other programs can read.
/// enum Json {}
///
/// impl Codec for Json {
///     fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         serde_json::to_writer(out, value).map_err(CodecError::new)
///     }
///
///     fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
///         serde_json::from_slice(bytes).map_err(CodecError::new)
///     }
/// }
///
/// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
/// # let client = catena_client::Client::connect(engine.addresses()[0])?;
/// let limits = client.cell("limits").typed_with::<Vec<u32>, Json>();
/// limits.set(&vec![1, 2, 3])?;
/// assert_eq!(&*client.cell("limits").get()?, b"[1,2,3]");
/// assert_eq!(limits.get()?, Some(vec![1, 2, 3]));
/// # Ok::<(), catena_client::Error>(())
/// ```
pub trait Codec {
    /// Appends the bytes of a value.
    ///
    /// # Errors
    ///
    /// If the codec has no form for the value.
    fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// If the bytes are not those of such a value.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError>;
}

/// The codec [postcard](https://docs.rs/postcard): compact, the same bytes for the same value.
#[derive(Debug)]
pub enum Postcard {}

impl Codec for Postcard {
    fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let buffer = std::mem::take(out);
        *out = postcard::to_extend(value, buffer).map_err(CodecError::new)?;
        Ok(())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(CodecError::new)?;
        match rest.len() {
            0 => Ok(value),
            behind => {
                Err(CodecError::new(format_args!("{behind} bytes are left behind the value")))
            }
        }
    }
}

/// Why a value cannot be encoded or decoded, in the words of the codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(Arc<str>);

impl CodecError {
    /// Takes the reason from the error of a codec.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::typed::CodecError;
    ///
    /// assert_eq!(CodecError::new("too short").to_string(), "too short");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn new(reason: impl std::fmt::Display) -> CodecError {
        CodecError(reason.to_string().into())
    }
}
