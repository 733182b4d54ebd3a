//! The elements of a vector or a round, and the arithmetic on them.
//!
//! All arithmetic gives the same bits on every machine: element-wise, in index order, without fused
//! operations and without libm.

use alloc::vec::Vec;
use core::ops::Range;

use catena_protocol::{Elements, Fault, Scalar, Status};
use serde::{Deserialize, Serialize};

use super::state::roomy;

/// Owned elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Numbers {
    F64(#[serde(with = "roomy")] Vec<f64>),
    F32(#[serde(with = "roomy")] Vec<f32>),
    I64(#[serde(with = "roomy")] Vec<i64>),
}

/// Runs `$body` with both sides as slices of the same number type, or `$else` if they differ.
macro_rules! pairwise {
    ($ours:expr, $theirs:expr, |$a:ident, $b:ident| $body:expr, else $other:expr) => {
        match ($ours, $theirs) {
            (Numbers::F64($a), Elements::F64($b)) => $body,
            (Numbers::F32($a), Elements::F32($b)) => $body,
            (Numbers::I64($a), Elements::I64($b)) => $body,
            _ => $other,
        }
    };
}

impl Numbers {
    /// Copies the elements of a frame. This is their only copy: the frame's buffer is reused for
    /// the next read.
    pub(crate) fn of(elements: Elements<'_>) -> Numbers {
        match elements {
            Elements::F64(values) => Numbers::F64(values.to_vec()),
            Elements::F32(values) => Numbers::F32(values.to_vec()),
            Elements::I64(values) => Numbers::I64(values.to_vec()),
        }
    }

    /// Replaces the elements, in the same memory if the type stays and they fit. Far fewer elements
    /// free memory.
    pub(crate) fn set(&mut self, elements: Elements<'_>) {
        pairwise!(
            &mut *self,
            elements,
            |ours, theirs| {
                if theirs.len() < ours.capacity() / 4 {
                    *ours = Vec::with_capacity(theirs.len());
                }
                ours.clear();
                ours.extend_from_slice(theirs);
            },
            else *self = Numbers::of(elements)
        );
    }

    pub(crate) fn elements(&self) -> Elements<'_> {
        match self {
            Numbers::F64(values) => Elements::F64(values),
            Numbers::F32(values) => Elements::F32(values),
            Numbers::I64(values) => Elements::I64(values),
        }
    }

    /// Returns the name of their type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Numbers::F64(_) => "f64",
            Numbers::F32(_) => "f32",
            Numbers::I64(_) => "i64",
        }
    }

    /// Returns the heap that they take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match self {
            Numbers::F64(values) => values.capacity() * 8,
            Numbers::F32(values) => values.capacity() * 4,
            Numbers::I64(values) => values.capacity() * 8,
        };
        bytes as u64
    }

    /// Returns a range of the elements.
    pub(crate) fn range(&self, range: Range<usize>) -> Elements<'_> {
        match self {
            Numbers::F64(values) => Elements::F64(&values[range]),
            Numbers::F32(values) => Elements::F32(&values[range]),
            Numbers::I64(values) => Elements::I64(&values[range]),
        }
    }

    /// Refuses another type.
    pub(crate) fn check_type(&self, type_code: u8) -> Result<(), Fault> {
        let ours = self.elements().type_code();
        if ours == type_code {
            return Ok(());
        }
        Err(Fault::expected(Status::Mismatch, ours.into(), type_code.into()))
    }

    /// Refuses elements of another type or length.
    pub(crate) fn check_like(&self, elements: Elements<'_>) -> Result<(), Fault> {
        self.check_type(elements.type_code())?;
        let (ours, theirs) = (self.elements().len(), elements.len());
        if ours != theirs {
            return Err(Fault::expected(Status::Mismatch, ours as u64, theirs as u64));
        }
        Ok(())
    }

    /// Refuses elements whose addition from `at` on would overflow; floats never do.
    pub(crate) fn check_add(&self, at: usize, elements: Elements<'_>) -> Result<(), Fault> {
        if let (Numbers::I64(ours), Elements::I64(theirs)) = (self, elements) {
            let mut pairs = ours[at..].iter().zip(theirs);
            if pairs.any(|(a, b)| a.checked_add(*b).is_none()) {
                return Err(Fault::new(Status::Overflow));
            }
        }
        Ok(())
    }

    /// Adds elements, which [`Numbers::check_add`] allowed, from `at` on.
    pub(crate) fn add(&mut self, at: usize, elements: Elements<'_>) {
        pairwise!(
            self,
            elements,
            |ours, theirs| ours[at..].iter_mut().zip(theirs).for_each(|(a, b)| *a += b),
            else unreachable!("types were checked")
        );
    }

    /// Refuses a factor of another type, and products that would overflow.
    pub(crate) fn check_scale(&self, factor: Scalar) -> Result<(), Fault> {
        self.check_type(factor.type_code())?;
        match (self, factor) {
            (Numbers::I64(values), Scalar::I64(factor))
                if values.iter().any(|value| value.checked_mul(factor).is_none()) =>
            {
                Err(Fault::new(Status::Overflow))
            }
            _ => Ok(()),
        }
    }

    /// Multiplies all elements by a factor, which [`Numbers::check_scale`] allowed.
    pub(crate) fn scale(&mut self, factor: Scalar) {
        match (self, factor) {
            (Numbers::F64(values), Scalar::F64(factor)) => {
                values.iter_mut().for_each(|value| *value *= factor);
            }
            (Numbers::F32(values), Scalar::F32(factor)) => {
                values.iter_mut().for_each(|value| *value *= factor);
            }
            (Numbers::I64(values), Scalar::I64(factor)) => {
                values.iter_mut().for_each(|value| *value *= factor);
            }
            _ => unreachable!("types were checked"),
        }
    }

    /// Returns the dot product with as many elements, summed in index order.
    pub(crate) fn dot(&self, elements: Elements<'_>) -> Result<Scalar, Fault> {
        self.check_like(elements)?;
        Ok(match (self, elements) {
            (Numbers::F64(ours), Elements::F64(theirs)) => {
                Scalar::F64(ours.iter().zip(theirs).fold(0.0, |sum, (a, b)| sum + a * b))
            }
            (Numbers::F32(ours), Elements::F32(theirs)) => {
                Scalar::F32(ours.iter().zip(theirs).fold(0.0, |sum, (a, b)| sum + a * b))
            }
            (Numbers::I64(ours), Elements::I64(theirs)) => {
                let mut pairs = ours.iter().zip(theirs);
                let sum = pairs.try_fold(0_i64, |sum, (a, b)| sum.checked_add(a.checked_mul(*b)?));
                Scalar::I64(sum.ok_or(Fault::new(Status::Overflow))?)
            }
            _ => unreachable!("types were checked"),
        })
    }

    /// Returns the sum of the elements, in index order.
    pub(crate) fn sum(&self) -> Result<Scalar, Fault> {
        Ok(match self {
            Numbers::F64(values) => Scalar::F64(values.iter().fold(0.0, |sum, value| sum + value)),
            Numbers::F32(values) => Scalar::F32(values.iter().fold(0.0, |sum, value| sum + value)),
            Numbers::I64(values) => {
                let sum = values.iter().try_fold(0_i64, |sum, value| sum.checked_add(*value));
                Scalar::I64(sum.ok_or(Fault::new(Status::Overflow))?)
            }
        })
    }

    /// Keeps the smaller of each pair; a NaN stays or replaces a number.
    pub(crate) fn min(&mut self, elements: Elements<'_>) {
        pairwise!(
            self,
            elements,
            |ours, theirs| ours.iter_mut().zip(theirs).for_each(|(a, b)| *a = a.smaller(*b)),
            else unreachable!("types were checked")
        );
    }

    /// Keeps the larger of each pair; a NaN stays or replaces a number.
    pub(crate) fn max(&mut self, elements: Elements<'_>) {
        pairwise!(
            self,
            elements,
            |ours, theirs| ours.iter_mut().zip(theirs).for_each(|(a, b)| *a = a.larger(*b)),
            else unreachable!("types were checked")
        );
    }

    /// Divides floats by a count.
    pub(crate) fn divide(&mut self, count: u32) {
        match self {
            Numbers::F64(values) => values.iter_mut().for_each(|value| *value /= f64::from(count)),
            // Divides in f64 and rounds once, because an f32 cannot represent every count.
            Numbers::F32(values) => {
                let count = f64::from(count);
                values.iter_mut().for_each(|value| *value = narrow(f64::from(*value) / count));
            }
            Numbers::I64(_) => unreachable!("the mean of integers is refused"),
        }
    }
}

