//! Reading options: decoding times of frames, every N-th frame, loops, and prefetching. The frames are always those
//! that ffmpeg decodes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use posebook_core::frame::Frame;
use rayon::prelude::*;

use super::clips::{clip, ffmpeg, ffmpeg_frame_hashes, hash, host_uploader};
use super::settings;
use crate::decode::decoder::DecodeOptions;
use crate::modes::delivery::FrameDelivery;
use crate::modes::indexed::IndexedReader;
use crate::modes::prefetch::PrefetchDelivery;
use crate::modes::reader::{FrameReader, ReaderContext};
use crate::modes::sequential::SequentialReader;
use crate::modes::synchronous::SynchronousDelivery;
use crate::settings::mode::DEFAULT_QUEUE_MIB;
use crate::{FrameSource, Probe, Selection, Settings, VideoError, open, open_probed, probe};

const MODES: [&str; 5] =
    ["stream-sequential", "stream-indexed", "stream-seek", "extract-memory", "extract-png"];

/// Clips that are difficult for the selection of frames: reordered frames, an edit list, several containers,
/// variable frame rate, frames that are listed by decoding, timestamps that start late.
const SELECTION_CLIPS: [&str; 9] = [
    "odd_gop.mp4",
    "open_gop.mkv",
    "vfr.mp4",
    "odd_420.webm",
    "h264.ts",
    "hidden.webm",
    "mpeg4.avi",
    "late_start.mp4",
    "edit_list.mp4",
];

/// Index and hash of every frame that a source delivers.
fn hashes(mut source: FrameSource) -> Vec<(usize, String)> {
    let mut hashes = Vec::new();
    while let Some(frame) = source.next_frame().unwrap() {
        assert_eq!(frame.time_secs, source.probe().time_secs(frame.index));
        hashes.push((frame.index, hash(frame.rgb())));
    }
    assert_eq!(hashes.len(), source.frame_count());
    hashes
}

