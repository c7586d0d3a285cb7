//! Landmarks and surface regions of the T-posed mean body.

use super::super::{Region, SparseMatrix};
use super::source::BODY_VERTICES;
use posebook_core::geometry::{Vec3, add, norm, scale, sub};
use std::collections::HashMap;

/// Joints whose skinning weights define a part of the body.
const HEAD: usize = 15;
const FEET: [usize; 4] = [7, 8, 10, 11];
const LEGS: [usize; 4] = [1, 2, 4, 5];
const TORSO: [usize; 7] = [3, 6, 9, 13, 14, 16, 17];

/// Finds the eleven vertices of `OPENPOSE_VERTEX_NAMES` on the full mesh; `None` if a vertex group is missing.
/// `modeled` are all vertices in the modeled pose, including helper geometry.
pub fn landmarks(
    modeled: &[Vec3],
    weights: &SparseMatrix,
    groups: &HashMap<String, Vec<u32>>,
) -> Option<[usize; 11]> {
    let weight_of = |vertex: usize, joint: usize| {
        weights.row(vertex).iter().find(|(j, _)| *j as usize == joint).map_or(0.0, |(_, weight)| *weight)
    };
    let part = |joints: &'static [usize]| {
        (0..BODY_VERTICES).filter(move |&v| joints.iter().map(|&j| weight_of(v, j)).sum::<f32>() > 0.6)
    };
    let best = |vertices: Vec<usize>, score: &dyn Fn(Vec3) -> f32| {
        vertices.into_iter().max_by(|&a, &b| score(modeled[a]).total_cmp(&score(modeled[b])))
    };
    let center = |group: &str| {
        let members = groups.get(group)?;
        let sum = members.iter().fold([0.0; 3], |sum, &vertex| add(sum, modeled[vertex as usize]));
        Some(scale(sum, 1.0 / members.len() as f32))
    };
    let nearest = |point: Vec3| best((0..BODY_VERTICES).collect(), &|at| -norm(sub(at, point)));
    let eye = |side: char| nearest(add(center(&format!("joint-{side}-eye"))?, [0.0, 0.0, 0.02]));
    let toe = |side: char, toe: &str| nearest(center(&format!("joint-{side}-toe-{toe}"))?);
    let ear = |side: f32| best(part(&[HEAD]).collect(), &move |at| side * at[0]);
    let heel = |foot: &'static [usize]| {
        let lowest = part(foot).map(|v| modeled[v][1]).fold(f32::MAX, f32::min);
        best(part(foot).filter(|&v| modeled[v][1] < lowest + 0.03).collect(), &|at| -at[2])
    };
    Some([
        best(part(&[HEAD]).collect(), &|at| at[2] - at[0].abs())?,
        eye('r')?,
        eye('l')?,
        ear(-1.0)?,
        ear(1.0)?,
        toe('l', "1-3")?,
        toe('l', "5-4")?,
        heel(&[7, 10])?,
        toe('r', "1-3")?,
        toe('r', "5-4")?,
        heel(&[8, 11])?,
    ])
}

/// Assigns surface regions to the faces of the T-posed mean body.
pub struct RegionClassifier<'a> {
    /// Vertices (V).
    pub vertices: &'a [Vec3],
    /// Skinning weights (V, 24).
    pub weights: &'a SparseMatrix,
    /// Joints (24).
    pub joints: &'a [Vec3],
    /// Those of [`landmarks`], as indices of `vertices`.
    pub landmarks: &'a [usize; 11],
}

impl RegionClassifier<'_> {
    /// The region of a face.
    pub fn classify(&self, face: &[u32; 3]) -> Region {
        let corners = face.map(|vertex| self.vertices[vertex as usize]);
        let middle = scale(add(add(corners[0], corners[1]), corners[2]), 1.0 / 3.0);
        let weight = |joints: &[usize]| -> f32 {
            let rows = face.iter().flat_map(|&vertex| self.weights.row(vertex as usize));
            rows.filter(|(joint, _)| joints.contains(&(*joint as usize))).map(|(_, w)| *w / 3.0).sum()
        };
        let near_eye = [1, 2].iter().any(|&eye| {
            let eye = self.vertices[self.landmarks[eye]];
            let offset = sub(middle, eye);
            offset[0].abs() < 0.016 && offset[1].abs() < 0.009 && offset[2] > -0.03
        });
        if near_eye {
            return Region::Eyes;
        }
        if weight(&[HEAD]) > 0.5 {
            return self.hair_or_skin(middle);
        }
        if weight(&FEET) > 0.5 && middle[1] < self.joints[7][1] + 0.03 {
            return Region::Shoes;
        }
        let belt = 0.5 * (self.joints[0][1] + self.joints[3][1]) + 0.02;
        let is_below_belt =
            weight(&LEGS) + weight(&FEET) > 0.5 || (weight(&[0, 3]) > 0.5 && middle[1] < belt);
        let is_below_collar = middle[1] < self.joints[12][1] - 0.01 + 0.25 * middle[0].abs();
        match is_below_belt {
            true => Region::Trousers,
            false if weight(&TORSO) + weight(&[0]) > 0.5 && is_below_collar => Region::Shirt,
            false => Region::Skin,
        }
    }

    /// Hair is above a line from the forehead over the ears to the nape.
    fn hair_or_skin(&self, middle: Vec3) -> Region {
        let eyes = scale(add(self.vertices[self.landmarks[1]], self.vertices[self.landmarks[2]]), 0.5);
        let ears = scale(add(self.vertices[self.landmarks[3]], self.vertices[self.landmarks[4]]), 0.5);
        let forward = (middle[2] - ears[2]) / (eyes[2] - ears[2]);
        let hairline = match forward {
            a if a > 0.25 => eyes[1] + 0.035 + 0.02 * a,
            a if a > -0.15 => ears[1] + 0.03,
            _ => ears[1] - 0.05,
        };
        let is_on_ear =
            middle[0].abs() > 0.93 * self.vertices[self.landmarks[4]][0] && middle[1] < ears[1] + 0.03;
        if middle[1] > hairline && !is_on_ear { Region::Hair } else { Region::Skin }
    }
}
