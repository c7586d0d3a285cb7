//! Similarity transform that aligns one set of points with another (Horn, JOSA A 4(4), 1987).
//!
//! The rotation is the leading eigenvector of a symmetric 4 x 4 matrix, read as a quaternion. It equals the
//! rotation of Procrustes analysis by SVD with the sign of the determinant corrected, without special cases for
//! planar or collinear points.

use posebook_core::geometry::Vec3;

type Point = [f64; 3];

/// `scale * rotation * point + translation`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Uniform scale.
    pub scale: f64,
    /// Rotation, row-major.
    pub rotation: [[f64; 3]; 3],
    /// Translation.
    pub translation: Point,
}

impl Similarity {
    /// The transform of `points` with the least sum of squared distances to `targets`.
    ///
    /// `None` if there are no points or all coincide: then the scale is undefined. The reference divides by their
    /// variance of zero and gives NaN or rounding noise.
    pub fn between(points: &[Vec3], targets: &[Vec3]) -> Option<Similarity> {
        assert_eq!(points.len(), targets.len(), "points and targets come in pairs");
        let (center, target_center) = (mean(points), mean(targets));
        let mut covariance = [[0.0; 3]; 3];
        let mut variance = 0.0;
        for (point, target) in points.iter().zip(targets) {
            let (point, target) = (from_center(*point, center), from_center(*target, target_center));
            for row in 0..3 {
                for column in 0..3 {
                    covariance[row][column] += point[row] * target[column];
                }
            }
            variance += point.iter().map(|x| x * x).sum::<f64>();
        }
        if variance.is_nan() || variance <= 0.0 {
            return None;
        }
        let (trace, quaternion) = leading_eigenpair(horn(&covariance));
        let rotation = rotation_matrix(quaternion);
        let scale = trace / variance;
        let rotated = rotate(&rotation, center);
        let translation = std::array::from_fn(|axis| target_center[axis] - scale * rotated[axis]);
        Some(Similarity { scale, rotation, translation })
    }

    /// The transformed point.
    #[inline]
    pub fn apply(&self, point: Vec3) -> Point {
        let rotated = rotate(&self.rotation, point.map(f64::from));
        std::array::from_fn(|axis| self.scale * rotated[axis] + self.translation[axis])
    }
}

fn mean(points: &[Vec3]) -> Point {
    std::array::from_fn(|axis| {
        points.iter().map(|point| f64::from(point[axis])).sum::<f64>() / points.len() as f64
    })
}

fn from_center(point: Vec3, center: Point) -> Point {
    std::array::from_fn(|axis| f64::from(point[axis]) - center[axis])
}

fn rotate(rotation: &[[f64; 3]; 3], point: Point) -> Point {
    rotation.map(|row| row[0] * point[0] + row[1] * point[1] + row[2] * point[2])
}

/// Horn's matrix: its largest eigenvalue is the largest trace of `rotation * covariance`.
fn horn(s: &[[f64; 3]; 3]) -> [[f64; 4]; 4] {
    let (xx, xy, xz) = (s[0][0], s[0][1], s[0][2]);
    let (yx, yy, yz) = (s[1][0], s[1][1], s[1][2]);
    let (zx, zy, zz) = (s[2][0], s[2][1], s[2][2]);
    [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ]
}

/// The largest eigenvalue of a symmetric matrix and its unit eigenvector, by Jacobi rotations.
fn leading_eigenpair(mut a: [[f64; 4]; 4]) -> (f64, [f64; 4]) {
    let mut vectors: [[f64; 4]; 4] =
        std::array::from_fn(|row| std::array::from_fn(|column| f64::from(u8::from(row == column))));
    // each sweep squares the off-diagonal's size: twelve exceed f64's precision
    for _ in 0..12 {
        for p in 0..3 {
            for q in p + 1..4 {
                if a[p][q] == 0.0 {
                    continue;
                }
                let half_cotangent = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tangent = half_cotangent.signum() / (half_cotangent.abs() + half_cotangent.hypot(1.0));
                let cosine = tangent.hypot(1.0).recip();
                let sine = tangent * cosine;
                for row in &mut a {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
                let (upper, lower) = (a[p], a[q]);
                a[p] = std::array::from_fn(|column| cosine * upper[column] - sine * lower[column]);
                a[q] = std::array::from_fn(|column| sine * upper[column] + cosine * lower[column]);
                for row in &mut vectors {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
            }
        }
    }
    let leading = (1..4).fold(0, |best, index| if a[index][index] > a[best][best] { index } else { best });
    (a[leading][leading], vectors.map(|row| row[leading]))
}

/// The rotation of a quaternion (w, x, y, z) of length 1.
fn rotation_matrix([w, x, y, z]: [f64; 4]) -> [[f64; 3]; 3] {
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
}
