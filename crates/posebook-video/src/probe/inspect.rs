//! Probing: from a path to a [`Probe`] with the container, the stream's properties and the PTS of every frame.
//!
//! Container, codec and audio come from symphonia where it supports the container (MP4/MOV, Matroska/WebM), otherwise from
//! ffprobe. Size, rotation, PTS and key frames come from ffprobe, because symphonia's MP4 reader gives decode timestamps
//! only and no key frames. Where the two differ, [`Probe::notes`] says so, or the file is rejected as truncated.

use std::path::Path;
use std::time::Duration;

use super::container;
use super::image_folder;
use super::listing::{self, FrameTimes, PacketProblem};
use super::stream_info::{self, StreamInfo};
use crate::error::{MAX_PIXELS, VideoError, VideoErrorKind};
use crate::probe::{Probe, TimestampSource};
use crate::settings::DEFAULT_STALL_TIMEOUT;
use crate::sources;

/// Parts of ffprobe's messages about a truncated file.
const TRUNCATION_MESSAGES: [&str; 3] = ["partial file", "ended prematurely", "truncat"];

/// Codecs, by ffmpeg's names, of which every packet decodes to one frame.
const ONE_FRAME_PER_PACKET: [&str; 13] = [
    "h264",
    "hevc",
    "vp9",
    "av1",
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "mjpeg",
    "prores",
    "dnxhd",
    "ffv1",
    "rawvideo",
    "png",
];

/// Containers, by ffmpeg's names, whose timestamps may be discontinuous (`AVFMT_TS_DISCONT`).
const DISCONTINUOUS_CONTAINERS: [&str; 3] = ["mpegts", "mpeg", "ogg"];
/// The step of their timestamps that ffmpeg takes for a discontinuity (`-dts_delta_threshold`).
const DISCONTINUITY_SECS: i64 = 10;
/// Raw streams without a container, by ffmpeg's names: their frames have no timestamps but those that a reader makes up.
const RAW_STREAMS: [&str; 9] = ["h264", "hevc", "vvc", "m4v", "mpegvideo", "h261", "h263", "obu", "mjpeg"];
/// Positions in a file, besides its start, at which the order of its frames is sampled.
const SAMPLED_POSITIONS: usize = 3;

/// Probes the file, image or folder of images at `path`. The result holds eight bytes per frame.
///
/// # Errors
/// If the file is missing, not a video, without a video track, empty, without frames or truncated, or ffprobe is missing.
pub fn probe(path: &Path) -> Result<Probe, VideoError> {
    probe_with_timeout(path, DEFAULT_STALL_TIMEOUT)
}

/// As [`probe`], with the frame rate `fps` for a folder of images, 30 frames/s by default. It is ignored for a video file,
/// which has timestamps.
///
/// # Errors
/// As [`probe`]; if `fps` is not a valid frame rate.
pub fn probe_with_fps(path: &Path, fps: Option<f64>) -> Result<Probe, VideoError> {
    if sources::is_image_source(path) { image_folder::probe(path, fps) } else { probe(path) }
}

/// As [`probe`]; ffprobe is killed when it gives no output for `stall_timeout`.
pub fn probe_with_timeout(path: &Path, stall_timeout: Duration) -> Result<Probe, VideoError> {
    if sources::is_image_source(path) {
        return image_folder::probe(path, None);
    }
    probe_file(path, stall_timeout).map_err(|kind| VideoError::new(path, kind))
}

