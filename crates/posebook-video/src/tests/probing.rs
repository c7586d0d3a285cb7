//! What a probe says about a file: times, rates, key frames, and where two libraries agree.

use super::clips::clip;
use crate::probe::container;
use crate::{TimestampSource, probe};

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
            assert_eq!(container::count_packets(&path, usize::MAX), Some(probe.frames()), "{name}");
            assert_eq!(container::count_packets(&path, 3), Some(3), "{name}");
        }
    }
    let trimmed = probe(&clip("edit_list.mp4").make(folder.path())).unwrap();
    assert_eq!((trimmed.frames(), trimmed.notes.len()), (49, 0));
}
