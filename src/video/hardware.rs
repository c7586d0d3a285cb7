//! What may decode in the processor's place, by ffmpeg's own account.
//!
//! ffmpeg is asked what it was built with; whether the machine has the hardware as well is seen when it
//! decodes. Must not know what is decoded.

use std::io::Read;
use std::time::Duration;

use ffmpeg_sidecar::command::FfmpegCommand;

use super::child::start_ffmpeg;
use super::error::Fault;

/// How long ffmpeg may think about it.
const PATIENCE: Duration = Duration::from_secs(10);
/// ffmpeg's word for whatever there is, or else the processor.
const AUTO: &str = "auto";

/// Checks that ffmpeg offers `name`.
///
/// # Errors
/// [`Fault::Settings`] with what it offers, or if ffmpeg is missing.
pub(super) fn check(name: &str) -> Result<(), Fault> {
    if name == AUTO {
        return Ok(());
    }
    let mut child =
        start_ffmpeg(FfmpegCommand::new().args(["-hide_banner", "-hwaccels"]), Some(PATIENCE), None)?;
    let mut text = String::new();
    drop(child.take_stderr());
    if let Some(mut stdout) = child.take_stdout() {
        stdout.read_to_string(&mut text).map_err(Fault::pipe)?;
    }
    child.wait();
    check_among(name, &offered(&text))
}

fn check_among(name: &str, offered: &[&str]) -> Result<(), Fault> {
    if offered.contains(&name) {
        return Ok(());
    }
    let has = if offered.is_empty() { "none".to_string() } else { offered.join(", ") };
    Err(Fault::Settings(format!(
        "video.hwaccel = {name:?}: this ffmpeg does not offer it; choose none, auto, or one that it has: {has}"
    )))
}

/// The names after the heading.
fn offered(text: &str) -> Vec<&str> {
    text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_offered_is_told_with_what_is() {
        let offered = offered("Hardware acceleration methods:\nvdpau\ncuda\n\n");
        assert!(check_among("cuda", &offered).is_ok());
        let message = check_among("cud", &offered).unwrap_err().to_string();
        assert!(message.ends_with("one that it has: vdpau, cuda"), "{message}");
        assert!(check_among("cuda", &[]).unwrap_err().to_string().ends_with("it has: none"));
        assert!(check(AUTO).is_ok() && check("no-such-thing").is_err());
    }
}