fn probe_file(path: &Path, stall_timeout: Duration) -> Result<Probe, VideoErrorKind> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => VideoErrorKind::FileNotFound,
        _ => VideoErrorKind::CannotOpen(error),
    })?;
    if !metadata.is_file() {
        return Err(VideoErrorKind::NotAFile);
    }
    if metadata.len() == 0 {
        return Err(VideoErrorKind::EmptyFile);
    }
    let info = stream_info::read(path, stall_timeout)?;
    let (width, height) = (info.width, info.height);
    if width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
        return Err(VideoErrorKind::TooLarge { width, height });
    }
    let mut notes: Vec<String> = info.other_tracks.iter().cloned().collect();
    let max_step = discontinuity_ticks(&info);
    let mut frames = listing::list_packets(path, max_step, stall_timeout)?;
    check_not_truncated(path, &info, &frames, &mut notes)?;
    if may_lack_pts(&info, &frames) && !is_in_display_order(path, &info, &frames, stall_timeout)? {
        frames.problem = frames.problem.max(Some(PacketProblem::PtsNotInDisplayOrder));
    }
    let mut timestamp_source = TimestampSource::Packets;
    let problem = frames.problem.map(PacketProblem::description);
    if let Some(problem) = problem.or_else(|| why_packets_may_not_be_frames(&info)) {
        let listed = frames;
        frames = listing::list_decoded_frames(path, max_step, stall_timeout)?;
        timestamp_source = TimestampSource::Decoded;
        notes.push(format!(
            "the track has {problem}; its {} frames were found by decoding (the listing has {})",
            frames.frames.len(),
            listed.frames.len()
        ));
        frames.needs_counting |= listed.problem.is_some_and(PacketProblem::rules_out_seeking);
        let is_unordered = listed.problem == Some(PacketProblem::PtsNotInDisplayOrder);
        if is_unordered && listed.frames.len() == frames.frames.len() {
            frames = frames.with_pts_of(&listed);
        }
    }
    if frames.frames.is_empty() {
        return Err(VideoErrorKind::NoFrames);
    }
    frames.needs_counting |= why_not_seekable(&info).is_some();
    notes.extend(timestamp_notes(&info, &frames));
    let container = cross_check(path, &info, &mut notes);
    Ok(Probe::from_stream(path, container, info, frames, timestamp_source, notes)
        .with_stall_timeout(stall_timeout))
}

/// Ticks of the longest step that is not a discontinuity; `None` for containers without discontinuities.
fn discontinuity_ticks(info: &StreamInfo) -> Option<i64> {
    let (numerator, denominator) = info.time_base;
    let is_discontinuous = DISCONTINUOUS_CONTAINERS.contains(&info.container.as_str());
    is_discontinuous.then(|| DISCONTINUITY_SECS.saturating_mul(denominator) / numerator)
}

/// Whether the packets' PTS may really be decode timestamps: the codec reorders frames, and the PTS rise all the same.
/// Some muxers write decode timestamps where a raw stream has no others.
fn may_lack_pts(info: &StreamInfo, frames: &FrameTimes) -> bool {
    info.reorders_frames && frames.pts_rise && frames.frames.len() > 1
}

/// Checks the display order near the start and at key frames spread over the file.
fn is_in_display_order(
    path: &Path,
    info: &StreamInfo,
    frames: &FrameTimes,
    stall_timeout: Duration,
) -> Result<bool, VideoErrorKind> {
    let (count, (numerator, denominator)) = (frames.frames.len(), info.time_base);
    let to_secs = |ticks: i64| ticks as f64 * numerator as f64 / denominator as f64;
    let key_frame_secs: Vec<f64> = (1..=SAMPLED_POSITIONS)
        .filter_map(|k| (count * k / (SAMPLED_POSITIONS + 1)..count).find(|&n| frames.frames[n].is_key()))
        .filter(|&n| n > 0)
        .map(|n| to_secs(frames.frames[n].pts()))
        .collect();
    listing::has_packets_in_display_order(path, &key_frame_secs, stall_timeout)
}

/// Why a decoder cannot start inside the file; `None` if it can.
fn why_not_seekable(info: &StreamInfo) -> Option<&'static str> {
    if info.pixel_format.as_deref() == Some("pal8") {
        Some("the palette may be sent only once")
    } else if ["gif", "apng"].contains(&info.codec.as_str()) {
        Some("each frame is drawn over those before it")
    } else if RAW_STREAMS.contains(&info.container.as_str()) {
        Some("a stream without a container has no timestamps to seek by")
    } else {
        None
    }
}

