//! Reads a video frame by frame in a chosen mode and prints the SHA-256 of every frame's pixels.
//!
//! ```text
//! cargo run --release -p posebook-video --example frame_hashes [VIDEO [MODE]]
//! ```
//!
//! `VIDEO` is a video file or a folder of images; without it, ffmpeg generates a clip of 25 frames. `MODE` is one of
//! `stream-sequential` (the default), `stream-seek`, `stream-indexed`, `extract-png`, `extract-jpeg` and `extract-memory`. The
//! hashes are the same in all modes but `extract-jpeg`.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use posebook_core::provenance::sha256_of_bytes;
use posebook_video::{Settings, open};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    // for the generated clip and for extracted frames; removed at the end
    let scratch = tempfile::tempdir()?;
    let mut arguments = env::args().skip(1);
    let path = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => generate_clip(scratch.path())?,
    };
    let mode = arguments.next().as_deref().unwrap_or("stream-sequential").parse()?;

    let settings = Settings { mode: Some(mode), ..Settings::default() };
    let mut source = open(&path, &settings, scratch.path(), None)?;
    let mut all_frames = Sha256::new();
    while let Some(frame) = source.next_frame()? {
        all_frames.update(frame.rgb());
        println!("{:5} {:8.3} s  {}", frame.index, frame.time_secs, sha256_of_bytes(frame.rgb()));
    }

    let probe = source.probe();
    let digest: String = all_frames.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{} frames of {} x {} pixels in {mode}", source.frame_count(), probe.width, probe.height);
    println!("all frames        {digest}");
    println!(
        "frame buffers     {:.1} MiB at the peak",
        source.frame_buffer_bytes() as f64 / f64::from(1 << 20)
    );
    Ok(())
}

/// Generates a clip of one second with ffmpeg's test pattern; returns its path.
fn generate_clip(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let path = folder.join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=320x240:rate=25:duration=1",
        ])
        .args(["-c:v", "libx264", "-pix_fmt", "yuv420p"])
        .arg(&path)
        .status()
        .map_err(|error| format!("ffmpeg cannot be started: {error}; install it, or give a video"))?;
    if !status.success() {
        return Err("ffmpeg cannot generate the clip: its message is above; give a video instead".into());
    }
    Ok(path)
}
