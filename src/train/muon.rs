//! Muon's direction (Jordan et al. 2024): the momentum of a matrix with all its singular values brought
//! near one, so that what is rare in the pictures is learnt as fast as what is common.
//!
//! The quintic iteration works on the Gram matrix of the shorter side: `p(X X^T) X` for one polynomial of
//! polynomials costs three small products a round instead of two long ones.

use candle_core::{Result, Tensor};

/// The quintic's coefficients: steep at zero, staying between 0.7 and 1.2.
const A: f64 = 3.4445;
const B: f64 = -4.7750;
const C: f64 = 2.0315;
const ROUNDS: usize = 5;

/// The nearest matrix with orthonormal rows (or columns), roughly: singular values between 0.7 and 1.2.
///
/// # Shapes
/// `(rows, columns)` to the same; zeros stay zeros.
///
/// # Errors
/// If there is no memory for it.
pub fn orthogonal(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    if rows > columns {
        return orthogonal(&matrix.t()?.contiguous()?)?.t()?.contiguous();
    }
    let length = f64::from(matrix.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    if length < 1e-20 {
        return Ok(matrix.clone());
    }
    let x = (matrix * (1.0 / length))?;
    let mut gram = x.matmul(&x.t()?)?; // (rows, rows), a polynomial of it commutes with it
    let one = Tensor::eye(rows, matrix.dtype(), matrix.device())?;
    let mut product: Option<Tensor> = None;
    for round in 0..ROUNDS {
        let square = gram.matmul(&gram)?;
        let factor = (((&one * A)? + (&gram * B)?)? + (square * C)?)?;
        if round + 1 < ROUNDS {
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

    #[test]
    fn rows_come_out_nearly_orthonormal() {
        for (rows, columns) in [(24, 60), (60, 24), (32, 32)] {
            let values =
                (0..rows * columns).map(|i| ((i * i + 7 * i) as f32 * 0.37).sin()).collect::<Vec<_>>();
            let matrix = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
            let turned = orthogonal(&matrix).unwrap();
            assert_eq!(turned.dims(), &[rows, columns]);
            let wide = if rows > columns { turned.t().unwrap() } else { turned };
            let gram = wide.matmul(&wide.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
            for (i, row) in gram.iter().enumerate() {
                assert!((0.3..1.6).contains(&row[i]), "{}", row[i]);
            }
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        let zeros = Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(orthogonal(&zeros).unwrap().to_vec2::<f32>().unwrap(), vec![vec![0.0; 5]; 3]);
    }
}
