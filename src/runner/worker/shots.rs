//! Marks the frames with which a shot starts.
//!
//! In: the frames that a run reads, in order, or the whole file before the run. Out: for each frame whether a shot starts with
//! it, some frames later.

use crate::runner::RunnerError;
use posebook_core::frame::{Frame, FrameSize};
use posebook_models::recovery::RecoveryError;
use posebook_video::shots::{self, Scan, ShotDetector, ShotFrame, scan_file};
use posebook_video::{FrameSource, Probe};
use std::collections::VecDeque;

/// Source of the marks of a run.
pub enum ShotMarks {
    /// Shots are not detected.
    Off,
    /// The detector sees the frames of the run.
    Range {
        /// `None` at the end of the video.
        detector: Option<Box<ShotDetector>>,
        /// Decided frames that were not taken yet, in order.
        decided: VecDeque<ShotFrame>,
    },
    /// The whole file was scanned before.
    File {
        /// Numbers of the frames in the file with which a shot starts.
        starts: Vec<usize>,
        /// Number of the next frame, counted from the start of the *range*: PHALP compares these with the numbers in the file.
        position: usize,
        /// Number of frames of the file, which may be read several times (`video.loops`).
        file_frames: usize,
    },
}

impl ShotMarks {
    /// The marks of the frames of `source`. Scans the whole file where `settings` ask for it.
    ///
    /// # Errors
    /// If the file cannot be decoded.
    pub fn start(settings: shots::Settings, source: &FrameSource) -> Result<ShotMarks, RunnerError> {
        let probe: &Probe = source.probe();
        match (settings.detect, settings.scan) {
            (false, _) => Ok(ShotMarks::Off),
            (true, Scan::Range) => {
                let detector = ShotDetector::new(settings, FrameSize::new(probe.width, probe.height));
                Ok(ShotMarks::Range { detector: detector.map(Box::new), decided: VecDeque::new() })
            }
            (true, Scan::File) => {
                let file = probe.clone().looped(1);
                let starts = scan_file(&file, settings, None, |_| true)?;
                Ok(ShotMarks::File { starts, position: 0, file_frames: file.file_frames() })
            }
        }
    }

    /// Sees the next frame.
    ///
    /// # Errors
    /// If the frame is on a GPU and cannot be copied.
    pub fn observe(&mut self, frame: &Frame) -> Result<(), RunnerError> {
        if let ShotMarks::Range { detector: Some(detector), decided } = self {
            let pushed = detector.push_frame(frame);
            decided.extend(pushed.map_err(|error| RecoveryError::from(candle_core::Error::wrap(error)))?);
        }
        Ok(())
    }

    /// Decides the remaining frames at the end of the video.
    pub fn finish(&mut self) {
        if let ShotMarks::Range { detector, decided } = self {
            decided.extend(detector.take().into_iter().flat_map(|detector| detector.finish()));
        }
    }

    /// Whether a shot starts with the next frame that was not taken, if shots are detected. `None` while that is not decided.
    pub fn take(&mut self) -> Option<Option<bool>> {
        match self {
            ShotMarks::Off => Some(None),
            ShotMarks::Range { decided, .. } => decided.pop_front().map(|frame| Some(frame.starts_shot)),
            ShotMarks::File { starts, position, file_frames } => {
                let starts_shot = starts.binary_search(&(*position % *file_frames)).is_ok();
                *position += 1;
                Some(Some(starts_shot))
            }
        }
    }
}
