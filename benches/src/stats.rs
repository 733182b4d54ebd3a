//! Statistics over rounds: medians, because a shared machine has bad moments, and ratios within one
//! round, because a bad moment affects both sides of it.

/// A comparison over rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paired {
    /// Median of the ratios of one round each.
    pub(crate) ratio: f64,
    /// The spread of these ratios, see [`spread`].
    pub(crate) spread: f64,
}

impl Paired {
    /// Compares round by round.
    ///
    /// # Panics
    ///
    /// If there are no rounds, or not the same number on both sides.
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Paired {
        assert_eq!(ours.len(), theirs.len(), "every server takes part in every round");
        let ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Paired { ratio: median(&ratios), spread: spread(&ratios) }
    }
}

/// Returns the middle value, or the mean of the two in the middle.
///
/// # Panics
///
/// If there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "a median of nothing");
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// Returns how far values lie apart: largest minus smallest, divided by the median, or by the
/// largest where the median is 0.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match median(values) {
        // Also if all are 0.
        _ if most == least => 0.0,
        0.0 => (most - least) / most.abs().max(least.abs()),
        median => (most - least) / median,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn the_spread_is_relative_to_the_median() {
        assert_eq!(spread(&[2.0, 4.0, 5.0]), 0.75);
        assert_eq!([spread(&[7.0]), spread(&[0.0, 0.0])], [0.0, 0.0]);
        assert_eq!(spread(&[0.0, 0.0, 4.0]), 1.0);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The second round was a bad moment for both; the ratio does not see it.
        let paired = Paired::of(&[30.0, 3.0, 33.0], &[10.0, 1.0, 10.0]);
        assert_eq!(paired.ratio, 3.0);
        assert!((paired.spread - 0.1).abs() < 1e-9, "{paired:?}");
    }
}
