//! What ffprobe says of a video: the facts of its track, and every frame's time, mostly without decoding.
//!
//! Must not know what the times are used for.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::child::{Complaints, ffprobe, start_ffprobe};
use super::error::Fault;

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
    /// Length of a tick of the timestamps in seconds, as a fraction.
    pub time_base: (i64, i64),
    /// Mean frame rate by the container, where it says one.
    pub fps: Option<f64>,
    /// Frames promised by the header, where it promises.
    pub promised: Option<usize>,
    pub has_audio: bool,
    /// Whether frames come as pairs of fields, which may travel in packets of their own.
    pub interlaced: bool,
    pub ffmpeg_version: String,
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
    time_base: Option<String>,
    nb_frames: Option<String>,
    field_order: Option<String>,
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
pub(super) fn facts(path: &Path) -> Result<Facts, Fault> {
    let mut command = ffprobe();
    command.args(["-show_program_version", "-of", "json", "-show_entries"]);
    command.arg(
        "stream=codec_type,codec_name,width,height,avg_frame_rate,time_base,nb_frames,field_order:\
         stream_disposition=attached_pic:stream_side_data=rotation:format=format_name",
    );
    let (text, said) = run(command.arg(path))?;
    let answer: Answer = serde_json::from_str(&text).map_err(|_| Fault::NotAVideo(said.clone()))?;
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
        time_base,
        fps: video.avg_frame_rate.as_deref().and_then(fraction).map(|(n, d)| n as f64 / d as f64),
        promised: video.nb_frames.as_deref().and_then(|n| n.parse().ok()),
        has_audio: audio > 0,
        interlaced: !matches!(video.field_order.as_deref(), None | Some("progressive" | "unknown")),
        ffmpeg_version: answer.program_version.version,
    })
}

/// `30000/1001`; `None` where a side is zero or missing.
fn fraction(text: &str) -> Option<(i64, i64)> {
    let (numerator, denominator) = text.split_once('/')?;
    match (numerator.parse().ok()?, denominator.parse().ok()?) {
        (n @ 1.., d @ 1..) => Some((n, d)),
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
    /// Why this list cannot be trusted to be the frames that a decoder gives, if it cannot.
    pub doubt: Option<&'static str>,
    /// ffprobe's complaints.
    pub said: String,
}

/// Lists the packets of the video track. Nothing is decoded, and nothing but the list is held.
pub(super) fn packets(path: &Path) -> Result<Frames, Fault> {
    let mut command = ffprobe();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries", "packet=pts,duration,flags"]);
    let mut frames = Frames::default();
    let mut start = None;
    let mut last = i64::MIN;
    frames.said = stream_lines(command.arg(path), |line| {
        let mut fields = line.split(',');
        if fields.next() != Some("packet") {
            return;
        }
        let ticks: Option<i64> = fields.next().and_then(|text| text.parse().ok());
        let duration: Option<i64> = fields.next().and_then(|text| text.parse().ok());
        let flags = fields.next().unwrap_or_default();
        frames.packets += 1;
        let Some(ticks) = ticks else {
            frames.doubt = Some("packets without a presentation time");
            return;
        };
        let start = *start.get_or_insert((ticks, flags.contains('K')));
        if flags.contains('D') {
            return;
        }
        if !start.1 || ticks < start.0 {
            frames.doubt = Some("frames before the first key frame");
        }
        if ticks >= last {
            (last, frames.last_duration) = (ticks, duration.filter(|&ticks| ticks > 0));
        }
        frames.packed.push(ticks * 2 + i64::from(flags.contains('K')));
    })?;
    frames.packed.sort_unstable();
    frames.packed.shrink_to_fit();
    if frames.packed.windows(2).any(|pair| pair[0] >> 1 == pair[1] >> 1) {
        frames.doubt = Some("packets with equal presentation times");
    }
    Ok(frames)
}

/// Lists the frames by decoding them all: slow, and right where packets alone do not tell. A frame without
/// a time of its own (AVI's last, with B-frames) follows the one before at its step, as ffmpeg takes it.
pub(super) fn decoded(path: &Path) -> Result<Frames, Fault> {
    let mut command = ffprobe();
    command.args(["-select_streams", "V:0", "-of", "csv", "-show_entries"]);
    command.arg("frame=key_frame,best_effort_timestamp");
    let mut frames = Frames::default();
    let (mut last, mut step) = (None, 1);
    frames.said = stream_lines(command.arg(path), |line| {
        let mut fields = line.split(',');
        if fields.next() != Some("frame") {
            return;
        }
        let key = fields.next() == Some("1");
        let told = fields.next().and_then(|text| text.parse::<i64>().ok());
        let ticks = told.or(last.map(|last: i64| last + step)).unwrap_or(0);
        step = last.map_or(1, |last| (ticks - last).max(1));
        last = Some(ticks);
        frames.packed.push(ticks * 2 + i64::from(key));
    })?;
    frames.packets = frames.packed.len();
    frames.packed.sort_unstable();
    frames.packed.shrink_to_fit();
    Ok(frames)
}

/// Runs `command` to its end: its output and its last complaints.
fn run(command: &mut Command) -> Result<(String, String), Fault> {
    let mut child = start_ffprobe(command)?;
    let complaints = child.stderr.take().map(Complaints::listen);
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text).map_err(Fault::Pipe)?;
    }
    child.wait().map_err(Fault::Pipe)?;
    Ok((text, complaints.map(Complaints::last_words).unwrap_or_default()))
}

/// Runs `command`, giving every line of its output to `take`; returns its last complaints.
fn stream_lines(command: &mut Command, mut take: impl FnMut(&str)) -> Result<String, Fault> {
    let mut child = start_ffprobe(command)?;
    let complaints = child.stderr.take().map(Complaints::listen);
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        while reader.read_line(&mut line).map_err(Fault::Pipe)? > 0 {
            take(line.trim_end());
            line.clear();
        }
    }
    child.wait().map_err(Fault::Pipe)?;
    Ok(complaints.map(Complaints::last_words).unwrap_or_default())
}
