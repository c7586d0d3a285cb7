//! Checks that ffmpeg was built with a hardware acceleration method. Whether the machine has the hardware shows only
//! when decoding starts.

use std::io::Read;
use std::time::Duration;

use ffmpeg_sidecar::command::FfmpegCommand;

use super::child::spawn_ffmpeg;
use crate::error::VideoErrorKind;

/// Stall timeout of `ffmpeg -hwaccels`.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// ffmpeg's name for any method that works, otherwise the CPU.
const AUTO: &str = "auto";

/// Checks that ffmpeg supports the method `name`.
///
/// # Errors
/// [`VideoErrorKind::InvalidSettings`] with the supported methods; or if ffmpeg cannot be run.
pub fn check(name: &str) -> Result<(), VideoErrorKind> {
    if name == AUTO {
        return Ok(());
    }
    let mut child =
        spawn_ffmpeg(FfmpegCommand::new().args(["-hide_banner", "-hwaccels"]), Some(STALL_TIMEOUT), None)?;
    let mut text = String::new();
    drop(child.take_stderr());
    if let Some(mut stdout) = child.take_stdout() {
        stdout.read_to_string(&mut text).map_err(VideoErrorKind::pipe)?;
    }
    child.wait();
    check_supported(name, &parse_methods(&text))
}

fn check_supported(name: &str, supported: &[&str]) -> Result<(), VideoErrorKind> {
    if supported.contains(&name) {
        return Ok(());
    }
    let supported = if supported.is_empty() { "none".to_string() } else { supported.join(", ") };
    Err(VideoErrorKind::InvalidSettings(format!(
        "video.hwaccel = {name:?}: this ffmpeg does not support it; choose none, auto, or one that it supports: {supported}"
    )))
}

/// The method names, one a line after a heading.
fn parse_methods(text: &str) -> Vec<&str> {
    text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsupported_method_is_an_error_that_lists_the_supported_ones() {
        let supported = parse_methods("Hardware acceleration methods:\nvdpau\ncuda\n\n");
        assert!(check_supported("cuda", &supported).is_ok());
        let message = check_supported("cud", &supported).unwrap_err().to_string();
        assert!(message.ends_with("one that it supports: vdpau, cuda"), "{message}");
        assert!(check_supported("cuda", &[]).unwrap_err().to_string().ends_with("it supports: none"));
        assert!(check(AUTO).is_ok() && check("no-such-thing").is_err());
    }
}
