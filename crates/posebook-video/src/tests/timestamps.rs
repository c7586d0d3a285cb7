//! Files with missing or misleading timestamps, palettes or headers: frame `n` is still the `n`-th that ffmpeg
//! decodes, in every mode and range.

use std::fs;
use std::path::{Path, PathBuf};

use super::clips::{ffmpeg, ffmpeg_frame_hashes, hash};
use super::{LOSSLESS, read, settings};
use crate::{Probe, Settings, TimestampSource, probe};

/// Compares every mode with ffmpeg's frames: all of them, ranges in the middle and at the end, and every sixth frame.
fn assert_same_in_every_mode(path: &Path) -> Probe {
    let probe = probe(path).unwrap();
    let expected = ffmpeg_frame_hashes(path, probe.frame_bytes());
    let name = path.file_name().unwrap().display();
    assert_eq!(probe.frames(), expected.len(), "{name}: {:?}", probe.notes);
    let frames = expected.len();
    let (all, middle) = (0..frames, frames / 2..(frames / 2 + 3).min(frames));
    for mode in LOSSLESS {
        let ranges = match mode {
            "stream-seek" => vec![(1..frames, 6), (middle.clone(), 1)],
            "extract-memory" | "extract-png" => vec![(all.clone(), 1), (middle.clone(), 1)],
            _ => vec![(all.clone(), 1), (1..frames, 6), (middle.clone(), 1), (frames - 2..frames, 1)],
        };
        for (range, every) in ranges {
            let settings = Settings { every: Some(every), ..settings(mode, range.clone()) };
            let read = read(&probe, &settings).unwrap_or_else(|error| panic!("{name} in {mode}: {error}"));
            let found: Vec<(usize, String)> =
                read.iter().map(|frame| (frame.index, hash(frame.rgb()))).collect();
            let wanted: Vec<(usize, String)> =
                range.clone().step_by(every).map(|n| (n, expected[n].clone())).collect();
            assert!(found == wanted, "{name} in {mode}: every {every} of {range:?}");
        }
    }
    let times: Vec<f64> = (0..frames).map(|n| probe.time_secs(n)).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{name}: {times:?}");
    probe
}

fn has_note(probe: &Probe, text: &str) -> bool {
    probe.notes.iter().any(|note| note.contains(text))
}

/// Concatenates files.
fn join(folder: &Path, parts: &[&str], joined: &str) -> PathBuf {
    let bytes: Vec<Vec<u8>> = parts.iter().map(|part| fs::read(folder.join(part)).unwrap()).collect();
    fs::write(folder.join(joined), bytes.concat()).unwrap();
    folder.join(joined)
}

#[test]
fn raw_streams_in_a_container_without_timestamps_are_numbered_in_decoding_order() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i testsrc2=size=128x72:rate=30 -frames:v 30 -pix_fmt yuv420p";
    ffmpeg(folder.path(), &format!("{source} -c:v libx264 -bf 3 -g 12 bare.h264"));
    let x265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3:keyint=12";
    ffmpeg(folder.path(), &format!("{source} {x265} bare.hevc"));
    ffmpeg(folder.path(), "-r 30 -i bare.h264 -c copy h264.mp4");
    ffmpeg(folder.path(), "-fflags +genpts -r 30 -i bare.h264 -c copy genpts.mov");
    ffmpeg(folder.path(), "-r 30 -i bare.hevc -c copy -tag:v hvc1 hevc.mp4");
    for name in ["h264.mp4", "genpts.mov", "hevc.mp4"] {
        let probe = assert_same_in_every_mode(&folder.path().join(name));
        assert!(has_note(&probe, "not in display order"), "{name}: {:?}", probe.notes);
        assert!((probe.fps - 30.0).abs() < 0.1, "{name}: {}", probe.fps);
    }
}

#[test]
fn files_with_valid_timestamps_are_listed_without_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i testsrc2=size=128x72:rate=30 -frames:v 30 -pix_fmt yuv420p";
    for (name, encoder) in [
        ("none.mp4", "-c:v libx264 -bf 0 -g 12"),
        ("some.mkv", "-c:v libx264 -bf 3 -g 12"),
        ("none.ts", "-c:v mpeg2video -bf 0 -g 12"),
        ("intra.mp4", "-c:v libx264 -g 1"),
        ("one.mp4", "-frames:v 1 -c:v libx264"),
        ("slow.ts", "-vf setpts=N*20/TB -vsync passthrough -c:v libx264 -bf 0 -g 6"),
    ] {
        ffmpeg(folder.path(), &format!("{source} {encoder} {name}"));
        let probe = probe(&folder.path().join(name)).unwrap();
        assert_eq!(
            (probe.timestamp_source, probe.notes.len()),
            (TimestampSource::Packets, 0),
            "{name}: {:?}",
            probe.notes
        );
        assert!(probe.is_seekable(), "{name}");
    }
}

