//! Given boxes, made worse on purpose.

use super::{Settings, SettingsError};
use crate::person::{BBox, Detection};
use crate::random::{Stream, stream};

/// False alarms are this high, as a share of the picture's height, and this wide, as a share of their height.
const ALARM_HEIGHT: (f64, f64) = (0.15, 0.6);
const ALARM_WIDTH: (f64, f64) = (0.3, 0.5);

/// A given box that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DetectError {
    #[error(
        "frame {frame_index}: the box of identity {id} is not a number ({bbox:?}); correct it in the truth or leave it out"
    )]
    NotFinite { frame_index: usize, id: u32, bbox: BBox },
    #[error(
        "frame {frame_index}: the box of identity {id} ends before it begins ({bbox:?}); correct it in the truth or leave it out"
    )]
    Inverted { frame_index: usize, id: u32, bbox: BBox },
}

/// What was detected in a frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detected {
    /// Boxes inside the picture: first those given, in their order, then the false alarms.
    pub detections: Vec<Detection>,
    /// Given boxes that were missed on purpose.
    pub missed: usize,
    /// Given boxes that lie wholly outside the picture.
    pub outside: usize,
    /// Given boxes that are too small.
    pub small: usize,
    pub false_alarms: usize,
}

/// A detector that is told where people are.
#[derive(Debug, Clone)]
pub struct Given {
    settings: Settings,
    seed: u64,
}

impl Given {
    /// # Errors
    /// If a setting is outside of its range.
    pub fn new(settings: Settings, seed: u64) -> Result<Given, SettingsError> {
        settings.check()?;
        Ok(Given { settings, seed })
    }

    /// The detections in frame `frame_index` of `width` x `height` pixels, where `truth` says who is where.
    ///
    /// Boxes are clipped to the picture after the jitter. A given box has score 1, as in PHALP.
    ///
    /// # Errors
    /// If a given box is not finite or ends before it begins.
    pub fn detect(
        &self,
        frame_index: usize,
        width: usize,
        height: usize,
        truth: &[(u32, BBox)],
    ) -> Result<Detected, DetectError> {
        let mut detected = Detected::default();
        for &(id, bbox) in truth {
            check(frame_index, id, &bbox)?;
            if self.misses(frame_index, id) {
                detected.missed += 1;
                continue;
            }
            let Some(inside) = self.jittered(frame_index, id, bbox).inside(width, height) else {
                detected.outside += 1;
                continue;
            };
            if f64::from(inside.width()) < self.settings.smallest_width
                || f64::from(inside.height()) < self.settings.smallest_height
            {
                detected.small += 1;
                continue;
            }
            detected.detections.push(Detection { bbox: inside, score: 1.0, truth_id: Some(id) });
        }
        let alarms = self.false_alarms(frame_index, width, height);
        detected.false_alarms = alarms.len();
        detected.detections.extend(alarms);
        Ok(detected)
    }

    fn misses(&self, frame_index: usize, id: u32) -> bool {
        let block = frame_index as u64 / self.settings.miss_frames;
        stream(self.seed, "detect: miss", &[block, u64::from(id)]).chance(self.settings.misses)
    }

    fn jittered(&self, frame_index: usize, id: u32, bbox: BBox) -> BBox {
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
            let tall = height * draw.range(ALARM_HEIGHT.0, ALARM_HEIGHT.1);
            let wide = tall * draw.range(ALARM_WIDTH.0, ALARM_WIDTH.1);
            let (x, y) = (draw.range(0.0, width), draw.range(0.0, height));
            let bbox = BBox {
                x1: (x - wide / 2.0) as f32,
                y1: (y - tall / 2.0) as f32,
                x2: (x + wide / 2.0) as f32,
                y2: (y + tall / 2.0) as f32,
            };
            bbox.inside(width as usize, height as usize)
        });
        boxes.map(|bbox| Detection { bbox, score: 1.0, truth_id: None }).collect()
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