/// Notes on repaired timestamps, and on frames that must be counted.
fn timestamp_notes(info: &StreamInfo, frames: &FrameTimes) -> Vec<String> {
    let to_secs = |ticks: i64| ticks as f64 * info.time_base.0 as f64 / info.time_base.1 as f64;
    let mut notes = Vec::new();
    if let Some(first) = frames.discontinuities.first_frame {
        notes.push(format!(
            "the timestamps reset, go back or jump {} (first at frame {first}), as in concatenated recordings: they are \
             made continuous there with a step of {:.6} s",
            match frames.discontinuities.count {
                1 => "once".into(),
                count => format!("{count} times"),
            },
            to_secs(frames.discontinuities.median_step)
        ));
    }
    if frames.tick_subdivision > 1 {
        notes.push(format!(
            "the container's time base has ticks of {:.6} s, longer than its frames: frames of one tick are spread over it \
             evenly",
            to_secs(1)
        ));
    }
    if frames.needs_counting {
        let reason = why_not_seekable(info).unwrap_or("their timestamps do not identify them after a seek");
        notes.push(format!(
            "frames are counted from the file's start, since {reason}: a range takes as long as everything before it"
        ));
    }
    notes
}

/// Why a track's packets may not be frames, by its codec: VP8 has packets that show nothing, old MPEG-4 files pack two
/// frames into one packet, fields may have packets of their own.
fn why_packets_may_not_be_frames(info: &StreamInfo) -> Option<&'static str> {
    match info.codec.as_str() {
        _ if info.interlaced => Some("interlaced frames"),
        codec if ONE_FRAME_PER_PACKET.contains(&codec) => None,
        _ => Some("a codec whose packets need not be frames"),
    }
}

/// Compares the number of packets with the number that the header declares. An edit list may hide frames; symphonia, which
/// does not read edit lists, then still finds every packet.
///
/// # Errors
/// If the file is truncated.
fn check_not_truncated(
    path: &Path,
    info: &StreamInfo,
    frames: &FrameTimes,
    notes: &mut Vec<String>,
) -> Result<(), VideoErrorKind> {
    let stderr = frames.stderr.to_lowercase();
    let truncated = |found| {
        let detail = if frames.stderr.is_empty() { "the data end early" } else { &frames.stderr }.to_string();
        Err(VideoErrorKind::Truncated { declared: info.declared_frames, found, detail })
    };
    if TRUNCATION_MESSAGES.iter().any(|message| stderr.contains(message)) {
        return truncated(frames.packets);
    }
    let Some(declared) = info.declared_frames.filter(|&declared| declared != frames.packets) else {
        return Ok(());
    };
    // more than declared are not needed; one more shows that there are more
    match container::count_packets(path, declared.saturating_add(1)) {
        Some(counted) if counted < declared => truncated(counted),
        counted => {
            let counted = counted.map_or_else(String::new, |counted| format!(", symphonia counts {counted}"));
            let reason = match info.container.contains("mp4") {
                true => "an edit list hides or repeats some",
                false => "the header is wrong, or the file incomplete",
            };
            notes.push(format!(
                "the header declares {declared} frames and ffprobe lists {}{counted}: {reason}",
                frames.packets
            ));
            Ok(())
        }
    }
}

/// Compares ffprobe's properties with symphonia's and notes differences. Returns the container's name.
fn cross_check(path: &Path, info: &StreamInfo, notes: &mut Vec<String>) -> String {
    let Some(container) = container::read_file(path) else { return info.container.clone() };
    if container.codec.is_some_and(|codec| codec != info.codec) {
        notes.push(format!("symphonia reads codec {:?}, ffprobe {}", container.codec, info.codec));
    }
    if container.size.is_some_and(|size| size != (info.width, info.height)) {
        notes.push(format!(
            "symphonia reads size {:?}, ffprobe {}x{}",
            container.size, info.width, info.height
        ));
    }
    if container.has_audio != info.has_audio {
        notes.push("symphonia and ffprobe differ on whether there is audio".into());
    }
    container.name
}
