//! Every mode delivers the same frames for all ranges, containers and codecs; unreadable files are errors that name
//! the cause.

mod audio;
pub mod clips;
mod failures;
mod image_folder;
mod reading;
mod seek;
mod timestamps;

use crate::tests::clips::host_uploader;
use std::fs;
use std::ops::Range;

use proptest::prelude::*;
use rayon::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::tests::clips::{CLIPS, clip, ffmpeg, ffmpeg_frame_hashes, hash};
use posebook_core::children::is_alive;

pub(super) const LOSSLESS: [&str; 5] =
    ["stream-sequential", "extract-memory", "extract-png", "stream-seek", "stream-indexed"];

pub(super) fn settings(mode: &str, range: Range<usize>) -> Settings {
    Settings {
        mode: Some(mode.parse().unwrap()),
        start_frame: Some(range.start as i64),
        end_frame: Some(range.end as i64),
        ..Settings::default()
    }
}

pub(super) fn read(probe: &Probe, settings: &Settings) -> Result<Vec<Frame>, VideoError> {
    let scratch = tempfile::tempdir().unwrap();
    let mut source = open_probed(probe.clone(), settings, scratch.path(), host_uploader())?;
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame()? {
        let frame = frame.to_host().unwrap();
        let rgb = frame.rgb().to_vec();
        frames.push(Frame::new(frame.index, frame.time_secs, frame.width, frame.height, rgb));
    }
    assert!(source.next_frame()?.is_none(), "a source that ended stays ended");
    drop(source);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "scratch files are left");
    Ok(frames)
}

fn hashes(probe: &Probe, mode: &str, range: Range<usize>) -> Vec<String> {
    let frames =
        read(probe, &settings(mode, range.clone())).unwrap_or_else(|error| panic!("{mode}: {error}"));
    assert!(frames.iter().map(|frame| frame.index).eq(range));
    frames.iter().map(|frame| hash(frame.rgb())).collect()
}

#[test]
fn every_lossless_mode_gives_the_frames_that_ffmpeg_gives() {
    let folder = tempfile::tempdir().unwrap();
    clip("odd_gop.mp4").make(folder.path());
    CLIPS.par_iter().filter(|clip| clip.has_encoders()).for_each(|clip| {
        let path = clip.make(folder.path());
        let probe = probe(&path).unwrap();
        assert_eq!(probe.frames(), clip.frames, "{}: {:?}", clip.name, probe.notes);
        let expected = ffmpeg_frame_hashes(&path, probe.frame_bytes());
        assert_eq!(expected.len(), clip.frames, "{}", clip.name);
        let mut distinct = expected.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(
            distinct.len(),
            expected.len(),
            "{}: two frames are equal, so the test cannot tell them apart",
            clip.name
        );
        let second_key = (1..clip.frames).find(|&n| probe.is_key(n)).unwrap_or(clip.frames / 2);
        let around_key = second_key - second_key.min(3)..(second_key + 2).min(clip.frames);
        let last_two = clip.frames - 2..clip.frames;
        for (mode, ranges) in [
            ("stream-sequential", vec![0..clip.frames, 1..5, around_key.clone(), last_two.clone()]),
            ("extract-memory", vec![0..clip.frames, around_key.clone()]),
            ("extract-png", vec![0..clip.frames, last_two.clone()]),
            ("stream-indexed", vec![0..clip.frames, around_key.clone(), last_two.clone()]),
            ("stream-seek", vec![0..2, around_key, last_two]),
            // frames stored as tensors; the device is the CPU here
            ("extract-device", vec![0..clip.frames, 1..5]),
        ] {
            for range in ranges {
                let same = hashes(&probe, mode, range.clone()) == expected[range.clone()];
                assert!(same, "{} in {mode} at {range:?}", clip.name);
            }
        }
    });
}

