//! Cameras for tests.

use posebook_track::metrics::views::Camera;

/// A camera at world position `(distance sin a, distance cos a, 1)`, z up, that looks at the world's z axis.
pub fn camera_around(angle: f64, distance: f64) -> Camera {
    let (sin, cos) = angle.sin_cos();
    // away = towards the axis, down = -z, right = down x away
    let rotation = [[-cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, -cos, 0.0]];
    let position = [distance * sin, distance * cos, 1.0];
    let translation = std::array::from_fn(|row: usize| {
        -(0..3).map(|column| rotation[row][column] * position[column]).sum::<f64>()
    });
    Camera {
        intrinsics: [[1000.0, 0.0, 640.0], [0.0, 1010.0, 360.0], [0.0, 0.0, 1.0]],
        distortion: vec![-0.05, 0.14, 0.001, -0.0007],
        rotation,
        translation,
        offset_px: [0.0; 2],
    }
}
