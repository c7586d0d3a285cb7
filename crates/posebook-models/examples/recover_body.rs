//! Draws a body whose pose is known, recovers it from the picture with the network of `models/tiny.toml`, and prints the
//! joints of both.

use candle_core::Device;
use posebook_core::frame::Frame;
use posebook_core::geometry::{IDENTITY, Vec3, norm, rotation_from_axis_angle, sub};
use posebook_core::person::{BBox, Detection, SmplParams};
use posebook_models::body::JOINT_NAMES;
use posebook_models::hmr2::{Hmr2, Settings};
use posebook_models::recovery::ModelSet;
use std::error::Error;
use std::path::Path;

/// Side of the picture, pixels.
const SIDE: usize = 320;
/// Radius of the disk that is drawn for each vertex, pixels.
const RADIUS: f32 = 4.0;

fn main() -> Result<(), Box<dyn Error>> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let set = ModelSet::find(&models, "tiny")?;
    set.verify()?; // the hash of the weights
    let body = set.load_body()?;

    // the rest pose, upright in camera axes (x right, y down, z away), with both arms lowered
    let mut params = SmplParams { betas: [0.0; 10], global_orient: IDENTITY, body_pose: [IDENTITY; 23] };
    params.global_orient = rotation_from_axis_angle([std::f32::consts::PI, 0.0, 0.0]);
    params.body_pose[15] = rotation_from_axis_angle([0.0, 0.0, -1.2]); // left shoulder
    params.body_pose[16] = rotation_from_axis_angle([0.0, 0.0, 0.6]); // right shoulder
    let drawn = body.pose(&params);
    let (frame, bbox) = draw(&drawn.vertices);

    let settings = Settings::default();
    let weights = set.load_weights(settings.precision, &Device::Cpu)?;
    let hmr2 = Hmr2::new(set.hmr2_config("this example")?, weights, &settings)?;
    let crops = hmr2.extract_crops(&frame, &[Detection { bbox, score: 1.0, input_id: None, mask: None }])?;
    let person = hmr2.recover(&[crops], &body)?.concat().pop().ok_or("nobody was recovered")?;

    println!(
        "camera of the crop: scale {:.2}, x {:.2}, y {:.2}",
        person.crop_camera[0], person.crop_camera[1], person.crop_camera[2]
    );
    println!("betas: {:.1?} standard deviations", person.params.betas);
    println!("joints relative to the pelvis, m (x right, y down, z away):");
    let found = body.pose(&person.params);
    for joint in [15, 20, 21, 7, 8] {
        let [drawn, found] = [&drawn, &found].map(|posed| sub(posed.joints24[joint], posed.joints24[0]));
        let apart_m = norm(sub(drawn, found));
        println!(
            "  {:11} drawn {drawn:5.2?}, recovered {found:5.2?}, {apart_m:.2} apart",
            JOINT_NAMES[joint]
        );
    }
    Ok(())
}

/// A frame with a disk for each vertex, far ones first and darker, and the box around them.
fn draw(vertices: &[Vec3]) -> (Frame, BBox) {
    let mut rgb = vec![90; SIDE * SIDE * 3];
    let mut bbox = BBox { x1: f32::MAX, y1: f32::MAX, x2: 0.0, y2: 0.0 };
    let mut vertices = vertices.to_vec();
    vertices.sort_by(|a, b| b[2].total_cmp(&a[2]));
    for [x, y, z] in vertices {
        let (x, y) = (140.0 * x + 160.0, 140.0 * y + 140.0); // 140 pixels per meter
        bbox = BBox { x1: bbox.x1.min(x), y1: bbox.y1.min(y), x2: bbox.x2.max(x), y2: bbox.y2.max(y) };
        let color = [210.0, 170.0, 150.0].map(|channel| (channel - 300.0 * z) as u8);
        for (index, pixel) in rgb.chunks_exact_mut(3).enumerate() {
            let (dx, dy) = ((index % SIDE) as f32 - x, (index / SIDE) as f32 - y);
            if dx * dx + dy * dy < RADIUS * RADIUS {
                pixel.copy_from_slice(&color);
            }
        }
    }
    (Frame::new(0, 0.0, SIDE, SIDE, rgb), bbox)
}
