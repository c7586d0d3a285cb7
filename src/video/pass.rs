//! One pass of one ffmpeg over the file: which frames it is to give, and the words that ask for them.
//!
//! A pass that starts inside the file seeks to the key frame before. What comes out is chosen by
//! presentation time and not by counting: after a seek, frames pass only if the first frame decoded lies
//! at or before the wanted one, and only those whose times lie within the range. Where times do not tell
//! frames apart ([`Probe::is_seekable`]), a pass begins at the file's start and its frames are counted. So
//! it is for a pass over a looped file, since ffmpeg lets times go on as it sees fit.
//!
//! Must not know who takes the frames, nor how they are read.

use std::ffi::OsString;

use ffmpeg_sidecar::command::FfmpegCommand;

use super::child::ffmpeg;
use super::probe::Probe;
use super::range::Selection;

/// What the filter that guards the picture's size says when it changes.
pub(super) const OTHER_SIZE: &str = "Invalid too big or non positive size";
/// Containers that `-stream_loop` reads again from their first packet on. Others are searched by time for
/// their start, and lose frames by it (MPEG-TS): of those, every pass reads the file once.
const LOOPED_EXACTLY: [&str; 3] = ["isomp4", "matroska", "avi"];
/// Key frames before the nearest that are tried where a seek goes too far, before the file's start is.
const KEYS_TRIED: usize = 2;

/// Frames of the file that one ffmpeg gives, counted from the file's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pass {
    pub first: usize,
    /// The end excluded; beyond the file's frames where the file is read more than once.
    pub end: usize,
    pub every: usize,
}

impl Pass {
    /// The first pass for what is selected. It may end before the selection does.
    pub fn of(probe: &Probe, selection: &Selection) -> Pass {
        let (first, every) = (probe.file_frame(selection.range.start), selection.every);
        let end = first + selection.range.len();
        let file_frames = probe.file_frames();
        let exactly = probe.is_seekable() && LOOPED_EXACTLY.contains(&probe.container.as_str());
        let near_the_start = first < every && exactly;
        let end = if near_the_start { end } else { end.min(file_frames) };
        Pass { first, end, every }
    }

    /// How many frames it gives.
    pub fn frames(&self) -> usize {
        (self.end - self.first).div_ceil(self.every)
    }

    fn is_looped(&self, probe: &Probe) -> bool {
        self.end > probe.file_frames()
    }

    /// Key frames from which ffmpeg may start, the best last; 0 stands for the file's start. The best is the
    /// last that lies `margin_ticks` or more before the first frame.
    pub fn starts(&self, probe: &Probe, margin_ticks: i64) -> Vec<usize> {
        let mut starts = vec![0];
        let aim = probe.ticks(self.first.min(probe.file_frames() - 1)).saturating_sub(margin_ticks);
        let within = (0..=self.first).rev().find(|&n| probe.ticks(n) <= aim);
        let mut before = within.filter(|_| !self.is_looped(probe));
        for _ in 0..KEYS_TRIED {
            let key = before.and_then(|n| probe.key_at_or_before(n)).filter(|&key| key > 0);
            starts.extend(key);
            before = key.map(|key| key - 1);
        }
        starts[1..].reverse();
        starts
    }

    /// The command for a start at key frame `from`, with frames as `pixel_format` on its output.
    pub fn command(
        &self,
        probe: &Probe,
        from: usize,
        pixel_format: &str,
        hwaccel: Option<&str>,
    ) -> FfmpegCommand {
        let mut command = ffmpeg();
        if let Some(name) = hwaccel {
            command.args(["-hwaccel", name]);
        }
        if self.is_looped(probe) {
            let again = (self.end - 1) / probe.file_frames();
            command.args(["-stream_loop", &again.to_string()]);
        } else if from > 0 {
            command.args(["-copyts", "-noaccurate_seek", "-seek_timestamp", "1", "-ss"]);
            command.arg(seconds_up(probe.ticks(from), probe.time_base()));
        } else if self.first > 0 {
            command.arg("-copyts");
        }
        command.arg("-i").arg(file_argument(probe));
        command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf"]).arg(self.filters(probe, from));
        command.args(passthrough(&probe.ffmpeg_version));
        if !self.end.is_multiple_of(probe.file_frames()) {
            command.arg("-frames:v").arg(self.frames().to_string());
        }
        command.args(["-f", "rawvideo", "-pix_fmt", pixel_format, "pipe:1"]);
        command
    }

