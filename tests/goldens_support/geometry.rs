//! HMR2's goldens 01 (rotations and projections) and 07 (PHALP's camera and vectors).

use crate::golden::{Golden, sets};
use posebook::geometry::{
    Vec3, add, apply, project, rotation_from_6d, rotation_from_axis_angle, translation_from_crop_camera,
};
use posebook::hmr2::camera::{SquareInHmar, points_in_hmar};
use posebook::person::SmplParams;
use posebook::phalp::{params_from_pose_vector, place_vector, pose_vector};

fn rows<const N: usize>(values: &[f32]) -> Vec<[f32; N]> {
    values.as_chunks::<N>().0.to_vec()
}

/// 1e-5 of the value, and never less than 1e-5.
fn relative(value: f32) -> f64 {
    1e-5 * f64::from(value).abs().max(1.0)
}

#[test]
fn golden_01_rotations() {
    for set in sets("hmr2") {
        let golden = set.golden("01_geometry");
        let from_6d: Vec<_> = rows::<6>(&golden.f32("rot6d.x")).iter().map(rotation_from_6d).collect();
        golden.close("rot6d.out", from_6d.as_flattened().as_flattened(), 1e-5);
        let from_axis: Vec<_> = rows(&golden.f32("aa.x")).into_iter().map(rotation_from_axis_angle).collect();
        golden.close("aa.out", from_axis.as_flattened().as_flattened(), 1e-5);
    }
}

#[test]
fn golden_01_rotations_as_tensors() {
    for set in sets("hmr2") {
        let golden = set.golden("01_geometry");
        let rotations = posebook::hmr2::head::rotations_from_6d(golden.tensor("rot6d.x")).unwrap();
        golden.close("rot6d.out", &crate::golden::values(&rotations), 1e-5);
    }
}

#[test]
fn golden_01_projections() {
    for set in sets("hmr2") {
        let golden = set.golden("01_geometry");
        let points = rows::<3>(&golden.f32("proj.points"));
        let translations = rows::<3>(&golden.f32("proj.translation"));
        let focals = rows::<2>(&golden.f32("proj.focal"));
        let centers = rows::<2>(&golden.f32("proj.center"));
        let turns = rows::<9>(&golden.f32("proj.rotation"));
        let per_body = points.len() / translations.len();
        let (mut plain, mut full) = (Vec::new(), Vec::new());
        for (at, &point) in points.iter().enumerate() {
            let body = at / per_body;
            let turn = turns[body].as_chunks::<3>().0;
            let turned = apply(&[turn[0], turn[1], turn[2]], point);
            plain.push(project(add(point, translations[body]), focals[body], [0.0; 2]));
            full.push(project(add(turned, translations[body]), focals[body], centers[body]));
        }
        golden.close_by("proj.out_plain", plain.as_flattened(), relative);
        golden.close_by("proj.out_full", full.as_flattened(), relative);
        crop_to_full(&golden);
    }
}

fn crop_to_full(golden: &Golden) {
    let cameras = rows::<3>(&golden.f32("crop2full.cam"));
    let centers = rows::<2>(&golden.f32("crop2full.center"));
    let sides = golden.f32("crop2full.size");
    let pictures = rows::<2>(&golden.f32("crop2full.img_size"));
    for (key, focal) in
        [("crop2full.out_5000", 5000.0), ("crop2full.out_demo", golden.f32("crop2full.focal_demo")[0])]
    {
        let translations: Vec<Vec3> = (0..cameras.len())
            .map(|i| translation_from_crop_camera(cameras[i], centers[i], sides[i], pictures[i], focal))
            .collect();
        golden.close_by(key, translations.as_flattened(), relative);
    }
}

#[test]
fn golden_07_the_camera() {
    for set in sets("hmr2") {
        let golden = set.golden("07_phalp_camera");
        let cameras = rows::<3>(&golden.f32("pred_cam"));
        let centers = golden.f64("center");
        let sides = golden.f64("scale");
        let joints = rows::<3>(&golden.f32("joints_3d45"));
        let per_body = joints.len() / cameras.len();
        let given = |i: usize| SquareInHmar { center: [centers[2 * i], centers[2 * i + 1]], side: sides[i] };
        let squares: [(&str, Vec<SquareInHmar>); 2] = [
            ("", (0..cameras.len()).map(given).collect()),
            ("_default", vec![SquareInHmar::whole(); cameras.len()]),
        ];
        for (ending, squares) in squares {
            let translations: Vec<Vec3> =
                squares.iter().zip(&cameras).map(|(square, &camera)| square.translation(camera)).collect();
            let points: Vec<[f32; 2]> = translations
                .iter()
                .enumerate()
                .flat_map(|(i, &at)| points_in_hmar(&joints[i * per_body..(i + 1) * per_body - 1], at))
                .collect();
            golden.close_by(&format!("cam_t{ending}"), translations.as_flattened(), relative);
            golden.close(&format!("keypoints_2d{ending}"), points.as_flattened(), 1e-3);
        }
    }
}

#[test]
fn golden_07_the_vectors() {
    for set in sets("hmr2") {
        let golden = set.golden("07_phalp_camera");
        let packed = rows::<229>(&golden.f32("pose_camera_vector"));
        let translations = rows::<3>(&golden.f32("cam_t"));
        let (params, camera) = params_from_pose_vector(&packed[0]);
        golden.close("roundtrip_global_orient0", params.global_orient.as_flattened(), 0.0);
        golden.close("roundtrip_body_pose0", params.body_pose.as_flattened().as_flattened(), 0.0);
        golden.close("roundtrip_betas0", &params.betas, 0.0);
        golden.close_by("roundtrip_camera0", &camera, relative);
        let again: Vec<_> = packed
            .iter()
            .zip(&translations)
            .map(|(vector, &at)| {
                let params: SmplParams = params_from_pose_vector(vector).0;
                pose_vector(&params, at)
            })
            .collect();
        golden.close("pose_camera_vector", again.as_flattened(), 1e-6);
        let points = rows::<2>(&golden.f32("keypoints_2d"));
        let in_square: Vec<_> = points.iter().map(|point| point.map(|at| at / 256.0)).collect();
        let per_body = points.len() / translations.len();
        let places: Vec<_> = translations
            .iter()
            .zip(in_square.chunks_exact(per_body))
            .map(|(&at, points)| place_vector(points, at))
            .collect();
        golden.close("loca_embedding", places.as_flattened(), 1e-5);
    }
}
