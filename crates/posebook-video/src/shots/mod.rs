//! Shot detection: finds the frames with which a new shot of a video starts.
//!
//! In: the frames of a video in order, as RGB ([`ShotDetector::push`]), or a whole file ([`scan_file`]). Out: for every frame
//! whether a shot starts with it ([`ShotFrame`]).
//!
//! PHALP calls PySceneDetect's `AdaptiveDetector` with its defaults (`detect_shots`), and this module computes what it
//! computes, for the two versions that [`SceneDetect`] names. Each frame is shrunk to a width of about 256 pixels and
//! converted to HSV. Its *content value* is the mean absolute difference of hue, saturation and value (8 bits each) from
//! the previous frame. Its *adaptive ratio* is the content value divided by the mean content value of the two frames
//! before and the two frames after. A shot starts where the ratio is at least 3, the content value at least 15, and the
//! last start at least 15 frames ago.
//!
//! The two frames after are the reason for a delay: a frame is decided when the second frame after it arrives. The first
//! two and the last two frames never start a shot. Memory is constant: one shrunk frame and five numbers.
//!
//! PHALP's list of shots has all starts and ends of scenes without the first and the last, which are the frames listed here.
//!
//! # Which frames are scanned
//! With [`Scan::Range`], the detector sees the frames that a run reads. If a run reads every N-th frame only, the detector
//! compares the frames that it is given: differences are larger, the window has two *read* frames on each side, and 15 *read*
//! frames must lie between two starts.
//!
//! With [`Scan::File`], the whole file is decoded before the run, in a pass of its own. PHALP does so when it
//! streams a video, and then compares the frame numbers of the file with numbers counted from the start of the range.
//! So its shots are at wrong frames if the range does not start at 0. To reproduce PHALP, look up the frame's position
//! in the range in the list of [`scan_file`].
//!
//! PHALP's extraction writes the frames of the range as JPEG, encodes them as an MPEG-4 clip at 24 frames/s, and scans
//! this clip. [`Scan::Range`] corresponds to it, up to the loss of the two codecs.

mod content;
mod scan;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use posebook_core::frame::{DeviceCopyError, Frame, FrameSize, Pixels};
use serde::{Deserialize, Serialize};

use content::ContentMeter;

pub use scan::scan_file;

/// A frame starts a shot if its adaptive ratio is at least this.
const LEAST_RATIO: f64 = 3.0;
/// Upper limit of the adaptive ratio.
const LARGEST_RATIO: f64 = 255.0;
/// A frame starts a shot if its content value is at least this.
const LEAST_CONTENT: f64 = 15.0;
/// Frames between two starts of shots.
const LEAST_LENGTH: usize = 15;
/// Frames before and after a frame whose content values are averaged.
const WINDOW: usize = 2;
/// A mean content value below this counts as zero.
const ZERO_MEAN: f64 = 1e-5;

/// The `shots` table of an experiment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether shots are detected. Off by default, as in PHALP.
    pub detect: bool,
    /// Which frames are scanned.
    pub scan: Scan,
    /// The version of PySceneDetect whose rules apply.
    pub scenedetect: SceneDetect,
}

/// The frames in which shots are searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scan {
    /// The frames that are read, while they are read.
    #[default]
    Range,
    /// The whole file, in a pass of its own before the run, as PHALP does when it streams.
    File,
}

/// Versions of PySceneDetect with different rules. PHALP does not pin a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SceneDetect {
    /// 0.6.2, of the time of PHALP: frames are shrunk by the integer quotient of their width and 256, and a shot may start
    /// within the first 15 frames.
    #[default]
    #[serde(rename = "0.6.2")]
    V0_6_2,
    /// 0.7.2, which an installation gets now: frames are shrunk so that their longer side is 256 pixels, and no shot starts
    /// within the first 15 frames.
    #[serde(rename = "0.7.2")]
    V0_7_2,
}

impl SceneDetect {
    /// The size to which frames of `size` are shrunk before they are compared.
    fn compared_size(self, size: FrameSize) -> FrameSize {
        let factor = match self {
            SceneDetect::V0_6_2 => (size.width / 256).max(1) as f64,
            SceneDetect::V0_7_2 => (size.longer_side() as f64 / 256.0).max(1.0),
        };
        // Python's `round`
        let shrunk = |length: usize| ((length as f64 / factor).round_ties_even() as usize).max(1);
        FrameSize::new(shrunk(size.width), shrunk(size.height))
    }
}

