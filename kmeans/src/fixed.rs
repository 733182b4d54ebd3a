//! Fixed point: sums that do not depend on the order of the summands or on the worker that adds
//! them.
//!
//! Floating-point addition is not associative, so sums would depend on how points are divided. Here
//! every summand becomes an integer first, `round(x · 2^s)`. Integers add up to the same total in
//! any order, and a point that changes its cluster can be subtracted exactly. One power of two per
//! dimension is derived from the largest magnitude, on which all workers agree, and from the number
//! of points:
//!
//! 1. A quantised summand is below 2^50, and the sum of all of them below 2^62: nothing overflows.
//! 2. The step is `max|x| · 2^-b` with `b = min(50, 61 − log2 n)` or finer: a mean is off by at
//!    most half a step. For half a million points that is 10^-13 of the column's largest magnitude,
//!    for a billion 10^-10.
//! 3. Multiplying by the factor is exact, and rounding is to nearest, ties to even, so all machines
//!    have the same bits.

/// Bits of a quantised summand; the rounding of [`quantise`] is exact below 2^51.
const SUMMAND_BITS: i32 = 50;

/// Bits of a sum over all points.
const SUM_BITS: i32 = 62;

/// The largest exponent of a factor, so that the factor and its inverse are both normal numbers.
const EXPONENT_MAX: i32 = 1000;

const _: () = assert!(SUMMAND_BITS < 51 && SUM_BITS < 63);

/// Returns the power of two by which magnitudes up to `max` become integers of which `count` can be
/// summed.
#[must_use]
pub fn factor(max: f64, count: u64) -> f64 {
    let count_bits = i32::try_from(u64::BITS - count.leading_zeros()).expect("at most 64 bits");
    let bits = SUMMAND_BITS.min(SUM_BITS - count_bits);
    let exponent = if max > 0.0 { bits - magnitude_bits(max) } else { 0 };
    2f64.powi(exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX))
}

/// Returns the least `e` with `max < 2^e` for a normal `max`, and an upper bound of it for smaller
/// ones.
fn magnitude_bits(max: f64) -> i32 {
    const FRACTION_BITS: u32 = 52;
    const BIAS: i32 = 1022;
    let exponent = (max.to_bits() >> FRACTION_BITS) & 0x7ff;
    i32::try_from(exponent).expect("eleven bits") - BIAS
}

/// Returns `round(value · factor)`; the magnitude of the product must be below 2^51.
///
/// After adding 1.5·2^52 there are no fraction bits: the hardware rounds, and the integer is the
/// difference of the bits. Unlike a conversion instruction, every vector unit can add.
#[inline(always)]
#[must_use]
pub fn quantise(value: f64, factor: f64) -> i64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    (value * factor + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()).cast_signed()
}

/// Returns the mean of `count` summands whose quantised sum is `sum`.
#[must_use]
pub fn mean(sum: i64, count: i64, factor: f64) -> f64 {
    sum as f64 / count as f64 / factor
}

/// Returns `value`, rounded to a multiple of a power of two between `width / 1024` and `width /
/// 512`.
///
/// An origin near the mean serves as well as the mean. One with few digits keeps differences exact
/// if the data has few digits, such as small integers, so that points halfway between two centres
/// stay exactly halfway.
#[must_use]
pub fn round_to_width(value: f64, width: f64) -> f64 {
    const WIDTH_BITS: i32 = 10;
    if width < f64::MIN_POSITIVE {
        return value;
    }
    let exponent = (magnitude_bits(width) - WIDTH_BITS).clamp(-EXPONENT_MAX, EXPONENT_MAX);
    let step = 2f64.powi(exponent);
    (value / step).round_ties_even() * step
}

/// Converts a float to an integer; the integers have the order of the floats, so that they have the
/// same maximum.
#[must_use]
pub fn to_ordered(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// Converts an integer of [`to_ordered`] back.
#[must_use]
pub fn from_ordered(ordered: i64) -> f64 {
    let bits = if ordered < 0 { ordered ^ i64::MAX } else { ordered };
    f64::from_bits(bits.cast_unsigned())
}

/// Converts a quantised sum back.
#[must_use]
pub fn value(sum: i64, factor: f64) -> f64 {
    sum as f64 / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantise_rounds_to_nearest_even() {
        for (value, expected) in
            [(0.5, 0), (1.5, 2), (-2.5, -2), (-0.6, -1), (1e15, 1_000_000_000_000_000)]
        {
            assert_eq!(quantise(value, 1.0), expected, "{value}");
        }
    }

    #[test]
    fn sums_of_the_largest_fit() {
        for count in [1u64, 7, 1_797, 500_000, 1 << 40] {
            for max in [1e-300, 1e-30, 0.1, 1.0, 16.0, 1e9, 1e300] {
                let factor = factor(max, count);
                let summand = quantise(max, factor);
                assert!(summand < 1 << 50, "{max} {count}: {summand}");
                assert!(i128::from(summand) * i128::from(count) < 1 << 62, "{max} {count}");
            }
        }
        assert_eq!(factor(0.0, 5), 1.0);
    }

    #[test]
    fn ordered_integers_are_in_order() {
        let floats = [f64::NEG_INFINITY, -1e300, -1.5, -1e-300, -0.0, 0.0, 1e-300, 1.5, 1e300];
        for pair in floats.windows(2) {
            assert!(to_ordered(pair[0]) < to_ordered(pair[1]), "{pair:?}");
        }
        assert!(floats.iter().all(|x| from_ordered(to_ordered(*x)).to_bits() == x.to_bits()));
    }

    #[test]
    fn an_offset_is_near_and_short() {
        assert_eq!(round_to_width(4.884_3, 16.0), 4.875);
        assert_eq!(round_to_width(7.0, 0.0), 7.0);
        assert!((round_to_width(1e6 + 0.3, 2.0) - (1e6 + 0.3)).abs() <= 2.0 / 1024.0);
    }

    #[test]
    fn the_step_is_fine() {
        let factor = factor(16.0, 1_797);
        assert_eq!(
            mean(quantise(0.1, factor) * 3, 3, factor),
            value(quantise(0.1, factor), factor)
        );
        assert!((value(quantise(0.1, factor), factor) - 0.1).abs() < 1e-13);
    }
}
