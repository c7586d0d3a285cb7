//! What is known of a video before it is decoded: its container, its track, and the time of every frame.
//!
//! Container, codec and audio come from symphonia where it reads the container (MP4/MOV, Matroska/WebM)
//! and from ffprobe otherwise; size, rotation, times and key frames come from ffprobe, since symphonia's
//! MP4 reader gives decode times only and knows no key frames. The two accounts are held against each
//! other: where they differ, [`Probe::notes`] says so, or the file is refused as cut short.
//!
//! Must not know the modes, nor how frames are decoded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::container;
use super::error::{Fault, MOST_PIXELS, VideoError};
use super::folder;
use super::listing::{self, Facts, Frames, Tags};
use super::settings::DEFAULT_PATIENCE;
use crate::sources;

/// Words by which ffprobe says that a file ends before its data do.
const CUT_SHORT: [&str; 3] = ["partial file", "ended prematurely", "truncat"];

/// Codecs, by ffmpeg's names, of which every packet gives one frame.
const ONE_FRAME_A_PACKET: [&str; 13] = [
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

/// A probed video.
#[derive(Debug, Clone)]
pub struct Probe {
    pub path: PathBuf,
    /// `isomp4` or `matroska` by symphonia; ffprobe's name for other containers.
    pub container: String,
    /// ffmpeg's name of the codec: `h264`, `hevc`, `vp9`.
    pub codec: String,
    /// Columns of a frame as it is given out, after rotation.
    pub width: usize,
    /// Rows of a frame as it is given out, after rotation.
    pub height: usize,
    /// Counter-clockwise turn that the container asks for; frames are given out turned.
    pub rotation_degrees: i32,
    /// Mean frames a second: the container's figure where the times bear it out, else by the times.
    pub fps: f64,
    /// From the first frame's start to the last frame's end.
    pub duration_secs: f64,
    pub has_audio: bool,
    /// Where the frames' times come from.
    pub listing: Listing,
    /// Where two accounts of the file differ, in words.
    pub notes: Vec<String>,
    /// ffmpeg's own version, on which decoded bytes may depend.
    pub ffmpeg_version: String,
    /// How long a decoder of this video may say nothing.
    pub(super) patience: Duration,
    /// How often the file is read on end, as one video ([`Probe::looped`]).
    pub loops: usize,
    pub(super) colours: Tags,
    /// Whether a seek in the file leads anywhere: without times of its own it begins anew wherever one starts.
    seekable: bool,
    time_base: (i64, i64),
    /// Frames of the file, read once.
    file_frames: usize,
    packed: Vec<i64>,
    /// The files of a folder of pictures, a frame each; `None` where the video is a file.
    pictures: Option<Arc<[PathBuf]>>,
}

/// What is the same for all frames of a folder of pictures.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    /// What kinds of files there are.
    pub codec: String,
    /// Columns and rows as they are seen.
    pub width: usize,
    pub height: usize,
    pub fps: f64,
    /// Seconds from frame to frame, as a fraction.
    pub time_base: (i64, i64),
}

/// How the frames' times were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// By the container's packets, without decoding: the rule.
    Packets,
    /// By decoding every frame, because packets do not tell which frames a decoder gives (no
    /// presentation times, equal ones, frames before the first key frame, fields, or a codec like VP8
    /// with packets that show nothing).
    Decoded,
}

/// Probes the file or folder of pictures at `path`. Holds eight bytes a frame and a constant beside them.
///
/// # Errors
/// If the file is missing, no video, audio only, empty, without frames or cut short, or ffprobe is missing.
pub fn probe(path: &Path) -> Result<Probe, VideoError> {
    probe_within(path, DEFAULT_PATIENCE)
}

/// As [`probe`], where ffprobe may say nothing for as long as `patience`.
pub(super) fn probe_within(path: &Path, patience: Duration) -> Result<Probe, VideoError> {
    if sources::is_pictures(path) {
        return folder::probe(path, None);
    }
    examine(path, patience).map_err(|fault| VideoError::new(path, fault))
}

fn examine(path: &Path, patience: Duration) -> Result<Probe, Fault> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Unreadable(error),
    })?;
    if !metadata.is_file() {
        return Err(Fault::NotAFile);
    }
    if metadata.len() == 0 {
        return Err(Fault::EmptyFile);
    }
    let facts = listing::facts(path, patience)?;
    let (width, height) = (facts.width, facts.height);
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(Fault::TooLarge { width, height });
    }
    let mut notes = Vec::new();
    let mut frames = listing::packets(path, patience)?;
    check_whole(path, &facts, &frames, &mut notes)?;
    let mut how = Listing::Packets;
    if let Some(doubt) = frames.doubt.or_else(|| packets_may_differ(&facts)) {
        let listed = frames.packed.len();
        frames = listing::decoded(path, patience)?;
        how = Listing::Decoded;
        notes.push(format!(
            "the track has {doubt}; its {} frames were found by decoding (the listing has {listed})",
            frames.packed.len()
        ));
    }
    if frames.packed.is_empty() {
        return Err(Fault::NoFrames);
    }
    let probe = assemble(path, facts, frames, how, notes);
    Ok(probe.with_patience(patience))
}

