//! Joints as means of vertices: non-negative weights that sum to one, fitted to many bodies.

use crate::geometry::{Vec3, norm, sub};

/// What a regressor's row is fitted to: bodies (their vertices) and the point wanted in each.
pub struct Case<'a> {
    pub vertices: &'a [Vec3],
    pub wanted: Vec3,
    pub weight: f64,
}

/// How much the weights' sum counts against a metre of error.
const SUM_WEIGHT: f64 = 10.0;
/// Spreads the weights over vertices that serve equally well, metres squared.
const SPREAD: f64 = 2e-5;

/// Non-negative weights of the `candidates` that give the wanted point in each case, by coordinate
/// descent on the normal equations; small ones are dropped and the rest sums to one.
pub fn fit(candidates: &[usize], cases: &[Case]) -> Vec<(u32, f32)> {
    let n = candidates.len();
    let mut normal = vec![0f64; n * n];
    let mut right = vec![0f64; n];
    let mut rows: Vec<(Vec<f64>, f64)> = vec![(vec![SUM_WEIGHT; n], SUM_WEIGHT)];
    for case in cases {
        for axis in 0..3 {
            let row = candidates.iter().map(|&vertex| case.weight * case.vertices[vertex][axis] as f64);
            rows.push((row.collect(), case.weight * case.wanted[axis] as f64));
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
    (0..n).for_each(|i| normal[i * n + i] += SPREAD * trace);
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
    fn the_middle_of_a_box_is_found() {
        let corners: Vec<Vec3> =
            (0..8).map(|i| [i & 1, i >> 1 & 1, i >> 2 & 1].map(|bit| bit as f32)).collect();
        let case = Case { vertices: &corners, wanted: [0.5, 0.25, 0.5], weight: 1.0 };
        let weights = fit(&(0..8).collect::<Vec<_>>(), &[case]);
        assert!(weights.iter().all(|(_, weight)| *weight > 0.0));
        let y: f32 = weights.iter().map(|&(vertex, weight)| weight * corners[vertex as usize][1]).sum();
        assert!((y - 0.25).abs() < 2e-3, "{y}");
        assert_eq!(nearest(&corners, [0.9, 0.9, 0.9], 1), vec![7]);
    }
}
