//! Reads a video's list of frames from ffprobe: the PTS of each and whether it is a key frame, where possible from the
//! packets alone, without decoding.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::timestamps::{self, Discontinuities, NO_PTS, PtsAndKeyFlag};
use crate::error::{MAX_FRAMES, VideoErrorKind};
use crate::ffmpeg::child::{SpawnedChild, StderrCollector, exit_signal, ffprobe_command, spawn_ffprobe};
use crate::ffmpeg::file_args::input_args;

/// Bound of accepted timestamps in ticks, in both directions: 25,000 years at 90,000 ticks a second.
const MAX_TICKS: u64 = 1 << 56;
/// Most bytes of a line of ffprobe's output.
const MAX_LINE_BYTES: u64 = 1 << 16;
/// Largest reorder depth of a codec: the most that H.264 and HEVC allow.
const MAX_REORDER_DEPTH: usize = 16;
/// Packets decoded at each sampled position to check whether packets are in display order.
const SAMPLED_PACKETS: usize = 48;

/// Why the packets may not correspond one to one to the frames that a decoder outputs, in increasing severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketProblem {
    /// Frames precede the first key frame.
    FramesBeforeKeyFrame,
    /// Packets lack a PTS.
    MissingPts,
    /// Packets have equal PTS.
    EqualPts,
    /// Frames are displayed in another order than their PTS: the file has decode timestamps instead.
    PtsNotInDisplayOrder,
    /// Timestamps jump ahead.
    ClockJump,
    /// Timestamps start again or go back.
    ClockReset,
}

impl PacketProblem {
    /// What is wrong, as the end of a sentence that begins with "the track has".
    pub fn description(self) -> &'static str {
        match self {
            PacketProblem::FramesBeforeKeyFrame => "frames before the first key frame",
            PacketProblem::MissingPts => "packets without a presentation time",
            PacketProblem::EqualPts => "packets with equal presentation times",
            PacketProblem::PtsNotInDisplayOrder => "presentation times that are not in display order",
            PacketProblem::ClockJump => "timestamps that jump ahead",
            PacketProblem::ClockReset => "timestamps that reset or go back",
        }
    }

    /// Whether seeking by time cannot be trusted to reach the right frame.
    pub fn rules_out_seeking(self) -> bool {
        self > PacketProblem::MissingPts
    }
}

/// A video's frames in presentation order.
#[derive(Debug, Default)]
pub struct FrameTimes {
    /// Non-decreasing PTS and key flags, eight bytes per frame.
    pub frames: Vec<PtsAndKeyFlag>,
    /// Number of packets, including those that an edit list hides.
    pub packets: usize,
    /// Duration in ticks of the frame presented last, where the container gives it.
    pub last_duration: Option<i64>,
    /// Whether any frame has a PTS of its own.
    pub has_pts: bool,
    /// Whether the packets' PTS increase in decode order.
    pub pts_rise: bool,
    /// Why the packets may not be the frames that a decoder outputs; `None` if they are.
    pub problem: Option<PacketProblem>,
    /// Whether frames must be found by counting from the file's start, because their PTS are not unique or differ after a
    /// seek.
    pub needs_counting: bool,
    /// Breaks in the file's timestamps that were repaired.
    pub discontinuities: Discontinuities,
    /// Number of parts into which ticks were divided ([`timestamps::spread_equal_pts`]).
    pub tick_subdivision: i64,
    /// ffprobe's error output.
    pub stderr: String,
}

/// Lists the frames by the packets of the video track, without decoding. A step of more than `max_step` ticks from one
/// decode timestamp to the next is a clock jump.
pub fn list_packets(
    path: &Path,
    max_step: Option<i64>,
    stall_timeout: Duration,
) -> Result<FrameTimes, VideoErrorKind> {
    let mut command = ffprobe_command();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries", "packet=pts,dts,duration,flags"]);
    command.args(input_args(path));
    let mut parser = PacketParser { max_step, ..PacketParser::default() };
    let stderr = for_each_line(command, stall_timeout, |line| parser.push_line(line))?;
    Ok(parser.finish(stderr))
}

