//! What may come of reading a crafted file: its frames, or one of a few errors, in bounded time and memory.

use std::path::Path;
use std::time::{Duration, Instant};

use posebook_video as video;
use posebook_video::{Settings, VideoError, VideoErrorKind};

/// Reads all frames of a video; their number. A program that writes nothing for ten seconds is stopped.
pub fn read(path: &Path, scratch: &Path) -> Result<usize, VideoError> {
    let settings = Settings { stall_timeout_secs: Some(10.0), ..Settings::default() };
    let mut source = video::open(path, &settings, scratch, None)?;
    let probe = source.probe();
    assert!(probe.fps.is_finite() && probe.fps > 0.0 && probe.duration_secs.is_finite(), "{probe:?}");
    let mut frames = 0;
    while source.next_frame()?.is_some() {
        frames += 1;
    }
    Ok(frames)
}

/// The outcome of reading a file, as a phrase.
///
/// # Panics
/// If it takes a minute, or its error is none that a damaged file may give.
pub fn outcome(path: &Path, scratch: &Path) -> String {
    let began = Instant::now();
    let outcome = match read(path, scratch) {
        Ok(frames) => format!("{frames} frames"),
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 4000 && message.starts_with(&path.display().to_string()), "{message}");
            format!("error: {}", phrase(&error.kind))
        }
    };
    assert!(began.elapsed() < Duration::from_secs(60), "{} took {:?}", path.display(), began.elapsed());
    outcome
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
        VideoErrorKind::TooManyFrames => "too many frames",
        VideoErrorKind::SizeChanges { .. } | VideoErrorKind::SizeMismatch { .. } => "another size",
        VideoErrorKind::Still(_) => "a damaged image",
        VideoErrorKind::Stalled(_) => "stalled",
        other => panic!("no error for a crafted file: {other}"),
    }
}

/// Checks that no program so far, and not this process, had more than `mebibytes` MiB resident.
pub fn check_memory(mebibytes: u64) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        for (who, name) in [(UsageWho::RUSAGE_CHILDREN, "a child"), (UsageWho::RUSAGE_SELF, "this process")] {
            let peak = getrusage(who).unwrap().max_rss() as u64 >> 10;
            println!("{name}: at most {peak} MiB");
            assert!(peak < mebibytes, "{name} had {peak} MiB");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = mebibytes;
}
