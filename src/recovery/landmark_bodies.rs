//! Bodies by way of landmarks: BlazePose in each detection, then a body fitted to what it found.
//!
//! A person of the frame before is found again by the overlap of the boxes (IoU), the measure that the tracker uses
//! too; BlazePose then starts from the region that its landmarks gave, and the betas of the fit continue. Identities
//! are decided later and are not needed for this.

use super::network::{FramePeople, Settings};
use super::{RecoveryError, mask};
use crate::blazepose::{BlazePose, Observation, Region};
use crate::body::Body;
use crate::fit::{self, Fit, FitError, Fitter, TrackBetas};
use crate::frame::Frame;
use crate::hmr2;
use crate::hmr2::crop::Square;
use crate::landmarks::{Landmarks, SCORED};
use crate::person::{BBox, Detection, LandmarkConfidence, Person};
use candle_core::Device;
use rayon::prelude::*;

/// Boxes of one person in two frames overlap by this much at least.
const LEAST_OVERLAP: f32 = 0.3;

/// A detection below this score may be a thing: the detector gives 0.25 to 0.35 to people who stand straight and to
/// things alike.
pub const UNCERTAIN_SCORE: f32 = 0.35;
/// Presence that confirms an uncertain detection. Measured: 0.9998 or more of people with such scores, up to 0.996 of
/// a trolley of 90 pixels.
const CONFIRMED: f32 = 0.999;

/// Landmarks of one person seen twice lie nearer to each other, as a share of the person's size.
const SAME_PERSON: f32 = 0.1;

/// BlazePose, the fit, and the people of the frame before.
pub struct LandmarkBodies {
    network: BlazePose,
    device: Device,
    fitter: Fitter,
    fit: fit::Settings,
    least_presence: f32,
    previous: Vec<Previous>,
}

/// A person of the frame before.
struct Previous {
    bbox: BBox,
    region: Region,
    betas: TrackBetas,
}

