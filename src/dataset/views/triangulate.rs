//! Points of space from their pixels in several views: linear triangulation, the worst view left out.
//!
//! The direct linear transform of Hartley and Zisserman, "Multiple View Geometry", 12.2, with every view's rows
//! weighted by the confidence of its point. Must not know what the points are.

use super::Camera;

/// A view farther than this from the reprojected point is left out, pixels.
pub const WORST_PX: f64 = 25.0;

/// Sweeps of the eigenvalue iteration; a 4 x 4 matrix needs about five.
const SWEEPS: usize = 30;

/// A point that was seen in one view: its pixel and a confidence between 0 and 1.
pub type Seen = ([f64; 2], f64);

/// A point of space, found from two views or more.
#[derive(Debug, Clone, PartialEq)]
pub struct TriangulatedPoint {
    /// Metres in the laboratory.
    pub position: [f64; 3],
    /// Distance of the reprojected point from the seen one in each view, pixels; `None` where the view did not see the
    /// point or was left out.
    pub residual_px: Vec<Option<f64>>,
}

/// Triangulates the points of one frame: `points[view][point]`, views as `cameras`. A point has no position where
/// fewer than two views see it. The view with the largest distance is left out (one at most) where that is above
/// [`WORST_PX`] and at least two others remain.
pub fn triangulate(cameras: &[Camera], points: &[Vec<Option<Seen>>]) -> Vec<Option<TriangulatedPoint>> {
    triangulate_within(cameras, points, WORST_PX)
}

/// As [`triangulate`], with another limit than [`WORST_PX`].
pub fn triangulate_within(
    cameras: &[Camera],
    points: &[Vec<Option<Seen>>],
    worst_px: f64,
) -> Vec<Option<TriangulatedPoint>> {
    let count = points.iter().map(Vec::len).max().unwrap_or(0);
    let seen = |point: usize| -> Vec<Option<Seen>> {
        let in_view = |view: &Vec<Option<Seen>>| view.get(point).copied().flatten().filter(is_usable);
        points.iter().map(in_view).collect()
    };
    (0..count).map(|point| one(cameras, &seen(point), worst_px)).collect()
}

fn is_usable((pixel, confidence): &Seen) -> bool {
    pixel.iter().all(|value| value.is_finite()) && confidence.is_finite() && *confidence > 0.0
}

fn one(cameras: &[Camera], seen: &[Option<Seen>], worst_px: f64) -> Option<TriangulatedPoint> {
    let found = solve(cameras, seen)?;
    let worst =
        found.residual_px.iter().enumerate().filter_map(|(view, residual)| Some((view, (*residual)?)));
    let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1))?;
    if worst.1 <= worst_px || seen.iter().flatten().count() < 3 {
        return Some(found);
    }
    let without: Vec<Option<Seen>> =
        seen.iter().enumerate().map(|(view, seen)| seen.filter(|_| view != worst.0)).collect();
    solve(cameras, &without)
}

/// The point that all views together see best; `None` with fewer than two views, or where it is not before all of
/// them.
fn solve(cameras: &[Camera], seen: &[Option<Seen>]) -> Option<TriangulatedPoint> {
    let mut normal = [[0.0; 4]; 4];
    let mut views = 0;
    for (camera, (pixel, confidence)) in pairs(cameras, seen) {
        let [x, y] = camera.undistort(pixel);
        let row =
            |index: usize| [camera.r[index][0], camera.r[index][1], camera.r[index][2], camera.t[index]];
        let (right, down, away) = (row(0), row(1), row(2));
        for (at, axis) in [(x, right), (y, down)] {
            let equation: [f64; 4] = std::array::from_fn(|k| confidence * (at * away[k] - axis[k]));
            for (i, line) in normal.iter_mut().enumerate() {
                for (k, value) in line.iter_mut().enumerate() {
                    *value += equation[i] * equation[k];
                }
            }
        }
        views += 1;
    }
    if views < 2 {
        return None;
    }
    let [x, y, z, w] = smallest_eigenvector(normal);
    let position = [x / w, y / w, z / w];
    if !position.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut residual_px = vec![None; seen.len()];
    for ((camera, seen), residual) in cameras.iter().zip(seen).zip(&mut residual_px) {
        if let Some((pixel, _)) = seen {
            let [u, v] = camera.project(position)?;
            *residual = Some((u - pixel[0]).hypot(v - pixel[1]));
        }
    }
    Some(TriangulatedPoint { position, residual_px })
}

fn pairs<'a>(cameras: &'a [Camera], seen: &'a [Option<Seen>]) -> impl Iterator<Item = (&'a Camera, Seen)> {
    cameras.iter().zip(seen).filter_map(|(camera, seen)| Some((camera, (*seen)?)))
}

