//! Overlays: pictures at their own times and in their own shape, sound beside them there where it belongs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::clips::{clip, ffmpeg};
use super::*;

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
        // newer versions tell of every stage of the filters; the last line is that of the whole sound
        let (_, tail) = said.rsplit_once(name).unwrap_or_else(|| panic!("{said}"));
        tail.split_whitespace().next().unwrap().parse().unwrap()
    };
    Some((number("max_volume:"), number("n_samples:") / 44_100.0))
}

fn frames_of(probe: &Probe, selection: &Selection) -> Vec<Frame> {
    let settings = Settings {
        start_frame: Some(selection.range.start as i64),
        end_frame: Some(selection.range.end as i64),
        every: Some(selection.every),
        ..Settings::default()
    };
    let mut source = open_probed(probe.clone(), &settings, Path::new("unused"), &Device::Cpu).unwrap();
    std::iter::from_fn(|| source.next_frame().unwrap()).collect()
}

/// The overlay that `track` would write of the selected frames, with nothing drawn into them.
fn overlay(source: &Probe, selection: &Selection, path: &Path) -> Probe {
    let (shape, timeline) = (Shape::of(source), Timeline::of(source, selection));
    let sound = Sound::of(source, selection);
    let settings = EncoderSettings::default();
    let mut encoder = Encoder::create(path, shape, &timeline, settings, sound.as_ref()).unwrap();
    for frame in frames_of(source, selection) {
        encoder.write(&frame).unwrap();
    }
    encoder.finish().unwrap();
    let overlay = probe(path).unwrap();
    assert_eq!(overlay.frames(), selection.frames());
    for (n, from) in selection.numbers().enumerate() {
        let expected = source.time_secs(from) - source.time_secs(selection.range.start);
        assert!((overlay.container_secs(n) - expected).abs() < 1e-5, "frame {n}: {expected} s");
    }
    assert!((overlay.duration_secs - timeline.duration_secs()).abs() < 1e-3, "{}", overlay.duration_secs);
    overlay
}

/// When the first white frame is seen, on the file's own clock.
fn flash_secs(probe: &Probe) -> f64 {
    let frames = frames_of(probe, &Selection::all(0..probe.frames()));
    let white = frames.iter().position(|frame| frame.pixel(frame.width / 2, frame.height / 2)[0] > 150);
    probe.container_secs(white.expect("there is a white frame"))
}