impl LandmarkBodies {
    /// # Errors
    /// If the body cannot be fitted, or a setting makes no sense.
    pub fn new(
        network: BlazePose,
        device: &Device,
        body: &Body,
        settings: Settings,
    ) -> Result<LandmarkBodies, RecoveryError> {
        Ok(LandmarkBodies {
            network,
            device: device.clone(),
            fitter: Fitter::new(body)?,
            fit: *settings.fit,
            least_presence: settings.blazepose.least_presence,
            previous: Vec::new(),
        })
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// See [`super::BodyNetwork::forget_previous_frame`].
    pub fn forget_previous_frame(&mut self) {
        self.previous.clear();
    }

    fn least_presence_of(&self, detection: &Detection) -> f32 {
        if detection.score < UNCERTAIN_SCORE {
            self.least_presence.max(CONFIRMED)
        } else {
            self.least_presence
        }
    }

    /// The people of a frame.
    ///
    /// # Errors
    /// If the network or a fit fails.
    pub fn recover(
        &mut self,
        frame: &Frame,
        detections: Vec<Detection>,
        body: &Body,
    ) -> Result<FramePeople, RecoveryError> {
        let boxes: Vec<BBox> = detections.iter().map(|detection| detection.bbox).collect();
        let matches = matched(&boxes, &self.previous);
        let jobs: Vec<(BBox, Option<Region>)> = boxes
            .iter()
            .zip(&matches)
            .map(|(&bbox, of)| (bbox, of.map(|at| self.previous[at].region)))
            .collect();
        let mut observations = self.network.observe_all(frame, &jobs)?;
        leave_out_repeated(&mut observations, &detections);
        let fits: Vec<Result<Option<Fit>, RecoveryError>> = observations
            .par_iter()
            .zip(&matches)
            .zip(&detections)
            .map(|((observation, of), detection)| {
                let is_person =
                    |seen: &&Observation| seen.landmarks.presence >= self.least_presence_of(detection);
                let Some(observation) = observation.as_ref().filter(is_person) else {
                    return Ok(None);
                };
                let prior = of.and_then(|at| self.previous[at].betas.prior());
                match self.fitter.fit(&observation.landmarks, prior, &self.fit) {
                    // one person's landmarks that no body has must not end the run
                    Err(FitError::Missing { .. } | FitError::Degenerate { .. }) => Ok(None),
                    fitted => Ok(Some(fitted?)),
                }
            })
            .collect();
        let mut people = FramePeople::default();
        let mut seen = Vec::with_capacity(detections.len());
        for (((detection, observation), of), fitted) in
            detections.into_iter().zip(observations).zip(matches).zip(fits)
        {
            let (Some(fitted), Some(observation)) = (fitted?, observation) else {
                people.without_body.push(detection);
                continue;
            };
            let mut betas = of.map(|at| self.previous[at].betas.clone()).unwrap_or_default();
            betas.push(&fitted.params.betas);
            seen.push(Previous { bbox: detection.bbox, region: observation.next_region, betas });
            people.persons.push(person(detection, fitted, &observation, body, frame));
        }
        self.previous = seen;
        Ok(people)
    }
}

/// Removes the observations that show the person of another, better detection: two boxes around one person overlap too
/// little for the detector to leave one out, and the landmarks then lie on each other.
fn leave_out_repeated(observations: &mut [Option<Observation>], detections: &[Detection]) {
    let mut order: Vec<usize> = (0..observations.len()).collect();
    order.sort_by(|&a, &b| detections[b].score.total_cmp(&detections[a].score).then(a.cmp(&b)));
    for (place, &at) in order.iter().enumerate() {
        let is_repeated = order[..place].iter().any(|&better| {
            let pair = observations[better].as_ref().zip(observations[at].as_ref());
            pair.is_some_and(|(better, other)| is_one_person(&better.landmarks, &other.landmarks))
        });
        if is_repeated {
            observations[at] = None;
        }
    }
}

/// Whether the scored points of two lie on each other: nearer in the mean than a tenth of the first's size.
fn is_one_person(a: &Landmarks, b: &Landmarks) -> bool {
    let apart = |&point: &usize| {
        let ([x, y], [other_x, other_y]) = (a.pixels[point], b.pixels[point]);
        (x - other_x).hypot(y - other_y)
    };
    let bounds = a.bounds();
    let mean = SCORED.iter().map(apart).sum::<f32>() / SCORED.len() as f32;
    mean < SAME_PERSON * bounds.width().max(bounds.height())
}

/// The person as HMR2 gives them: a camera in PHALP's crop, joints, and where they stand in the frame.
fn person(
    detection: Detection,
    fitted: Fit,
    observation: &Observation,
    body: &Body,
    frame: &Frame,
) -> Person {
    let size = (frame.width, frame.height);
    let square = Square::of_phalp(&detection.bbox);
    let (center, side) = (square.center.map(f64::from), f64::from(square.side));
    let camera = fit::crop_camera(fitted.scale, fitted.shift, center, side);
    let confidence =
        LandmarkConfidence { presence: observation.landmarks.presence, joints_sd_mm: fitted.deviation_mm };
    Person {
        confidence: Some(confidence),
        mask: Some(mask::of_frame(&observation.mask, size.0, size.1)),
        ..hmr2::placed(detection, &square, fitted.params, camera, body, size)
    }
}

/// For each box the person of the frame before whose box overlaps it most, pairs with most overlap first; each
/// person once.
fn matched(boxes: &[BBox], previous: &[Previous]) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (at, bbox) in boxes.iter().enumerate() {
        for (before, person) in previous.iter().enumerate() {
            let overlap = bbox.iou(&person.bbox);
            if overlap >= LEAST_OVERLAP {
                pairs.push((overlap, at, before));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut of, mut taken) = (vec![None; boxes.len()], vec![false; previous.len()]);
    for (_, at, before) in pairs {
        if of[at].is_none() && !taken[before] {
            of[at] = Some(before);
            taken[before] = true;
        }
    }
    of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landmarks::LANDMARKS;
    use crate::person::RegionMask;

    fn detection(x: f32, width: f32, score: f32) -> Detection {
        let bbox = BBox { x1: x, y1: 0.0, x2: x + width, y2: 200.0 };
        Detection { bbox, score, truth_id: None }
    }

    /// Somebody of 200 pixels at `x`.
    fn seen(x: f32) -> Option<Observation> {
        let pixels = std::array::from_fn(|at| [x + (at % 5) as f32, 200.0 * at as f32 / LANDMARKS as f32]);
        let landmarks =
            Landmarks { pixels, world: [[0.0; 3]; LANDMARKS], visibility: [1.0; LANDMARKS], presence: 0.9 };
        let region = Region { center: [0.0; 2], side: 1.0, rotation: 0.0 };
        let mask =
            RegionMask { mask_from_frame: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], size: 0, values: Vec::new() };
        Some(Observation { landmarks, next_region: region, mask, region, passes: 1 })
    }

    #[test]
    fn one_person_in_two_boxes_is_kept_once_by_the_better_box() {
        let detections =
            [detection(0.0, 300.0, 0.3), detection(0.0, 100.0, 0.8), detection(150.0, 100.0, 0.2)];
        let mut observations = vec![seen(48.0), seen(50.0), seen(200.0)];
        leave_out_repeated(&mut observations, &detections);
        assert_eq!(observations.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn people_of_two_frames_are_matched_by_overlap_and_each_once() {
        let previous = |x: f32| Previous {
            bbox: detection(x, 100.0, 1.0).bbox,
            region: Region { center: [0.0; 2], side: 1.0, rotation: 0.0 },
            betas: TrackBetas::new(),
        };
        let boxes = [
            detection(10.0, 100.0, 1.0).bbox,
            detection(300.0, 100.0, 1.0).bbox,
            detection(0.0, 100.0, 1.0).bbox,
        ];
        // both the first and the last overlap the same person: the last does more
        assert_eq!(matched(&boxes, &[previous(500.0), previous(0.0)]), [None, None, Some(1)]);
        assert_eq!(matched(&boxes, &[]), [None; 3]);
    }
}
