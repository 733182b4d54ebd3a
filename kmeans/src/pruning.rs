//! Exact pruning: points that cannot have changed their cluster are not compared with all centres
//! again.
//!
//! Each point has a lower bound of its distance to all centres but its own. The bound falls by as
//! much as the other centres move. While the distance to its own centre, which a round needs for
//! the cost anyway, is below the bound, the point stays in its cluster (Hamerly, "Making k-means
//! even faster", SDM 2010; with bounds for groups of centres: Ding et al., "Yinyang k-means", ICML
//! 2015). This module guarantees:
//!
//! 1. Labels and distances are those of [`Centres::nearest`], to the bit, ties included. Bounds
//!    only decide whether it is called.
//! 2. So no result depends on which points are compared, and each worker decides for itself.
//!
//! **Rounding.** The kernel takes the centre with the lowest rounded score, which need not be the
//! nearest one, so a point is skipped only if no rounding could let another centre win or tie. Let
//! `x` and `c` be a point and a centre relative to the origin as the kernel has rounded them, `C`
//! the longest `c`, `d` the point's distance to its own centre, `u` the [unit
//! roundoff](Element::ROUNDOFF), and `γ = nu / (1 − nu)` for the `n = 2 dims + 8` roundings that a
//! score or a distance can at most depend on (Higham, "Accuracy and stability of numerical
//! algorithms", 2002, §3.1). Then
//!
//! - a score `|c|²/2 − x·c` is off by at most `E = γ (C²/2 + |x| C)`, and since `|x| ≤ d + C`, `4 E
//!   ≤ γ (8 C² + 2 d²)`;
//! - scores differ by half of what squared distances do, so no other centre can reach the score of
//!   the point's own if all are farther than `l` with `l² > d² + 4 E`;
//! - after a search that found the lowest score and, `gap` above it, the next one, all others are
//!   at least `l` away with `l² = d² + 2 gap − 4 E`;
//! - a squared distance is off by at most `γ` of itself, and below [`Element::TINY`] by that much
//!   per operation. Arithmetic on bounds is f64 and is rounded away from pruning by `SLACK`.

use serde::{Deserialize, Serialize};

use crate::kernel::{Centres, Element, Scratch};

/// More than the error of a few roundings of f64.
const SLACK: f64 = 1.0 / (1u64 << 40) as f64;

/// With [`Pruning::Auto`], bounds are kept once fewer than one in this many points change their
/// cluster in a round.
const SETTLED: u64 = 8;

/// Whether comparisons are skipped that cannot change a cluster. The result is the same, to the
/// bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pruning {
    /// Compare every point with every centre in every round.
    #[default]
    None,
    /// Use Hamerly's bound in every round: for many clusters that lie apart, in few dimensions.
    Hamerly,
    /// Use Hamerly's bound in rounds in which it skips at least half of the points.
    Auto,
}

/// Decides, for one worker, in which rounds bounds are kept.
#[derive(Debug)]
pub(crate) struct Pruner<T> {
    pruning: Pruning,
    bounds: Option<Bounds<T>>,
    /// Remaining rounds without bounds, and their number the next time.
    rest: u32,
    rest_next: u32,
}

impl<T: Element> Pruner<T> {
    pub(crate) fn new(pruning: Pruning) -> Self {
        // Auto waits until a round has shown that points settle.
        Self { pruning, bounds: None, rest: 1, rest_next: 2 }
    }

    /// Begins a round over this many rows; returns the bounds if they are kept in it.
    pub(crate) fn begin(&mut self, centres: &Centres<T>, rows: usize) -> Option<&mut Bounds<T>> {
        let begins = match self.pruning {
            Pruning::None => false,
            Pruning::Hamerly => true,
            Pruning::Auto => self.rest == 0,
        };
        if begins && self.bounds.is_none() {
            self.bounds = Some(Bounds::new(rows, centres.k()));
        }
        let bounds = self.bounds.as_mut()?;
        bounds.begin(centres);
        Some(bounds)
    }

