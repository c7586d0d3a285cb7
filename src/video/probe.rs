//! What is known of a video before it is decoded: its container, its track, and the time of every frame.
//!
//! Container, codec and audio come from symphonia where it reads the container (MP4/MOV, Matroska/WebM)
//! and from ffprobe otherwise; size, rotation, times and key frames come from ffprobe, since symphonia's
//! MP4 reader gives decode times only and knows no key frames. The two accounts are held against each
//! other: where they differ, [`Probe::notes`] says so, or the file is refused as cut short.
//!
//! Must not know the modes, nor how frames are decoded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::container;
use super::error::{Fault, MOST_PIXELS, VideoError};
use super::facts::{self, Facts, Tags};
use super::folder;
use super::headers;
use super::listing::{self, Doubt, Frames};
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

/// Containers, by ffmpeg's names, whose clock may be set anew in the middle (`AVFMT_TS_DISCONT`).
const CLOCK_MAY_BREAK: [&str; 3] = ["mpegts", "mpeg", "ogg"];
/// A step of their clock that ffmpeg takes for such a break (`-dts_delta_threshold`).
const LONGEST_STEP_SECS: i64 = 10;
/// Streams without a container, by ffmpeg's names: their frames have no times but those that a reader makes up.
const BARE: [&str; 9] = ["h264", "hevc", "vvc", "m4v", "mpegvideo", "h261", "h263", "obu", "mjpeg"];
/// Places of a file at which the order of its frames is looked at, beside its start.
const PLACES: usize = 3;

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
    /// Width and height of a pixel of a frame as it is given out; (1, 1) where the file does not say.
    pub sample_aspect: (u32, u32),
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
    /// Whether the decoder is told the same all along, once that was looked at.
    constant_headers: Arc<OnceLock<bool>>,
    /// Whether frames can be chosen by their times, and sought by them. If not, they are counted from the file's start.
    seekable: bool,
    /// The first frame behind a break of the file's clock; from there on times are not the file's own.
    clock_break: Option<usize>,
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
    /// presentation times, equal ones or ones out of order, a clock that starts again, frames before the
    /// first key frame, fields, or a codec like VP8 with packets that show nothing).
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
    let facts = facts::facts(path, patience)?;
    let (width, height) = (facts.width, facts.height);
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(Fault::TooLarge { width, height });
    }
    let mut notes: Vec<String> = facts.other_tracks.iter().cloned().collect();
    let longest_step = longest_step(&facts);
    let mut frames = listing::packets(path, longest_step, patience)?;
    check_whole(path, &facts, &frames, &mut notes)?;
    if is_order_doubtful(&facts, &frames) && !is_shown_in_order(path, &facts, &frames, patience)? {
        frames.doubt = frames.doubt.max(Some(Doubt::Unordered));
    }
    let mut how = Listing::Packets;
    if let Some(doubt) = frames.doubt.map(Doubt::words).or_else(|| packets_may_differ(&facts)) {
        let listed = frames;
        frames = listing::decoded(path, longest_step, patience)?;
        how = Listing::Decoded;
        notes.push(format!(
            "the track has {doubt}; its {} frames were found by decoding (the listing has {})",
            frames.packed.len(),
            listed.packed.len()
        ));
        frames.counted |= listed.doubt.is_some_and(Doubt::forbids_seeks);
        if listed.doubt == Some(Doubt::Unordered) && listed.packed.len() == frames.packed.len() {
            frames = frames.with_times_of(&listed);
        }
    }
    if frames.packed.is_empty() {
        return Err(Fault::NoFrames);
    }
    frames.counted |= needs_earlier_packets(&facts).is_some();
    notes.extend(notes_on_times(&facts, &frames));
    let probe = assemble(path, facts, frames, how, notes);
    Ok(probe.with_patience(patience))
}

/// Ticks of the longest step that is no break of the clock, where the clock may break.
fn longest_step(facts: &Facts) -> Option<i64> {
    let (numerator, denominator) = facts.time_base;
    CLOCK_MAY_BREAK.contains(&facts.container.as_str()).then(|| LONGEST_STEP_SECS * denominator / numerator)
}

/// Whether times of presentation may be missing although every packet has one: a codec that reorders frames, whose
/// packets' times rise all the same. Some muxers write times of decoding where a bare stream has no others.
fn is_order_doubtful(facts: &Facts, frames: &Frames) -> bool {
    facts.colours.reorders && frames.rising && frames.packed.len() > 1
}

/// Looks at frames near the start and at key frames spread over the file.
fn is_shown_in_order(path: &Path, facts: &Facts, frames: &Frames, patience: Duration) -> Result<bool, Fault> {
    let (count, (numerator, denominator)) = (frames.packed.len(), facts.time_base);
    let secs = |ticks: i64| ticks as f64 * numerator as f64 / denominator as f64;
    let places: Vec<f64> = (1..=PLACES)
        .filter_map(|place| (count * place / (PLACES + 1)..count).find(|&n| frames.packed[n] & 1 == 1))
        .filter(|&n| n > 0)
        .map(|n| secs(frames.packed[n] >> 1))
        .collect();
    listing::are_shown_in_order(path, &places, patience)
}

/// What a decoder that starts inside the file lacks, if it lacks anything that came before.
fn needs_earlier_packets(facts: &Facts) -> Option<&'static str> {
    if facts.colours.pixel_format.as_deref() == Some("pal8") {
        Some("the palette may be sent but once")
    } else if ["gif", "apng"].contains(&facts.codec.as_str()) {
        Some("each picture is drawn over those before it")
    } else if BARE.contains(&facts.container.as_str()) {
        Some("a stream without a container has no times to seek by")
    } else {
        None
    }
}

