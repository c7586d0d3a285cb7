//! Folders of images as videos: in every mode the frames have the pixels that OpenCV reads
//! (`tests/goldens/opencv/stills.json`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::clips::{hash, host_uploader};
use super::settings;
use crate::images::jpeg;
use crate::settings::mode::DEFAULT_JPEG_QUALITY;
use crate::{Probe, Settings, VideoError, open_probed, probe, probe_with_fps, still};

const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/opencv");

fn golden(name: &str) -> Vec<u8> {
    fs::read(format!("{GOLDENS}/stills/{name}")).unwrap()
}

/// A folder of the golden files of `width` x `height` pixels, named `1.jpg`, `2.png` and so on, and the hashes of the
/// pixels that OpenCV reads.
fn folder_of(width: u64, height: u64) -> (TempDir, Vec<String>) {
    let goldens: Value =
        serde_json::from_slice(&fs::read(format!("{GOLDENS}/stills.json")).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for case in goldens["cases"].as_array().unwrap() {
        if (case["width"].as_u64(), case["height"].as_u64()) == (Some(width), Some(height)) {
            let name = case["file"].as_str().unwrap();
            expected.push(case["rgb_sha256"].as_str().unwrap().to_string());
            let ending = name.rsplit('.').next().unwrap();
            fs::write(folder.path().join(format!("{}.{ending}", expected.len())), golden(name)).unwrap();
        }
    }
    (folder, expected)
}

/// Indices, times and hashes of the frames that a source delivers.
fn read(probe: Probe, settings: &Settings) -> Result<Vec<(usize, f64, String)>, VideoError> {
    let scratch = tempfile::tempdir().unwrap();
    let mut source = open_probed(probe, settings, scratch.path(), host_uploader())?;
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame()? {
        let (index, secs) = (frame.index, frame.time_secs);
        frames.push((index, secs, hash(frame.to_host().unwrap().rgb())));
    }
    assert_eq!((frames.len(), source.decoder_starts()), (source.frame_count(), 0));
    drop(source);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "scratch files are left");
    Ok(frames)
}

const LOSSLESS: [&str; 6] =
    ["stream-sequential", "stream-seek", "stream-indexed", "extract-png", "extract-memory", "extract-device"];

#[test]
fn every_lossless_mode_gives_the_pixels_that_opencv_reads() {
    // JPEGs (gray, RGB, CMYK, YCCK, progressive), PNGs of every depth, both kinds mixed, rotated both ways
    for (size, frames, kinds) in [
        ((37, 29), 18, "jpeg"),
        ((19, 11), 19, "png"),
        ((1, 1), 11, "jpeg and png"),
        ((7, 11), 4, "jpeg"),
        ((11, 7), 4, "jpeg"),
    ] {
        let (folder, expected) = folder_of(size.0, size.1);
        let probe = probe_with_fps(folder.path(), Some(12.5)).unwrap();
        assert_eq!((probe.width as u64, probe.height as u64), size);
        assert_eq!(
            (probe.frames(), probe.codec.as_str(), probe.container.as_str()),
            (frames, kinds, "folder")
        );
        assert_eq!((probe.fps, probe.duration_secs), (12.5, frames as f64 / 12.5));
        let wanted = |n: usize| (n, n as f64 / 12.5, expected[n % frames].clone());
        for mode in LOSSLESS {
            for overlap in [false, true] {
                for (range, every, loops) in [
                    (0..frames, 1, 1),
                    (1..3, 1, 1),
                    (frames - 1..frames, 1, 1),
                    (1..frames, 3, 1),
                    (2..2 * frames, 3, 2),
                ] {
                    let settings = Settings {
                        overlap: Some(overlap),
                        every: Some(every),
                        loops: Some(loops),
                        ..settings(mode, range.clone())
                    };
                    let found = read(probe.clone(), &settings).unwrap();
                    let wanted: Vec<_> = range.clone().step_by(every).map(wanted).collect();
                    assert_eq!(
                        found, wanted,
                        "{size:?} in {mode}, {range:?}, every {every}, overlap {overlap}"
                    );
                }
            }
        }
    }
}

#[test]
fn extraction_as_jpeg_changes_the_pixels_as_the_encoder_does() {
    let (folder, _) = folder_of(37, 29);
    let probe = probe(folder.path()).unwrap();
    let expected: Vec<String> = (1..=18)
        .map(|number| {
            let still = still::read(&folder.path().join(format!("{number}.jpg")), 0).unwrap().frame;
            let (mut file, mut back) = (Vec::new(), vec![0; still.rgb().len()]);
            jpeg::encode(still.rgb(), 37, 29, DEFAULT_JPEG_QUALITY, &mut file).unwrap();
            assert!(jpeg::decode_extracted(&file, &mut back).unwrap());
            hash(&back)
        })
        .collect();
    let found = read(probe, &settings("extract-jpeg", 0..18)).unwrap();
    assert_eq!(found.into_iter().map(|(_, _, hash)| hash).collect::<Vec<_>>(), expected);
}

