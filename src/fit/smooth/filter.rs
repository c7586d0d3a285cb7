//! One-Euro filters of one vector, one place before a camera, one rotation.
//!
//! Must not know bodies, nor when a filter begins anew.

use super::super::linear::{Matrix, Vector, exp, log, multiply, norm, scale, transpose};
use super::Smoothing;

/// The share that a first-order low-pass filter gives to a new sample.
pub(super) fn low_pass_share(cutoff_hz: f64, secs: f64) -> f64 {
    let time_constant = 1.0 / (std::f64::consts::TAU * cutoff_hz);
    1.0 / (1.0 + time_constant / secs)
}

/// A vector. One speed, the length of its velocity, counts for all coordinates, so that the result does not
/// depend on the choice of axes.
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

    /// `unit_m`: the meters that a difference of 1 counts as.
    pub fn push(&mut self, raw: [f64; N], unit_m: f64, secs: f64, smoothing: &Smoothing) -> [f64; N] {
        let velocity = std::array::from_fn(|axis| (raw[axis] - self.raw[axis]) / secs);
        mix(&mut self.velocity, velocity, low_pass_share(smoothing.derivative_cutoff_hz, secs));
        let speed = unit_m * self.velocity.iter().map(|v| v * v).sum::<f64>().sqrt();
        mix(&mut self.smooth, raw, smoothing.share(speed, secs));
        self.raw = raw;
        self.smooth
    }
}

/// What a relative change of the depth counts as, meters: 1% of depth makes the person 1% larger, which moves a
/// point 0.9 m from the body's origin, head or foot, by 9 mm.
const DEPTH_M: f64 = 0.9;

/// A place before a camera, as a ray and the logarithm of its depth. A weak-perspective camera has its depth from
/// the person's size in pixels, which jitters by tens of centimeters where the rays jitter by millimeters; smoothed
/// apart, the depth's jitter neither counts as speed of the rays nor moves the person in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlaceFilter {
    ray: VectorFilter<2>,
    log_depth: VectorFilter<1>,
}

impl PlaceFilter {
    fn parts([x, y, z]: Vector) -> ([f64; 2], [f64; 1]) {
        ([x / z, y / z], [libm::log(z)])
    }

    pub fn new(place: Vector) -> PlaceFilter {
        let (ray, log_depth) = PlaceFilter::parts(place);
        PlaceFilter { ray: VectorFilter::new(ray), log_depth: VectorFilter::new(log_depth) }
    }

    pub fn push(&mut self, place: Vector, secs: f64, smoothing: &Smoothing) -> Vector {
        let (ray, log_depth) = PlaceFilter::parts(place);
        let [x, y] = self.ray.push(ray, place[2], secs, smoothing);
        let [log_depth] = self.log_depth.push(log_depth, DEPTH_M, secs, smoothing);
        let depth = libm::exp(log_depth);
        [x * depth, y * depth, depth]
    }
}

/// A rotation: steps along the shortest arc, speed in radians times [`Smoothing::radian_m`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TurnFilter {
    raw: Matrix,
    smooth: Matrix,
    /// Radians per second, in the axes that the rotation maps to.
    velocity: Vector,
}

impl TurnFilter {
    pub fn new(raw: Matrix) -> TurnFilter {
        TurnFilter { raw, smooth: raw, velocity: [0.0; 3] }
    }

    pub fn push(&mut self, raw: Matrix, secs: f64, smoothing: &Smoothing) -> Matrix {
        let between = |from: &Matrix, to: &Matrix| log(&multiply(to, &transpose(from)));
        let velocity = scale(between(&self.raw, &raw), 1.0 / secs);
        mix(&mut self.velocity, velocity, low_pass_share(smoothing.derivative_cutoff_hz, secs));
        let share = smoothing.share(smoothing.radian_m * norm(self.velocity), secs);
        let step = scale(between(&self.smooth, &raw), share);
        self.smooth = orthonormal(&multiply(&exp(step), &self.smooth));
        self.raw = raw;
        self.smooth
    }
}

/// Moves `value` toward `target` by a share of the way.
pub(super) fn mix<const N: usize>(value: &mut [f64; N], target: [f64; N], share: f64) {
    value.iter_mut().zip(target).for_each(|(value, target)| *value += share * (target - *value));
}

/// Takes rounding out of a rotation: one step of Newton's iteration for the nearest one, `m (3 - m^T m) / 2`.
fn orthonormal(m: &Matrix) -> Matrix {
    let square = multiply(&transpose(m), m);
    let step: Matrix = std::array::from_fn(|row| {
        std::array::from_fn(|column| 0.5 * (if row == column { 3.0 } else { 0.0 } - square[row][column]))
    });
    multiply(m, &step)
}