/// Collects packets from ffprobe's lines.
#[derive(Default)]
pub struct PacketParser {
    frames: FrameTimes,
    max_step: Option<i64>,
    /// The first packet's PTS, and whether it is a key frame.
    first: Option<(i64, bool)>,
    /// The latest PTS so far.
    last: Option<i64>,
    /// Whether a PTS was not above the latest one before it.
    has_decrease: bool,
    /// First and last decode timestamp, and the number of steps between them.
    decode_times: Option<(i64, i64, i64)>,
    /// The [`MAX_REORDER_DEPTH`] + 1 largest PTS so far, the smallest of them on top.
    latest: BinaryHeap<Reverse<i64>>,
}

impl PacketParser {
    /// Takes a line such as `packet,512,0,256,K_`: PTS, DTS, duration, flags. Other lines are ignored.
    pub fn push_line(&mut self, line: &str) -> Result<(), VideoErrorKind> {
        let mut fields = line.split(',');
        if fields.next() != Some("packet") {
            return Ok(());
        }
        let pts = fields.next().and_then(parse_ticks);
        if let Some(dts) = fields.next().and_then(parse_ticks) {
            self.check_decode_time(dts);
        }
        let duration = fields.next().and_then(parse_ticks);
        let flags = fields.next().unwrap_or_default();
        self.frames.packets += 1;
        self.frames.has_pts |= pts.is_some();
        let Some(pts) = pts else {
            self.note_problem(PacketProblem::MissingPts);
            return Ok(());
        };
        let (first_pts, first_is_key) = *self.first.get_or_insert((pts, flags.contains('K')));
        if flags.contains('D') {
            return Ok(());
        }
        if !first_is_key || pts < first_pts {
            self.note_problem(PacketProblem::FramesBeforeKeyFrame);
        }
        self.has_decrease |= self.last.is_some_and(|last| pts <= last);
        if self.is_displaced(pts) {
            self.note_problem(PacketProblem::ClockReset);
        }
        if self.last.is_none_or(|last| pts >= last) {
            (self.last, self.frames.last_duration) = (Some(pts), duration.filter(|&ticks| ticks > 0));
        }
        self.frames.push(pts, flags.contains('K'))
    }

    /// Notes a clock reset where the decode timestamp goes back, and a jump where it steps too far.
    fn check_decode_time(&mut self, dts: i64) {
        let Some((first, last, steps)) = self.decode_times else {
            self.decode_times = Some((dts, dts, 0));
            return;
        };
        if dts < last {
            self.note_problem(PacketProblem::ClockReset);
        }
        // a recording of one frame per minute has long steps from its start on
        let is_jump =
            |max_step| steps > 0 && dts - last > max_step && (dts - last) / 10 > (last - first) / steps;
        if self.max_step.is_some_and(is_jump) {
            self.note_problem(PacketProblem::ClockJump);
        }
        self.decode_times = Some((first, dts, steps + 1));
    }

    /// Whether more packets with a later PTS came before this one than a codec can reorder.
    fn is_displaced(&mut self, pts: i64) -> bool {
        if self.latest.len() <= MAX_REORDER_DEPTH {
            self.latest.push(Reverse(pts));
            return false;
        }
        let displaced = self.latest.peek().is_some_and(|&Reverse(earliest)| pts < earliest);
        if !displaced {
            self.latest.pop();
            self.latest.push(Reverse(pts));
        }
        displaced
    }

    fn note_problem(&mut self, problem: PacketProblem) {
        self.frames.problem = self.frames.problem.max(Some(problem));
    }

