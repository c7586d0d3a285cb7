//! The built-in body's proportions, both forward passes, and damaged files.

use super::bake::{self, Settings};
use super::batched::BatchedBody;
use super::*;
use candle_core::{Device, Tensor};
use posebook_core::geometry::{IDENTITY, Mat3, norm, sub};
use posebook_core::person::{PELVIS, SmplParams};
use posebook_core::random::{RandomStream, stream};
use std::collections::HashMap;
use std::path::Path;

fn rest() -> SmplParams {
    SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] }
}

fn about_z(angle: f32) -> Mat3 {
    let (s, c) = angle.sin_cos();
    [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]
}

fn about_x(angle: f32) -> Mat3 {
    let (s, c) = angle.sin_cos();
    [[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]
}

fn random_params(draws: &mut RandomStream) -> SmplParams {
    let mut rotation = || {
        let [a, b] = [0, 1].map(|_| 0.6 * draws.normal() as f32);
        posebook_core::geometry::multiply(&about_z(a), &about_x(b))
    };
    let global_orient = rotation();
    let body_pose = std::array::from_fn(|_| rotation());
    SmplParams { betas: std::array::from_fn(|_| draws.normal() as f32), global_orient, body_pose }
}

#[test]
fn the_built_in_body_is_a_person_in_t_pose() {
    let body = Body::built_in();
    assert!((2000..=4000).contains(&body.vertex_count()));
    assert!(Body::built_in_bytes().len() <= 4 << 20);
    let posed = body.pose(&rest());
    let [low, high] =
        [f32::min, f32::max].map(|pick| posed.vertices.iter().map(|v| v[1]).fold(posed.vertices[0][1], pick));
    assert!((1.55..1.85).contains(&(high - low)), "{}", high - low);
    let joints = &posed.joints24;
    assert!(norm(joints[0]) < 0.01, "the pelvis is the origin");
    assert!(joints[20][0] > 0.5 && joints[21][0] < -0.5, "left is +x");
    assert!((joints[20][1] - joints[16][1]).abs() < 0.03, "arms lie along x");
    assert!(joints[10][2] > joints[7][2] + 0.05, "toes point to +z");
    assert!(posed.joints44[0][2] > joints[15][2] + 0.05, "so does the nose");
    let rows_sum_to_one = (0..body.vertex_count())
        .all(|v| (body.weights.row(v).iter().map(|(_, weight)| weight).sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(rows_sum_to_one);
    let regions = body.regions.as_deref().unwrap();
    assert!(Region::ALL.iter().all(|region| regions.contains(region)));
}

#[test]
fn extra_joints_follow_the_skeleton() {
    let body = Body::built_in();
    let largest = bake::largest_error(&body, 40);
    assert!(largest < 0.03, "{largest} m in poses of half a radian");
    let posed = body.pose(&rest());
    assert!(norm(sub(posed.joints44[PELVIS], posed.joints24[0])) < 0.03);
}

#[test]
fn joints_are_linear_in_the_betas() {
    let body = Body::built_in();
    for beta in 0..NUM_BETAS {
        for side in [-3.0, 3.0] {
            let mut params = rest();
            params.betas[beta] = side;
            let posed = body.pose(&params);
            let regressed = body.joint_regressor.combine(&posed.vertices);
            let distances = regressed.iter().zip(&posed.joints24).map(|(a, b)| norm(sub(*a, *b)));
            assert!(distances.fold(0.0, f32::max) < 1e-4, "linear in the shape");
            let [hip, knee, ankle] = [1, 4, 7].map(|joint| posed.joints24[joint]);
            assert!(hip[1] > knee[1] + 0.25 && knee[1] > ankle[1] + 0.25, "beta {beta} at {side}");
            let mirrored = posed.joints24[16][0] + posed.joints24[17][0];
            assert!(mirrored.abs() < 0.02, "shoulders stay level: {mirrored}");
        }
    }
}

#[test]
fn raising_an_arm_moves_the_hand() {
    let body = Body::built_in();
    let mut params = rest();
    params.body_pose[15] = about_z(1.2); // the left shoulder, up
    let posed = body.pose(&params);
    let (raised, rest_hand) = (posed.joints24[20], body.pose(&rest()).joints24[20]);
    assert!(raised[1] > rest_hand[1] + 0.4 && raised[0] < rest_hand[0]);
    let arm_length = |joints: &[Vec3]| norm(sub(joints[20], joints[16]));
    assert!((arm_length(&posed.joints24) - arm_length(&body.pose(&rest()).joints24)).abs() < 1e-5);
}

#[test]
fn both_forward_passes_agree() {
    let mut draws = stream(3, "both passes", &[]);
    let mut body = Body::built_in();
    let n = NUM_POSE_FEATURES * 3 * body.vertex_count();
    let people: Vec<SmplParams> = (0..3).map(|_| random_params(&mut draws)).collect();
    let betas: Vec<f32> = people.iter().flat_map(|p| p.betas).collect();
    let rotations = people.iter().flat_map(|p| {
        std::iter::once(p.global_orient).chain(p.body_pose).flat_map(|r| r.as_flattened().to_vec())
    });
    let betas = Tensor::from_vec(betas, (3, 10), &Device::Cpu).unwrap();
    let rotations = Tensor::from_vec(rotations.collect::<Vec<f32>>(), (3, 24, 3, 3), &Device::Cpu).unwrap();
    for with_posedirs in [false, true] {
        if with_posedirs {
            body.posedirs = Some((0..n).map(|i| 0.002 * ((i * 37 % 101) as f32 / 50.0 - 1.0)).collect());
        }
        let all = BatchedBody::new(&body, &Device::Cpu).unwrap().forward(&betas, &rotations).unwrap();
        let few = BatchedBody::joints_only(&body, &Device::Cpu).unwrap().forward(&betas, &rotations).unwrap();
        assert!(few.vertices.dim(1).unwrap() < body.vertex_count() / 2);
        for (i, person) in people.iter().enumerate() {
            let posed = body.pose(person);
            for (tensor, points) in [
                (&all.vertices, &posed.vertices),
                (&all.joints24, &posed.joints24),
                (&all.joints44, &posed.joints44),
                (&few.joints44, &posed.joints44),
            ] {
                let rows = tensor.get(i).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let differences = rows.iter().zip(points.as_flattened()).map(|(a, b)| (a - b).abs());
                assert!(differences.fold(0.0, f32::max) < 5e-6, "person {i}");
            }
        }
    }
}

#[test]
fn a_saved_body_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let body = Body::built_in();
    let path = folder.path().join("body.safetensors");
    body.save(&path).unwrap();
    assert_eq!(Body::load(&path).unwrap(), body);
    let npz = folder.path().join("body.npz");
    let tensors: Vec<(String, Tensor)> = body.to_tensors().unwrap().into_iter().collect();
    Tensor::write_npz(&tensors, &npz).unwrap();
    assert_eq!(Body::load(&npz).unwrap(), body);
}

fn error_after(change: impl FnOnce(&mut HashMap<String, Tensor>)) -> String {
    let mut tensors = Body::built_in().to_tensors().unwrap();
    change(&mut tensors);
    Body::from_tensors(&tensors, Path::new("some/body.npz")).unwrap_err().to_string()
}

#[test]
fn errors_name_the_array_and_the_file() {
    let body = Body::built_in();
    let missing = error_after(|tensors| drop(tensors.remove("weights")));
    assert!(missing.contains("no array `weights`") && missing.contains("some/body.npz"), "{missing}");
    let shape = error_after(|tensors| {
        let regressor = tensors["J_regressor"].narrow(0, 0, 23).unwrap();
        tensors.insert("J_regressor".into(), regressor);
    });
    assert!(shape.contains("[23, ") && shape.contains("[24, "), "{shape}");
    let faces = error_after(|tensors| {
        let faces = Tensor::new(&[[0i64, 1, body.vertex_count() as i64]], &Device::Cpu).unwrap();
        tensors.insert("faces".into(), faces);
    });
    assert!(faces.contains("`faces`") && faces.contains("element 2"), "{faces}");
    let nan = error_after(|tensors| {
        let template = (&tensors["v_template"] / 0.0).unwrap();
        tensors.insert("v_template".into(), template);
    });
    assert!(nan.contains("`v_template`"), "{nan}");
    let parents = error_after(|tensors| {
        let mut late = [0i64; 24];
        late[4] = 9;
        tensors.insert("parents".into(), Tensor::new(&late, &Device::Cpu).unwrap());
    });
    assert!(parents.contains("before their children"), "{parents}");
    let nowhere = Body::load(Path::new("nowhere.safetensors")).unwrap_err().to_string();
    assert!(nowhere.contains("nowhere.safetensors"), "{nowhere}");
    let odd = Body::load(Path::new("body.obj")).unwrap_err().to_string();
    assert!(odd.contains(".safetensors") && odd.contains(".npz"), "{odd}");
}

#[test]
fn baking_refuses_missing_files_and_invalid_settings() {
    let folder = tempfile::tempdir().unwrap();
    assert!(bake::bake(folder.path(), &Settings::default()).unwrap_err().to_string().contains("base.obj"));
    let few = Settings { people: 3, ..Settings::default() };
    assert!(bake::bake(folder.path(), &few).unwrap_err().to_string().contains("12 people"));
}
