//! The points farthest from their centres, which empty clusters can take over.

use super::RELOCATIONS_MAX;
use crate::kernel::Element;

/// Values of a candidate: distance, row and label.
pub(super) const CANDIDATE_VALUES: usize = 3;

/// A point that an empty cluster can take over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) distance: f64,
    pub(super) row: u64,
    pub(super) label: u32,
}

/// Returns the points that all parties have offered, farthest first.
pub(super) fn candidates(values: &[i64]) -> Vec<Candidate> {
    let mut farthest: Vec<Candidate> = values
        .chunks_exact(CANDIDATE_VALUES)
        .filter(|slot| slot[1] != 0)
        .map(|slot| Candidate {
            distance: f64::from_wire(slot[0]),
            row: slot[1].cast_unsigned() - 1,
            label: u32::try_from(slot[2]).expect("labels are 32 bits"),
        })
        .collect();
    farthest.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.row.cmp(&b.row)));
    farthest
}

/// The points farthest from their centres, farthest first; equal ones in the order in which they
/// were offered.
#[derive(Debug, Default)]
pub(super) struct FarthestPoints {
    pub(super) candidates: Vec<Candidate>,
    /// The distance that a point has to exceed.
    bar: f64,
}

impl FarthestPoints {
    #[inline]
    pub(super) fn offer(&mut self, candidate: Candidate) {
        if candidate.distance > self.bar {
            self.insert(candidate);
        }
    }

    #[cold]
    fn insert(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|other| other.distance >= candidate.distance);
        self.candidates.insert(at, candidate);
        self.candidates.truncate(RELOCATIONS_MAX);
        if self.candidates.len() == RELOCATIONS_MAX {
            self.bar = self.candidates[RELOCATIONS_MAX - 1].distance;
        }
    }
}
