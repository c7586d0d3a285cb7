//! Goldens 01 (rotations and projections) and 07 (PHALP's camera and vectors).

use super::check::{CheckRecorder, EXACT, Tolerance};
use super::golden::{Golden, GoldenSet, values};
use super::{ParityError, Stage};
use candle_core::Device;
use posebook_core::geometry::{
    Vec3, add, apply, project, rotation_from_6d, rotation_from_axis_angle, translation_from_crop_camera,
};
use posebook_models::hmr2::camera::{HMAR_IMAGE_SIZE, HmarSquare, project_to_hmar};
use posebook_models::hmr2::rotations_from_6d;
use posebook_track::phalp::{POSE_LENGTH, location_vector, params_from_pose_vector, pose_vector};

const RELATIVE: Tolerance = Tolerance::Relative(1e-5);
const ROTATION: Tolerance = Tolerance::Absolute(1e-5);
/// Rounding noise of the original in vectors that are only concatenated.
const PACKED: Tolerance = Tolerance::Absolute(1e-6);

/// Compares rotations from 6D and axis-angle.
pub fn rotations(set: &GoldenSet, device: &Device, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Geometry, "01_geometry")?;
    let from_6d: Vec<_> = golden.rows("rot6d.x")?.iter().map(rotation_from_6d).collect();
    checks.compare_tensor(&golden, "rot6d.out", from_6d.as_flattened().as_flattened(), ROTATION, "")?;
    let as_tensors = rotations_from_6d(&golden.tensor("rot6d.x")?.to_device(device)?)?;
    let expected = golden.f64("rot6d.out")?;
    let got: Vec<f64> = values(&as_tensors)?.into_iter().map(f64::from).collect();
    checks.compare(&golden, "rot6d.out, as tensors", &got, &expected, ROTATION, "")?;
    let from_axis: Vec<_> = golden.rows("aa.x")?.into_iter().map(rotation_from_axis_angle).collect();
    checks.compare_tensor(&golden, "aa.out", from_axis.as_flattened().as_flattened(), ROTATION, "")
}

/// Compares perspective projections.
pub fn projections(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Geometry, "01_geometry")?;
    let points = golden.rows::<3>("proj.points")?;
    let translations = golden.rows::<3>("proj.translation")?;
    let (focals, centers) = (golden.rows::<2>("proj.focal")?, golden.rows::<2>("proj.center")?);
    let rotations = golden.rows::<9>("proj.rotation")?;
    let per_body = points.len() / translations.len();
    let (mut plain, mut full) = (Vec::new(), Vec::new());
    for (index, &point) in points.iter().enumerate() {
        let body = index / per_body;
        let rotation = rotations[body].as_chunks::<3>().0;
        let rotated = apply(&[rotation[0], rotation[1], rotation[2]], point);
        plain.push(project(add(point, translations[body]), focals[body], [0.0; 2]));
        full.push(project(add(rotated, translations[body]), focals[body], centers[body]));
    }
    checks.compare_tensor(&golden, "proj.out_plain", plain.as_flattened(), RELATIVE, "")?;
    checks.compare_tensor(&golden, "proj.out_full", full.as_flattened(), RELATIVE, "")?;
    crop_to_full(&golden, checks)
}

fn crop_to_full(golden: &Golden, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let cameras = golden.rows::<3>("crop2full.cam")?;
    let centers = golden.rows::<2>("crop2full.center")?;
    let (sides, images) = (golden.f32("crop2full.size")?, golden.rows::<2>("crop2full.img_size")?);
    let focal_demo = golden.f32("crop2full.focal_demo")?[0];
    for (key, focal) in [("crop2full.out_5000", 5000.0), ("crop2full.out_demo", focal_demo)] {
        let translations: Vec<Vec3> = (0..cameras.len())
            .map(|i| translation_from_crop_camera(cameras[i], centers[i], sides[i], images[i], focal))
            .collect();
        checks.compare_tensor(golden, key, translations.as_flattened(), RELATIVE, "")?;
    }
    Ok(())
}

/// Compares PHALP's camera.
pub fn camera(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Camera, "07_phalp_camera")?;
    let cameras = golden.rows::<3>("pred_cam")?;
    let (centers, sides) = (golden.f64("center")?, golden.f64("scale")?);
    let joints = golden.rows::<3>("joints_3d45")?;
    let per_body = joints.len() / cameras.len();
    let stored = |i: usize| HmarSquare { center: [centers[2 * i], centers[2 * i + 1]], side: sides[i] };
    let squares: [(&str, Vec<HmarSquare>); 2] = [
        ("", (0..cameras.len()).map(stored).collect()),
        ("_default", vec![HmarSquare::full_frame(); cameras.len()]),
    ];
    for (ending, squares) in squares {
        let translations: Vec<Vec3> =
            squares.iter().zip(&cameras).map(|(square, &camera)| square.translation(camera)).collect();
        // the last of the reference's joints is the zero that `project_to_hmar` appends
        let of_body = |i: usize| &joints[i * per_body..(i + 1) * per_body - 1];
        let points = translations.iter().enumerate().flat_map(|(i, &at)| project_to_hmar(of_body(i), at));
        let points: Vec<[f32; 2]> = points.collect();
        checks.compare_tensor(
            &golden,
            &format!("cam_t{ending}"),
            translations.as_flattened(),
            RELATIVE,
            "",
        )?;
        let pixels = Tolerance::Absolute(1e-3);
        checks.compare_tensor(
            &golden,
            &format!("keypoints_2d{ending}"),
            points.as_flattened(),
            pixels,
            "px",
        )?;
    }
    Ok(())
}

/// Compares PHALP's pose and location vectors.
pub fn vectors(set: &GoldenSet, checks: &mut CheckRecorder) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Camera, "07_phalp_camera")?;
    let packed = golden.rows::<POSE_LENGTH>("pose_camera_vector")?;
    let translations = golden.rows::<3>("cam_t")?;
    if let Some(first) = packed.first() {
        let (params, camera) = params_from_pose_vector(first);
        let orient = params.global_orient.as_flattened();
        checks.compare_tensor(&golden, "roundtrip_global_orient0", orient, EXACT, "")?;
        let pose = params.body_pose.as_flattened().as_flattened();
        checks.compare_tensor(&golden, "roundtrip_body_pose0", pose, EXACT, "")?;
        checks.compare_tensor(&golden, "roundtrip_betas0", &params.betas, EXACT, "")?;
        checks.compare_tensor(&golden, "roundtrip_camera0", &camera, RELATIVE, "")?;
    }
    let pairs = packed.iter().zip(&translations);
    let repacked: Vec<_> =
        pairs.map(|(vector, &at)| pose_vector(&params_from_pose_vector(vector).0, at)).collect();
    checks.compare_tensor(&golden, "pose_camera_vector", repacked.as_flattened(), PACKED, "")?;
    let points = golden.rows::<2>("keypoints_2d")?;
    let in_square: Vec<[f32; 2]> =
        points.iter().map(|point| point.map(|value| value / HMAR_IMAGE_SIZE as f32)).collect();
    let bodies = in_square.chunks_exact(points.len() / translations.len());
    let locations: Vec<_> =
        translations.iter().zip(bodies).map(|(&at, points)| location_vector(points, at)).collect();
    checks.compare_tensor(&golden, "loca_embedding", locations.as_flattened(), Tolerance::Absolute(1e-5), "")
}
