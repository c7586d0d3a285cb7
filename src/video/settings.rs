//! The video part of an experiment: the mode, the range, and PHALP's two presets.
//!
//! Must not know any video: a range becomes frame numbers in `range`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::error::Fault;

/// JPEG quality where none is given: OpenCV's default, with which PHALP writes.
pub const DEFAULT_QUALITY: u8 = 95;
/// Bound of the sequential stream's buffers where none is given.
pub const DEFAULT_QUEUE_MIB: u32 = 16;

/// How long a decoder may say nothing where no patience is given.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// A clip of a second becomes one of a day.
const MOST_LOOPS: usize = 100_000;

/// How a video is read, as written in TOML. Without `mode` and `preset`: a sequential stream of everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// PHALP's defaults, range included. Range fields beside it replace its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// First frame; -1 means the first there is, as in PHALP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_frame: Option<i64>,
    /// The frame after the last; -1 means all there are, as in PHALP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_frame: Option<i64>,
    /// Frames shown at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Seconds>,
    /// Frames shown before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Seconds>,
    /// Seconds for which ffmpeg may say nothing while a frame is waited for (and for every frame that it
    /// has to pass on its way there, a little more) before it is ended; 30 where none are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience_secs: Option<f64>,
    /// Only every N-th frame of the range, its first included; PHALP has no such thing. 1 where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<usize>,
    /// How often the file is read on end, as one long video that is stored nowhere. 1 where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loops: Option<usize>,
    /// Whether frames are read ahead in a thread of their own while those before are looked at. `false` is
    /// the reference's way (read, look, write), and what its presets mean; otherwise `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<bool>,
    /// What decodes in the place of the processor: ffmpeg's name of it (`cuda`, `vaapi`, `auto`), or `none`.
    /// Frames are then those of the hardware's decoder, which need not be the processor's to the bit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hwaccel: Option<String>,
}

/// One of the ways of `video`; see the table in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Extract(Extract),
    Stream(Stream),
}

/// All frames of the range are decoded before the first is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    pub store: Store,
    /// JPEG quality, 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
}

/// Where extracted frames are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    Jpeg,
    Png,
    Memory,
    Device,
}

/// Frames are decoded as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    pub access: Access,
    /// Bound of the sequential stream's buffers in MiB; two frames are the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_mib: Option<u32>,
}

/// How a stream gets at a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// For every frame: open, seek to the key frame before it, decode up to it.
    Seek,
    /// One decoder runs through the range, beside whoever takes the frames.
    Sequential,
    /// One decoder is kept open and runs forward, or starts anew at a key frame where that is sooner there:
    /// for frames that lie far apart.
    Indexed,
}

/// PHALP's defaults (`phalp/configs/base.py`, `VideoConfig`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `extract_video=True`: JPEG files, frames -1 to 1300, cut at the video's end.
    PhalpExtract,
    /// `extract_video=False`: a seek per frame, 0 s to 10 s by nearest timestamps, the end excluded.
    PhalpStream,
}

impl Preset {
    /// The mode that the preset stands for.
    pub fn mode(self) -> Mode {
        match self {
            Preset::PhalpExtract => {
                Mode::Extract(Extract { store: Store::Jpeg, quality: Some(DEFAULT_QUALITY) })
            }
            Preset::PhalpStream => Mode::Stream(Stream { access: Access::Seek, queue_mib: None }),
        }
    }

    /// The preset that PHALP's `video.extract_video` chooses.
    pub fn from_extract_video(extract_video: bool) -> Preset {
        if extract_video { Preset::PhalpExtract } else { Preset::PhalpStream }
    }
}

