//! Overlays: frames have the times and the aspect ratio of the source, the audio stays synchronized, and a file is complete
//! or absent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use posebook_core::frame::Frame;

use super::clips::{clip, ffmpeg, host_uploader};
use super::read;
use crate::{
    AudioSegment, Encoder, EncoderSettings, FrameGeometry, Probe, Selection, Settings, Timeline, open_probed,
    probe,
};

/// Peak level in dB and duration in seconds of the audio; `None` if there is none.
fn measure_audio(path: &Path) -> Option<(f64, f64)> {
    if !probe(path).unwrap().has_audio {
        return None;
    }
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(path)
        .args(["-map", "0:a:0", "-af", "astats=metadata=0,volumedetect", "-f", "null", "-"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).to_string();
    let number = |name: &str| -> f64 {
        // newer versions print every stage of the filters; the last line is about the whole audio
        let (_, tail) = stderr.rsplit_once(name).unwrap_or_else(|| panic!("{stderr}"));
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
    let mut source = open_probed(probe.clone(), &settings, Path::new("unused"), host_uploader()).unwrap();
    std::iter::from_fn(|| source.next_frame().unwrap()).collect()
}

/// Writes the overlay of the selected frames as `track` does, with nothing drawn into them.
fn write_overlay(source: &Probe, selection: &Selection, path: &Path) -> Probe {
    let (shape, timeline) = (FrameGeometry::from_probe(source), Timeline::from_selection(source, selection));
    let sound = AudioSegment::for_selection(source, selection);
    let settings = EncoderSettings::default();
    let mut encoder = Encoder::create(path, shape, &timeline, settings, sound.as_ref()).unwrap();
    for frame in frames_of(source, selection) {
        encoder.write(&frame).unwrap();
    }
    encoder.finish().unwrap();
    let overlay = probe(path).unwrap();
    assert_eq!(overlay.frames(), selection.frame_count());
    for (n, from) in selection.frame_indices().enumerate() {
        let expected = source.time_secs(from) - source.time_secs(selection.range.start);
        assert!((overlay.container_secs(n) - expected).abs() < 1e-5, "frame {n}: {expected} s");
    }
    assert!((overlay.duration_secs - timeline.duration_secs()).abs() < 1e-3, "{}", overlay.duration_secs);
    overlay
}

/// Container time of the first white frame.
fn flash_secs(probe: &Probe) -> f64 {
    let frames = frames_of(probe, &Selection::all(0..probe.frames()));
    let white = frames.iter().position(|frame| frame.pixel(frame.width / 2, frame.height / 2)[0] > 150);
    probe.container_secs(white.expect("there is a white frame"))
}

/// Container time of the first loud sample.
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

/// ffmpeg's arguments for a white flash and a beep at these times, each 0.2 s long; `more` are further video filters,
/// `offset` options of the video and the audio input.
fn flash_and_beep(flash_secs: f64, beep_secs: f64, more: &str, offset: [&str; 2]) -> String {
    let flash = format!("between(t,{},{})", flash_secs - 0.001, flash_secs + 0.2);
    let beep_end_secs = beep_secs + 0.2;
    format!(
        "{} -f lavfi -i color=black:s=64x48:r=30:d=3,drawbox=c=white:t=fill:enable='{flash}'{more} \
         {} -f lavfi -i aevalsrc='0.5*sin(5529*t)*between(t,{beep_secs},{beep_end_secs})':s=44100:d=3 \
         -map 0:v -map 1:a -vsync vfr -c:v libx264 -g 15 -bf 2 -pix_fmt yuv420p -c:a aac",
        offset[0], offset[1]
    )
}

/// Files whose flash and beep coincide: with a variable frame rate, and with audio or video that starts a second
/// late.
fn flash_clips(folder: &Path) -> Vec<PathBuf> {
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
fn video_and_audio_stay_synchronized() {
    let folder = tempfile::tempdir().unwrap();
    for path in flash_clips(folder.path()) {
        let source = probe(&path).unwrap();
        let source_lag = beep_secs(&path) - flash_secs(&source);
        assert!(source_lag.abs() < 0.05, "{}: audio lags {source_lag} s", path.display());
        let all = source.frames();
        for selection in
            [Selection::all(0..all), Selection::all(11..all), Selection { range: 1..all, every: 2 }]
        {
            let written = write_overlay(&source, &selection, &folder.path().join("overlay.mp4"));
            let lag = beep_secs(&written.path) - flash_secs(&written);
            // with every second frame, the first white one may not be selected
            let late_secs = (selection.every - 1) as f64 / 30.0;
            let is_close = lag - source_lag < 0.05 && lag - source_lag > -0.05 - late_secs;
            assert!(is_close, "{}, {selection:?}: audio lags {lag} s, {source_lag} s before", path.display());
        }
    }
}

#[test]
fn an_overlay_has_the_audio_of_its_range() {
    let folder = tempfile::tempdir().unwrap();
    clip("odd_gop.mp4").make(folder.path());
    // silent for a second, then loud
    ffmpeg(
        folder.path(),
        "-i odd_gop.mp4 -f lavfi -i aevalsrc=gt(t\\,1)*sin(3000*t)*0.8:s=44100:d=2.4 -map 0:v -map 1:a -c:v copy -c:a aac heard.mp4",
    );
    let source = probe(&folder.path().join("heard.mp4")).unwrap();
    for (range, is_loud) in [(0..60, true), (0..20, false), (30..55, true)] {
        let path = folder.path().join(format!("{}-{}.mp4", range.start, range.end));
        write_overlay(&source, &Selection::all(range.clone()), &path);
        let (peak_db, audio_secs) = measure_audio(&path).unwrap();
        assert_eq!(peak_db > -10.0, is_loud, "{range:?}: {peak_db} dB");
        // audio is cut at packets of 1024 samples
        let expected_secs = range.len() as f64 / 25.0;
        let tolerance_secs = 2.0 * 1024.0 / 44_100.0;
        assert!(
            (audio_secs - expected_secs).abs() < tolerance_secs,
            "{range:?}: {audio_secs} s of {expected_secs}"
        );
    }
    let mute = probe(&folder.path().join("odd_gop.mp4")).unwrap();
    assert_eq!(AudioSegment::for_selection(&mute, &Selection::all(0..60)), None);
}

#[test]
fn a_range_far_into_a_long_file_has_its_audio() {
    let folder = tempfile::tempdir().unwrap();
    // loud only from second 10 to 11
    let sound = "-f lavfi -i aevalsrc=between(t\\,10\\,11)*sin(3000*t)*0.8:s=44100:d=14";
    let arguments = "-map 0:v -map 1:a -c:v libx264 -g 25 -preset ultrafast -c:a aac";
    for name in ["long.mp4", "long.ts", "long.mkv"] {
        ffmpeg(folder.path(), &format!("-f lavfi -i testsrc2=s=64x48:r=25:d=14 {sound} {arguments} {name}"));
        let source = probe(&folder.path().join(name)).unwrap();
        for (range, is_loud) in [(250..275, true), (200..249, false), (277..350, false)] {
            let written =
                write_overlay(&source, &Selection::all(range.clone()), &folder.path().join("overlay.mp4"));
            let (peak_db, _) = measure_audio(&written.path).unwrap();
            assert_eq!(peak_db > -10.0, is_loud, "{name} {range:?}: {peak_db} dB");
        }
    }
}

#[test]
fn ranges_before_and_after_the_audio_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = flash_and_beep(2.0, 1.0, "", ["", "-itsoffset 1"]);
    ffmpeg(folder.path(), &format!("{arguments} late.mp4"));
    ffmpeg(
        folder.path(),
        &format!("{} early.mp4", flash_and_beep(2.0, 0.1, "", ["", ""]).replace(":d=3 ", ":d=0.5 ")),
    );
    for (name, range) in [("late.mp4", 0..20), ("early.mp4", 60..90)] {
        let source = probe(&folder.path().join(name)).unwrap();
        write_overlay(&source, &Selection::all(range), &folder.path().join("overlay.mp4"));
    }
}

/// For all pixel aspect ratios and rotations.
#[test]
fn an_overlay_has_the_aspect_ratio_of_the_video() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, aspect: &str| {
        ffmpeg(
            folder.path(),
            &format!("-f lavfi -i testsrc2=s=72x48:r=25:d=0.2 -vf setsar={aspect} -c:v libx264 {name}"),
        );
        probe(&folder.path().join(name)).unwrap()
    };
    let aspect_of = |probe: &Probe| (probe.width, probe.height, probe.sample_aspect);
    for (aspect, expected) in
        [("64/45", (64, 45)), ("8/9", (8, 9)), ("1", (1, 1)), ("0", (1, 1)), ("355/113:max=1000", (355, 113))]
    {
        let source = make("aspect.mp4", aspect);
        assert_eq!(aspect_of(&source), (72, 48, expected), "{aspect}");
        assert_eq!(source.notes.iter().any(|note| note.contains("not square")), expected != (1, 1));
        let written = write_overlay(&source, &Selection::all(0..5), &folder.path().join("overlay.mp4"));
        assert_eq!(aspect_of(&written), aspect_of(&source), "{aspect}");
    }
    clip("turned.mp4").make(folder.path());
    ffmpeg(folder.path(), "-i turned.mp4 -c copy -aspect 2:1 wide.mp4");
    // 128 x 72 pixels, each 9:8, rotated by 90 degrees
    let rotated = probe(&folder.path().join("wide.mp4")).unwrap();
    let written = write_overlay(&rotated, &Selection::all(0..5), &folder.path().join("overlay.mp4"));
    assert_eq!((aspect_of(&rotated), aspect_of(&written)), ((72, 128, (8, 9)), (72, 128, (8, 9))));
}

/// MP4 stores a frame's duration in 31 bits.
#[test]
fn a_frame_may_last_for_hours_or_for_one_tick() {
    let folder = tempfile::tempdir().unwrap();
    for (fps, frames) in [(1.0 / 90_000.0, 3), (7_000.0, 50)] {
        let (path, timeline) = (folder.path().join("overlay.mp4"), Timeline::constant(fps, frames));
        let settings = EncoderSettings::default();
        let mut encoder =
            Encoder::create(&path, FrameGeometry::square(64, 48), &timeline, settings, None).unwrap();
        for n in 0..frames {
            encoder.write_rgb(&[n as u8 * 5; 64 * 48 * 3]).unwrap();
        }
        encoder.finish().unwrap();
        let written = probe(&path).unwrap();
        assert_eq!(written.frames(), frames);
        let relative_error = written.duration_secs / timeline.duration_secs() - 1.0;
        assert!(relative_error.abs() < 0.002, "{} s for {}", written.duration_secs, timeline.duration_secs());
    }
}

/// Players use the H.264 level to decide whether they can play a video.
#[test]
fn the_level_depends_on_the_frame_rate_and_not_on_the_time_base() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -c:v libx264 even.mp4");
    let source = probe(&folder.path().join("even.mp4")).unwrap();
    let written = write_overlay(&source, &Selection::all(0..10), &folder.path().join("overlay.mp4"));
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=level,avg_frame_rate", "-of", "csv=p=0"])
        .arg(&written.path)
        .output()
        .unwrap();
    // level 1, where a rate of 90,000 would make it 5.2
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "10,25/1");
}

