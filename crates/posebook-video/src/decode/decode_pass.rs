//! The part of a selection that one ffmpeg process decodes, and the command line for it.
//!
//! A pass that starts inside the file seeks to the preceding key frame. Frames are then selected by presentation time
//! and not by counting: ffmpeg's filter passes a frame only if its time lies in the range, and passes none if the
//! first decoded frame lies after the range's start (the seek went too far). Where times do not identify frames
//! ([`Probe::is_seekable`] is false), a pass starts at the file's start and frames are counted. A looped file is
//! counted as well, because ffmpeg does not document how times continue in the next iteration.

use ffmpeg_sidecar::command::FfmpegCommand;

use crate::ffmpeg::child;
use crate::ffmpeg::file_args::input_args;
use crate::probe::Probe;
use crate::probe::range::Selection;

/// Part of ffmpeg's error message when the frame size changes, caused by the `crop` filter of a pass.
pub const SIZE_CHANGE_MESSAGE: &str = "Invalid too big or non positive size";
/// Containers of which `-stream_loop` repeats every frame. In others (MPEG-TS) it seeks to the start by time and
/// loses frames, so each pass over them reads the file once.
const LOSSLESS_LOOP_CONTAINERS: [&str; 3] = ["isomp4", "matroska", "avi"];
/// Number of key frames tried as the start of a pass before the file's start is.
const MAX_KEYFRAME_STARTS: usize = 2;

/// Frames that one ffmpeg process decodes, as indices from the file's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodePass {
    /// The first frame.
    pub first: usize,
    /// The end, exclusive; larger than the file's number of frames if the file is read more than once.
    pub end: usize,
    /// Distance between selected frames.
    pub every: usize,
}

impl DecodePass {
    /// The first pass of a selection. It may end before the selection does.
    pub fn new(probe: &Probe, selection: &Selection) -> DecodePass {
        let (first, every) = (probe.file_frame(selection.range.start), selection.every);
        let end = first + selection.range.len();
        let file_frames = probe.file_frames();
        let can_loop = probe.is_seekable() && LOSSLESS_LOOP_CONTAINERS.contains(&probe.container.as_str());
        // with `-stream_loop` a pass cannot seek, so it has to start near the file's start
        let end = if can_loop && first < every { end } else { end.min(file_frames) };
        DecodePass { first, end, every }
    }

    /// Number of selected frames.
    pub fn frame_count(&self) -> usize {
        (self.end - self.first).div_ceil(self.every)
    }

    fn is_looped(&self, probe: &Probe) -> bool {
        self.end > probe.file_frames()
    }

    /// Key frames from which ffmpeg can start, the preferred one last; 0 is the file's start. The preferred one is
    /// the last that is at least `margin_ticks` before the first frame.
    pub fn start_keyframes(&self, probe: &Probe, margin_ticks: i64) -> Vec<usize> {
        let mut starts = vec![0];
        let target_ticks = probe.pts(self.first.min(probe.file_frames() - 1)).saturating_sub(margin_ticks);
        let target = (0..=self.first).rev().find(|&n| probe.pts(n) <= target_ticks);
        let mut limit = target.filter(|_| !self.is_looped(probe));
        for _ in 0..MAX_KEYFRAME_STARTS {
            let key = limit.and_then(|n| probe.key_at_or_before(n)).filter(|&key| key > 0);
            starts.extend(key);
            limit = key.map(|key| key - 1);
        }
        starts[1..].reverse();
        starts
    }

    /// The command line for a start at key frame `from`, with RGB24 frames on stdout.
    pub fn command(&self, probe: &Probe, from: usize, hwaccel: Option<&str>) -> FfmpegCommand {
        let mut command = child::ffmpeg_command();
        if let Some(name) = hwaccel {
            command.args(["-hwaccel", name]);
        }
        if self.is_looped(probe) {
            let repetitions = (self.end - 1) / probe.file_frames();
            command.args(["-stream_loop", &repetitions.to_string()]);
        } else if from > 0 {
            command.args(["-copyts", "-noaccurate_seek", "-seek_timestamp", "1", "-ss"]);
            command.arg(seconds_up(probe.pts(from), probe.time_base()));
        } else if self.first > 0 {
            command.arg("-copyts");
        }
        command.args(input_args(&probe.path));
        command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf"]).arg(self.filters(probe, from));
        command.args(passthrough_option(&probe.ffmpeg_version));
        if !self.end.is_multiple_of(probe.file_frames()) {
            command.arg("-frames:v").arg(self.frame_count().to_string());
        }
        command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
        command
    }