impl Mode {
    /// A short name without parameters, as tables show it: `extract-jpeg`, `stream-sequential`.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Extract(Extract { store: Store::Jpeg, .. }) => "extract-jpeg",
            Mode::Extract(Extract { store: Store::Png, .. }) => "extract-png",
            Mode::Extract(Extract { store: Store::Memory, .. }) => "extract-memory",
            Mode::Extract(Extract { store: Store::Device, .. }) => "extract-device",
            Mode::Stream(Stream { access: Access::Seek, .. }) => "stream-seek",
            Mode::Stream(Stream { access: Access::Sequential, .. }) => "stream-sequential",
            Mode::Stream(Stream { access: Access::Indexed, .. }) => "stream-indexed",
        }
    }

    /// Every mode with its default parameters, in the order of the table.
    pub fn all() -> [Mode; 7] {
        [
            Mode::extract(Store::Jpeg),
            Mode::extract(Store::Png),
            Mode::extract(Store::Memory),
            Mode::extract(Store::Device),
            Mode::stream(Access::Seek),
            Mode::stream(Access::Sequential),
            Mode::stream(Access::Indexed),
        ]
    }

    /// Extraction into `store` with defaults.
    pub fn extract(store: Store) -> Mode {
        Mode::Extract(Extract { store, quality: None })
    }

    /// A stream with defaults.
    pub fn stream(access: Access) -> Mode {
        Mode::Stream(Stream { access, queue_mib: None })
    }

    /// Whether frames come out as they were decoded (JPEG alone loses).
    pub fn is_lossless(self) -> bool {
        !matches!(self, Mode::Extract(Extract { store: Store::Jpeg, .. }))
    }

    /// Every default spelled out.
    ///
    /// # Errors
    /// If a parameter does not belong to the mode or lies outside its bounds.
    pub fn spelled_out(self) -> Result<Mode, Fault> {
        let wrong = |text: String| Err(Fault::Settings(text));
        match self {
            Mode::Extract(Extract { store: Store::Jpeg, quality }) => {
                match quality.unwrap_or(DEFAULT_QUALITY) {
                    quality @ 1..=100 => {
                        Ok(Mode::Extract(Extract { store: Store::Jpeg, quality: Some(quality) }))
                    }
                    other => wrong(format!("video.mode: a JPEG quality of {other} is not between 1 and 100")),
                }
            }
            Mode::Extract(Extract { quality: Some(_), .. }) => {
                wrong("video.mode: quality belongs to store = \"jpeg\"; leave it out".into())
            }
            Mode::Stream(Stream { access: Access::Sequential, queue_mib }) => {
                match queue_mib.unwrap_or(DEFAULT_QUEUE_MIB) {
                    0 => wrong("video.mode: queue_mib = 0 leaves no room for a frame; give 1 or more".into()),
                    mib => Ok(Mode::Stream(Stream { access: Access::Sequential, queue_mib: Some(mib) })),
                }
            }
            Mode::Stream(Stream { queue_mib: Some(_), .. }) => {
                wrong("video.mode: queue_mib belongs to access = \"sequential\"; leave it out".into())
            }
            other => Ok(other),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = Fault;

    /// Reads a mode's short name, for the command line.
    fn from_str(name: &str) -> Result<Mode, Fault> {
        Mode::all().into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            let names = Mode::all().map(Mode::name).join(", ");
            Fault::Settings(format!("video.mode: there is no mode `{name}`; choose one of {names}"))
        })
    }
}

impl Settings {
    /// The mode in force, its defaults spelled out.
    ///
    /// # Errors
    /// If the mode contradicts the preset, or a parameter does not belong to it.
    pub fn mode(&self) -> Result<Mode, Fault> {
        let given = self.mode.map(Mode::spelled_out).transpose()?;
        match (self.preset.map(Preset::mode), given) {
            (Some(preset), Some(mode)) if preset != mode => Err(Fault::Settings(format!(
                "video.preset stands for mode {preset}, but video.mode says {mode}; leave one of the two out"
            ))),
            (Some(mode), _) | (None, Some(mode)) => Ok(mode),
            (None, None) => Mode::stream(Access::Sequential).spelled_out(),
        }
    }

    /// How long a decoder may say nothing.
    ///
    /// # Errors
    /// If it is no length of time.
    pub fn patience(&self) -> Result<Duration, Fault> {
        let Some(secs) = self.patience_secs else { return Ok(DEFAULT_PATIENCE) };
        Duration::try_from_secs_f64(secs).ok().filter(|patience| !patience.is_zero()).ok_or_else(|| {
            Fault::Settings(format!("video.patience_secs = {secs}: give a number of seconds, more than 0"))
        })
    }