/// Why a track's packets may not be its frames one by one, by its codec: VP8 has packets that show
/// nothing, MPEG-4 in old files packs two frames into one, fields may come apart.
fn packets_may_differ(facts: &Facts) -> Option<&'static str> {
    match facts.codec.as_str() {
        _ if facts.colours.interlaced => Some("interlaced pictures"),
        codec if ONE_FRAME_A_PACKET.contains(&codec) => None,
        _ => Some("a codec whose packets need not be frames"),
    }
}

/// Holds the frames found against the frames promised. An edit list hides frames rightly; then
/// symphonia, which reads no edit lists, still finds every packet.
fn check_whole(path: &Path, facts: &Facts, frames: &Frames, notes: &mut Vec<String>) -> Result<(), Fault> {
    let said = frames.said.to_lowercase();
    let cut = |found| {
        let detail = if frames.said.is_empty() { "the data end early" } else { &frames.said }.to_string();
        Err(Fault::Truncated { promised: facts.promised, found, detail })
    };
    if CUT_SHORT.iter().any(|word| said.contains(word)) {
        return cut(frames.packets);
    }
    let Some(promised) = facts.promised.filter(|&promised| promised != frames.packets) else {
        return Ok(());
    };
    match container::count_packets(path) {
        Some(counted) if counted < promised => cut(counted),
        counted => {
            let counted = counted.map_or_else(String::new, |counted| format!(", symphonia counts {counted}"));
            notes.push(format!(
                "the header promises {promised} frames and ffprobe lists {}{counted}: an edit list hides or \
                 repeats some",
                frames.packets
            ));
            Ok(())
        }
    }
}

fn assemble(path: &Path, facts: Facts, frames: Frames, listing: Listing, mut notes: Vec<String>) -> Probe {
    let container = container::read(path);
    if let Some(container) = &container {
        if container.codec.is_some_and(|codec| codec != facts.codec) {
            notes.push(format!("symphonia reads codec {:?}, ffprobe {}", container.codec, facts.codec));
        }
        if container.size.is_some_and(|size| size != (facts.width, facts.height)) {
            notes.push(format!(
                "symphonia reads size {:?}, ffprobe {}x{}",
                container.size, facts.width, facts.height
            ));
        }
        if container.has_audio != facts.has_audio {
            notes.push("symphonia and ffprobe differ on whether there is audio".into());
        }
    }
    let upright = facts.rotation_degrees.rem_euclid(180) != 90;
    let (width, height) = if upright { (facts.width, facts.height) } else { (facts.height, facts.width) };
    let mut probe = Probe {
        path: path.to_path_buf(),
        container: container.map_or(facts.container, |container| container.name),
        codec: facts.codec,
        width,
        height,
        rotation_degrees: facts.rotation_degrees,
        fps: 0.0,
        duration_secs: 0.0,
        has_audio: facts.has_audio,
        listing,
        notes,
        ffmpeg_version: facts.ffmpeg_version,
        patience: DEFAULT_PATIENCE,
        loops: 1,
        colours: facts.colours,
        seekable: frames.timed,
        time_base: facts.time_base,
        file_frames: frames.packed.len(),
        packed: frames.packed,
        pictures: None,
    };
    probe.fps = probe.mean_fps(facts.fps);
    let last_secs = frames.last_duration.map_or(1.0 / probe.fps, |ticks| probe.secs(ticks));
    probe.duration_secs = probe.time_secs(probe.frames() - 1) + last_secs;
    probe
}

impl Probe {
    /// The same video, whose decoders may say nothing for as long as `patience`.
    pub(super) fn with_patience(self, patience: Duration) -> Probe {
        Probe { patience, ..self }
    }

    /// A folder of pictures, a frame each, at a constant rate; there is at least one picture.
    pub(super) fn of_pictures(
        folder: &Path,
        pictures: Vec<PathBuf>,
        constant: Constant,
        notes: Vec<String>,
    ) -> Probe {
        let Constant { codec, width, height, fps, time_base } = constant;
        Probe {
            path: folder.to_path_buf(),
            container: if folder.is_dir() { "folder" } else { "picture" }.into(),
            codec,
            width,
            height,
            rotation_degrees: 0,
            fps,
            duration_secs: pictures.len() as f64 / fps,
            has_audio: false,
            listing: Listing::Packets,
            notes,
            ffmpeg_version: String::new(),
            patience: DEFAULT_PATIENCE,
            loops: 1,
            colours: Tags::default(),
            seekable: true,
            time_base,
            file_frames: pictures.len(),
            // a decoder can start at every picture
            packed: (0..pictures.len() as i64).map(|n| n * 2 + 1).collect(),
            pictures: Some(pictures.into()),
        }
    }

