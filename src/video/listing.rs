//! What ffprobe says of a video's frames: the time of each, mostly without decoding.
//!
//! Must not know what the times are used for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::child::{Complaints, Started, ffprobe, signal_of, start_ffprobe};
use super::error::{Fault, MOST_FRAMES};
use super::times::{self, NO_TIME, RunOn};

/// Largest time in ticks, either way, with which one can calculate: 25,000 years at 90,000 ticks a second.
const LARGEST_TICKS: u64 = 1 << 56;
/// Most bytes of a line about a frame.
const LINE_BYTES: u64 = 1 << 16;
/// Frames that a codec may hold back to show later ones first: the most that H.264 and HEVC allow.
const MOST_REORDERED: usize = 16;
/// Packets decoded at each of a few places to see whether frames are shown in the order of their packets.
const SAMPLED_PACKETS: usize = 48;

/// Why the listed packets may not be the frames that a decoder gives, one by one. Later ones weigh more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    BeforeKey,
    NoTimes,
    EqualTimes,
    /// Frames are shown in another order than their times say: times of decoding in the place of times of presentation.
    Unordered,
    ClockJumps,
    ClockRestarts,
}

impl Doubt {
    /// What is wrong, after "the track has".
    pub fn words(self) -> &'static str {
        match self {
            Doubt::BeforeKey => "frames before the first key frame",
            Doubt::NoTimes => "packets without a presentation time",
            Doubt::EqualTimes => "packets with equal presentation times",
            Doubt::Unordered => "presentation times that are not in the order of presentation",
            Doubt::ClockJumps => "a clock that jumps ahead",
            Doubt::ClockRestarts => "a clock that starts again or goes back",
        }
    }

    /// Whether a seek by time cannot be trusted to lead to the right frame.
    pub fn forbids_seeks(self) -> bool {
        self > Doubt::NoTimes
    }
}

/// The frames in presentation order, eight bytes each.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// `ticks * 2 + key`, not descending: the presentation time in ticks, and whether a decoder can start here.
    pub packed: Vec<i64>,
    /// Packets in all, with those that an edit list hides.
    pub packets: usize,
    /// Ticks for which the frame presented last is shown, where the container says so.
    pub last_duration: Option<i64>,
    /// Whether any frame has a time of its own.
    pub timed: bool,
    /// Whether the packets' presentation times rise in the order of decoding.
    pub rising: bool,
    /// Why this list cannot be trusted to be the frames that a decoder gives, if it cannot.
    pub doubt: Option<Doubt>,
    /// Whether frames must be chosen by counting from the file's start, because their times do not tell them apart, or
    /// are not those that a decoder gives them after a seek.
    pub counted: bool,
    /// Discontinuities of the clock.
    pub run_on: RunOn,
    /// Into how many parts ticks were divided ([`times::spread`]).
    pub tick_parts: i64,
    /// ffprobe's complaints.
    pub said: String,
}

/// Lists the packets of the video track. Nothing is decoded, and nothing but the list is held. A step of more than
/// `longest_step` ticks from one decode time to the next is a jump of the clock.
pub(super) fn packets(path: &Path, longest_step: Option<i64>, patience: Duration) -> Result<Frames, Fault> {
    let mut command = ffprobe();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries", "packet=pts,dts,duration,flags"]);
    command.arg(path);
    let mut list = PacketList { longest_step, ..PacketList::default() };
    let said = stream_lines(command, patience, |line| list.take(line))?;
    Ok(list.finish(said))
}

/// Packets as their lines come.
#[derive(Default)]
pub(super) struct PacketList {
    frames: Frames,
    longest_step: Option<i64>,
    /// The first packet's ticks, and whether it is a key frame.
    start: Option<(i64, bool)>,
    last: Option<i64>,
    falls: bool,
    /// The first decode time and the last, and how many lie between.
    decode: Option<(i64, i64, i64)>,
    /// The latest presentation times so far, the earliest of them on top.
    latest: BinaryHeap<Reverse<i64>>,
}

