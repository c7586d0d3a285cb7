//! The synthetic SMPL body of the goldens: 6,890 vertices from a formula.

use super::ParityError;
use super::golden::GoldenSet;
use candle_core::{Device, Result, Tensor};
use posebook_core::geometry::Mat3;
use posebook_core::person::SmplParams;
use posebook_models::body::Body;
use posebook_models::hmr2::formula::{fill, integers_below};
use std::collections::HashMap;
use std::path::Path;

const VERTICES: usize = 6890;
const FACES: usize = 13776;
const PARENTS: [i64; 24] = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21];
/// Rest positions of the joints, centimeters.
const REST: [[i32; 3]; 24] = [
    [0, -20, 0],
    [8, -30, 0],
    [-8, -30, 0],
    [0, -10, -2],
    [11, -70, 0],
    [-11, -70, 0],
    [0, 4, -2],
    [10, -110, -4],
    [-10, -110, -4],
    [0, 10, 0],
    [12, -116, 8],
    [-12, -116, 8],
    [0, 30, -4],
    [8, 20, -2],
    [-8, 20, -2],
    [0, 38, 0],
    [18, 22, -2],
    [-18, 22, -2],
    [44, 20, -4],
    [-44, 20, -4],
    [68, 20, -4],
    [-68, 20, -4],
    [76, 20, -4],
    [-76, 20, -4],
];

/// The synthetic body of `set`.
///
/// # Errors
/// If there is not enough memory.
pub fn synthetic_body(set: &GoldenSet) -> std::result::Result<Body, ParityError> {
    let name = |key: &str| set.hashed_name(&format!("smpl.{key}"));
    let filled = |key: &str, shape: &[usize], scale: f64| {
        floats(fill(&name(key), shape.iter().product(), &[0.0], scale), shape)
    };
    let rest: Vec<f64> =
        (0..VERTICES).flat_map(|v| REST[v % 24].map(|centimeters| f64::from(centimeters) / 100.0)).collect();
    let faces = integers_below(&name("faces_tensor"), FACES * 3, VERTICES as u64)
        .into_iter()
        .map(|v| v as i64)
        .collect();
    let extra_homes: Vec<usize> = (0..19).map(|row| (5 * row + 1) % 24).collect();
    let tensors = HashMap::from([
        ("v_template", floats(fill(&name("v_template"), VERTICES * 3, &rest, 0.1), &[VERTICES, 3])?),
        ("shapedirs", filled("shapedirs", &[VERTICES, 3, 10], 0.02)?),
        ("posedirs", filled("posedirs", &[207, VERTICES * 3], 0.004)?),
        ("J_regressor", regressor(&name("J_regressor"), &(0..24).collect::<Vec<_>>())?),
        ("joint_regressor_extra", regressor(&name("joint_regressor_extra"), &extra_homes)?),
        ("lbs_weights", weights(&name("lbs_weights"))?),
        ("faces_tensor", integers(faces, &[FACES, 3])?),
        ("parents", integers(PARENTS.to_vec(), &[24])?),
    ]);
    let tensors = tensors.into_iter().map(|(key, tensor)| (key.to_string(), tensor)).collect();
    Ok(Body::from_tensors(&tensors, Path::new("the goldens' body"))?)
}

fn floats(values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn integers(values: Vec<i64>, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Regressor rows of 32 random weights each, on vertices of the row's home joint.
fn regressor(name: &str, homes: &[usize]) -> Result<Tensor> {
    let draws = homes.len() * 32;
    let picks = integers_below(&format!("{name}.index"), draws, (VERTICES / 24) as u64);
    let shares = integers_below(&format!("{name}.value"), draws, 1000);
    let mut rows = vec![0u64; homes.len() * VERTICES];
    for draw in 0..draws {
        let row = draw / 32;
        rows[row * VERTICES + homes[row] + 24 * picks[draw] as usize] += 1 + shares[draw];
    }
    normalize_rows(&rows, VERTICES)
}

/// Skinning weights: mostly the home joint, and three others.
fn weights(name: &str) -> Result<Tensor> {
    let joints = integers_below(&format!("{name}.index"), VERTICES * 3, 24);
    let shares = integers_below(&format!("{name}.value"), VERTICES * 3, 500);
    let mut rows = vec![0u64; VERTICES * 24];
    for vertex in 0..VERTICES {
        rows[vertex * 24 + vertex % 24] += 1000;
        for draw in vertex * 3..vertex * 3 + 3 {
            rows[vertex * 24 + joints[draw] as usize] += 1 + shares[draw];
        }
    }
    normalize_rows(&rows, 24)
}

/// Divides rows by their sums.
fn normalize_rows(rows: &[u64], columns: usize) -> Result<Tensor> {
    let shares = rows.chunks_exact(columns).flat_map(|row| {
        let total: u64 = row.iter().sum();
        row.iter().map(move |&value| (value as f64 / total as f64) as f32)
    });
    floats(shares.collect(), &[rows.len() / columns, columns])
}

/// The parameters of a batch from flat values: `betas` (b, 10), `orients` (b, 1, 3, 3), `poses` (b, 23, 3, 3).
pub fn params(betas: &[f32], orients: &[f32], poses: &[f32]) -> Vec<SmplParams> {
    let matrix = |values: &[f32]| -> Mat3 {
        std::array::from_fn(|row| std::array::from_fn(|column| values[row * 3 + column]))
    };
    (0..betas.len() / 10)
        .map(|body| SmplParams {
            betas: std::array::from_fn(|index| betas[body * 10 + index]),
            global_orient: matrix(&orients[body * 9..]),
            body_pose: std::array::from_fn(|joint| matrix(&poses[(body * 23 + joint) * 9..])),
        })
        .collect()
}
