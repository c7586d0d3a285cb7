//! Crops seen in a mirror: a left arm raised is a right arm raised, so that each picture drawn teaches twice.

use super::Example;
use super::chart::Chart;
use crate::body::Body;
use crate::geometry::{Mat3, Vec3, sub};
use crate::person::{PELVIS, SmplParams};

/// Joints of the 24 that change places.
const PAIRS: [(usize, usize); 9] =
    [(1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21), (22, 23)];

/// As many of the 44 joints are OpenPose's.
const OPENPOSE: usize = 25;

/// The mirror of a body that has two equal sides.
pub struct Mirror {
    /// Of the 44 joints: the one on the other side.
    other: Vec<usize>,
}

impl Mirror {
    /// Finds the joints' partners on the resting body.
    pub fn of(body: &Body) -> Mirror {
        let rest = SmplParams {
            betas: [0.0; 10],
            global_orient: crate::geometry::IDENTITY,
            body_pose: [crate::geometry::IDENTITY; 23],
        };
        let joints = body.pose(&rest).joints44;
        let middle = joints[PELVIS][0];
        let far = |a: Vec3, b: Vec3| {
            let across = 2.0 * middle - a[0] - b[0];
            across * across + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
        };
        // an elbow of OpenPose's is not quite an elbow of the other nineteen: partners are of one kind
        let nearest = |joint: usize| {
            let kind = if joint < OPENPOSE { 0..OPENPOSE } else { OPENPOSE..joints.len() };
            let distance = |other: &usize| far(joints[joint], joints[*other]);
            kind.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(joint)
        };
        Mirror { other: (0..joints.len()).map(nearest).collect() }
    }

    /// The example as a mirror shows it. The body's two sides are not quite equal: joints are those of the
    /// mirrored parameters, and in the crop they are off from the mirrored ones as the camera shows it.
    pub fn example(&self, body: &Body, example: &Example) -> Example {
        let Example { rgb, side, params, joints: before, projected, camera, chart } = example;
        let params = mirrored(params);
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
            chart: mirrored_chart(chart),
        }
    }
}

fn mirrored_chart(chart: &Chart) -> Chart {
    let mut mirror = chart.clone();
    for (row, column) in (0..chart.side).flat_map(|row| (0..chart.side).map(move |column| (row, column))) {
        let (to, from) = (row * chart.side + column, row * chart.side + chart.side - 1 - column);
        let part = chart.parts[from];
        mirror.parts[to] = if part == 0 { 0 } else { 1 + partner(part as usize - 1) as u8 };
        mirror.depths[to] = chart.depths[from];
        let rest = chart.rests[from];
        mirror.rests[to] = [-rest[0], rest[1], rest[2]];
    }
    mirror
}

/// Rotations change sides and turn the other way about the axes in the mirror's plane.
fn mirrored(params: &SmplParams) -> SmplParams {
    let turned = |rotation: &Mat3| -> Mat3 {
        let sign = |row: usize, column: usize| if (row == 0) != (column == 0) { -1.0 } else { 1.0 };
        std::array::from_fn(|row| std::array::from_fn(|column| sign(row, column) * rotation[row][column]))
    };
    SmplParams {
        betas: params.betas,
        global_orient: turned(&params.global_orient),
        body_pose: std::array::from_fn(|at| turned(&params.body_pose[partner(at + 1) - 1])),
    }
}

/// The joint (of 24) on the other side.
fn partner(joint: usize) -> usize {
    let found = PAIRS.iter().find(|(left, right)| joint == *left || joint == *right);
    found.map_or(joint, |(left, right)| if joint == *left { *right } else { *left })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::norm;
    use crate::train::Drawing;
    use crate::train::draw::Artist;
    use std::sync::Arc;

    #[test]
    fn the_mirrored_joints_are_the_mirrored_parameters() {
        let body = Arc::new(Body::stand_in());
        let mirror = Mirror::of(&body);
        let mut artist = Artist::new(body.clone(), &Drawing::default(), 3, 64);
        for number in 0..5 {
            let example = artist.draw(number);
            let seen = mirror.example(&body, &example);
            for (joint, other) in mirror.other.iter().enumerate() {
                let [x, y, z] = example.joints[*other];
                let off = norm(sub(seen.joints[joint], [-x, y, z]));
                assert!(off < 0.02, "joint {joint}: {off} m"); // as far as the sides differ
                assert!((seen.projected[joint][0] + example.projected[*other][0]).abs() < 0.01);
            }
        }
    }

    #[test]
    fn twice_is_the_same() {
        let body = Arc::new(Body::stand_in());
        let mirror = Mirror::of(&body);
        let example = Artist::new(body.clone(), &Drawing::default(), 3, 64).draw(1);
        let again = mirror.example(&body, &mirror.example(&body, &example));
        assert_eq!(again.rgb, example.rgb);
        assert_eq!(again.params, example.params);
        assert_eq!((again.chart.parts, again.chart.depths), (example.chart.parts, example.chart.depths));
        let far = |(a, b): (&[f32; 2], &[f32; 2])| (a[0] - b[0]).abs().max((a[1] - b[1]).abs());
        assert!(again.projected.iter().zip(&example.projected).map(far).all(|off| off < 1e-5));
    }
}
