//! Goldens 01 (rotations and projections) and 07 (PHALP's camera and vectors).

use super::check::{Bound, EXACT, Ledger};
use super::golden::{Golden, Set, values};
use super::{ParityError, Stage};
use crate::geometry::{
    Vec3, add, apply, project, rotation_from_6d, rotation_from_axis_angle, translation_from_crop_camera,
};
use crate::hmr2::camera::{SQUARE, SquareInHmar, points_in_hmar};
use crate::hmr2::head::rotations_from_6d;
use crate::phalp::{POSE_LENGTH, params_from_pose_vector, place_vector, pose_vector};
use candle_core::Device;

const RELATIVE: Bound = Bound::Relative(1e-5);
const ROTATION: Bound = Bound::Absolute(1e-5);
/// The original's own noise on vectors that are only put together.
const PACKED: Bound = Bound::Absolute(1e-6);

pub fn rotations(set: &Set, device: &Device, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Geometry, "01_geometry")?;
    let from_6d: Vec<_> = golden.rows("rot6d.x")?.iter().map(rotation_from_6d).collect();
    ledger.close(&golden, "rot6d.out", from_6d.as_flattened().as_flattened(), ROTATION, "")?;
    let as_tensors = rotations_from_6d(&golden.tensor("rot6d.x")?.to_device(device)?)?;
    let wanted = golden.f64("rot6d.out")?;
    let got: Vec<f64> = values(&as_tensors)?.into_iter().map(f64::from).collect();
    ledger.numbers(&golden, "rot6d.out, as tensors", &got, &wanted, ROTATION, "")?;
    let from_axis: Vec<_> = golden.rows("aa.x")?.into_iter().map(rotation_from_axis_angle).collect();
    ledger.close(&golden, "aa.out", from_axis.as_flattened().as_flattened(), ROTATION, "")
}

pub fn projections(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Geometry, "01_geometry")?;
    let points = golden.rows::<3>("proj.points")?;
    let translations = golden.rows::<3>("proj.translation")?;
    let (focals, centers) = (golden.rows::<2>("proj.focal")?, golden.rows::<2>("proj.center")?);
    let turns = golden.rows::<9>("proj.rotation")?;
    let per_body = points.len() / translations.len();
    let (mut plain, mut full) = (Vec::new(), Vec::new());
    for (at, &point) in points.iter().enumerate() {
        let body = at / per_body;
        let turn = turns[body].as_chunks::<3>().0;
        let turned = apply(&[turn[0], turn[1], turn[2]], point);
        plain.push(project(add(point, translations[body]), focals[body], [0.0; 2]));
        full.push(project(add(turned, translations[body]), focals[body], centers[body]));
    }
    ledger.close(&golden, "proj.out_plain", plain.as_flattened(), RELATIVE, "")?;
    ledger.close(&golden, "proj.out_full", full.as_flattened(), RELATIVE, "")?;
    crop_to_full(&golden, ledger)
}

fn crop_to_full(golden: &Golden, ledger: &mut Ledger) -> Result<(), ParityError> {
    let cameras = golden.rows::<3>("crop2full.cam")?;
    let centers = golden.rows::<2>("crop2full.center")?;
    let (sides, pictures) = (golden.f32("crop2full.size")?, golden.rows::<2>("crop2full.img_size")?);
    let focal_demo = golden.f32("crop2full.focal_demo")?[0];
    for (key, focal) in [("crop2full.out_5000", 5000.0), ("crop2full.out_demo", focal_demo)] {
        let translations: Vec<Vec3> = (0..cameras.len())
            .map(|i| translation_from_crop_camera(cameras[i], centers[i], sides[i], pictures[i], focal))
            .collect();
        ledger.close(golden, key, translations.as_flattened(), RELATIVE, "")?;
    }
    Ok(())
}

pub fn camera(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Camera, "07_phalp_camera")?;
    let cameras = golden.rows::<3>("pred_cam")?;
    let (centers, sides) = (golden.f64("center")?, golden.f64("scale")?);
    let joints = golden.rows::<3>("joints_3d45")?;
    let per_body = joints.len() / cameras.len();
    let given = |i: usize| SquareInHmar { center: [centers[2 * i], centers[2 * i + 1]], side: sides[i] };
    let squares: [(&str, Vec<SquareInHmar>); 2] = [
        ("", (0..cameras.len()).map(given).collect()),
        ("_default", vec![SquareInHmar::whole(); cameras.len()]),
    ];
    for (ending, squares) in squares {
        let translations: Vec<Vec3> =
            squares.iter().zip(&cameras).map(|(square, &camera)| square.translation(camera)).collect();
        // the last of the reference's joints is the zero that `points_in_hmar` appends
        let of_body = |i: usize| &joints[i * per_body..(i + 1) * per_body - 1];
        let points = translations.iter().enumerate().flat_map(|(i, &at)| points_in_hmar(of_body(i), at));
        let points: Vec<[f32; 2]> = points.collect();
        ledger.close(&golden, &format!("cam_t{ending}"), translations.as_flattened(), RELATIVE, "")?;
        let pixels = Bound::Absolute(1e-3);
        ledger.close(&golden, &format!("keypoints_2d{ending}"), points.as_flattened(), pixels, "px")?;
    }
    Ok(())
}

pub fn vectors(set: &Set, ledger: &mut Ledger) -> Result<(), ParityError> {
    let golden = set.golden(Stage::Camera, "07_phalp_camera")?;
    let packed = golden.rows::<POSE_LENGTH>("pose_camera_vector")?;
    let translations = golden.rows::<3>("cam_t")?;
    if let Some(first) = packed.first() {
        let (params, camera) = params_from_pose_vector(first);
        let turn = params.global_orient.as_flattened();
        ledger.close(&golden, "roundtrip_global_orient0", turn, EXACT, "")?;
        let pose = params.body_pose.as_flattened().as_flattened();
        ledger.close(&golden, "roundtrip_body_pose0", pose, EXACT, "")?;
        ledger.close(&golden, "roundtrip_betas0", &params.betas, EXACT, "")?;
        ledger.close(&golden, "roundtrip_camera0", &camera, RELATIVE, "")?;
    }
    let again = packed.iter().zip(&translations);
    let again: Vec<_> =
        again.map(|(vector, &at)| pose_vector(&params_from_pose_vector(vector).0, at)).collect();
    ledger.close(&golden, "pose_camera_vector", again.as_flattened(), PACKED, "")?;
    let points = golden.rows::<2>("keypoints_2d")?;
    let in_square: Vec<[f32; 2]> = points.iter().map(|point| point.map(|at| at / SQUARE as f32)).collect();
    let bodies = in_square.chunks_exact(points.len() / translations.len());
    let places: Vec<_> =
        translations.iter().zip(bodies).map(|(&at, points)| place_vector(points, at)).collect();
    ledger.close(&golden, "loca_embedding", places.as_flattened(), Bound::Absolute(1e-5), "")
}
