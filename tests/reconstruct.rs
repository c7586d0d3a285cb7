//! `posebook reconstruct` on rendered images: its results, and its errors for invalid input.

mod common;

use candle_core::npy::NpzTensors;
use common::Project;
use image::ImageEncoder as _;
use posebook::experiment::Override;
use posebook::runner::images::{ReconstructRequest, ReconstructionEvent, reconstruct};
use posebook_core::geometry::{IDENTITY, Vec3, add};
use posebook_core::person::SmplParams;
use posebook_models::body::Body;
use posebook_models::hmr2::Settings;
use posebook_notebook::tables::{ImagePersonRow, files};
use posebook_synth::render::{Camera, DrawCall, Light, Mesh, Raster, RgbImage, vertex_normals};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A project without experiments.
fn project() -> Project {
    Project::with_experiment("none", "")
}

/// Renders people with spread arms at `positions` in camera coordinates, meters. Returns the image and the boxes as left,
/// top, width and height.
fn render_people(width: usize, height: usize, positions: &[Vec3]) -> (RgbImage, Vec<[f32; 4]>) {
    let body = Body::built_in();
    let upright = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
    let params = SmplParams { betas: [0.0; 10], global_orient: upright, body_pose: [IDENTITY; 23] };
    let posed = body.pose(&params).vertices;
    let (half_width, half_height) = (width as f32 / 2.0, height as f32 / 2.0);
    let camera = Camera { fx: 600.0, fy: 600.0, cx: half_width, cy: half_height };
    let light = Light::indoors([0.4, -0.8, -0.5], [0.0, -1.0, 0.0]);
    let people: Vec<(Vec<Vec3>, Vec<Vec3>)> = positions
        .iter()
        .map(|&position| {
            let positions: Vec<Vec3> = posed.iter().map(|&vertex| add(vertex, position)).collect();
            let mut normals = Vec::new();
            vertex_normals(&positions, &body.faces, &mut normals);
            (positions, normals)
        })
        .collect();
    let shade = |surface: &posebook_synth::render::Surface| light.shade([0.7, 0.5, 0.4], surface.normal, 1.0);
    let draws: Vec<DrawCall> = people
        .iter()
        .enumerate()
        .map(|(index, (positions, normals))| DrawCall {
            mesh: Mesh { positions, faces: &body.faces, normals: Some(normals) },
            object: Some(index as u32),
            two_sided: false,
            shade: &shade,
        })
        .collect();
    let mut raster = Raster::new(width, height);
    raster.render(&camera, &draws, &|pixel| [0.2, 0.3 + pixel[1] / 4000.0, 0.4]);
    let boxes = (0..positions.len() as u32).map(|person| {
        let bbox = raster.visibility(person).visible_box.unwrap();
        [bbox.x1, bbox.y1, bbox.width(), bbox.height()].map(f32::round)
    });
    (RgbImage { width, height, rgb: raster.rgb().to_vec() }, boxes.collect())
}

fn save(path: &Path, picture: &RgbImage) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes = match path.extension().unwrap().to_str() {
        Some("jpg") => {
            let (width, height) = (picture.width as u32, picture.height as u32);
            let mut bytes = Vec::new();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
                .write_image(&picture.rgb, width, height, image::ExtendedColorType::Rgb8)
                .unwrap();
            bytes
        }
        _ => picture.to_png().unwrap(),
    };
    std::fs::write(path, bytes).unwrap();
}

fn inline(boxes: &[[f32; 4]]) -> String {
    let one = |bbox: &[f32; 4]| bbox.map(|value| value.to_string()).join(",");
    format!("boxes={}", boxes.iter().map(one).collect::<Vec<_>>().join(";"))
}

