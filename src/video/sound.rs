//! The sound beside the frames of an overlay.
//!
//! Sound is found by its times on the file's own clock, the one that frames have. Without `-copyts` ffmpeg takes
//! the start of a transport stream's sound for its zero, and the sound comes early by as much as it starts
//! later than the picture.
//!
//! Must not know what the frames show.

use std::path::PathBuf;

use ffmpeg_sidecar::command::FfmpegCommand;

use super::probe::Probe;
use super::range::Selection;
use super::timeline::Timeline;

/// How long before the wanted part a seek aims: containers without an index are entered too late now and then.
const BEFORE_SECS: f64 = 5.0;

/// The sound that belongs to a part of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// The file that has it.
    pub path: PathBuf,
    /// Where the part begins and ends, in seconds on the file's own clock.
    pub start_secs: f64,
    pub end_secs: f64,
    /// Where reading may begin; `None`: at the file's start.
    seek_secs: Option<f64>,
}

impl Sound {
    /// What is heard while the selected frames of the probed video are shown; `None` if it has no sound, or
    /// none that is known to belong there.
    ///
    /// Where the file's clock starts again, goes back or jumps, as in joined recordings, the times of frames
    /// run on and those of sound do not: the sound ends there.
    pub fn of(probe: &Probe, selection: &Selection) -> Option<Sound> {
        let first = selection.range.start;
        let broken = probe.clock_break().filter(|&frame| frame < selection.range.end);
        if !probe.has_audio || broken.is_some_and(|frame| frame <= first) {
            return None;
        }
        let start_secs = probe.container_secs(first);
        let duration_secs = match broken {
            Some(frame) => probe.time_secs(frame) - probe.time_secs(first),
            None => Timeline::of(probe, selection).duration_secs(),
        };
        let end_secs = start_secs + duration_secs;
        let aim = start_secs - BEFORE_SECS;
        let seek_secs = Some(aim).filter(|aim| *aim > probe.container_secs(0).max(0.0));
        Some(Sound { path: probe.path.clone(), start_secs, end_secs, seek_secs })
    }

    /// A message that says which sound of the selected frames the overlay lacks; `None` if it lacks none.
    pub fn left_out(probe: &Probe, selection: &Selection) -> Option<String> {
        let frame = probe.clock_break().filter(|&frame| frame < selection.range.end && probe.has_audio)?;
        Some(format!(
            "the overlay has no sound from frame {} on, where the file's clock breaks off; for all of it, re-encode \
             the joined parts with `ffmpeg -f concat`",
            frame.max(selection.range.start)
        ))
    }

    /// Adds the file as second input, and its first track of sound, cut to the part and begun at zero. What
    /// is missing at the start or between is filled with silence.
    pub(super) fn add_to(&self, command: &mut FfmpegCommand) {
        let Sound { start_secs, end_secs, .. } = self;
        if let Some(secs) = self.seek_secs {
            command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &format!("{secs:.6}")]);
        }
        command.args(["-vn", "-sn", "-dn"]).args(crate::ffmpeg::input(&self.path));
        let filters = format!(
            "atrim=start={start_secs:.6}:end={end_secs:.6},asetpts=PTS-({start_secs:.6}/TB),\
             aresample=async=1:first_pts=0"
        );
        command.args(["-map", "0:v:0", "-map", "1:a:0?", "-c:a", "aac", "-af", &filters]);
    }
}
