//! Rotations as quaternions, as axis times angle, and as BVH's angles; in double precision.

use posebook_core::geometry::Mat3;

/// A unit quaternion x, y, z, w, as glTF orders it.
pub type Quaternion = [f64; 4];

/// The quaternion of a rotation matrix, with `w >= 0`. The matrix may be off by rounding.
pub fn quaternion_from_matrix(matrix: &Mat3) -> Quaternion {
    let m = matrix.map(|row| row.map(f64::from));
    // of the four formulas the one with the largest square root is accurate (Shepperd 1978)
    let squares = [
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 - m[0][0] + m[1][1] - m[2][2],
        1.0 - m[0][0] - m[1][1] + m[2][2],
        1.0 + m[0][0] + m[1][1] + m[2][2],
    ];
    let (wx, wy, wz) = (m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]);
    let (xy, xz, yz) = (m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]);
    let largest = (0..4).fold(0, |best, index| if squares[index] > squares[best] { index } else { best });
    let quaternion = match largest {
        0 => [squares[0], xy, xz, wx],
        1 => [xy, squares[1], yz, wy],
        2 => [xz, yz, squares[2], wz],
        _ => [wx, wy, wz, squares[3]],
    };
    let quaternion = normalized(quaternion);
    if quaternion[3] < 0.0 { quaternion.map(|value| -value) } else { quaternion }
}

/// The quaternion of length 1 in the same direction; the identity for zero.
pub fn normalized(quaternion: Quaternion) -> Quaternion {
    let length = dot(&quaternion, &quaternion).sqrt();
    if length > 0.0 { quaternion.map(|value| value / length) } else { [0.0, 0.0, 0.0, 1.0] }
}

/// The scalar product; negative if the two are in different half-spaces.
pub fn dot(a: &Quaternion, b: &Quaternion) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The rotation `a` after `b`.
pub fn product(a: &Quaternion, b: &Quaternion) -> Quaternion {
    let ([ax, ay, az, aw], [bx, by, bz, bw]) = (*a, *b);
    [
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    ]
}

/// The rotation a part `t` (0 to 1) of the way from `a` to `b`, by the shorter way (slerp).
pub fn between(a: &Quaternion, b: &Quaternion, t: f64) -> Quaternion {
    let cos = dot(a, b);
    let b = if cos < 0.0 { b.map(|value| -value) } else { *b };
    let angle = cos.abs().min(1.0).acos();
    // near 0 the sines cancel, and the chord is as good as the arc
    let (from, to) = if angle < 1e-4 {
        (1.0 - t, t)
    } else {
        (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin())
    };
    normalized(std::array::from_fn(|index| from * a[index] + to * b[index]))
}

/// Axis times angle in radians, 0 to pi.
pub fn axis_angle(quaternion: &Quaternion) -> [f64; 3] {
    let q = if quaternion[3] < 0.0 { quaternion.map(|value| -value) } else { *quaternion };
    let sin = (q[0] * q[0] + q[1] * q[1] + q[2] * q[2]).sqrt();
    let angle = 2.0 * sin.atan2(q[3]);
    let factor = if sin > 1e-12 { angle / sin } else { 2.0 };
    [q[0] * factor, q[1] * factor, q[2] * factor]
}

/// Rows of the rotation matrix.
pub fn matrix(quaternion: &Quaternion) -> [[f64; 3]; 3] {
    let [x, y, z, w] = *quaternion;
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (w * y + x * z)],
        [2.0 * (w * z + x * y), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

/// Degrees about z, x and y, in BVH's order `Zrotation Xrotation Yrotation`: the rotation is `Rz Rx Ry`.
pub fn zxy_degrees(quaternion: &Quaternion) -> [f64; 3] {
    let m = matrix(quaternion);
    let sin = m[2][1].clamp(-1.0, 1.0);
    let radians = if sin.abs() > 1.0 - 1e-9 {
        // x is at +-90 degrees: only the sum of the others counts
        [m[1][0].atan2(m[0][0]), sin.asin(), 0.0]
    } else {
        [(-m[0][1]).atan2(m[1][1]), sin.asin(), (-m[2][0]).atan2(m[2][2])]
    };
    radians.map(f64::to_degrees)
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::geometry::{multiply, rotation_from_axis_angle};
    use proptest::prelude::*;

    fn turn(axis: usize, degrees: f64) -> Mat3 {
        let mut vector = [0.0; 3];
        vector[axis] = degrees.to_radians() as f32;
        rotation_from_axis_angle(vector)
    }

    fn largest_difference(a: &[[f64; 3]; 3], b: &Mat3) -> f64 {
        let pairs = a.as_flattened().iter().zip(b.as_flattened());
        pairs.map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn every_form_is_the_same_rotation(v in prop::array::uniform3(-3f32..3.0)) {
            let wanted = rotation_from_axis_angle(v);
            let quaternion = quaternion_from_matrix(&wanted);
            prop_assert!(largest_difference(&matrix(&quaternion), &wanted) < 2e-6);
            let back = rotation_from_axis_angle(axis_angle(&quaternion).map(|value| value as f32));
            prop_assert!(largest_difference(&matrix(&quaternion), &back) < 4e-6);
            let [z, x, y] = zxy_degrees(&quaternion);
            let euler = multiply(&multiply(&turn(2, z), &turn(0, x)), &turn(1, y));
            prop_assert!(largest_difference(&matrix(&quaternion), &euler) < 4e-6);
        }
    }

    #[test]
    fn half_turns_and_the_gimbal_are_exact() {
        let half = quaternion_from_matrix(&[[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]);
        assert_eq!(half, [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(axis_angle(&half)[0], std::f64::consts::PI);
        assert_eq!(axis_angle(&[0.0, 0.0, 0.0, 1.0]), [0.0; 3]);
        let gimbal = multiply(&turn(0, 90.0), &turn(1, 30.0));
        let [z, x, y] = zxy_degrees(&quaternion_from_matrix(&gimbal));
        let euler = multiply(&multiply(&turn(2, z), &turn(0, x)), &turn(1, y));
        assert!(largest_difference(&matrix(&quaternion_from_matrix(&gimbal)), &euler) < 1e-3);
        let halfway = between(&[0.0, 0.0, 0.0, 1.0], &half, 0.5);
        assert!((axis_angle(&halfway)[0] - std::f64::consts::FRAC_PI_2).abs() < 1e-12);
    }
}
