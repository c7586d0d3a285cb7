//! Shots of the golden clips, whose values PySceneDetect computed, and rules at the edges of a video.

use std::path::PathBuf;

use super::*;
use crate::tests::settings;
use crate::{open, probe};

/// Largest difference of a content value. OpenCV's own conversion from YUV to RGB differs from ffmpeg's by single steps.
const CONTENT_TOLERANCE: f64 = 0.5;

fn goldens() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/phalp/a"))
}

fn with_version(scenedetect: SceneDetect) -> Settings {
    Settings { detect: true, scan: Scan::Range, scenedetect }
}

/// All decisions of the frames in `range`.
fn detect(name: &str, range: std::ops::Range<usize>, version: SceneDetect) -> Vec<ShotFrame> {
    let scratch = tempfile::tempdir().unwrap();
    let path = goldens().join(name);
    let mut source = open(&path, &settings("stream-sequential", range), scratch.path(), None).unwrap();
    let size = FrameSize::new(source.probe().width, source.probe().height);
    let mut detector = ShotDetector::new(with_version(version), size).unwrap();
    let mut decided = Vec::new();
    while let Some(frame) = source.next_frame().unwrap() {
        decided.extend(detector.push_frame(&frame).unwrap());
        let delay = frame.index as i64 - decided.last().unwrap().index as i64;
        assert!((0..=3).contains(&delay), "frame {} is {delay} frames late", frame.index);
    }
    decided.extend(detector.finish());
    decided
}

fn starts(decided: &[ShotFrame]) -> Vec<usize> {
    decided.iter().filter(|frame| frame.starts_shot).map(|frame| frame.index).collect()
}

#[test]
fn values_and_shots_are_those_of_both_versions_of_pyscenedetect() {
    for (name, version) in [("0.6.2", SceneDetect::V0_6_2), ("0.7.2", SceneDetect::V0_7_2)] {
        let path = goldens().join(format!("g8_shots_scenedetect_{name}.json"));
        let golden: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (clip, expected) in golden["videos"].as_object().unwrap() {
            let frames = expected["frames"].as_u64().unwrap() as usize;
            let decided = detect(clip, 0..frames, version);
            assert!(
                decided.iter().map(|frame| frame.index).eq(0..frames),
                "{clip}: frames in order, once each"
            );
            let wanted: Vec<usize> = serde_json::from_value(expected["list_of_shots"].clone()).unwrap();
            assert_eq!(starts(&decided), wanted, "{clip}, {name}");
            assert_eq!(
                scan_file(&probe(&goldens().join(clip)).unwrap(), with_version(version), None, |_| true)
                    .unwrap(),
                wanted
            );

            let column = |key: &str| expected["stats"][key].as_array().unwrap();
            let (contents, ratios) = (column("content_val"), column("adaptive_ratio (w=2)"));
            let indices = expected["frame_index"].as_array().unwrap();
            assert_eq!((indices.len(), contents.len(), ratios.len()), (frames - 1, frames - 1, frames - 1));
            assert_eq!(decided[0].content, 0.0);
            let mut largest = 0.0f64;
            for ((index, content), ratio) in indices.iter().zip(contents).zip(ratios) {
                let frame = &decided[index.as_u64().unwrap() as usize];
                let difference = (frame.content - content.as_f64().unwrap()).abs();
                largest = largest.max(difference);
                assert!(difference <= CONTENT_TOLERANCE, "{clip}, {name}: {frame:?}, expected {content}");
                assert_eq!(frame.ratio.is_some(), ratio.is_number(), "{clip}, {name}: {frame:?}");
                let (Some(found), Some(ratio)) = (frame.ratio, ratio.as_f64()) else { continue };
                // what the tolerance of all five content values means for their ratio
                let window = &decided[frame.index - 2..=frame.index + 2];
                let mean = (window.iter().map(|f| f.content).sum::<f64>() - frame.content) / 4.0;
                let tolerance = (1.0 + found) * CONTENT_TOLERANCE / mean.max(CONTENT_TOLERANCE);
                assert!((found - ratio).abs() <= tolerance, "{clip}, {name}: {frame:?}, expected {ratio}");
            }
            println!("{clip}, {name}: largest difference of a content value {largest:.4}");
        }
    }
}

#[test]
fn a_range_has_the_shots_in_it_by_their_clip_index() {
    let decided = detect("shots_a1.mp4", 60..150, SceneDetect::V0_6_2);
    assert_eq!(starts(&decided), [72, 120, 144]);
    // the first shot is 12 frames after the start of the range
    assert_eq!(starts(&detect("shots_a1.mp4", 60..150, SceneDetect::V0_7_2)), [120, 144]);
    // two frames must follow
    assert_eq!(starts(&detect("shots_a1.mp4", 60..146, SceneDetect::V0_6_2)), [72, 120]);
    assert_eq!(starts(&detect("shots_a1.mp4", 60..147, SceneDetect::V0_6_2)), [72, 120, 144]);
}