    /// The choice of frames, and the guard of the picture's size.
    fn filters(&self, probe: &Probe, from: usize) -> String {
        let (width, height) = (probe.width, probe.height);
        let mut filters = Vec::new();
        let counted = !probe.is_seekable() || self.is_looped(probe);
        if self.first > 0 && !counted {
            let ticks = (probe.ticks(self.first), probe.ticks(self.end - 1));
            let within = format!("between(pts,{},{})", ticks.0, ticks.1);
            filters.push(if from == 0 {
                format!("select='{within}'")
            } else {
                let early_enough = format!("st(0,if(eq(n,0),lte(pts,{}),ld(0)))", ticks.0);
                format!("select='{early_enough}*{within}'")
            });
        }
        // counted from the file's start, or after the choice by time
        let unwanted = if counted { self.first } else { 0 };
        if self.every > 1 || unwanted > 0 {
            filters.push(format!("select='gte(n,{unwanted})*not(mod(n-{unwanted},{}))'", self.every));
        }
        // a crop to the same size changes nothing; to another size it cannot be set up, and ffmpeg ends
        filters.push(format!("crop=w='if(eq(iw,{width})*eq(ih,{height}),iw,-1)':h=ih:exact=1"));
        filters.join(",")
    }
}

/// The file as ffmpeg takes it: a name with a colon in it would else be read as a protocol.
fn file_argument(probe: &Probe) -> OsString {
    let mut argument = OsString::from("file:");
    argument.push(&probe.path);
    argument
}

/// The option that keeps every frame once, at whatever time: its name changed in ffmpeg 5.1.
pub(super) fn passthrough(ffmpeg_version: &str) -> [&'static str; 2] {
    let mut numbers = ffmpeg_version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
    match version {
        (Some(major), minor) if (major, minor.unwrap_or(0)) < (5, 1) => ["-vsync", "passthrough"],
        _ => ["-fps_mode", "passthrough"],
    }
}

/// `ticks` in seconds with six digits, rounded up: ffmpeg counts microseconds, and a seek to the least
/// bit before a key frame goes to the one before it.
fn seconds_up(ticks: i64, (numerator, denominator): (i64, i64)) -> String {
    let scaled = i128::from(ticks) * i128::from(numerator) * 1_000_000;
    let micros = scaled.div_euclid(i128::from(denominator))
        + i128::from(scaled.rem_euclid(i128::from(denominator)) > 0);
    // a start before zero is reached from the file's start
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
    fn the_option_for_every_frame_follows_the_version() {
        for (version, option) in [
            ("4.4.2-0ubuntu0.22.04.1", "-vsync"),
            ("5.0.1", "-vsync"),
            ("5.1.9-0+deb12u1", "-fps_mode"),
            ("7.1", "-fps_mode"),
            ("8", "-fps_mode"),
            ("N-109468-gd39b34123d", "-fps_mode"),
        ] {
            assert_eq!(passthrough(version)[0], option, "{version}");
        }
    }

    #[test]
    fn a_looped_file_is_read_on_from_its_start_and_only_there() {
        let mut probe = Probe::of_ticks(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], (1, 10)).looped(4);
        let pass = |probe: &Probe, range, every| {
            let pass = Pass::of(probe, &Selection { range, every });
            (pass.first, pass.end, pass.frames())
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
