//! Failures: unreadable and damaged files, decoders that stall or are killed, frames of excessive size, and damaged output
//! of ffprobe. Every error names the file and the cause, and no decoder is left running.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode as Permissions;
use nix::unistd::{Pid, mkfifo};
use posebook_core::children::is_alive;
use posebook_core::frame::Frame;
use proptest::prelude::*;

use super::clips::{clip, ffmpeg, host_uploader};
use super::{LOSSLESS, read, settings};
use crate::{FrameSource, Mode, Settings, Store, VideoError, fuzzing, open, open_probed, probe};

const MODES: [&str; 4] = ["stream-sequential", "extract-memory", "extract-png", "stream-seek"];

/// Settings for `mode` with a stall timeout of 0.3 s.
fn with_short_timeout(mode: &str) -> Settings {
    let stall_timeout_secs = Some(0.3);
    Settings { mode: Some(mode.parse().unwrap()), stall_timeout_secs, ..Settings::default() }
}

/// A named pipe without a writer: opening it for reading blocks forever.
fn fifo(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("stalled.mp4");
    mkfifo(&path, Permissions::S_IRUSR | Permissions::S_IWUSR).unwrap();
    path
}

fn read_all(source: &mut FrameSource) -> Result<usize, VideoError> {
    let mut frames = 0;
    while source.next_frame()?.is_some() {
        frames += 1;
    }
    Ok(frames)
}

#[test]
fn a_stalled_decoder_is_killed_in_every_mode() {
    let folder = tempfile::tempdir().unwrap();
    let mut stalled = probe(&clip("odd_gop.mp4").make(folder.path())).unwrap();
    stalled.path = fifo(folder.path());
    for mode in MODES {
        let began = Instant::now();
        let scratch = tempfile::tempdir().unwrap();
        let mut pids = Vec::new();
        let message =
            open_probed(stalled.clone(), &with_short_timeout(mode), scratch.path(), host_uploader())
                .and_then(|mut source| {
                    pids = source.decoder_pids();
                    read_all(&mut source)
                })
                .unwrap_err()
                .to_string();
        // a seek decodes five frames without writing them, and each adds 0.2 s
        let timeout_secs = if mode == "stream-seek" { "1.3" } else { "0.3" };
        assert!(message.contains(&format!("wrote nothing for {timeout_secs} s")), "{mode}: {message}");
        assert!(message.contains("video.patience_secs"), "{mode}: {message}");
        assert!(began.elapsed() < Duration::from_secs(20), "{mode}: {:?}", began.elapsed());
        assert!(pids.iter().all(|&pid| !is_alive(pid)), "{mode}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{mode}: scratch files are left");
    }
}

#[test]
fn a_stalled_ffprobe_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(folder.path());
    let stall_timeout = Duration::from_millis(200);
    for error in [
        probe::stream_info::read(&path, stall_timeout).err(),
        probe::listing::list_packets(&path, None, stall_timeout).err(),
        probe::listing::list_decoded_frames(&path, None, stall_timeout).err(),
    ] {
        let message = error.unwrap().to_string();
        assert!(message.starts_with("ffprobe wrote nothing for 0.2 s"), "{message}");
    }
}

#[test]
fn the_error_of_a_killed_decoder_names_the_signal_and_the_frame() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=640x360:rate=25 -frames:v 200 -c:v libx264 long.mp4");
    let path = folder.path().join("long.mp4");
    let mut source = open(&path, &Settings::default(), folder.path(), host_uploader()).unwrap();
    for _ in 0..3 {
        source.next_frame().unwrap().unwrap();
    }
    // the video is larger than the queue, so the decoder still runs
    let [pid] = source.decoder_pids()[..] else { panic!("one decoder") };
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let error = loop {
        match source.next_frame() {
            Ok(frame) => assert!(frame.is_some(), "the video ended without an error"),
            Err(error) => break error,
        }
    };
    let message = error.to_string();
    assert!(message.contains("ffmpeg was terminated by signal 9 after"), "{message}");
    assert!(error.frame.is_some_and(|frame| (3..200).contains(&frame)), "{message}");
    assert!(message.contains(&format!("after {} of 200 frames", error.frame.unwrap())), "{message}");
    drop(source);
    assert!(!is_alive(pid), "its zombie is left");
}

