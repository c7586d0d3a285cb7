//! Tests of the painter, with the built-in body. `POSEBOOK_PICTURES=folder` keeps the pictures.

use super::*;
use posebook_core::geometry::{IDENTITY, add, project};
use posebook_core::person::{SmplParams, pixel_from_square};
use posebook_models::hmr2::camera::{FOCAL_LENGTH, HMAR_IMAGE_SIZE};
use posebook_models::hmr2::mask::rle_counts;

const WIDTH: usize = 321;
const HEIGHT: usize = 181;

/// A frame with a pattern, so that what is drawn is seen.
fn frame(index: usize) -> Frame {
    let pixel = |i: usize| {
        let (x, y) = (i % WIDTH, i / WIDTH);
        let light = if (x / 20 + y / 20).is_multiple_of(2) { 118 } else { 104 };
        [light, light + (y / 12) as u8, light + (x / 16) as u8]
    };
    Frame::new(index, index as f64 / 10.0, WIDTH, HEIGHT, (0..WIDTH * HEIGHT).flat_map(pixel).collect())
}

/// The row of a standing person at `translation`, meters.
fn person(track: Option<u64>, index: u64, translation: [f32; 3], body: &Body) -> PersonRow {
    // upright in camera axes, whose y points down, and turned a little
    let (sin, cos) = 0.5f32.sin_cos();
    let global_orient = [[cos, 0.0, sin], [0.0, -1.0, 0.0], [sin, 0.0, -cos]];
    // arms lowered
    let mut body_pose = [IDENTITY; 23];
    for (joint, side) in [(15, 1.0f32), (16, -1.0)] {
        let (sin, cos) = (-1.1 * side).sin_cos();
        body_pose[joint] = [[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]];
    }
    let params = SmplParams { betas: [0.0; 10], global_orient, body_pose };
    let posed = body.pose(&params);
    let focal = FOCAL_LENGTH / HMAR_IMAGE_SIZE as f32;
    let pixel =
        |point| pixel_from_square(project(add(point, translation), [focal; 2], [0.5; 2]), WIDTH, HEIGHT);
    let joints: Vec<[f32; 2]> = posed.joints44.iter().copied().map(pixel).collect();
    let corners = posed.vertices.iter().copied().map(pixel);
    let limits = corners.fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |[a, b, c, d], [x, y]| {
        [a.min(x), b.min(y), c.max(x), d.max(y)]
    });
    PersonRow {
        track,
        person: index,
        x1_px: limits[0],
        y1_px: limits[1],
        x2_px: limits[2],
        y2_px: limits[3],
        betas: params.betas.to_vec(),
        global_orient: params.global_orient.as_flattened().to_vec(),
        body_pose: params.body_pose.as_flattened().as_flattened().to_vec(),
        translation_m: translation.to_vec(),
        joints_px: joints.into_iter().flatten().collect(),
        ..PersonRow::default()
    }
}

/// Two tracks and a detection without one.
fn people(body: &Body) -> Vec<PersonRow> {
    vec![
        person(Some(1), 0, [-1.0, 0.1, 75.0], body),
        person(Some(2), 1, [0.3, 0.0, 70.0], body),
        person(None, 2, [1.3, 0.0, 85.0], body),
    ]
}

fn settings(render: &str) -> experiment::Settings {
    let text = format!("dataset = \"one video\"\nphalp = {{ max_age_track = 3 }}\n[render]\n{render}\n");
    experiment::Settings::from_table(text.parse().unwrap()).unwrap()
}

fn keep(name: &str, image: &RgbImage) {
    if let Some(folder) = std::env::var_os("POSEBOOK_PICTURES") {
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, image.to_png().unwrap()).unwrap();
    }
}

/// The last image after the rows of all frames were drawn.
fn drawn(name: &str, render: &str, body: &Body, frames: &[&[PersonRow]], starts_shot: bool) -> RgbImage {
    let settings = settings(render);
    let mut painter = Painter::new(&settings, body, (WIDTH, HEIGHT));
    let mut image = RgbImage::filled(1, 1, [0; 3]);
    for (index, people) in frames.iter().enumerate() {
        image = painter.paint(&frame(index), people, starts_shot).unwrap().clone();
    }
    let size = Painter::image_size(&settings.render, WIDTH, HEIGHT);
    assert_eq!((image.width, image.height), size, "{name}");
    keep(name, &image);
    image
}

