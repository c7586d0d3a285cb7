//! The `video` table of an experiment: how a video is read and which of its frames.
//!
//! In: TOML. Out: [`Settings`], validated and completed with defaults. [`mode`] has the modes and PHALP's presets, [`seconds`]
//! the type of times. Settings do not refer to a particular video: a range becomes frame indices in
//! [`crate::probe::range`].

pub mod mode;
pub mod seconds;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::VideoErrorKind;
use crate::settings::mode::{Access, Mode, Preset};
use crate::settings::seconds::Seconds;

/// Default stall timeout.
pub const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// With this many loops, a clip of one second lasts a day.
const MAX_LOOPS: usize = 100_000;

/// How a video is read, as written in TOML. The default is a sequential stream of all frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The mode; a sequential stream by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// PHALP's default mode and range. Explicit range fields replace those of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Index of the first frame; -1 is the first frame of the video, as in PHALP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_frame: Option<i64>,
    /// Index of the frame after the last one; -1 is the end of the video, as in PHALP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_frame: Option<i64>,
    /// Selects frames presented at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Seconds>,
    /// Selects frames presented before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Seconds>,
    /// Stall timeout: ffmpeg is killed if it writes nothing for this many seconds while a frame is awaited. Every
    /// frame that it must decode without writing it adds 0.2 s. 30 by default.
    #[serde(rename = "patience_secs", skip_serializing_if = "Option::is_none")]
    pub stall_timeout_secs: Option<f64>,
    /// Reads only every N-th frame of the range, from the first; not part of PHALP. 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<usize>,
    /// Reads the file this many times in a row, as one long video. 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loops: Option<usize>,
    /// Whether frames are decoded in a background thread while previous ones are processed. The default is `true`,
    /// and `false` with a preset, because PHALP reads, processes and writes one frame after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<bool>,
    /// Hardware that decodes instead of the CPU: ffmpeg's name of the method (`cuda`, `vaapi`, `auto`), or `none`.
    /// Pixels of a hardware decoder may differ from those of the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hwaccel: Option<String>,
}

impl Settings {
    /// The mode in effect, with its defaults written out.
    ///
    /// # Errors
    /// If the mode contradicts the preset, or a parameter does not belong to it.
    pub fn mode(&self) -> Result<Mode, VideoErrorKind> {
        let explicit = self.mode.map(Mode::with_defaults).transpose()?;
        match (self.preset.map(Preset::mode), explicit) {
            (Some(preset), Some(mode)) if preset != mode => Err(VideoErrorKind::InvalidSettings(format!(
                "video.preset means mode {preset}, but video.mode is {mode}; leave one of the two out"
            ))),
            (Some(mode), _) | (None, Some(mode)) => Ok(mode),
            (None, None) => Mode::stream(Access::Sequential).with_defaults(),
        }
    }

    /// The stall timeout.
    ///
    /// # Errors
    /// If it is not a positive number of seconds.
    pub(super) fn stall_timeout(&self) -> Result<Duration, VideoErrorKind> {
        let Some(secs) = self.stall_timeout_secs else { return Ok(DEFAULT_STALL_TIMEOUT) };
        Duration::try_from_secs_f64(secs).ok().filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
            VideoErrorKind::InvalidSettings(format!(
                "video.patience_secs = {secs}: give a number of seconds, more than 0"
            ))
        })
    }

    /// The same settings with every default written out, as reports store them.
    ///
    /// # Errors
    /// As [`Settings::mode`], and if a bound of the range is given twice or is out of range.
    pub fn with_defaults(&self) -> Result<Settings, VideoErrorKind> {
        self.check_range()?;
        self.stall_timeout()?;
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

    /// Distance between the frames that are read, at least 1.
    pub fn every(&self) -> usize {
        self.every.unwrap_or(1)
    }

    /// How many times the file is read in a row.
    pub fn loops(&self) -> usize {
        self.loops.unwrap_or(1)
    }

    /// Whether frames are decoded in a background thread.
    pub fn overlap(&self) -> bool {
        self.overlap.unwrap_or(self.preset.is_none())
    }

    /// ffmpeg's name of the hardware acceleration method; `None` decodes on the CPU.
    pub fn hwaccel(&self) -> Option<&str> {
        self.hwaccel.as_deref().filter(|name| *name != "none")
    }

    fn check_counts(&self) -> Result<(), VideoErrorKind> {
        let invalid = |message: String| Err(VideoErrorKind::InvalidSettings(message));
        match (self.every(), self.loops()) {
            (0, _) => {
                invalid("video.every = 0: give 1 for every frame, 2 for every second, and so on".into())
            }
            (_, loops) if !(1..=MAX_LOOPS).contains(&loops) => {
                invalid(format!("video.loops = {loops}: a video is read 1 to {MAX_LOOPS} times in a row"))
            }
            _ => Ok(()),
        }
    }

    fn check_range(&self) -> Result<(), VideoErrorKind> {
        let invalid = |message: String| Err(VideoErrorKind::InvalidSettings(message));
        let frames = [("start", self.start_frame, self.start_time), ("end", self.end_frame, self.end_time)];
        for (side, frame, time) in frames {
            if frame.is_some() && time.is_some() {
                return invalid(format!("video: {side}_frame and {side}_time are both given; leave one out"));
            }
            if let Some(frame) = frame.filter(|&frame| frame < -1) {
                return invalid(format!(
                    "video.{side}_frame = {frame}: give 0 or more, or -1 for the video's own {side}"
                ));
            }
            if let Some(Seconds(secs)) = time.filter(|time| !(time.0.is_finite() && time.0 >= 0.0)) {
                return invalid(format!("video.{side}_time = {secs}: give a number of seconds, 0 or more"));
            }
        }
        match self.preset {
            Some(Preset::PhalpExtract) if self.start_time.is_some() || self.end_time.is_some() => invalid(
                "video: PHALP's extraction selects frames by index; give start_frame and end_frame, or no preset"
                    .into(),
            ),
            Some(Preset::PhalpStream) if self.start_frame.is_some() || self.end_frame.is_some() => invalid(
                "video: PHALP's stream selects frames by seconds; give start_time and end_time, or no preset".into(),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::mode::{Extract, Store, Stream};

    fn read(toml: &str) -> Settings {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn toml_tables_are_parsed() {
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
    fn settings_with_defaults_round_trip_through_toml() {
        for mode in Mode::all() {
            let full = Settings { mode: Some(mode), ..Settings::default() }.with_defaults().unwrap();
            assert_eq!(read(&toml::to_string(&full).unwrap()), full);
            assert_eq!(mode.name().parse::<Mode>().unwrap(), mode);
        }
        for preset in [Preset::PhalpExtract, Preset::PhalpStream] {
            let full = Settings { preset: Some(preset), ..Settings::default() }.with_defaults().unwrap();
            assert_eq!(full.with_defaults().unwrap(), full);
            assert_eq!(read(&toml::to_string(&full).unwrap()), full);
        }
    }

    #[test]
    fn invalid_and_contradicting_settings_are_errors() {
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
            ("preset = \"phalp-extract\"\nend_time = 1", "frames by index"),
        ] {
            let message = read(toml).with_defaults().unwrap_err().to_string();
            assert!(message.contains(hint), "{toml}: {message}");
        }
    }
}