#[test]
fn times_of_concatenated_recordings_continue() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = "-frames:v 25 -c:v libx264 -g 12 -bf 2 -pix_fmt yuv420p";
    let first = "-f lavfi -i testsrc2=size=128x72:rate=25";
    let second = "-f lavfi -i mandelbrot=size=128x72:rate=25";
    for (source, offset, name) in [
        (first, "0", "a.ts"),
        (second, "0", "b.ts"),
        (second, "0.4", "later.ts"),
        (second, "0.02", "between.ts"),
        (second, "500", "far.ts"),
        (first, "0", "a.mpg"),
        (second, "0", "b.mpg"),
        (first, "0", "a.mkv"),
        (second, "0", "b.mkv"),
    ] {
        let encoder =
            if name.ends_with("mpg") { "-frames:v 25 -c:v mpeg2video -g 12 -bf 2" } else { encoder };
        ffmpeg(folder.path(), &format!("{source} {encoder} -output_ts_offset {offset} {name}"));
    }
    for (parts, joined, note) in [
        (["a.ts", "b.ts"], "restart.ts", "timestamps reset, go back or jump once"),
        (["a.ts", "a.ts"], "same.ts", "timestamps reset, go back or jump once"),
        (["a.ts", "later.ts"], "overlap.ts", "timestamps reset, go back or jump once"),
        (["a.ts", "between.ts"], "between_times.ts", "timestamps reset, go back or jump once"),
        (["far.ts", "a.ts"], "back.ts", "timestamps reset, go back or jump once"),
        (["a.ts", "far.ts"], "gap.ts", "timestamps that jump ahead"),
        (["a.mpg", "b.mpg"], "restart.mpg", "timestamps reset, go back or jump once"),
        (["a.mkv", "b.mkv"], "restart.mkv", "timestamps reset, go back or jump once"),
    ] {
        let probe = assert_same_in_every_mode(&join(folder.path(), &parts, joined));
        assert!(has_note(&probe, note) && has_note(&probe, "made continuous"), "{joined}: {:?}", probe.notes);
        assert!((probe.fps - 25.0).abs() < 0.02, "{joined}: {}", probe.fps);
        assert!((probe.duration_secs - 2.0).abs() < 0.05, "{joined}: {} s", probe.duration_secs);
        for n in 0..probe.frames() {
            assert!((probe.time_secs(n) - n as f64 / 25.0).abs() < 0.05, "{joined}, frame {n}");
        }
    }
}

#[test]
fn colors_change_with_the_frame_where_clips_are_concatenated_without_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i testsrc2=size=640x360:rate=30 -frames:v 3";
    let x264 = "-c:v libx264 -preset ultrafast -bf 0 -g 3";
    let x265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:repeat-headers=1:bframes=0";
    for (name, arguments) in [
        ("a.h264", format!("-pix_fmt yuv420p {x264} -colorspace bt709")),
        ("b.h264", format!("-pix_fmt yuv420p {x264} -colorspace smpte170m")),
        ("c.h264", format!("-pix_fmt yuvj420p {x264} -colorspace bt709")),
        ("a.hevc", format!("-pix_fmt yuv420p {x265} -colorspace bt709")),
        ("b.hevc", format!("-pix_fmt yuv420p {x265} -colorspace smpte170m")),
    ] {
        ffmpeg(folder.path(), &format!("{source} {arguments} {name}"));
    }
    for (parts, joined) in [
        (["a.h264", "b.h264"], "ab.h264"),
        (["a.h264", "c.h264"], "ac.h264"),
        (["c.h264", "a.h264"], "ca.h264"),
        (["a.hevc", "b.hevc"], "ab.hevc"),
    ] {
        join(folder.path(), &parts, joined);
        for container in ["mp4", "mkv"] {
            if container == "mkv" && joined.ends_with("hevc") {
                continue;
            }
            let name = format!("{joined}.{container}");
            ffmpeg(folder.path(), &format!("-r 30 -i {joined} -c copy {name}"));
            assert_same_in_every_mode(&folder.path().join(&name));
        }
    }
}

