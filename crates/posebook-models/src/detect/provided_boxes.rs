//! Detections from provided boxes, with optional simulated errors (jitter, misses, false alarms).

use super::{ScoreSource, Settings, SettingsError};
use crate::hmr2::mask::{MaskError, check_counts};
use posebook_core::person::{BBox, Detection, FrameMask, InputBox};
use posebook_core::random::{RandomStream, stream};

/// Range of a false alarm's height as a fraction of the frame's height.
const ALARM_HEIGHT: (f64, f64) = (0.15, 0.6);
/// Range of a false alarm's width as a fraction of its height.
const ALARM_WIDTH: (f64, f64) = (0.3, 0.5);

/// An invalid provided box.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DetectError {
    /// A coordinate is NaN or infinite.
    #[error(
        "frame {frame_index}: the box of identity {id} is not finite ({bbox:?}); correct or remove it in the input"
    )]
    NotFinite {
        /// Index of the frame.
        frame_index: usize,
        /// Identity of the box.
        id: u32,
        /// The box.
        bbox: BBox,
    },
    /// The right or lower side is before the left or upper one.
    #[error(
        "frame {frame_index}: the box of identity {id} has a negative size ({bbox:?}); correct or remove it in the input"
    )]
    Inverted {
        /// Index of the frame.
        frame_index: usize,
        /// Identity of the box.
        id: u32,
        /// The box.
        bbox: BBox,
    },
    /// The mask is not one of the frame.
    #[error(
        "frame {frame_index}: the mask of identity {id} cannot be used: {source}; correct it in the input, or leave it out"
    )]
    Mask {
        /// Index of the frame.
        frame_index: usize,
        /// Identity of the box.
        id: u32,
        /// What is wrong.
        source: MaskError,
    },
}

/// The detections of one frame, and what became of its provided boxes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FrameDetections {
    /// Boxes clipped to the frame: the provided ones in their order, then the false alarms.
    pub detections: Vec<Detection>,
    /// Number of provided boxes that were removed as simulated misses.
    pub missed: usize,
    /// Number of provided boxes outside of the frame.
    pub outside: usize,
    /// Number of provided boxes below the minimum size.
    pub small: usize,
    /// Number of false alarms.
    pub false_alarms: usize,
}

/// A detector that returns the boxes it is provided with, with simulated errors.
#[derive(Debug, Clone)]
pub struct ProvidedBoxes {
    settings: Settings,
    seed: u64,
}

impl ProvidedBoxes {
    /// Creates a detector; `seed` determines the simulated errors.
    ///
    /// # Errors
    /// If a setting is outside of its range.
    pub fn new(settings: Settings, seed: u64) -> Result<ProvidedBoxes, SettingsError> {
        settings.check()?;
        Ok(ProvidedBoxes { settings, seed })
    }

    /// The detections in frame `frame_index` of `width` x `height` pixels with the provided boxes `boxes`.
    ///
    /// Boxes are clipped to the frame after the jitter. A provided box has score 1, as in PHALP, unless the settings ask for
    /// those of the boxes. Boxes with scores of a detector have no identity: their ids are numbers. Jitter moves a box, but not
    /// its mask.
    ///
    /// # Errors
    /// If a provided box is not finite or has a negative size, or its mask is not one of the frame.
    pub fn detect(
        &self,
        frame_index: usize,
        width: usize,
        height: usize,
        boxes: &[InputBox],
    ) -> Result<FrameDetections, DetectError> {
        check_masks(frame_index, width, height, boxes)?;
        let mut result = FrameDetections::default();
        for provided in self.degrade(frame_index, boxes, &mut result.missed)? {
            let Some(inside) = provided.bbox.clipped_to(width, height) else {
                result.outside += 1;
                continue;
            };
            if f64::from(inside.width()) < self.settings.smallest_width
                || f64::from(inside.height()) < self.settings.smallest_height
            {
                result.small += 1;
                continue;
            }
            result.detections.push(Detection { bbox: inside, ..provided });
        }
        let alarms = self.false_alarms(frame_index, width, height);
        result.false_alarms = alarms.len();
        result.detections.extend(alarms);
        Ok(result)
    }

    /// As [`ProvidedBoxes::detect`], but provided boxes may extend beyond the frame and are of any size: what a network computes
    /// masks of.
    ///
    /// # Errors
    /// As [`ProvidedBoxes::detect`].
    pub fn detect_unclipped(
        &self,
        frame_index: usize,
        width: usize,
        height: usize,
        boxes: &[InputBox],
    ) -> Result<Vec<Detection>, DetectError> {
        check_masks(frame_index, width, height, boxes)?;
        let mut detections = self.degrade(frame_index, boxes, &mut 0)?;
        detections.extend(self.false_alarms(frame_index, width, height));
        Ok(detections)
    }