/// Sum of the absolute differences from the last frame's pixels.
fn change(image: &RgbImage, index: usize) -> u64 {
    let frame = frame(index);
    image.rgb.iter().zip(frame.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}

#[test]
fn without_settings_the_image_is_that_of_the_contact_sheets() {
    let body = Body::built_in();
    let rows = people(&body);
    let image = drawn("default", "", &body, &[&rows], false);
    let mut overlay = Overlay::new(usize::MAX);
    people::draw(&mut overlay, &frame(0), &rows, &body);
    assert!(image == *overlay.image());
    assert!(change(&image, 0) > 100_000);
    // the words that mean the same
    assert!(image == drawn("mesh", "type = \"HUMAN_MESH\"\ncolors = \"posebook\"", &body, &[&rows], false));
    assert!(image != drawn("phalp", "colors = \"phalp\"", &body, &[&rows], false));
    drawn("slahmr-1440", "colors = \"slahmr\"\noutput_resolution = 1440", &body, &[&rows], false);
}

#[test]
fn masks_of_the_rows_or_silhouettes_are_drawn() {
    let body = Body::built_in();
    let mut rows = people(&body);
    let inside = |i: usize| ((i % WIDTH) as i32 - 60).pow(2) + ((i / WIDTH) as i32 - 90).pow(2) < 900;
    let mask: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| u8::from(inside(i))).collect();
    rows[0].mask_counts = Some(rle_counts(&mask, WIDTH, HEIGHT));
    let image = drawn("mask", "type = \"HUMAN_MASK\"\ncolors = \"phalp\"", &body, &[&rows], false);
    let at = |x: usize, y: usize| [0, 1, 2].map(|c| i32::from(image.rgb[(y * WIDTH + x) * 3 + c]));
    let before = |x: usize, y: usize| [0, 1, 2].map(|c| i32::from(frame(0).rgb()[(y * WIDTH + x) * 3 + c]));
    // track 1 is red; half of it over the frame
    let half = |color: [i32; 3], old: [i32; 3]| [0, 1, 2].map(|c| (color[c] + old[c]) / 2);
    let (seen, expected) = (at(60, 90), half([255, 1, 86], before(60, 90)));
    assert!((0..3).all(|c| (seen[c] - expected[c]).abs() <= 1), "{seen:?} {expected:?}");
    // the silhouette of track 2: its middle
    let joint = |j: usize| [rows[1].joints_px[2 * j] as usize, rows[1].joints_px[2 * j + 1] as usize];
    let [x, y] = joint(8);
    let (seen, expected) = (at(x, y), half([158, 1, 142], before(x, y)));
    assert!((0..3).all(|c| (seen[c] - expected[c]).abs() <= 1), "{seen:?} {expected:?}");
    drawn(
        "mask-1440",
        "type = \"HUMAN_MASK\"\ncolors = \"phalp\"\noutput_resolution = 1440",
        &body,
        &[&rows],
        false,
    );

    rows[0].mask_counts = Some("12".into());
    let settings = settings("type = \"HUMAN_MASK\"");
    let mut painter = Painter::new(&settings, &body, (WIDTH, HEIGHT));
    let error = painter.paint(&frame(0), &rows, false).unwrap_err().to_string();
    assert!(error.starts_with("frame 0, person 0: the mask's runs do not add up to"), "{error}");
}

#[test]
fn lost_tracks_are_drawn_until_their_greatest_age() {
    let body = Body::built_in();
    let rows = people(&body);
    let (both, second) = (&rows[..2], &rows[1..2]);
    let alone = |kind: &str, index: usize| {
        let frames: Vec<&[PersonRow]> = (0..=index).map(|_| second).collect();
        drawn("alone", &format!("type = \"{kind}\""), &body, &frames, false)
    };
    for shape in ["MESH", "MASK", "BBOX"] {
        let (ghosts, humans) = (format!("GHOST_{shape}"), format!("HUMAN_{shape}"));
        let after = |kind: &str, frames: usize| {
            let mut given = vec![both];
            given.resize(frames + 1, second);
            drawn(&format!("{kind}-{frames}"), &format!("type = \"{kind}\""), &body, &given, false)
        };
        for frames in 1..=3 {
            let without = change(&alone(&humans, frames), frames);
            assert!(change(&after(&ghosts, frames), frames) > without + 10_000, "{shape} {frames}");
            assert!(after(&humans, frames) == alone(&humans, frames), "{shape}: HUMAN draws no ghosts");
        }
        assert!(after(&ghosts, 4) == alone(&ghosts, 4), "{shape}: it is drawn after its greatest age");
        let image = drawn("one", &format!("type = \"TRACKID_1_{shape}\""), &body, &[both, second], false);
        assert_eq!(change(&image, 1), 0, "{shape}: track 1 is lost");
        let image =
            drawn("one", &format!("type = \"TRACKID_1_GHOST_{shape}\""), &body, &[both, second], false);
        assert!(change(&image, 1) > 0);
        let image = drawn("one", &format!("type = \"TRACKID_7_{shape}\""), &body, &[both], false);
        assert_eq!(change(&image, 0), 0);
    }
}

#[test]
fn sizes_panels_and_borders() {
    let body = Body::built_in();
    let rows = people(&body);
    for (name, render, size) in [
        ("box", "type = \"HUMAN_BBOX\"", (321, 181)),
        ("side", "side_view = true\ncolors = \"phalp\"", (642, 181)),
        ("side-1280", "side_view = true\noutput_resolution = 1280", (2560, 720)),
        ("small", "output_resolution = 101", (100, 56)),
        ("tiny", "output_resolution = 16\nside_view = true", (32, 8)),
        ("side-ghost", "type = \"GHOST_MESH\"\nside_view = true\noutput_resolution = 960", (1920, 540)),
    ] {
        let image = drawn(name, render, &body, &[&rows, &rows[1..]], true);
        assert_eq!((image.width, image.height), size, "{name}");
        // the border is around the first panel
        let panel = if render.contains("side_view") { size.0 / 2 } else { size.0 };
        let at = |x: usize, y: usize| &image.rgb[(y * image.width + x) * 3..][..3];
        for (x, y) in
            [(0, 0), (panel - 1, 0), (0, size.1 - 1), (panel - 1, size.1 - 1), (3, 3), (3, 5.min(size.1 - 1))]
        {
            assert_eq!(at(x, y), SHOT_COLOR, "{name} {x} {y}");
        }
        let without = drawn("none", render, &body, &[&rows, &rows[1..]], false);
        assert!(without != image && without.rgb[..3] != SHOT_COLOR);
    }
}