impl PacketList {
    /// A line such as `packet,512,0,256,K_`: times of presentation and of decoding, duration, flags.
    pub fn take(&mut self, line: &str) -> Result<(), Fault> {
        let mut fields = line.split(',');
        if fields.next() != Some("packet") {
            return Ok(());
        }
        let ticks = fields.next().and_then(ticks_of);
        if let Some(decoded_at) = fields.next().and_then(ticks_of) {
            self.take_decode_time(decoded_at);
        }
        let duration = fields.next().and_then(ticks_of);
        let flags = fields.next().unwrap_or_default();
        self.frames.packets += 1;
        self.frames.timed |= ticks.is_some();
        let Some(ticks) = ticks else {
            self.doubt(Doubt::NoTimes);
            return Ok(());
        };
        let start = *self.start.get_or_insert((ticks, flags.contains('K')));
        if flags.contains('D') {
            return Ok(());
        }
        if !start.1 || ticks < start.0 {
            self.doubt(Doubt::BeforeKey);
        }
        self.falls |= self.last.is_some_and(|last| ticks <= last);
        if self.is_displaced(ticks) {
            self.doubt(Doubt::ClockRestarts);
        }
        if self.last.is_none_or(|last| ticks >= last) {
            (self.last, self.frames.last_duration) = (Some(ticks), duration.filter(|&ticks| ticks > 0));
        }
        self.frames.push(ticks, flags.contains('K'))
    }

    /// Decode times never go back; those that do are of a clock that was set anew.
    fn take_decode_time(&mut self, ticks: i64) {
        let Some((first, last, steps)) = self.decode else {
            self.decode = Some((ticks, ticks, 0));
            return;
        };
        if ticks < last {
            self.doubt(Doubt::ClockRestarts);
        }
        // a recording of one picture in a minute has long steps from its start on
        let long =
            |longest| steps > 0 && ticks - last > longest && (ticks - last) / 10 > (last - first) / steps;
        if self.longest_step.is_some_and(long) {
            self.doubt(Doubt::ClockJumps);
        }
        self.decode = Some((first, ticks, steps + 1));
    }

    /// Whether more packets with a later presentation time came before this one than a codec can hold back.
    fn is_displaced(&mut self, ticks: i64) -> bool {
        if self.latest.len() <= MOST_REORDERED {
            self.latest.push(Reverse(ticks));
            return false;
        }
        let displaced = self.latest.peek().is_some_and(|&Reverse(earliest)| ticks < earliest);
        if !displaced {
            self.latest.pop();
            self.latest.push(Reverse(ticks));
        }
        displaced
    }

    fn doubt(&mut self, doubt: Doubt) {
        self.frames.doubt = self.frames.doubt.max(Some(doubt));
    }

    /// The list, beside which ffprobe `said` what is wrong.
    pub fn finish(mut self, said: String) -> Frames {
        self.frames.packed.sort_unstable();
        if self.frames.packed.windows(2).any(|pair| pair[0] >> 1 == pair[1] >> 1) {
            self.doubt(Doubt::EqualTimes);
        }
        self.frames.rising = !self.falls;
        self.frames.counted = self.frames.doubt.is_some_and(Doubt::forbids_seeks);
        self.frames.closed(said)
    }
}

/// Whether frames are decoded with rising packet times, asked of some packets at the file's start and at each of the given
/// seconds of its clock, where key frames lie.
pub(super) fn are_shown_in_order(path: &Path, at_secs: &[f64], patience: Duration) -> Result<bool, Fault> {
    let places: Vec<String> = at_secs.iter().map(|secs| format!(",{secs:.6}%+#{SAMPLED_PACKETS}")).collect();
    let mut command = ffprobe();
    command.args(["-read_intervals", &format!("%+#{SAMPLED_PACKETS}{}", places.concat())]);
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries", "frame=key_frame,pts,pkt_pts"]);
    command.arg(path);
    let (mut last, mut in_order) = (None, true);
    stream_lines(command, patience, |line| {
        let fields: Vec<&str> = line.split(',').collect();
        if let ["frame", key, ticks, ..] = fields[..] {
            let ticks = ticks_of(ticks);
            // places may overlap, and each begins at a key frame
            in_order &= key == "1" || ticks.zip(last).is_none_or(|(ticks, last)| ticks > last);
            last = ticks.or(last);
        }
        Ok(())
    })?;
    Ok(in_order)
}

/// Lists the frames by decoding them all: slow, and right where packets alone do not tell. A step of more than
/// `longest_step` ticks is a jump of the clock.
pub(super) fn decoded(path: &Path, longest_step: Option<i64>, patience: Duration) -> Result<Frames, Fault> {
    let mut command = ffprobe();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries"]);
    // names that changed: the packet's time in ffmpeg 5, the duration in ffmpeg 6; the duration comes last
    command.arg("frame=key_frame,pts,pkt_pts,best_effort_timestamp,pkt_duration,duration").arg(path);
    let mut list = FrameList { longest_step, ..FrameList::default() };
    let said = stream_lines(command, patience, |line| list.take(line))?;
    Ok(list.finish(said))
}