#[test]
fn frames_of_excessive_size_are_refused_before_memory_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(
        folder.path(),
        "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 3 -c:v rawvideo -pix_fmt bgr24 raw.avi",
    );
    let mut bytes = fs::read(folder.path().join("raw.avi")).unwrap();
    // the stream's format: header size, width, height
    let offset = bytes.windows(4).position(|four| four == b"strf").unwrap() + 8;
    assert_eq!(bytes[offset + 4..offset + 8], 64u32.to_le_bytes());
    for (width, height, hint) in [(65_535u32, 65_535u32, "65535x65535"), (12_000, 12_000, "134 megapixels")] {
        bytes[offset + 4..offset + 8].copy_from_slice(&width.to_le_bytes());
        bytes[offset + 8..offset + 12].copy_from_slice(&height.to_le_bytes());
        let path = folder.path().join("huge.avi");
        fs::write(&path, &bytes).unwrap();
        let message = probe(&path).unwrap_err().to_string();
        assert!(message.contains(hint), "{message}");
    }
}

#[test]
fn timestamps_whose_difference_overflows_are_not_used() {
    let mut list = probe::listing::PacketParser::default();
    for line in
        ["packet,0,0,512,K_", "packet,9223372036854775807,1,512,__", "packet,-9223372036854775808,2,1,__"]
    {
        list.push_line(line).unwrap();
    }
    let frames = list.finish(String::new());
    assert_eq!((frames.frames.len(), frames.packets), (1, 3));
    assert_eq!(frames.problem, Some(probe::listing::PacketProblem::MissingPts));
}

/// `original` with some bytes changed.
fn damaged(original: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((0..original.len(), any::<u8>()), 0..12).prop_map(move |changes| {
        let mut bytes = original.to_vec();
        changes.into_iter().for_each(|(index, byte)| bytes[index] = byte);
        bytes
    })
}

const STREAM_INFO: &[u8] = br#"{"program_version": {"version": "5.1.9"}, "programs": [], "streams": [
    {"codec_name": "h264", "codec_type": "video", "width": 1920, "height": 1088, "has_b_frames": 2,
     "field_order": "progressive", "avg_frame_rate": "30/1", "time_base": "1/15360", "nb_frames": "180",
     "disposition": {"attached_pic": 0}, "side_data_list": [{"rotation": -90}]}],
    "format": {"format_name": "mov,mp4,m4a,3gp,3g2,mj2"}}"#;
const LINES: &[u8] =
    b"packet,0,-512,512,K_\npacket,2048,0,512,__\npacket,1024,512,512,D_\npacket,N/A,N/A,N/A,__\nframe,1,0,0\nframe,0,N/A,N/A\n";

#[test]
fn the_output_of_ffprobe_is_parsed() {
    assert!(fuzzing::stream_info(STREAM_INFO));
    assert_eq!(fuzzing::listing(LINES), (2, 2));
}

/// A process that was killed but not reaped counts as alive, so this finds zombies, too.
#[test]
#[cfg_attr(not(unix), ignore = "only Unix tells whether a process exists")]
fn no_decoder_outlives_its_source() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(folder.path(), "-f lavfi -i testsrc2=size=640x360:rate=25 -frames:v 100 -c:v libx264 long.mp4");
    let path = folder.path().join("long.mp4");
    for (mode, overlap, frames_held) in [
        ("stream-sequential", true, 0),
        ("stream-sequential", true, 1),
        ("stream-sequential", false, 0),
        ("stream-sequential", false, 1),
        ("stream-indexed", true, 1),
        ("stream-indexed", false, 1),
    ] {
        let settings = Settings { overlap: Some(overlap), ..settings(mode, 0..100) };
        let mut source = open(&path, &settings, folder.path(), host_uploader()).unwrap();
        let frames: Vec<Frame> = (0..frames_held).map(|_| source.next_frame().unwrap().unwrap()).collect();
        // the video is larger than all buffers, so the decoder is blocked and cannot have exited
        let [pid] = source.decoder_pids()[..] else { panic!("{mode}: one decoder") };
        assert!(is_alive(pid), "{mode}, overlap {overlap}: the decoder runs");
        drop(source);
        assert!(!is_alive(pid), "{mode}, overlap {overlap}: ffmpeg or its zombie is left");
        assert!(frames.iter().all(|frame| frame.rgb().len() == 640 * 360 * 3), "held frames stay valid");
    }
}