fn rows(folder: &Path) -> Vec<ImagePersonRow> {
    files::read_rows::<ImagePersonRow>(folder).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Names of the files in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn people_of_several_pictures_are_written_down() {
    let project = project();
    let (pair, pair_boxes) = render_people(320, 240, &[[-0.9, 0.2, 6.0], [0.9, 0.2, 6.5]]);
    let (single, single_boxes) = render_people(200, 260, &[[0.0, 0.1, 5.0]]);
    save(&project.path("in/one.png"), &pair);
    save(&project.path("in/two.jpg"), &single);
    let line =
        |frame: usize, bbox: &[f32; 4]| format!("{frame},-1,{}\n", bbox.map(|v| v.to_string()).join(","));
    let text: String =
        pair_boxes.iter().map(|bbox| line(1, bbox)).chain([line(2, &single_boxes[0])]).collect();
    std::fs::write(project.path("boxes.txt"), text).unwrap();
    let run = |batch: &str, out: &str| {
        project
            .posebook(&["reconstruct", "in", "model=tiny", "boxes=boxes.txt", "device=cpu", batch, out])
            .succeeds()
    };
    let output = run("hmr2.batch=2", "out=batched");
    assert_eq!(output.errors(), "[1/2] in/one.png: 2 people\n[2/2] in/two.jpg: 1 person\n");
    let folder = project.path("batched/latest");
    let expected = "one_0.npz one_0.obj one_0.png one_1.npz one_1.obj one_1.png one_all.png people.parquet \
                    summary.json two_0.npz two_0.obj two_0.png two_all.png";
    assert_eq!(names(&folder).join(" "), expected);

    let people = rows(&folder);
    let lines = people.iter().map(|row| {
        let pelvis = &row.joints_px[39 * 2..40 * 2];
        format!(
            "{} {} {}x{} box {:?} focal {} away {:.0} m, pelvis {:.0?} px, whole {}",
            row.name,
            row.person,
            row.width_px,
            row.height_px,
            [row.x1_px, row.y1_px, row.x2_px, row.y2_px],
            row.focal_px,
            row.translation_m[2],
            pelvis,
            row.whole_picture,
        )
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    for (row, bbox) in people.iter().zip(pair_boxes.iter().chain(&single_boxes)) {
        // the tiny network was trained on such people: the pelvis is inside the box
        let [x, y] = [row.joints_px[39 * 2], row.joints_px[39 * 2 + 1]];
        assert!((bbox[0]..bbox[0] + bbox[2]).contains(&x) && (bbox[1]..bbox[1] + bbox[3]).contains(&y));
        assert_eq!((row.body_pose.len(), row.joints_m.len()), (23 * 9, 44 * 3));
        assert_eq!(row.weights_sha256.len(), 64);
    }

    for (name, width, height) in [("one_all", 320, 240), ("two_all", 200, 260), ("one_1", 768, 256)] {
        let drawn = image::open(folder.join(format!("{name}.png"))).unwrap();
        assert_eq!((drawn.width(), drawn.height()), (width, height), "{name}");
    }
    let read = NpzTensors::new(folder.join("one_1.npz")).unwrap();
    let floats =
        |name: &str| read.get(name).unwrap().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(floats("betas"), people[1].betas);
    assert_eq!(floats("pred_cam_t_full"), people[1].translation_m);
    assert_eq!(floats("img_size"), [320.0, 240.0]);
    let mesh = std::fs::read_to_string(folder.join("one_1.obj")).unwrap();
    assert!(mesh.starts_with("# person 1 of in/one.png\n"), "{}", &mesh[..80]);

    // batched or one by one: the same bytes
    run("hmr2.batch=1", "out=single");
    for name in ["one_0.npz", "one_1.npz", "two_0.npz", "two_0.png", "one_all.png"] {
        let bytes = |out: &str| std::fs::read(project.path(out).join("latest").join(name)).unwrap();
        assert!(bytes("batched") == bytes("single"), "{name}");
    }
}

#[test]
fn an_invalid_image_is_reported_and_the_others_are_reconstructed() {
    let project = project();
    let (rendered, boxes) = render_people(120, 160, &[[0.0, 0.1, 6.0]]);
    save(&project.path("good.png"), &rendered);
    save(&project.path("outside.png"), &rendered);
    std::fs::write(project.path("outside.png.boxes.txt"), "500,10,20,40\n").unwrap();
    let whole = rendered.to_png().unwrap();
    std::fs::write(project.path("short.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(project.path("text.jpg"), "not an image").unwrap();
    std::fs::write(project.path("good.boxes.txt"), boxes[0].map(|v| v.to_string()).join(",")).unwrap();
    let given = ["short.png", "outside.png", "text.jpg", "missing.png", "good.png"];
    let arguments = [&["reconstruct", "model=tiny"][..], &given, &["out=results", "--json"]].concat();
    let output = project.posebook(&arguments);
    assert_eq!(output.0.status.code(), Some(1));
    let errors = output.errors();
    for part in [
        "[1/5] short.png: the PNG cannot be decoded",
        "[2/5] outside.png: no people, boxes of outside.png.boxes.txt",
        "note: outside.png: 1 of 1 boxes skipped that are wholly outside of its 120x160 pixels",
        "[3/5] text.jpg: this is not an image",
        "[4/5] missing.png: cannot read the image",
        "[5/5] good.png: 1 person, boxes of good.boxes.txt",
        "error: 3 of 5 images failed:\n  short.png: ",
    ] {
        assert!(errors.contains(part), "{part} is not in:\n{errors}");
    }
    let summary: Value = serde_json::from_slice(&output.0.stdout).unwrap();
    assert_eq!(summary["failed"].as_array().unwrap().len(), 3);
    assert_eq!(summary["pictures"][0]["files"][0], "outside_all.png");
    assert_eq!(summary["pictures"][1]["files"][0], "good_all.png");
    let written = std::fs::read_to_string(project.path("results/latest/summary.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), summary);
    let folder = project.path("results/latest");
    assert_eq!(rows(&folder).len(), 1);
    assert_eq!(names(&folder).len(), 7, "{:?}", names(&folder));
}

#[test]
fn no_result_overwrites_another() {
    let project = project();
    let (rendered, _) = render_people(60, 80, &[[0.0, 0.1, 6.0]]);
    save(&project.path("a/face.png"), &rendered);
    save(&project.path("b/face.png"), &rendered);
    save(&project.path("b/Face.jpg"), &rendered);
    std::fs::write(project.path("b/face.webp"), "RIFF").unwrap();
    let run = || {
        project
            .posebook(&["reconstruct", "model=tiny", "detect.model=given", "a/face.png", "b", "out=results"])
            .succeeds()
    };
    let errors = run().errors();
    assert!(errors.contains("the whole image is the box of one person"), "{errors}");
    assert!(errors.contains("note: b/face.webp is left out"), "{errors}");
    let first = std::fs::read_link(project.path("results/latest")).unwrap();
    let names_of = |folder: &Path| {
        let all = names(folder).into_iter().filter(|name| name.ends_with("_all.png"));
        all.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names_of(&project.path("results").join(&first)), "Face-2_all.png face-3_all.png face_all.png");
    run();
    let second = std::fs::read_link(project.path("results/latest")).unwrap();
    assert_ne!(first, second, "a second run has a folder of its own");
    assert!(rows(&project.path("results").join(&first)).iter().all(|row| row.whole_picture));
}

#[test]
fn images_not_started_before_an_interruption_are_listed() {
    let project = project();
    let (rendered, _) = render_people(60, 80, &[[0.0, 0.1, 6.0]]);
    let given = [project.path("a.png"), project.path("b.png")];
    given.iter().for_each(|path| save(path, &rendered));
    let out = format!("out={}", project.path("results").display());
    let settings =
        [out.as_str(), "model=tiny", "detect.model=given"].map(|text| Override::parse(text).unwrap());
    let request = ReconstructRequest::parse(&given, &settings).unwrap();
    let project_here = posebook::runner::Project::find(&project.path("")).unwrap();
    // Ctrl-C while the first image is reconstructed
    let interrupted = AtomicBool::new(false);
    let batch_of_one = ReconstructRequest { hmr2: Settings { batch: 1, ..Settings::default() }, ..request };
    let mut interrupt = |_: ReconstructionEvent| interrupted.store(true, Ordering::SeqCst);
    let outcome = reconstruct(&project_here, &batch_of_one, &interrupted, &mut interrupt).unwrap();
    assert_eq!((outcome.pictures.len(), &outcome.not_begun), (1, &vec![given[1].clone()]));
    assert_eq!(rows(&outcome.folder).len(), 1);
    assert!(outcome.folder.join("summary.json").is_file());
}

#[test]
fn a_single_pixel_and_an_image_without_people_are_reconstructed() {
    let project = project();
    save(&project.path("dot.png"), &RgbImage::filled(1, 1, [200, 10, 10]));
    save(&project.path("empty.png"), &RgbImage::filled(50, 40, [10, 200, 10]));
    std::fs::write(project.path("empty.boxes.txt"), "\n").unwrap();
    let output = project
        .posebook(&["reconstruct", "model=tiny", "detect.model=given", "dot.png", "empty.png", "out=results"])
        .succeeds();
    assert!(
        output.errors().contains("[2/2] empty.png: no people, boxes of empty.boxes.txt"),
        "{}",
        output.errors()
    );
    let folder = project.path("results/latest");
    assert_eq!(image::open(folder.join("dot_all.png")).unwrap().width(), 1);
    let untouched = image::open(folder.join("empty_all.png")).unwrap().into_rgb8();
    assert!(untouched.pixels().all(|pixel| pixel.0 == [10, 200, 10]));
    assert_eq!(rows(&folder).len(), 1);
}

#[test]
fn invalid_requests_are_reported_before_any_work() {
    let project = project();
    let (rendered, boxes) = render_people(60, 80, &[[0.0, 0.1, 6.0]]);
    save(&project.path("a.png"), &rendered);
    let both = inline(&boxes);
    for (arguments, message) in [
        (vec!["a.png", "hmr2.bacth=3"], "did you mean `batch`"),
        (vec!["a.png", "video.mode=stream-seek"], "unknown key `video`"),
        (vec!["a.png", "model=tinny"], "no model set `tinny`"),
        (vec!["a.png", "a.png", both.as_str()], "are for one image, and there are 2"),
        (vec!["a.png", "boxes=nan,1,2,3"], "`nan,1,2,3` is not a box: nan"),
        (vec!["a.png", "boxes=1,1,0,3"], "is not a box: 0 x 3 pixels"),
        (vec!["a.png", "boxes=1,1,5,-3"], "is not a box: 5 x -3 pixels"),
        (vec!["a.png", "boxes=none.txt"], "there is no such file"),
        (vec!["experiments"], "there are no images in this folder"),
        (vec!["hmr2.batch=3"], "no image is given"),
        (vec!["a.png", "model=tiny", "device=cuda:99"], "cuda:99"),
    ] {
        let output = project.posebook(&[vec!["reconstruct", "out=results"], arguments].concat());
        assert!(!output.0.status.success());
        let errors = output.errors();
        assert!(errors.contains(message) && errors.starts_with("error: "), "{message}: {errors}");
    }
    assert!(!project.path("results").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_are_sorted_and_reported() {
    use std::os::unix::ffi::OsStrExt;
    let project = project();
    let (rendered, _) = render_people(64, 64, &[[0.0, 0.0, 6.0]]);
    for name in [&b"caf\xe9_10.png"[..], b"caf\xe9_2.png"] {
        save(&project.path("in").join(std::ffi::OsStr::from_bytes(name)), &rendered);
    }
    let output = project
        .posebook(&[
            "reconstruct",
            "model=tiny",
            "detect.model=given",
            "in",
            "device=cpu",
            "out=out",
            "--json",
        ])
        .succeeds();
    let summary = std::fs::read(project.path("out/latest/summary.json")).unwrap();
    for text in [output.0.stdout, summary] {
        let summary: Value = serde_json::from_slice(&text).unwrap();
        let path = |index: usize| summary["pictures"][index]["picture"].as_str().unwrap().to_string();
        assert_eq!([path(0), path(1)], ["in/caf\u{fffd}_2.png", "in/caf\u{fffd}_10.png"]);
    }
}
