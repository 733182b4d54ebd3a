//! How empty clusters take over points.

use super::farthest::{CANDIDATE_VALUES, Candidate, candidates};
use super::{IterationState, LloydWorker, RELOCATIONS_MAX, RoundTotals};
use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::data::index;
use crate::error::{Error, Result};
use crate::kernel::Element;

impl<T: Element> LloydWorker<'_, T> {
    /// Offers the farthest of its rows to empty clusters; returns the offers of all parties,
    /// farthest first.
    pub(super) fn offer(
        &mut self,
        state: &IterationState,
        link: &mut dyn AllReduce,
    ) -> Result<Vec<Candidate>> {
        // A restarted worker may find the others at this point.
        if self.assigned != Some(state.round) {
            self.assign(state);
        }
        let slot_len = RELOCATIONS_MAX * CANDIDATE_VALUES;
        let mut values = vec![0; self.problem.parties as usize * slot_len];
        let slots =
            values[self.problem.party as usize * slot_len..].chunks_exact_mut(CANDIDATE_VALUES);
        for (out, candidate) in slots.zip(&self.farthest.candidates) {
            let row = (candidate.row + 1).cast_signed();
            out.copy_from_slice(&[candidate.distance.to_wire(), row, i64::from(candidate.label)]);
        }
        link.all_reduce(Phase::Farthest(state.relocations), ReduceOp::Sum, &mut values)?;
        Ok(candidates(&values))
    }

    pub(super) fn relocate(
        &self,
        totals: &RoundTotals,
        offered: &[Candidate],
        sums: &mut [i64],
        masses: &mut [i64],
        link: &mut dyn AllReduce,
    ) -> Result<()> {
        let dims = self.points.dims;
        let length = dims + usize::from(self.weights.is_some());
        let mut values = vec![0; RELOCATIONS_MAX * length];
        for (out, candidate) in values.chunks_exact_mut(length).zip(offered) {
            let Some(row) = self.points.row(candidate.row) else { continue };
            let at = index(candidate.row - self.points.first);
            for ((out, x), scale) in out.iter_mut().zip(row).zip(&self.scales) {
                *out = match &self.weights {
                    None => scale.quantise(x.to_f64()),
                    Some(weights) => scale.weighted(x.to_f64(), weights.each[at]),
                };
            }
            if let Some(weights) = &self.weights {
                out[dims] = weights.quantised[at];
            }
        }
        link.all_reduce(Phase::Relocate(totals.relocations), ReduceOp::Sum, &mut values)?;
        let mass = |point: &[i64]| point.get(dims).copied().unwrap_or(1);
        let mut offers = values.chunks_exact(length).zip(offered);
        for empty in (0..masses.len()).filter(|cluster| totals.masses()[*cluster] == 0) {
            // A cluster with one point is not emptied to fill another.
            let Some((point, from)) =
                offers.find(|(point, from)| masses[from.label as usize] > mass(point))
            else {
                break;
            };
            let from = from.label as usize;
            for (dim, x) in point[..dims].iter().enumerate() {
                sums[from * dims + dim] -= x;
                sums[empty * dims + dim] += x;
            }
            masses[from] -= mass(point);
            masses[empty] += mass(point);
        }
        Ok(())
    }
}

/// Reads the offers of a round that is over.
pub(super) fn offered(totals: &RoundTotals, link: &mut dyn AllReduce) -> Result<Vec<Candidate>> {
    let phase = Phase::Farthest(totals.relocations);
    match link.last(phase)? {
        Some((round, values)) if round == phase.round() => Ok(candidates(&values)),
        _ => Err(Error::Behind { object: phase.to_string(), round: phase.round() }),
    }
}
