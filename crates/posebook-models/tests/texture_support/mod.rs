//! Formula inputs and files of the goldens of textures (`tests/goldens/phalp/make_inputs.py`, `make_inputs_g11.py`).

use candle_core::{DType, Device, Tensor};
use posebook_models::hmr2::formula::{fill, fill_f64, hash};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;

pub const SIDE: usize = 256;
pub const TEXELS: usize = SIDE * SIDE;
/// Vertices round and along the tube.
const AROUND: usize = 16;
const ALONG: usize = 17;

/// `count` uniform numbers in [0, 1).
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    (0..count as u64).map(|index| hash(name, index) as f64 * 2f64.powi(-53)).collect()
}

/// Repeats each cell of a `grid` x `grid` lattice as a block of a 256 x 256 plane.
pub fn blocks<T: Copy>(lattice: &[T], grid: usize) -> Vec<T> {
    let side = SIDE / grid;
    (0..TEXELS).map(|index| lattice[(index / SIDE / side) * grid + index % SIDE / side]).collect()
}

/// A map of color noise, of which blocks are masked.
pub fn uv_static(name: &str, grid: usize, keep: f64) -> Vec<f32> {
    let mut values = fill(&format!("{name}/rgb"), 3 * TEXELS, &[0.0], 0.5);
    let lattice: Vec<f32> = uniform(&format!("{name}/mask"), grid * grid)
        .into_iter()
        .map(|u| if u < keep { 1.0 } else { -1.0 })
        .collect();
    let mask = blocks(&lattice, grid);
    for (index, value) in values.iter_mut().enumerate() {
        if mask[index % TEXELS] < 0.0 {
            *value = 0.0;
        }
    }
    values.extend(mask);
    values
}

/// Two raw textures before `process_uv_image`, `(2, 4, 256, 256)`.
pub fn uv_raw(name: &str) -> Vec<f32> {
    let colors = fill(&format!("{name}/rgb"), 2 * 3 * TEXELS, &[0.0], 2.5);
    let choices = uniform(&format!("{name}/q"), 2 * TEXELS);
    let mut values = Vec::with_capacity(2 * 4 * TEXELS);
    for (colors, choices) in colors.chunks(3 * TEXELS).zip(choices.chunks(TEXELS)) {
        values.extend_from_slice(colors);
        values.extend(choices.iter().map(|u| [0.0, 0.3, 1.0, 255.0][(4.0 * u) as usize]));
    }
    values
}

/// The triangles of the tube; those of every second cell are turned round.
pub fn tube_faces() -> Vec<[u32; 3]> {
    let mut faces = Vec::new();
    for (i, j) in (0..ALONG - 1).flat_map(|i| (0..AROUND).map(move |j| (i, j))) {
        let next = (j + 1) % AROUND;
        let [a, b, c, d] = [i * AROUND + j, (i + 1) * AROUND + j, (i + 1) * AROUND + next, i * AROUND + next]
            .map(|vertex| vertex as u32);
        faces.extend(match (i + j) % 2 {
            0 => [[a, b, c], [a, c, d]],
            _ => [[c, b, a], [d, c, a]],
        });
    }
    faces
}

/// Faces and weights of the texels: each cell of the tube is a square of 16 x 16 texels, with holes.
pub fn tube_grid_map(name: &str) -> (Vec<i64>, Vec<f32>) {
    let hole = blocks(&uniform(&format!("{name}/hole"), 256), 16);
    let (mut faces, mut weights) = (Vec::new(), Vec::new());
    for (index, hole) in hole.into_iter().enumerate() {
        let (row, column) = (index / SIDE, index % SIDE);
        let (i, j) = (row / 16, column / 16);
        let [a, b] = [row, column].map(|at| ((at % 16) as f64 + 0.5) / 16.0);
        let is_first = b <= a;
        let mut weight = if is_first { [1.0 - a, a - b, b] } else { [1.0 - b, a, b - a] };
        if (i + j) % 2 == 1 {
            weight.reverse();
        }
        let face = 2 * (i * AROUND + j) + usize::from(!is_first);
        faces.push(if hole < 0.15 { -1 } else { face as i64 });
        weights.extend(weight.map(|weight| if hole < 0.15 { 0.0 } else { weight as f32 }));
    }
    (faces, weights)
}

