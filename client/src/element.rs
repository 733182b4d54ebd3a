//! The types of number that vectors and reductions have.

use catena_protocol::{Elements, Fault, Scalar, Status};

/// A type of number that vectors have: `f64`, `f32` or `i64`.
pub trait Element: bytemuck::Pod {
    /// Wraps a slice of them as the protocol takes it.
    fn elements(slice: &[Self]) -> Elements<'_>;

    /// Returns the slice if `elements` are of this type.
    fn slice(elements: Elements<'_>) -> Option<&[Self]>;

    /// Wraps one of them as the protocol takes it.
    fn scalar(self) -> Scalar;

    /// Returns the number if `scalar` is of this type.
    fn number(scalar: Scalar) -> Option<Self>;
}

macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl Element for $type {
            fn elements(slice: &[$type]) -> Elements<'_> {
                Elements::$variant(slice)
            }

            fn slice(elements: Elements<'_>) -> Option<&[$type]> {
                match elements {
                    Elements::$variant(slice) => Some(slice),
                    _ => None,
                }
            }

            fn scalar(self) -> Scalar {
                Scalar::$variant(self)
            }

            fn number(scalar: Scalar) -> Option<$type> {
                match scalar {
                    Scalar::$variant(number) => Some(number),
                    _ => None,
                }
            }
        }
    };
}

/// Copies elements.
///
/// # Errors
///
/// [`Status::Mismatch`] if their type or number is not that of `out`.
pub(crate) fn copy_elements<T: Element>(
    elements: Elements<'_>,
    out: &mut [T],
) -> Result<(), Fault> {
    let slice = T::slice(elements).filter(|slice| slice.len() == out.len());
    let slice = slice.ok_or_else(|| {
        Fault::expected(Status::Mismatch, elements.len() as u64, out.len() as u64)
    })?;
    out.copy_from_slice(slice);
    Ok(())
}

element!(f64, F64);
element!(f32, F32);
element!(i64, I64);
