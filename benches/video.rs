//! How fast frames come out of each mode, beside ffmpeg writing the same frames to nowhere.
//!
//! `just bench video`. The clip is made anew: 1280x720, H.264 with B-frames, 90 frames. Opening and
//! probing are inside the measured time, as they are in a run; so is ffmpeg's own start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::Device;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use posebook::video::{self, Settings};
use tempfile::TempDir;

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const FRAMES: usize = 90;

fn main() {
    divan::main();
}

/// The clip and a folder for scratch files, made once.
fn clip() -> (&'static Path, &'static Path) {
    static CLIP: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (folder, path) = CLIP.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the clip");
        let path = folder.path().join("clip.mp4");
        let source = format!("testsrc2=size={WIDTH}x{HEIGHT}:rate=30");
        let made = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", &source])
            .args(["-frames:v", &FRAMES.to_string(), "-c:v", "libx264", "-g", "60", "-bf", "3"])
            .arg(&path)
            .status()
            .expect("benches need ffmpeg on the PATH");
        assert!(made.success(), "ffmpeg made no clip");
        (folder, path)
    });
    (path, folder.path())
}

fn counted(bencher: Bencher, frames: usize, read: impl Fn() -> usize + Sync) {
    clip();
    let bytes = BytesCount::new(frames * WIDTH * HEIGHT * 3);
    bencher.counter(ItemsCount::new(frames)).counter(bytes).bench(|| assert_eq!(read(), frames));
}

/// The bound: ffmpeg decodes to RGB and nobody takes the frames.
#[divan::bench(sample_count = 5)]
fn ffmpeg_to_nowhere(bencher: Bencher) {
    counted(bencher, FRAMES, || {
        let done = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-y", "-i"])
            .arg(clip().0)
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "/dev/null"])
            .status();
        assert!(done.is_ok_and(|status| status.success()));
        FRAMES
    });
}

#[divan::bench(sample_count = 5, args = ["stream-sequential", "extract-memory", "extract-png", "extract-jpeg"])]
fn whole_clip(bencher: Bencher, mode: &str) {
    counted(bencher, FRAMES, || read(mode, FRAMES));
}

/// PHALP's way of streaming, of which the first frames are already enough to see what it costs.
#[divan::bench(sample_count = 5)]
fn first_ten_frames_by_seeking(bencher: Bencher) {
    counted(bencher, 10, || read("stream-seek", 10));
}

fn read(mode: &str, frames: usize) -> usize {
    let (path, scratch) = clip();
    let mode = Some(mode.parse().expect("a mode's name"));
    let settings = Settings { mode, end_frame: Some(frames as i64), ..Settings::default() };
    let mut source = video::open(path, &settings, scratch, &Device::Cpu).expect("the clip opens");
    let mut read = 0;
    while let Some(frame) = source.next_frame().expect("the clip decodes") {
        divan::black_box(frame.rgb());
        read += 1;
    }
    read
}
