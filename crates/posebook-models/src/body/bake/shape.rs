//! Principal component analysis of body shapes.

use super::super::NUM_BETAS;
use posebook_core::geometry::Vec3;

/// A linear shape space: mean (n) and ten displacements (10, n) of one standard deviation each.
pub struct ShapeSpace {
    /// The mean shape (n).
    pub mean: Vec<Vec3>,
    /// Displacements of each component (10, n).
    pub directions: Vec<Vec<Vec3>>,
    /// Fraction of the samples' variance that the ten components explain.
    pub explained: f64,
}

impl ShapeSpace {
    /// Principal components of `samples`, each a list of n points, computed from the Gram matrix (there are far fewer
    /// samples than points). A beta of 1 is one standard deviation.
    pub fn from_samples(samples: &[Vec<Vec3>]) -> ShapeSpace {
        let (count, points) = (samples.len(), samples[0].len());
        let mut mean = vec![[0f64; 3]; points];
        for sample in samples {
            for (sum, point) in mean.iter_mut().zip(sample) {
                (0..3).for_each(|axis| sum[axis] += point[axis] as f64 / count as f64);
            }
        }
        let centered: Vec<Vec<f64>> = samples
            .iter()
            .map(|sample| {
                let pairs = sample.as_flattened().iter().zip(mean.as_flattened());
                pairs.map(|(value, mean)| *value as f64 - mean).collect()
            })
            .collect();
        let mut gram = vec![0f64; count * count];
        for i in 0..count {
            for j in 0..=i {
                let product: f64 = centered[i].iter().zip(&centered[j]).map(|(a, b)| a * b).sum();
                gram[i * count + j] = product;
                gram[j * count + i] = product;
            }
        }
        let (values, vectors) = eigen_decomposition(gram, count);
        let total: f64 = values.iter().sum();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let directions = order.iter().take(NUM_BETAS).map(|&k| {
            // a component's displacement for one standard deviation is X^T u / sqrt(n - 1)
            let mut flat = vec![0f64; 3 * points];
            for (sample, row) in centered.iter().enumerate() {
                let weight = vectors[sample * count + k] / ((count - 1) as f64).sqrt();
                flat.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            // the sign is arbitrary: make the largest coordinate positive
            let largest = flat.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
            let sign = if largest < 0.0 { -1.0 } else { 1.0 };
            flat.chunks_exact(3).map(|v| [v[0], v[1], v[2]].map(|x| (sign * x) as f32)).collect()
        });
        ShapeSpace {
            directions: directions.collect(),
            explained: order.iter().take(NUM_BETAS).map(|&k| values[k]).sum::<f64>() / total,
            mean: mean.into_iter().map(|point| point.map(|value| value as f32)).collect(),
        }
    }

    /// The shape space of some of the points.
    pub fn subset(&self, points: &[usize]) -> ShapeSpace {
        let pick = |all: &[Vec3]| points.iter().map(|&point| all[point]).collect::<Vec<_>>();
        ShapeSpace {
            mean: pick(&self.mean),
            directions: self.directions.iter().map(|direction| pick(direction)).collect(),
            explained: self.explained,
        }
    }
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix, by Jacobi rotations.
fn eigen_decomposition(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0f64; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _sweep in 0..30 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        let trace: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if off <= 1e-22 * trace {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                jacobi_rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// One Jacobi rotation, which makes a(p, q) zero.
fn jacobi_rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..n {
        let (akp, akq) = (a[k * n + p], a[k * n + q]);
        a[k * n + p] = c * akp - s * akq;
        a[k * n + q] = s * akp + c * akq;
    }
    for k in 0..n {
        let (apk, aqk) = (a[p * n + k], a[q * n + k]);
        a[p * n + k] = c * apk - s * aqk;
        a[q * n + k] = s * apk + c * aqk;
        let (vkp, vkq) = (vectors[k * n + p], vectors[k * n + q]);
        vectors[k * n + p] = c * vkp - s * vkq;
        vectors[k * n + q] = s * vkp + c * vkq;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::random::stream;

    #[test]
    fn samples_on_a_line_have_one_component() {
        let mut draws = stream(1, "line", &[]);
        let base: Vec<Vec3> =
            (0..20).map(|_| [draws.uniform(), draws.uniform(), draws.uniform()].map(|x| x as f32)).collect();
        let along: Vec<Vec3> =
            (0..20).map(|_| [draws.normal(), draws.normal(), 0.0].map(|x| x as f32)).collect();
        let samples: Vec<Vec<Vec3>> = (0..40)
            .map(|_| {
                let share = draws.normal() as f32;
                let at = |(b, d): (&Vec3, &Vec3)| std::array::from_fn(|axis| b[axis] + share * d[axis]);
                base.iter().zip(&along).map(at).collect()
            })
            .collect();
        let space = ShapeSpace::from_samples(&samples);
        assert!(space.explained > 0.999_999);
        let ratio = space.directions[0][3][0] / along[3][0];
        assert!((ratio.abs() - 1.0).abs() < 0.4, "about one standard deviation: {ratio}");
        let same = space.directions[0].iter().zip(&along).all(|(a, b)| (a[0] - ratio * b[0]).abs() < 1e-4);
        assert!(same);
    }
}
