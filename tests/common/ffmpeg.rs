//! Clips for tests, made by ffmpeg.

use std::path::Path;
use std::process::Command;

/// Runs ffmpeg in `folder` with words separated by spaces.
pub fn ffmpeg(folder: &Path, words: &str) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"])
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("tests need ffmpeg on the PATH");
    assert!(output.status.success(), "ffmpeg {words}: {}", String::from_utf8_lossy(&output.stderr));
}
