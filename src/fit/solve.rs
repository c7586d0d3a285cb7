//! Gauss-Newton steps over 24 x 3 turns, ten betas, scale and shift.
//!
//! Turns are about world axes at each joint, so that derivatives are cross products. The normal equations are
//! gathered point by point over the unknowns that move the point, and solved by Cholesky's factors.

use super::camera::Camera;
use super::linear::{
    Matrix, Vector, add, apply, apply_transposed, exp, factor, limited, log, multiply, norm, scale,
    solve_lower, solve_upper, sub, transpose,
};
use super::model::{JOINT_POINTS, Jacobian, MOVERS, Model, POINTS, Posed, State};
use super::observe::Observations;
use super::{FitError, Settings};
use crate::body::{BETAS, PARENTS, SKELETON};

/// Turns, shape and camera.
const UNKNOWNS: usize = MOVERS + 3;
/// The unknowns of the camera: scale, then shift, both as shares of the scale.
const CAMERA: usize = MOVERS;
/// The hips among the observed points.
const HIPS: [usize; 2] = [6, 7];
/// Added to the diagonal, relative to it, against unknowns that nothing observes.
const DAMPING: f64 = 1e-6;
/// Shapes beyond this many deviations are no people's.
pub(super) const BETA_LIMIT: f64 = 5.0;
/// A step changes the camera's scale by at most this share.
const SCALE_LIMIT: f64 = 0.5;

/// A pose, a shape and a camera, with what they cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Solution {
    pub state: State,
    pub camera: Camera,
    pub posed: Posed,
    cost: f64,
    /// The part of the cost that observations make.
    misfit: f64,
    pub steps: usize,
}

/// What is minimized.
pub(super) struct Problem<'a> {
    pub model: &'a Model,
    pub observations: &'a Observations,
    pub settings: &'a Settings,
    /// The closed-form pose, which turns are held to.
    pub first: &'a [Matrix; SKELETON],
    /// The mean shape of the person's track so far.
    pub track: Option<[f64; BETAS]>,
}

/// Normal equations: the lower triangle of `J^T W J`, and `J^T W r`.
struct Normal {
    matrix: [[f64; UNKNOWNS]; UNKNOWNS],
    gradient: [f64; UNKNOWNS],
}