/// A frame that was decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShotFrame {
    /// The index that was given to [`ShotDetector::push`].
    pub index: usize,
    /// Whether a new shot starts with this frame.
    pub starts_shot: bool,
    /// Mean absolute difference from the previous frame, 0 to 255; 0 for the first frame.
    pub content: f64,
    /// The content value relative to the mean of the two frames on each side, at most 255; `None` for the first two and the
    /// last two frames.
    pub ratio: Option<f64>,
}

/// Decides frame by frame whether a shot starts.
///
/// Every pushed frame is decided exactly once, in the order of pushing: the first two at once, the others two frames later,
/// the last two by [`ShotDetector::finish`].
#[derive(Debug)]
pub struct ShotDetector {
    version: SceneDetect,
    meter: ContentMeter,
    /// Frames pushed so far.
    pushed: usize,
    /// Index and content value of the last `2 * WINDOW + 1` frames.
    window: VecDeque<(usize, f64)>,
    /// Position of the last start among the pushed frames.
    last_start: Option<usize>,
}

impl ShotDetector {
    /// A detector for frames of `size`; `None` if the size has no pixels.
    pub fn new(settings: Settings, size: FrameSize) -> Option<ShotDetector> {
        NonZeroUsize::new(size.width * size.height)?;
        let version = settings.scenedetect;
        Some(ShotDetector {
            version,
            meter: ContentMeter::new(size, version.compared_size(size)),
            pushed: 0,
            window: VecDeque::with_capacity(2 * WINDOW + 1),
            last_start: None,
        })
    }

    /// Takes the next frame. Pixels on a GPU are copied to the host. Returns the frame that this one decides, if there is one.
    ///
    /// # Errors
    /// If the copy from the GPU fails.
    ///
    /// # Panics
    /// As [`ShotDetector::push`].
    pub fn push_frame(&mut self, frame: &Frame) -> Result<Option<ShotFrame>, DeviceCopyError> {
        Ok(match frame.pixels() {
            Pixels::Host(rgb) => self.push(rgb, frame.index),
            Pixels::Device(pixels) => self.push(&pixels.to_host()?, frame.index),
        })
    }

    /// Takes the next frame, `height * width * 3` bytes of RGB; `index` comes back with its decision. Returns the frame that
    /// this one decides, if there is one.
    ///
    /// # Panics
    /// If `rgb` does not have the size of the detector, which is a bug of the caller.
    pub fn push(&mut self, rgb: &[u8], index: usize) -> Option<ShotFrame> {
        let content = self.meter.measure(rgb);
        let position = self.pushed;
        self.pushed += 1;
        if self.window.len() == 2 * WINDOW + 1 {
            self.window.pop_front();
        }
        self.window.push_back((index, content));
        if position < WINDOW {
            return Some(ShotFrame { index, starts_shot: false, content, ratio: None });
        }
        (self.window.len() == 2 * WINDOW + 1).then(|| self.decide(position - WINDOW))
    }

    /// Decides the middle frame of the window, the `position`-th pushed frame.
    fn decide(&mut self, position: usize) -> ShotFrame {
        let (index, content) = self.window[WINDOW];
        let neighbors = self.window.iter().enumerate().filter(|(i, _)| *i != WINDOW);
        let mean = neighbors.map(|(_, (_, content))| content).sum::<f64>() / (2 * WINDOW) as f64;
        let ratio = match (mean < ZERO_MEAN, content >= LEAST_CONTENT) {
            (false, _) => (content / mean).min(LARGEST_RATIO),
            (true, true) => LARGEST_RATIO,
            (true, false) => 0.0,
        };
        let since = match (self.last_start, self.version) {
            (Some(start), _) => Some(position - start),
            (None, SceneDetect::V0_7_2) => Some(position),
            (None, SceneDetect::V0_6_2) => None,
        };
        let is_long_enough = since.is_none_or(|frames| frames >= LEAST_LENGTH);
        let starts_shot = ratio >= LEAST_RATIO && content >= LEAST_CONTENT && is_long_enough;
        if starts_shot {
            self.last_start = Some(position);
        }
        ShotFrame { index, starts_shot, content, ratio: Some(ratio) }
    }

    /// The frames that are not decided at the end of the video, in order: at most two, and no shot starts with them.
    pub fn finish(self) -> Vec<ShotFrame> {
        // the first two pushed frames are decided already
        let undecided = self.pushed.saturating_sub(WINDOW).min(WINDOW);
        let rest = self.window.iter().skip(self.window.len() - undecided);
        rest.map(|&(index, content)| ShotFrame { index, starts_shot: false, content, ratio: None }).collect()
    }
}
