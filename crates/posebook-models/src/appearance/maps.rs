//! Which point of a body's surface each texel of a UV map shows.
//!
//! In: a body's atlas ([`UvMaps::bake`]), or the maps `fmap` and `bmap` of another layout ([`UvMaps::load`]). Out: for each
//! texel that lies on the surface its face and the weights of the face's corners. The published encoder was trained with the
//! maps of 4D-Humans (`fmap_256.npy`, `bmap_256.npy`), which are made for SMPL's faces.

use super::AppearanceError;
use crate::body::{Body, Uv};
use candle_core::{DType, Device, Tensor};
use posebook_core::appearance::{UV_SIDE, UV_TEXELS};
use std::collections::HashMap;
use std::path::Path;

/// Tensor of a maps file: the face of each texel, or -1; integers, `(256, 256)`.
pub const FACES_KEY: &str = "fmap";
/// Tensor of a maps file: weights of the face's corners, in their order, `(256, 256, 3)`; ignored where there is no face.
pub const WEIGHTS_KEY: &str = "bmap";

/// How far outside of a triangle a texel's center may lie to count as inside, in units of its weights.
const EDGE: f64 = 1e-9;
/// Twice the area of the smallest triangle that is filled, square texels.
const SMALLEST_AREA: f64 = 1e-12;

/// A texel that shows a point of the surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texel {
    /// Its index in the map, row-major.
    pub index: u32,
    /// The face it lies on.
    pub face: u32,
    /// Weights of the face's corners, in their order. Used as they are: their sum need not be 1.
    pub weights: [f32; 3],
}

/// The texels of a body's UV map.
#[derive(Debug, Clone, PartialEq)]
pub struct UvMaps {
    texels: Vec<Texel>,
    faces: Vec<[u32; 3]>,
    vertex_count: usize,
}

impl UvMaps {
    /// The maps of a body's own atlas.
    ///
    /// The center of the texel in row r and column c is u = (c + 0.5) / 256, v = 1 - (r + 0.5) / 256. Where triangles of the
    /// atlas overlap, the last one counts.
    ///
    /// # Errors
    /// [`AppearanceError::NoAtlas`] if the body has none, and [`AppearanceError::Maps`] if it is that of another mesh.
    pub fn bake(body: &Body) -> Result<UvMaps, AppearanceError> {
        let Some(uv) = &body.uv else { return Err(AppearanceError::NoAtlas) };
        let origin = "of the body's atlas";
        if uv.faces.len() != body.faces.len() {
            return Err(maps_error(
                origin,
                format!(
                    "the atlas has {} faces and the mesh {}; `uv_faces` has to be that of the same mesh",
                    uv.faces.len(),
                    body.faces.len()
                ),
            ));
        }
        if let Some(corner) =
            uv.faces.as_flattened().iter().find(|&&corner| corner as usize >= uv.points.len())
        {
            let count = uv.points.len();
            return Err(maps_error(origin, format!("a face refers to point {corner} of {count}")));
        }
        let mut texels: Vec<Option<Texel>> = vec![None; UV_TEXELS];
        for face in 0..uv.faces.len() {
            for texel in texels_of_face(uv, face) {
                texels[texel.index as usize] = Some(texel);
            }
        }
        let maps = UvMaps {
            texels: texels.into_iter().flatten().collect(),
            faces: body.faces.clone(),
            vertex_count: body.vertex_count(),
        };
        maps.check_corners(origin)?;
        Ok(maps)
    }

