//! Rotations as unit quaternions, in double precision, with transcendental functions that give the same bits on
//! every machine (`libm`).

use posebook_core::geometry::Mat3;

/// A vector in double precision.
pub type V3 = [f64; 3];

/// A rotation. `a * b` rotates by `b` first, then by `a`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotation {
    w: f64,
    v: V3,
}

impl Rotation {
    /// No rotation.
    pub const IDENTITY: Rotation = Rotation { w: 1.0, v: [0.0; 3] };

    /// Rotation by `angle` radians about a unit `axis`, counterclockwise when the axis points at the viewer.
    pub fn about(axis: V3, angle: f64) -> Rotation {
        let sine = libm::sin(angle / 2.0);
        Rotation { w: libm::cos(angle / 2.0), v: scale(axis, sine) }
    }

    /// About the x axis.
    pub fn about_x(angle: f64) -> Rotation {
        Rotation::about([1.0, 0.0, 0.0], angle)
    }

    /// About the y axis.
    pub fn about_y(angle: f64) -> Rotation {
        Rotation::about([0.0, 1.0, 0.0], angle)
    }

    /// About the z axis.
    pub fn about_z(angle: f64) -> Rotation {
        Rotation::about([0.0, 0.0, 1.0], angle)
    }

    /// The rotation from the frame spanned by `from` to the one spanned by `to`: the first vectors are aligned
    /// exactly, the second as far as their angle to the first allows.
    pub fn between(from: [V3; 2], to: [V3; 2]) -> Rotation {
        let (a, b) = (orthonormal(from), orthonormal(to));
        let mut m = [[0.0; 3]; 3];
        for (row, out) in m.iter_mut().enumerate() {
            for (column, value) in out.iter_mut().enumerate() {
                *value = (0..3).map(|k| b[k][row] * a[k][column]).sum();
            }
        }
        Rotation::from_matrix(&m)
    }

    /// Shepperd's method: divides by the largest of the four squares.
    fn from_matrix(m: &[[f64; 3]; 3]) -> Rotation {
        let squares = [
            1.0 + m[0][0] + m[1][1] + m[2][2],
            1.0 + m[0][0] - m[1][1] - m[2][2],
            1.0 - m[0][0] + m[1][1] - m[2][2],
            1.0 - m[0][0] - m[1][1] + m[2][2],
        ];
        let largest = (1..4).fold(0, |best, i| if squares[i] > squares[best] { i } else { best });
        let twice = squares[largest].max(0.0).sqrt();
        let quarter = 0.5 / twice;
        let differences = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]];
        let sums = [m[1][2] + m[2][1], m[0][2] + m[2][0], m[0][1] + m[1][0]];
        let half = twice / 2.0;
        let (w, v) = match largest {
            0 => (half, differences.map(|d| d * quarter)),
            1 => (differences[0] * quarter, [half, sums[2] * quarter, sums[1] * quarter]),
            2 => (differences[1] * quarter, [sums[2] * quarter, half, sums[0] * quarter]),
            _ => (differences[2] * quarter, [sums[1] * quarter, sums[0] * quarter, half]),
        };
        Rotation { w, v }.normalized()
    }

    /// The opposite rotation.
    pub fn inverse(self) -> Rotation {
        Rotation { w: self.w, v: scale(self.v, -1.0) }
    }

    /// The rotated point.
    pub fn apply(self, p: V3) -> V3 {
        let t = scale(cross(self.v, p), 2.0);
        add(add(p, scale(t, self.w)), cross(self.v, t))
    }

    /// Interpolation from `self` at weight 0 to `other` at weight 1 along the shorter arc.
    pub fn blend(self, other: Rotation, weight: f64) -> Rotation {
        let sign = if self.w * other.w + dot(self.v, other.v) < 0.0 { -1.0 } else { 1.0 };
        let w = self.w * (1.0 - weight) + other.w * weight * sign;
        let v = add(scale(self.v, 1.0 - weight), scale(other.v, weight * sign));
        Rotation { w, v }.normalized()
    }

    fn normalized(self) -> Rotation {
        let by = 1.0 / (self.w * self.w + dot(self.v, self.v)).sqrt();
        Rotation { w: self.w * by, v: scale(self.v, by) }
    }

    /// As a row-major matrix acting on columns.
    pub fn matrix(self) -> Mat3 {
        let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| self.apply(axis));
        std::array::from_fn(|row| std::array::from_fn(|column| columns[column][row] as f32))
    }
}

impl std::ops::Mul for Rotation {
    type Output = Rotation;

    fn mul(self, other: Rotation) -> Rotation {
        let w = self.w * other.w - dot(self.v, other.v);
        let v = add(add(scale(other.v, self.w), scale(self.v, other.w)), cross(self.v, other.v));
        Rotation { w, v }.normalized()
    }
}

fn orthonormal([first, second]: [V3; 2]) -> [V3; 3] {
    let a = unit(first);
    let b = unit(sub(second, scale(a, dot(a, second))));
    [a, b, cross(a, b)]
}

/// `a + b`.
pub fn add(a: V3, b: V3) -> V3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// `a - b`.
pub fn sub(a: V3, b: V3) -> V3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a` times `by`.
pub fn scale(a: V3, by: f64) -> V3 {
    a.map(|x| x * by)
}

/// Scalar product.
pub fn dot(a: V3, b: V3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Vector product.
pub fn cross(a: V3, b: V3) -> V3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// Euclidean length.
pub fn length(a: V3) -> f64 {
    dot(a, a).sqrt()
}

/// `a` normalized; a unit vector for the null vector.
pub fn unit(a: V3) -> V3 {
    let by = length(a);
    if by > 1e-12 { scale(a, 1.0 / by) } else { [1.0, 0.0, 0.0] }
}

/// Linear interpolation.
pub fn mix(a: f64, b: f64, weight: f64) -> f64 {
    a + (b - a) * weight
}

/// 0 up to `low`, 1 from `high`, smooth between.
pub fn smoothstep(low: f64, high: f64, x: f64) -> f64 {
    let u = ((x - low) / (high - low)).clamp(0.0, 1.0);
    u * u * (3.0 - 2.0 * u)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: V3, b: V3) -> bool {
        length(sub(a, b)) < 1e-9
    }

    #[test]
    fn quarter_turns_have_the_right_sign() {
        let quarter = std::f64::consts::FRAC_PI_2;
        assert!(near(Rotation::about_x(quarter).apply([0.0, 1.0, 0.0]), [0.0, 0.0, 1.0]));
        assert!(near(Rotation::about_y(quarter).apply([0.0, 0.0, 1.0]), [1.0, 0.0, 0.0]));
        assert!(near(Rotation::about_z(quarter).apply([1.0, 0.0, 0.0]), [0.0, 1.0, 0.0]));
        let both = Rotation::about_z(quarter) * Rotation::about_y(quarter);
        assert!(near(both.apply([0.0, 0.0, 1.0]), [0.0, 1.0, 0.0]));
    }

    #[test]
    fn frames_are_aligned() {
        for k in 0..40 {
            let turn = Rotation::about(unit([1.0, k as f64 - 20.0, 3.0]), k as f64 * 0.31);
            let from = [[0.3, -1.0, 0.2], [0.0, 0.1, 1.0]];
            let to = from.map(|v| turn.apply(v));
            let found = Rotation::between(from, to);
            assert!(near(found.apply([0.7, 0.2, -0.4]), turn.apply([0.7, 0.2, -0.4])), "{k}");
        }
    }
}
