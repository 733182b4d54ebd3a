//! The two directions in which points differ most, to draw them in a plane.
//!
//! Power iteration on the covariance matrix, which is never built: its product with a vector is two
//! passes over the points. The number of steps and the start are fixed, which is precise enough for
//! a picture.

/// Steps of the power iteration.
const STEPS: u32 = 60;

/// A projection to two dimensions.
#[derive(Debug)]
pub(crate) struct Projection {
    mean: Vec<f64>,
    axes: [Vec<f64>; 2],
}

impl Projection {
    /// Returns the projection to the principal plane of the points. With one dimension the second
    /// axis is zero.
    pub(crate) fn of(points: &[&[f64]]) -> Self {
        let dims = points.first().map_or(0, |point| point.len());
        let mut mean = vec![0.0; dims];
        for point in points {
            add(&mut mean, point, 1.0 / points.len() as f64);
        }
        let first = axis(points, &mean, &[]);
        let second = axis(points, &mean, std::slice::from_ref(&first));
        Self { mean, axes: [first, second] }
    }

    pub(crate) fn project(&self, point: &[f64]) -> (f64, f64) {
        let [x, y] = self.axes.each_ref().map(|axis| dot(axis, point) - dot(axis, &self.mean));
        (x, y)
    }
}

fn axis(points: &[&[f64]], mean: &[f64], before: &[Vec<f64>]) -> Vec<f64> {
    // The start has no symmetry that data could share.
    let mut axis: Vec<f64> = (0..mean.len()).map(|dim| 1.0 + (dim as f64 * 0.7).sin()).collect();
    for _ in 0..STEPS {
        let offset = dot(mean, &axis);
        let mut next = vec![0.0; mean.len()];
        let mut total = 0.0;
        for point in points {
            let along = dot(point, &axis) - offset;
            add(&mut next, point, along);
            total += along;
        }
        add(&mut next, mean, -total);
        for other in before {
            let along = dot(&next, other);
            add(&mut next, other, -along);
        }
        let length = dot(&next, &next).sqrt();
        if length <= f64::MIN_POSITIVE {
            return vec![0.0; mean.len()];
        }
        next.iter_mut().for_each(|x| *x /= length);
        axis = next;
    }
    axis
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], from: &[f64], factor: f64) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from * factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_long_direction() {
        let points: Vec<[f64; 3]> =
            (0..50).map(|i| f64::from(i) - 25.0).map(|t| [t + 4.0, 2.0 * t, t.sin()]).collect();
        let points: Vec<&[f64]> = points.iter().map(|point| &point[..]).collect();
        let projection = Projection::of(&points);
        let [x, y, _] = projection.axes[0][..] else { panic!("three dimensions") };
        assert!((y / x - 2.0).abs() < 0.01, "{projection:?}");
        assert!(dot(&projection.axes[0], &projection.axes[1]).abs() < 1e-9);
    }

    #[test]
    fn one_dimension_and_equal_points_stay_finite() {
        for points in [vec![&[1.0][..], &[2.0], &[4.0]], vec![&[3.0, 3.0][..]; 5]] {
            let (x, y) = Projection::of(&points).project(points[0]);
            assert!(x.is_finite() && y.abs() < 1e-9);
        }
    }
}
