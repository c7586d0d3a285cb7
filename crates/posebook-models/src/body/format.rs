//! Reads and writes bodies in SMPL's format, as .safetensors or .npz.
//!
//! | array | shape | |
//! |---|---|---|
//! | `v_template` | (V, 3) | meters |
//! | `shapedirs` | (V, 3, 10 or more) | the first ten are used |
//! | `posedirs` | (207, 3V) or (V, 3, 207) | optional |
//! | `J_regressor` | (24, V) | |
//! | `weights` or `lbs_weights` | (V, 24) | rows sum to one |
//! | `parents` (24) or `kintree_table` (2, 24) | | the first joint's parent is ignored |
//! | `faces`, `f` or `faces_tensor` | (F, 3) | |
//! | `joint_regressor_extra` | (19, V) | 4D-Humans' `SMPL_to_J19` |
//! | `openpose_vertices` | (11) | optional for SMPL's 6,890 vertices |
//! | `uv_points` (P, 2), `uv_faces` (F, 3), `face_regions` (F) | | optional |

use super::joints::SMPL_VERTICES;
use super::pose::RestJoints;
use super::{Body, BodyError, Joints44, NUM_BETAS, NUM_JOINTS, NUM_POSE_FEATURES, Region, SparseMatrix, Uv};
use candle_core::{DType, Device, Tensor, npy::NpzTensors};
use posebook_core::geometry::Vec3;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