#[test]
fn the_error_of_an_unreadable_file_names_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path_of = |name: &str| folder.path().join(name);
    let bytes = fs::read(clip("odd_gop.mp4").make(folder.path())).unwrap();
    fs::write(path_of("noise.mp4"), &bytes[bytes.len() / 3..bytes.len() / 2]).unwrap();
    fs::write(path_of("empty.mp4"), []).unwrap();
    fs::write(path_of("no_index.mp4"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(path_of("text.mp4"), "not a video at all, but words\n".repeat(100)).unwrap();
    ffmpeg(folder.path(), "-i odd_gop.mp4 -c copy -movflags +faststart front.mp4");
    ffmpeg(folder.path(), "-i odd_gop.mp4 -c copy front.mkv");
    for name in ["front.mp4", "front.mkv"] {
        let bytes = fs::read(path_of(name)).unwrap();
        fs::write(path_of(&format!("cut_{name}")), &bytes[..bytes.len() / 2]).unwrap();
    }
    ffmpeg(folder.path(), "-f lavfi -i sine=duration=1 sound.m4a");
    ffmpeg(folder.path(), "-i odd_gop.mp4 -frames:v 0 -c copy none.mp4");
    for (name, hint) in [
        ("absent.mp4", "there is no such file"),
        (".", "there are no images in this folder"),
        ("empty.mp4", "0 bytes"),
        ("noise.mp4", "not a video"),
        ("text.mp4", "not a video"),
        ("no_index.mp4", "moov atom not found"),
        ("cut_front.mp4", "of the 60 declared in its header"),
        ("cut_front.mkv", "cut short"),
        ("sound.m4a", "only audio"),
        ("none.mp4", "no frames"),
    ] {
        let message = match open(&path_of(name), &Settings::default(), folder.path(), host_uploader()) {
            Ok(_) => panic!("{name} was opened"),
            Err(error) => error.to_string(),
        };
        assert!(message.contains(hint), "{name}: {message}");
        assert!(message.starts_with(&path_of(name).display().to_string()), "{message}");
    }
}

#[test]
fn damage_in_the_middle_is_an_error_or_is_concealed_without_losing_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("vfr.mkv").make(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 400].fill(0x55);
    fs::write(&path, bytes).unwrap();
    for mode in LOSSLESS {
        let outcome = open(
            &path,
            &Settings { mode: Some(mode.parse().unwrap()), ..Settings::default() },
            folder.path(),
            host_uploader(),
        )
        .and_then(|mut source| {
            let mut frames = 0;
            while source.next_frame()?.is_some() {
                frames += 1;
            }
            Ok((frames, source.probe().frames()))
        });
        match outcome {
            Ok((frames, listed)) => assert_eq!(frames, listed, "{mode}"),
            Err(error) => assert!(error.to_string().contains("copy it again"), "{mode}: {error}"),
        }
    }
}

#[test]
fn a_change_of_the_frame_size_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, size) in [("a.ts", "128x72"), ("b.ts", "192x108")] {
        ffmpeg(
            folder.path(),
            &format!("-f lavfi -i testsrc2=size={size}:rate=25 -frames:v 30 -c:v libx264 -g 10 {name}"),
        );
    }
    let both = [fs::read(folder.path().join("a.ts")).unwrap(), fs::read(folder.path().join("b.ts")).unwrap()]
        .concat();
    let path = folder.path().join("both.ts");
    fs::write(&path, both).unwrap();
    let probe = probe(&path).unwrap();
    for mode in LOSSLESS {
        let settings = Settings { mode: Some(mode.parse().unwrap()), ..Settings::default() };
        let message = read(&probe, &settings).unwrap_err().to_string();
        assert!(message.contains("128x72"), "{mode}: {message}");
    }
}

#[test]
fn an_unwritable_scratch_folder_and_a_missing_gpu_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    let mut source = open(&path, &settings("extract-jpeg", 0..5), &path, host_uploader()).unwrap();
    let message = source.next_frame().unwrap_err().to_string();
    assert!(message.contains("give another scratch folder"), "{message}");
    let device = Settings { mode: Some(Mode::extract(Store::Device)), ..Settings::default() };
    let message = open(&path, &device, folder.path(), None).err().unwrap().to_string();
    assert!(message.contains("this run is on the CPU"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// `fuzz/` does the same for longer.
    #[test]
    fn damaged_output_of_ffprobe_causes_no_panic(json in damaged(STREAM_INFO), lines in damaged(LINES)) {
        fuzzing::stream_info(&json);
        fuzzing::listing(&lines);
    }

    #[test]
    fn random_bytes_cause_no_panic(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzzing::stream_info(&noise);
        fuzzing::listing(&noise);
        fuzzing::container(&noise);
        fuzzing::extracted_jpeg(&noise);
    }
}

#[test]
fn damaged_containers_cause_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(
        folder.path(),
        "-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v 10 -c:v libx264 -bf 2 small.mp4",
    );
    ffmpeg(folder.path(), "-i small.mp4 -c copy small.mkv");
    for name in ["small.mp4", "small.mkv"] {
        let whole = fs::read(folder.path().join(name)).unwrap();
        assert_eq!(fuzzing::container(&whole), (true, Some(10)), "{name}");
        let mut random = posebook_core::random::stream(7, name, &[]);
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.below(6) {
                let index = random.below(bytes.len());
                bytes[index] = random.below(256) as u8;
            }
            fuzzing::container(&bytes);
        }
    }
}
