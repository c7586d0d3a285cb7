//! Reads goldens: output tensors of the original implementation, and their JSON metadata.

use super::{ParityError, Stage};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One set of HMR2's goldens. Its name is the prefix of every name that the formula hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenSet {
    /// The folder's name.
    pub name: String,
    /// The folder with the files.
    pub folder: PathBuf,
}

impl GoldenSet {
    /// The set of a folder (`.../hmr2/<set>`).
    pub fn open(folder: &Path) -> GoldenSet {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        GoldenSet { name, folder: folder.to_path_buf() }
    }

    /// The sets below `goldens/hmr2`, in order of their names.
    ///
    /// # Errors
    /// If there is none, so that a check without goldens does not pass.
    pub fn find_all(goldens: &Path) -> Result<Vec<GoldenSet>, ParityError> {
        let folder = goldens.join("hmr2");
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut sets: Vec<GoldenSet> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .map(|path| GoldenSet::open(&path))
            .collect();
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        if sets.is_empty() { Err(ParityError::NoGoldens { folder }) } else { Ok(sets) }
    }

    /// The name that the formula hashes for `key`.
    pub fn hashed_name(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }

    /// The golden `name` of `stage` (`"03_vit_small"`, say): `name.safetensors` and `name.json`.
    ///
    /// # Errors
    /// If one of the files is missing or damaged.
    pub fn golden(&self, stage: Stage, name: &str) -> Result<Golden, ParityError> {
        let path = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        let unreadable = |ending: &str, message: String| ParityError::Golden { path: path(ending), message };
        let tensors = candle_core::safetensors::load(path("safetensors"), &Device::Cpu)
            .map_err(|error| unreadable("safetensors", error.to_string()))?;
        let text =
            std::fs::read_to_string(path("json")).map_err(|error| unreadable("json", error.to_string()))?;
        let json = serde_json::from_str(&text).map_err(|error| unreadable("json", error.to_string()))?;
        Ok(Golden { name: format!("{}/{name}", self.name), stage, tensors, json })
    }
}

/// One golden: tensors on the CPU, and metadata.
pub struct Golden {
    name: String,
    stage: Stage,
    tensors: HashMap<String, Tensor>,
    json: Value,
}

impl Golden {
    /// GoldenSet and file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part of the model that it is of.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether there is a tensor `key`.
    pub fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    /// The tensor `key`.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn tensor(&self, key: &str) -> Result<&Tensor, ParityError> {
        let missing = || ParityError::NoTensor { golden: self.name.clone(), key: key.to_string() };
        self.tensors.get(key).ok_or_else(missing)
    }

    /// A tensor's values, row-major.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn f32(&self, key: &str) -> Result<Vec<f32>, ParityError> {
        values(self.tensor(key)?)
    }

    /// [`Golden::f32`] in double precision.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn f64(&self, key: &str) -> Result<Vec<f64>, ParityError> {
        Ok(self.tensor(key)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// A tensor's rows of `N` values.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn rows<const N: usize>(&self, key: &str) -> Result<Vec<[f32; N]>, ParityError> {
        Ok(self.f32(key)?.as_chunks::<N>().0.to_vec())
    }

    /// The metadata at a JSON pointer, if any.
    pub fn find_metadata(&self, pointer: &str) -> Option<&Value> {
        self.json.pointer(pointer)
    }

    /// The metadata at a JSON pointer.
    ///
    /// # Errors
    /// If there is none.
    pub fn metadata(&self, pointer: &str) -> Result<&Value, ParityError> {
        self.find_metadata(pointer).ok_or_else(|| self.missing_metadata(pointer))
    }

    /// A number of the metadata.
    ///
    /// # Errors
    /// If there is none.
    pub fn metadata_number(&self, pointer: &str) -> Result<f64, ParityError> {
        self.metadata(pointer)?.as_f64().ok_or_else(|| self.missing_metadata(pointer))
    }

    /// The numbers of an array of any depth in the metadata.
    ///
    /// # Errors
    /// If there is none.
    pub fn metadata_numbers(&self, pointer: &str) -> Result<Vec<f64>, ParityError> {
        fn gather(value: &Value, into: &mut Vec<f64>) -> Option<()> {
            match value {
                Value::Array(values) => values.iter().try_for_each(|value| gather(value, into)),
                value => value.as_f64().map(|number| into.push(number)),
            }
        }
        let mut numbers = Vec::new();
        gather(self.metadata(pointer)?, &mut numbers).ok_or_else(|| self.missing_metadata(pointer))?;
        Ok(numbers)
    }

    fn missing_metadata(&self, pointer: &str) -> ParityError {
        ParityError::NoMetadata { golden: self.name.clone(), pointer: pointer.to_string() }
    }
}

/// A tensor's values as `f32`, row-major.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>, ParityError> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// The deviation of values from a golden's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Deviation {
    /// Largest scaled difference; infinite where only one of two values is NaN.
    pub largest: f64,
    /// Root mean square of the differences, divided by that of the golden's values.
    pub relative: f64,
}

impl Deviation {
    /// Compares two lists of the same length; differences are divided by `scale` of the expected value.
    pub fn between(got: &[f64], expected: &[f64], scale: impl Fn(f64) -> f64) -> Deviation {
        let (mut largest, mut error_squares, mut value_squares) = (0f64, 0.0, 0.0);
        for (&got, &expected) in got.iter().zip(expected) {
            let error = match (got.is_nan(), expected.is_nan()) {
                (true, true) => 0.0,
                (false, false) if got == expected => 0.0,
                (false, false) => (got - expected).abs(),
                _ => f64::INFINITY,
            };
            largest = largest.max(if error == 0.0 { 0.0 } else { error / scale(expected) });
            error_squares += error * error;
            value_squares += if expected.is_nan() { 0.0 } else { expected * expected };
        }
        Deviation {
            largest,
            relative: if error_squares == 0.0 { 0.0 } else { (error_squares / value_squares).sqrt() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_computed() {
        let absolute = |got: &[f64], expected: &[f64]| Deviation::between(got, expected, |_| 1.0);
        assert_eq!(absolute(&[1.0, f64::NAN], &[1.0, f64::NAN]), Deviation { largest: 0.0, relative: 0.0 });
        let off = absolute(&[3.0, 4.5], &[3.0, 4.0]);
        assert!((off.largest - 0.5).abs() < 1e-12 && (off.relative - 0.1).abs() < 1e-12);
        assert_eq!(absolute(&[f64::NAN], &[1.0]).largest, f64::INFINITY);
        assert_eq!(absolute(&[1.0], &[f64::NAN]).largest, f64::INFINITY);
        assert_eq!(Deviation::between(&[10.5], &[10.0], f64::abs).largest, 0.05);
    }

    #[test]
    fn a_folder_without_goldens_is_an_error() {
        let error = GoldenSet::find_all(Path::new("nowhere")).unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("--goldens"), "{error}");
        let error =
            GoldenSet::open(Path::new("nowhere/a")).golden(Stage::Backbone, "03_vit_small").err().unwrap();
        assert!(error.to_string().contains("03_vit_small"), "{error}");
    }
}