#[test]
fn raw_streams_of_any_frame_rate_are_read_in_ranges() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rate, encoder) in [
        ("24.h264", 24, "-c:v libx264 -bf 2 -g 6"),
        ("30.h264", 30, "-c:v libx264 -bf 0 -g 6"),
        ("ntsc.h264", 23, "-r 24000/1001 -c:v libx264 -bf 2 -g 6"),
        ("30.hevc", 30, "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3:keyint=6"),
        ("30.m2v", 30, "-c:v mpeg2video -bf 2 -g 6"),
        ("30.m4v", 30, "-c:v mpeg4 -bf 2 -g 6"),
    ] {
        let source = format!("-f lavfi -i testsrc2=size=128x72:rate={rate} -frames:v 20 -pix_fmt yuv420p");
        ffmpeg(folder.path(), &format!("{source} {encoder} {name}"));
        assert_same_in_every_mode(&folder.path().join(name));
    }
}

#[test]
fn frames_that_depend_on_previous_ones_are_read_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i testsrc2=size=128x72:rate=25 -frames:v 14";
    for (name, arguments) in [
        ("raw.avi", "-pix_fmt pal8 -c:v rawvideo"),
        ("raw.mov", "-pix_fmt pal8 -c:v rawvideo"),
        ("drawn.gif", ""),
        ("drawn.apng", "-f apng"),
    ] {
        ffmpeg(folder.path(), &format!("{source} -vf format=rgb8,format=rgb24 {arguments} {name}"));
        assert_same_in_every_mode(&folder.path().join(name));
    }
}

#[test]
fn timestamps_may_start_below_zero_or_be_coarser_than_the_frame_rate() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(
        folder.path(),
        "-f lavfi -i testsrc2=size=128x72:rate=30 -frames:v 30 -c:v libx264 -g 12 -bf 2 plain.mp4",
    );
    ffmpeg(folder.path(), "-itsoffset -0.5 -i plain.mp4 -c copy -avoid_negative_ts disabled negative.mkv");
    let probe = assert_same_in_every_mode(&folder.path().join("negative.mkv"));
    for n in 0..30 {
        assert!((probe.time_secs(n) - n as f64 / 30.0).abs() < 0.04, "frame {n}: {}", probe.time_secs(n));
    }
    let source = "-f lavfi -i testsrc2=size=128x72:rate=7000 -frames:v 70";
    ffmpeg(folder.path(), &format!("{source} -c:v libx264 -g 20 -bf 0 dense.mkv"));
    let probe = assert_same_in_every_mode(&folder.path().join("dense.mkv"));
    assert!(has_note(&probe, "longer than its frames"), "{:?}", probe.notes);
    assert!((probe.fps / 7000.0 - 1.0).abs() < 0.05, "{}", probe.fps);
    assert!((0..69).all(|n| probe.time_secs(n) < probe.time_secs(n + 1)), "times rise");
    assert!((probe.duration_secs - 0.01).abs() < 0.002, "{} s", probe.duration_secs);
}

#[test]
fn a_note_names_the_tracks_that_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i color=blue:size=32x32 -frames:v 1 preview.jpg");
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=128x72:rate=25 -frames:v 10 -c:v libx264 film.mp4");
    ffmpeg(folder.path(), "-i preview.jpg -i film.mp4 -map 0 -map 1 -c copy both.mp4");
    let preview = probe(&folder.path().join("both.mp4")).unwrap();
    assert_eq!((preview.frames(), preview.width), (1, 32));
    assert!(has_note(&preview, "2 video tracks") && has_note(&preview, "-map 0:v:1"), "{:?}", preview.notes);
    assert!(has_note(&preview, "h264, 128x72, frames: 10"), "{:?}", preview.notes);
    ffmpeg(
        folder.path(),
        "-i preview.jpg -i film.mp4 -map 0 -map 1 -c copy -disposition:v:0 attached_pic cover.mp4",
    );
    let film = probe(&folder.path().join("cover.mp4")).unwrap();
    assert_eq!((film.frames(), film.notes.len()), (10, 0), "a cover image is not a track: {:?}", film.notes);
}