/// Frames of one color; shots start where the color changes.
fn colors(version: SceneDetect, colors: &[u8]) -> Vec<ShotFrame> {
    let mut detector = ShotDetector::new(with_version(version), FrameSize::new(8, 4)).unwrap();
    let mut decided: Vec<ShotFrame> = Vec::new();
    for (index, &color) in colors.iter().enumerate() {
        decided.extend(detector.push(&[color; 96], index * 3));
    }
    decided.extend(detector.finish());
    assert!(decided.iter().map(|frame| frame.index).eq((0..colors.len()).map(|index| index * 3)));
    decided
}

#[test]
fn shots_have_a_least_length_counted_in_pushed_frames() {
    for (second, expected) in [(34, vec![20]), (35, vec![20, 35])] {
        let video: Vec<u8> = (0..60)
            .map(|i| {
                if i < 20 {
                    0
                } else if i < second {
                    120
                } else {
                    250
                }
            })
            .collect();
        for version in [SceneDetect::V0_6_2, SceneDetect::V0_7_2] {
            let decided = colors(version, &video);
            assert_eq!(starts(&decided), expected.iter().map(|i| i * 3).collect::<Vec<_>>());
            // the mean of the neighbors is zero
            assert_eq!((decided[20].content, decided[20].ratio), (40.0, Some(255.0)));
        }
    }
}

#[test]
fn short_videos_have_no_shots() {
    for length in 0..8 {
        let decided = colors(SceneDetect::V0_6_2, &[0, 0, 200, 200, 200, 200, 200, 200][..length]);
        assert_eq!(decided.len(), length);
        assert_eq!(starts(&decided), if length < 5 { vec![] } else { vec![6] });
    }
    assert!(ShotDetector::new(Settings::default(), FrameSize::new(0, 7)).is_none());
}

#[test]
fn frames_are_shrunk_by_the_rules_of_the_versions() {
    for (size, old, new) in [
        ((320, 240), (320, 240), (256, 192)),
        ((1920, 1088), (274, 155), (256, 145)),
        ((1080, 1920), (270, 480), (144, 256)),
        ((200, 100), (200, 100), (200, 100)),
        ((100, 9000), (100, 9000), (3, 256)),
        ((9000, 2), (257, 1), (256, 1)),
    ] {
        let shrunk = |version: SceneDetect| {
            let FrameSize { width, height } = version.compared_size(FrameSize::new(size.0, size.1));
            (width, height)
        };
        assert_eq!((shrunk(SceneDetect::V0_6_2), shrunk(SceneDetect::V0_7_2)), (old, new), "{size:?}");
    }
}

#[test]
fn settings_are_parsed_and_unknown_ones_are_errors() {
    let read = |toml: &str| toml::from_str::<Settings>(toml);
    assert_eq!(read("").unwrap(), Settings::default());
    let full = Settings { detect: true, scan: Scan::File, scenedetect: SceneDetect::V0_7_2 };
    assert_eq!(read("detect = true\nscan = \"file\"\nscenedetect = \"0.7.2\"").unwrap(), full);
    for (toml, hint) in [
        ("scan = \"all\"", "expected `range` or `file`"),
        ("scenedetect = \"0.6\"", "expected `0.6.2` or `0.7.2`"),
        ("threshold = 3", "expected one of `detect`, `scan`, `scenedetect`"),
    ] {
        let message = read(toml).unwrap_err().to_string();
        assert!(message.contains(hint), "{toml}: {message}");
    }
}

#[test]
fn a_scan_reports_progress_and_can_be_stopped() {
    let clip = probe(&goldens().join("shots_a2.mp4")).unwrap();
    let mut seen = Vec::new();
    let stopped = scan_file(&clip, Settings::default(), None, |done| {
        seen.push(done);
        done < 20
    });
    assert_eq!((stopped.unwrap(), seen), (vec![], (1..=20).collect()));
}

/// Milliseconds per 1920x1088 frame: `cargo test --release -p posebook-video shots::tests::speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let (size, frames) = (FrameSize::new(1920, 1088), 300);
    let rgb: Vec<u8> = (0..size.width * size.height * 3).map(|i| (i * 7919 % 251) as u8).collect();
    for version in [SceneDetect::V0_6_2, SceneDetect::V0_7_2] {
        let mut detector = ShotDetector::new(with_version(version), size).unwrap();
        let began = std::time::Instant::now();
        for index in 0..frames {
            detector.push(&rgb, index);
        }
        println!("{version:?}: {:.3} ms per frame", began.elapsed().as_secs_f64() * 1e3 / frames as f64);
    }
}