/// A count with mean `mean` (Knuth's product of uniforms; fine for the small means of false alarms).
fn poisson(draw: &mut Stream, mean: f64) -> usize {
    let least = libm::exp(-mean);
    let (mut count, mut product) = (0, draw.unit());
    while product > least {
        count += 1;
        product *= draw.unit();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bbox(x1: f32, y1: f32, x2: f32, y2: f32) -> BBox {
        BBox { x1, y1, x2, y2 }
    }

    fn given(settings: Settings) -> Given {
        Given::new(settings, 7).unwrap()
    }

    #[test]
    fn without_settings_the_truth_is_found() {
        let truth = [
            (3, bbox(10.0, 20.0, 50.0, 120.0)),
            (4, bbox(-20.0, 0.0, 20.0, 90.0)),
            (5, bbox(400.0, 0.0, 420.0, 50.0)),
        ];
        let detected = given(Settings::default()).detect(0, 320, 240, &truth).unwrap();
        assert_eq!(detected.detections.len(), 2);
        assert_eq!(detected.detections[0], Detection { bbox: truth[0].1, score: 1.0, truth_id: Some(3) });
        assert_eq!(detected.detections[1].bbox, bbox(0.0, 0.0, 20.0, 90.0));
        assert_eq!((detected.outside, detected.missed, detected.false_alarms), (1, 0, 0));
    }

    #[test]
    fn rates_are_what_was_asked_for() {
        let settings = Settings { misses: 0.25, false_alarms: 0.5, jitter: 0.05, ..Settings::default() };
        let given = given(settings);
        let truth = [(1, bbox(100.0, 50.0, 140.0, 150.0))];
        let (mut missed, mut alarms, mut off) = (0, 0, 0.0);
        for frame in 0..4000 {
            let detected = given.detect(frame, 320, 240, &truth).unwrap();
            missed += detected.missed;
            alarms += detected.false_alarms;
            off += detected
                .detections
                .first()
                .filter(|of| of.truth_id.is_some())
                .map_or(0.0, |of| f64::from((of.bbox.center()[0] - 120.0) / 40.0).powi(2) / 3000.0);
        }
        assert!((900..1100).contains(&missed), "{missed}");
        assert!((1850..2150).contains(&alarms), "{alarms}");
        assert!((off.sqrt() - 0.05).abs() < 0.005, "{off}");
    }

    #[test]
    fn misses_can_last() {
        let given = given(Settings { misses: 0.5, miss_frames: 10, ..Settings::default() });
        let seen = |frame| given.detect(frame, 99, 99, &[(1, bbox(0.0, 0.0, 9.0, 9.0))]).unwrap().missed;
        assert!((0..50).all(|block| (1..10).all(|frame| seen(block * 10 + frame) == seen(block * 10))));
        assert!((0..50).any(|block| seen(block * 10) == 0) && (0..50).any(|block| seen(block * 10) == 1));
    }

    #[test]
    fn broken_boxes_are_named() {
        let detect =
            |bbox| given(Settings::default()).detect(12, 99, 99, &[(3, bbox)]).unwrap_err().to_string();
        assert!(
            detect(bbox(f32::NAN, 0.0, 1.0, 1.0))
                .starts_with("frame 12: the box of identity 3 is not a number")
        );
        assert!(detect(bbox(5.0, 0.0, 1.0, 1.0)).starts_with("frame 12: the box of identity 3 ends before"));
        let wrong = Given::new(Settings { misses: 1.5, ..Settings::default() }, 0).unwrap_err();
        assert_eq!(wrong.to_string(), "detect.misses is 1.5; set it to a number from 0 to 1");
    }

    proptest! {
        #[test]
        fn frames_and_people_do_not_disturb_each_other(seed in any::<u64>(), frame in 0usize..1000) {
            let settings = Settings { jitter: 0.1, misses: 0.3, false_alarms: 1.0, ..Settings::default() };
            let given = Given::new(settings, seed).unwrap();
            let truth = [(1, bbox(0.0, 0.0, 40.0, 90.0)), (2, bbox(60.0, 0.0, 99.0, 90.0))];
            let both = given.detect(frame, 320, 240, &truth).unwrap();
            given.detect(frame + 1, 320, 240, &truth).unwrap();
            prop_assert_eq!(&both, &given.detect(frame, 320, 240, &truth).unwrap());
            let mut swapped = given.detect(frame, 320, 240, &[truth[1], truth[0]]).unwrap().detections;
            let mut sorted = both.detections.clone();
            for side in [&mut swapped, &mut sorted] {
                side.sort_by_key(|of| (of.truth_id.is_none(), of.truth_id));
            }
            prop_assert_eq!(&swapped, &sorted);
            prop_assert!(both.detections.iter().all(|of| of.bbox.inside(320, 240) == Some(of.bbox)));
        }
    }
}
