//! Gauss-Newton optimization of 24 x 3 rotation parameters, ten betas, and the camera's scale and offset.
//!
//! Rotations are about world axes at each joint, so that derivatives are cross products. The normal equations are assembled
//! point by point over the unknowns that move the point, and solved by Cholesky factorization.

use super::camera::Camera;
use super::linear::{
    Matrix, Vector, add, apply, apply_transposed, clamp_norm, exp, factor, log, multiply, norm, scale,
    solve_lower, solve_upper, sub, transpose,
};
use super::model::{JOINT_POINTS, Jacobian, Model, PARAMETERS, POINTS, PosedPoints, State};
use super::observe::Observations;
use super::{FitError, Settings};
use crate::body::{NUM_BETAS, NUM_JOINTS, PARENTS};

/// Rotations, shape and camera.
const UNKNOWNS: usize = PARAMETERS + 3;
/// Index of the camera's unknowns: scale, then offset, both relative to the scale.
const CAMERA: usize = PARAMETERS;
/// Indices of the hips in the observed points.
const HIPS: [usize; 2] = [6, 7];
/// Relative damping of the diagonal, for unknowns without observations.
const DAMPING: f64 = 1e-6;
/// Limit of shape coefficients, standard deviations.
pub(super) const BETA_LIMIT: f64 = 5.0;
/// Maximum relative change of the camera's scale in one step.
const SCALE_LIMIT: f64 = 0.5;

/// A pose, shape and camera with their cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Solution {
    pub state: State,
    pub camera: Camera,
    /// Points of `state`.
    pub posed: PosedPoints,
    cost: f64,
    /// The cost of the observations, without priors.
    data_cost: f64,
    /// Gauss-Newton steps so far.
    pub steps: usize,
}

/// The optimization problem.
pub(super) struct Problem<'a> {
    pub model: &'a Model,
    pub observations: &'a Observations,
    pub settings: &'a Settings,
    /// The closed-form pose: initial value and center of the rotation prior.
    pub initial_pose: &'a [Matrix; NUM_JOINTS],
    /// The mean shape of the person's track.
    pub track_betas: Option<[f64; NUM_BETAS]>,
}

/// Normal equations: the lower triangle of `J^T W J`, and `J^T W r`.
struct NormalEquations {
    matrix: [[f64; UNKNOWNS]; UNKNOWNS],
    gradient: [f64; UNKNOWNS],
}