impl Problem<'_> {
    /// Fits from the closed-form pose and the track's shape, or the mean one.
    ///
    /// # Errors
    /// [`FitError::Degenerate`] if there is no camera.
    pub fn solve(&self) -> Result<Solution, FitError> {
        let state = State { turns: *self.first, betas: self.track.unwrap_or([0.0; BETAS]) };
        let posed = self.model.pose(&state);
        let camera = Camera::between(&posed.points, &self.observations.points)?;
        let mut best = self.valued(state, camera, 0);
        let mut normal = Normal::ZERO;
        for step in 1..=self.settings.steps {
            self.gather(&best, &mut normal);
            if !normal.factor() {
                break;
            }
            let mut change = normal.gradient.map(|g| -g);
            solve_lower(&normal.matrix, &mut change);
            solve_upper(&normal.matrix, &mut change);
            let Some(next) = self.improved(&best, &change, step) else { break };
            let gain = (best.cost - next.cost) / best.cost.max(f64::MIN_POSITIVE);
            best = next;
            if gain < self.settings.tolerance {
                break;
            }
        }
        Ok(best)
    }

    /// The solution after the change, or a part of it where the whole of it costs more; `None` where no part helps.
    fn improved(&self, best: &Solution, change: &[f64; UNKNOWNS], step: usize) -> Option<Solution> {
        [1.0, 0.5, 0.25].into_iter().find_map(|share| {
            let state = self.moved(best, change, share);
            let camera = moved_camera(&best.camera, change, share);
            let next = self.valued(state, camera, step);
            (next.cost < best.cost).then_some(next)
        })
    }

    /// What a shape coefficient is held to: centers and weights, those of the mean shape and of the track.
    fn shape_priors(&self, beta: usize) -> [(f64, f64); 2] {
        let weight = |deviation: f64| 1.0 / (deviation * deviation);
        let of_track = self.track.map(|betas| (betas[beta], weight(self.settings.track_betas_deviation)));
        [(0.0, weight(self.settings.betas_deviation)), of_track.unwrap_or((0.0, 0.0))]
    }

    fn moved(&self, best: &Solution, change: &[f64; UNKNOWNS], share: f64) -> State {
        let mut state = best.state;
        for joint in 0..SKELETON {
            let turn: Vector = std::array::from_fn(|axis| share * change[3 * joint + axis]);
            let turn = limited(turn, self.settings.step_limit_rad);
            let turn = match PARENTS[joint] {
                Some(parent) => apply_transposed(&best.posed.worlds[parent], turn),
                None => turn,
            };
            state.turns[joint] = multiply(&exp(turn), &state.turns[joint]);
        }
        for (beta, change) in state.betas.iter_mut().zip(&change[3 * SKELETON..MOVERS]) {
            *beta = (*beta + share * change).clamp(-BETA_LIMIT, BETA_LIMIT);
        }
        state
    }

    fn valued(&self, state: State, camera: Camera, steps: usize) -> Solution {
        let posed = self.model.pose(&state);
        let mut solution = Solution { state, camera, posed, cost: 0.0, misfit: 0.0, steps };
        for point in 0..POINTS {
            let weight = self.observations.points[point].weight;
            if let Some(residual) = self.world_residual(&solution, point) {
                let off = norm(residual) / self.settings.world_deviation_m;
                solution.misfit += weight * off * off;
            }
            if let Some(residual) = self.picture_residual(&solution, point) {
                let (length, soft) = (length(residual), self.settings.picture_soft_m);
                let square = if length <= soft { length * length } else { soft * (2.0 * length - soft) };
                solution.misfit += weight * square / self.settings.picture_deviation_m.powi(2);
            }
        }
        let weights = self.settings.turn_weights();
        let turns: f64 = (0..SKELETON)
            .map(|joint| {
                let off = norm(self.turn_residual(&solution, joint));
                weights[joint] * off * off
            })
            .sum();
        let shape: f64 = (0..BETAS)
            .map(|beta| {
                let value = solution.state.betas[beta];
                self.shape_priors(beta)
                    .iter()
                    .map(|(center, weight)| weight * (value - center).powi(2))
                    .sum::<f64>()
            })
            .sum();
        solution.cost = solution.misfit + turns + shape;
        if solution.cost.is_nan() {
            solution.cost = f64::INFINITY;
        }
        solution
    }

    /// A point relative to the middle of the hips, less the world point.
    fn world_residual(&self, solution: &Solution, point: usize) -> Option<Vector> {
        let seen = self.observations.points[point].world?;
        let points = &solution.posed.points;
        let root = scale(add(points[HIPS[0]], points[HIPS[1]]), 0.5);
        Some(sub(sub(points[point], root), seen))
    }

    /// A point in the picture less the observed one, in meters at the body's scale.
    fn picture_residual(&self, solution: &Solution, point: usize) -> Option<[f64; 2]> {
        let seen = self.observations.points[point].pixel?;
        let at = solution.camera.project(solution.posed.points[point]);
        Some([0, 1].map(|axis| (at[axis] - seen[axis]) / solution.camera.scale))
    }

    /// The turn from a joint's closed-form rotation to its present one, a rotation vector in world axes.
    fn turn_residual(&self, solution: &Solution, joint: usize) -> Vector {
        let turn = log(&multiply(&solution.state.turns[joint], &transpose(&self.first[joint])));
        match PARENTS[joint] {
            Some(parent) => apply(&solution.posed.worlds[parent], turn),
            None => turn,
        }
    }

    /// Gathers the normal equations at a solution.
    fn gather(&self, solution: &Solution, normal: &mut Normal) {
        *normal = Normal::ZERO;
        let posed = &solution.posed;
        let by_shape = self.model.places_by_shape(posed);
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
                    for &mover in active.iter().filter(|mover| **mover < MOVERS) {
                        row[mover] = own[mover][axis] - 0.5 * (hips[0][mover][axis] + hips[1][mover][axis]);
                    }
                    normal.add(&row, residual[axis], weight, active);
                }
            }
            if let Some(residual) = self.picture_residual(solution, point) {
                // reweighted least squares: beyond the bend Huber's cost has the weight bend / length
                let soft = (self.settings.picture_soft_m / length(residual)).min(1.0);
                let weight = weight * soft / self.settings.picture_deviation_m.powi(2);
                for axis in 0..2 {
                    let mut row = [0.0; UNKNOWNS];
                    for &mover in active.iter().filter(|mover| **mover < MOVERS) {
                        row[mover] = own[mover][axis];
                    }
                    row[CAMERA] = posed.points[point][axis];
                    row[CAMERA + 1 + axis] = 1.0;
                    normal.add(&row, residual[axis], weight, active);
                }
            }
        }
        let weights = self.settings.turn_weights();
        for (joint, weight) in weights.into_iter().enumerate() {
            for (axis, off) in self.turn_residual(solution, joint).into_iter().enumerate() {
                normal.matrix[3 * joint + axis][3 * joint + axis] += weight;
                normal.gradient[3 * joint + axis] += weight * off;
            }
        }
        for beta in 0..BETAS {
            for (center, weight) in self.shape_priors(beta) {
                normal.matrix[3 * SKELETON + beta][3 * SKELETON + beta] += weight;
                normal.gradient[3 * SKELETON + beta] += weight * (solution.state.betas[beta] - center);
            }
        }
    }

    /// Writes the unknowns that move a point's residuals, in ascending order; how many they are.
    fn active(&self, point: usize, active: &mut [usize; UNKNOWNS]) -> usize {
        let turns = self.model.turned_by(point);
        let mut count = 0;
        let mut push = |unknown: usize| {
            active[count] = unknown;
            count += 1;
        };
        // the pelvis moves the middle of the hips, and with it every residual
        (0..3).for_each(&mut push);
        for &joint in turns.iter().filter(|joint| **joint != 0) {
            (3 * joint..3 * joint + 3).for_each(&mut push);
        }
        (3 * SKELETON..UNKNOWNS).for_each(&mut push);
        count
    }

    /// Standard deviations of the scored joints relative to the middle of the hips, meters.
    ///
    /// The inverse of the normal matrix is the covariance of the unknowns if residuals are as large as their
    /// deviations; it is multiplied by the mean squared residual in deviations where that is above 1. A joint's
    /// deviation is the root of the trace of its covariance.
    pub fn deviations(&self, solution: &Solution) -> Option<[f64; JOINT_POINTS.len()]> {
        let mut normal = Normal::ZERO;
        self.gather(solution, &mut normal);
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
        let inflation = (solution.misfit / coordinates).max(1.0);
        let by_shape = self.model.places_by_shape(&solution.posed);
        let jacobian = |point: usize| -> Jacobian {
            self.model.jacobian(point, &solution.state, &solution.posed, &by_shape)
        };
        let hips = HIPS.map(jacobian);
        Some(std::array::from_fn(|point| {
            let own = jacobian(point);
            let trace: f64 = (0..3)
                .map(|axis| {
                    let mut row = [0.0; UNKNOWNS];
                    for mover in 0..MOVERS {
                        row[mover] = own[mover][axis] - 0.5 * (hips[0][mover][axis] + hips[1][mover][axis]);
                    }
                    solve_lower(&normal.matrix, &mut row);
                    row.iter().map(|value| value * value).sum::<f64>()
                })
                .sum();
            (inflation * trace).sqrt()
        }))
    }

    /// Mean distances of the observed points: pixels in the picture, meters in the world.
    pub fn residuals(&self, solution: &Solution) -> [f64; 2] {
        let mean = |distance: &dyn Fn(usize) -> Option<f64>| {
            let (sum, count) =
                (0..POINTS).filter_map(distance).fold((0.0, 0.0), |(s, n), d| (s + d, n + 1.0));
            if count > 0.0 { sum / count } else { 0.0 }
        };
        [
            mean(&|point| Some(length(self.picture_residual(solution, point)?) * solution.camera.scale)),
            mean(&|point| Some(norm(self.world_residual(solution, point)?))),
        ]
    }
}

fn length(a: [f64; 2]) -> f64 {
    (a[0] * a[0] + a[1] * a[1]).sqrt()
}

fn moved_camera(camera: &Camera, change: &[f64; UNKNOWNS], share: f64) -> Camera {
    let scale = camera.scale * (1.0 + (share * change[CAMERA]).clamp(-SCALE_LIMIT, SCALE_LIMIT));
    let shift = [0, 1].map(|axis| camera.shift[axis] + share * change[CAMERA + 1 + axis] * camera.scale);
    Camera { scale, shift }
}

impl Normal {
    const ZERO: Normal = Normal { matrix: [[0.0; UNKNOWNS]; UNKNOWNS], gradient: [0.0; UNKNOWNS] };

    /// Adds one residual's row, which is zero but at the active unknowns.
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

    fn factor(&mut self) -> bool {
        for unknown in 0..UNKNOWNS {
            self.matrix[unknown][unknown] *= 1.0 + DAMPING;
            self.matrix[unknown][unknown] += 1e-9;
        }
        factor(&mut self.matrix)
    }
}