    /// Reads maps of `body`'s mesh from a safetensors file with the tensors [`FACES_KEY`] and [`WEIGHTS_KEY`].
    ///
    /// # Errors
    /// If the file cannot be read, or as [`UvMaps::from_tensors`].
    pub fn load(path: &Path, body: &Body) -> Result<UvMaps, AppearanceError> {
        let origin = path.display().to_string();
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)
            .map_err(|error| maps_error(&origin, format!("{error}; import them again")))?;
        UvMaps::from_tensors(&tensors, body, &origin)
    }

    /// Maps of `body`'s mesh from tensors by name; `origin` is named in errors.
    ///
    /// # Errors
    /// If a tensor is missing, has another shape or values that are not finite, or names a face that the mesh does not have.
    pub fn from_tensors(
        tensors: &HashMap<String, Tensor>,
        body: &Body,
        origin: &str,
    ) -> Result<UvMaps, AppearanceError> {
        let find = |key: &str, shape: &[usize]| {
            let tensor = tensors.get(key).ok_or_else(|| {
                maps_error(
                    origin,
                    format!("there is no tensor `{key}`; import bmap_256.npy and fmap_256.npy again"),
                )
            })?;
            if tensor.dims() != shape {
                let found = tensor.dims();
                return Err(maps_error(
                    origin,
                    format!("`{key}` has shape {found:?}, but {shape:?} is needed"),
                ));
            }
            let values =
                tensor.to_dtype(DType::F64).and_then(|tensor| tensor.flatten_all()?.to_vec1::<f64>());
            values.map_err(|error| maps_error(origin, format!("`{key}` cannot be read: {error}")))
        };
        let faces = find(FACES_KEY, &[UV_SIDE, UV_SIDE])?;
        let weights = find(WEIGHTS_KEY, &[UV_SIDE, UV_SIDE, 3])?;
        if let Some(index) = faces.iter().position(|face| face.fract() != 0.0 || !face.is_finite()) {
            let face = faces[index];
            return Err(maps_error(
                origin,
                format!("`{FACES_KEY}` holds {face} at texel {index}, which is no face"),
            ));
        }
        let faces: Vec<i64> = faces.into_iter().map(|face| face as i64).collect();
        let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
        UvMaps::from_values(&faces, &weights, &body.faces, body.vertex_count(), origin)
    }

    /// Maps from the face of each texel (256 x 256, negative where there is none) and the weights of its corners (256 x 256 x 3),
    /// for a mesh of `vertex_count` vertices with the triangles `mesh`.
    ///
    /// # Errors
    /// If a length is wrong, a weight is not finite, or a face is not one of the mesh's.
    pub fn from_values(
        faces: &[i64],
        weights: &[f32],
        mesh: &[[u32; 3]],
        vertex_count: usize,
        origin: &str,
    ) -> Result<UvMaps, AppearanceError> {
        let (weights, rest) = weights.as_chunks::<3>();
        if faces.len() != UV_TEXELS || weights.len() != UV_TEXELS || !rest.is_empty() {
            let found = (faces.len(), 3 * weights.len() + rest.len());
            return Err(maps_error(
                origin,
                format!("they have {} faces and {} weights instead of 65536 and 196608", found.0, found.1),
            ));
        }
        let mut texels = Vec::with_capacity(UV_TEXELS);
        for (index, (&face, &weights)) in faces.iter().zip(weights).enumerate() {
            if face < 0 {
                continue;
            }
            if face >= mesh.len() as i64 {
                return Err(maps_error(
                    origin,
                    format!(
                        "texel {index} shows face {face}, but the body has {} faces; use the maps of the body's own mesh \
                         (those of 4D-Humans are for SMPL)",
                        mesh.len()
                    ),
                ));
            }
            if weights.iter().any(|weight| !weight.is_finite()) {
                return Err(maps_error(origin, format!("the weights of texel {index} are {weights:?}")));
            }
            texels.push(Texel { index: index as u32, face: face as u32, weights });
        }
        let maps = UvMaps { texels, faces: mesh.to_vec(), vertex_count };
        maps.check_corners(origin)?;
        Ok(maps)
    }

    /// The texels that lie on the surface, in the order of their indices.
    pub fn texels(&self) -> &[Texel] {
        &self.texels
    }

    /// Triangles of the mesh.
    pub fn faces(&self) -> &[[u32; 3]] {
        &self.faces
    }

    /// Number of vertices of the mesh.
    pub fn vertex_count(&self) -> usize {
        self.vertex_count
    }

    /// Checks that there is a texel, and that all corners of the mesh are vertices.
    fn check_corners(&self, origin: &str) -> Result<(), AppearanceError> {
        if self.texels.is_empty() {
            return Err(maps_error(origin, "no texel lies on a face".into()));
        }
        let outside = |&&corner: &&u32| corner as usize >= self.vertex_count;
        match self.faces.as_flattened().iter().find(outside) {
            Some(corner) => {
                let count = self.vertex_count;
                Err(maps_error(
                    origin,
                    format!("the mesh has {count} vertices, but a face refers to vertex {corner}"),
                ))
            }
            None => Ok(()),
        }
    }
}

fn maps_error(origin: &str, message: String) -> AppearanceError {
    AppearanceError::Maps { origin: origin.to_string(), message }
}

