//! Inverse kinematics of two bones that reach for a point: the angle of knee or elbow by the law of cosines, the
//! remaining freedom by the direction in which that joint points.
//!
//! Does not depend on which limb it is.

use super::rotation::{Rotation, V3, add, cross, dot, length, scale, sub, unit};

/// A limb at rest, in the body's axes.
pub struct Limb {
    /// Upper bone, meters.
    pub upper: V3,
    /// Lower bone, meters.
    pub lower: V3,
    /// Direction in which the middle joint points at rest: knees forward, elbows back.
    pub bend_direction: V3,
}

impl Limb {
    /// Length of the stretched limb, meters.
    pub fn length(&self) -> f64 {
        length(self.upper) + length(self.lower)
    }

    /// Rotations of the upper and of the lower bone, both from rest to the axes of `target`, for which the limb
    /// ends at `target` (relative to its root) with its middle joint towards `bend_direction`. A target that is too
    /// far is approached with 99.9% of the limb's length.
    pub fn solve(&self, target: V3, bend_direction: V3) -> [Rotation; 2] {
        let (a, b) = (length(self.upper), length(self.lower));
        let least = (a - b).abs() * 1.05 + 0.05 * a.min(b);
        let distance = length(target).clamp(least, 0.999 * (a + b));
        let along = unit(target);
        let outward = unit(sub(bend_direction, scale(along, dot(along, bend_direction))));
        let cosine = ((a * a + distance * distance - b * b) / (2.0 * a * distance)).clamp(-1.0, 1.0);
        let sine = (1.0 - cosine * cosine).sqrt();
        let upper = add(scale(along, a * cosine), scale(outward, a * sine));
        let lower = sub(scale(along, distance), upper);
        // both bones share the hinge, so that the joint bends and never twists
        let hinge = cross(along, outward);
        let hinge_at_rest = cross(unit(add(self.upper, self.lower)), self.bend_direction);
        [
            Rotation::between([self.upper, hinge_at_rest], [upper, hinge]),
            Rotation::between([self.lower, hinge_at_rest], [lower, hinge]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limb_ends_at_its_target() {
        let leg =
            Limb { upper: [0.02, -0.4, 0.01], lower: [0.0, -0.41, -0.04], bend_direction: [0.0, 0.0, 1.0] };
        for target in [[0.0, -0.8, 0.0], [0.1, -0.6, 0.3], [-0.1, -0.5, -0.5], [0.2, -0.2, 0.4]] {
            let [upper, lower] = leg.solve(target, [0.1, 0.0, 1.0]);
            let end = add(upper.apply(leg.upper), lower.apply(leg.lower));
            assert!(length(sub(end, target)) < 1e-9, "{end:?} {target:?}");
            let knee = upper.apply(leg.upper);
            assert!(knee[2] > target[2] * 0.49, "the knee points forward: {knee:?}");
        }
    }
}
