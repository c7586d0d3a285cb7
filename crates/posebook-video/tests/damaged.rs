//! Damaged videos give errors or shorter videos with a remark, in bounded memory.

#[path = "../../../tests/common/ffmpeg.rs"]
mod ffmpeg_clips;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ffmpeg_clips::ffmpeg;
use posebook_core::random::{RandomStream, stream};
use posebook_video as video;
use posebook_video::{Settings, VideoErrorKind};
use rayon::prelude::*;

const FRAMES: usize = 30;
/// Largest memory of decoder and reader each, whatever sizes a damaged file declares: a decoder's own code and buffers
/// take about 60 MiB.
const MAX_BYTES: u64 = 512 << 20;

/// A small clip in two containers, one of them with its index in front and at the end.
fn clips(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let source = format!("-f lavfi -i testsrc2=size=64x48:rate=25 -frames:v {FRAMES}");
    ffmpeg(folder, &format!("{source} -c:v libx264 -preset fast -g 8 -bf 2 end.mp4"));
    ffmpeg(folder, "-i end.mp4 -c copy -movflags +faststart front.mp4");
    ffmpeg(folder, "-i end.mp4 -c copy clip.mkv");
    ["end.mp4", "front.mp4", "clip.mkv"].map(|name| (name, fs::read(folder.join(name)).unwrap())).into()
}

/// Offsets and lengths of the size fields that a reader trusts: of every box in an MP4 (boxes nest, so any four letters
/// that could be a box's name count), and of the master elements in a Matroska file.
fn sizes(name: &str, bytes: &[u8]) -> Vec<(usize, usize)> {
    if name.ends_with(".mp4") {
        let is_name = |four: &[u8]| four.iter().all(u8::is_ascii_lowercase);
        return (4..bytes.len() - 4)
            .filter(|&at| is_name(&bytes[at..at + 4]))
            .map(|at| (at - 4, 4))
            .collect();
    }
    // ids of the master elements: segment, cluster, tracks, cues, seek head, info
    let names: [[u8; 4]; 6] = [
        [0x18, 0x53, 0x80, 0x67],
        [0x1f, 0x43, 0xb6, 0x75],
        [0x16, 0x54, 0xae, 0x6b],
        [0x1c, 0x53, 0xbb, 0x6b],
        [0x11, 0x4d, 0x9b, 0x74],
        [0x15, 0x49, 0xa9, 0x66],
    ];
    let at_name = |at: &usize| names.iter().any(|name| bytes[*at..].starts_with(name));
    (0..bytes.len() - 12)
        .filter(at_name)
        .map(|at| (at + 4, 1 + bytes[at + 4].leading_zeros() as usize))
        .collect()
}

/// A damaged copy, and the kind of damage.
fn damaged(name: &str, whole: &[u8], random: &mut RandomStream) -> (&'static str, Vec<u8>) {
    let mut bytes = whole.to_vec();
    let kind = ["cut", "bytes flipped", "size changed", "size made huge"][random.below(4)];
    match kind {
        "cut" => bytes.truncate(random.below(whole.len())),
        "bytes flipped" => {
            for _ in 0..1 + random.below(16) {
                let at = random.below(whole.len());
                bytes[at] ^= 1 + random.below(255) as u8;
            }
        }
        _ => {
            let sizes = sizes(name, whole);
            let (at, length) = sizes[random.below(sizes.len())];
            for (index, byte) in bytes[at..(at + length).min(whole.len())].iter_mut().enumerate() {
                *byte = match (kind, index) {
                    ("size made huge", 0) if length != 4 => *byte | 0x0f >> (length - 1).min(3),
                    ("size made huge", _) => 0xff - random.below(2) as u8,
                    (_, 0) => *byte,
                    _ => random.below(256) as u8,
                };
            }
        }
    }
    (kind, bytes)
}