    /// The files of a folder of pictures, a frame each; `None` where the video is a file.
    pub(super) fn pictures(&self) -> Option<&[PathBuf]> {
        self.pictures.as_deref()
    }

    /// Number of frames, at least one.
    pub fn frames(&self) -> usize {
        self.packed.len()
    }

    /// Presentation time of frame `n`, in seconds from the first frame.
    ///
    /// # Panics
    /// If there is no frame `n`.
    pub fn time_secs(&self, n: usize) -> f64 {
        self.secs(self.ticks(n) - self.ticks(0))
    }

    /// Presentation time of frame `n` on the container's own clock, which need not start at zero.
    ///
    /// # Panics
    /// If there is no frame `n`.
    pub fn container_secs(&self, n: usize) -> f64 {
        self.secs(self.ticks(n))
    }

    /// Whether a decoder can start at frame `n`.
    ///
    /// # Panics
    /// If there is no frame `n`.
    pub fn is_key(&self, n: usize) -> bool {
        self.packed[n] & 1 == 1
    }

    /// Bytes of one decoded frame: `width * height * 3`.
    pub fn frame_bytes(&self) -> usize {
        self.width * self.height * 3
    }

    /// Presentation time of frame `n` in ticks of [`Probe::time_base`].
    pub(super) fn ticks(&self, n: usize) -> i64 {
        self.packed[n] >> 1
    }

    /// Length of a tick in seconds, as a fraction.
    pub(super) fn time_base(&self) -> (i64, i64) {
        self.time_base
    }

    /// Frames in presentation order before `n` that show at the same time as `n`.
    pub(super) fn twins_before(&self, n: usize) -> usize {
        self.packed[..n].iter().rev().take_while(|&&packed| packed >> 1 == self.ticks(n)).count()
    }

    /// The last key frame at or before `n`, if there is one.
    pub(super) fn key_at_or_before(&self, n: usize) -> Option<usize> {
        (0..=n).rev().find(|&n| self.is_key(n)).filter(|_| self.seekable)
    }

    /// The same file, read `loops` times on end as one long video: every time after the first begins where
    /// the one before ends. Frames and times are listed as those of a file of that length would be. Of a
    /// video that is looped already, the file alone counts.
    pub fn looped(mut self, loops: usize) -> Probe {
        let loops = loops.max(1);
        if loops == self.loops {
            return self;
        }
        let once_secs = self.duration_secs / self.loops as f64;
        let (numerator, denominator) = self.time_base;
        let span = self.ticks(self.file_frames - 1) - self.ticks(0);
        let period = ((once_secs * denominator as f64 / numerator as f64).round() as i64).max(span + 1);
        self.packed.truncate(self.file_frames);
        self.packed.reserve_exact(self.file_frames * (loops - 1));
        for pass in 1..loops as i64 {
            for n in 0..self.file_frames {
                self.packed.push(self.packed[n] + 2 * pass * period);
            }
        }
        self.packed.shrink_to_fit();
        self.duration_secs = once_secs * loops as f64;
        self.loops = loops;
        self
    }

    /// Frames of the file itself, read once.
    pub fn file_frames(&self) -> usize {
        self.file_frames
    }

    /// Which frame of the file frame `n` of the video is; the same one where the file is read once.
    pub fn file_frame(&self, n: usize) -> usize {
        n % self.file_frames
    }

    fn secs(&self, ticks: i64) -> f64 {
        // the product is exact below 2^53, and so the one rounding is that of the division
        (ticks as f64 * self.time_base.0 as f64) / self.time_base.1 as f64
    }

    fn mean_fps(&self, container_fps: Option<f64>) -> f64 {
        let span_secs = self.time_secs(self.frames() - 1);
        if span_secs <= 0.0 {
            return container_fps.unwrap_or(25.0);
        }
        let by_times = (self.frames() - 1) as f64 / span_secs;
        container_fps.filter(|fps| (fps / by_times - 1.0).abs() < 0.005).unwrap_or(by_times)
    }

    /// A probe made of given times, for tests of what needs no file.
    #[cfg(test)]
    pub(super) fn of_ticks(ticks: &[i64], time_base: (i64, i64)) -> Probe {
        let frames = Frames {
            packed: ticks.iter().map(|ticks| ticks * 2).collect(),
            packets: ticks.len(),
            timed: true,
            ..Frames::default()
        };
        let facts = Facts {
            container: "none".into(),
            codec: "none".into(),
            width: 2,
            height: 2,
            rotation_degrees: 0,
            time_base,
            fps: None,
            promised: None,
            has_audio: false,
            colours: Tags::default(),
            ffmpeg_version: String::new(),
        };
        assemble(Path::new("no file"), facts, frames, Listing::Packets, Vec::new())
    }
}
