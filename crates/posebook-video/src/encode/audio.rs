//! The audio that accompanies an overlay: which part of the source file's audio belongs to the selected frames.
//!
//! Audio is located by its timestamps on the file's own clock, the same clock as the frames'. Without `-copyts`, ffmpeg
//! subtracts the start time of each input: in a transport stream whose audio starts later than its video, the audio would
//! then come too early.

use std::path::PathBuf;

use ffmpeg_sidecar::command::FfmpegCommand;

use crate::ffmpeg::file_args::input_args;
use crate::probe::Probe;
use crate::probe::range::Selection;
use crate::probe::timeline::Timeline;

/// Longest overlay with sound, in seconds: 24 hours. Gaps in the audio are filled with silence, and a crafted file may have a
/// gap of years.
const MAX_SECS: f64 = 24.0 * 3600.0;
/// How long before the needed part a seek aims: in containers without an index a seek may end up too late.
const SEEK_MARGIN_SECS: f64 = 5.0;

/// The audio that belongs to a part of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioSegment {
    /// The file with the audio.
    pub path: PathBuf,
    /// Start of the part, in seconds on the file's own clock.
    pub start_secs: f64,
    /// End of the part, in seconds on the file's own clock.
    pub end_secs: f64,
    /// Position to seek to before reading; `None` for the file's start.
    seek_secs: Option<f64>,
}

impl AudioSegment {
    /// The audio of the selected frames; `None` if the video has none, or none that is known to belong to these frames.
    ///
    /// Where the file's timestamps reset, go back or jump, as in concatenated recordings, the frames' timestamps are made
    /// continuous and those of the audio are not: the segment ends there.
    pub fn for_selection(probe: &Probe, selection: &Selection) -> Option<AudioSegment> {
        let first = selection.range.start;
        let discontinuity = probe.clock_discontinuity().filter(|&frame| frame < selection.range.end);
        if !probe.has_audio || discontinuity.is_some_and(|frame| frame <= first) {
            return None;
        }
        let start_secs = probe.container_secs(first);
        let duration_secs = duration_secs(probe, selection, discontinuity);
        if duration_secs > MAX_SECS {
            return None;
        }
        let end_secs = start_secs + duration_secs;
        let target_secs = start_secs - SEEK_MARGIN_SECS;
        let seek_secs = Some(target_secs).filter(|secs| *secs > probe.container_secs(0).max(0.0));
        Some(AudioSegment { path: probe.path.clone(), start_secs, end_secs, seek_secs })
    }

    /// A note on the part of the selected frames whose audio the overlay lacks; `None` if it lacks none.
    pub fn missing_audio_note(probe: &Probe, selection: &Selection) -> Option<String> {
        let discontinuity = probe.clock_discontinuity().filter(|&frame| frame < selection.range.end);
        if probe.has_audio && duration_secs(probe, selection, discontinuity) > MAX_SECS {
            return Some(format!(
                "the overlay has no sound, because it lasts longer than {} hours; select a shorter range for sound",
                MAX_SECS / 3600.0
            ));
        }
        let frame = discontinuity.filter(|_| probe.has_audio)?;
        Some(format!(
            "the overlay has no sound from frame {} on, where the file's timestamps are discontinuous; for all of it, \
             re-encode the parts with `ffmpeg -f concat`",
            frame.max(selection.range.start)
        ))
    }

    /// Adds the file to ffmpeg's arguments as second input, and its first audio track, trimmed and starting at zero. Gaps
    /// are filled with silence.
    pub fn add_input(&self, command: &mut FfmpegCommand) {
        let AudioSegment { start_secs, end_secs, .. } = self;
        if let Some(secs) = self.seek_secs {
            command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &format!("{secs:.6}")]);
        }
        command.args(["-vn", "-sn", "-dn"]).args(input_args(&self.path));
        let filters = format!(
            "atrim=start={start_secs:.6}:end={end_secs:.6},asetpts=PTS-({start_secs:.6}/TB),\
             aresample=async=1:first_pts=0"
        );
        command.args(["-map", "0:v:0", "-map", "1:a:0?", "-c:a", "aac", "-af", &filters]);
    }
}

/// Seconds of the selected frames up to the first discontinuity.
fn duration_secs(probe: &Probe, selection: &Selection, discontinuity: Option<usize>) -> f64 {
    match discontinuity {
        Some(frame) => probe.time_secs(frame) - probe.time_secs(selection.range.start),
        None => Timeline::from_selection(probe, selection).duration_secs(),
    }
}