fn open_on_cpu(path: &Path, settings: &Settings, scratch: &Path) -> FrameSource {
    open(path, settings, scratch, host_uploader()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn frames_have_decoding_times_and_sources_report_their_buffer_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    for (mode, overlap, measured, buffers) in [
        ("stream-sequential", true, true, DEFAULT_QUEUE_MIB as u64 * 1024 * 1024 / (128 * 72 * 3)),
        ("stream-sequential", false, true, 1),
        ("stream-seek", false, true, 1),
        ("stream-seek", true, true, 4),
        ("stream-indexed", true, true, 4),
        ("extract-jpeg", false, true, 1),
        ("extract-png", true, true, 4),
        ("extract-memory", true, false, 5),
        ("extract-device", true, false, 1),
    ] {
        let settings = Settings { overlap: Some(overlap), ..settings(mode, 3..8) };
        let probe = probe(&path).unwrap();
        let mut source = open_probed(probe, &settings, folder.path(), host_uploader()).unwrap();
        let frame_bytes = source.probe().frame_bytes() as u64;
        let (mut count, mut last) = (0, None);
        while let Some(frame) = source.next_frame().unwrap() {
            assert_eq!(frame.decoded.is_some(), measured, "{mode}");
            if let Some(decoded) = frame.decoded {
                assert!(decoded.started <= decoded.ended, "{mode}");
                assert!(last.is_none_or(|last| last <= decoded.started), "{mode}: spans overlap");
                last = Some(decoded.ended);
            }
            count += 1;
        }
        assert_eq!((count, source.frame_count()), (5, 5));
        assert_eq!(source.frame_buffer_bytes(), buffers * frame_bytes, "{mode}, overlap {overlap}");
    }
}

#[test]
fn every_nth_frame_is_read_in_every_mode() {
    let folder = tempfile::tempdir().unwrap();
    clip("odd_gop.mp4").make(folder.path());
    SELECTION_CLIPS.par_iter().for_each(|name| {
        let clip = clip(name);
        let path = clip.make(folder.path());
        let probe = probe(&path).unwrap();
        let expected = ffmpeg_frame_hashes(&path, probe.frame_bytes());
        let scratch = tempfile::tempdir().unwrap();
        for (mode, every, range) in [
            ("stream-sequential", 7, 0..clip.frames),
            ("stream-sequential", 3, 5..clip.frames - 1),
            ("stream-indexed", 7, 0..clip.frames),
            ("stream-indexed", 3, 5..clip.frames - 1),
            ("stream-seek", 4, 1..clip.frames),
            ("extract-memory", 100, 0..clip.frames),
            ("extract-png", 5, 2..clip.frames),
        ] {
            let settings = Settings { every: Some(every), ..settings(mode, range.clone()) };
            let source = open_probed(probe.clone(), &settings, scratch.path(), host_uploader()).unwrap();
            let wanted: Vec<_> = range.step_by(every).map(|n| (n, expected[n].clone())).collect();
            assert!(hashes(source) == wanted, "{}: every {every} in {mode}", clip.name);
        }
    });
}

#[test]
fn the_indexed_mode_restarts_where_that_is_faster_and_reads_the_same_frames() {
    let folder = tempfile::tempdir().unwrap();
    clip("odd_gop.mp4").make(folder.path());
    // expected number of decoders if a restart is made whenever it saves a frame
    for (name, every, starts) in
        [("odd_gop.mp4", 15, 4), ("open_gop.mkv", 13, 5), ("h264.ts", 9, 5), ("edit_list.mp4", 20, 3)]
    {
        let path = clip(name).make(folder.path());
        let probe = probe(&path).unwrap();
        let expected = ffmpeg_frame_hashes(&path, probe.frame_bytes());
        for (frame_secs, starts) in [(0.0, 1), (1.0, starts)] {
            let selection = Selection { range: 0..probe.frames(), every };
            let context = ReaderContext::new(probe.clone(), selection.clone());
            let reader = IndexedReader::with_frame_secs(context.clone(), frame_secs);
            let mut source =
                FrameSource::new(context.clone(), SynchronousDelivery::new(context, Box::new(reader)));
            let mut found = Vec::new();
            while let Some(frame) = source.next_frame().unwrap() {
                found.push((frame.index, hash(frame.rgb())));
            }
            let wanted: Vec<_> = selection.frame_indices().map(|n| (n, expected[n].clone())).collect();
            assert!(found == wanted, "{name}");
            assert_eq!(source.decoder_starts(), starts, "{name}");
        }
    }
}

#[test]
fn a_looped_file_repeats_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    clip("odd_gop.mp4").make(folder.path());
    ffmpeg(
        folder.path(),
        "-i odd_gop.mp4 -f lavfi -i sine=duration=5 -map 1:a -map 0:v -c:v copy -c:a aac long_sound.mp4",
    );
    SELECTION_CLIPS.iter().chain(&["long_sound.mp4"]).collect::<Vec<_>>().par_iter().for_each(|name| {
        let path = folder.path().join(name);
        if !path.exists() {
            clip(name).make(folder.path());
        }
        let once = probe(&path).unwrap();
        let frames = once.frames();
        let looped = once.clone().looped(3);
        assert_eq!((looped.frames(), looped.file_frames(), looped.loops), (frames * 3, frames, 3), "{name}");
        assert!((looped.duration_secs / once.duration_secs - 3.0).abs() < 1e-9, "{name}");
        let times: Vec<f64> = (0..frames * 3).map(|n| looped.time_secs(n)).collect();
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{name}");
        assert!((times[frames] - once.duration_secs).abs() < 0.02, "{name}: {}", times[frames]);

        let of_file = ffmpeg_frame_hashes(&path, once.frame_bytes());
        let scratch = tempfile::tempdir().unwrap();
        for (mode, every, range) in [
            ("stream-sequential", 1, 0..frames * 3),
            ("stream-sequential", 1, frames - 3..frames * 2 + 2),
            ("stream-sequential", 7, 5..frames * 3),
            ("stream-indexed", 1, frames - 2..frames + 3),
            ("stream-indexed", 11, 0..frames * 3),
            ("stream-seek", 2, frames - 2..frames + 2),
            ("extract-memory", 1, frames..frames * 3),
            ("extract-png", 9, 0..frames * 3),
        ] {
            let settings = Settings { every: Some(every), loops: Some(3), ..settings(mode, range.clone()) };
            let source = open_probed(once.clone(), &settings, scratch.path(), host_uploader()).unwrap();
            let wanted: Vec<_> =
                range.clone().step_by(every).map(|n| (n, of_file[n % frames].clone())).collect();
            assert!(hashes(source) == wanted, "{name}: every {every} of {range:?} in {mode}");
        }
    });
}

#[test]
fn the_end_of_a_file_looped_for_an_hour_is_read_without_decoding_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    let settings = Settings { loops: Some(1800), start_frame: Some(107_998), ..Settings::default() };
    let source = open_on_cpu(&path, &settings, folder.path());
    assert_eq!(source.probe().frames(), 108_000);
    assert!((source.probe().duration_secs - 4320.0).abs() < 1e-6);
    let found = hashes(source);
    let of_file = ffmpeg_frame_hashes(&path, 128 * 72 * 3);
    assert_eq!(found, [(107_998, of_file[58].clone()), (107_999, of_file[59].clone())]);
}

