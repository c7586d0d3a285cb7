//! A reduced body model for the fit: 24 joints and nine skinned vertices, with their derivatives.
//!
//! Rest joints are linear in the shape. Pose-dependent blend shapes are omitted: they move vertices of the face or heel by
//! millimeters, less than the error of landmarks. Input: pose and shape ([`State`]); output: points ([`PosedPoints`]).

use super::FitError;
use super::linear::{IDENTITY, Matrix, Vector, add, apply, cross, multiply, scale, sub, widen};
use crate::body::{Body, JOINT_NAMES, NUM_BETAS, NUM_JOINTS, PARENTS};

/// Number of body points with a corresponding landmark: 12 joints, then nine vertices.
pub(super) const POINTS: usize = 21;
/// The joints of the first points, in the order of `posebook_core::landmarks::SCORED_LANDMARKS`.
pub(super) const JOINT_POINTS: [usize; 12] = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8];
/// Number of vertices: nose, left and right eye, ear, heel, big toe.
const VERTICES: usize = 9;
/// Their indices in `crate::body::OPENPOSE_VERTEX_NAMES`.
const OPENPOSE_INDICES: [usize; VERTICES] = [0, 2, 1, 4, 3, 7, 10, 5, 8];
/// Indices of the points in this order.
pub(super) mod point_index {
    pub const NOSE: usize = 12;
    pub const LEFT_EAR: usize = 15;
    pub const RIGHT_EAR: usize = 16;
    pub const LEFT_HEEL: usize = 17;
    pub const RIGHT_HEEL: usize = 18;
    pub const LEFT_TOE: usize = 19;
    pub const RIGHT_TOE: usize = 20;
}

/// Number of parameters that move body points: rotations of 24 joints and the shape.
pub(super) const PARAMETERS: usize = 3 * NUM_JOINTS + NUM_BETAS;

/// A vertex of the rest mesh.
#[derive(Debug, Clone)]
struct Vertex {
    template: Vector,
    directions: [Vector; NUM_BETAS],
    /// Joints and their skinning weights.
    weights: Vec<(usize, f64)>,
}

/// A body reduced to what the fit needs.
#[derive(Debug, Clone)]
pub(super) struct Model {
    template: [Vector; NUM_JOINTS],
    directions: [[Vector; NUM_BETAS]; NUM_JOINTS],
    vertices: Vec<Vertex>,
    /// `[a][b]`: whether joint `a` is joint `b` or one of its ancestors.
    is_ancestor: [[bool; NUM_JOINTS]; NUM_JOINTS],
    /// For each point the joints whose rotations move it.
    moving_joints: Vec<Vec<usize>>,
}

/// The pose and shape parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// Each joint's rotation relative to its parent (24).
    pub rotations: [Matrix; NUM_JOINTS],
    pub betas: [f64; NUM_BETAS],
}

/// Joints and points of a state, meters.
#[derive(Debug, Clone, Copy)]
pub(super) struct PosedPoints {
    /// Joints of the shape in rest pose.
    pub rest: [Vector; NUM_JOINTS],
    /// World rotations of the joints.
    pub world_rotations: [Matrix; NUM_JOINTS],
    /// Posed joints relative to the body's origin.
    pub joints: [Vector; NUM_JOINTS],
    /// Posed points relative to the body's origin.
    pub points: [Vector; POINTS],
}

/// Derivatives of one point by the parameters: rotations about world axes at each joint, then the shape.
pub(super) type Jacobian = [Vector; PARAMETERS];

impl Model {
    /// Reduces a body.
    ///
    /// # Errors
    /// [`FitError::Skeleton`] if the kinematic tree is not SMPL's.
    pub fn new(body: &Body) -> Result<Model, FitError> {
        for (joint, name) in JOINT_NAMES.iter().enumerate() {
            let (found, expected) = (body.parents[joint], PARENTS[joint]);
            if found != expected {
                return Err(FitError::Skeleton { joint: name, found, expected });
            }
        }
        let template = body.rest_joints(&[0.0; NUM_BETAS]);
        let mut directions = [[[0.0; 3]; NUM_BETAS]; NUM_JOINTS];
        for beta in 0..NUM_BETAS {
            let mut betas = [0.0; NUM_BETAS];
            betas[beta] = 1.0;
            for (joint, moved) in body.rest_joints(&betas).into_iter().enumerate() {
                directions[joint][beta] = sub(widen(moved), widen(template[joint]));
            }
        }
        let openpose_vertices = body.joints44.vertices();
        let flat = 3 * body.vertex_count();
        let vertices = OPENPOSE_INDICES.map(|index| {
            let vertex = openpose_vertices[index];
            let direction = |beta: usize| -> Vector {
                std::array::from_fn(|axis| f64::from(body.shapedirs[beta * flat + 3 * vertex + axis]))
            };
            let weights = body.weights.row(vertex).iter();
            Vertex {
                template: widen(body.v_template[vertex]),
                directions: std::array::from_fn(direction),
                weights: weights.map(|&(joint, weight)| (joint as usize, f64::from(weight))).collect(),
            }
        });
        let is_ancestor =
            std::array::from_fn(|first| std::array::from_fn(|second| is_ancestor_or_self(first, second)));
        let moving_joints = (0..POINTS).map(|point| {
            let moves = |joint: &usize| match JOINT_POINTS.get(point) {
                Some(&own) => *joint != own && is_ancestor[*joint][own],
                None => {
                    let weights = &vertices[point - JOINT_POINTS.len()].weights;
                    weights.iter().any(|&(own, _)| is_ancestor[*joint][own])
                }
            };
            (0..NUM_JOINTS).filter(moves).collect()
        });
        let moving_joints = moving_joints.collect();
        let template = std::array::from_fn(|joint| widen(template[joint]));
        Ok(Model { template, directions, vertices: vertices.into(), is_ancestor, moving_joints })
    }

