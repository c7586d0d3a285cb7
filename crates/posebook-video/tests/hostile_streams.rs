//! Crafted or broken streams: no frame rate, a hundred tracks, timestamps from 1970 to 2100, and files cut anywhere. Each gives
//! its frames or an error, in bounded time and memory.

#[path = "../../../tests/common/ffmpeg.rs"]
mod ffmpeg_clips;
#[path = "crafted/limits.rs"]
mod limits;

use std::fs;
use std::time::{Duration, Instant};

use ffmpeg_clips::ffmpeg;
use limits::{check_memory, outcome, read};
use posebook_video as video;
use posebook_video::{AudioSegment, Encoder, EncoderSettings, FrameGeometry, Selection, Settings, Timeline};
use rayon::prelude::*;

const SOURCE: &str = "-f lavfi -i testsrc2=size=64x48:rate=25";

#[test]
fn a_frame_rate_of_zero_or_none_is_replaced_and_every_frame_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.y4m");
    for rate in ["0:0", "0:1", "1:0", "-1:1", "nan:1", "4294967295:1", "1:4294967295", "30000:1001"] {
        let mut file = format!("YUV4MPEG2 W64 H48 F{rate} Ip A1:1 C420jpeg\n").into_bytes();
        for frame in 0..5 {
            file.extend(b"FRAME\n");
            file.extend([frame * 40; 64 * 48 * 3 / 2]);
        }
        fs::write(&path, file).unwrap();
        assert_eq!(read(&path, folder.path()).unwrap(), 5, "{rate}");
    }
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 5 -c:v mpeg4 a.avi"));
    let whole = fs::read(folder.path().join("a.avi")).unwrap();
    let header = whole.windows(4).position(|four| four == b"strh").unwrap() + 8;
    for (scale, rate) in [(0u32, 0u32), (0, 25), (1, 0), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
        let mut bytes = whole.clone();
        bytes[header + 20..header + 24].copy_from_slice(&scale.to_le_bytes());
        bytes[header + 24..header + 28].copy_from_slice(&rate.to_le_bytes());
        let path = folder.path().join("x.avi");
        fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, folder.path()).unwrap(), 5, "{scale}/{rate}");
    }
}

#[test]
fn of_a_hundred_tracks_the_first_is_read_and_the_note_is_short() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 5 -c:v libx264 a.mp4"));
    for name in ["x.mkv", "x.mp4", "x.ts"] {
        ffmpeg(folder.path(), &format!("-i a.mp4 {}-c copy {name}", "-map 0:v ".repeat(100)));
        let path = folder.path().join(name);
        assert_eq!(read(&path, folder.path()).unwrap(), 5, "{name}");
        let notes = video::probe(&path).unwrap().notes.join("\n");
        assert!(notes.contains("100 video tracks") && notes.contains("91 more"), "{name}: {notes}");
        assert!(notes.len() < 1000, "{name}: {} bytes", notes.len());
    }
    check_memory(512);
}