/// Decoded frames as their lines come, in the order in which a decoder gives them. One without a time of its own (AVI's
/// last, with B-frames; all of a bare H.264 stream, where ffmpeg counts by their length) follows the one before.
#[derive(Default)]
pub(super) struct FrameList {
    frames: Frames,
    longest_step: Option<i64>,
    last_of_packet: Option<i64>,
    unordered: bool,
    duration: Option<i64>,
}

impl FrameList {
    /// A line such as `frame,1,512,512,256`: key frame, its packet's time, its best time, its duration.
    pub fn take(&mut self, line: &str) -> Result<(), Fault> {
        let mut fields = line.split(',');
        if fields.next() != Some("frame") {
            return Ok(());
        }
        let key = fields.next() == Some("1");
        if let Some(ticks) = fields.next().and_then(ticks_of) {
            self.unordered |= self.last_of_packet.is_some_and(|last| ticks <= last);
            self.last_of_packet = Some(ticks);
        }
        let told = fields.next().and_then(ticks_of);
        let duration = fields.next().and_then(ticks_of).filter(|&ticks| ticks > 0);
        self.frames.timed |= told.is_some();
        self.duration = self.duration.or(duration);
        self.frames.push(told.unwrap_or(NO_TIME), key)
    }

    /// The list, beside which ffprobe `said` what is wrong.
    pub fn finish(mut self, said: String) -> Frames {
        let frames = &mut self.frames;
        frames.packets = frames.packed.len();
        if let (false, Some(duration)) = (frames.timed, self.duration) {
            // ffmpeg counts them by their length
            for (n, packed) in (0i64..).zip(&mut frames.packed) {
                *packed = n.saturating_mul(duration).min(LARGEST_TICKS as i64) * 2 + (*packed & 1);
            }
            frames.counted = true;
            return self.frames.closed(said);
        }
        let longest = times::longest_between(&frames.packed, self.longest_step);
        let in_order = !self.unordered && times::are_in_order(&frames.packed, longest);
        frames.counted = !frames.timed || !in_order;
        frames.run_on = times::run_on(&mut frames.packed, longest);
        self.frames.closed(said)
    }
}

impl Frames {
    fn push(&mut self, ticks: i64, key: bool) -> Result<(), Fault> {
        if self.packed.len() == MOST_FRAMES {
            return Err(Fault::TooManyFrames);
        }
        self.packed.push(ticks * 2 + i64::from(key));
        Ok(())
    }

    /// The whole list, in order.
    fn closed(mut self, said: String) -> Frames {
        self.said = said;
        self.packed.shrink_to_fit();
        self.tick_parts = times::spread(&mut self.packed, LARGEST_TICKS as i64);
        self.last_duration = self.last_duration.map(|ticks| ticks.saturating_mul(self.tick_parts));
        self
    }

    /// Takes the times of `other`, a list of the same frames.
    pub fn with_times_of(mut self, other: &Frames) -> Frames {
        for (packed, other) in self.packed.iter_mut().zip(&other.packed) {
            *packed = (other >> 1) * 2 + (*packed & 1);
        }
        (self.tick_parts, self.last_duration, self.run_on) =
            (other.tick_parts, other.last_duration, RunOn::default());
        self
    }
}

/// A time in ticks; `None` where there is none, or one with which nobody can calculate.
fn ticks_of(text: &str) -> Option<i64> {
    text.parse().ok().filter(|ticks: &i64| ticks.unsigned_abs() <= LARGEST_TICKS)
}

/// Runs `command`, giving every line of its output to `take`; returns its last complaints.
fn stream_lines(
    command: Command,
    patience: Duration,
    mut take: impl FnMut(&str) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let mut child = start_ffprobe(&command, patience)?;
    let complaints = child.take_stderr().map(Complaints::listen);
    if let Some(stdout) = child.take_stdout() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line).map_err(Fault::pipe)? > 0 {
            take(String::from_utf8_lossy(&line).trim_end())?;
            line.clear();
        }
    }
    end(child, complaints)
}

/// Waits for ffprobe; its last complaints, or what ended it.
pub(super) fn end(child: Started, complaints: Option<Complaints>) -> Result<String, Fault> {
    let status = child.wait();
    let said = complaints.map(Complaints::last_words).unwrap_or_default();
    match signal_of(status) {
        Some(signal) => Err(Fault::ProbeDied { signal, said }),
        None => Ok(said),
    }
}