impl Problem<'_> {
    /// Optimizes from the closed-form pose and the track's shape, or the mean shape.
    ///
    /// # Errors
    /// [`FitError::Degenerate`] if the points do not determine a camera.
    pub fn solve(&self) -> Result<Solution, FitError> {
        let state =
            State { rotations: *self.initial_pose, betas: self.track_betas.unwrap_or([0.0; NUM_BETAS]) };
        let posed = self.model.pose(&state);
        let camera = Camera::between(&posed.points, &self.observations.points)?;
        let mut best = self.evaluate(state, camera, 0);
        let mut normal = NormalEquations::ZERO;
        for step in 1..=self.settings.steps {
            self.assemble(&best, &mut normal);
            if !normal.factor() {
                break;
            }
            let mut change = normal.gradient.map(|g| -g);
            solve_lower(&normal.matrix, &mut change);
            solve_upper(&normal.matrix, &mut change);
            let Some(next) = self.line_search(&best, &change, step) else { break };
            let gain = (best.cost - next.cost) / best.cost.max(f64::MIN_POSITIVE);
            best = next;
            if gain < self.settings.tolerance {
                break;
            }
        }
        Ok(best)
    }

    /// Backtracking line search: applies the step, or a half or quarter of it, until the cost decreases; `None` if it never
    /// does.
    fn line_search(&self, best: &Solution, change: &[f64; UNKNOWNS], step: usize) -> Option<Solution> {
        [1.0, 0.5, 0.25].into_iter().find_map(|fraction| {
            let state = self.apply_step(best, change, fraction);
            let camera = step_camera(&best.camera, change, fraction);
            let next = self.evaluate(state, camera, step);
            (next.cost < best.cost).then_some(next)
        })
    }

    /// Priors of a shape coefficient as (center, weight): the mean shape and the track's shape.
    fn shape_priors(&self, beta: usize) -> [(f64, f64); 2] {
        let weight = |deviation: f64| 1.0 / (deviation * deviation);
        let track_prior =
            self.track_betas.map(|betas| (betas[beta], weight(self.settings.track_betas_deviation)));
        [(0.0, weight(self.settings.betas_deviation)), track_prior.unwrap_or((0.0, 0.0))]
    }

    fn apply_step(&self, best: &Solution, change: &[f64; UNKNOWNS], fraction: f64) -> State {
        let mut state = best.state;
        for joint in 0..NUM_JOINTS {
            let rotation: Vector = std::array::from_fn(|axis| fraction * change[3 * joint + axis]);
            let rotation = clamp_norm(rotation, self.settings.step_limit_rad);
            let rotation = match PARENTS[joint] {
                Some(parent) => apply_transposed(&best.posed.world_rotations[parent], rotation),
                None => rotation,
            };
            state.rotations[joint] = multiply(&exp(rotation), &state.rotations[joint]);
        }
        for (beta, change) in state.betas.iter_mut().zip(&change[3 * NUM_JOINTS..PARAMETERS]) {
            *beta = (*beta + fraction * change).clamp(-BETA_LIMIT, BETA_LIMIT);
        }
        state
    }

    fn evaluate(&self, state: State, camera: Camera, steps: usize) -> Solution {
        let posed = self.model.pose(&state);
        let mut solution = Solution { state, camera, posed, cost: 0.0, data_cost: 0.0, steps };
        for point in 0..POINTS {
            let weight = self.observations.points[point].weight;
            if let Some(residual) = self.world_residual(&solution, point) {
                let error = norm(residual) / self.settings.world_deviation_m;
                solution.data_cost += weight * error * error;
            }
            if let Some(residual) = self.image_residual(&solution, point) {
                let (length, threshold) = (length(residual), self.settings.picture_soft_m);
                let square = if length <= threshold {
                    length * length
                } else {
                    threshold * (2.0 * length - threshold)
                };
                solution.data_cost += weight * square / self.settings.picture_deviation_m.powi(2);
            }
        }
        let weights = self.settings.rotation_weights();
        let rotations: f64 = (0..NUM_JOINTS)
            .map(|joint| {
                let error = norm(self.rotation_residual(&solution, joint));
                weights[joint] * error * error
            })
            .sum();
        let shape: f64 = (0..NUM_BETAS)
            .map(|beta| {
                let value = solution.state.betas[beta];
                self.shape_priors(beta)
                    .iter()
                    .map(|(center, weight)| weight * (value - center).powi(2))
                    .sum::<f64>()
            })
            .sum();
        solution.cost = solution.data_cost + rotations + shape;
        if solution.cost.is_nan() {
            solution.cost = f64::INFINITY;
        }
        solution
    }

    /// Body point relative to the midpoint of the hips, minus the world landmark.
    fn world_residual(&self, solution: &Solution, point: usize) -> Option<Vector> {
        let observed = self.observations.points[point].world?;
        let points = &solution.posed.points;
        let root = scale(add(points[HIPS[0]], points[HIPS[1]]), 0.5);
        Some(sub(sub(points[point], root), observed))
    }

    /// Projected body point minus the image landmark, in meters at the body's scale.
    fn image_residual(&self, solution: &Solution, point: usize) -> Option<[f64; 2]> {
        let observed = self.observations.points[point].pixel?;
        let projected = solution.camera.project(solution.posed.points[point]);
        Some([0, 1].map(|axis| (projected[axis] - observed[axis]) / solution.camera.scale))
    }

    /// The rotation vector, in world axes, from a joint's closed-form rotation to its current one.
    fn rotation_residual(&self, solution: &Solution, joint: usize) -> Vector {
        let rotation =
            log(&multiply(&solution.state.rotations[joint], &transpose(&self.initial_pose[joint])));
        match PARENTS[joint] {
            Some(parent) => apply(&solution.posed.world_rotations[parent], rotation),
            None => rotation,
        }
    }

    /// Assembles the normal equations at a solution.
    fn assemble(&self, solution: &Solution, normal: &mut NormalEquations) {
        *normal = NormalEquations::ZERO;
        let posed = &solution.posed;
        let by_shape = self.model.joint_shape_jacobian(posed);
        let jacobian = |point: usize| self.model.jacobian(point, &solution.state, posed, &by_shape);
        let hips = HIPS.map(jacobian);
        for point in 0..POINTS {
            let own = jacobian(point);
            let weight = self.observations.points[point].weight;
            let mut active = [0; UNKNOWNS];
            let count = self.active(point, &mut active);
            let active = &active[..count];
            if let Some(residual) = self.world_residual(solution, point) {
                let weight = weight / self.settings.world_deviation_m.powi(2);
                for axis in 0..3 {
                    let mut row = [0.0; UNKNOWNS];
                    for &parameter in active.iter().filter(|parameter| **parameter < PARAMETERS) {
                        row[parameter] = own[parameter][axis]
                            - 0.5 * (hips[0][parameter][axis] + hips[1][parameter][axis]);
                    }
                    normal.add(&row, residual[axis], weight, active);
                }
            }
            if let Some(residual) = self.image_residual(solution, point) {
                // iteratively reweighted least squares: above the threshold Huber's cost has the weight threshold / length
                let huber_weight = (self.settings.picture_soft_m / length(residual)).min(1.0);
                let weight = weight * huber_weight / self.settings.picture_deviation_m.powi(2);
                for axis in 0..2 {
                    let mut row = [0.0; UNKNOWNS];
                    for &parameter in active.iter().filter(|parameter| **parameter < PARAMETERS) {
                        row[parameter] = own[parameter][axis];
                    }
                    row[CAMERA] = posed.points[point][axis];
                    row[CAMERA + 1 + axis] = 1.0;
                    normal.add(&row, residual[axis], weight, active);
                }
            }
        }
        let weights = self.settings.rotation_weights();
        for (joint, weight) in weights.into_iter().enumerate() {
            for (axis, error) in self.rotation_residual(solution, joint).into_iter().enumerate() {
                normal.matrix[3 * joint + axis][3 * joint + axis] += weight;
                normal.gradient[3 * joint + axis] += weight * error;
            }
        }
        for beta in 0..NUM_BETAS {
            for (center, weight) in self.shape_priors(beta) {
                normal.matrix[3 * NUM_JOINTS + beta][3 * NUM_JOINTS + beta] += weight;
                normal.gradient[3 * NUM_JOINTS + beta] += weight * (solution.state.betas[beta] - center);
            }
        }
    }

    /// Writes the unknowns that affect a point's residuals in ascending order; returns their number.
    fn active(&self, point: usize, active: &mut [usize; UNKNOWNS]) -> usize {
        let rotations = self.model.moving_joints(point);
        let mut count = 0;
        let mut push = |unknown: usize| {
            active[count] = unknown;
            count += 1;
        };
        // the pelvis moves the midpoint of the hips, and with it every residual
        (0..3).for_each(&mut push);
        for &joint in rotations.iter().filter(|joint| **joint != 0) {
            (3 * joint..3 * joint + 3).for_each(&mut push);
        }
        (3 * NUM_JOINTS..UNKNOWNS).for_each(&mut push);
        count
    }

    /// Standard deviations of the scored joints relative to the midpoint of the hips, meters.
    ///
    /// The inverse of the normal matrix is the covariance of the unknowns if residuals match their deviations; it is
    /// multiplied by the mean squared normalized residual if that is above 1. A joint's deviation is the root of the trace
    /// of its covariance.
    pub fn deviations(&self, solution: &Solution) -> Option<[f64; JOINT_POINTS.len()]> {
        let mut normal = NormalEquations::ZERO;
        self.assemble(solution, &mut normal);
        if !normal.factor() {
            return None;
        }
        let coordinates: f64 = self
            .observations
            .points
            .iter()
            .map(|point| {
                point.weight
                    * (if point.world.is_some() { 3.0 } else { 0.0 }
                        + if point.pixel.is_some() { 2.0 } else { 0.0 })
            })
            .sum();
        let inflation = (solution.data_cost / coordinates).max(1.0);
        let by_shape = self.model.joint_shape_jacobian(&solution.posed);
        let jacobian = |point: usize| -> Jacobian {
            self.model.jacobian(point, &solution.state, &solution.posed, &by_shape)
        };
        let hips = HIPS.map(jacobian);
        Some(std::array::from_fn(|point| {
            let own = jacobian(point);
            let trace: f64 = (0..3)
                .map(|axis| {
                    let mut row = [0.0; UNKNOWNS];
                    for parameter in 0..PARAMETERS {
                        row[parameter] = own[parameter][axis]
                            - 0.5 * (hips[0][parameter][axis] + hips[1][parameter][axis]);
                    }
                    solve_lower(&normal.matrix, &mut row);
                    row.iter().map(|value| value * value).sum::<f64>()
                })
                .sum();
            (inflation * trace).sqrt()
        }))
    }

    /// Mean residuals of the observed points: image in pixels, world in meters.
    pub fn residuals(&self, solution: &Solution) -> [f64; 2] {
        let mean = |distance: &dyn Fn(usize) -> Option<f64>| {
            let (sum, count) =
                (0..POINTS).filter_map(distance).fold((0.0, 0.0), |(s, n), d| (s + d, n + 1.0));
            if count > 0.0 { sum / count } else { 0.0 }
        };
        [
            mean(&|point| Some(length(self.image_residual(solution, point)?) * solution.camera.scale)),
            mean(&|point| Some(norm(self.world_residual(solution, point)?))),
        ]
    }
}