impl Body {
    /// Reads a body in SMPL's format from `path` (.safetensors or .npz).
    ///
    /// # Errors
    /// If the file cannot be read, lacks an array, or an array has a wrong shape or impossible values.
    pub fn load(path: &Path) -> Result<Body, BodyError> {
        let unreadable = |reason: String| BodyError::Unreadable { path: path.to_path_buf(), reason };
        let tensors = match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => {
                candle_core::safetensors::load(path, &Device::Cpu).map_err(|e| unreadable(e.to_string()))?
            }
            Some("npz") => read_npz(path).map_err(|e| unreadable(e.to_string()))?,
            _ => return Err(unreadable("its name ends in neither .safetensors nor .npz".into())),
        };
        Body::from_tensors(&tensors, path)
    }

    /// A body from its arrays by name; `origin` is the path in errors.
    ///
    /// # Shapes
    /// As in the table of this module.
    ///
    /// # Errors
    /// As [`Body::load`].
    pub fn from_tensors(tensors: &HashMap<String, Tensor>, origin: &Path) -> Result<Body, BodyError> {
        let arrays = Arrays { tensors, origin };
        let v_template = arrays.template()?;
        let count = v_template.len();
        let shapedirs = arrays.shapedirs(count)?;
        let regressor = arrays.floats(&["J_regressor"], "(24, V)", &[NUM_JOINTS, count])?;
        let joint_regressor = SparseMatrix::from_dense(&regressor, count);
        let weights = arrays.floats(&["weights", "lbs_weights"], "(V, 24)", &[count, NUM_JOINTS])?;
        let faces = arrays.faces(count)?;
        let extra = arrays.floats(
            &["joint_regressor_extra"],
            "(19, V): 4D-Humans' SMPL_to_J19, stored with SMPL's own arrays",
            &[19, count],
        )?;
        Ok(Body {
            rest: RestJoints::new(&joint_regressor, &v_template, &shapedirs),
            posedirs: arrays.posedirs(count)?,
            joint_regressor,
            weights: SparseMatrix::from_dense(&weights, NUM_JOINTS),
            parents: arrays.parents()?,
            joints44: Joints44::new(
                arrays.openpose_vertices(count)?,
                SparseMatrix::from_dense(&extra, count),
            ),
            uv: arrays.uv(faces.len())?,
            regions: arrays.regions(faces.len())?,
            v_template,
            shapedirs,
            faces,
        })
    }

    /// The arrays of the format, by name.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn to_tensors(&self) -> Result<HashMap<String, Tensor>, BodyError> {
        let count = self.vertex_count();
        let cpu = &Device::Cpu;
        let floats = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, cpu);
        let corners = |faces: &[[u32; 3]]| Tensor::from_slice(faces.as_flattened(), (faces.len(), 3), cpu);
        let parents = self.parents.map(|parent| parent.map_or(-1, |joint| joint as i64));
        let picked: Vec<i64> = self.joints44.vertices().iter().map(|&vertex| vertex as i64).collect();
        let shapedirs =
            floats(&self.shapedirs, &[NUM_BETAS, 3 * count])?.t()?.reshape((count, 3, NUM_BETAS))?;
        let mut tensors = HashMap::from([
            ("v_template".to_string(), floats(self.v_template.as_flattened(), &[count, 3])?),
            ("shapedirs".to_string(), shapedirs.contiguous()?),
            ("J_regressor".to_string(), floats(&self.joint_regressor.to_dense(), &[NUM_JOINTS, count])?),
            ("weights".to_string(), floats(&self.weights.to_dense(), &[count, NUM_JOINTS])?),
            ("joint_regressor_extra".to_string(), floats(&self.joints44.extra.to_dense(), &[19, count])?),
            ("openpose_vertices".to_string(), Tensor::from_vec(picked, 11, cpu)?),
            ("parents".to_string(), Tensor::from_slice(&parents, NUM_JOINTS, cpu)?),
            ("faces".to_string(), corners(&self.faces)?),
        ]);
        if let Some(posedirs) = &self.posedirs {
            tensors.insert("posedirs".into(), floats(posedirs, &[NUM_POSE_FEATURES, 3 * count])?);
        }
        if let Some(uv) = &self.uv {
            tensors.insert("uv_points".into(), floats(uv.points.as_flattened(), &[uv.points.len(), 2])?);
            tensors.insert("uv_faces".into(), corners(&uv.faces)?);
        }
        if let Some(regions) = &self.regions {
            let numbers: Vec<u8> = regions.iter().map(|region| *region as u8).collect();
            tensors.insert("face_regions".into(), Tensor::from_vec(numbers, regions.len(), cpu)?);
        }
        Ok(tensors)
    }

    /// Writes the body to a .safetensors file, atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), BodyError> {
        let write = |source| BodyError::Write { path: path.to_path_buf(), source };
        let mut named: Vec<_> = self.to_tensors()?.into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let bytes = safetensors::serialize(named, None).map_err(|e| write(std::io::Error::other(e)))?;
        posebook_core::files::write_atomically(path, &bytes).map_err(write)
    }
}

/// The arrays of a .npz file that belong to a body; others (texts, for example) are ignored.
fn read_npz(path: &Path) -> candle_core::Result<HashMap<String, Tensor>> {
    const KNOWN: [&str; 16] = [
        "v_template",
        "shapedirs",
        "posedirs",
        "J_regressor",
        "weights",
        "lbs_weights",
        "parents",
        "kintree_table",
        "faces",
        "f",
        "faces_tensor",
        "joint_regressor_extra",
        "openpose_vertices",
        "uv_points",
        "uv_faces",
        "face_regions",
    ];
    let file = NpzTensors::new(path)?;
    let mut tensors = HashMap::new();
    for name in KNOWN {
        if let Some(tensor) = file.get(name)? {
            tensors.insert(name.to_string(), tensor);
        }
    }
    Ok(tensors)
}

/// Arrays by name, each checked when it is read.
struct Arrays<'a> {
    tensors: &'a HashMap<String, Tensor>,
    origin: &'a Path,
}

