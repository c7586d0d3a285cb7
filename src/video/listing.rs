//! What ffprobe says of a video: the facts of its track, and every frame's time, mostly without decoding.
//!
//! Must not know what the times are used for.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::child::{Complaints, Started, ffprobe, signal_of, start_ffprobe};
use super::error::{Fault, MOST_FRAMES};

/// The facts of the first video track that is no cover picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub container: String,
    pub codec: String,
    /// As stored, before rotation.
    pub width: usize,
    pub height: usize,
    /// Counter-clockwise degrees by which the picture is turned for display, in (-180, 180].
    pub rotation_degrees: i32,
    /// Width and height of a pixel, as stored; `None` where the file does not say, or says nonsense.
    pub sample_aspect: Option<(u32, u32)>,
    /// Length of a tick of the timestamps in seconds, as a fraction.
    pub time_base: (i64, i64),
    /// Mean frame rate by the container, where it says one.
    pub fps: Option<f64>,
    /// Frames promised by the header, where it promises.
    pub promised: Option<usize>,
    pub has_audio: bool,
    /// How the samples of the pictures are meant.
    pub colours: Tags,
    pub ffmpeg_version: String,
}

/// What a track says of its pictures' samples, in ffmpeg's words; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tags {
    pub pixel_format: Option<String>,
    pub space: Option<String>,
    pub range: Option<String>,
    pub chroma_location: Option<String>,
    /// Whether frames come as pairs of fields, which may travel in packets of their own.
    pub interlaced: bool,
    /// Whether frames are decoded in another order than shown (B-frames).
    pub reorders: bool,
}

#[derive(Deserialize)]
struct Answer {
    program_version: Version,
    #[serde(default)]
    streams: Vec<Track>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Format {
    format_name: String,
}

#[derive(Deserialize)]
struct Track {
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<usize>,
    height: Option<usize>,
    avg_frame_rate: Option<String>,
    sample_aspect_ratio: Option<String>,
    time_base: Option<String>,
    nb_frames: Option<String>,
    field_order: Option<String>,
    has_b_frames: Option<u8>,
    pix_fmt: Option<String>,
    color_space: Option<String>,
    color_range: Option<String>,
    chroma_location: Option<String>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

/// Asks ffprobe for the facts.
pub(super) fn facts(path: &Path, patience: Duration) -> Result<Facts, Fault> {
    let mut command = ffprobe();
    command.args(["-show_program_version", "-of", "json", "-show_entries"]);
    command.arg(
        "stream=codec_type,codec_name,width,height,sample_aspect_ratio,avg_frame_rate,time_base,nb_frames,field_order,has_b_frames,\
         pix_fmt,color_space,color_range,chroma_location:stream_disposition=attached_pic:stream_side_data=rotation:format=format_name",
    );
    command.arg(path);
    let (answer, said) = run(command, patience)?;
    facts_of(&answer, said)
}

/// The facts in ffprobe's answer, beside which it `said` what is wrong.
pub(super) fn facts_of(answer: &[u8], said: String) -> Result<Facts, Fault> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Fault::NotAVideo(said.clone()))?;
    let Some(format) = answer.format else { return Err(Fault::NotAVideo(said)) };
    let kinds =
        |kind: &str| answer.streams.iter().filter(|track| track.codec_type.as_deref() == Some(kind)).count();
    let audio = kinds("audio");
    let video = answer
        .streams
        .iter()
        .find(|track| track.codec_type.as_deref() == Some("video") && track.disposition.attached_pic == 0);
    let Some(video) = video else {
        return Err(match (answer.streams.len(), audio) {
            (0, _) => Fault::NoFrames,
            (_, 0) => Fault::NoVideoTrack("other tracks".into()),
            _ => Fault::NoVideoTrack("audio".into()),
        });
    };
    let (Some(width @ 1..), Some(height @ 1..), Some(time_base)) =
        (video.width, video.height, video.time_base.as_deref().and_then(fraction))
    else {
        return Err(Fault::NotAVideo(format!("the video track has no size or time base; {said}")));
    };
    let rotation = video.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0.0);
    Ok(Facts {
        container: format.format_name,
        codec: video.codec_name.clone().unwrap_or_else(|| "unknown".into()),
        width,
        height,
        rotation_degrees: rotation.round() as i32,
        sample_aspect: video.sample_aspect_ratio.as_deref().and_then(aspect),
        time_base,
        fps: video.avg_frame_rate.as_deref().and_then(fraction).map(|(n, d)| n as f64 / d as f64),
        promised: video.nb_frames.as_deref().and_then(|n| n.parse().ok()),
        has_audio: audio > 0,
        colours: Tags {
            pixel_format: video.pix_fmt.clone(),
            space: video.color_space.clone(),
            range: video.color_range.clone(),
            chroma_location: video.chroma_location.clone(),
            interlaced: !matches!(video.field_order.as_deref(), None | Some("progressive" | "unknown")),
            reorders: video.has_b_frames.is_some_and(|frames| frames > 0),
        },
        ffmpeg_version: answer.program_version.version,
    })
}