    /// The filters that select the frames and fail if the frame size changes.
    fn filters(&self, probe: &Probe, from: usize) -> String {
        let (width, height) = (probe.width, probe.height);
        let mut filters = Vec::new();
        let is_counted = !probe.is_seekable() || self.is_looped(probe);
        if self.first > 0 && !is_counted {
            let (first_ticks, last_ticks) = (probe.pts(self.first), probe.pts(self.end - 1));
            let is_in_range = format!("between(pts,{first_ticks},{last_ticks})");
            filters.push(if from == 0 {
                format!("select='{is_in_range}'")
            } else {
                // register 0: whether the first decoded frame lies at or before the wanted one
                let is_early_enough = format!("st(0,if(eq(n,0),lte(pts,{first_ticks}),ld(0)))");
                format!("select='{is_early_enough}*{is_in_range}'")
            });
        }
        // `n` counts from the file's start, or from the first frame that the previous filter passed
        let skipped = if is_counted { self.first } else { 0 };
        if self.every > 1 || skipped > 0 {
            filters.push(format!("select='gte(n,{skipped})*not(mod(n-{skipped},{}))'", self.every));
        }
        // a crop to the same size changes nothing; with another input size it fails, and ffmpeg exits
        filters.push(format!("crop=w='if(eq(iw,{width})*eq(ih,{height}),iw,-1)':h=ih:exact=1"));
        filters.join(",")
    }
}

/// The option that outputs every frame exactly once, without frame-rate conversion. Its name changed in ffmpeg 5.1.
pub fn passthrough_option(ffmpeg_version: &str) -> [&'static str; 2] {
    let mut numbers = ffmpeg_version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
    match version {
        (Some(major), minor) if (major, minor.unwrap_or(0)) < (5, 1) => ["-vsync", "passthrough"],
        _ => ["-fps_mode", "passthrough"],
    }
}

/// `ticks` in seconds with six decimals, rounded up: ffmpeg parses microseconds, and a seek to any time before a key
/// frame reaches the previous key frame.
fn seconds_up(ticks: i64, (numerator, denominator): (i64, i64)) -> String {
    let scaled = i128::from(ticks) * i128::from(numerator) * 1_000_000;
    let micros = scaled.div_euclid(i128::from(denominator))
        + i128::from(scaled.rem_euclid(i128::from(denominator)) > 0);
    // negative times are reached from the file's start
    let micros = micros.max(0);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds_up(512, (1, 15360)), "0.033334");
        assert_eq!(seconds_up(15360, (1, 15360)), "1.000000");
        assert_eq!(seconds_up(-5, (1, 10)), "0.000000");
        assert_eq!(seconds_up(90_001, (1, 90_000)), "1.000012");
    }

    #[test]
    fn the_passthrough_option_depends_on_the_version() {
        for (version, option) in [
            ("4.4.2-0ubuntu0.22.04.1", "-vsync"),
            ("5.0.1", "-vsync"),
            ("5.1.9-0+deb12u1", "-fps_mode"),
            ("7.1", "-fps_mode"),
            ("8", "-fps_mode"),
            ("N-109468-gd39b34123d", "-fps_mode"),
        ] {
            assert_eq!(passthrough_option(version)[0], option, "{version}");
        }
    }

    #[test]
    fn a_pass_reads_a_looped_file_repeatedly_only_from_its_start() {
        let mut probe = Probe::from_pts(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], (1, 10)).looped(4);
        let pass = |probe: &Probe, range, every| {
            let pass = DecodePass::new(probe, &Selection { range, every });
            (pass.first, pass.end, pass.frame_count())
        };
        probe.container = "isomp4".into();
        assert_eq!(pass(&probe, 0..40, 1), (0, 40, 40));
        assert_eq!(pass(&probe, 3..8, 1), (3, 8, 5));
        assert_eq!(pass(&probe, 13..25, 1), (3, 10, 7), "by seeking, to the file's end");
        assert_eq!(pass(&probe, 20..25, 1), (0, 5, 5));
        assert_eq!(pass(&probe, 13..40, 4), (3, 30, 7), "counting three frames costs no seek");
        probe.container = "mpegts".into();
        assert_eq!(pass(&probe, 0..40, 1), (0, 10, 10));
        assert!(pass(&probe, 13..40, 4) == (3, 10, 2));
    }
}