    /// Ends a round in which `moved` of `rows` changed their label.
    pub(crate) fn end(&mut self, moved: u64, rows: usize) {
        if self.pruning != Pruning::Auto {
            return;
        }
        let Some(bounds) = &self.bounds else {
            // When many points change their cluster, centres move far.
            if moved.saturating_mul(SETTLED) < rows as u64 {
                self.rest = self.rest.saturating_sub(1);
            }
            return;
        };
        // The first round only computes the bounds.
        if bounds.rounds > 1 && bounds.compared.saturating_mul(2) > rows {
            self.bounds = None;
            self.rest = self.rest_next;
            self.rest_next = self.rest_next.saturating_mul(2);
        }
    }
}

/// The bounds of one worker's rows.
#[derive(Debug)]
pub(crate) struct Bounds<T> {
    /// Per row, the lower bound plus the value of [`Bounds::drifts`] for the row's cluster at that
    /// time. Subtracting the present value gives the present bound, so that skipped rows need no
    /// write.
    lower: Vec<f64>,
    /// Per cluster, an upper bound of how far other centres have moved in total.
    drifts: Vec<f64>,
    /// The centres of the previous round.
    before: Vec<T>,
    limits: RoundLimits,
    buffers: SearchBuffers<T>,
    /// Number of rounds, and of rows that were compared with all centres in the last one.
    rounds: u64,
    compared: usize,
}

/// The quantities that decide about a row in this round.
#[derive(Debug, Clone, Copy, Default)]
struct RoundLimits {
    /// `γ`.
    error: f64,
    /// `8 γ C²`, plus the error of tiny numbers.
    offset: f64,
    /// The error of tiny numbers.
    tiny: f64,
}

/// Rows that have to be compared with all centres, and their results.
#[derive(Debug, Default)]
struct SearchBuffers<T> {
    picked: Vec<usize>,
    rows: Vec<T>,
    labels: Vec<u32>,
    distances: Vec<f64>,
    gaps: Vec<f64>,
}

impl<T: Element> Bounds<T> {
    /// Creates bounds for `rows` rows and `k` clusters, not computed yet.
    pub(crate) fn new(rows: usize, k: usize) -> Self {
        Self {
            lower: vec![f64::NEG_INFINITY; rows],
            drifts: vec![0.0; k],
            before: Vec::new(),
            limits: RoundLimits::default(),
            buffers: SearchBuffers::default(),
            rounds: 0,
            compared: 0,
        }
    }

    /// Begins a round. Centres may have moved since the last one; labels may not have changed.
    pub(crate) fn begin(&mut self, centres: &Centres<T>) {
        self.limits = RoundLimits::new(centres);
        (self.rounds, self.compared) = (self.rounds + 1, 0);
        let stride = centres.rows().next().map_or(1, <[T]>::len);
        let before = self.before.chunks_exact(stride);
        let moves: Vec<f64> = before.zip(centres.rows()).map(|(a, b)| distance(a, b)).collect();
        let farthest = moves.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((farthest, most)) = farthest {
            let others = moves.iter().enumerate().filter(|(cluster, _)| *cluster != farthest);
            let second = others.map(|(_, moved)| *moved).fold(0.0, f64::max);
            for (cluster, drift) in self.drifts.iter_mut().enumerate() {
                let moved = if cluster == farthest { second } else { most };
                *drift = (*drift + moved) * (1.0 + SLACK);
            }
        }
        self.before.clear();
        centres.rows().for_each(|row| self.before.extend(row));
    }