#[test]
fn frames_from_1970_to_2100_are_read_and_their_overlay_has_no_silence_of_130_years() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 10 -c:v libx264 -bf 0 -g 4 a.mp4"));
    // the last frame, and all but the first packets of the audio, come 130 years later
    let later = |from: usize| {
        let jump = |time: &str| format!("if(gt(N\\,{from})\\,{time}+4102444800000\\,{time})");
        format!("setts=pts={}:dts={}", jump("PTS"), jump("DTS"))
    };
    ffmpeg(
        folder.path(),
        &format!(
            "-i a.mp4 -f lavfi -i sine=duration=2 -map 0:v -map 1:a -c:v copy -c:a pcm_s16le -bsf:v {} -bsf:a {} \
             -max_interleave_delta 0 x.mkv",
            later(8),
            later(5)
        ),
    );
    let path = folder.path().join("x.mkv");
    let probe = video::probe(&path).unwrap();
    assert!(probe.has_audio && probe.frames() == 10 && probe.duration_secs > 4e9, "{probe:?}");
    for mode in ["stream-sequential", "stream-seek", "stream-indexed"] {
        let settings = Settings { mode: Some(mode.parse().unwrap()), ..Settings::default() };
        let mut source = video::open_probed(probe.clone(), &settings, folder.path(), None).unwrap();
        let times: Vec<f64> =
            std::iter::from_fn(|| source.next_frame().unwrap()).map(|frame| frame.time_secs).collect();
        assert!(times.len() == 10 && times[9] > 4e9, "{mode}: {times:?}");
    }
    let began = Instant::now();
    let selection = Selection::all(0..10);
    let audio = AudioSegment::for_selection(&probe, &selection);
    assert_eq!(audio, None);
    let note = AudioSegment::missing_audio_note(&probe, &selection).unwrap();
    assert!(note.contains("longer than 24 hours"), "{note}");
    let timeline = Timeline::from_selection(&probe, &selection);
    let (to, geometry) = (folder.path().join("overlay.mp4"), FrameGeometry::from_probe(&probe));
    let mut encoder = Encoder::create(&to, geometry, &timeline, EncoderSettings::default(), None).unwrap();
    (0..10).for_each(|_| encoder.write_rgb(&[9; 64 * 48 * 3]).unwrap());
    encoder.finish().unwrap();
    assert!(video::probe(&to).unwrap().frames() == 10 && fs::metadata(&to).unwrap().len() < 1 << 20);
    // the first frames, before the gap, keep their sound
    let start = Selection::all(0..8);
    assert!(AudioSegment::for_selection(&probe, &start).is_some());
    assert_eq!(AudioSegment::missing_audio_note(&probe, &start), None);
    assert!(began.elapsed() < Duration::from_secs(60));
    check_memory(512);
}

#[test]
fn more_loops_than_a_video_may_have_frames_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 400 -c:v libx264 -preset ultrafast a.mp4"));
    let path = folder.path().join("a.mp4");
    let settings = Settings { loops: Some(100_000), ..Settings::default() };
    let message = video::open(&path, &settings, folder.path(), None).err().unwrap().to_string();
    assert!(message.contains("video.loops = 100000") && message.contains("at most 83886"), "{message}");
    let probe = video::probe(&path).unwrap();
    assert!(video::select_frames(&settings, &probe).is_err());
    // a longer list than is allowed is never made
    assert!(probe.looped(100_000).frames() <= 1 << 25);
}

#[test]
fn a_file_cut_anywhere_gives_frames_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 30 -c:v libx264 -g 8 -bf 2 end.mp4"));
    ffmpeg(folder.path(), "-i end.mp4 -c copy -movflags +faststart front.mp4");
    ffmpeg(folder.path(), "-i end.mp4 -c copy -movflags frag_keyframe+empty_moov fragments.mp4");
    for name in ["a.mkv", "a.ts"] {
        ffmpeg(folder.path(), &format!("-i end.mp4 -c copy {name}"));
    }
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 30 -c:v mpeg4 a.avi"));
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 1 a.png"));
    ffmpeg(folder.path(), &format!("{SOURCE} -frames:v 1 a.jpg"));
    let names = ["end.mp4", "front.mp4", "fragments.mp4", "a.mkv", "a.ts", "a.avi", "a.png", "a.jpg"];
    let cuts: Vec<(&str, usize)> =
        names.iter().flat_map(|name| (1..=10).map(move |tenth| (*name, tenth))).collect();
    let table: Vec<(&str, usize, String)> = cuts
        .into_par_iter()
        .map(|(name, tenth)| {
            let whole = fs::read(folder.path().join(name)).unwrap();
            let path = folder.path().join(format!("{tenth}-{name}"));
            fs::write(&path, &whole[..whole.len() * tenth / 10]).unwrap();
            (name, tenth, outcome(&path, folder.path()))
        })
        .collect();
    for (name, tenth, outcome) in &table {
        println!("{name} cut at {tenth}0%: {outcome}");
        let frames = if matches!(*name, "a.png" | "a.jpg") { "1 frames" } else { "30 frames" };
        match tenth {
            10 => assert_eq!(outcome, frames, "{name}"),
            _ => assert!(outcome.starts_with("error") || outcome.ends_with(" frames"), "{name}: {outcome}"),
        }
    }
    // an index in front lists all frames: what is missing must be an error
    let is_error = |(name, tenth, outcome): &(&str, usize, String)| {
        *name != "front.mp4" || *tenth == 10 || outcome.starts_with("error")
    };
    assert!(table.iter().all(is_error), "{table:?}");
    check_memory(512);
}
