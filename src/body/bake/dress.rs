//! Landmarks and coverings of the T-posed mean body.

use super::super::{Region, Sparse};
use super::source::BODY_VERTICES;
use crate::geometry::{Vec3, add, norm, scale, sub};
use std::collections::HashMap;

/// Joints by whose share a vertex belongs to a part.
const HEAD: usize = 15;
const FEET: [usize; 4] = [7, 8, 10, 11];
const LEGS: [usize; 4] = [1, 2, 4, 5];
const TORSO: [usize; 7] = [3, 6, 9, 13, 14, 16, 17];

/// The eleven vertices at nose, eyes, ears, toes and heels (`OPENPOSE_VERTICES`), found on the full
/// mesh: `modelled` are all vertices as modelled, helpers too.
pub fn landmarks(
    modelled: &[Vec3],
    weights: &Sparse,
    groups: &HashMap<String, Vec<u32>>,
) -> Option<[usize; 11]> {
    let share = |vertex: usize, joint: usize| {
        weights.row(vertex).iter().find(|(j, _)| *j as usize == joint).map_or(0.0, |(_, weight)| *weight)
    };
    let of = |joints: &'static [usize]| {
        (0..BODY_VERTICES).filter(move |&v| joints.iter().map(|&j| share(v, j)).sum::<f32>() > 0.6)
    };
    let most = |part: Vec<usize>, score: &dyn Fn(Vec3) -> f32| {
        part.into_iter().max_by(|&a, &b| score(modelled[a]).total_cmp(&score(modelled[b])))
    };
    let centre = |group: &str| {
        let members = groups.get(group)?;
        let sum = members.iter().fold([0.0; 3], |sum, &vertex| add(sum, modelled[vertex as usize]));
        Some(scale(sum, 1.0 / members.len() as f32))
    };
    let near = |point: Vec3| most((0..BODY_VERTICES).collect(), &|at| -norm(sub(at, point)));
    let eye = |side: char| near(add(centre(&format!("joint-{side}-eye"))?, [0.0, 0.0, 0.02]));
    let toe = |side: char, toe: &str| near(centre(&format!("joint-{side}-toe-{toe}"))?);
    let ear = |side: f32| most(of(&[HEAD]).collect(), &move |at| side * at[0]);
    let heel = |foot: &'static [usize]| {
        let lowest = of(foot).map(|v| modelled[v][1]).fold(f32::MAX, f32::min);
        most(of(foot).filter(|&v| modelled[v][1] < lowest + 0.03).collect(), &|at| -at[2])
    };
    Some([
        most(of(&[HEAD]).collect(), &|at| at[2] - at[0].abs())?,
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

/// The T-posed mean body, for dressing it.
pub struct Dressing<'a> {
    pub vertices: &'a [Vec3],
    pub weights: &'a Sparse,
    pub joints: &'a [Vec3],
    /// As [`landmarks`], numbered in `vertices`.
    pub landmarks: &'a [usize; 11],
}

impl Dressing<'_> {
    /// What covers a face.
    pub fn region(&self, face: &[u32; 3]) -> Region {
        let corners = face.map(|vertex| self.vertices[vertex as usize]);
        let middle = scale(add(add(corners[0], corners[1]), corners[2]), 1.0 / 3.0);
        let share = |joints: &[usize]| -> f32 {
            let rows = face.iter().flat_map(|&vertex| self.weights.row(vertex as usize));
            rows.filter(|(joint, _)| joints.contains(&(*joint as usize))).map(|(_, w)| *w / 3.0).sum()
        };
        let near_eye = [1, 2].iter().any(|&eye| {
            let eye = self.vertices[self.landmarks[eye]];
            let off = sub(middle, eye);
            off[0].abs() < 0.016 && off[1].abs() < 0.009 && off[2] > -0.03
        });
        if near_eye {
            return Region::Eyes;
        }
        if share(&[HEAD]) > 0.5 {
            return self.head(middle);
        }
        if share(&FEET) > 0.5 && middle[1] < self.joints[7][1] + 0.03 {
            return Region::Shoes;
        }
        let belt = 0.5 * (self.joints[0][1] + self.joints[3][1]) + 0.02;
        let below = share(&LEGS) + share(&FEET) > 0.5 || (share(&[0, 3]) > 0.5 && middle[1] < belt);
        let collar = middle[1] < self.joints[12][1] - 0.01 + 0.25 * middle[0].abs();
        match below {
            true => Region::Trousers,
            false if share(&TORSO) + share(&[0]) > 0.5 && collar => Region::Shirt,
            false => Region::Skin,
        }
    }

    /// Hair above a line that falls from the forehead over the ears to the nape.
    fn head(&self, middle: Vec3) -> Region {
        let eyes = scale(add(self.vertices[self.landmarks[1]], self.vertices[self.landmarks[2]]), 0.5);
        let ears = scale(add(self.vertices[self.landmarks[3]], self.vertices[self.landmarks[4]]), 0.5);
        let ahead = (middle[2] - ears[2]) / (eyes[2] - ears[2]);
        let hairline = match ahead {
            a if a > 0.25 => eyes[1] + 0.035 + 0.02 * a,
            a if a > -0.15 => ears[1] + 0.03,
            _ => ears[1] - 0.05,
        };
        let on_ear =
            middle[0].abs() > 0.93 * self.vertices[self.landmarks[4]][0] && middle[1] < ears[1] + 0.03;
        if middle[1] > hairline && !on_ear { Region::Hair } else { Region::Skin }
    }
}