/// Largest side of a fraction: ffmpeg's own have 32 bits.
const LARGEST_SIDE: i64 = 1 << 32;
/// Largest time in ticks, either way, with which one can calculate: 25,000 years at 90,000 ticks a second.
const LARGEST_TICKS: u64 = 1 << 56;
/// Most bytes of ffprobe's answer about a file, and of a line about a frame.
const ANSWER_BYTES: u64 = 1 << 22;
const LINE_BYTES: u64 = 1 << 16;

/// `30000/1001`; `None` where a side is zero, missing or beyond reason.
fn fraction(text: &str) -> Option<(i64, i64)> {
    let (numerator, denominator) = text.split_once('/')?;
    match (numerator.parse().ok()?, denominator.parse().ok()?) {
        (n @ 1..=LARGEST_SIDE, d @ 1..=LARGEST_SIDE) => Some((n, d)),
        _ => None,
    }
}

/// `40:33`; `None` for `0:1`, by which a file says that it does not know.
fn aspect(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(':')?;
    match (width.parse().ok()?, height.parse().ok()?) {
        (width @ 1.., height @ 1..) => Some((width, height)),
        _ => None,
    }
}

/// The frames in presentation order, eight bytes each.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// `ticks * 2 + key`, ascending: the presentation time in ticks, and whether a decoder can start here.
    pub packed: Vec<i64>,
    /// Packets in all, with those that an edit list hides.
    pub packets: usize,
    /// Ticks for which the frame presented last is shown, where the container says so.
    pub last_duration: Option<i64>,
    /// Whether any frame has a time of its own.
    pub timed: bool,
    /// Why this list cannot be trusted to be the frames that a decoder gives, if it cannot.
    pub doubt: Option<&'static str>,
    /// ffprobe's complaints.
    pub said: String,
}

/// Lists the packets of the video track. Nothing is decoded, and nothing but the list is held.
pub(super) fn packets(path: &Path, patience: Duration) -> Result<Frames, Fault> {
    let mut command = ffprobe();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries", "packet=pts,duration,flags"]);
    command.arg(path);
    let mut list = PacketList::default();
    let said = stream_lines(command, patience, |line| list.take(line))?;
    Ok(list.finish(said))
}

/// Packets as their lines come.
#[derive(Default)]
pub(super) struct PacketList {
    frames: Frames,
    /// The first packet's ticks, and whether it is a key frame.
    start: Option<(i64, bool)>,
    last: Option<i64>,
}

impl PacketList {
    /// A line such as `packet,512,256,K_`.
    pub fn take(&mut self, line: &str) -> Result<(), Fault> {
        let mut fields = line.split(',');
        if fields.next() != Some("packet") {
            return Ok(());
        }
        let ticks = fields.next().and_then(ticks_of);
        let duration = fields.next().and_then(ticks_of);
        let flags = fields.next().unwrap_or_default();
        let frames = &mut self.frames;
        frames.packets += 1;
        frames.timed |= ticks.is_some();
        let Some(ticks) = ticks else {
            frames.doubt = Some("packets without a presentation time");
            return Ok(());
        };
        let start = *self.start.get_or_insert((ticks, flags.contains('K')));
        if flags.contains('D') {
            return Ok(());
        }
        if !start.1 || ticks < start.0 {
            frames.doubt = Some("frames before the first key frame");
        }
        if self.last.is_none_or(|last| ticks >= last) {
            (self.last, frames.last_duration) = (Some(ticks), duration.filter(|&ticks| ticks > 0));
        }
        frames.push(ticks, flags.contains('K'))
    }

