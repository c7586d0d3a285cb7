//! Reads a golden, and compares values with it.

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// One file of goldens: tensors, and what is known about them.
pub struct Golden {
    name: String,
    tensors: HashMap<String, Tensor>,
    info: Value,
}

impl Golden {
    /// `NAME.safetensors` and `NAME.json` of a set's folder.
    pub fn open(folder: &Path, name: &str) -> Golden {
        let path = folder.join(format!("{name}.safetensors"));
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Golden { name: name.to_string(), tensors, info: json(&folder.join(format!("{name}.json"))) }
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor as it is stored.
    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("{} has no tensor {name}", self.name))
    }

    /// Dimensions of a stored tensor.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.tensor(name).dims().to_vec()
    }

    /// Values of a tensor in single precision.
    pub fn values(&self, name: &str) -> Vec<f32> {
        values_of(self.tensor(name))
    }

    /// Values of a tensor of integers.
    pub fn integers(&self, name: &str) -> Vec<i64> {
        self.tensor(name).flatten_all().unwrap().to_dtype(DType::I64).unwrap().to_vec1().unwrap()
    }

    /// Values of a tensor of indices or classes.
    pub fn indices(&self, name: &str) -> Vec<usize> {
        self.integers(name).into_iter().map(|value| usize::try_from(value).unwrap()).collect()
    }

    /// Values of a tensor of bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.tensor(name).flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Rows of a tensor of boxes: left, top, right, bottom.
    pub fn boxes(&self, name: &str) -> Vec<[f32; 4]> {
        self.values(name).chunks_exact(4).map(|row| [row[0], row[1], row[2], row[3]]).collect()
    }

    /// What the golden's JSON says below `meta`.
    pub fn meta(&self, name: &str) -> &Value {
        let value = &self.info["meta"][name];
        assert!(!value.is_null(), "{} has no meta {name}", self.name);
        value
    }

    /// Prints the largest error and asserts that it is at most `tolerance`. `ours` has the axes of the original's whole tensor;
    /// where only a part is stored, the same part of `ours` is compared.
    pub fn compare(&self, name: &str, ours: &Tensor, tolerance: f64) {
        let ours = match self.info["tensors"][name]["slice"].as_str() {
            Some(slice) => sliced(ours, slice),
            None => ours.clone(),
        };
        let expected = self.tensor(name);
        assert_eq!(ours.dims(), expected.dims(), "{}: shape of {name}", self.name);
        self.compare_values(name, &values_of(&ours), tolerance);
    }

    /// [`Golden::compare`] of a map `(b, h, w, c)` with the original's `(b, c, h, w)`.
    pub fn compare_map(&self, name: &str, ours: &Tensor, tolerance: f64) {
        self.compare(name, &ours.permute((0, 3, 1, 2)).unwrap(), tolerance);
    }

    /// [`Golden::compare`] of plain values with a tensor that is stored as a whole.
    pub fn compare_values(&self, name: &str, ours: &[f32], tolerance: f64) {
        report(&format!("{} {name}", self.name), &self.values(name), ours, tolerance);
    }

    /// [`Golden::compare`] of boxes.
    pub fn compare_boxes(&self, name: &str, ours: &[[f32; 4]], tolerance: f64) {
        self.compare_values(name, ours.as_flattened(), tolerance);
    }
}

/// Prints the largest error of values and asserts that it is at most `tolerance`.
pub fn report(what: &str, expected: &[f32], ours: &[f32], tolerance: f64) {
    assert_eq!(ours.len(), expected.len(), "{what}: number of values");
    assert!(!expected.is_empty(), "{what}: nothing to compare");
    let error = |(ours, expected): (&f32, &f32)| {
        // equal infinities have no difference; anything else that is not finite is an error
        if ours == expected { 0.0 } else { (f64::from(*ours) - f64::from(*expected)).abs() }
    };
    let errors = ours.iter().zip(expected).map(error);
    let largest = errors
        .fold(0.0, |largest: f64, error| if error.is_nan() { f64::INFINITY } else { largest.max(error) });
    println!("{what:<44} {:>8} values, largest error {largest:.1e} of {tolerance:.0e}", ours.len());
    assert!(largest <= tolerance, "{what}: largest error {largest:.3e}, tolerance {tolerance:.0e}");
}

/// Values of a tensor in single precision, in row-major order.
pub fn values_of(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of a tensor that a numpy slice such as `[:,::4,0]` selects: `start:stop:step`, or an index that removes the axis.
fn sliced(tensor: &Tensor, slice: &str) -> Tensor {
    let mut part = tensor.clone();
    let mut axis = 0;
    for text in slice.trim_matches(['[', ']']).split(',') {
        let length = part.dim(axis).unwrap();
        let fields: Vec<&str> = text.split(':').map(str::trim).collect();
        let number = |field: usize, default: usize| {
            let text = fields.get(field).copied().unwrap_or("");
            if text.is_empty() { default } else { text.parse().unwrap() }
        };
        if fields.len() == 1 {
            part = part.get_on_dim(axis, number(0, 0)).unwrap();
            continue;
        }
        let indices: Vec<u32> = (number(0, 0)..number(1, length).min(length))
            .step_by(number(2, 1))
            .map(|index| index as u32)
            .collect();
        let count = indices.len();
        let indices = Tensor::from_vec(indices, count, &Device::Cpu).unwrap();
        part = part.contiguous().unwrap().index_select(&indices, axis).unwrap();
        axis += 1;
    }
    part
}
