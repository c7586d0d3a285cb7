//! Reading goldens: tensors that the original gave, by name.

use super::ParityError;
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// One golden: its tensors on the CPU.
pub struct Golden {
    name: String,
    tensors: HashMap<String, Tensor>,
}

/// How far values are from a golden's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Largest absolute difference; infinite where one is no number and the other is.
    pub largest: f64,
    /// Root of the mean square of the differences over that of the golden's values.
    pub relative: f64,
}

impl Golden {
    /// Reads `{folder}/{name}.safetensors`.
    ///
    /// # Errors
    /// If there is no such file, or it is damaged.
    pub fn read(folder: &Path, name: &str) -> Result<Golden, ParityError> {
        let path = folder.join(format!("{name}.safetensors"));
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu)
            .map_err(|error| ParityError::Golden { path, message: error.to_string() })?;
        Ok(Golden { name: name.to_string(), tensors })
    }

    /// How far `got` is from the tensor `key`.
    ///
    /// # Errors
    /// If there is no such tensor, or it has another number of values.
    pub fn distance(&self, key: &str, got: &Tensor) -> Result<Distance, ParityError> {
        let golden = self.name.clone();
        let wanted = self.tensors.get(key);
        let wanted = wanted.ok_or_else(|| ParityError::NoTensor { golden, key: key.to_string() })?;
        let (got, wanted) = (values(got)?, values(wanted)?);
        if got.len() != wanted.len() {
            let (golden, key) = (self.name.clone(), key.to_string());
            return Err(ParityError::Count { golden, key, found: got.len(), wanted: wanted.len() });
        }
        Ok(distance(&got, &wanted))
    }
}

fn values(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

fn distance(got: &[f64], wanted: &[f64]) -> Distance {
    let (mut largest, mut off, mut whole) = (0f64, 0.0, 0.0);
    for (got, wanted) in got.iter().zip(wanted) {
        let error = match (got.is_nan(), wanted.is_nan()) {
            (true, true) => 0.0,
            (false, false) => (got - wanted).abs(),
            _ => f64::INFINITY,
        };
        largest = largest.max(error);
        off += error * error;
        whole += if wanted.is_nan() { 0.0 } else { wanted * wanted };
    }
    Distance { largest, relative: if off == 0.0 { 0.0 } else { (off / whole).sqrt() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told() {
        let same = distance(&[1.0, f64::NAN], &[1.0, f64::NAN]);
        assert_eq!(same, Distance { largest: 0.0, relative: 0.0 });
        let off = distance(&[3.0, 4.5], &[3.0, 4.0]);
        assert!((off.largest - 0.5).abs() < 1e-12 && (off.relative - 0.1).abs() < 1e-12);
        assert_eq!(distance(&[f64::NAN], &[1.0]).largest, f64::INFINITY);
    }
}
