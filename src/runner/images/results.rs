//! A person's results as files: a mesh (.obj), parameters for NumPy (.npz), a row of the table.

use super::posed_person::PosedPerson;
use posebook_core::npz::{NpzWriter, Values};
use posebook_models::body::Body;
use posebook_models::hmr2::camera::FOCAL_LENGTH;
use posebook_notebook::tables::ImagePersonRow;
use std::fmt::Write;

/// The mesh as a Wavefront .obj file, in OpenGL axes as 4D-Humans' demo writes it.
pub fn obj(person: &PosedPerson, body: &Body, title: &str) -> String {
    let mut text = format!(
        "# {title}\n# meters in the camera of the whole image: x right, y up, z towards the camera (OpenGL); \
         the camera is at the origin\n"
    );
    for [x, y, z] in person.vertices_in_camera() {
        // writing to a string does not fail
        let _ = writeln!(text, "v {x} {} {}", -y, -z);
    }
    for face in &body.faces {
        let [a, b, c] = face.map(|corner| corner + 1);
        let _ = writeln!(text, "f {a} {b} {c}");
    }
    text
}

/// The parameters as an .npz file, with the names of HMR2's output where it has one.
///
/// | array | shape | |
/// |---|---|---|
/// | `betas` | (10) | |
/// | `global_orient`, `body_pose` | (1, 3, 3), (23, 3, 3) | rotation matrices |
/// | `pred_cam` | (3) | scale, x, y in the crop |
/// | `pred_cam_t`, `focal_length` | (3), (2) | in the crop's camera; for a crop of 256 pixels |
/// | `pred_cam_t_full`, `focal_length_full` | (3), () | in the whole image's camera |
/// | `pred_keypoints_3d` | (44, 3) | relative to the body's origin, meters |
/// | `pred_keypoints_2d` | (44, 2) | relative to the crop's center, in units of its side |
/// | `keypoints_2d_full` | (44, 2) | pixels of the image |
/// | `pred_vertices` | (V, 3) | relative to the body's origin, meters |
/// | `box` | (4) | left, top, right, bottom, pixels |
/// | `box_center`, `box_size` | (2), () | of the cropped square, pixels |
/// | `img_size` | (2) | width, height |
/// | `personid` | () | index among the people of the image |
/// | `picture`, `weights_sha256` | () | origin |
pub fn npz(person: &PosedPerson, row: &ImagePersonRow) -> Vec<u8> {
    let joints = person.person.joints.len();
    let mut npz = NpzWriter::new();
    for (name, shape, values) in [
        ("betas", &[10][..], row.betas.as_slice()),
        ("global_orient", &[1, 3, 3], &row.global_orient),
        ("body_pose", &[23, 3, 3], &row.body_pose),
        ("pred_cam", &[3], &row.crop_camera),
        ("pred_cam_t", &[3], &person.translation_in_crop),
        ("focal_length", &[2], &[FOCAL_LENGTH; 2]),
        ("pred_cam_t_full", &[3], &row.translation_m),
        ("focal_length_full", &[], &[row.focal_px]),
        ("pred_keypoints_3d", &[joints, 3], &row.joints_m),
        ("pred_keypoints_2d", &[joints, 2], person.joints_in_crop.as_flattened()),
        ("keypoints_2d_full", &[joints, 2], &row.joints_px),
        ("pred_vertices", &[person.vertices.len(), 3], person.vertices.as_flattened()),
        ("box", &[4], &[row.x1_px, row.y1_px, row.x2_px, row.y2_px]),
        ("box_center", &[2], &person.square.center),
        ("box_size", &[], &[person.square.side]),
        ("img_size", &[2], &[row.width_px as f32, row.height_px as f32]),
    ] {
        npz = npz.add_array(name, shape, Values::F32(values));
    }
    npz.add_array("personid", &[], Values::I64(&[row.person as i64]))
        .add_array("picture", &[], Values::Text(&row.picture))
        .add_array("weights_sha256", &[], Values::Text(&row.weights_sha256))
        .into_bytes()
}

/// The row of a person; `common` holds the columns that all people of the image share.
pub fn row(person: &PosedPerson, number: usize, focal_px: f32, common: &ImagePersonRow) -> ImagePersonRow {
    let bbox = person.person.detection.bbox;
    let params = &person.person.params;
    ImagePersonRow {
        person: number as u64,
        x1_px: bbox.x1,
        y1_px: bbox.y1,
        x2_px: bbox.x2,
        y2_px: bbox.y2,
        betas: params.betas.to_vec(),
        global_orient: params.global_orient.as_flattened().to_vec(),
        body_pose: params.body_pose.as_flattened().as_flattened().to_vec(),
        crop_camera: person.person.crop_camera.to_vec(),
        translation_m: person.translation.to_vec(),
        focal_px,
        joints_m: person.person.joints.as_flattened().to_vec(),
        joints_px: person.joints_in_image.as_flattened().to_vec(),
        ..common.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::posed_person::image_camera;
    use super::super::posed_person::tests::person_in_t_pose;
    use super::*;
    use candle_core::npy::NpzTensors;
    use posebook_core::person::BBox;

    fn posed_person(body: &Body) -> PosedPerson {
        let bbox = BBox { x1: 10.0, y1: 20.0, x2: 60.0, y2: 150.0 };
        PosedPerson::new(person_in_t_pose(body, bbox, [0.9, 0.1, 0.2]), body, 200, 160)
    }

    #[test]
    fn a_mesh_has_opengl_axes() {
        let body = Body::built_in();
        let person = posed_person(&body);
        let text = obj(&person, &body, "a.png");
        let numbers = |line: &str| -> Vec<f32> {
            line.split(' ').skip(1).map(|number| number.parse().unwrap()).collect()
        };
        let vertices: Vec<Vec<f32>> =
            text.lines().filter(|line| line.starts_with("v ")).map(numbers).collect();
        assert_eq!(vertices.len(), body.vertex_count());
        let [x, y, z] = person.vertices_in_camera()[7];
        assert_eq!(vertices[7], [x, -y, -z]);
        assert!(vertices.iter().all(|vertex| vertex[2] < 0.0), "in front of the camera");
        let faces: Vec<Vec<f32>> = text.lines().filter(|line| line.starts_with("f ")).map(numbers).collect();
        assert_eq!(faces.len(), body.faces.len());
        assert_eq!(faces[0][0], body.faces[0][0] as f32 + 1.0);
        assert!(text.starts_with("# a.png\n# meters in the camera"));
    }

    #[test]
    fn parameters_are_arrays_of_the_right_shapes() {
        let body = Body::built_in();
        let person = posed_person(&body);
        let common = ImagePersonRow { width_px: 200, height_px: 160, ..ImagePersonRow::default() };
        let row = row(&person, 3, image_camera(200, 160).fx, &common);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        std::fs::write(&path, npz(&person, &row)).unwrap();
        let read = NpzTensors::new(&path).unwrap();
        let shape = |name: &str| read.get(name).unwrap().unwrap().dims().to_vec();
        assert_eq!(shape("body_pose"), [23, 3, 3]);
        assert_eq!(shape("global_orient"), [1, 3, 3]);
        assert_eq!(shape("pred_vertices"), [body.vertex_count(), 3]);
        assert_eq!(shape("focal_length_full"), [0; 0]);
        let focal = read.get("focal_length_full").unwrap().unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(focal, 5000.0 / 256.0 * 200.0);
        let personid = read.get("personid").unwrap().unwrap().to_scalar::<i64>().unwrap();
        assert_eq!(personid, 3);
        let full = read.get("pred_cam_t_full").unwrap().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(full, person.translation);
    }
}