#[test]
fn times_are_presentation_times_from_the_first_frame() {
    let folder = tempfile::tempdir().unwrap();
    let probe_clip = |name: &str| probe(&clip(name).make(folder.path())).unwrap();
    for name in ["odd_gop.mp4", "pyramid.mkv", "edit_list.mp4", "late_start.mp4", "h264.ts"] {
        let probe = probe_clip(name);
        for n in 0..probe.frames() {
            assert!(
                (probe.time_secs(n) - n as f64 / 25.0).abs() < 1e-3,
                "{name} frame {n}: {}",
                probe.time_secs(n)
            );
        }
        assert!((probe.fps - 25.0).abs() < 0.02, "{name}: {}", probe.fps);
        assert!((probe.duration_secs - probe.frames() as f64 / 25.0).abs() < 2e-3, "{name}");
    }
    let vfr = probe_clip("vfr.mp4");
    // frames 0, 2, 3, 5, 6, ... of 25 a second, and a gap after the twentieth
    let expected = |n: usize| (n / 2 * 3 + n % 2 * 2) as f64 / 25.0 + if n > 20 { 0.37 } else { 0.0 };
    for n in 0..vfr.frames() {
        assert!(
            (vfr.time_secs(n) - expected(n)).abs() < 1e-3,
            "frame {n}: {} {}",
            vfr.time_secs(n),
            expected(n)
        );
    }
    let odd_gop = probe_clip("odd_gop.mp4");
    let keys: Vec<usize> = (0..60).filter(|&n| odd_gop.is_key(n)).collect();
    assert_eq!(keys, [0, 13, 26, 39, 52]);
}

#[test]
fn ffprobe_and_symphonia_agree_about_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for (name, container, codec, size, audio) in [
        ("odd_gop.mp4", "isomp4", "h264", (128, 72), false),
        ("with_sound.mp4", "isomp4", "h264", (128, 72), true),
        ("turned.mp4", "isomp4", "h264", (72, 128), false),
        ("upside_down.mp4", "isomp4", "h264", (128, 72), false),
        ("vfr.mkv", "matroska", "h264", (128, 72), false),
        ("odd_420.webm", "matroska", "vp9", (129, 73), false),
        ("hevc.mp4", "isomp4", "hevc", (128, 72), false),
        ("mpeg2.ts", "mpegts", "mpeg2video", (128, 72), false),
    ] {
        let path = clip(name).make(folder.path());
        let probe = probe(&path).unwrap();
        assert_eq!((probe.container.as_str(), probe.codec.as_str()), (container, codec), "{name}");
        assert_eq!(((probe.width, probe.height), probe.has_audio), (size, audio), "{name}");
        assert_eq!(probe.notes, Vec::<String>::new(), "{name}");
        assert_eq!(probe.timestamp_source, TimestampSource::Packets, "{name}");
        if container != "mpegts" {
            assert_eq!(probe::container::count_packets(&path), Some(probe.frames()), "{name}");
        }
    }
    let trimmed = probe(&clip("edit_list.mp4").make(folder.path())).unwrap();
    assert_eq!((trimmed.frames(), trimmed.notes.len()), (49, 0));
}

#[test]
fn jpeg_extraction_is_close_to_the_original_and_counts_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    let probe = probe(&path).unwrap();
    let exact = read(&probe, &settings("stream-sequential", 0..10)).unwrap();
    let lossy = read(&probe, &settings("extract-jpeg", 0..10)).unwrap();
    for (a, b) in exact.iter().zip(&lossy) {
        let squares: f64 =
            a.rgb().iter().zip(b.rgb()).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        let psnr_db = 10.0 * (255.0 * 255.0 * a.rgb().len() as f64 / squares).log10();
        assert!(psnr_db > 20.0 && squares > 0.0, "frame {}: {psnr_db} dB", a.index);
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut source = open(&path, &settings("extract-jpeg", 0..10), scratch.path(), host_uploader()).unwrap();
    assert_eq!((source.disk_bytes(), source.decoder_starts()), (0, 0));
    source.prepare().unwrap();
    let folder_of_frames = fs::read_dir(scratch.path()).unwrap().next().unwrap().unwrap().path();
    let on_disk: u64 =
        fs::read_dir(folder_of_frames).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk > 0);
    assert_eq!((source.disk_bytes(), source.decoder_starts()), (on_disk, 1));
}

#[test]
fn prefetching_uses_a_fixed_pool_of_buffers_and_holding_all_of_them_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    let probe = probe(&path).unwrap();
    let frame_bytes = probe.frame_bytes();
    let start = |queue_bytes| {
        let context = modes::reader::ReaderContext::new(probe.clone(), Selection::all(0..60));
        let options = decode::decoder::DecodeOptions::default();
        let reader = modes::sequential::SequentialReader::start(context.clone(), &options).unwrap();
        modes::prefetch::PrefetchSource::new(context, Box::new(reader), queue_bytes).unwrap()
    };
    let mut source = start(3 * frame_bytes + 1);
    let mut addresses = std::collections::BTreeSet::new();
    while let Some(frame) = source.next_frame().unwrap() {
        addresses.insert(frame.rgb().as_ptr() as usize);
    }
    assert!(addresses.len() <= 3, "{} buffers in a pool of 3", addresses.len());
    let mut source = start(3 * frame_bytes);
    let held: Vec<Frame> = (0..3).map(|_| source.next_frame().unwrap().unwrap()).collect();
    assert!(source.next_frame().unwrap_err().to_string().contains("held by the consumer"));
    drop(held);
    assert_eq!(source.next_frame().unwrap().unwrap().index, 3);
}