/// When the first loud sample is heard, on the file's own clock.
fn beep_secs(path: &Path) -> f64 {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-copyts", "-i"])
        .arg(path)
        .args(["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "8000"])
        .args(["-f", "s16le", "pipe:1"])
        .output()
        .unwrap();
    let mut samples = output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    samples.position(|sample| sample.unsigned_abs() > 3000).expect("there is a beep") as f64 / 8000.0
}

/// A white flash from `flash` seconds on, and a beep at `beep` seconds, each 0.2 s long.
fn flash_and_beep(flash: f64, beep: f64, more: &str, offset: [&str; 2]) -> String {
    let (seen, heard) = (format!("between(t,{},{})", flash - 0.001, flash + 0.2), beep + 0.2);
    format!(
        "{} -f lavfi -i color=black:s=64x48:r=30:d=3,drawbox=c=white:t=fill:enable='{seen}'{more} \
         {} -f lavfi -i aevalsrc='0.5*sin(5529*t)*between(t,{beep},{heard})':s=44100:d=3 \
         -map 0:v -map 1:a -vsync vfr -c:v libx264 -g 15 -bf 2 -pix_fmt yuv420p -c:a aac",
        offset[0], offset[1]
    )
}

/// Files whose flash and beep fall together: uneven times; sound or picture that starts a second later.
fn flashing(folder: &Path) -> Vec<PathBuf> {
    let uneven = ",select='lt(t,0.5)+gte(t,1.999)+not(mod(n,15))'";
    ffmpeg(folder, &format!("{} uneven.mp4", flash_and_beep(2.0, 2.0, uneven, ["", ""])));
    ffmpeg(folder, &format!("{} sound.mp4", flash_and_beep(2.0, 1.0, "", ["", "-itsoffset 1"])));
    ffmpeg(folder, &format!("{} picture.mp4", flash_and_beep(1.0, 2.0, "", ["-itsoffset 1", ""])));
    let mut paths = Vec::new();
    for name in ["uneven", "sound", "picture"] {
        paths.push(folder.join(format!("{name}.mp4")));
        let copies: &[&str] = if name == "uneven" { &[] } else { &["mkv", "ts"] };
        for container in copies {
            ffmpeg(folder, &format!("-i {name}.mp4 -c copy {name}.{container}"));
            paths.push(folder.join(format!("{name}.{container}")));
        }
    }
    paths
}

#[test]
fn picture_and_sound_stay_together() {
    let folder = tempfile::tempdir().unwrap();
    for path in flashing(folder.path()) {
        let source = probe(&path).unwrap();
        let apart = beep_secs(&path) - flash_secs(&source);
        assert!(apart.abs() < 0.05, "{}: {apart} s apart", path.display());
        let all = source.frames();
        for selection in
            [Selection::all(0..all), Selection::all(11..all), Selection { range: 1..all, every: 2 }]
        {
            let written = overlay(&source, &selection, &folder.path().join("overlay.mp4"));
            let now = beep_secs(&written.path) - flash_secs(&written);
            // of every second frame the first white one may be left out
            let late_secs = (selection.every - 1) as f64 / 30.0;
            let is_near = now - apart < 0.05 && now - apart > -0.05 - late_secs;
            assert!(is_near, "{}, {selection:?}: {now} s apart, {apart} before", path.display());
        }
    }
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
        overlay(&source, &Selection::all(range.clone()), &path);
        let (loudest_db, secs) = heard(&path).unwrap();
        assert_eq!(loudest_db > -10.0, is_loud, "{range:?}: {loudest_db} dB");
        // whole packets of 1024 samples
        let expected = range.len() as f64 / 25.0;
        assert!((secs - expected).abs() < 2.0 * 1024.0 / 44_100.0, "{range:?}: {secs} s of {expected}");
    }
    let mute = probe(&folder.path().join("odd_gop.mp4")).unwrap();
    assert_eq!(Sound::of(&mute, &Selection::all(0..60)), None);
}

#[test]
fn a_range_far_into_a_long_file_has_its_sound() {
    let folder = tempfile::tempdir().unwrap();
    // loud in the tenth second alone
    let sound = "-f lavfi -i aevalsrc=between(t\\,10\\,11)*sin(3000*t)*0.8:s=44100:d=14";
    let words = "-map 0:v -map 1:a -c:v libx264 -g 25 -preset ultrafast -c:a aac";
    for name in ["long.mp4", "long.ts", "long.mkv"] {
        ffmpeg(folder.path(), &format!("-f lavfi -i testsrc2=s=64x48:r=25:d=14 {sound} {words} {name}"));
        let source = probe(&folder.path().join(name)).unwrap();
        for (range, is_loud) in [(250..275, true), (200..249, false), (277..350, false)] {
            let written =
                overlay(&source, &Selection::all(range.clone()), &folder.path().join("overlay.mp4"));
            let (loudest_db, _) = heard(&written.path).unwrap();
            assert_eq!(loudest_db > -10.0, is_loud, "{name} {range:?}: {loudest_db} dB");
        }
    }
}

#[test]
fn a_range_before_the_sound_and_one_after_it_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let words = flash_and_beep(2.0, 1.0, "", ["", "-itsoffset 1"]);
    ffmpeg(folder.path(), &format!("{words} late.mp4"));
    ffmpeg(
        folder.path(),
        &format!("{} early.mp4", flash_and_beep(2.0, 0.1, "", ["", ""]).replace(":d=3 ", ":d=0.5 ")),
    );
    for (name, range) in [("late.mp4", 0..20), ("early.mp4", 60..90)] {
        let source = probe(&folder.path().join(name)).unwrap();
        overlay(&source, &Selection::all(range), &folder.path().join("overlay.mp4"));
    }
}

/// Stored size, aspect of a pixel, and turn: the overlay's picture has the proportions that the video has.
#[test]
fn an_overlay_has_the_videos_proportions() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, aspect: &str| {
        ffmpeg(
            folder.path(),
            &format!("-f lavfi -i testsrc2=s=72x48:r=25:d=0.2 -vf setsar={aspect} -c:v libx264 {name}"),
        );
        probe(&folder.path().join(name)).unwrap()
    };
    let proportions = |probe: &Probe| (probe.width, probe.height, probe.sample_aspect);
    for (aspect, expected) in
        [("64/45", (64, 45)), ("8/9", (8, 9)), ("1", (1, 1)), ("0", (1, 1)), ("355/113:max=1000", (355, 113))]
    {
        let source = make("aspect.mp4", aspect);
        assert_eq!(proportions(&source), (72, 48, expected), "{aspect}");
        assert_eq!(source.notes.iter().any(|note| note.contains("not square")), expected != (1, 1));
        let written = overlay(&source, &Selection::all(0..5), &folder.path().join("overlay.mp4"));
        assert_eq!(proportions(&written), proportions(&source), "{aspect}");
    }
    clip("turned.mp4").make(folder.path());
    ffmpeg(folder.path(), "-i turned.mp4 -c copy -aspect 2:1 wide.mp4");
    // 128 x 72 pixels, each 9:8, turned by a quarter
    let turned = probe(&folder.path().join("wide.mp4")).unwrap();
    let written = overlay(&turned, &Selection::all(0..5), &folder.path().join("overlay.mp4"));
    assert_eq!((proportions(&turned), proportions(&written)), ((72, 128, (8, 9)), (72, 128, (8, 9))));
}