/// The hash of the pixels of an image file, read as a single image, in a folder, and as a video of one frame.
fn sha256_of_frame(file: &[u8], name: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), file).unwrap();
    let single = still::read(&folder.path().join(name), 0).map(|still| hash(still.frame.rgb()));
    let single = single.map_err(|error| error.reason);
    // the folder, and the image itself given as a video
    for path in [folder.path().to_path_buf(), folder.path().join(name)] {
        let probe = probe(&path).map_err(|error| error.to_string())?;
        let read = read(probe, &settings("stream-sequential", 0..1)).map(|frames| frames[0].2.clone());
        let read = read.map_err(|error| error.kind.to_string());
        assert_eq!(single, read, "{}: a frame of a video equals the single image", path.display());
    }
    single
}

#[test]
fn unusual_image_files_are_read_as_single_images_are() {
    let goldens: Value =
        serde_json::from_slice(&fs::read(format!("{GOLDENS}/stills.json")).unwrap()).unwrap();
    let known: BTreeMap<&str, &str> = goldens["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (case["file"].as_str().unwrap(), case["rgb_sha256"].as_str().unwrap()))
        .collect();
    let (jpeg, png) = ("baseline-420-37x29.jpg", "rgb-8.png");
    // MPO files and images of phones: another image after the first
    let two = [golden(jpeg), golden("progressive-444-5x6.jpg")].concat();
    assert_eq!(sha256_of_frame(&two, "a.jpg").unwrap(), known[jpeg]);
    let with_trailer = |name| [golden(name), vec![0; 1000], b"SEFT".to_vec()].concat();
    assert_eq!(sha256_of_frame(&with_trailer(jpeg), "a.jpg").unwrap(), known[jpeg]);
    assert_eq!(sha256_of_frame(&with_trailer(png), "a.png").unwrap(), known[png]);
    assert_eq!(sha256_of_frame(&golden(png), "a.jpg").unwrap(), known[png], "a PNG by its content");
    assert_eq!(sha256_of_frame(&golden(jpeg), "a.png").unwrap(), known[jpeg]);
    // the chunk with the orientation moved after the pixels
    let rotated = golden("exif-6.png");
    let chunk = |kind: &[u8]| rotated.windows(4).position(|four| four == kind).unwrap() - 4;
    let (exif, pixels, end) = (chunk(b"eXIf"), chunk(b"IDAT"), chunk(b"IEND"));
    let behind = [&rotated[..exif], &rotated[pixels..end], &rotated[exif..pixels], &rotated[end..]].concat();
    assert_eq!(sha256_of_frame(&behind, "a.png").unwrap(), known["exif-6.png"]);
    let half = &golden(jpeg)[..golden(jpeg).len() / 2];
    assert!(sha256_of_frame(half, "a.jpg").unwrap_err().contains("the JPEG is damaged or cut short"));
}

#[test]
fn errors_name_the_image() {
    let (folder, _) = folder_of(37, 29);
    let message_of = |result: Result<Vec<_>, VideoError>| result.unwrap_err().to_string();
    let all = settings("stream-seek", 0..17);
    let probed = probe(folder.path()).unwrap();
    let third = folder.path().join("3.jpg");
    let whole = fs::read(&third).unwrap();
    fs::write(&third, &whole[..whole.len() / 2]).unwrap();
    for mode in LOSSLESS {
        let message = message_of(read(probed.clone(), &settings(mode, 0..17)));
        assert!(message.contains("3.jpg, frame 2: the JPEG is damaged or cut short"), "{mode}: {message}");
        assert_eq!(
            read(probed.clone(), &settings(mode, 3..5)).unwrap().len(),
            2,
            "{mode}: the others are read"
        );
    }
    fs::write(&third, golden("rgb-8.png")).unwrap();
    let message = message_of(read(probed.clone(), &all));
    assert!(message.contains("3.jpg, frame 2: the image has 19x11 pixels now and had 37x29"), "{message}");
    let message = probe(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("3.jpg: this image has 19x11 pixels, and 1.jpg has 37x29; make them of one size"),
        "{message}"
    );
    fs::remove_file(&third).unwrap();
    let message = message_of(read(probed.clone(), &all));
    assert!(message.contains("3.jpg, frame 2: cannot read the image"), "{message}");
    let with_hardware = Settings { hwaccel: Some("vaapi".into()), ..settings("stream-sequential", 0..2) };
    let message = message_of(read(probed, &with_hardware));
    assert!(message.contains("hwaccel"), "{message}");
    for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let message = probe_with_fps(folder.path(), Some(fps)).unwrap_err().to_string();
        assert!(message.contains("give a number of frames a second, more than 0"), "{message}");
    }
    let empty = tempfile::tempdir().unwrap();
    let message = probe(empty.path()).unwrap_err().to_string();
    let path = empty.path().display();
    assert!(message.starts_with(&format!("{path}: there are no images in this folder")), "{message}");
    assert!(probe(Path::new("nowhere")).unwrap_err().to_string().contains("no such file"));
}
