//! The reference's pattern of seeking: where it starts, and how much it decodes for one frame.

use std::process::Command;

use super::clips::{clip, ffmpeg};
use super::pass::Pass;
use super::{Probe, probe, seek};

/// How many frames ffmpeg decodes in `pass`, by its own account.
fn decoded_frames(pass: &Pass, probe: &Probe, from: usize) -> usize {
    let command = pass.command(probe, from, "rgb24", None);
    let aloud = command.get_args().map(|word| if word == "error" { "verbose".as_ref() } else { word });
    let output = Command::new("ffmpeg").args(aloud).output().expect("tests need ffmpeg on the PATH");
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    let account = said.split(" frames decoded").next().expect("an account of the input");
    account.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

/// Newer ffmpegs decode in a thread that may run ahead.
fn counts_exactly(version: &str) -> bool {
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
        let detour = seek::detour(&probe, frame);
        let pass = Pass::of(&probe, &detour);
        let from = *pass.starts(&probe, seek::margin(&probe) as i64).last().unwrap();
        assert_eq!((from, detour.range.end - from), (start, decoded), "{name} frame {frame}");
        // ffmpeg has a frame more in hand when its filters have passed the last
        let counted = decoded_frames(&pass, &probe, from);
        assert!(counted >= decoded, "{name} frame {frame}: {counted}");
        if counts_exactly(&probe.ffmpeg_version) {
            assert!(counted <= decoded + 1, "{name} frame {frame}: {counted}");
        }
    }
}