fn length(a: [f64; 2]) -> f64 {
    (a[0] * a[0] + a[1] * a[1]).sqrt()
}

fn step_camera(camera: &Camera, change: &[f64; UNKNOWNS], fraction: f64) -> Camera {
    let scale = camera.scale * (1.0 + (fraction * change[CAMERA]).clamp(-SCALE_LIMIT, SCALE_LIMIT));
    let offset = [0, 1].map(|axis| camera.offset[axis] + fraction * change[CAMERA + 1 + axis] * camera.scale);
    Camera { scale, offset }
}

impl NormalEquations {
    const ZERO: NormalEquations =
        NormalEquations { matrix: [[0.0; UNKNOWNS]; UNKNOWNS], gradient: [0.0; UNKNOWNS] };

    /// Adds one residual's Jacobian row, which is zero except for the active unknowns.
    fn add(&mut self, row: &[f64; UNKNOWNS], residual: f64, weight: f64, active: &[usize]) {
        for (count, &i) in active.iter().enumerate() {
            let value = weight * row[i];
            if value == 0.0 {
                continue;
            }
            self.gradient[i] += value * residual;
            for &j in &active[..=count] {
                self.matrix[i][j] += value * row[j];
            }
        }
    }

    /// Damps and factors the matrix; false if it is not positive definite.
    fn factor(&mut self) -> bool {
        for unknown in 0..UNKNOWNS {
            self.matrix[unknown][unknown] *= 1.0 + DAMPING;
            self.matrix[unknown][unknown] += 1e-9;
        }
        factor(&mut self.matrix)
    }
}
