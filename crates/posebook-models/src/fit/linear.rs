//! Vectors, rotations and a Cholesky solver in f64.
//!
//! `posebook_core::geometry` has the same operations in f32; normal equations need the precision of f64. Sine, cosine
//! and arc tangent are libm's, so that results do not depend on the platform.

/// A vector of three components.
pub(super) type Vector = [f64; 3];
/// Row-major 3 x 3 matrix that is multiplied with column vectors.
pub(super) type Matrix = [[f64; 3]; 3];

pub(super) const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Vectors shorter than this have no direction.
const MIN_LENGTH: f64 = 1e-9;

pub(super) fn widen(a: [f32; 3]) -> Vector {
    a.map(f64::from)
}

#[inline]
pub(super) fn add(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

#[inline]
pub(super) fn sub(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[inline]
pub(super) fn scale(a: Vector, by: f64) -> Vector {
    [a[0] * by, a[1] * by, a[2] * by]
}

pub(super) fn midpoint(a: Vector, b: Vector) -> Vector {
    scale(add(a, b), 0.5)
}

#[inline]
pub(super) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline]
pub(super) fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn norm(a: Vector) -> f64 {
    dot(a, a).sqrt()
}

/// The unit vector along `a`; `None` if `a` is zero or not finite.
pub(super) fn unit(a: Vector) -> Option<Vector> {
    let length = norm(a);
    (length.is_finite() && length > MIN_LENGTH).then(|| scale(a, 1.0 / length))
}

#[inline]
pub(super) fn apply(m: &Matrix, v: Vector) -> Vector {
    [dot(m[0], v), dot(m[1], v), dot(m[2], v)]
}

/// Multiplies a vector with the transpose of `m`.
#[inline]
pub(super) fn apply_transposed(m: &Matrix, v: Vector) -> Vector {
    add(add(scale(m[0], v[0]), scale(m[1], v[1])), scale(m[2], v[2]))
}

pub(super) fn transpose(m: &Matrix) -> Matrix {
    [[m[0][0], m[1][0], m[2][0]], [m[0][1], m[1][1], m[2][1]], [m[0][2], m[1][2], m[2][2]]]
}

pub(super) fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    let columns = transpose(b);
    a.map(|row| [dot(row, columns[0]), dot(row, columns[1]), dot(row, columns[2])])
}

/// Gram-Schmidt: the rotation with columns along `a`, along the part of `b` orthogonal to `a`, and their cross product.
/// `None` if `a` or `b` is zero or both are parallel.
pub(super) fn frame(a: Vector, b: Vector) -> Option<Matrix> {
    let first = unit(a)?;
    let second = unit(b)?;
    let second = unit(sub(second, scale(first, dot(first, second))))?;
    Some(transpose(&[first, second, cross(first, second)]))
}

/// The rotation about `v` by `|v|` radians (Rodrigues' formula).
pub(super) fn exp(v: Vector) -> Matrix {
    let square = dot(v, v);
    let angle = square.sqrt();
    // sin(a)/a and (1 - cos(a))/a^2, by their series where the quotients lose digits
    let (sine, cosine) = if angle < 1e-4 {
        (1.0 - square / 6.0, 0.5 - square / 24.0)
    } else {
        (libm::sin(angle) / angle, (1.0 - libm::cos(angle)) / square)
    };
    let [x, y, z] = v;
    [
        [1.0 - cosine * (y * y + z * z), cosine * x * y - sine * z, cosine * x * z + sine * y],
        [cosine * x * y + sine * z, 1.0 - cosine * (x * x + z * z), cosine * y * z - sine * x],
        [cosine * x * z - sine * y, cosine * y * z + sine * x, 1.0 - cosine * (x * x + y * y)],
    ]
}

/// The rotation vector of `m`, length 0 to pi radians. Computed through a quaternion, which is accurate at every angle.
pub(super) fn log(m: &Matrix) -> Vector {
    let trace = m[0][0] + m[1][1] + m[2][2];
    // four times the square of each component (w, x, y, z); division by the largest
    let squares = [trace, 2.0 * m[0][0] - trace, 2.0 * m[1][1] - trace, 2.0 * m[2][2] - trace]
        .map(|s| (1.0 + s).max(0.0));
    let largest = (1..4).fold(0, |best, at| if squares[at] > squares[best] { at } else { best });
    let (skew, mixed) = (
        [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]],
        [m[2][1] + m[1][2], m[0][2] + m[2][0], m[1][0] + m[0][1]],
    );
    let quaternion = match largest {
        0 => [squares[0], skew[0], skew[1], skew[2]],
        1 => [skew[0], squares[1], mixed[2], mixed[1]],
        2 => [skew[1], mixed[2], squares[2], mixed[0]],
        _ => [skew[2], mixed[1], mixed[0], squares[3]],
    };
    let sign = if quaternion[0] < 0.0 { -1.0 } else { 1.0 };
    let axis = [quaternion[1] * sign, quaternion[2] * sign, quaternion[3] * sign];
    let length = norm(axis);
    let real = quaternion[0] * sign;
    if length < 1e-12 * real {
        return scale(axis, 2.0 / real);
    }
    scale(axis, 2.0 * libm::atan2(length, real) / length)
}

/// `v` scaled to a length of at most `max_norm`.
pub(super) fn clamp_norm(v: Vector, max_norm: f64) -> Vector {
    let length = norm(v);
    if length > max_norm { scale(v, max_norm / length) } else { v }
}

