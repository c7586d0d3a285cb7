//! Failures: decoders that stall or are killed, frames of excessive size, and damaged output of ffprobe.

use crate::tests::clips::host_uploader;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode as Permissions;
use nix::unistd::{Pid, mkfifo};
use proptest::prelude::*;

use crate::tests::clips::{clip, ffmpeg};
use crate::{FrameSource, Settings, VideoError, fuzzing, open, open_probed, probe};
use posebook_core::children::is_alive;

const MODES: [&str; 4] = ["stream-sequential", "extract-memory", "extract-png", "stream-seek"];

fn settings(mode: &str) -> Settings {
    let stall_timeout_secs = Some(0.3);
    Settings { mode: Some(mode.parse().unwrap()), stall_timeout_secs, ..Settings::default() }
}

/// A named pipe without a writer: opening it for reading blocks forever.
fn fifo(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("stalled.mp4");
    mkfifo(&path, Permissions::S_IRUSR | Permissions::S_IWUSR).unwrap();
    path
}

fn read_all(source: &mut dyn FrameSource) -> Result<usize, VideoError> {
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
        let message = open_probed(stalled.clone(), &settings(mode), scratch.path(), host_uploader())
            .and_then(|mut source| {
                pids = source.decoder_pids();
                read_all(source.as_mut())
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