    /// Joints whose rotations move a point.
    pub fn moving_joints(&self, point: usize) -> &[usize] {
        &self.moving_joints[point]
    }

    /// The rest pose with a shape.
    pub fn rest_state(betas: [f64; NUM_BETAS]) -> State {
        State { rotations: [IDENTITY; NUM_JOINTS], betas }
    }

    fn shaped_vertex(&self, vertex: &Vertex, betas: &[f64; NUM_BETAS]) -> Vector {
        combine(vertex.template, &vertex.directions, betas)
    }

    /// Computes joints and points of a state.
    pub fn pose(&self, state: &State) -> PosedPoints {
        let rest: [Vector; NUM_JOINTS] =
            std::array::from_fn(|joint| combine(self.template[joint], &self.directions[joint], &state.betas));
        let mut world_rotations = [state.rotations[0]; NUM_JOINTS];
        let mut joints = [rest[0]; NUM_JOINTS];
        for joint in 1..NUM_JOINTS {
            let parent = PARENTS[joint].unwrap_or(0);
            world_rotations[joint] = multiply(&world_rotations[parent], &state.rotations[joint]);
            joints[joint] =
                add(joints[parent], apply(&world_rotations[parent], sub(rest[joint], rest[parent])));
        }
        let mut posed = PosedPoints { rest, world_rotations, joints, points: [[0.0; 3]; POINTS] };
        for point in 0..POINTS {
            posed.points[point] = match JOINT_POINTS.get(point) {
                Some(&joint) => joints[joint],
                None => {
                    let vertex = &self.vertices[point - JOINT_POINTS.len()];
                    let at = self.shaped_vertex(vertex, &state.betas);
                    let parts = vertex.weights.iter();
                    parts.fold([0.0; 3], |sum, &(joint, weight)| {
                        add(sum, scale(transform_with_joint(&posed, joint, at), weight))
                    })
                }
            };
        }
        posed
    }

    /// Derivatives of the posed joints by the shape (24 x 10).
    pub fn joint_shape_jacobian(&self, posed: &PosedPoints) -> [[Vector; NUM_BETAS]; NUM_JOINTS] {
        let mut by_shape = [self.directions[0]; NUM_JOINTS];
        for joint in 1..NUM_JOINTS {
            let parent = PARENTS[joint].unwrap_or(0);
            by_shape[joint] = std::array::from_fn(|beta| {
                let bone = sub(self.directions[joint][beta], self.directions[parent][beta]);
                add(by_shape[parent][beta], apply(&posed.world_rotations[parent], bone))
            });
        }
        by_shape
    }

    /// Derivatives of one point; zero for joints that are not in [`Model::moving_joints`].
    pub fn jacobian(
        &self,
        point: usize,
        state: &State,
        posed: &PosedPoints,
        by_shape: &[[Vector; NUM_BETAS]; NUM_JOINTS],
    ) -> Jacobian {
        let mut jacobian = [[0.0; 3]; PARAMETERS];
        if let Some(&own) = JOINT_POINTS.get(point) {
            for &joint in self.moving_joints(point) {
                write_rotation(&mut jacobian, joint, sub(posed.joints[own], posed.joints[joint]));
            }
            jacobian[3 * NUM_JOINTS..].copy_from_slice(&by_shape[own]);
            return jacobian;
        }
        let vertex = &self.vertices[point - JOINT_POINTS.len()];
        let at = self.shaped_vertex(vertex, &state.betas);
        for &joint in self.moving_joints(point) {
            let below = vertex.weights.iter().filter(|(own, _)| self.is_ancestor[joint][*own]);
            let arm = below.fold([0.0; 3], |sum, &(own, weight)| {
                add(sum, scale(sub(transform_with_joint(posed, own, at), posed.joints[joint]), weight))
            });
            write_rotation(&mut jacobian, joint, arm);
        }
        for beta in 0..NUM_BETAS {
            let moved = vertex.weights.iter().fold([0.0; 3], |sum, &(own, weight)| {
                let inside = sub(vertex.directions[beta], self.directions[own][beta]);
                add(sum, scale(add(by_shape[own][beta], apply(&posed.world_rotations[own], inside)), weight))
            });
            jacobian[3 * NUM_JOINTS + beta] = moved;
        }
        jacobian
    }
}