/// The rotation with the smallest angle from the direction of `from` to that of `to`; about an arbitrary orthogonal axis if
/// they are opposite. `None` if one is zero.
pub(super) fn shortest_rotation(from: Vector, to: Vector) -> Option<Matrix> {
    let (from, to) = (unit(from)?, unit(to)?);
    let axis = cross(from, to);
    let sine = norm(axis);
    if sine > MIN_LENGTH {
        return Some(exp(scale(axis, libm::atan2(sine, dot(from, to)) / sine)));
    }
    if dot(from, to) > 0.0 {
        return Some(IDENTITY);
    }
    let other = if from[0].abs() < 0.9 { [1.0, 0.0, 0.0] } else { [0.0, 1.0, 0.0] };
    Some(exp(scale(unit(cross(from, other))?, std::f64::consts::PI)))
}

/// Cholesky factorization `L L^T` of a symmetric positive definite matrix, in place; reads and writes the lower triangle
/// only. Returns false if the matrix is not positive definite or not finite.
pub(super) fn factor<const N: usize>(matrix: &mut [[f64; N]; N]) -> bool {
    for row in 0..N {
        for column in 0..=row {
            let (above, rest) = matrix.split_at_mut(row);
            let current = &mut rest[0];
            let other: &[f64; N] = if column < row { &above[column] } else { current };
            let sum: f64 = current[..column].iter().zip(&other[..column]).map(|(a, b)| a * b).sum();
            let left = current[column] - sum;
            if column < row {
                current[column] = left / above[column][column];
            } else if left.is_finite() && left > 0.0 {
                current[row] = left.sqrt();
            } else {
                return false;
            }
        }
    }
    true
}

/// Solves `L y = b` in place with the result of [`factor`].
pub(super) fn solve_lower<const N: usize>(factored: &[[f64; N]; N], b: &mut [f64; N]) {
    for row in 0..N {
        let sum: f64 = factored[row][..row].iter().zip(&b[..row]).map(|(l, y)| l * y).sum();
        b[row] = (b[row] - sum) / factored[row][row];
    }
}

/// Solves `L^T x = y` in place with the result of [`factor`].
pub(super) fn solve_upper<const N: usize>(factored: &[[f64; N]; N], y: &mut [f64; N]) {
    for row in (0..N).rev() {
        y[row] /= factored[row][row];
        let value = y[row];
        y[..row].iter_mut().zip(&factored[row][..row]).for_each(|(y, l)| *y -= value * l);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::random::stream;

    fn max_difference(a: &Matrix, b: &Matrix) -> f64 {
        a.as_flattened().iter().zip(b.as_flattened()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn log_is_the_inverse_of_exp_at_every_angle() {
        let mut draws = stream(1, "log", &[]);
        for angle in [0.0, 1e-12, 1e-6, 1e-3, 0.5, 1.5, 3.0, 3.13, std::f64::consts::PI] {
            for _ in 0..20 {
                let axis = unit([0; 3].map(|_| draws.normal())).unwrap();
                let rotation = exp(scale(axis, angle));
                let vector = log(&rotation);
                assert!((norm(vector) - angle).abs() < 1e-9, "{angle} {vector:?}");
                assert!(max_difference(&exp(vector), &rotation) < 1e-9, "{angle}");
                assert!(max_difference(&multiply(&rotation, &transpose(&rotation)), &IDENTITY) < 1e-12);
            }
        }
    }

    #[test]
    fn the_shortest_rotation_exists_for_opposite_directions() {
        for (from, to) in [
            ([1.0, 0.0, 0.0], [-2.0, 0.0, 0.0]),
            ([0.0, 1.0, 0.0], [0.0, 3.0, 0.0]),
            ([0.1, 0.2, 0.3], [0.3, 0.0, -1.0]),
        ] {
            let rotated = apply(&shortest_rotation(from, to).unwrap(), unit(from).unwrap());
            assert!(norm(sub(rotated, unit(to).unwrap())) < 1e-9, "{from:?}");
        }
        assert!(shortest_rotation([0.0; 3], [1.0, 0.0, 0.0]).is_none());
    }

    #[test]
    fn degenerate_frames_are_rejected() {
        assert!(frame([1.0, 0.0, 0.0], [2.0, 0.0, 0.0]).is_none());
        assert!(frame([0.0; 3], [2.0, 0.0, 0.0]).is_none());
        assert!(frame([f64::NAN, 0.0, 1.0], [2.0, 0.0, 0.0]).is_none());
        assert_eq!(frame([3.0, 0.0, 0.0], [1.0, 2.0, 0.0]), Some(IDENTITY));
    }

    #[test]
    fn a_system_of_equations_is_solved() {
        let mut draws = stream(2, "cholesky", &[]);
        let rows: [[f64; 6]; 9] = std::array::from_fn(|_| std::array::from_fn(|_| draws.normal()));
        let normal: [[f64; 6]; 6] =
            std::array::from_fn(|i| std::array::from_fn(|j| rows.iter().map(|row| row[i] * row[j]).sum()));
        let truth: [f64; 6] = std::array::from_fn(|_| draws.normal());
        let mut x: [f64; 6] = std::array::from_fn(|i| (0..6).map(|j| normal[i][j] * truth[j]).sum());
        let mut factored = normal;
        assert!(factor(&mut factored));
        solve_lower(&factored, &mut x);
        solve_upper(&factored, &mut x);
        assert!(x.iter().zip(truth).all(|(x, truth)| (x - truth).abs() < 1e-9), "{x:?} {truth:?}");
        let mut indefinite = normal;
        indefinite[3][3] = -1.0;
        assert!(!factor(&mut indefinite));
    }
}
