//! Reading of real footage, which is not part of this repository: PHALP's demonstration clip `vid.mp4` (1920x1088,
//! 180 frames, B-frames, a single key frame) and two photographs, `skates.png` (RGBA) and
//! `pexels-anete-lusina-4793258.jpg` (24 megapixels, progressive). Frames and pixels are those of OpenCV, PyAV and
//! torchvision.

#[path = "../../../tests/common/media.rs"]
mod media;
#[path = "../../../tests/common/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};

use posebook_core::provenance::{sha256_of_bytes, sha256_of_file};
use posebook_video as video;
use posebook_video::{Access, Mode, Preset, Settings, Store};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The path of a file of the footage, or `None` after reporting a skip.
fn media(name: &str) -> Option<PathBuf> {
    media::media(Path::new(REPOSITORY), name)
}

/// The path of the clip, or `None` after reporting a skip.
fn clip() -> Option<PathBuf> {
    media("vid.mp4")
}

fn golden() -> serde_json::Value {
    let path = format!("{REPOSITORY}/tests/goldens/phalp/a/g10_frames.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn frames_are_the_ones_that_opencv_and_pyav_decode() {
    let Some(path) = clip() else { return };
    let golden = golden();
    assert_eq!(
        sha256_of_file(&path).unwrap(),
        golden["video"]["sha256"],
        "this is not the clip of the goldens"
    );
    let scratch = tempfile::tempdir().unwrap();
    let mode = Some(Mode::stream(Access::Sequential));
    let settings = Settings { mode, ..Settings::default() };
    let mut source = video::open(&path, &settings, scratch.path(), None).unwrap();
    let mut frames = golden["frames"].as_array().unwrap().iter().peekable();
    while let (Some(frame), Some(expected)) = (source.next_frame().unwrap(), frames.peek()) {
        if expected["index"] == frame.index {
            assert_eq!(sha256_of_bytes(frame.rgb()), expected["cv2_rgb_sha256"], "frame {}", frame.index);
            frames.next();
        }
    }
    assert!(frames.next().is_none(), "the goldens have frames beyond the clip's end");
}

#[test]
fn the_presets_select_the_frames_that_phalp_selects() {
    let Some(path) = clip() else { return };
    let probe = video::probe(&path).unwrap();
    let selected = |preset| {
        video::select_frames(&Settings { preset: Some(preset), ..Settings::default() }, &probe).unwrap().range
    };
    assert_eq!(selected(Preset::PhalpExtract), 0..180);
    assert_eq!(selected(Preset::PhalpStream), 0..179, "the end is excluded, so the last frame is lost");
    assert_eq!((0..180).filter(|&n| probe.is_key(n)).count(), 1);
}

#[test]
fn every_lossless_mode_gives_the_same_bytes() {
    let Some(path) = clip() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let hashes = |mode| -> Vec<String> {
        let settings =
            Settings { mode: Some(mode), start_frame: Some(20), end_frame: Some(23), ..Settings::default() };
        let mut source = video::open(&path, &settings, scratch.path(), None).unwrap();
        std::iter::from_fn(|| source.next_frame().unwrap().map(|frame| sha256_of_bytes(frame.rgb())))
            .collect()
    };
    let sequential = hashes(Mode::stream(Access::Sequential));
    assert_eq!(sequential.len(), 3);
    for mode in [Mode::extract(Store::Png), Mode::extract(Store::Memory), Mode::stream(Access::Seek)] {
        assert_eq!(hashes(mode), sequential, "{mode}");
    }
}

/// The list with the key `name` of the golden.
fn list<'g>(golden: &'g serde_json::Value, name: &str) -> &'g [serde_json::Value] {
    let list = golden[name].as_array().unwrap();
    assert!(!list.is_empty());
    list
}

fn index(value: &serde_json::Value) -> usize {
    value.as_u64().unwrap() as usize
}

