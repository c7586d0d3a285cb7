//! The part of a body that the fit needs: 24 joints and nine vertices, with their derivatives.
//!
//! Joints are linear in the shape before the chain of rotations; a vertex is skinned by its few joints. The
//! pose's corrective blend shapes are left out here: they move a face or a heel by millimeters, which is less than
//! the points' own error. Must not know landmarks or cameras.

use super::FitError;
use super::linear::{IDENTITY, Matrix, Vector, add, apply, cross, multiply, scale, sub, widen};
use crate::body::{BETAS, Body, JOINT_NAMES, PARENTS, SKELETON};

/// Points of the body that landmarks observe: 12 joints, then nine vertices.
pub(super) const POINTS: usize = 21;
/// The first points are joints, in the order of `crate::landmarks::SCORED`.
pub(super) const JOINT_POINTS: [usize; 12] = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8];
/// Vertices: nose, left and right eye, ear, heel, big toe.
const VERTICES: usize = 9;
/// Their places in `crate::body::OPENPOSE_VERTICES`.
const PICKED: [usize; VERTICES] = [0, 2, 1, 4, 3, 7, 10, 5, 8];
/// Places of the points in the order above.
pub(super) mod at {
    pub const NOSE: usize = 12;
    pub const LEFT_EAR: usize = 15;
    pub const RIGHT_EAR: usize = 16;
    pub const LEFT_HEEL: usize = 17;
    pub const RIGHT_HEEL: usize = 18;
    pub const LEFT_TOE: usize = 19;
    pub const RIGHT_TOE: usize = 20;
}

/// Turns of 24 joints and the shape: what moves points of the body.
pub(super) const MOVERS: usize = 3 * SKELETON + BETAS;

/// A vertex of the rest mesh.
#[derive(Debug, Clone)]
struct Vertex {
    template: Vector,
    directions: [Vector; BETAS],
    /// Joints and their shares.
    weights: Vec<(usize, f64)>,
}

/// A body reduced to what the fit needs.
#[derive(Debug, Clone)]
pub(super) struct Model {
    template: [Vector; SKELETON],
    directions: [[Vector; BETAS]; SKELETON],
    vertices: Vec<Vertex>,
    /// Whether the first joint is the second one or comes before it.
    is_before: [[bool; SKELETON]; SKELETON],
    /// For each point the joints whose turns move it.
    turned_by: Vec<Vec<usize>>,
}

/// Pose and shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// Each joint's rotation relative to its parent (24).
    pub turns: [Matrix; SKELETON],
    pub betas: [f64; BETAS],
}

/// Where everything is in a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posed {
    /// Rest joints of the shape.
    pub rest: [Vector; SKELETON],
    /// Rotations of the joints' frames.
    pub worlds: [Matrix; SKELETON],
    /// The joints, relative to the body's origin.
    pub places: [Vector; SKELETON],
    /// The observed points.
    pub points: [Vector; POINTS],
}

/// Derivatives of one point by the movers: turns about world axes at each joint, then the shape.
pub(super) type Jacobian = [Vector; MOVERS];

