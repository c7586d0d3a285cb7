//! One-Euro filters for a vector, a position in front of a camera, and a rotation. Restarts are up to the caller.

use super::super::linear::{Matrix, Vector, exp, log, multiply, norm, scale, transpose};
use super::settings::{Smoothing, low_pass_weight};

/// Filter for a vector. All coordinates use one speed, the norm of the velocity, so that the result does not depend on the
/// choice of axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VectorFilter<const N: usize> {
    raw: [f64; N],
    smooth: [f64; N],
    velocity: [f64; N],
}

impl<const N: usize> VectorFilter<N> {
    pub fn new(raw: [f64; N]) -> VectorFilter<N> {
        VectorFilter { raw, smooth: raw, velocity: [0.0; N] }
    }

    /// Filters the next value; `unit_m` converts the vector's unit to meters for the speed.
    pub fn push(&mut self, raw: [f64; N], unit_m: f64, dt_secs: f64, smoothing: &Smoothing) -> [f64; N] {
        let velocity = std::array::from_fn(|axis| (raw[axis] - self.raw[axis]) / dt_secs);
        mix(&mut self.velocity, velocity, low_pass_weight(smoothing.derivative_cutoff_hz, dt_secs));
        let speed = unit_m * self.velocity.iter().map(|v| v * v).sum::<f64>().sqrt();
        mix(&mut self.smooth, raw, smoothing.weight(speed, dt_secs));
        self.raw = raw;
        self.smooth
    }
}

/// Converts relative changes of depth to meters: 1% of depth changes the person's size by 1%, which moves the head or foot,
/// 0.9 m from the body's origin, by 9 mm.
const DEPTH_M: f64 = 0.9;

/// Filter for a position in camera coordinates, as a ray and the logarithm of the depth. A weak-perspective camera derives
/// depth from the person's size in pixels, which jitters by tens of centimeters while rays jitter by millimeters. With
/// separate filters the depth's jitter neither counts as speed of the ray nor moves the person in the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PositionFilter {
    ray: VectorFilter<2>,
    log_depth: VectorFilter<1>,
}

impl PositionFilter {
    fn split([x, y, z]: Vector) -> ([f64; 2], [f64; 1]) {
        ([x / z, y / z], [libm::log(z)])
    }

    pub fn new(position: Vector) -> PositionFilter {
        let (ray, log_depth) = PositionFilter::split(position);
        PositionFilter { ray: VectorFilter::new(ray), log_depth: VectorFilter::new(log_depth) }
    }

    pub fn push(&mut self, position: Vector, dt_secs: f64, smoothing: &Smoothing) -> Vector {
        let (ray, log_depth) = PositionFilter::split(position);
        let [x, y] = self.ray.push(ray, position[2], dt_secs, smoothing);
        let [log_depth] = self.log_depth.push(log_depth, DEPTH_M, dt_secs, smoothing);
        let depth = libm::exp(log_depth);
        [x * depth, y * depth, depth]
    }
}

/// Filter for a rotation: moves along the shortest arc; the speed is in radians times [`Smoothing::radian_m`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RotationFilter {
    raw: Matrix,
    smooth: Matrix,
    /// Radians per second, in the axes that the rotation maps to.
    velocity: Vector,
}

impl RotationFilter {
    pub fn new(raw: Matrix) -> RotationFilter {
        RotationFilter { raw, smooth: raw, velocity: [0.0; 3] }
    }

    pub fn push(&mut self, raw: Matrix, dt_secs: f64, smoothing: &Smoothing) -> Matrix {
        let rotation_between = |from: &Matrix, to: &Matrix| log(&multiply(to, &transpose(from)));
        let velocity = scale(rotation_between(&self.raw, &raw), 1.0 / dt_secs);
        mix(&mut self.velocity, velocity, low_pass_weight(smoothing.derivative_cutoff_hz, dt_secs));
        let weight = smoothing.weight(smoothing.radian_m * norm(self.velocity), dt_secs);
        let step = scale(rotation_between(&self.smooth, &raw), weight);
        self.smooth = orthonormalize(&multiply(&exp(step), &self.smooth));
        self.raw = raw;
        self.smooth
    }
}

/// Moves `value` toward `target` by a fraction `weight`.
pub(super) fn mix<const N: usize>(value: &mut [f64; N], target: [f64; N], weight: f64) {
    value.iter_mut().zip(target).for_each(|(value, target)| *value += weight * (target - *value));
}

/// Removes rounding errors of a rotation: one Newton step towards the nearest one, `m (3 - m^T m) / 2`.
fn orthonormalize(m: &Matrix) -> Matrix {
    let square = multiply(&transpose(m), m);
    let step: Matrix = std::array::from_fn(|row| {
        std::array::from_fn(|column| 0.5 * (if row == column { 3.0 } else { 0.0 } - square[row][column]))
    });
    multiply(m, &step)
}