/// What a reader of the times must know of them.
fn notes_on_times(facts: &Facts, frames: &Frames) -> Vec<String> {
    let secs = |ticks: i64| ticks as f64 * facts.time_base.0 as f64 / facts.time_base.1 as f64;
    let mut notes = Vec::new();
    if let Some(first) = frames.run_on.first_break {
        notes.push(format!(
            "the clock starts again, goes back or jumps {} (first at frame {first}), as in joined recordings: the times \
             run on there, each time by {:.6} s",
            match frames.run_on.breaks {
                1 => "once".into(),
                breaks => format!("{breaks} times"),
            },
            secs(frames.run_on.step)
        ));
    }
    if frames.tick_parts > 1 {
        notes.push(format!(
            "the container counts in steps of {:.6} s, longer than its frames: frames of one step are spread over it evenly",
            secs(1)
        ));
    }
    if frames.counted {
        let why = needs_earlier_packets(facts).unwrap_or("their times do not tell them apart after a seek");
        notes.push(format!(
            "frames are counted from the file's start, since {why}: a range takes as long as all that lies before it"
        ));
    }
    notes
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
    let (across, down) = facts.sample_aspect.unwrap_or((1, 1));
    let sample_aspect = if upright { (across, down) } else { (down, across) };
    // less than a hundredth is what scaling to whole pixels leaves, and nobody sees it
    if u64::from(across.abs_diff(down)) * 100 > u64::from(across.max(down)) {
        let (across, down) = sample_aspect;
        notes.push(format!(
            "pixels are not square ({across}:{down}); frames and boxes count them as they are stored, overlays \
             are shown as the video is"
        ));
    }
    let mut probe = Probe {
        path: path.to_path_buf(),
        container: container.map_or(facts.container, |container| container.name),
        codec: facts.codec,
        width,
        height,
        rotation_degrees: facts.rotation_degrees,
        sample_aspect,
        fps: 0.0,
        duration_secs: 0.0,
        has_audio: facts.has_audio,
        listing,
        notes,
        ffmpeg_version: facts.ffmpeg_version,
        patience: DEFAULT_PATIENCE,
        loops: 1,
        colours: facts.colours,
        constant_headers: Arc::default(),
        seekable: !frames.counted,
        clock_break: frames.run_on.first_break,
        time_base: (facts.time_base.0, facts.time_base.1 * frames.tick_parts.max(1)),
        file_frames: frames.packed.len(),
        packed: frames.packed,
        pictures: None,
    };
    probe.fps = probe.mean_fps(facts.fps, frames.last_duration);
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
            sample_aspect: (1, 1),
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
            constant_headers: Arc::default(),
            seekable: true,
            clock_break: None,
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

    /// Whether the headers within the track say the same of colors and layout all along. Reads the file through, once.
    pub(super) fn has_constant_headers(&self) -> bool {
        let size = match self.rotation_degrees.rem_euclid(180) {
            90 => (self.height, self.width),
            _ => (self.width, self.height),
        };
        let look = || headers::are_constant(&self.path, &self.codec, size, self.file_frames);
        *self.constant_headers.get_or_init(look)
    }

    /// Presentation time of frame `n` in ticks of [`Probe::time_base`].
    pub(super) fn ticks(&self, n: usize) -> i64 {
        self.packed[n] >> 1
    }

    /// Length of a tick in seconds, as a fraction.
    pub(super) fn time_base(&self) -> (i64, i64) {
        self.time_base
    }

    /// The first frame behind a break of the file's clock, if there is one.
    pub(super) fn clock_break(&self) -> Option<usize> {
        self.clock_break
    }

    /// Whether frames can be chosen and sought by their times; if not, by counting from the file's start.
    pub(super) fn is_seekable(&self) -> bool {
        self.seekable
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

    /// Frames a second: the container's figure where the times bear it out, with the last frame's length
    /// (which counts where frames last differently long) or without it; else by the times.
    fn mean_fps(&self, container_fps: Option<f64>, last_duration: Option<i64>) -> f64 {
        let span_secs = self.time_secs(self.frames() - 1);
        if span_secs <= 0.0 {
            return container_fps.unwrap_or(25.0);
        }
        let by_times = (self.frames() - 1) as f64 / span_secs;
        let with_last = last_duration.map(|ticks| self.frames() as f64 / (span_secs + self.secs(ticks)));
        let borne_out = |fps: &f64| {
            [Some(by_times), with_last].into_iter().flatten().any(|mean| (fps / mean - 1.0).abs() < 0.005)
        };
        container_fps.filter(borne_out).unwrap_or(by_times)
    }

    /// A probe made of given times, for tests of what needs no file.
    #[cfg(test)]
    pub(super) fn of_ticks(ticks: &[i64], time_base: (i64, i64)) -> Probe {
        let frames = Frames {
            packed: ticks.iter().map(|ticks| ticks * 2).collect(),
            packets: ticks.len(),
            timed: true,
            tick_parts: 1,
            ..Frames::default()
        };
        let facts = Facts {
            container: "none".into(),
            codec: "none".into(),
            width: 2,
            height: 2,
            rotation_degrees: 0,
            sample_aspect: None,
            time_base,
            fps: None,
            promised: None,
            has_audio: false,
            other_tracks: None,
            colours: Tags::default(),
            ffmpeg_version: String::new(),
        };
        assemble(Path::new("no file"), facts, frames, Listing::Packets, Vec::new())
    }
}