#[test]
fn large_frames_are_bit_identical_to_ffmpegs_rgb() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i mandelbrot=size=662x362:rate=25,noise=alls=40:allf=t -frames:v 12";
    let x264 = "-c:v libx264 -preset ultrafast -qp 4 -g 5";
    let bt709 = "-colorspace bt709 -color_primaries bt709 -color_trc bt709";
    for (name, arguments) in [
        ("plain.mp4", format!("-pix_fmt yuv420p {x264}")),
        ("bt709.mkv", format!("-pix_fmt yuv420p {bt709} {x264}")),
        ("full.mp4", format!("-pix_fmt yuvj420p {x264}")),
        ("full709.mp4", format!("-pix_fmt yuvj420p {bt709} {x264}")),
        ("bt601.webm", "-pix_fmt yuv420p -colorspace smpte170m -c:v libvpx-vp9 -deadline realtime".into()),
        ("deep.mkv", format!("-pix_fmt yuv420p10le {x264}")),
        ("wide.mp4", format!("-pix_fmt yuv420p -colorspace bt2020nc {x264}")),
    ] {
        ffmpeg(folder.path(), &format!("{source} {arguments} {name}"));
        let path = folder.path().join(name);
        let probe = probe(&path).unwrap();
        let expected = ffmpeg_frame_hashes(&path, probe.frame_bytes());
        for mode in MODES {
            let source = open_on_cpu(&path, &settings(mode, 0..12), folder.path());
            assert!(
                hashes(source).into_iter().map(|(_, hash)| hash).eq(expected.iter().cloned()),
                "{name}: {mode}"
            );
        }
    }
}

#[test]
fn prefetching_stops_with_its_source_and_reports_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    for mode in ["stream-sequential", "stream-indexed", "stream-seek", "extract-jpeg"] {
        let scratch = tempfile::tempdir().unwrap();
        let mut source = open_on_cpu(&path, &settings(mode, 0..60), scratch.path());
        let first = source.next_frame().unwrap().unwrap();
        drop(source);
        assert_eq!(first.rgb().len(), 128 * 72 * 3);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{mode}: scratch files are left");
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut source = open_on_cpu(&path, &settings("extract-png", 0..60), scratch.path());
    source.prepare().unwrap();
    for extracted in fs::read_dir(scratch.path()).unwrap() {
        fs::remove_file(extracted.unwrap().path().join("000050.png")).unwrap();
    }
    let mut count = 0;
    let error = loop {
        match source.next_frame() {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("the missing file was not reported"),
            Err(error) => break error,
        }
    };
    assert_eq!((count, error.frame), (49, Some(49)));
    assert!(source.next_frame().unwrap().is_none(), "after an error there are no more frames");
    let unknown = Settings { hwaccel: Some("abacus".into()), ..Settings::default() };
    let error = open(&path, &unknown, folder.path(), host_uploader()).err().unwrap();
    assert!(error.to_string().contains("does not support it"), "{error}");
}

#[test]
fn prefetching_uses_a_fixed_pool_of_buffers_and_holding_all_of_them_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    let probe = probe(&path).unwrap();
    let frame_bytes = probe.frame_bytes();
    let start = |queue_bytes| {
        let context = ReaderContext::new(probe.clone(), Selection::all(0..60));
        let options = DecodeOptions::default();
        let reader = SequentialReader::start(context.clone(), &options).unwrap();
        PrefetchDelivery::new(context, Box::new(reader), queue_bytes).unwrap()
    };
    let mut source = start(3 * frame_bytes + 1);
    let mut addresses = BTreeSet::new();
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

/// Reads two frames and panics at the third.
struct PanickingReader;

impl FrameReader for PanickingReader {
    fn read(&mut self, index: usize, _: &mut [u8]) -> Result<(), VideoError> {
        assert!(index < 2, "a panic that the test expects");
        Ok(())
    }
}

#[test]
fn a_panic_of_the_reader_thread_is_an_error_of_the_source() {
    let probe = Probe::from_pts(&[0, 1, 2, 3], (1, 10));
    let context = ReaderContext::new(probe, Selection::all(0..4));
    let mut source = PrefetchDelivery::new(context, Box::new(PanickingReader), 0).unwrap();
    assert_eq!([0, 1], [(); 2].map(|()| source.next_frame().unwrap().unwrap().index));
    assert!(source.next_frame().unwrap_err().to_string().contains("bug of posebook"));
    assert!(source.next_frame().unwrap().is_none());
}