#[test]
fn ffmpegs_yuv_planes_are_those_of_other_decoders() {
    let Some(path) = clip() else { return };
    let golden = golden();
    let output = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(&path)
        .args(["-map", "0:V:0", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"])
        .output()
        .unwrap();
    assert_eq!(golden["yuv420p_all_frames_sha256"], sha256_of_bytes(&output.stdout));
    let frame_bytes = 1920 * 1088 * 3 / 2;
    for expected in list(&golden, "frames") {
        let offset = index(&expected["index"]) * frame_bytes;
        let hash = sha256_of_bytes(&output.stdout[offset..offset + frame_bytes]);
        assert_eq!(expected["yuv420p_sha256"], hash, "frame {}", expected["index"]);
    }
}

#[test]
fn extracted_jpeg_files_and_their_pixels_are_those_of_opencv() {
    let Some(path) = clip() else { return };
    let golden = golden();
    let scratch = tempfile::tempdir().unwrap();
    let open = |preset, mode| {
        let settings = Settings { preset, mode, ..Settings::default() };
        video::open(&path, &settings, scratch.path(), None).unwrap()
    };
    let mut extracted = open(Some(Preset::PhalpExtract), None);
    extracted.prepare().unwrap();
    let files = std::fs::read_dir(scratch.path()).unwrap().next().unwrap().unwrap().path();
    let mut exact = open(None, Some(Mode::stream(Access::Sequential)));
    let mut frames = list(&golden, "frames").iter().peekable();
    while let (Some(frame), Some(original)) = (extracted.next_frame().unwrap(), exact.next_frame().unwrap()) {
        let Some(expected) = frames.next_if(|expected| expected["index"] == frame.index) else { continue };
        let label = format!("frame {}", frame.index);
        let bytes = files.join(format!("{:06}.jpg", frame.index + 1)).metadata().unwrap().len();
        assert_eq!(expected["jpeg95_bytes"], bytes, "{label}");
        let pairs = || frame.rgb().iter().zip(original.rgb());
        assert_eq!(
            expected["jpeg95_max_abs"],
            pairs().map(|(a, b)| a.abs_diff(*b)).max().unwrap(),
            "{label}"
        );
        let squares: u64 = pairs().map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
        let psnr_db = 10.0 * (255.0 * 255.0 * frame.rgb().len() as f64 / squares as f64).log10();
        // the golden has four decimals
        assert!((psnr_db - expected["jpeg95_psnr_db"].as_f64().unwrap()).abs() < 5e-5 + 1e-9, "{label}");
    }
    assert!(frames.next().is_none());
}

#[test]
fn ranges_of_the_presets_are_those_of_phalp() {
    let Some(path) = clip() else { return };
    let golden = golden();
    let probe = video::probe(&path).unwrap();
    for case in list(&golden, "frame_extractor") {
        let bound = |name: &str| case[name].as_i64();
        let settings = Settings {
            preset: Some(Preset::PhalpExtract),
            start_frame: bound("start_frame"),
            end_frame: bound("end_frame"),
            ..Settings::default()
        };
        match (video::select_frames(&settings, &probe), index(&case["n_images"])) {
            (Err(error), 0) => assert!(error.to_string().contains("holds no frame"), "{case}"),
            (range, images) => {
                let range = range.unwrap().range;
                assert_eq!(range.len(), images, "{case}");
                assert_eq!(case["first_image_matches_video_index"][0], range.start, "{case}");
            }
        }
    }
    for case in list(&golden, "timestamp_route") {
        let bound = |name: &str| case[name].as_f64().map(video::Seconds);
        let settings = Settings {
            preset: Some(Preset::PhalpStream),
            start_time: bound("start_time"),
            end_time: bound("end_time"),
            ..Settings::default()
        };
        match (video::select_frames(&settings, &probe), index(&case["n_frames"])) {
            (Err(error), 0) => assert!(error.to_string().contains("holds no frame"), "{case}"),
            (range, _) => {
                let expected = index(&case["index_start"])..index(&case["index_end"]);
                assert_eq!(range.unwrap().range, expected, "{case}");
            }
        }
    }
}

#[test]
fn seeking_to_a_timestamp_gives_the_frame_that_torchvision_gives() {
    let Some(path) = clip() else { return };
    let golden = golden();
    let probe = video::probe(&path).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for case in list(&golden, "read_frame_at_pts") {
        // between the times of two frames, the earlier one is returned
        let requested_secs = case["requested_pts"].as_f64().unwrap() / 15360.0;
        let n =
            (0..probe.frames()).rev().find(|&n| probe.container_secs(n) <= requested_secs + 1e-9).unwrap();
        assert_eq!(case["returned_pts"], (probe.container_secs(n) * 15360.0).round() as u64, "{case}");
        let settings = Settings {
            mode: Some(Mode::stream(Access::Seek)),
            start_frame: Some(n as i64),
            end_frame: Some(n as i64 + 1),
            ..Settings::default()
        };
        let mut source = video::open_probed(probe.clone(), &settings, scratch.path(), None).unwrap();
        let frame = source.next_frame().unwrap().unwrap();
        assert_eq!(case["rgb_sha256"], sha256_of_bytes(frame.rgb()), "{case}");
    }
}

#[test]
fn photographs_have_the_pixels_that_opencv_reads() {
    // from OpenCV 4.10: SHA-256 of cv2.imread(path)[:, :, ::-1]
    for (name, width, height, sha256) in [
        ("skates.png", 1334, 550, "1c0b479408e2802ffe6082d60c38ef64289e74639bd5648d0429a1cefb456a39"),
        (
            "pexels-anete-lusina-4793258.jpg",
            4016,
            6016,
            "358a409e6d0f4080a3fb739c2130ef56b040150fb7d5e55caf36a6a830698a33",
        ),
    ] {
        let Some(path) = media(name) else { return };
        let frame = video::still::read(&path, 0).unwrap().frame;
        assert_eq!((frame.width, frame.height), (width, height), "{name}");
        assert_eq!(sha256_of_bytes(frame.rgb()), sha256, "{name}");
    }
}