    /// The same settings with every default written out, as a report keeps them.
    ///
    /// # Errors
    /// As [`Settings::mode`], and if a bound of the range is given twice or makes no sense.
    pub fn spelled_out(&self) -> Result<Settings, Fault> {
        self.check_range()?;
        self.patience()?;
        self.check_counts()?;
        let mut full = Settings { mode: Some(self.mode()?), ..self.clone() };
        match self.preset {
            Some(Preset::PhalpExtract) => {
                full.start_frame = full.start_frame.or(Some(-1));
                full.end_frame = full.end_frame.or(Some(1300));
            }
            Some(Preset::PhalpStream) => {
                full.start_time = full.start_time.or(Some(Seconds(0.0)));
                full.end_time = full.end_time.or(Some(Seconds(10.0)));
            }
            None => {}
        }
        full.every = Some(full.every());
        full.loops = Some(full.loops());
        full.overlap = Some(full.overlap());
        full.hwaccel = Some(full.hwaccel().unwrap_or("none").to_string());
        Ok(full)
    }

    /// The distance of one frame to the next that is read.
    pub fn every(&self) -> usize {
        self.every.unwrap_or(1)
    }

    /// How often the file is read on end.
    pub fn loops(&self) -> usize {
        self.loops.unwrap_or(1)
    }

    /// Whether reading goes on while frames are looked at.
    pub fn overlap(&self) -> bool {
        self.overlap.unwrap_or(self.preset.is_none())
    }

    /// ffmpeg's name of what decodes in the processor's place, if anything does.
    pub fn hwaccel(&self) -> Option<&str> {
        self.hwaccel.as_deref().filter(|name| *name != "none")
    }

    fn check_counts(&self) -> Result<(), Fault> {
        let wrong = |text: String| Err(Fault::Settings(text));
        match (self.every(), self.loops()) {
            (0, _) => wrong("video.every = 0: give 1 for every frame, 2 for every second, and so on".into()),
            (_, loops) if !(1..=MOST_LOOPS).contains(&loops) => {
                wrong(format!("video.loops = {loops}: a video is read 1 to {MOST_LOOPS} times on end"))
            }
            _ => Ok(()),
        }
    }

    fn check_range(&self) -> Result<(), Fault> {
        let wrong = |text: String| Err(Fault::Settings(text));
        let frames = [("start", self.start_frame, self.start_time), ("end", self.end_frame, self.end_time)];
        for (side, frame, time) in frames {
            if frame.is_some() && time.is_some() {
                return wrong(format!("video: {side}_frame and {side}_time are both given; leave one out"));
            }
            if let Some(frame) = frame.filter(|&frame| frame < -1) {
                return wrong(format!(
                    "video.{side}_frame = {frame}: give 0 or more, or -1 for the video's own {side}"
                ));
            }
            if let Some(Seconds(secs)) = time.filter(|time| !(time.0.is_finite() && time.0 >= 0.0)) {
                return wrong(format!("video.{side}_time = {secs}: give a number of seconds, 0 or more"));
            }
        }
        match self.preset {
            Some(Preset::PhalpExtract) if self.start_time.is_some() || self.end_time.is_some() => wrong(
                "video: PHALP's extraction selects by frame number; give start_frame and end_frame, or no preset"
                    .into(),
            ),
            Some(Preset::PhalpStream) if self.start_frame.is_some() || self.end_frame.is_some() => wrong(
                "video: PHALP's stream selects by seconds; give start_time and end_time, or no preset".into(),
            ),
            _ => Ok(()),
        }
    }
}

