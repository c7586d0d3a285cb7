//! Reading goldens: tensors that the original gave, by name, and what is told beside them.

use super::{ParityError, Stage};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One set of HMR2's goldens; its name starts every hashed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    pub name: String,
    pub folder: PathBuf,
}

impl Set {
    /// The set in a folder (`.../hmr2/<set>`).
    pub fn at(folder: &Path) -> Set {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Set { name, folder: folder.to_path_buf() }
    }

    /// The sets below `goldens/hmr2`, by name.
    ///
    /// # Errors
    /// If there is none: a check that checks nothing must not pass.
    pub fn all(goldens: &Path) -> Result<Vec<Set>, ParityError> {
        let folder = goldens.join("hmr2");
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut sets: Vec<Set> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .map(|path| Set::at(&path))
            .collect();
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        if sets.is_empty() { Err(ParityError::NoGoldens { folder }) } else { Ok(sets) }
    }

    /// The name that is hashed for `key`.
    pub fn hashed(&self, key: &str) -> String {
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

/// One golden: its tensors on the CPU, and its metadata.
pub struct Golden {
    name: String,
    stage: Stage,
    tensors: HashMap<String, Tensor>,
    json: Value,
}

impl Golden {
    /// Set and file.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    pub fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

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

    /// A tensor's rows of `N` numbers.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn rows<const N: usize>(&self, key: &str) -> Result<Vec<[f32; N]>, ParityError> {
        Ok(self.f32(key)?.as_chunks::<N>().0.to_vec())
    }

    /// What is told at a JSON pointer, if anything.
    pub fn find(&self, pointer: &str) -> Option<&Value> {
        self.json.pointer(pointer)
    }

    /// What is told at a JSON pointer.
    ///
    /// # Errors
    /// If nothing is.
    pub fn told(&self, pointer: &str) -> Result<&Value, ParityError> {
        self.find(pointer).ok_or_else(|| self.untold(pointer))
    }

    /// A number told at a JSON pointer.
    ///
    /// # Errors
    /// If there is none.
    pub fn number(&self, pointer: &str) -> Result<f64, ParityError> {
        self.told(pointer)?.as_f64().ok_or_else(|| self.untold(pointer))
    }

    /// The numbers of an array of any depth told at a JSON pointer.
    ///
    /// # Errors
    /// If there is none.
    pub fn numbers(&self, pointer: &str) -> Result<Vec<f64>, ParityError> {
        fn gather(value: &Value, into: &mut Vec<f64>) -> Option<()> {
            match value {
                Value::Array(values) => values.iter().try_for_each(|value| gather(value, into)),
                value => value.as_f64().map(|number| into.push(number)),
            }
        }
        let mut numbers = Vec::new();
        gather(self.told(pointer)?, &mut numbers).ok_or_else(|| self.untold(pointer))?;
        Ok(numbers)
    }

    fn untold(&self, pointer: &str) -> ParityError {
        ParityError::Untold { golden: self.name.clone(), pointer: pointer.to_string() }
    }
}

/// A tensor's values as `f32`, row-major.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>, ParityError> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// How far values are from a golden's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Distance {
    /// Largest difference, over what it is measured by; infinite where one is no number and the other is.
    pub largest: f64,
    /// Root of the mean square of the differences over that of the golden's values.
    pub relative: f64,
}

impl Distance {
    /// Of two lists of one length; a difference is measured by what `by` says of the wanted value.
    pub fn between(got: &[f64], wanted: &[f64], by: impl Fn(f64) -> f64) -> Distance {
        let (mut largest, mut off, mut whole) = (0f64, 0.0, 0.0);
        for (&got, &wanted) in got.iter().zip(wanted) {
            let error = match (got.is_nan(), wanted.is_nan()) {
                (true, true) => 0.0,
                (false, false) if got == wanted => 0.0,
                (false, false) => (got - wanted).abs(),
                _ => f64::INFINITY,
            };
            largest = largest.max(if error == 0.0 { 0.0 } else { error / by(wanted) });
            off += error * error;
            whole += if wanted.is_nan() { 0.0 } else { wanted * wanted };
        }
        Distance { largest, relative: if off == 0.0 { 0.0 } else { (off / whole).sqrt() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told() {
        let plain = |got: &[f64], wanted: &[f64]| Distance::between(got, wanted, |_| 1.0);
        assert_eq!(plain(&[1.0, f64::NAN], &[1.0, f64::NAN]), Distance { largest: 0.0, relative: 0.0 });
        let off = plain(&[3.0, 4.5], &[3.0, 4.0]);
        assert!((off.largest - 0.5).abs() < 1e-12 && (off.relative - 0.1).abs() < 1e-12);
        assert_eq!(plain(&[f64::NAN], &[1.0]).largest, f64::INFINITY);
        assert_eq!(plain(&[1.0], &[f64::NAN]).largest, f64::INFINITY);
        assert_eq!(Distance::between(&[10.5], &[10.0], f64::abs).largest, 0.05);
    }

    #[test]
    fn a_folder_without_goldens_is_told() {
        let error = Set::all(Path::new("nowhere")).unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("--goldens"), "{error}");
        let error = Set::at(Path::new("nowhere/a")).golden(Stage::Backbone, "03_vit_small").err().unwrap();
        assert!(error.to_string().contains("03_vit_small"), "{error}");
    }
}
