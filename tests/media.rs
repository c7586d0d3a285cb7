//! Real footage, which is not ours to ship. Set `POSEBOOK_MEDIA` to a folder with PHALP's demonstration
//! clip `vid.mp4` (1920x1088, 180 frames, B-frames, a single key frame); without it these tests say so
//! and pass.

use candle_core::Device;
use posebook::provenance::{sha256_of_bytes, sha256_of_file};
use posebook::video::{self, Access, Mode, Preset, Settings, Store};
use std::path::PathBuf;

/// The clip, if it is there.
fn clip() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/media");
    let folder = std::env::var_os("POSEBOOK_MEDIA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let clip = folder.join("vid.mp4");
    if !clip.is_file() {
        eprintln!("skipped: no {}; set POSEBOOK_MEDIA to the folder with the real footage", clip.display());
        return None;
    }
    Some(clip)
}

fn golden() -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/phalp/a/g10_frames.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn frames_are_the_ones_that_opencv_and_pyav_decode() {
    let Some(path) = clip() else { return };
    let golden = golden();
    assert_eq!(sha256_of_file(&path).unwrap(), golden["video"]["sha256"], "another clip than the goldens'");
    let scratch = tempfile::tempdir().unwrap();
    let mode = Some(Mode::stream(Access::Sequential));
    let settings = Settings { mode, ..Settings::default() };
    let mut source = video::open(&path, &settings, scratch.path(), &Device::Cpu).unwrap();
    let mut frames = golden["frames"].as_array().unwrap().iter().peekable();
    while let (Some(frame), Some(expected)) = (source.next_frame().unwrap(), frames.peek()) {
        if expected["index"] == frame.index {
            assert_eq!(sha256_of_bytes(frame.rgb()), expected["cv2_rgb_sha256"], "frame {}", frame.index);
            frames.next();
        }
    }
    assert!(frames.next().is_none(), "the goldens know frames beyond the clip's end");
}

#[test]
fn the_presets_choose_the_frames_that_phalp_chooses() {
    let Some(path) = clip() else { return };
    let probe = video::probe(&path).unwrap();
    let chosen =
        |preset| video::selected(&Settings { preset: Some(preset), ..Settings::default() }, &probe).unwrap();
    assert_eq!(chosen(Preset::PhalpExtract), 0..180);
    assert_eq!(chosen(Preset::PhalpStream), 0..179, "the end is excluded, so the last frame is lost");
    assert_eq!((0..180).filter(|&n| probe.is_key(n)).count(), 1);
}

#[test]
fn every_lossless_mode_gives_the_same_bytes() {
    let Some(path) = clip() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let hashes = |mode| -> Vec<String> {
        let settings =
            Settings { mode: Some(mode), start_frame: Some(20), end_frame: Some(23), ..Settings::default() };
        let mut source = video::open(&path, &settings, scratch.path(), &Device::Cpu).unwrap();
        std::iter::from_fn(|| source.next_frame().unwrap().map(|frame| sha256_of_bytes(frame.rgb())))
            .collect()
    };
    let sequential = hashes(Mode::stream(Access::Sequential));
    assert_eq!(sequential.len(), 3);
    for mode in [Mode::extract(Store::Png), Mode::extract(Store::Memory), Mode::stream(Access::Seek)] {
        assert_eq!(hashes(mode), sequential, "{mode}");
    }
}