/// The texels whose centers lie in a face's triangle of the atlas, edges included.
fn texels_of_face(uv: &Uv, face: usize) -> Vec<Texel> {
    let side = UV_SIDE as f64;
    // texel centers are at integers
    let corners = uv.faces[face].map(|corner| {
        let [u, v] = uv.points[corner as usize];
        [f64::from(u * UV_SIDE as f32 - 0.5), (1.0 - f64::from(v)) * side - 0.5]
    });
    let [origin, first, second] = corners;
    let edge = |corner: [f64; 2]| [corner[0] - origin[0], corner[1] - origin[1]];
    let (first, second) = (edge(first), edge(second));
    let determinant = first[0] * second[1] - first[1] * second[0];
    let range = |axis: usize| {
        let values = corners.map(|corner| corner[axis]);
        let low = values.into_iter().fold(f64::INFINITY, f64::min);
        let high = values.into_iter().fold(f64::NEG_INFINITY, f64::max);
        // an empty range where a value is NaN
        let first = (low - 1e-6).ceil().max(0.0);
        let last = (high + 1e-6).floor().min(side - 1.0);
        if first <= last { first as usize..last as usize + 1 } else { 0..0 }
    };
    if determinant.is_nan() || determinant.abs() < SMALLEST_AREA {
        return Vec::new();
    }
    let columns = range(0);
    let mut texels = Vec::new();
    for row in range(1) {
        for column in columns.clone() {
            let (x, y) = (column as f64 - origin[0], row as f64 - origin[1]);
            let weight_1 = (x * second[1] - y * second[0]) / determinant;
            let weight_2 = (y * first[0] - x * first[1]) / determinant;
            let weights = [1.0 - weight_1 - weight_2, weight_1, weight_2];
            if weights.iter().all(|&weight| weight >= -EDGE) {
                texels.push(Texel {
                    index: (row * UV_SIDE + column) as u32,
                    face: face as u32,
                    weights: weights.map(|weight| weight as f32),
                });
            }
        }
    }
    texels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<UvMaps, AppearanceError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_triangle_covers_the_texels_inside() {
        let mut body = Body::built_in();
        body.faces.truncate(1);
        // the left upper quarter of the map, as one right triangle
        let points = vec![[0.0, 1.0], [0.5, 1.0], [0.0, 0.5]];
        body.uv = Some(Uv { points, faces: vec![[0, 1, 2]] });
        let maps = UvMaps::bake(&body).unwrap();
        // 128 rows of 128, 127, ... texels: centers on the diagonal count
        assert_eq!(maps.texels().len(), 128 * 129 / 2);
        let first = maps.texels()[0];
        assert_eq!((first.index, first.face), (0, 0));
        let half = 0.5 / 128.0;
        for (found, expected) in first.weights.iter().zip([1.0 - 2.0 * half, half, half]) {
            assert!((found - expected).abs() < 1e-6, "{:?}", first.weights);
        }
    }

    #[test]
    fn maps_that_do_not_fit_are_errors_that_say_what_to_do() {
        let body = Body::built_in();
        let mut without = body.clone();
        without.uv = None;
        assert!(message(UvMaps::bake(&without)).contains("fmap_256.npy"));
        let mut other = body.clone();
        other.uv.as_mut().unwrap().faces.pop();
        assert!(message(UvMaps::bake(&other)).contains("5195 faces and the mesh 5196"));
        let (mut faces, mut weights) = (vec![-1; UV_TEXELS], vec![0.0; 3 * UV_TEXELS]);
        let maps = |faces: &[i64], weights: &[f32]| {
            UvMaps::from_values(faces, weights, &body.faces, body.vertex_count(), "for a test")
        };
        assert!(message(maps(&faces, &weights)).contains("no texel lies on a face"));
        assert!(message(maps(&faces[1..], &weights)).contains("65535 faces"));
        faces[7] = 5195;
        assert_eq!(maps(&faces, &weights).unwrap().texels().len(), 1);
        weights[22] = f32::NAN;
        assert!(message(maps(&faces, &weights)).contains("texel 7"));
        faces[7] = 13_775;
        assert!(message(maps(&faces, &weights)).contains("face 13775, but the body has 5196 faces"));
    }

    #[test]
    fn a_maps_file_is_read_and_checked() {
        let body = Body::built_in();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maps.safetensors");
        let cpu = &Device::Cpu;
        let mut faces = vec![-1i64; UV_TEXELS];
        (faces[0], faces[300]) = (17, 4);
        let faces = Tensor::from_vec(faces, (UV_SIDE, UV_SIDE), cpu).unwrap();
        let weights = Tensor::full(0.25f64, (UV_SIDE, UV_SIDE, 3), cpu).unwrap();
        let mut tensors = HashMap::from([(FACES_KEY.to_string(), faces), (WEIGHTS_KEY.to_string(), weights)]);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let maps = UvMaps::load(&path, &body).unwrap();
        let texel = |index, face| Texel { index, face, weights: [0.25; 3] };
        assert_eq!(maps.texels(), [texel(0, 17), texel(300, 4)]);
        let broken = Tensor::full(0.5f32, (UV_SIDE, UV_SIDE), cpu).unwrap();
        tensors.insert(FACES_KEY.to_string(), broken);
        assert!(message(UvMaps::from_tensors(&tensors, &body, "x")).contains("0.5 at texel 0"));
        tensors.remove(WEIGHTS_KEY);
        tensors.remove(FACES_KEY);
        assert!(message(UvMaps::from_tensors(&tensors, &body, "x")).contains("no tensor `fmap`"));
        std::fs::write(&path, [1, 2, 3]).unwrap();
        assert!(message(UvMaps::load(&path, &body)).contains("maps.safetensors"));
    }
}