impl Arrays<'_> {
    fn path(&self) -> PathBuf {
        self.origin.to_path_buf()
    }

    fn find(&self, names: &[&'static str]) -> Option<(&'static str, &Tensor)> {
        names.iter().find_map(|name| Some((*name, self.tensors.get(*name)?)))
    }

    fn require(
        &self,
        names: &[&'static str],
        hint: &'static str,
    ) -> Result<(&'static str, &Tensor), BodyError> {
        let missing = || BodyError::Missing { path: self.path(), name: names[0], hint };
        self.find(names).ok_or_else(missing)
    }

    fn shape_error(&self, name: &'static str, tensor: &Tensor, expected: String) -> BodyError {
        BodyError::Shape { path: self.path(), name, found: tensor.dims().to_vec(), expected }
    }

    /// All values as `f32`; NaN and infinity are errors.
    fn finite(&self, name: &'static str, tensor: &Tensor) -> Result<Vec<f32>, BodyError> {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => {
                let (value, hint) = (values[index].to_string(), "the file is damaged".to_string());
                Err(BodyError::Value { path: self.path(), name, index, value, hint })
            }
        }
    }

    fn floats(
        &self,
        names: &[&'static str],
        hint: &'static str,
        shape: &[usize],
    ) -> Result<Vec<f32>, BodyError> {
        let (name, tensor) = self.require(names, hint)?;
        if tensor.dims() != shape {
            return Err(self.shape_error(name, tensor, format!("{shape:?}")));
        }
        self.finite(name, tensor)
    }

    /// Integers below `bound`.
    fn indices(
        &self,
        name: &'static str,
        tensor: &Tensor,
        bound: usize,
        hint: &str,
    ) -> Result<Vec<u32>, BodyError> {
        let values = match tensor.dtype() {
            // candle's conversion to i64 would wrap the upper half of u32
            DType::U32 => tensor.flatten_all()?.to_vec1::<u32>()?.into_iter().map(i64::from).collect(),
            _ => tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?,
        };
        match values.iter().position(|&value| value < 0 || value >= bound as i64) {
            None => Ok(values.into_iter().map(|value| value as u32).collect()),
            Some(index) => Err(BodyError::Value {
                path: self.path(),
                name,
                index,
                value: values[index].to_string(),
                hint: format!("{hint} run from 0 to {}", bound.saturating_sub(1)),
            }),
        }
    }

    fn template(&self) -> Result<Vec<Vec3>, BodyError> {
        let (name, tensor) = self.require(&["v_template"], "(V, 3): the mean shape's vertices in meters")?;
        match tensor.dims() {
            [count, 3] if *count > 0 => {
                let values = self.finite(name, tensor)?;
                Ok(values.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect())
            }
            _ => Err(self.shape_error(name, tensor, "[V, 3] with at least one vertex".into())),
        }
    }

    /// (10, 3V)
    fn shapedirs(&self, count: usize) -> Result<Vec<f32>, BodyError> {
        let (name, tensor) =
            self.require(&["shapedirs"], "(V, 3, 10): displacements per shape coefficient")?;
        match tensor.dims() {
            [v, 3, k] if *v == count && *k >= NUM_BETAS => {
                let first = tensor.narrow(2, 0, NUM_BETAS)?.reshape((3 * count, NUM_BETAS))?;
                self.finite(name, &first.t()?.contiguous()?) // (10, 3V)
            }
            _ => Err(self.shape_error(name, tensor, format!("[{count}, 3, {NUM_BETAS} or more]"))),
        }
    }

    /// (207, 3V), or none where absent or all zero
    fn posedirs(&self, count: usize) -> Result<Option<Vec<f32>>, BodyError> {
        let Some((name, tensor)) = self.find(&["posedirs"]) else { return Ok(None) };
        let values = match tensor.dims() {
            [NUM_POSE_FEATURES, n] if *n == 3 * count => self.finite(name, tensor)?,
            [v, 3, NUM_POSE_FEATURES] if *v == count => {
                let rows = tensor.reshape((3 * count, NUM_POSE_FEATURES))?.t()?.contiguous()?;
                self.finite(name, &rows)?
            }
            _ => {
                let n = 3 * count;
                return Err(self.shape_error(name, tensor, format!("[207, {n}] or [{count}, 3, 207]")));
            }
        };
        Ok(values.iter().any(|value| *value != 0.0).then_some(values))
    }

    fn parents(&self) -> Result<[Option<usize>; NUM_JOINTS], BodyError> {
        let hint = "(24): the parent of each joint";
        let (name, tensor) = self.require(&["parents", "kintree_table"], hint)?;
        let row = match tensor.dims() {
            [NUM_JOINTS] => tensor.clone(),
            [2, NUM_JOINTS] => tensor.get(0)?,
            _ => return Err(self.shape_error(name, tensor, "[24], or [2, 24] as kintree_table".into())),
        };
        let mut parents = [None; NUM_JOINTS];
        for (joint, parent) in parents.iter_mut().enumerate().skip(1) {
            let hint = format!("parents come before their children; those of joint {joint}");
            let index = self.indices(name, &row.narrow(0, joint, 1)?, joint, &hint)?;
            *parent = Some(index[0] as usize);
        }
        Ok(parents)
    }

    fn triples(
        &self,
        name: &'static str,
        tensor: &Tensor,
        bound: usize,
        hint: &str,
    ) -> Result<Vec<[u32; 3]>, BodyError> {
        match tensor.dims() {
            [_, 3] => {
                let values = self.indices(name, tensor, bound, hint)?;
                Ok(values.chunks_exact(3).map(|f| [f[0], f[1], f[2]]).collect())
            }
            _ => Err(self.shape_error(name, tensor, "[F, 3]".into())),
        }
    }

    fn faces(&self, count: usize) -> Result<Vec<[u32; 3]>, BodyError> {
        let (name, tensor) =
            self.require(&["faces", "f", "faces_tensor"], "(F, 3): vertices of the triangles")?;
        self.triples(name, tensor, count, "the mesh's vertices")
    }

    fn openpose_vertices(&self, count: usize) -> Result<[usize; 11], BodyError> {
        match self.find(&["openpose_vertices"]) {
            Some((name, tensor)) => {
                let picked = self.indices(name, &tensor.flatten_all()?, count, "the mesh's vertices")?;
                let picked = picked.into_iter().map(|vertex| vertex as usize).collect::<Vec<_>>();
                picked.try_into().map_err(|_| self.shape_error(name, tensor, "[11]".into()))
            }
            None if count == 6890 => Ok(SMPL_VERTICES),
            None => Err(BodyError::Missing {
                path: self.path(),
                name: "openpose_vertices",
                hint: "(11): vertices at nose, eyes, ears, toes and heels, needed on any mesh but SMPL's own",
            }),
        }
    }

    fn uv(&self, faces: usize) -> Result<Option<Uv>, BodyError> {
        let Some((name, tensor)) = self.find(&["uv_points"]) else { return Ok(None) };
        let [count, 2] = *tensor.dims() else {
            return Err(self.shape_error(name, tensor, "[P, 2]".into()));
        };
        let values = self.finite(name, tensor)?;
        let points = values.chunks_exact(2).map(|point| [point[0], point[1]]).collect();
        let (name, tensor) = self.require(&["uv_faces"], "(F, 3): the UV point of each corner")?;
        if tensor.dims() != [faces, 3] {
            return Err(self.shape_error(name, tensor, format!("[{faces}, 3]")));
        }
        Ok(Some(Uv { points, faces: self.triples(name, tensor, count, "the UV points")? }))
    }

    fn regions(&self, faces: usize) -> Result<Option<Vec<Region>>, BodyError> {
        let Some((name, tensor)) = self.find(&["face_regions"]) else { return Ok(None) };
        if tensor.dims() != [faces] {
            return Err(self.shape_error(name, tensor, format!("[{faces}]")));
        }
        let numbers = self.indices(name, tensor, Region::ALL.len(), "regions")?;
        Ok(Some(numbers.into_iter().filter_map(Region::from_number).collect()))
    }
}