    /// The list; `stderr` is ffprobe's error output.
    pub fn finish(mut self, stderr: String) -> FrameTimes {
        self.frames.frames.sort_unstable();
        if self.frames.frames.windows(2).any(|pair| pair[0].pts() == pair[1].pts()) {
            self.note_problem(PacketProblem::EqualPts);
        }
        self.frames.pts_rise = !self.has_decrease;
        self.frames.needs_counting = self.frames.problem.is_some_and(PacketProblem::rules_out_seeking);
        self.frames.finish(stderr)
    }
}

/// Whether the frames that a decoder outputs have increasing packet timestamps. Decodes some packets at the file's start and
/// at each of the given key frames' timestamps, in seconds.
pub fn has_packets_in_display_order(
    path: &Path,
    key_frame_secs: &[f64],
    stall_timeout: Duration,
) -> Result<bool, VideoErrorKind> {
    let intervals: Vec<String> =
        key_frame_secs.iter().map(|secs| format!(",{secs:.6}%+#{SAMPLED_PACKETS}")).collect();
    let mut command = ffprobe_command();
    command.args(["-read_intervals", &format!("%+#{SAMPLED_PACKETS}{}", intervals.concat())]);
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries", "frame=key_frame,pts,pkt_pts"]);
    command.args(input_args(path));
    let (mut last, mut in_order) = (None, true);
    for_each_line(command, stall_timeout, |line| {
        let fields: Vec<&str> = line.split(',').collect();
        if let ["frame", key, pts, ..] = fields[..] {
            let pts = parse_ticks(pts);
            // intervals may overlap, and each begins at a key frame
            in_order &= key == "1" || pts.zip(last).is_none_or(|(pts, last)| pts > last);
            last = pts.or(last);
        }
        Ok(())
    })?;
    Ok(in_order)
}

/// Lists the frames by decoding all of them: slow, but correct where the packets are not reliable. A step of more than
/// `max_step` ticks is a clock jump.
pub fn list_decoded_frames(
    path: &Path,
    max_step: Option<i64>,
    stall_timeout: Duration,
) -> Result<FrameTimes, VideoErrorKind> {
    let mut command = ffprobe_command();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries"]);
    // ffmpeg 5 renamed the packet's PTS, ffmpeg 6 the duration; the duration comes last
    command
        .arg("frame=key_frame,pts,pkt_pts,best_effort_timestamp,pkt_duration,duration")
        .args(input_args(path));
    let mut parser = FrameParser { max_step, ..FrameParser::default() };
    let stderr = for_each_line(command, stall_timeout, |line| parser.push_line(line))?;
    Ok(parser.finish(stderr))
}

/// Collects decoded frames from ffprobe's lines, in the order in which a decoder outputs them. A frame without a PTS (the
/// last one in AVI with B-frames; all of a raw H.264 stream, where ffmpeg counts by the duration) follows the one before.
#[derive(Default)]
pub struct FrameParser {
    frames: FrameTimes,
    max_step: Option<i64>,
    /// The last packet PTS.
    last_packet_pts: Option<i64>,
    /// Whether a packet PTS was not above the one before it.
    has_decrease: bool,
    /// Duration of the first frame that has one, in ticks.
    duration: Option<i64>,
}

impl FrameParser {
    /// Takes a line such as `frame,1,512,512,256`: key flag, packet PTS, best-effort PTS, duration. Other lines are ignored.
    pub fn push_line(&mut self, line: &str) -> Result<(), VideoErrorKind> {
        let mut fields = line.split(',');
        if fields.next() != Some("frame") {
            return Ok(());
        }
        let is_key = fields.next() == Some("1");
        if let Some(pts) = fields.next().and_then(parse_ticks) {
            self.has_decrease |= self.last_packet_pts.is_some_and(|last| pts <= last);
            self.last_packet_pts = Some(pts);
        }
        let pts = fields.next().and_then(parse_ticks);
        let duration = fields.next().and_then(parse_ticks).filter(|&ticks| ticks > 0);
        self.frames.has_pts |= pts.is_some();
        self.duration = self.duration.or(duration);
        self.frames.push(pts.unwrap_or(NO_PTS), is_key)
    }

