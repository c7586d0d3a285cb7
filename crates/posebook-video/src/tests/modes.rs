//! Every mode delivers the same frames for all ranges, containers and codecs.

use std::fs;
use std::sync::OnceLock;

use proptest::prelude::*;
use rayon::prelude::*;
use tempfile::TempDir;

use super::clips::{CLIPS, clip, ffmpeg_frame_hashes, host_uploader};
use super::{LOSSLESS, hashes, read, settings};
use crate::{Probe, open, probe};

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
            // the device of the test is the host
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

/// A clip that is generated once for the property test below, and the hashes of its frames.
fn shared_clip() -> (&'static Probe, &'static [String]) {
    static SHARED: OnceLock<(TempDir, Probe, Vec<String>)> = OnceLock::new();
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
