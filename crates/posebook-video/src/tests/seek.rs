//! The `seek` mode starts decoding where torchvision does, and decodes as many frames for one frame.

use std::process::Command;

use super::clips::{clip, ffmpeg};
use crate::decode::decode_pass::DecodePass;
use crate::modes::seek::{margin_frames, seek_selection};
use crate::{Probe, probe};

/// The number of frames that ffmpeg reports to have decoded in `pass`.
fn decoded_frames(pass: &DecodePass, probe: &Probe, from: usize) -> usize {
    let command = pass.command(probe, from, None);
    let verbose = command.get_args().map(|word| if word == "error" { "verbose".as_ref() } else { word });
    let output = Command::new("ffmpeg").args(verbose).output().expect("tests need ffmpeg on the PATH");
    let stderr = String::from_utf8_lossy(&output.stderr).to_string();
    let before_count = stderr.split(" frames decoded").next().expect("statistics of the input");
    before_count.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{stderr}"))
}

/// Whether ffmpeg stops decoding at the last frame. From version 7 on it decodes in a thread that may run ahead.
fn has_exact_count(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < 7)
}

#[test]
fn as_many_frames_are_decoded_as_torchvision_decodes() {
    let folder = tempfile::tempdir().unwrap();
    clip("odd_gop.mp4").make(folder.path());
    ffmpeg(folder.path(), "-i odd_gop.mp4 -c:v libx264 -g 13 -bf 0 plain.mp4");
    // key frames 0, 13, 26, ...; B-frames in the first, none in the second
    for (name, frame, start, decoded) in [
        ("odd_gop.mp4", 0, 0, 7),
        ("odd_gop.mp4", 5, 0, 12),
        ("odd_gop.mp4", 30, 26, 11),
        // a key frame is reached from the one before it
        ("odd_gop.mp4", 26, 13, 20),
        ("odd_gop.mp4", 59, 52, 8),
        ("plain.mp4", 0, 0, 2),
        ("plain.mp4", 20, 13, 9),
        ("plain.mp4", 26, 26, 2),
    ] {
        let probe = probe(&folder.path().join(name)).unwrap();
        let selection = seek_selection(&probe, frame);
        let pass = DecodePass::new(&probe, &selection);
        let from = *pass.start_keyframes(&probe, margin_frames(&probe) as i64).last().unwrap();
        assert_eq!((from, selection.range.end - from), (start, decoded), "{name} frame {frame}");
        // ffmpeg may decode one more frame before the last one has passed the filters
        let counted = decoded_frames(&pass, &probe, from);
        assert!(counted >= decoded, "{name} frame {frame}: {counted}");
        if has_exact_count(&probe.ffmpeg_version) {
            assert!(counted <= decoded + 1, "{name} frame {frame}: {counted}");
        }
    }
}
