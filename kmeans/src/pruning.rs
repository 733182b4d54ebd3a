//! Exact pruning: points that cannot have changed their cluster are not compared with all centres again.
//!
//! For each point a lower bound is kept on its distance to every centre but its own; it falls by as much as the other
//! centres move. While the distance to its own centre, which a round needs for the cost anyway, is below it, the point
//! stays where it is (Hamerly, "Making k-means even faster", SDM 2010; with bounds for groups of centres: Ding et al.,
//! "Yinyang k-means", ICML 2015). Promised:
//!
//! 1. Labels and distances are those of [`Centres::nearest`], to the bit, ties included. Bounds only ever decide whether
//!    it is asked.
//! 2. So nothing depends on which points are asked about: each worker decides for itself.
//!
//! **Rounding.** The kernel does not take the nearest centre but the one with the lowest score as it is rounded, so a
//! point is left alone only where no rounding could let another centre win or tie. Let `x` and `c` be a point and a
//! centre relative to the origin as the kernel has rounded them, `C` the longest `c`, `d` the point's distance to its
//! own centre, `u` the [unit roundoff](Element::ROUNDOFF), and `γ = nu / (1 − nu)` for the `n = 2 dims + 8` roundings
//! that a score or a distance can at most depend on (Higham, "Accuracy and stability of numerical algorithms", 2002,
//! §3.1). Then
//!
//! - a score `|c|²/2 − x·c` is off by at most `E = γ (C²/2 + |x| C)`, and since `|x| ≤ d + C`, `4 E ≤ γ (8 C² + 2 d²)`;
//! - scores differ by half of what squared distances do, so no other centre can reach the score of the point's own if
//!   all are farther than `l` with `l² > d² + 4 E`;
//! - after a search that found the lowest score and, by `gap` above it, the next one, all others are at least `l` away
//!   with `l² = d² + 2 gap − 4 E`;
//! - a squared distance is off by at most `γ` of itself, and what falls below [`Element::TINY`] by that much an
//!   operation. Arithmetic on bounds is f64 and is rounded away from pruning by `SLACK`.

use serde::{Deserialize, Serialize};

use crate::kernel::{Centres, Element, Scratch};

/// More than what a few roundings of f64 can be off.
const SLACK: f64 = 1.0 / (1u64 << 40) as f64;

/// With [`Pruning::Auto`], bounds are kept once fewer than one in so many points change their cluster in a round.
const SETTLED: u64 = 8;

/// Whether points that cannot have changed their cluster are left alone. The result is the same, to the bit.
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
    /// Rounds without bounds that are left, and how many there are next time.
    rest: u32,
    rest_next: u32,
}

impl<T: Element> Pruner<T> {
    pub(crate) fn new(pruning: Pruning) -> Self {
        // Auto waits until a round has shown that points settle.
        Self { pruning, bounds: None, rest: 1, rest_next: 2 }
    }

    /// Begins a round over so many rows. Answers the bounds, if they are kept in it.
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

    /// Ends a round in which so many of `rows` changed their label.
    pub(crate) fn end(&mut self, moved: u64, rows: usize) {
        if self.pruning != Pruning::Auto {
            return;
        }
        let Some(bounds) = &self.bounds else {
            // Where many points change their cluster, centres move far.
            if moved.saturating_mul(SETTLED) < rows as u64 {
                self.rest = self.rest.saturating_sub(1);
            }
            return;
        };
        // The round that finds the bounds says nothing about them yet.
        if bounds.rounds > 1 && bounds.looked.saturating_mul(2) > rows {
            self.bounds = None;
            self.rest = self.rest_next;
            self.rest_next = self.rest_next.saturating_mul(2);
        }
    }
}

/// What one worker knows about its rows.
#[derive(Debug)]
pub(crate) struct Bounds<T> {
    /// Per row, the lower bound plus what [`Bounds::drifts`] was for the row's cluster then. Subtracting what it is now
    /// gives the bound as it is now, so that rows that are left alone are not written.
    lower: Vec<f64>,
    /// Per cluster, how far other centres have moved in all, at most.
    drifts: Vec<f64>,
    /// The centres of the round before.
    before: Vec<T>,
    limits: Limits,
    room: Room<T>,
    /// Rounds so far, and rows that had to be looked at in the last of them.
    rounds: u64,
    looked: usize,
}

/// What decides about a row in this round.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    /// `γ`.
    error: f64,
    /// `8 γ C²`, and what tiny numbers add.
    offset: f64,
    /// What tiny numbers add.
    tiny: f64,
}

/// Rows that have to be looked at, and what was found.
#[derive(Debug, Default)]
struct Room<T> {
    picked: Vec<usize>,
    rows: Vec<T>,
    labels: Vec<u32>,
    distances: Vec<f64>,
    gaps: Vec<f64>,
}

impl<T: Element> Bounds<T> {
    /// Knows nothing of `rows` rows and `k` clusters yet.
    pub(crate) fn new(rows: usize, k: usize) -> Self {
        Self {
            lower: vec![f64::NEG_INFINITY; rows],
            drifts: vec![0.0; k],
            before: Vec::new(),
            limits: Limits::default(),
            room: Room::default(),
            rounds: 0,
            looked: 0,
        }
    }

