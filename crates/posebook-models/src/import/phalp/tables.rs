//! The tables of PHALP's files: UV maps, faces and texture coordinates.

use crate::appearance::maps::{FACES_KEY, WEIGHTS_KEY};
use crate::import::ImportError;
use crate::pickle::array::{Array, Values};
use crate::pickle::npz::{Npz, read_npy_file};
use candle_core::{Device, Tensor};
use posebook_core::appearance::UV_SIDE;
use std::collections::BTreeMap;
use std::path::Path;

/// bmap_256.npy has 1.5 MB in double precision.
const MAX_BYTES: u64 = 1 << 24;

/// Tensors of one output file by name.
pub type Tables = BTreeMap<String, Tensor>;

/// Reads `fmap_256.npy` and `bmap_256.npy`.
///
/// # Errors
/// If a file cannot be read, or does not hold the map.
pub fn read_maps(fmap: &Path, bmap: &Path) -> Result<Tables, ImportError> {
    let faces = one_array(fmap)?;
    if faces.shape != [UV_SIDE, UV_SIDE] {
        return Err(wrong_shape(fmap, &faces, "[256, 256], the face of each texel"));
    }
    let weights = one_array(bmap)?;
    if weights.shape != [UV_SIDE, UV_SIDE, 3] {
        return Err(wrong_shape(
            bmap,
            &weights,
            "[256, 256, 3], the weights of the corners of each texel's face",
        ));
    }
    let faces = integers(&faces, fmap)?;
    if let Some(face) = faces.iter().find(|face| **face > i64::from(i32::MAX)) {
        return Err(ImportError::invalid(fmap, format!("holds {face}, which is no face")));
    }
    let values = weights.to_f32();
    crate::import::weights::check_finite(&values, WEIGHTS_KEY, bmap)?;
    Ok(BTreeMap::from([
        (FACES_KEY.to_string(), tensor(Tensor::from_vec(faces, (UV_SIDE, UV_SIDE), &Device::Cpu), fmap)?),
        (
            WEIGHTS_KEY.to_string(),
            tensor(Tensor::from_vec(values, (UV_SIDE, UV_SIDE, 3), &Device::Cpu), bmap)?,
        ),
    ]))
}

/// Reads the faces and texture coordinates of `texture.npz`, and `head_faces.npy`, whichever is given.
///
/// # Errors
/// If a file cannot be read, or an array is missing or has another form.
pub fn read_mesh(texture: Option<&Path>, head_faces: Option<&Path>) -> Result<Tables, ImportError> {
    let mut tables = Tables::new();
    if let Some(path) = texture {
        let mut file = Npz::open(path, MAX_BYTES).map_err(ImportError::pickle(path))?;
        for name in ["smpl_faces", "vt", "ft"] {
            let array = file.get(name).map_err(ImportError::pickle(path))?;
            let array = array.ok_or_else(|| ImportError::invalid(path, format!("has no array `{name}`")))?;
            tables.insert(
                name.into(),
                if name == "vt" { points(&array, path)? } else { triangles(&array, path)? },
            );
        }
    }
    if let Some(path) = head_faces {
        tables.insert("head_faces".into(), triangles(&one_array(path)?, path)?);
    }
    Ok(tables)
}

fn one_array(path: &Path) -> Result<Array, ImportError> {
    let mut arrays = read_npy_file(path, MAX_BYTES).map_err(ImportError::pickle(path))?;
    match (arrays.pop(), arrays.is_empty()) {
        (Some(array), true) => Ok(array),
        _ => Err(ImportError::invalid(path, "is an array of objects, where one of numbers is needed")),
    }
}

fn triangles(array: &Array, path: &Path) -> Result<Tensor, ImportError> {
    let [count, 3] = array.shape[..] else {
        return Err(wrong_shape(path, array, "[faces, 3]"));
    };
    let corners = integers(array, path)?;
    if let Some(corner) = corners.iter().find(|corner| !(0..i64::from(i32::MAX)).contains(*corner)) {
        return Err(ImportError::invalid(path, format!("a face has corner {corner}")));
    }
    tensor(Tensor::from_vec(corners, (count, 3), &Device::Cpu), path)
}

fn points(array: &Array, path: &Path) -> Result<Tensor, ImportError> {
    let [count, axes @ 2..=3] = array.shape[..] else {
        return Err(wrong_shape(path, array, "[points, 2]"));
    };
    let values = array.to_f32();
    crate::import::weights::check_finite(&values, "vt", path)?;
    tensor(Tensor::from_vec(values, (count, axes), &Device::Cpu), path)
}

/// The values of an array of integers, which may be stored as floats.
fn integers(array: &Array, path: &Path) -> Result<Vec<i64>, ImportError> {
    if let Values::Int(values) = &array.values {
        return Ok(values.clone());
    }
    let values = array.to_f64();
    // every integer below 2^53 is a double
    match values
        .iter()
        .position(|value| value.fract() != 0.0 || value.abs() > 2f64.powi(53) || value.is_nan())
    {
        Some(index) => {
            Err(ImportError::invalid(path, format!("value {index} is {}, not an integer", values[index])))
        }
        None => Ok(values.into_iter().map(|value| value as i64).collect()),
    }
}

fn wrong_shape(path: &Path, array: &Array, wanted: &str) -> ImportError {
    ImportError::invalid(path, format!("has shape {:?}, but {wanted} is needed", array.shape))
}

fn tensor(made: candle_core::Result<Tensor>, path: &Path) -> Result<Tensor, ImportError> {
    made.map_err(|error| ImportError::invalid(path, error))
}