/// The outcome of reading a copy, as a phrase.
fn outcome(path: &Path, scratch: &Path) -> String {
    let settings = Settings { stall_timeout_secs: Some(20.0), ..Settings::default() };
    let read = video::open(path, &settings, scratch, None).and_then(|mut source| {
        let mut frames = 0;
        while source.next_frame()?.is_some() {
            frames += 1;
        }
        let has_remark = !source.decoder_warnings().is_empty() || !source.probe().notes.is_empty();
        Ok((frames, has_remark))
    });
    match read {
        Ok((FRAMES, false)) => "whole".into(),
        Ok((FRAMES, true)) => "whole, with a remark".into(),
        Ok((_, true)) => "shorter, with a remark".into(),
        Ok((_, false)) => "shorter, as its header says".into(),
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 4000 && message.starts_with(&path.display().to_string()), "{message}");
            format!("error: {}", phrase(&error.kind))
        }
    }
}

fn phrase(kind: &VideoErrorKind) -> &'static str {
    match kind {
        VideoErrorKind::EmptyFile => "empty",
        VideoErrorKind::NotAVideo(_) | VideoErrorKind::RefusedFormat(_) => "not a video",
        VideoErrorKind::NoVideoTrack(_) => "no video track",
        VideoErrorKind::NoFrames => "no frames",
        VideoErrorKind::Truncated { .. } => "cut short",
        VideoErrorKind::EndedEarly { .. } => "ended early",
        VideoErrorKind::ExtraFrames { .. } => "more frames than listed",
        VideoErrorKind::TooLarge { .. } => "image too large",
        VideoErrorKind::SizeChanges { .. } | VideoErrorKind::SizeMismatch { .. } => "another size",
        other => panic!("no error for a damaged file: {other}"),
    }
}

/// Peak resident set of this process.
#[cfg(target_os = "linux")]
fn own_peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Reads `copies` damaged copies; counts them by kind of damage and outcome.
fn read_damaged(copies: usize) -> BTreeMap<(String, String), usize> {
    let folder = tempfile::tempdir().unwrap();
    let clips = clips(folder.path());
    let outcomes: Vec<(String, String)> = (0..copies)
        .into_par_iter()
        .map(|copy| {
            let mut random = stream(11, "damage", &[copy as u64]);
            let (name, whole) = &clips[copy % clips.len()];
            let (kind, bytes) = damaged(name, whole, &mut random);
            let path = folder.path().join(format!("{copy}-{name}"));
            fs::write(&path, bytes).unwrap();
            let began = Instant::now();
            let outcome = outcome(&path, folder.path());
            assert!(began.elapsed() < Duration::from_secs(60), "copy {copy} took {:?}", began.elapsed());
            (kind.to_string(), outcome)
        })
        .collect();
    let mut table = BTreeMap::new();
    outcomes.into_iter().for_each(|pair| *table.entry(pair).or_insert(0) += 1);
    for ((kind, outcome), count) in &table {
        println!("{kind:15} {outcome:30} {count}");
    }
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let decoder = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as u64 * 1024;
        println!("largest decoder {} MiB, this process {} MiB", decoder >> 20, own_peak_bytes() >> 20);
        assert!(decoder < MAX_BYTES && own_peak_bytes() < MAX_BYTES);
    }
    table
}

fn check(table: &BTreeMap<(String, String), usize>) {
    let with =
        |part: &str| table.iter().filter(|((_, o), _)| o.contains(part)).map(|(_, n)| n).sum::<usize>();
    // if all copies were readable, or none, the damage would test nothing
    assert!(with("error") > 0 && with("whole") > 0, "{table:?}");
}

/// All 200 with `--ignored`, in half a minute; `cargo test --test damaged -- --nocapture` prints the table.
#[test]
fn damaged_copies_give_errors_or_shorter_videos() {
    check(&read_damaged(60));
}

#[test]
#[ignore = "half a minute: 200 copies, of which the test above reads 60"]
fn two_hundred_damaged_copies_give_errors_or_shorter_videos() {
    check(&read_damaged(200));
}
