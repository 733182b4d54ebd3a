//! The types of number that vectors and reductions have.

use catena_protocol::{Elements, Scalar};

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

element!(f64, F64);
element!(f32, F32);
element!(i64, I64);