    /// Begins a round, whatever became of the centres since the last one. In between no label may have changed.
    pub(crate) fn begin(&mut self, centres: &Centres<T>) {
        self.limits = Limits::new(centres);
        (self.rounds, self.looked) = (self.rounds + 1, 0);
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

    /// What [`Centres::nearest`] does for the block that begins with row `first`, whose labels in the round before were
    /// `old`.
    pub(crate) fn nearest(
        &mut self,
        centres: &Centres<T>,
        first: usize,
        block: &Block<'_, T>,
        scratch: &mut Scratch<T>,
        new: &mut [u32],
        distances: &mut [f64],
    ) {
        let Self { lower, drifts, limits, room, looked, .. } = self;
        let Block { rows, upcoming, old } = *block;
        let lower = &mut lower[first..first + old.len()];
        // Whoever was never looked at has no bound, and that is all rows or none.
        if lower.first() == Some(&f64::NEG_INFINITY) {
            room.gaps.resize(old.len(), 0.0);
            centres.nearest_two(rows, upcoming, scratch, new, distances, &mut room.gaps);
            for (((lower, label), distance), gap) in
                lower.iter_mut().zip(&*new).zip(&*distances).zip(&room.gaps)
            {
                *lower = limits.lower(*distance, *gap, drifts[*label as usize]);
            }
            *looked += old.len();
            return;
        }
        centres.distances(rows, scratch, old, distances);
        new.copy_from_slice(old);
        room.picked.clear();
        for (at, ((lower, label), distance)) in lower.iter().zip(old).zip(&*distances).enumerate() {
            if !limits.stays(*lower - drifts[*label as usize], *distance) {
                room.picked.push(at);
            }
        }
        let dims = rows.len() / old.len();
        room.rows.clear();
        for at in &room.picked {
            room.rows.extend_from_slice(&rows[at * dims..(at + 1) * dims]);
        }
        let picked = room.picked.len();
        room.labels.resize(picked, 0);
        room.distances.resize(picked, 0.0);
        room.gaps.resize(picked, 0.0);
        let Room { labels, distances: found, gaps, .. } = room;
        centres.nearest_two(&room.rows, upcoming, scratch, labels, found, gaps);
        for (((at, label), distance), gap) in
            room.picked.iter().zip(&room.labels).zip(&room.distances).zip(&room.gaps)
        {
            (new[*at], distances[*at]) = (*label, *distance);
            lower[*at] = limits.lower(*distance, *gap, drifts[*label as usize]);
        }
        *looked += picked;
    }
}

/// Rows that are looked at together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a, T> {
    pub(crate) rows: &'a [T],
    /// See [`Centres::nearest`].
    pub(crate) upcoming: &'a [T],
    pub(crate) old: &'a [u32],
}

impl Limits {
    fn new<T: Element>(centres: &Centres<T>) -> Self {
        let stride = centres.rows().next().map_or(0, <[T]>::len);
        let roundings = (2 * stride + 8) as f64;
        let relative = roundings * T::ROUNDOFF;
        let tiny = roundings * T::TINY;
        // With so many dimensions nothing is known of a sum.
        let error = if relative < 0.25 { relative / (1.0 - relative) } else { f64::INFINITY };
        let longest = centres.rows().map(|row| squares(row.iter().map(|c| c.to_f64())));
        let longest = longest.fold(0.0, f64::max);
        Self { error, offset: 8.0 * error * longest + 8.0 * tiny, tiny }
    }

    /// At most this is `d²`, for a squared distance as the kernel has rounded it.
    fn square(self, distance: f64) -> f64 {
        distance * (1.0 + 2.0 * self.error) + self.tiny
    }

    /// Whether a row stays with its cluster whose distance to the others is at least `lower`.
    #[inline(always)]
    fn stays(self, lower: f64, distance: f64) -> bool {
        let needed = self.square(distance) * (1.0 + 2.0 * self.error) + self.offset;
        lower > 0.0 && lower * lower > needed * (1.0 + SLACK)
    }

    /// The lower bound that a search gives, for [`Bounds::lower`].
    #[inline(always)]
    fn lower(self, distance: f64, gap: f64, drift: f64) -> f64 {
        let errors = self.offset + 2.0 * self.error * self.square(distance);
        let square = distance * (1.0 - 2.0 * self.error) + 2.0 * gap * (1.0 - SLACK) - errors;
        // NaN, of infinite errors, becomes nothing as well.
        (square.max(0.0).sqrt() * (1.0 - SLACK) + drift) * (1.0 - SLACK)
    }
}

/// At least the distance between two rows.
fn distance<T: Element>(a: &[T], b: &[T]) -> f64 {
    squares(a.iter().zip(b).map(|(a, b)| a.to_f64() - b.to_f64())).sqrt() * (1.0 + SLACK)
}

/// At least the sum of the squares.
fn squares(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let terms = values.len() as f64 + 8.0;
    let sum: f64 = values.map(|value| value * value).sum();
    sum * (1.0 + terms * f64::EPSILON) + terms * f64::MIN_POSITIVE
}

#[cfg(test)]
mod tests;
