//! Fixed point: sums that do not depend on the order of the summands or on the worker that adds
//! them.
//!
//! Floating-point addition is not associative, so sums would depend on how points are divided. Here
//! every summand becomes an integer first, `round((x − base) · 2^s)`. Integers add up to the same
//! total in any order, and a point that changes its cluster can be subtracted exactly. A [`Scale`]
//! per dimension, its base and its power of two, is derived from the range of the values, on which
//! all workers agree, and from the number of points:
//!
//! 1. A quantised summand is below 2^50, and the sum of all of them below 2^62: nothing overflows.
//! 2. The step is `width · 2^-b` with `b = min(50, 61 − log2 n)` or finer, where `width` is the
//!    difference between the largest and the smallest value: a mean is off by at most half a step.
//!    For half a million points that is 10^-13 of the width, for a billion 10^-10. How far the
//!    values are from zero does not matter.
//! 3. Multiplying by the factor is exact, and rounding is to nearest, ties to even, so all machines
//!    have the same bits.
//! 4. Equal values have exactly that value as their mean if they are all values of the dimension.
//!
//! Squared distances range over twice as many digits, because most points can be near their centre
//! and one far from it. [`CostScale`] gives them two integers each, one for what the other rounds
//! off.

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

/// Returns a power of two that is at least a positive `value`, or the largest.
#[must_use]
pub fn power_of_two_above(value: f64) -> f64 {
    2f64.powi(magnitude_bits(value).clamp(-EXPONENT_MAX, EXPONENT_MAX))
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

/// How the values of one dimension become integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    base: f64,
    factor: f64,
}

impl Scale {
    /// Returns the scale for `count` values from `low` to `high`.
    #[must_use]
    pub fn of(low: f64, high: f64, count: u64) -> Self {
        let width = high - low;
        // A base with few digits keeps differences exact if the values have few digits.
        let base = if width > 0.0 { round_to_width(low / 2.0 + high / 2.0, width) } else { low };
        // Rounding keeps the order, so no difference in between is larger.
        Self { base, factor: factor((high - base).max(base - low), count) }
    }

    /// Returns `round((value − base) · factor)` for a value of the scale's range.
    #[inline(always)]
    #[must_use]
    pub fn quantise(self, value: f64) -> i64 {
        quantise(value - self.base, self.factor)
    }

    /// Returns `round((value − base) · weight · factor)` for a weight of at most 1.
    #[inline(always)]
    #[must_use]
    pub fn weighted(self, value: f64, weight: f64) -> i64 {
        quantise((value - self.base) * weight, self.factor)
    }

    /// Returns the mean of values whose quantised weighted sum is `sum` and whose weights add up to
    /// `weight`.
    #[must_use]
    pub fn weighted_mean(self, sum: i64, weight: f64) -> f64 {
        self.base + sum as f64 / self.factor / weight
    }

    /// Returns the mean of `count` values whose quantised sum is `sum`. The mean of equal values is
    /// their quantised value exactly, whatever their number.
    #[must_use]
    pub fn mean(self, sum: i64, count: i64) -> f64 {
        let mean = (sum / count) as f64 + (sum % count) as f64 / count as f64;
        self.base + mean / self.factor
    }
}

/// How squared distances become integers: a coarse one, and a fine one for what it rounds off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostScale {
    coarse: f64,
    /// The inverse of `coarse`: exact, because that is a power of two, and quicker than a division.
    coarse_step: f64,
    fine: f64,
}

/// A sum of squared distances, or one of them, on a [`CostScale`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// In steps of the coarse scale.
    pub coarse: i64,
    /// In steps of the fine scale.
    pub fine: i64,
}

impl CostScale {
    /// Returns the scale for `count` squared distances up to `max`. Its finest step is `max` times
    /// 2^-85 for half a million points.
    #[must_use]
    pub fn of(max: f64, count: u64) -> Self {
        let coarse = factor(max, count);
        Self { coarse, coarse_step: 1.0 / coarse, fine: factor(0.5 / coarse, count) }
    }

    /// Converts a squared distance.
    #[inline(always)]
    #[must_use]
    pub fn quantise(self, distance: f64) -> Cost {
        let coarse = quantise(distance, self.coarse);
        // Exact: both are multiples of the same power of two, and the difference is small.
        let rest = distance - coarse as f64 * self.coarse_step;
        Cost { coarse, fine: quantise(rest, self.fine) }
    }

    /// Converts a sum back.
    #[must_use]
    pub fn value(self, cost: Cost) -> f64 {
        cost.coarse as f64 / self.coarse + cost.fine as f64 / self.fine
    }

    /// Returns a sum in steps of the fine scale.
    #[must_use]
    pub fn steps(self, cost: Cost) -> i128 {
        let ratio = self.fine / self.coarse;
        // A power of two between 1 and 2^51.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let ratio = ratio as i128;
        i128::from(cost.coarse) * ratio + i128::from(cost.fine)
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.coarse += other.coarse;
        self.fine += other.fine;
    }
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
    fn the_step_follows_the_range_and_not_the_magnitude() {
        for offset in [0.0, 1.7e12, -4e15] {
            let scale = Scale::of(offset, offset + 16.0, 1_797);
            let values = [0.25, 3.0, 15.5].map(|x| scale.quantise(offset + x));
            assert_eq!(scale.mean(values.iter().sum(), 3), offset + 6.25, "{offset}");
            assert!(values.iter().all(|x| x.abs() < 1 << 50), "{values:?}");
        }
    }

    #[test]
    fn the_mean_of_equal_values_does_not_depend_on_their_number() {
        let scale = Scale::of(0.1, 5.0, 4_000_000);
        let value = scale.quantise(0.1);
        for count in [1, 2, 3, 7, 999_999, 3_999_999] {
            assert_eq!(scale.mean(value * count, count), scale.mean(value, 1), "{count}");
        }
        let alone = Scale::of(0.1, 0.1, 3);
        assert_eq!(alone.mean(alone.quantise(0.1) * 3, 3), 0.1);
    }

    #[test]
    fn small_distances_count_beside_a_large_one() {
        let scale = CostScale::of(1e18, 500_000);
        let mut total = scale.quantise(1e18);
        for _ in 0..1_000 {
            total += scale.quantise(1.25);
        }
        total.coarse -= scale.quantise(1e18).coarse;
        let value = scale.value(total);
        assert!((value - 1.25e3).abs() < 1e-3, "{value}");
        for max in [1e-200, 1e-3, 1.0, 7e22, 1e300] {
            let scale = CostScale::of(max, 12_345);
            assert_eq!(scale.coarse * scale.coarse_step, 1.0, "{max}");
            for part in [1.0, 0.7, 1e-9, 1e-17] {
                let value = scale.value(scale.quantise(max * part));
                assert!((value - max * part).abs() <= max * 1e-24 + value * 1e-15, "{max} {part}");
                assert_eq!(scale.steps(scale.quantise(max * part)) > 0, part > 0.0, "{max} {part}");
            }
        }
    }
}