    /// The list; `stderr` is ffprobe's error output.
    pub fn finish(mut self, stderr: String) -> FrameTimes {
        let frames = &mut self.frames;
        frames.packets = frames.frames.len();
        if let (false, Some(duration)) = (frames.has_pts, self.duration) {
            // ffmpeg counts frames by their duration
            for (n, frame) in (0i64..).zip(&mut frames.frames) {
                *frame = frame.with_pts(n.saturating_mul(duration).min(MAX_TICKS as i64));
            }
            frames.needs_counting = true;
            return self.frames.finish(stderr);
        }
        let max_step = timestamps::max_step(&frames.frames, self.max_step);
        let in_order = !self.has_decrease && timestamps::is_increasing(&frames.frames, max_step);
        frames.needs_counting = !frames.has_pts || !in_order;
        frames.discontinuities = timestamps::make_continuous(&mut frames.frames, max_step);
        self.frames.finish(stderr)
    }
}

impl FrameTimes {
    fn push(&mut self, pts: i64, is_key: bool) -> Result<(), VideoErrorKind> {
        if self.frames.len() == MAX_FRAMES {
            return Err(VideoErrorKind::TooManyFrames);
        }
        self.frames.push(PtsAndKeyFlag::new(pts, is_key));
        Ok(())
    }

    /// The complete list, with frames of equal PTS spread over their tick.
    fn finish(mut self, stderr: String) -> FrameTimes {
        self.stderr = stderr;
        self.frames.shrink_to_fit();
        self.tick_subdivision = timestamps::spread_equal_pts(&mut self.frames, MAX_TICKS as i64);
        self.last_duration = self.last_duration.map(|ticks| ticks.saturating_mul(self.tick_subdivision));
        self
    }

    /// Takes the PTS of `other`, a list of the same frames.
    pub fn with_pts_of(mut self, other: &FrameTimes) -> FrameTimes {
        for (frame, other) in self.frames.iter_mut().zip(&other.frames) {
            *frame = frame.with_pts(other.pts());
        }
        (self.tick_subdivision, self.last_duration, self.discontinuities) =
            (other.tick_subdivision, other.last_duration, Discontinuities::default());
        self
    }
}

/// A timestamp in ticks; `None` where there is none or it is out of bounds.
fn parse_ticks(text: &str) -> Option<i64> {
    text.parse().ok().filter(|ticks: &i64| ticks.unsigned_abs() <= MAX_TICKS)
}

/// Runs `command` and calls `take` with every line of its output; returns the tail of its error output.
fn for_each_line(
    command: Command,
    stall_timeout: Duration,
    mut take: impl FnMut(&str) -> Result<(), VideoErrorKind>,
) -> Result<String, VideoErrorKind> {
    let mut child = spawn_ffprobe(&command, stall_timeout)?;
    let stderr = child.take_stderr().map(StderrCollector::spawn);
    if let Some(stdout) = child.take_stdout() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(VideoErrorKind::pipe)?
            > 0
        {
            take(String::from_utf8_lossy(&line).trim_end())?;
            line.clear();
        }
    }
    wait_for_ffprobe(child, stderr)
}

/// Waits for ffprobe to exit; returns the tail of its error output.
///
/// # Errors
/// If it was killed by a signal.
pub fn wait_for_ffprobe(
    child: SpawnedChild,
    stderr: Option<StderrCollector>,
) -> Result<String, VideoErrorKind> {
    let status = child.wait();
    let stderr_tail = stderr.map(StderrCollector::stderr_tail).unwrap_or_default();
    match exit_signal(status) {
        Some(signal) => Err(VideoErrorKind::FfprobeKilled { signal, stderr_tail }),
        None => Ok(stderr_tail),
    }
}
