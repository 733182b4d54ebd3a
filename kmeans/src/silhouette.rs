//! The silhouette of a clustering (Rousseeuw, 1987): how much nearer points are to their own cluster
//! than to the next one, from -1 to 1.
//!
//! It takes the distances between all pairs of points, so it is computed for a sample of them. Which
//! points are drawn depends on the seed and the number of points alone ([`crate::init`]), so they are
//! the same for any number of workers and clusters. For all points, the result is that of
//! scikit-learn's `silhouette_score`.

use std::collections::BTreeMap;
use std::thread;

use crate::job::SampledPoint;

/// Returns the mean silhouette of the points, or `None` if they are all in one cluster, or each in a
/// cluster of its own. Weights do not count.
#[must_use]
pub fn mean_silhouette(points: &[SampledPoint]) -> Option<f64> {
    let mut clusters = BTreeMap::new();
    for point in points {
        let next = clusters.len();
        clusters.entry(point.label).or_insert(next);
    }
    if clusters.len() < 2 || clusters.len() >= points.len() {
        return None;
    }
    let labels: Vec<usize> = points.iter().map(|point| clusters[&point.label]).collect();
    let mut sizes = vec![0; clusters.len()];
    labels.iter().for_each(|label| sizes[*label] += 1);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let of = |at: usize| silhouette(at, points, &labels, &sizes);
    let all: Vec<f64> = thread::scope(|scope| {
        let each = points.len().div_ceil(threads);
        let starts = (0..points.len()).step_by(each);
        let parts: Vec<_> = starts
            .map(|start| {
                let end = points.len().min(start + each);
                scope.spawn(move || (start..end).map(of).collect::<Vec<f64>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("it does not panic")).collect()
    });
    // In the order of the points, so that the sum does not depend on the number of threads.
    Some(all.iter().sum::<f64>() / points.len() as f64)
}

fn silhouette(at: usize, points: &[SampledPoint], labels: &[usize], sizes: &[u32]) -> f64 {
    let own = labels[at];
    // A point alone in its cluster counts as 0.
    if sizes[own] == 1 {
        return 0.0;
    }
    let mut sums = vec![0.0; sizes.len()];
    for (other, label) in points.iter().zip(labels) {
        sums[*label] += distance(&points[at].point, &other.point);
    }
    let within = sums[own] / f64::from(sizes[own] - 1);
    let others = sums.iter().zip(sizes).enumerate().filter(|(label, _)| *label != own);
    let means = others.map(|(_, (sum, size))| sum / f64::from(*size));
    let next = means.fold(f64::INFINITY, f64::min);
    let most = within.max(next);
    if most > 0.0 { (next - within) / most } else { 0.0 }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(f64, u32)]) -> Vec<SampledPoint> {
        of.iter().map(|(x, label)| SampledPoint { point: vec![*x], label: *label }).collect()
    }

    #[test]
    fn silhouettes_by_hand() {
        // (10 - 1) / 10 and (9 - 1) / 9 in the first cluster, 0 for the point that is alone.
        let got = mean_silhouette(&points(&[(0.0, 3), (1.0, 3), (10.0, 1)])).unwrap();
        assert!((got - (0.9 + 8.0 / 9.0) / 3.0).abs() < 1e-15, "{got}");
        let same = mean_silhouette(&points(&[(1.0, 0), (1.0, 0), (1.0, 1), (1.0, 1)]));
        assert_eq!(same, Some(0.0));
    }

    #[test]
    fn one_cluster_or_as_many_as_points_have_none() {
        assert_eq!(mean_silhouette(&[]), None);
        assert_eq!(mean_silhouette(&points(&[(0.0, 0), (1.0, 0)])), None);
        assert_eq!(mean_silhouette(&points(&[(0.0, 0), (1.0, 1)])), None);
    }
}