/// Seconds, written as a number or, as PHALP writes them, with an `s` behind: `10`, `1.5`, `"10s"`.
///
/// PHALP cuts off the last character whatever it is and reads a whole number from the rest, so that
/// `"10"` means 1 s to it and `"1.5s"` is an error; here both mean what they say.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
pub struct Seconds(pub f64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seconds, String> {
        let text = text.trim();
        text.strip_suffix('s')
            .unwrap_or(text)
            .trim_end()
            .parse()
            .map(Seconds)
            .map_err(|_| format!("`{text}` is not a time; write seconds, like 10 or \"10s\""))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, like 10, 1.5 or \"10s\"")
            }
            fn visit_f64<E: de::Error>(self, secs: f64) -> Result<Seconds, E> {
                Ok(Seconds(secs))
            }
            fn visit_i64<E: de::Error>(self, secs: i64) -> Result<Seconds, E> {
                Ok(Seconds(secs as f64))
            }
            fn visit_u64<E: de::Error>(self, secs: u64) -> Result<Seconds, E> {
                Ok(Seconds(secs as f64))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Settings {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn toml_as_the_design_writes_it() {
        let jpeg = read(r#"mode = { extract = { store = "jpeg", quality = 90 } }"#);
        assert_eq!(jpeg.mode, Some(Mode::Extract(Extract { store: Store::Jpeg, quality: Some(90) })));
        let stream = read(r#"mode = { stream = { access = "sequential", queue_mib = 8 } }"#);
        assert_eq!(
            stream.mode,
            Some(Mode::Stream(Stream { access: Access::Sequential, queue_mib: Some(8) }))
        );
        assert_eq!(read(r#"preset = "phalp-stream""#).preset, Some(Preset::PhalpStream));
        let times = read("start_time = \"2s\"\nend_time = 3.5");
        let sparse = read("every = 25\nloops = 3\noverlap = false\nhwaccel = \"auto\"");
        assert_eq!((sparse.every(), sparse.loops(), sparse.overlap()), (25, 3, false));
        assert_eq!(sparse.hwaccel(), Some("auto"));
        assert!(read("").overlap() && !read("preset = \"phalp-extract\"").overlap());
        assert_eq!((times.start_time, times.end_time), (Some(Seconds(2.0)), Some(Seconds(3.5))));
        let typo = toml::from_str::<Settings>(r#"mode = { stream = { acess = "seek" } }"#).unwrap_err();
        assert!(typo.to_string().contains("acess"), "{typo}");
    }

    #[test]
    fn what_is_written_out_reads_back_the_same() {
        for mode in Mode::all() {
            let full = Settings { mode: Some(mode), ..Settings::default() }.spelled_out().unwrap();
            assert_eq!(read(&toml::to_string(&full).unwrap()), full);
            assert_eq!(mode.name().parse::<Mode>().unwrap(), mode);
        }
        for preset in [Preset::PhalpExtract, Preset::PhalpStream] {
            let full = Settings { preset: Some(preset), ..Settings::default() }.spelled_out().unwrap();
            assert_eq!(full.spelled_out().unwrap(), full);
            assert_eq!(read(&toml::to_string(&full).unwrap()), full);
        }
    }

    #[test]
    fn contradictions_are_told() {
        for (toml, hint) in [
            (
                "preset = \"phalp-stream\"\nmode = { extract = { store = \"png\" } }",
                "leave one of the two out",
            ),
            ("mode = { extract = { store = \"png\", quality = 80 } }", "belongs to store"),
            ("mode = { extract = { store = \"jpeg\", quality = 0 } }", "between 1 and 100"),
            ("mode = { stream = { access = \"sequential\", queue_mib = 0 } }", "1 or more"),
            ("mode = { stream = { access = \"seek\", queue_mib = 1 } }", "belongs to access"),
            ("mode = { stream = { access = \"indexed\", queue_mib = 1 } }", "belongs to access"),
            ("every = 0", "1 for every frame"),
            ("loops = 0", "1 to 100000 times"),
            ("start_frame = 1\nstart_time = 1", "both given"),
            ("end_frame = -2", "-1 for the video's own end"),
            ("end_time = nan", "0 or more"),
            ("patience_secs = 0", "more than 0"),
            ("patience_secs = -1.5", "more than 0"),
            ("preset = \"phalp-extract\"\nend_time = 1", "by frame number"),
        ] {
            let message = read(toml).spelled_out().unwrap_err().to_string();
            assert!(message.contains(hint), "{toml}: {message}");
        }
    }
}