    /// The provided boxes after misses, which are counted in `missed`, and jitter.
    fn degrade(
        &self,
        frame_index: usize,
        boxes: &[InputBox],
        missed: &mut usize,
    ) -> Result<Vec<Detection>, DetectError> {
        let has_scores = self.settings.scores != ScoreSource::One;
        let mut detections = Vec::with_capacity(boxes.len());
        for &InputBox { id, bbox, score, ref mask } in boxes {
            check(frame_index, id, &bbox)?;
            if self.is_missed(frame_index, id) {
                *missed += 1;
                continue;
            }
            detections.push(Detection {
                bbox: self.jitter(frame_index, id, bbox),
                score: score.filter(|_| has_scores).unwrap_or(1.0),
                input_id: (!has_scores).then_some(id),
                mask: mask.clone(),
            });
        }
        Ok(detections)
    }

    fn is_missed(&self, frame_index: usize, id: u32) -> bool {
        let block = frame_index as u64 / self.settings.miss_frames;
        stream(self.seed, "detect: miss", &[block, u64::from(id)]).bernoulli(self.settings.misses)
    }

    fn jitter(&self, frame_index: usize, id: u32, bbox: BBox) -> BBox {
        if self.settings.jitter == 0.0 {
            return bbox;
        }
        let mut draw = stream(self.seed, "detect: jitter", &[frame_index as u64, u64::from(id)]);
        let mut normal = || self.settings.jitter * draw.normal();
        let (width, height) = (f64::from(bbox.width()), f64::from(bbox.height()));
        let [x, y] = bbox.center().map(f64::from);
        let (x, y) = (x + width * normal(), y + height * normal());
        let half_width = width * libm::exp(normal()) / 2.0;
        let half_height = height * libm::exp(normal()) / 2.0;
        BBox {
            x1: (x - half_width) as f32,
            y1: (y - half_height) as f32,
            x2: (x + half_width) as f32,
            y2: (y + half_height) as f32,
        }
    }

    fn false_alarms(&self, frame_index: usize, width: usize, height: usize) -> Vec<Detection> {
        let mut draw = stream(self.seed, "detect: false alarm", &[frame_index as u64]);
        let (width, height) = (width as f64, height as f64);
        let boxes = (0..poisson(&mut draw, self.settings.false_alarms)).filter_map(|_| {
            let alarm_height = height * draw.range(ALARM_HEIGHT.0, ALARM_HEIGHT.1);
            let alarm_width = alarm_height * draw.range(ALARM_WIDTH.0, ALARM_WIDTH.1);
            let (x, y) = (draw.range(0.0, width), draw.range(0.0, height));
            let bbox = BBox {
                x1: (x - alarm_width / 2.0) as f32,
                y1: (y - alarm_height / 2.0) as f32,
                x2: (x + alarm_width / 2.0) as f32,
                y2: (y + alarm_height / 2.0) as f32,
            };
            bbox.clipped_to(width as usize, height as usize)
        });
        boxes.map(|bbox| Detection { bbox, score: 1.0, input_id: None, mask: None }).collect()
    }
}

fn check(frame_index: usize, id: u32, bbox: &BBox) -> Result<(), DetectError> {
    let bbox = *bbox;
    if ![bbox.x1, bbox.y1, bbox.x2, bbox.y2].into_iter().all(f32::is_finite) {
        return Err(DetectError::NotFinite { frame_index, id, bbox });
    }
    if bbox.x2 < bbox.x1 || bbox.y2 < bbox.y1 {
        return Err(DetectError::Inverted { frame_index, id, bbox });
    }
    Ok(())
}

/// Checks that the boxes' masks are of a frame of `width` by `height` pixels.
fn check_masks(
    frame_index: usize,
    width: usize,
    height: usize,
    boxes: &[InputBox],
) -> Result<(), DetectError> {
    for InputBox { id, mask, .. } in boxes {
        let Some(FrameMask { width: mask_width, height: mask_height, counts }) = mask else { continue };
        let checked = match (*mask_width, *mask_height) == (width, height) {
            true => check_counts(counts, width, height),
            false => Err(MaskError::Size { width, height }),
        };
        checked.map_err(|source| DetectError::Mask { frame_index, id: *id, source })?;
    }
    Ok(())
}

