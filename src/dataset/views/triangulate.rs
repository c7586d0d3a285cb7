//! Linear triangulation of points from several views, with the worst view left out.
//!
//! Direct linear transform (Hartley and Zisserman, "Multiple View Geometry", 12.2), each view's rows weighted by
//! the confidence of its point.

use posebook_track::metrics::views::Camera;

/// Largest reprojection error of a view, pixels.
pub const MAX_RESIDUAL_PX: f64 = 25.0;

/// Sweeps of the eigenvalue iteration; a 4 x 4 matrix needs about five.
const SWEEPS: usize = 30;

/// A point detected in one view: its pixel and a confidence between 0 and 1.
pub type ObservedPoint = ([f64; 2], f64);

/// A point triangulated from at least two views.
#[derive(Debug, Clone, PartialEq)]
pub struct TriangulatedPoint {
    /// World coordinates, meters.
    pub position: [f64; 3],
    /// Reprojection error in each view, pixels; `None` if the view did not detect the point or was left out.
    pub residual_px: Vec<Option<f64>>,
}

/// Triangulates the points of one frame: `points[view][point]`, views in the order of `cameras`. A point needs two views
/// at least. The view with the largest residual (one at most) is left out where that residual exceeds
/// `max_residual_px` and at least two other views remain.
pub fn triangulate(
    cameras: &[Camera],
    points: &[Vec<Option<ObservedPoint>>],
    max_residual_px: f64,
) -> Vec<Option<TriangulatedPoint>> {
    let count = points.iter().map(Vec::len).max().unwrap_or(0);
    let observed = |point: usize| -> Vec<Option<ObservedPoint>> {
        let in_view =
            |view: &Vec<Option<ObservedPoint>>| view.get(point).copied().flatten().filter(is_usable);
        points.iter().map(in_view).collect()
    };
    (0..count).map(|point| triangulate_point(cameras, &observed(point), max_residual_px)).collect()
}

fn is_usable((pixel, confidence): &ObservedPoint) -> bool {
    pixel.iter().all(|value| value.is_finite()) && confidence.is_finite() && *confidence > 0.0
}

fn triangulate_point(
    cameras: &[Camera],
    observed: &[Option<ObservedPoint>],
    max_residual_px: f64,
) -> Option<TriangulatedPoint> {
    let point = solve(cameras, observed)?;
    let worst =
        point.residual_px.iter().enumerate().filter_map(|(view, residual)| Some((view, (*residual)?)));
    let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1))?;
    if worst.1 <= max_residual_px || observed.iter().flatten().count() < 3 {
        return Some(point);
    }
    let without: Vec<Option<ObservedPoint>> =
        observed.iter().enumerate().map(|(view, observed)| observed.filter(|_| view != worst.0)).collect();
    solve(cameras, &without)
}

/// The least-squares point of all views; `None` with fewer than two views, or if it is not in front of all of them.
fn solve(cameras: &[Camera], observed: &[Option<ObservedPoint>]) -> Option<TriangulatedPoint> {
    let mut normal = [[0.0; 4]; 4];
    let mut views = 0;
    for (camera, (pixel, confidence)) in observations(cameras, observed) {
        let [x, y] = camera.undistort(pixel);
        let row = |index: usize| {
            let [x, y, z] = camera.rotation[index];
            [x, y, z, camera.translation[index]]
        };
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
    let mut residual_px = vec![None; observed.len()];
    for ((camera, observed), residual) in cameras.iter().zip(observed).zip(&mut residual_px) {
        if let Some((pixel, _)) = observed {
            let [u, v] = camera.project(position)?;
            *residual = Some((u - pixel[0]).hypot(v - pixel[1]));
        }
    }
    Some(TriangulatedPoint { position, residual_px })
}

fn observations<'a>(
    cameras: &'a [Camera],
    observed: &'a [Option<ObservedPoint>],
) -> impl Iterator<Item = (&'a Camera, ObservedPoint)> {
    cameras.iter().zip(observed).filter_map(|(camera, observed)| Some((camera, (*observed)?)))
}