/// A process that was killed but not reaped counts as alive, so this finds zombies, too.
#[test]
#[cfg_attr(not(unix), ignore = "only Unix tells whether a process exists")]
fn no_decoder_outlives_its_source() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=640x360:rate=25 -frames:v 100 -c:v libx264 long.mp4");
    let path = folder.path().join("long.mp4");
    for (mode, overlap, frames_held) in [
        ("stream-sequential", true, 0),
        ("stream-sequential", true, 1),
        ("stream-sequential", false, 0),
        ("stream-sequential", false, 1),
        ("stream-indexed", true, 1),
        ("stream-indexed", false, 1),
    ] {
        let settings = Settings { overlap: Some(overlap), ..settings(mode, 0..100) };
        let mut source = open(&path, &settings, folder.path(), host_uploader()).unwrap();
        let frames: Vec<Frame> = (0..frames_held).map(|_| source.next_frame().unwrap().unwrap()).collect();
        // the video is larger than all buffers, so the decoder is blocked and cannot have exited
        let [pid] = source.decoder_pids()[..] else { panic!("{mode}: one decoder") };
        assert!(is_alive(pid), "{mode}, overlap {overlap}: the decoder runs");
        drop(source);
        assert!(!is_alive(pid), "{mode}, overlap {overlap}: ffmpeg or its zombie is left");
        assert!(frames.iter().all(|frame| frame.rgb().len() == 640 * 360 * 3), "held frames stay valid");
    }
}

#[test]
fn the_error_of_an_unreadable_file_names_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path_of = |name: &str| folder.path().join(name);
    let bytes = fs::read(clip("odd_gop.mp4").make(folder.path())).unwrap();
    fs::write(path_of("noise.mp4"), &bytes[bytes.len() / 3..bytes.len() / 2]).unwrap();
    fs::write(path_of("empty.mp4"), []).unwrap();
    fs::write(path_of("no_index.mp4"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(path_of("text.mp4"), "not a video at all, but words\n".repeat(100)).unwrap();
    ffmpeg(folder.path(), "-i odd_gop.mp4 -c copy -movflags +faststart front.mp4");
    ffmpeg(folder.path(), "-i odd_gop.mp4 -c copy front.mkv");
    for name in ["front.mp4", "front.mkv"] {
        let bytes = fs::read(path_of(name)).unwrap();
        fs::write(path_of(&format!("cut_{name}")), &bytes[..bytes.len() / 2]).unwrap();
    }
    ffmpeg(folder.path(), "-f lavfi -i sine=duration=1 sound.m4a");
    ffmpeg(folder.path(), "-i odd_gop.mp4 -frames:v 0 -c copy none.mp4");
    for (name, hint) in [
        ("absent.mp4", "there is no such file"),
        (".", "there are no images in this folder"),
        ("empty.mp4", "0 bytes"),
        ("noise.mp4", "not a video"),
        ("text.mp4", "not a video"),
        ("no_index.mp4", "moov atom not found"),
        ("cut_front.mp4", "of the 60 declared in its header"),
        ("cut_front.mkv", "cut short"),
        ("sound.m4a", "only audio"),
        ("none.mp4", "no frames"),
    ] {
        let message = match open(&path_of(name), &Settings::default(), folder.path(), host_uploader()) {
            Ok(_) => panic!("{name} was opened"),
            Err(error) => error.to_string(),
        };
        assert!(message.contains(hint), "{name}: {message}");
        assert!(message.starts_with(&path_of(name).display().to_string()), "{message}");
    }
}

#[test]
fn damage_in_the_middle_is_an_error_or_is_concealed_without_losing_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("vfr.mkv").make(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 400].fill(0x55);
    fs::write(&path, bytes).unwrap();
    for mode in LOSSLESS {
        let outcome = open(
            &path,
            &Settings { mode: Some(mode.parse().unwrap()), ..Settings::default() },
            folder.path(),
            host_uploader(),
        )
        .and_then(|mut source| {
            let mut frames = 0;
            while source.next_frame()?.is_some() {
                frames += 1;
            }
            Ok((frames, source.probe().frames()))
        });
        match outcome {
            Ok((frames, listed)) => assert_eq!(frames, listed, "{mode}"),
            Err(error) => assert!(error.to_string().contains("copy it again"), "{mode}: {error}"),
        }
    }
}