/// A count with mean `mean` (Knuth's product of uniforms; fine for the small means of false alarms).
fn poisson(draw: &mut RandomStream, mean: f64) -> usize {
    let threshold = libm::exp(-mean);
    let (mut count, mut product) = (0, draw.uniform());
    while product > threshold {
        count += 1;
        product *= draw.uniform();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hmr2::mask::rle_counts;
    use proptest::prelude::*;

    fn bbox(x1: f32, y1: f32, x2: f32, y2: f32) -> BBox {
        BBox { x1, y1, x2, y2 }
    }

    fn input_box(id: u32, bbox: BBox) -> InputBox {
        InputBox { id, bbox, score: None, mask: None }
    }

    fn detector(settings: Settings) -> ProvidedBoxes {
        ProvidedBoxes::new(settings, 7).unwrap()
    }

    #[test]
    fn without_errors_the_provided_boxes_are_detected() {
        let boxes = [
            // the score of PHALP's provided boxes is 1, whatever the file says
            InputBox { score: Some(0.25), ..input_box(3, bbox(10.0, 20.0, 50.0, 120.0)) },
            input_box(4, bbox(-20.0, 0.0, 20.0, 90.0)),
            input_box(5, bbox(400.0, 0.0, 420.0, 50.0)),
        ];
        let detected = detector(Settings::default()).detect(0, 320, 240, &boxes).unwrap();
        assert_eq!(detected.detections.len(), 2);
        assert_eq!(
            detected.detections[0],
            Detection { bbox: boxes[0].bbox, score: 1.0, input_id: Some(3), mask: None }
        );
        assert_eq!(detected.detections[1].bbox, bbox(0.0, 0.0, 20.0, 90.0));
        assert_eq!((detected.outside, detected.missed, detected.false_alarms), (1, 0, 0));
    }

    #[test]
    fn a_detectors_boxes_keep_scores_and_masks() {
        let counts = rle_counts(&[vec![0; 320 * 100], vec![1; 320 * 140]].concat(), 320, 240);
        let mask = FrameMask { width: 320, height: 240, counts };
        let boxes = [
            InputBox {
                score: Some(0.25),
                mask: Some(mask.clone()),
                ..input_box(3, bbox(-5.0, 20.0, 50.0, 120.0))
            },
            input_box(4, bbox(400.0, 0.0, 420.0, 90.0)),
        ];
        let given = detector(Settings::default()).detect(0, 320, 240, &boxes).unwrap().detections;
        assert_eq!((given[0].score, given[0].input_id, given[0].mask.as_ref()), (1.0, Some(3), Some(&mask)));
        let of_file = detector(Settings { scores: ScoreSource::File, ..Settings::default() });
        let found = of_file.detect(0, 320, 240, &boxes).unwrap().detections;
        let expected =
            Detection { bbox: bbox(0.0, 20.0, 50.0, 120.0), score: 0.25, input_id: None, mask: Some(mask) };
        assert_eq!(found, std::slice::from_ref(&expected));
        let unclipped = of_file.detect_unclipped(0, 320, 240, &boxes).unwrap();
        assert_eq!(unclipped[0], Detection { bbox: boxes[0].bbox, ..expected });
        assert_eq!((unclipped.len(), unclipped[1].bbox, unclipped[1].score), (2, boxes[1].bbox, 1.0));
    }

    #[test]
    fn error_rates_match_the_settings() {
        let settings = Settings { misses: 0.25, false_alarms: 0.5, jitter: 0.05, ..Settings::default() };
        let detector = detector(settings);
        let boxes = [input_box(1, bbox(100.0, 50.0, 140.0, 150.0))];
        let (mut missed, mut alarms, mut variance) = (0, 0, 0.0);
        for frame in 0..4000 {
            let detected = detector.detect(frame, 320, 240, &boxes).unwrap();
            missed += detected.missed;
            alarms += detected.false_alarms;
            variance += detected
                .detections
                .first()
                .filter(|of| of.input_id.is_some())
                .map_or(0.0, |of| f64::from((of.bbox.center()[0] - 120.0) / 40.0).powi(2) / 3000.0);
        }
        assert!((900..1100).contains(&missed), "{missed}");
        assert!((1850..2150).contains(&alarms), "{alarms}");
        assert!((variance.sqrt() - 0.05).abs() < 0.005, "{variance}");
    }

    #[test]
    fn misses_last_for_the_given_frames() {
        let detector = detector(Settings { misses: 0.5, miss_frames: 10, ..Settings::default() });
        let boxes = [input_box(1, bbox(0.0, 0.0, 9.0, 9.0))];
        let missed = |frame| detector.detect(frame, 99, 99, &boxes).unwrap().missed;
        assert!((0..50).all(|block| (1..10).all(|frame| missed(block * 10 + frame) == missed(block * 10))));
        assert!((0..50).any(|block| missed(block * 10) == 0) && (0..50).any(|block| missed(block * 10) == 1));
    }

    #[test]
    fn masks_are_passed_on_with_their_boxes() {
        let settings = Settings { jitter: 0.1, misses: 0.5, false_alarms: 1.0, ..Settings::default() };
        // the left half of the frame
        let counts = rle_counts(&[1, 1, 1, 1, 0, 0, 0, 0].repeat(4), 8, 4);
        let mask = FrameMask { width: 8, height: 4, counts };
        let boxes = [
            InputBox { mask: Some(mask.clone()), ..input_box(1, bbox(0.0, 0.0, 4.0, 4.0)) },
            input_box(2, bbox(4.0, 0.0, 8.0, 4.0)),
        ];
        let mut found = [0; 3];
        for frame in 0..40 {
            let detected = detector(settings.clone()).detect(frame, 8, 4, &boxes).unwrap();
            for detection in &detected.detections {
                // jitter moves the box, not the mask; false alarms have none
                let expected = (detection.input_id == Some(1)).then_some(&mask);
                assert_eq!(detection.mask.as_ref(), expected);
                found[detection.input_id.unwrap_or(0) as usize] += 1;
            }
        }
        assert!((10..35).contains(&found[1]) && found[0] > 10 && found[2] > 10, "{found:?}");
        let error = detector(settings).detect(7, 9, 4, &boxes).unwrap_err().to_string();
        let expected =
            "frame 7: the mask of identity 1 cannot be used: the mask's runs do not add up to the 9x4 pixels";
        assert!(error.starts_with(expected), "{error}");
        let damaged = FrameMask { counts: "1".into(), ..mask };
        let boxes = [InputBox { mask: Some(damaged), ..boxes[1].clone() }];
        let detected = detector(Settings::default()).detect_unclipped(7, 8, 4, &boxes);
        assert!(matches!(detected, Err(DetectError::Mask { frame_index: 7, id: 2, .. })));
    }

    #[test]
    fn invalid_boxes_are_errors() {
        let detect = |bbox| {
            let detected = detector(Settings::default()).detect(12, 99, 99, &[input_box(3, bbox)]);
            detected.unwrap_err().to_string()
        };
        assert!(
            detect(bbox(f32::NAN, 0.0, 1.0, 1.0))
                .starts_with("frame 12: the box of identity 3 is not finite")
        );
        assert!(
            detect(bbox(5.0, 0.0, 1.0, 1.0))
                .starts_with("frame 12: the box of identity 3 has a negative size")
        );
        let wrong = ProvidedBoxes::new(Settings { misses: 1.5, ..Settings::default() }, 0).unwrap_err();
        assert_eq!(wrong.to_string(), "detect.misses is 1.5; set it to a number from 0 to 1");
    }

    proptest! {
        #[test]
        fn errors_do_not_depend_on_other_frames_and_people(seed in any::<u64>(), frame in 0usize..1000) {
            let settings = Settings { jitter: 0.1, misses: 0.3, false_alarms: 1.0, ..Settings::default() };
            let detector = ProvidedBoxes::new(settings, seed).unwrap();
            let boxes = [
                input_box(1, bbox(0.0, 0.0, 40.0, 90.0)),
                input_box(2, bbox(60.0, 0.0, 99.0, 90.0)),
            ];
            let both = detector.detect(frame, 320, 240, &boxes).unwrap();
            detector.detect(frame + 1, 320, 240, &boxes).unwrap();
            prop_assert_eq!(&both, &detector.detect(frame, 320, 240, &boxes).unwrap());
            let reversed = [boxes[1].clone(), boxes[0].clone()];
            let mut swapped = detector.detect(frame, 320, 240, &reversed).unwrap().detections;
            let mut sorted = both.detections.clone();
            for side in [&mut swapped, &mut sorted] {
                side.sort_by_key(|of| (of.input_id.is_none(), of.input_id));
            }
            prop_assert_eq!(&swapped, &sorted);
            prop_assert!(both.detections.iter().all(|of| of.bbox.clipped_to(320, 240) == Some(of.bbox)));
        }
    }
}