/// The eigenvector of the smallest eigenvalue of a symmetric matrix, by Jacobi's rotations.
fn smallest_eigenvector(mut matrix: [[f64; 4]; 4]) -> [f64; 4] {
    let mut vectors = [[0.0; 4]; 4];
    for (index, row) in vectors.iter_mut().enumerate() {
        row[index] = 1.0;
    }
    for _ in 0..SWEEPS {
        for (p, q) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            if matrix[p][q] == 0.0 {
                continue;
            }
            let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
            let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
            let cos = 1.0 / tangent.hypot(1.0);
            let sin = tangent * cos;
            for row in &mut matrix {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
            let (a, b) = (matrix[p], matrix[q]);
            matrix[p] = std::array::from_fn(|k| cos * a[k] - sin * b[k]);
            matrix[q] = std::array::from_fn(|k| sin * a[k] + cos * b[k]);
            for row in &mut vectors {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
        }
    }
    let smallest = (0..4).min_by(|&a, &b| matrix[a][a].total_cmp(&matrix[b][b])).unwrap_or(3);
    std::array::from_fn(|row| vectors[row][smallest])
}

#[cfg(test)]
mod tests {
    use super::super::camera::tests::looking_in;
    use super::*;

    const POINTS: [[f64; 3]; 3] = [[0.0, 0.0, 1.0], [0.4, -0.3, 1.7], [-0.5, 0.4, 0.1]];

    fn cameras() -> Vec<Camera> {
        [0.1, 1.7, 3.3, 4.6].map(|angle| looking_in("a", angle, 4.0).for_video(1272, 720)).into()
    }

    fn seen(cameras: &[Camera]) -> Vec<Vec<Option<Seen>>> {
        let in_view =
            |camera: &Camera| POINTS.map(|point| camera.project(point).map(|pixel| (pixel, 0.8))).to_vec();
        cameras.iter().map(in_view).collect()
    }

    fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn exact_pixels_give_the_points_back() {
        let cameras = cameras();
        let found = triangulate(&cameras, &seen(&cameras));
        for (found, point) in found.iter().zip(POINTS) {
            let found = found.as_ref().unwrap();
            assert!(distance(found.position, point) < 1e-9, "{found:?}");
            assert!(found.residual_px.iter().all(|residual| residual.unwrap() < 1e-6));
        }
    }

    #[test]
    fn the_worst_view_is_left_out_and_confidence_counts() {
        let cameras = cameras();
        let mut points = seen(&cameras);
        // 60 pixels beside in one view
        points[2][1].as_mut().unwrap().0[0] += 60.0;
        let found = triangulate(&cameras, &points)[1].clone().unwrap();
        assert!(distance(found.position, POINTS[1]) < 1e-9);
        let out: Vec<bool> = found.residual_px.iter().map(Option::is_none).collect();
        assert_eq!(out, [false, false, true, false]);
        // within the limit it stays, and weighs as much as it is trusted
        let within = triangulate_within(&cameras, &points, 100.0)[1].clone().unwrap();
        assert!(
            distance(within.position, POINTS[1]) > 5e-3 && within.residual_px.iter().all(Option::is_some)
        );
        points[2][1].as_mut().unwrap().1 = 0.01;
        let weak = triangulate_within(&cameras, &points, 100.0)[1].clone().unwrap();
        assert!(distance(weak.position, POINTS[1]) < 1e-4, "{weak:?}");
    }

    #[test]
    fn two_views_are_needed() {
        let cameras = cameras();
        let mut points = seen(&cameras);
        for view in [0, 1, 3] {
            points[view][0] = None;
        }
        points[0][2] = None;
        points[1][2] = Some(([f64::NAN, 0.0], 1.0));
        points[3][2].as_mut().unwrap().1 = 0.0;
        let found = triangulate(&cameras, &points);
        assert_eq!((found[0].is_some(), found[1].is_some(), found[2].is_some()), (false, true, false));
        assert!(
            triangulate(&cameras, &[]).is_empty() && triangulate(&[], &points).iter().all(Option::is_none)
        );
        // two views that contradict each other are kept, and say so
        let two: Vec<Vec<Option<Seen>>> = points
            .iter()
            .enumerate()
            .map(|(view, seen)| seen.iter().map(|seen| seen.filter(|_| view < 2)).collect())
            .collect();
        let mut two = two;
        two[0][1].as_mut().unwrap().0[1] += 200.0;
        let found = triangulate(&cameras, &two)[1].clone().unwrap();
        assert!(found.residual_px[0].unwrap() > WORST_PX);
    }
}
