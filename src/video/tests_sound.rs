//! Sound beside the frames of an overlay: there where it belongs, and of the right part.

use std::path::Path;
use std::process::Command;

use super::clips::{clip, ffmpeg};
use super::{Encoder, EncoderSettings, Sound, probe};

/// Loudest sample in decibels, and the sound's length in seconds; `None` where there is no sound.
fn heard(path: &Path) -> Option<(f64, f64)> {
    if !probe(path).unwrap().has_audio {
        return None;
    }
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(path)
        .args(["-map", "0:a:0", "-af", "astats=metadata=0,volumedetect", "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    let number = |name: &str| -> f64 {
        let tail = said.split(name).nth(1).unwrap_or_else(|| panic!("{said}"));
        tail.split_whitespace().next().unwrap().parse().unwrap()
    };
    Some((number("max_volume:"), number("n_samples:") / 44_100.0))
}

#[test]
fn an_overlay_has_the_sound_of_its_part() {
    let folder = tempfile::tempdir().unwrap();
    clip("odd_gop.mp4").make(folder.path());
    // silent for a second, loud after it
    ffmpeg(
        folder.path(),
        "-i odd_gop.mp4 -f lavfi -i aevalsrc=gt(t\\,1)*sin(3000*t)*0.8:s=44100:d=2.4 -map 0:v -map 1:a -c:v copy -c:a aac heard.mp4",
    );
    let source = probe(&folder.path().join("heard.mp4")).unwrap();
    for (range, is_loud) in [(0..60, true), (0..20, false), (30..55, true)] {
        let path = folder.path().join(format!("{}-{}.mp4", range.start, range.end));
        let sound = Sound::of(&source, &range).unwrap();
        let settings = EncoderSettings::default();
        let mut encoder = Encoder::create_with_sound(&path, 64, 48, 25.0, settings, Some(&sound)).unwrap();
        for n in range.clone() {
            encoder.write_rgb(&[n as u8; 64 * 48 * 3]).unwrap();
        }
        encoder.finish().unwrap();
        let (loudest_db, secs) = heard(&path).unwrap();
        assert_eq!(loudest_db > -10.0, is_loud, "{range:?}: {loudest_db} dB");
        // whole packets of 1024 samples
        let expected = range.len() as f64 / 25.0;
        assert!((secs - expected).abs() < 2.0 * 1024.0 / 44_100.0, "{range:?}: {secs} s of {expected}");
        assert_eq!(probe(&path).unwrap().frames(), range.len());
    }
    let mute = probe(&folder.path().join("odd_gop.mp4")).unwrap();
    assert_eq!(Sound::of(&mute, &(0..60)), None);
}