    /// The list, beside which ffprobe `said` what is wrong.
    pub fn finish(mut self, said: String) -> Frames {
        self.frames.sort(said);
        if self.frames.packed.windows(2).any(|pair| pair[0] >> 1 == pair[1] >> 1) {
            self.frames.doubt = Some("packets with equal presentation times");
        }
        self.frames
    }
}

/// Lists the frames by decoding them all: slow, and right where packets alone do not tell.
pub(super) fn decoded(path: &Path, patience: Duration) -> Result<Frames, Fault> {
    let mut command = ffprobe();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries"]);
    // the duration's name changed in ffmpeg 6; either comes last
    command.arg("frame=key_frame,best_effort_timestamp,pkt_duration,duration").arg(path);
    let mut list = FrameList::default();
    let said = stream_lines(command, patience, |line| list.take(line))?;
    Ok(list.finish(said))
}

/// Decoded frames as their lines come. One without a time of its own (AVI's last, with B-frames; all of a
/// bare H.264 stream, where ffmpeg counts by their length) follows the one before at its step.
#[derive(Default)]
pub(super) struct FrameList {
    frames: Frames,
    last: Option<i64>,
    step: Option<i64>,
    duration: Option<i64>,
}

impl FrameList {
    /// A line such as `frame,1,512,256`.
    pub fn take(&mut self, line: &str) -> Result<(), Fault> {
        let mut fields = line.split(',');
        if fields.next() != Some("frame") {
            return Ok(());
        }
        let key = fields.next() == Some("1");
        let told = fields.next().and_then(ticks_of);
        let duration = fields.next().and_then(ticks_of).filter(|&ticks| ticks > 0);
        self.frames.timed |= told.is_some();
        let ticks = told
            .or(self.last.map(|last| (last + self.step.unwrap_or(1)).min(LARGEST_TICKS as i64)))
            .unwrap_or(0);
        self.step = Some(self.last.map_or(1, |last| (ticks - last).max(1)));
        self.duration = self.duration.or(duration);
        self.last = Some(ticks);
        self.frames.push(ticks, key)
    }

    /// The list, beside which ffprobe `said` what is wrong.
    pub fn finish(mut self, said: String) -> Frames {
        self.frames.packets = self.frames.packed.len();
        if let (false, Some(duration)) = (self.frames.timed, self.duration) {
            // ffmpeg counts them by their length
            for (n, packed) in (0i64..).zip(&mut self.frames.packed) {
                *packed = n.saturating_mul(duration).min(LARGEST_TICKS as i64) * 2 + (*packed & 1);
            }
        }
        self.frames.sort(said);
        self.frames
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

    fn sort(&mut self, said: String) {
        self.said = said;
        self.packed.sort_unstable();
        self.packed.shrink_to_fit();
    }
}

/// A time in ticks; `None` where there is none, or one with which nobody can calculate.
fn ticks_of(text: &str) -> Option<i64> {
    text.parse().ok().filter(|ticks: &i64| ticks.unsigned_abs() <= LARGEST_TICKS)
}

/// Runs `command` to its end: its output and its last complaints.
fn run(command: Command, patience: Duration) -> Result<(Vec<u8>, String), Fault> {
    let mut child = start_ffprobe(&command, patience)?;
    let complaints = child.take_stderr().map(Complaints::listen);
    let mut answer = Vec::new();
    if let Some(stdout) = child.take_stdout() {
        stdout.take(ANSWER_BYTES).read_to_end(&mut answer).map_err(Fault::pipe)?;
    }
    let said = end(child, complaints)?;
    Ok((answer, said))
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
fn end(child: Started, complaints: Option<Complaints>) -> Result<String, Fault> {
    let status = child.wait();
    let said = complaints.map(Complaints::last_words).unwrap_or_default();
    match signal_of(status) {
        Some(signal) => Err(Fault::ProbeDied { signal, said }),
        None => Ok(said),
    }
}