/// Whether the first joint is the second one or one of its ancestors.
fn is_ancestor_or_self(first: usize, second: usize) -> bool {
    first == second || PARENTS[second].is_some_and(|parent| is_ancestor_or_self(first, parent))
}

/// `template + sum(directions * betas)`.
fn combine(template: Vector, directions: &[Vector; NUM_BETAS], betas: &[f64; NUM_BETAS]) -> Vector {
    directions.iter().zip(betas).fold(template, |sum, (direction, beta)| add(sum, scale(*direction, *beta)))
}

/// Transforms a point of the rest pose rigidly with one joint.
fn transform_with_joint(posed: &PosedPoints, joint: usize, at: Vector) -> Vector {
    add(posed.joints[joint], apply(&posed.world_rotations[joint], sub(at, posed.rest[joint])))
}

/// Writes the derivatives for a joint's rotation: a rotation about world axis k moves the end of `arm` by `axis k x arm`.
fn write_rotation(jacobian: &mut Jacobian, joint: usize, arm: Vector) {
    for (axis, unit) in IDENTITY.iter().enumerate() {
        jacobian[3 * joint + axis] = cross(*unit, arm);
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear::{exp, norm, transpose};
    use super::*;
    use posebook_core::random::stream;

    fn random_state(seed: u64) -> State {
        let mut draws = stream(seed, "fit model", &[]);
        let rotations = std::array::from_fn(|_| exp([0; 3].map(|_| 0.5 * draws.normal())));
        State { rotations, betas: std::array::from_fn(|_| draws.normal()) }
    }

    #[test]
    fn the_reduced_body_equals_the_full_body() {
        let body = Body::built_in();
        let model = Model::new(&body).unwrap();
        let state = random_state(1);
        let narrow = |m: &Matrix| m.map(|row| row.map(|x| x as f32));
        let full = body.pose(&posebook_core::person::SmplParams {
            betas: state.betas.map(|beta| beta as f32),
            global_orient: narrow(&state.rotations[0]),
            body_pose: std::array::from_fn(|joint| narrow(&state.rotations[joint + 1])),
        });
        let posed = model.pose(&state);
        for joint in 0..NUM_JOINTS {
            assert!(norm(sub(posed.joints[joint], widen(full.joints24[joint]))) < 1e-5, "joint {joint}");
        }
        // joints44: nose 0, then 15 to 24 in OpenPose's order
        for (point, joint44) in
            [(12, 0), (13, 16), (14, 15), (15, 18), (16, 17), (17, 21), (18, 24), (19, 19), (20, 22)]
        {
            let error = norm(sub(posed.points[point], widen(full.joints44[joint44])));
            assert!(error < 1e-5, "point {point}: {error}");
        }
    }

    #[test]
    fn derivatives_match_finite_differences() {
        let model = Model::new(&Body::built_in()).unwrap();
        let state = random_state(2);
        let posed = model.pose(&state);
        let by_shape = model.joint_shape_jacobian(&posed);
        let step = 1e-6;
        for point in 0..POINTS {
            let jacobian = model.jacobian(point, &state, &posed, &by_shape);
            for parameter in 0..PARAMETERS {
                let mut moved = state;
                if parameter < 3 * NUM_JOINTS {
                    let joint = parameter / 3;
                    let above = PARENTS[joint].map_or(IDENTITY, |parent| posed.world_rotations[parent]);
                    let rotation = exp(scale(IDENTITY[parameter % 3], step));
                    let local = multiply(&transpose(&above), &multiply(&rotation, &above));
                    moved.rotations[joint] = multiply(&local, &moved.rotations[joint]);
                } else {
                    moved.betas[parameter - 3 * NUM_JOINTS] += step;
                }
                let difference =
                    scale(sub(model.pose(&moved).points[point], posed.points[point]), 1.0 / step);
                let error = norm(sub(difference, jacobian[parameter]));
                assert!(
                    error < 1e-5,
                    "point {point}, parameter {parameter}: {difference:?} {:?}",
                    jacobian[parameter]
                );
            }
        }
    }

    #[test]
    fn another_skeleton_is_rejected() {
        let mut body = Body::built_in();
        body.parents[16] = Some(9);
        let message = Model::new(&body).unwrap_err().to_string();
        assert!(message.contains("left_shoulder"), "{message}");
    }
}