impl Model {
    pub fn new(body: &Body) -> Result<Model, FitError> {
        for (joint, name) in JOINT_NAMES.iter().enumerate() {
            let (found, expected) = (body.parents[joint], PARENTS[joint]);
            if found != expected {
                return Err(FitError::Skeleton { joint: name, found, expected });
            }
        }
        let template = body.rest_joints(&[0.0; BETAS]);
        let mut directions = [[[0.0; 3]; BETAS]; SKELETON];
        for beta in 0..BETAS {
            let mut betas = [0.0; BETAS];
            betas[beta] = 1.0;
            for (joint, moved) in body.rest_joints(&betas).into_iter().enumerate() {
                directions[joint][beta] = sub(widen(moved), widen(template[joint]));
            }
        }
        let picked = body.joints44.vertices();
        let flat = 3 * body.vertex_count();
        let vertices = PICKED.map(|place| {
            let vertex = picked[place];
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
        let is_before =
            std::array::from_fn(|first| std::array::from_fn(|second| comes_before(first, second)));
        let turned_by = (0..POINTS).map(|point| {
            let moves = |joint: &usize| match JOINT_POINTS.get(point) {
                Some(&own) => *joint != own && is_before[*joint][own],
                None => {
                    let weights = &vertices[point - JOINT_POINTS.len()].weights;
                    weights.iter().any(|&(own, _)| is_before[*joint][own])
                }
            };
            (0..SKELETON).filter(moves).collect()
        });
        let turned_by = turned_by.collect();
        let template = std::array::from_fn(|joint| widen(template[joint]));
        Ok(Model { template, directions, vertices: vertices.into(), is_before, turned_by })
    }

    /// The joints whose turns move a point.
    pub fn turned_by(&self, point: usize) -> &[usize] {
        &self.turned_by[point]
    }

    /// The state of rest with a shape.
    pub fn at_rest(betas: [f64; BETAS]) -> State {
        State { turns: [IDENTITY; SKELETON], betas }
    }

    fn shaped(&self, vertex: &Vertex, betas: &[f64; BETAS]) -> Vector {
        combine(vertex.template, &vertex.directions, betas)
    }

    /// Where a state puts joints and points.
    pub fn pose(&self, state: &State) -> Posed {
        let rest: [Vector; SKELETON] =
            std::array::from_fn(|joint| combine(self.template[joint], &self.directions[joint], &state.betas));
        let mut worlds = [state.turns[0]; SKELETON];
        let mut places = [rest[0]; SKELETON];
        for joint in 1..SKELETON {
            let parent = PARENTS[joint].unwrap_or(0);
            worlds[joint] = multiply(&worlds[parent], &state.turns[joint]);
            places[joint] = add(places[parent], apply(&worlds[parent], sub(rest[joint], rest[parent])));
        }
        let mut posed = Posed { rest, worlds, places, points: [[0.0; 3]; POINTS] };
        for point in 0..POINTS {
            posed.points[point] = match JOINT_POINTS.get(point) {
                Some(&joint) => places[joint],
                None => {
                    let vertex = &self.vertices[point - JOINT_POINTS.len()];
                    let at = self.shaped(vertex, &state.betas);
                    let parts = vertex.weights.iter();
                    parts.fold([0.0; 3], |sum, &(joint, weight)| {
                        add(sum, scale(carried(&posed, joint, at), weight))
                    })
                }
            };
        }
        posed
    }

    /// Derivatives of the joints' places by the shape (24 x 10).
    pub fn places_by_shape(&self, posed: &Posed) -> [[Vector; BETAS]; SKELETON] {
        let mut by_shape = [self.directions[0]; SKELETON];
        for joint in 1..SKELETON {
            let parent = PARENTS[joint].unwrap_or(0);
            by_shape[joint] = std::array::from_fn(|beta| {
                let bone = sub(self.directions[joint][beta], self.directions[parent][beta]);
                add(by_shape[parent][beta], apply(&posed.worlds[parent], bone))
            });
        }
        by_shape
    }

    /// Derivatives of one point; zero where [`Model::turned_by`] does not name the joint.
    pub fn jacobian(
        &self,
        point: usize,
        state: &State,
        posed: &Posed,
        by_shape: &[[Vector; BETAS]; SKELETON],
    ) -> Jacobian {
        let mut jacobian = [[0.0; 3]; MOVERS];
        if let Some(&own) = JOINT_POINTS.get(point) {
            for &joint in self.turned_by(point) {
                write_turn(&mut jacobian, joint, sub(posed.places[own], posed.places[joint]));
            }
            jacobian[3 * SKELETON..].copy_from_slice(&by_shape[own]);
            return jacobian;
        }
        let vertex = &self.vertices[point - JOINT_POINTS.len()];
        let at = self.shaped(vertex, &state.betas);
        for &joint in self.turned_by(point) {
            let below = vertex.weights.iter().filter(|(own, _)| self.is_before[joint][*own]);
            let arm = below.fold([0.0; 3], |sum, &(own, weight)| {
                add(sum, scale(sub(carried(posed, own, at), posed.places[joint]), weight))
            });
            write_turn(&mut jacobian, joint, arm);
        }
        for beta in 0..BETAS {
            let moved = vertex.weights.iter().fold([0.0; 3], |sum, &(own, weight)| {
                let inside = sub(vertex.directions[beta], self.directions[own][beta]);
                add(sum, scale(add(by_shape[own][beta], apply(&posed.worlds[own], inside)), weight))
            });
            jacobian[3 * SKELETON + beta] = moved;
        }
        jacobian
    }
}

/// Whether a joint is another one or lies between it and the pelvis.
fn comes_before(first: usize, second: usize) -> bool {
    first == second || PARENTS[second].is_some_and(|parent| comes_before(first, parent))
}

/// `template` plus the directions times the betas.
fn combine(template: Vector, directions: &[Vector; BETAS], betas: &[f64; BETAS]) -> Vector {
    directions.iter().zip(betas).fold(template, |sum, (direction, beta)| add(sum, scale(*direction, *beta)))
}

/// Where a joint alone takes a rest point.
fn carried(posed: &Posed, joint: usize, at: Vector) -> Vector {
    add(posed.places[joint], apply(&posed.worlds[joint], sub(at, posed.rest[joint])))
}

/// A turn about world axis k moves the end of `arm` by `axis k x arm`.
fn write_turn(jacobian: &mut Jacobian, joint: usize, arm: Vector) {
    for (axis, unit) in IDENTITY.iter().enumerate() {
        jacobian[3 * joint + axis] = cross(*unit, arm);
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear::{exp, norm, transpose};
    use super::*;
    use crate::random::stream;

    fn random_state(seed: u64) -> State {
        let mut draws = stream(seed, "fit model", &[]);
        let turns = std::array::from_fn(|_| exp([0; 3].map(|_| 0.5 * draws.normal())));
        State { turns, betas: std::array::from_fn(|_| draws.normal()) }
    }

    #[test]
    fn the_reduced_body_is_the_whole_one() {
        let body = Body::stand_in();
        let model = Model::new(&body).unwrap();
        let state = random_state(1);
        let narrow = |m: &Matrix| m.map(|row| row.map(|x| x as f32));
        let whole = body.pose(&crate::person::SmplParams {
            betas: state.betas.map(|beta| beta as f32),
            global_orient: narrow(&state.turns[0]),
            body_pose: std::array::from_fn(|joint| narrow(&state.turns[joint + 1])),
        });
        let posed = model.pose(&state);
        for joint in 0..SKELETON {
            assert!(norm(sub(posed.places[joint], widen(whole.joints24[joint]))) < 1e-5, "joint {joint}");
        }
        // joints44: nose 0, then 15 to 24 in OpenPose's order
        for (point, joint44) in
            [(12, 0), (13, 16), (14, 15), (15, 18), (16, 17), (17, 21), (18, 24), (19, 19), (20, 22)]
        {
            let off = norm(sub(posed.points[point], widen(whole.joints44[joint44])));
            assert!(off < 1e-5, "point {point}: {off}");
        }
    }

    #[test]
    fn derivatives_are_those_of_differences() {
        let model = Model::new(&Body::stand_in()).unwrap();
        let state = random_state(2);
        let posed = model.pose(&state);
        let by_shape = model.places_by_shape(&posed);
        let step = 1e-6;
        for point in 0..POINTS {
            let jacobian = model.jacobian(point, &state, &posed, &by_shape);
            for mover in 0..MOVERS {
                let mut moved = state;
                if mover < 3 * SKELETON {
                    let joint = mover / 3;
                    let above = PARENTS[joint].map_or(IDENTITY, |parent| posed.worlds[parent]);
                    let turn = exp(scale(IDENTITY[mover % 3], step));
                    let local = multiply(&transpose(&above), &multiply(&turn, &above));
                    moved.turns[joint] = multiply(&local, &moved.turns[joint]);
                } else {
                    moved.betas[mover - 3 * SKELETON] += step;
                }
                let difference =
                    scale(sub(model.pose(&moved).points[point], posed.points[point]), 1.0 / step);
                let off = norm(sub(difference, jacobian[mover]));
                assert!(off < 1e-5, "point {point}, mover {mover}: {difference:?} {:?}", jacobian[mover]);
            }
        }
    }

    #[test]
    fn another_skeleton_is_refused() {
        let mut body = Body::stand_in();
        body.parents[16] = Some(9);
        let message = Model::new(&body).unwrap_err().to_string();
        assert!(message.contains("left_shoulder"), "{message}");
    }
}