/// Extremes that do not depend on the order of comparisons: -0 is below 0, and all NaNs are equal.
trait Extremes {
    fn smaller(self, other: Self) -> Self;
    fn larger(self, other: Self) -> Self;
}

impl Extremes for i64 {
    fn smaller(self, other: i64) -> i64 {
        self.min(other)
    }

    fn larger(self, other: i64) -> i64 {
        self.max(other)
    }
}

macro_rules! float_extremes {
    ($float:ty) => {
        impl Extremes for $float {
            fn smaller(self, other: $float) -> $float {
                match () {
                    () if self.is_nan() || other.is_nan() => <$float>::NAN,
                    () if other < self || (other == self && other.is_sign_negative()) => other,
                    () => self,
                }
            }

            fn larger(self, other: $float) -> $float {
                match () {
                    () if self.is_nan() || other.is_nan() => <$float>::NAN,
                    () if other > self || (other == self && other.is_sign_positive()) => other,
                    () => self,
                }
            }
        }
    };
}

float_extremes!(f64);
float_extremes!(f32);

/// Returns the smaller of two floats, by the rules of this module.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    a.smaller(b)
}

/// Returns the larger of two floats, by the rules of this module.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    a.larger(b)
}

#[allow(clippy::cast_possible_truncation)] // rounding to the nearest f32 is intended
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_is_never_lost() {
        let mut numbers = Numbers::F64(vec![1.0, f64::NAN, 2.0]);
        numbers.min(Elements::F64(&[f64::NAN, 0.0, 1.0]));
        let Numbers::F64(values) = &numbers else { panic!("type changed") };
        assert!(values[0].is_nan() && values[1].is_nan());
        assert_eq!(values[2], 1.0);
    }

    #[test]
    fn integers_overflow_before_anything_changes() {
        let numbers = Numbers::I64(vec![0, i64::MAX]);
        let fault = numbers.check_add(0, Elements::I64(&[1, 1])).unwrap_err();
        assert_eq!(fault.status, Status::Overflow);
        assert_eq!(numbers.check_like(Elements::I64(&[1])).unwrap_err().status, Status::Mismatch);
        assert_eq!(
            numbers.check_like(Elements::F64(&[1.0; 2])).unwrap_err().status,
            Status::Mismatch
        );
    }
}
