//! Mirrors examples, so that each rendered crop is used twice.

use super::Example;
use super::part_map::PartMap;
use posebook_core::geometry::{Mat3, Vec3, sub};
use posebook_core::person::{PELVIS, SmplParams};
use posebook_models::body::Body;

/// Left and right joints of the 24.
const PAIRS: [(usize, usize); 9] =
    [(1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21), (22, 23)];

/// The first joints of the 44 are OpenPose's.
const OPENPOSE_JOINTS: usize = 25;

/// Mirrors examples of a symmetric body.
pub struct Mirror {
    /// For each of the 44 joints, the joint of the other side.
    other: Vec<usize>,
}

impl Mirror {
    /// Finds the pairs of joints on the body at rest.
    pub fn new(body: &Body) -> Mirror {
        let rest = SmplParams {
            betas: [0.0; 10],
            global_orient: posebook_core::geometry::IDENTITY,
            body_pose: [posebook_core::geometry::IDENTITY; 23],
        };
        let joints = body.pose(&rest).joints44;
        let middle = joints[PELVIS][0];
        let far = |a: Vec3, b: Vec3| {
            let across = 2.0 * middle - a[0] - b[0];
            across * across + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
        };
        // an elbow of OpenPose's differs from an elbow of the other nineteen: pairs are within one group
        let nearest = |joint: usize| {
            let kind =
                if joint < OPENPOSE_JOINTS { 0..OPENPOSE_JOINTS } else { OPENPOSE_JOINTS..joints.len() };
            let distance = |other: &usize| far(joints[joint], joints[*other]);
            kind.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(joint)
        };
        Mirror { other: (0..joints.len()).map(nearest).collect() }
    }

    /// The mirrored example. The body is not quite symmetric: joints are those of the mirrored parameters, and the projected
    /// joints are corrected by the difference.
    pub fn mirror_example(&self, body: &Body, example: &Example) -> Example {
        let Example { rgb, side, params, joints: before, projected, camera, part_map } = example;
        let params = mirror_params(params);
        let posed = body.pose(&params).joints44;
        let joints: Vec<Vec3> = posed.iter().map(|joint| sub(*joint, posed[PELVIS])).collect();
        let projected = self.other.iter().zip(&joints).map(|(other, joint)| {
            let ([x, y, _], at) = (before[*other], projected[*other]);
            let half = camera[0] / 2.0;
            [-at[0] + half * (joint[0] + x), at[1] + half * (joint[1] - y)]
        });
        Example {
            rgb: rgb.chunks_exact(3 * side).flat_map(|row| row.rchunks_exact(3).flatten()).copied().collect(),
            side: *side,
            projected: projected.collect(),
            params,
            joints,
            camera: [camera[0], -camera[1], camera[2]],
            part_map: mirror_part_map(part_map),
        }
    }
}

fn mirror_part_map(part_map: &PartMap) -> PartMap {
    let mut mirror = part_map.clone();
    for (row, column) in
        (0..part_map.side).flat_map(|row| (0..part_map.side).map(move |column| (row, column)))
    {
        let (to, from) = (row * part_map.side + column, row * part_map.side + part_map.side - 1 - column);
        let part = part_map.parts[from];
        mirror.parts[to] = if part == 0 { 0 } else { 1 + mirrored_joint(part as usize - 1) as u8 };
        mirror.depths[to] = part_map.depths[from];
        let rest = part_map.rest_points[from];
        mirror.rest_points[to] = [-rest[0], rest[1], rest[2]];
    }
    mirror
}

/// Swaps left and right joints and mirrors the rotations.
fn mirror_params(params: &SmplParams) -> SmplParams {
    let mirror_rotation = |rotation: &Mat3| -> Mat3 {
        let sign = |row: usize, column: usize| if (row == 0) != (column == 0) { -1.0 } else { 1.0 };
        std::array::from_fn(|row| std::array::from_fn(|column| sign(row, column) * rotation[row][column]))
    };
    SmplParams {
        betas: params.betas,
        global_orient: mirror_rotation(&params.global_orient),
        body_pose: std::array::from_fn(|index| {
            mirror_rotation(&params.body_pose[mirrored_joint(index + 1) - 1])
        }),
    }
}

/// The joint (of 24) of the other side.
fn mirrored_joint(joint: usize) -> usize {
    let found = PAIRS.iter().find(|(left, right)| joint == *left || joint == *right);
    found.map_or(joint, |(left, right)| if joint == *left { *right } else { *left })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::SynthesisSettings;
    use crate::train::generator::CropGenerator;
    use posebook_core::geometry::norm;
    use std::sync::Arc;

    #[test]
    fn mirrored_joints_match_mirrored_parameters() {
        let body = Arc::new(Body::built_in());
        let mirror = Mirror::new(&body);
        let mut generator = CropGenerator::new(body.clone(), &SynthesisSettings::default(), 3, 64);
        for number in 0..5 {
            let example = generator.generate(number);
            let mirrored = mirror.mirror_example(&body, &example);
            for (joint, other) in mirror.other.iter().enumerate() {
                let [x, y, z] = example.joints[*other];
                let off = norm(sub(mirrored.joints[joint], [-x, y, z]));
                assert!(off < 0.02, "joint {joint}: {off} m"); // the body's own asymmetry
                assert!((mirrored.projected[joint][0] + example.projected[*other][0]).abs() < 0.01);
            }
        }
    }

    #[test]
    fn mirroring_twice_is_the_identity() {
        let body = Arc::new(Body::built_in());
        let mirror = Mirror::new(&body);
        let example = CropGenerator::new(body.clone(), &SynthesisSettings::default(), 3, 64).generate(1);
        let again = mirror.mirror_example(&body, &mirror.mirror_example(&body, &example));
        assert_eq!(again.rgb, example.rgb);
        assert_eq!(again.params, example.params);
        assert_eq!(
            (again.part_map.parts, again.part_map.depths),
            (example.part_map.parts, example.part_map.depths)
        );
        let far = |(a, b): (&[f32; 2], &[f32; 2])| (a[0] - b[0]).abs().max((a[1] - b[1]).abs());
        assert!(again.projected.iter().zip(&example.projected).map(far).all(|off| off < 1e-5));
    }
}