/// The mean includes the last frame's duration.
#[test]
fn the_rate_of_a_video_with_variable_frame_rate_is_a_mean() {
    let folder = tempfile::tempdir().unwrap();
    let paths = flash_clips(folder.path());
    let rate_of = |name: &str| {
        let path = paths.iter().find(|path| path.ends_with(name)).unwrap();
        probe(path).unwrap().rate().to_string()
    };
    // 15 frames in half a second, 3 at 2 a second, 30 in the last second
    assert_eq!(rate_of("uneven.mp4"), "16.000 frames/s (mean)");
    assert_eq!(rate_of("picture.mp4"), "30.000 frames/s");
    assert_eq!(rate_of("picture.mkv"), "30.000 frames/s");
    assert_eq!(rate_of("picture.ts"), "30.000 frames/s");
}

/// Frame times continue where timestamps restart; audio can be synchronized only up to there.
#[test]
fn an_overlay_of_concatenated_recordings_has_audio_up_to_the_joint() {
    let folder = tempfile::tempdir().unwrap();
    for (offset, name) in [("0", "a.ts"), ("0.4", "later.ts"), ("500", "far.ts")] {
        let arguments = flash_and_beep(0.4, 0.4, "", ["", ""]).replace(":d=3", ":d=1");
        ffmpeg(folder.path(), &format!("{arguments} -output_ts_offset {offset} {name}"));
    }
    for parts in [["a.ts", "a.ts"], ["a.ts", "later.ts"], ["far.ts", "a.ts"], ["a.ts", "far.ts"]] {
        let bytes: Vec<Vec<u8>> =
            parts.iter().map(|part| fs::read(folder.path().join(part)).unwrap()).collect();
        let joined = folder.path().join("joined.ts");
        fs::write(&joined, bytes.concat()).unwrap();
        let source = probe(&joined).unwrap();
        let all = Selection::all(0..source.frames());
        assert_eq!(all.frame_count(), 60, "{parts:?}");
        let written = write_overlay(&source, &all, &folder.path().join("overlay.mp4"));
        assert!((written.duration_secs - 2.0).abs() < 0.05, "{parts:?}: {} s", written.duration_secs);
        let lag = beep_secs(&written.path) - flash_secs(&written);
        assert!(lag.abs() < 0.05, "{parts:?}: audio lags {lag} s");
        let (_, audio_secs) = measure_audio(&written.path).unwrap();
        assert!((audio_secs - 1.0).abs() < 0.1, "{parts:?}: {audio_secs} s of audio");
        let note = AudioSegment::missing_audio_note(&source, &all).unwrap();
        assert!(note.starts_with("the overlay has no sound from frame 30 on"), "{note}");
        let second = Selection::all(40..60);
        assert_eq!(AudioSegment::for_selection(&source, &second), None);
        assert!(AudioSegment::missing_audio_note(&source, &Selection::all(0..30)).is_none());
        assert_eq!(
            AudioSegment::for_selection(&source, &Selection::all(0..30)),
            AudioSegment::for_selection(&source, &all),
            "{parts:?}"
        );
    }
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