/// Random faces and weights of the texels.
pub fn random_map(name: &str, face_count: usize) -> (Vec<i64>, Vec<f32>) {
    let faces = uniform(&format!("{name}/face"), TEXELS);
    let valid = uniform(&format!("{name}/valid"), TEXELS);
    let weights = uniform(&format!("{name}/weights"), 3 * TEXELS);
    let mut found = (Vec::new(), Vec::new());
    for ((face, valid), weight) in faces.into_iter().zip(valid).zip(weights.chunks(3)) {
        let sum: f64 = weight[0] + weight[1] + weight[2];
        found.0.push(if valid < 0.9 { (face * face_count as f64).floor() as i64 } else { -1 });
        found.1.extend(weight.iter().map(|weight| if valid < 0.9 { (weight / sum) as f32 } else { 0.0 }));
    }
    found
}

/// A crop as 4D-Humans' `process_image` and `process_mask` leave it, `(4, 256, 256)`.
pub fn picture(name: &str) -> Vec<f32> {
    let coarse = fill_f64(&format!("{name}/rgb"), 3 * 1024, &[0.0], 1.5);
    let fine = fill_f64(&format!("{name}/fine"), 3 * TEXELS, &[0.0], 0.5);
    let mut values = Vec::with_capacity(4 * TEXELS);
    for (coarse, fine) in coarse.chunks(1024).zip(fine.chunks(TEXELS)) {
        values.extend(blocks(coarse, 32).iter().zip(fine).map(|(coarse, fine)| (coarse + fine) as f32));
    }
    let keep = uniform(&format!("{name}/keep"), 1024);
    let lattice: Vec<f32> = uniform(&format!("{name}/q"), 1024)
        .into_iter()
        .enumerate()
        .map(|(index, u)| {
            let (x, y) = ((index % 32) as f64 - 15.5, (index / 32) as f64 - 15.5);
            let is_kept = x * x / 81.0 + y * y / 196.0 < 1.0 && keep[index] < 0.7;
            match (4.0 * u) as usize {
                0 if is_kept => 255.0,
                choice => [0.0, 1.0, 128.0, 255.0][choice],
            }
        })
        .collect();
    values.extend(blocks(&lattice, 32));
    values
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/phalp/a").join(file)
}

pub fn json(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(file)).unwrap()).unwrap()
}

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// The tensors of a golden file.
pub struct Goldens(HashMap<String, Tensor>);

impl Goldens {
    pub fn load(file: &str) -> Goldens {
        Goldens(candle_core::safetensors::load(path(file), &Device::Cpu).unwrap())
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn floats(&self, key: &str) -> Vec<f32> {
        self.0[key].flatten_all().unwrap().to_vec1().unwrap()
    }

    pub fn signed(&self, key: &str) -> Vec<i64> {
        let values = self.0[key].to_dtype(DType::I64).unwrap();
        values.flatten_all().unwrap().to_vec1().unwrap()
    }

    pub fn indices(&self, key: &str) -> Vec<usize> {
        self.signed(key).into_iter().map(|index| index as usize).collect()
    }

    /// The bits of bytes, lowest first.
    pub fn bits(&self, key: &str) -> Vec<bool> {
        let bytes: Vec<u8> = self.0[key].to_vec1().unwrap();
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect()
    }
}

/// The largest difference of two lists.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let difference = |(a, b): (&f32, &f32)| if a == b { 0.0 } else { (a - b).abs() };
    let largest = a.iter().zip(b).map(difference).fold(0.0, f32::max);
    assert!(a.iter().chain(b).all(|value| value.is_finite()));
    largest
}