/// MP4 counts a frame's length in 31 bits.
#[test]
fn frames_may_last_for_hours_or_for_a_tick() {
    let folder = tempfile::tempdir().unwrap();
    for (fps, frames) in [(1.0 / 90_000.0, 3), (7_000.0, 50)] {
        let (path, timeline) = (folder.path().join("overlay.mp4"), Timeline::constant(fps, frames));
        let settings = EncoderSettings::default();
        let mut encoder = Encoder::create(&path, Shape::square(64, 48), &timeline, settings, None).unwrap();
        for n in 0..frames {
            encoder.write_rgb(&[n as u8 * 5; 64 * 48 * 3]).unwrap();
        }
        encoder.finish().unwrap();
        let written = probe(&path).unwrap();
        assert_eq!(written.frames(), frames);
        let off = written.duration_secs / timeline.duration_secs() - 1.0;
        assert!(off.abs() < 0.002, "{} s for {}", written.duration_secs, timeline.duration_secs());
    }
}

/// A player decides by the level whether it can show a video at all.
#[test]
fn the_level_follows_the_rate_and_not_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -c:v libx264 even.mp4");
    let source = probe(&folder.path().join("even.mp4")).unwrap();
    let written = overlay(&source, &Selection::all(0..10), &folder.path().join("overlay.mp4"));
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=level,avg_frame_rate", "-of", "csv=p=0"])
        .arg(&written.path)
        .output()
        .unwrap();
    // level 1, where a rate of 90,000 would make it 5.2
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "10,25/1");
}

/// The mean counts the last frame's length, and is the same whoever tells it.
#[test]
fn the_rate_of_uneven_frames_is_a_mean() {
    let folder = tempfile::tempdir().unwrap();
    let paths = flashing(folder.path());
    let told = |name: &str| {
        let path = paths.iter().find(|path| path.ends_with(name)).unwrap();
        probe(path).unwrap().rate().to_string()
    };
    // 15 frames in half a second, 3 at 2 a second, 30 in the last second
    assert_eq!(told("uneven.mp4"), "16.000 frames/s (mean)");
    assert_eq!(told("picture.mp4"), "30.000 frames/s");
    assert_eq!(told("picture.mkv"), "30.000 frames/s");
    assert_eq!(told("picture.ts"), "30.000 frames/s");
}

/// Times of frames run on where a clock breaks off; sound is known to belong up to there.
#[test]
fn an_overlay_of_joined_recordings_is_as_long_as_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    for (offset, name) in [("0", "a.ts"), ("0.4", "later.ts"), ("500", "far.ts")] {
        let words = flash_and_beep(0.4, 0.4, "", ["", ""]).replace(":d=3", ":d=1");
        ffmpeg(folder.path(), &format!("{words} -output_ts_offset {offset} {name}"));
    }
    for parts in [["a.ts", "a.ts"], ["a.ts", "later.ts"], ["far.ts", "a.ts"], ["a.ts", "far.ts"]] {
        let bytes: Vec<Vec<u8>> =
            parts.iter().map(|part| std::fs::read(folder.path().join(part)).unwrap()).collect();
        let joined = folder.path().join("joined.ts");
        std::fs::write(&joined, bytes.concat()).unwrap();
        let source = probe(&joined).unwrap();
        let all = Selection::all(0..source.frames());
        assert_eq!(all.frames(), 60, "{parts:?}");
        let written = overlay(&source, &all, &folder.path().join("overlay.mp4"));
        assert!((written.duration_secs - 2.0).abs() < 0.05, "{parts:?}: {} s", written.duration_secs);
        let apart = beep_secs(&written.path) - flash_secs(&written);
        assert!(apart.abs() < 0.05, "{parts:?}: {apart} s apart");
        let (_, secs) = heard(&written.path).unwrap();
        assert!((secs - 1.0).abs() < 0.1, "{parts:?}: {secs} s of sound");
        let note = Sound::left_out(&source, &all).unwrap();
        assert!(note.starts_with("the overlay has no sound from frame 30 on"), "{note}");
        let second = Selection::all(40..60);
        assert_eq!(Sound::of(&source, &second), None);
        assert!(Sound::left_out(&source, &Selection::all(0..30)).is_none());
        assert_eq!(Sound::of(&source, &Selection::all(0..30)), Sound::of(&source, &all), "{parts:?}");
    }
}