#[test]
fn a_change_of_the_frame_size_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, size) in [("a.ts", "128x72"), ("b.ts", "192x108")] {
        ffmpeg(
            folder.path(),
            &format!("-f lavfi -i testsrc2=size={size}:rate=25 -frames:v 30 -c:v libx264 -g 10 {name}"),
        );
    }
    let both = [fs::read(folder.path().join("a.ts")).unwrap(), fs::read(folder.path().join("b.ts")).unwrap()]
        .concat();
    let path = folder.path().join("both.ts");
    fs::write(&path, both).unwrap();
    let probe = probe(&path).unwrap();
    for mode in LOSSLESS {
        let settings = Settings { mode: Some(mode.parse().unwrap()), ..Settings::default() };
        let message = read(&probe, &settings).unwrap_err().to_string();
        assert!(message.contains("128x72"), "{mode}: {message}");
    }
}

#[test]
fn an_unwritable_scratch_folder_and_a_missing_gpu_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    let mut source = open(&path, &settings("extract-jpeg", 0..5), &path, host_uploader()).unwrap();
    let message = source.next_frame().unwrap_err().to_string();
    assert!(message.contains("give another scratch folder"), "{message}");
    let device = Settings { mode: Some(Mode::extract(Store::Device)), ..Settings::default() };
    let message = open(&path, &device, folder.path(), None).err().unwrap().to_string();
    assert!(message.contains("this run is on the CPU"), "{message}");
}

#[test]
fn the_encoder_writes_the_given_frames_and_removes_unfinished_files() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(64, 48), (63, 47)] {
        let path = folder.path().join(format!("deep/{width}.mp4"));
        let (shape, timeline) =
            (FrameGeometry::square(width, height), Timeline::constant(30000.0 / 1001.0, 40));
        let mut encoder = Encoder::create(&path, shape, &timeline, EncoderSettings::default(), None).unwrap();
        for n in 0..40u8 {
            encoder.write_rgb(&[200, 40, n * 4].repeat(width * height)).unwrap();
        }
        assert!(encoder.write_rgb(&[0; 5]).is_err());
        assert!(encoder.write_rgb(&vec![0; width * height * 3]).is_err(), "one frame too many");
        encoder.finish().unwrap();
        let frames = read(&probe(&path).unwrap(), &Settings::default()).unwrap();
        assert_eq!((frames.len(), frames[0].width, frames[0].height), (40, 64, 48));
        let fps = probe(&path).unwrap().fps;
        assert!((fps - 29.97).abs() < 0.01, "{fps}");
        for frame in &frames {
            let [red, green, blue] = frame.pixel(frame.width - 1, frame.height - 1);
            let expected = [200, 40, frame.index as u8 * 4];
            assert!(
                red.abs_diff(expected[0]) < 6
                    && green.abs_diff(expected[1]) < 6
                    && blue.abs_diff(expected[2]) < 8
            );
        }
    }
    let path = folder.path().join("dropped.mp4");
    for finished in [true, false] {
        let (shape, timeline) = (FrameGeometry::square(64, 48), Timeline::constant(25.0, 2));
        let mut encoder = Encoder::create(&path, shape, &timeline, EncoderSettings::default(), None).unwrap();
        encoder.write_rgb(&[0; 64 * 48 * 3]).unwrap();
        if finished {
            let message = encoder.finish().unwrap_err().to_string();
            assert!(message.ends_with("the timeline has 2 frames, and only 1 were written"), "{message}");
        }
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["deep"], "an unfinished video leaves nothing");
}

/// A clip that is generated once for the property test below, and the hashes of its frames.
fn shared_clip() -> (&'static Probe, &'static [String]) {
    static SHARED: std::sync::OnceLock<(TempDir, Probe, Vec<String>)> = std::sync::OnceLock::new();
    let (_, probe, expected) = SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = clip("vfr.mp4").make(folder.path());
        let expected = ffmpeg_frame_hashes(&path, 128 * 72 * 3);
        (folder, probe(&path).unwrap(), expected)
    });
    (probe, expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_range_in_any_lossless_mode_has_the_frames_of_the_full_video(
        start in 0usize..39, length in 1usize..6, mode in 0usize..5,
    ) {
        let (probe, expected) = shared_clip();
        let range = start..(start + length).min(expected.len());
        prop_assert_eq!(hashes(probe, LOSSLESS[mode], range.clone()), &expected[range]);
    }
}
