//! Where the goldens lie, how they are read, and how numbers are held against them.

use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;

/// One set of goldens of one project; its name starts every hashed name.
pub struct Set {
    pub name: String,
    pub folder: PathBuf,
}

/// Every set of `project` (`hmr2` or `phalp`), in order of its name.
///
/// # Panics
/// If there is none: a check that checks nothing must not pass.
pub fn sets(project: &str) -> Vec<Set> {
    let folder = root().join(project);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut sets: Vec<Set> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| Set { name: entry.file_name().into_string().unwrap(), folder: entry.path() })
        .collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!sets.is_empty(), "{} holds no set of goldens", folder.display());
    sets
}

/// The folder of all goldens.
pub fn root() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    std::env::var_os("POSEBOOK_GOLDENS").map_or_else(default, PathBuf::from)
}

/// One golden: tensors and what is known about them.
pub struct Golden {
    label: String,
    tensors: HashMap<String, Tensor>,
    pub json: serde_json::Value,
}

impl Set {
    /// The golden `name` (`"03_vit_small"`, say): `name.safetensors` and `name.json`.
    pub fn golden(&self, name: &str) -> Golden {
        let path = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        let text = std::fs::read_to_string(path("json"));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path("json").display()));
        let tensors = candle_core::safetensors::load(path("safetensors"), &Device::Cpu);
        let tensors = tensors.unwrap_or_else(|error| panic!("{}: {error}", path("safetensors").display()));
        Golden { label: format!("{}/{name}", self.name), tensors, json: serde_json::from_str(&text).unwrap() }
    }

    /// The name that is hashed for `key`.
    pub fn hashed(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }
}

impl Golden {
    pub fn tensor(&self, key: &str) -> &Tensor {
        self.tensors.get(key).unwrap_or_else(|| panic!("{} has no tensor {key}", self.label))
    }

    /// A tensor's values, row-major.
    pub fn f32(&self, key: &str) -> Vec<f32> {
        values(self.tensor(key))
    }

    pub fn f64(&self, key: &str) -> Vec<f64> {
        let tensor = self.tensor(key).to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    pub fn u8(&self, key: &str) -> Vec<u8> {
        self.tensor(key).flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Holds `got` against the tensor `key`: NaN where it is NaN, else within `tolerance`.
    pub fn close(&self, key: &str, got: &[f32], tolerance: f64) {
        self.close_by(key, got, |_| tolerance);
    }

    /// As [`Golden::close`], each value with the tolerance that its golden value asks for.
    pub fn close_by(&self, key: &str, got: &[f32], tolerance: impl Fn(f32) -> f64) {
        let want = self.f32(key);
        assert_eq!(got.len(), want.len(), "{} {key}: another number of values", self.label);
        let (mut worst, mut worst_share, mut at) = (0f64, 0f64, 0);
        for (index, (&got, &want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got.is_nan(), want.is_nan(), "{} {key}[{index}]: {got}, not {want}", self.label);
            let error = if got.is_nan() || got == want { 0.0 } else { (got as f64 - want as f64).abs() };
            worst = worst.max(error);
            let share = error / tolerance(want);
            if share > worst_share {
                (worst_share, at) = (share, index);
            }
        }
        println!(
            "{:<22} {key:<28} largest error {worst:.1e} ({:.0}% of what is allowed)",
            self.label,
            100.0 * worst_share
        );
        assert!(worst_share <= 1.0, "{} {key}[{at}]: {}, not {}", self.label, got[at], want[at]);
    }
}

/// A tensor's values as `f32`, row-major.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}