    /// Does what [`Centres::nearest`] does, for the block that begins with row `first` and had the
    /// labels `block.old` in the previous round.
    pub(crate) fn nearest(
        &mut self,
        centres: &Centres<T>,
        first: usize,
        block: &RowBlock<'_, T>,
        scratch: &mut Scratch<T>,
        new: &mut [u32],
        distances: &mut [f64],
    ) {
        let Self { lower, drifts, limits, buffers, compared, .. } = self;
        let RowBlock { rows, upcoming, old } = *block;
        let lower = &mut lower[first..first + old.len()];
        // Before the first search no row has a bound.
        if lower.first() == Some(&f64::NEG_INFINITY) {
            buffers.gaps.resize(old.len(), 0.0);
            centres.nearest_two(rows, upcoming, scratch, new, distances, &mut buffers.gaps);
            for (((lower, label), distance), gap) in
                lower.iter_mut().zip(&*new).zip(&*distances).zip(&buffers.gaps)
            {
                *lower = limits.lower(*distance, *gap, drifts[*label as usize]);
            }
            *compared += old.len();
            return;
        }
        centres.distances(rows, scratch, old, distances);
        new.copy_from_slice(old);
        buffers.picked.clear();
        for (at, ((lower, label), distance)) in lower.iter().zip(old).zip(&*distances).enumerate() {
            if !limits.stays(*lower - drifts[*label as usize], *distance) {
                buffers.picked.push(at);
            }
        }
        let dims = rows.len() / old.len();
        buffers.rows.clear();
        for at in &buffers.picked {
            buffers.rows.extend_from_slice(&rows[at * dims..(at + 1) * dims]);
        }
        let picked = buffers.picked.len();
        buffers.labels.resize(picked, 0);
        buffers.distances.resize(picked, 0.0);
        buffers.gaps.resize(picked, 0.0);
        let SearchBuffers { labels, distances: found, gaps, .. } = buffers;
        centres.nearest_two(&buffers.rows, upcoming, scratch, labels, found, gaps);
        for (((at, label), distance), gap) in
            buffers.picked.iter().zip(&buffers.labels).zip(&buffers.distances).zip(&buffers.gaps)
        {
            (new[*at], distances[*at]) = (*label, *distance);
            lower[*at] = limits.lower(*distance, *gap, drifts[*label as usize]);
        }
        *compared += picked;
    }
}

/// Rows that are processed together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowBlock<'a, T> {
    pub(crate) rows: &'a [T],
    /// See [`Centres::nearest`].
    pub(crate) upcoming: &'a [T],
    pub(crate) old: &'a [u32],
}

impl RoundLimits {
    fn new<T: Element>(centres: &Centres<T>) -> Self {
        let stride = centres.rows().next().map_or(0, <[T]>::len);
        let roundings = (2 * stride + 8) as f64;
        let relative = roundings * T::ROUNDOFF;
        let tiny = roundings * T::TINY;
        // With this many dimensions there is no bound of the error.
        let error = if relative < 0.25 { relative / (1.0 - relative) } else { f64::INFINITY };
        let longest = centres.rows().map(|row| squares(row.iter().map(|c| c.to_f64())));
        let longest = longest.fold(0.0, f64::max);
        Self { error, offset: 8.0 * error * longest + 8.0 * tiny, tiny }
    }

    /// Returns an upper bound of `d²`, from a squared distance as the kernel has rounded it.
    fn square(self, distance: f64) -> f64 {
        distance * (1.0 + 2.0 * self.error) + self.tiny
    }

    /// Returns whether a row stays in its cluster if all other centres are at least `lower` away.
    #[inline(always)]
    fn stays(self, lower: f64, distance: f64) -> bool {
        let needed = self.square(distance) * (1.0 + 2.0 * self.error) + self.offset;
        lower > 0.0 && lower * lower > needed * (1.0 + SLACK)
    }

    /// Returns the lower bound after a search, for [`Bounds::lower`].
    #[inline(always)]
    fn lower(self, distance: f64, gap: f64, drift: f64) -> f64 {
        let errors = self.offset + 2.0 * self.error * self.square(distance);
        let square = distance * (1.0 - 2.0 * self.error) + 2.0 * gap * (1.0 - SLACK) - errors;
        // NaN, from infinite errors, becomes 0 as well.
        (square.max(0.0).sqrt() * (1.0 - SLACK) + drift) * (1.0 - SLACK)
    }
}

/// Returns an upper bound of the distance between two rows.
fn distance<T: Element>(a: &[T], b: &[T]) -> f64 {
    squares(a.iter().zip(b).map(|(a, b)| a.to_f64() - b.to_f64())).sqrt() * (1.0 + SLACK)
}

/// Returns an upper bound of the sum of the squares.
fn squares(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let terms = values.len() as f64 + 8.0;
    let sum: f64 = values.map(|value| value * value).sum();
    sum * (1.0 + terms * f64::EPSILON) + terms * f64::MIN_POSITIVE
}

#[cfg(test)]
mod tests;
