//! Vectors, rotations and pinhole projection on plain arrays, in single precision.
//!
//! Matrices are row-major and act on columns: `apply(world_from_view, point_in_view)` is the point in world coordinates.

/// x, y, z.
pub type Vec3 = [f32; 3];
/// Rows of a 3 x 3 matrix.
pub type Mat3 = [[f32; 3]; 3];

/// The identity matrix.
pub const IDENTITY: Mat3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// `a + b`.
#[inline]
pub fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// `a - b`.
#[inline]
pub fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a` times `by`.
#[inline]
pub fn scale(a: Vec3, by: f32) -> Vec3 {
    [a[0] * by, a[1] * by, a[2] * by]
}

/// Scalar product.
#[inline]
pub fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Vector product.
#[inline]
pub fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// Euclidean length.
#[inline]
pub fn norm(a: Vec3) -> f32 {
    dot(a, a).sqrt()
}

/// `m v`.
#[inline]
pub fn apply(m: &Mat3, v: Vec3) -> Vec3 {
    [dot(m[0], v), dot(m[1], v), dot(m[2], v)]
}

/// The transpose, which is a rotation's inverse.
#[inline]
pub fn transpose(m: &Mat3) -> Mat3 {
    [[m[0][0], m[1][0], m[2][0]], [m[0][1], m[1][1], m[2][1]], [m[0][2], m[1][2], m[2][2]]]
}

/// `a b`.
#[inline]
pub fn multiply(a: &Mat3, b: &Mat3) -> Mat3 {
    let columns = transpose(b);
    a.map(|row| [dot(row, columns[0]), dot(row, columns[1]), dot(row, columns[2])])
}

/// Rotation from a 6D representation (Zhou et al. 2019): two columns, orthonormalized one after the other, and
/// their cross product. As in 4D-Humans the first three values are the first column, and lengths below 1e-12 count
/// as 1e-12, so that zero stays zero and nothing becomes NaN.
#[inline]
pub fn rotation_from_6d(x: &[f32; 6]) -> Mat3 {
    let normalized = |v: Vec3| v.map(|x| x / norm(v).max(1e-12));
    let (first, second) = ([x[0], x[1], x[2]], [x[3], x[4], x[5]]);
    let first = normalized(first);
    let second = normalized(sub(second, scale(first, dot(first, second))));
    transpose(&[first, second, cross(first, second)])
}

/// Rotation from an axis times an angle in radians, through a quaternion as in 4D-Humans' `aa_to_rotmat`: 1e-8 is
/// added to each value before the angle is computed, so that zero gives the identity and three times -1e-8 gives
/// NaN.
#[inline]
pub fn rotation_from_axis_angle(v: Vec3) -> Mat3 {
    let angle = norm(v.map(|x| x + 1e-8));
    let (sin, cos) = (libm::sinf(0.5 * angle), libm::cosf(0.5 * angle));
    let [x, y, z] = v.map(|x| sin * (x / angle));
    let length = (cos * cos + x * x + y * y + z * z).sqrt();
    let [w, x, y, z] = [cos, x, y, z].map(|x| x / length);
    [
        [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (w * y + x * z)],
        [2.0 * (w * z + x * y), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (w * x + y * z), w * w - x * x - y * y + z * z],
    ]
}

/// Projects a point in camera axes: `focal * x / z + center`, in the focal length's units.
#[inline]
pub fn project(point_in_camera: Vec3, focal: [f32; 2], center: [f32; 2]) -> [f32; 2] {
    let [x, y, z] = point_in_camera;
    [focal[0] * (x / z) + center[0], focal[1] * (y / z) + center[1]]
}

/// Translation of a body in the axes of the full image's camera (principal point in its middle), from HMR2's
/// weak-perspective camera (scale, x, y) in a square crop (4D-Humans' `cam_crop_to_full`). Center, side, image size
/// and `focal` are in pixels; the result is in meters.
#[inline]
pub fn translation_from_crop_camera(
    camera: [f32; 3],
    crop_center: [f32; 2],
    crop_side: f32,
    image_size: [f32; 2],
    focal: f32,
) -> Vec3 {
    let [scale, x, y] = camera;
    let side = crop_side * scale + 1e-9;
    let shift = |axis: usize| 2.0 * (crop_center[axis] - image_size[axis] / 2.0) / side;
    [shift(0) + x, shift(1) + y, 2.0 * focal / side]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distance_from_rotation(m: &Mat3) -> f32 {
        let product = multiply(m, &transpose(m));
        let off = product.as_flattened().iter().zip(IDENTITY.as_flattened()).map(|(a, b)| (a - b).abs());
        let determinant = dot(m[0], cross(m[1], m[2]));
        off.fold((determinant - 1.0).abs(), f32::max)
    }

    proptest! {
        #[test]
        fn rotations_are_rotations(
            x in prop::array::uniform6(-2f32..2.0),
            v in prop::array::uniform3(-4f32..4.0),
        ) {
            let (a, b) = ([x[0], x[1], x[2]], [x[3], x[4], x[5]]);
            prop_assume!(norm(cross(a, b)) > 0.1);
            prop_assert!(distance_from_rotation(&rotation_from_6d(&x)) < 1e-5);
            prop_assert!(distance_from_rotation(&rotation_from_axis_angle(v)) < 1e-5);
        }
    }

    #[test]
    fn a_quarter_turn_about_z() {
        let rotated =
            apply(&rotation_from_axis_angle([0.0, 0.0, std::f32::consts::FRAC_PI_2]), [1.0, 0.0, 0.0]);
        assert!(norm(sub(rotated, [0.0, 1.0, 0.0])) < 1e-6);
        assert_eq!(rotation_from_axis_angle([0.0; 3]), IDENTITY);
        assert_eq!(rotation_from_6d(&[2.0, 0.0, 0.0, 1.0, 3.0, 0.0]), IDENTITY);
    }

    #[test]
    fn a_crop_at_the_image_center_has_the_translation_of_its_camera() {
        let camera = [0.9, 0.1, -0.2];
        let [x, y, z] = translation_from_crop_camera(camera, [320.0, 180.0], 200.0, [640.0, 360.0], 5000.0);
        assert_eq!([x, y], [0.1, -0.2]);
        assert!((z - 2.0 * 5000.0 / 180.0).abs() < 1e-3);
        let pixel = project([0.5, 0.25, 2.0], [100.0, 100.0], [320.0, 180.0]);
        assert_eq!(pixel, [345.0, 192.5]);
    }
}
