//! Fits a joint as a convex combination of vertices (non-negative weights that sum to one) over many bodies.

use posebook_core::geometry::{Vec3, norm, sub};

/// A sample that a regressor's row is fitted to: a body's vertices and the joint's position.
pub struct Case<'a> {
    /// Vertices of the body, or displacements of a blend shape.
    pub vertices: &'a [Vec3],
    /// Position of the joint, or its displacement.
    pub target: Vec3,
    /// Weight of the sample.
    pub weight: f64,
}

/// Penalty of a deviation of the weights' sum from one, relative to an error in meters.
const SUM_WEIGHT: f64 = 10.0;
/// Regularization that spreads the weights over equally suited vertices, relative to the mean diagonal.
const REGULARIZATION: f64 = 2e-5;

/// Non-negative weights of the `candidates` that best give the target of each case, by coordinate descent on the
/// normal equations. Small weights are dropped, and the rest is scaled to a sum of one.
pub fn fit(candidates: &[usize], cases: &[Case]) -> Vec<(u32, f32)> {
    let n = candidates.len();
    let mut normal = vec![0f64; n * n];
    let mut right = vec![0f64; n];
    let mut rows: Vec<(Vec<f64>, f64)> = vec![(vec![SUM_WEIGHT; n], SUM_WEIGHT)];
    for case in cases {
        for axis in 0..3 {
            let row = candidates.iter().map(|&vertex| case.weight * case.vertices[vertex][axis] as f64);
            rows.push((row.collect(), case.weight * case.target[axis] as f64));
        }
    }
    for (row, value) in &rows {
        for i in 0..n {
            right[i] += row[i] * value;
            let (left, line) = (row[i], &mut normal[i * n..(i + 1) * n]);
            line.iter_mut().zip(row).for_each(|(sum, other)| *sum += left * other);
        }
    }
    let trace = (0..n).map(|i| normal[i * n + i]).sum::<f64>() / n as f64;
    (0..n).for_each(|i| normal[i * n + i] += REGULARIZATION * trace);
    let mut weights = vec![1.0 / n as f64; n];
    for _sweep in 0..1500 {
        for i in 0..n {
            let line = &normal[i * n..(i + 1) * n];
            let product: f64 = line.iter().zip(&weights).map(|(a, w)| a * w).sum();
            weights[i] = (weights[i] + (right[i] - product) / line[i]).max(0.0);
        }
    }
    let kept: Vec<(u32, f64)> = candidates
        .iter()
        .zip(&weights)
        .filter(|(_, weight)| **weight > 1e-3)
        .map(|(&vertex, &weight)| (vertex as u32, weight))
        .collect();
    let sum: f64 = kept.iter().map(|(_, weight)| weight).sum();
    kept.into_iter().map(|(vertex, weight)| (vertex, (weight / sum) as f32)).collect()
}

/// The `count` vertices nearest to a point.
pub fn nearest(vertices: &[Vec3], point: Vec3, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..vertices.len()).collect();
    order.sort_by(|&a, &b| norm(sub(vertices[a], point)).total_cmp(&norm(sub(vertices[b], point))));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_inside_a_box_is_a_combination_of_its_corners() {
        let corners: Vec<Vec3> =
            (0..8).map(|i| [i & 1, i >> 1 & 1, i >> 2 & 1].map(|bit| bit as f32)).collect();
        let case = Case { vertices: &corners, target: [0.5, 0.25, 0.5], weight: 1.0 };
        let weights = fit(&(0..8).collect::<Vec<_>>(), &[case]);
        assert!(weights.iter().all(|(_, weight)| *weight > 0.0));
        let y: f32 = weights.iter().map(|&(vertex, weight)| weight * corners[vertex as usize][1]).sum();
        assert!((y - 0.25).abs() < 2e-3, "{y}");
        assert_eq!(nearest(&corners, [0.9, 0.9, 0.9], 1), vec![7]);
    }
}