/// Eigenvector of the smallest eigenvalue of a symmetric matrix, by Jacobi rotations.
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
    use super::super::test_cameras::camera_around;
    use super::*;

    const POINTS: [[f64; 3]; 3] = [[0.0, 0.0, 1.0], [0.4, -0.3, 1.7], [-0.5, 0.4, 0.1]];

    fn cameras() -> Vec<Camera> {
        [0.1, 1.7, 3.3, 4.6].map(|angle| camera_around(angle, 4.0).with_offset([4.0, 0.0])).into()
    }

    fn observed(cameras: &[Camera]) -> Vec<Vec<Option<ObservedPoint>>> {
        let in_view =
            |camera: &Camera| POINTS.map(|point| camera.project(point).map(|pixel| (pixel, 0.8))).to_vec();
        cameras.iter().map(in_view).collect()
    }

    fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn exact_pixels_reproduce_the_points() {
        let cameras = cameras();
        let triangulated = triangulate(&cameras, &observed(&cameras), MAX_RESIDUAL_PX);
        for (triangulated, point) in triangulated.iter().zip(POINTS) {
            let triangulated = triangulated.as_ref().unwrap();
            assert!(distance(triangulated.position, point) < 1e-9, "{triangulated:?}");
            assert!(triangulated.residual_px.iter().all(|residual| residual.unwrap() < 1e-6));
        }
    }

    #[test]
    fn the_worst_view_is_left_out_and_confidence_is_a_weight() {
        let cameras = cameras();
        let mut points = observed(&cameras);
        // an error of 60 pixels in one view
        points[2][1].as_mut().unwrap().0[0] += 60.0;
        let point = triangulate(&cameras, &points, MAX_RESIDUAL_PX)[1].clone().unwrap();
        assert!(distance(point.position, POINTS[1]) < 1e-9);
        let out: Vec<bool> = point.residual_px.iter().map(Option::is_none).collect();
        assert_eq!(out, [false, false, true, false]);
        // below the limit it stays, weighted by its confidence
        let within = triangulate(&cameras, &points, 100.0)[1].clone().unwrap();
        assert!(
            distance(within.position, POINTS[1]) > 5e-3 && within.residual_px.iter().all(Option::is_some)
        );
        points[2][1].as_mut().unwrap().1 = 0.01;
        let weak = triangulate(&cameras, &points, 100.0)[1].clone().unwrap();
        assert!(distance(weak.position, POINTS[1]) < 1e-4, "{weak:?}");
    }

    #[test]
    fn two_views_are_needed() {
        let cameras = cameras();
        let mut points = observed(&cameras);
        for view in [0, 1, 3] {
            points[view][0] = None;
        }
        points[0][2] = None;
        points[1][2] = Some(([f64::NAN, 0.0], 1.0));
        points[3][2].as_mut().unwrap().1 = 0.0;
        let triangulated = triangulate(&cameras, &points, MAX_RESIDUAL_PX);
        let found = [0, 1, 2].map(|index| triangulated[index].is_some());
        assert_eq!(found, [false, true, false]);
        assert!(
            triangulate(&cameras, &[], MAX_RESIDUAL_PX).is_empty()
                && triangulate(&[], &points, MAX_RESIDUAL_PX).iter().all(Option::is_none)
        );
        // two views that contradict each other are kept, with large residuals
        let two: Vec<Vec<Option<ObservedPoint>>> = points
            .iter()
            .enumerate()
            .map(|(view, observed)| observed.iter().map(|observed| observed.filter(|_| view < 2)).collect())
            .collect();
        let mut two = two;
        two[0][1].as_mut().unwrap().0[1] += 200.0;
        let point = triangulate(&cameras, &two, MAX_RESIDUAL_PX)[1].clone().unwrap();
        assert!(point.residual_px[0].unwrap() > MAX_RESIDUAL_PX);
    }
}
