//! Muon's orthogonalization (Jordan et al. 2024): brings all singular values of the momentum close to one, so that rare
//! directions are learned as fast as frequent ones.
//!
//! The quintic Newton-Schulz iteration is computed on the Gram matrix of the shorter side: `p(X Xᵀ) X` with a composed
//! polynomial takes three small products per iteration instead of two large ones.

use candle_core::{Result, Tensor};

/// Coefficients of the quintic: steep at zero; its iterates stay between 0.7 and 1.2.
const A: f64 = 3.4445;
const B: f64 = -4.7750;
const C: f64 = 2.0315;
const ITERATIONS: usize = 5;

/// Approximately the nearest matrix with orthonormal rows (or columns): singular values between 0.7 and 1.2.
///
/// # Shapes
/// `(rows, columns)` to the same; zeros give zeros.
///
/// # Errors
/// If memory cannot be allocated.
pub fn orthogonalize(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    if rows > columns {
        return orthogonalize(&matrix.t()?.contiguous()?)?.t()?.contiguous();
    }
    let length = f64::from(matrix.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    if length < 1e-20 {
        return Ok(matrix.clone());
    }
    let x = (matrix * (1.0 / length))?;
    let mut gram = x.matmul(&x.t()?)?; // (rows, rows), a polynomial of it commutes with it
    let one = Tensor::eye(rows, matrix.dtype(), matrix.device())?;
    let mut product: Option<Tensor> = None;
    for iteration in 0..ITERATIONS {
        let square = gram.matmul(&gram)?;
        let factor = (((&one * A)? + (&gram * B)?)? + (square * C)?)?;
        if iteration + 1 < ITERATIONS {
            gram = factor.matmul(&factor)?.matmul(&gram)?;
        }
        product = Some(match product {
            Some(product) => product.matmul(&factor)?,
            None => factor,
        });
    }
    product.unwrap_or(one).matmul(&x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    type Matrix = Vec<Vec<f64>>;

    fn matrix(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Matrix {
        (0..rows).map(|row| (0..columns).map(|column| value(row, column)).collect()).collect()
    }

    fn product(a: &Matrix, b: &Matrix) -> Matrix {
        matrix(a.len(), b[0].len(), |i, j| a[i].iter().zip(b).map(|(x, row)| x * row[j]).sum())
    }

    fn transpose(a: &Matrix) -> Matrix {
        matrix(a[0].len(), a.len(), |i, j| a[j][i])
    }

    /// A product of two Householder reflections: orthogonal and dense.
    fn rotation(size: usize, seed: f64) -> Matrix {
        let reflection = |seed: f64| {
            let v: Vec<f64> = (0..size).map(|i| (seed + 1.7 * i as f64).sin() + 0.1).collect();
            let square: f64 = v.iter().map(|x| x * x).sum();
            matrix(size, size, |i, j| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / square)
        };
        product(&reflection(seed), &reflection(seed + 0.9))
    }

    /// Orthogonalizes in single precision.
    fn orthogonalized(a: &Matrix) -> Matrix {
        let values: Vec<f32> = a.iter().flatten().map(|value| *value as f32).collect();
        let tensor = Tensor::from_vec(values, (a.len(), a[0].len()), &Device::Cpu).unwrap();
        let out = orthogonalize(&tensor).unwrap();
        assert_eq!(out.dims(), tensor.dims());
        let rows = out.to_vec2::<f32>().unwrap();
        rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
    }

    fn assert_close(found: &Matrix, expected: &Matrix, what: &str) {
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            for (j, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert!((found - expected).abs() < 2e-3, "{what} [{i}, {j}]: {found}, expected {expected}");
            }
        }
    }

    /// What the iterations make of one singular value of the normalized matrix.
    fn iterated(value: f64) -> f64 {
        (0..ITERATIONS).fold(value, |x, _| A * x + B * x.powi(3) + C * x.powi(5))
    }

    /// A matrix of known singular vectors and values keeps its vectors, and its values become nearly one.
    #[test]
    fn singular_values_become_nearly_one_and_singular_vectors_stay() {
        for (rows, columns) in [(24, 60), (60, 24), (32, 32)] {
            let rank = rows.min(columns);
            let (left, right) = (rotation(rows, 0.3), rotation(columns, 2.1));
            let values: Vec<f64> = (0..rank).map(|i| 0.3 + 0.7 * i as f64 / rank as f64).collect();
            let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
            let diagonal =
                |values: &[f64]| matrix(rows, columns, |i, j| if i == j { values[i] } else { 0.0 });
            let with_values =
                |values: &[f64]| product(&product(&left, &diagonal(values)), &transpose(&right));
            let expected: Vec<f64> = values.iter().map(|value| iterated(value / norm)).collect();
            assert!(expected.iter().all(|value| (0.65..1.25).contains(value)), "{expected:?}");
            let found = orthogonalized(&with_values(&values));
            assert_close(&found, &with_values(&expected), "matrix");

            // the whole Gram matrix of the shorter side: close to the identity, and as the singular values say
            let (wide, vectors) = if rows > columns { (transpose(&found), &right) } else { (found, &left) };
            let gram = product(&wide, &transpose(&wide));
            let squares = matrix(rank, rank, |i, j| if i == j { expected[i] * expected[i] } else { 0.0 });
            assert_close(&gram, &product(&product(vectors, &squares), &transpose(vectors)), "Gram matrix");
            for (i, row) in gram.iter().enumerate() {
                for (j, value) in row.iter().enumerate() {
                    let off = (value - f64::from(u8::from(i == j))).abs();
                    assert!(off < 0.6, "Gram matrix [{i}, {j}] is {value}");
                }
            }
        }
    }

    /// The composed polynomial of the Gram matrix equals the textbook iteration in double precision.
    #[test]
    fn the_result_is_that_of_the_plain_newton_schulz_iteration() {
        for (rows, columns) in [(24, 60), (60, 24), (32, 32)] {
            let start = matrix(rows, columns, |i, j| {
                let index = i * columns + j;
                ((index * index + 7 * index) as f64 * 0.37).sin()
            });
            let norm = start.iter().flatten().map(|value| value * value).sum::<f64>().sqrt();
            let mut x = matrix(rows, columns, |i, j| start[i][j] / norm);
            for _ in 0..ITERATIONS {
                let gram = product(&x, &transpose(&x));
                let (cubic, quintic) = (product(&gram, &x), product(&gram, &product(&gram, &x)));
                x = matrix(rows, columns, |i, j| A * x[i][j] + B * cubic[i][j] + C * quintic[i][j]);
            }
            assert_close(&orthogonalized(&start), &x, "matrix");
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let zeros = Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(orthogonalize(&zeros).unwrap().to_vec2::<f32>().unwrap(), vec![vec![0.0; 5]; 3]);
    }
}
