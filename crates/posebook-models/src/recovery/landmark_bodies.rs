//! Recovers bodies through landmarks: BlazePose in each detection, then a body fitted to its landmarks.
//!
//! Detections are matched to the people of the previous frame by box overlap (IoU), as in the tracker. For matched people
//! BlazePose starts from the previous region, and the fit from the running mean of the betas. Track identities are assigned
//! later and are not needed.

use super::frame_people::FramePeople;
use super::settings::Settings;
use super::{RecoveryError, mask};
use crate::appearance::sampler::CROP_SIDE;
use crate::appearance::{AppearanceStage, Crop, View};
use crate::blazepose::{BlazePose, BlazePoseError, PoseObservation, Region};
use crate::body::Body;
use crate::device::copy_to_host;
use crate::fit::{self, Fit, FitError, Fitter, TrackBetas};
use crate::hmr2;
use crate::hmr2::Hmr2Error;
use crate::hmr2::crop::Square;
use candle_core::Device;
use posebook_core::frame::Frame;
use posebook_core::landmarks::{Landmarks, SCORED_LANDMARKS};
use posebook_core::person::{BBox, Detection, LandmarkConfidence, Person, RegionMask};
use rayon::prelude::*;

/// Minimum IoU of one person's boxes in consecutive frames.
const MIN_OVERLAP: f32 = 0.3;

/// Below this score a detection is uncertain: the detector's scores of upright people and of objects overlap between 0.25
/// and 0.35.
pub const UNCERTAIN_SCORE: f32 = 0.35;
/// Minimum presence of a person in an uncertain detection. Measured: at least 0.9998 for people with such scores, at most
/// 0.996 for a trolley of 90 pixels.
const CONFIRMING_PRESENCE: f32 = 0.999;

/// Two sets of landmarks are the same person if their mean distance is below this fraction of the person's size.
const MAX_DUPLICATE_DISTANCE: f32 = 0.1;

/// BlazePose, the fitter, and the people of the previous frame.
pub struct LandmarkBodies {
    network: BlazePose,
    device: Device,
    fitter: Fitter,
    fit: fit::Settings,
    least_presence: f32,
    previous: Vec<PreviousPerson>,
}

/// A person of the previous frame.
struct PreviousPerson {
    bbox: BBox,
    region: Region,
    betas: TrackBetas,
}

impl LandmarkBodies {
    /// Prepares fits of `body`.
    ///
    /// # Errors
    /// If the body cannot be fitted.
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

    /// The device that the network runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// See [`super::BodyNetwork::reset_previous_frame`].
    pub fn reset_previous_frame(&mut self) {
        self.previous.clear();
    }

    fn min_presence(&self, detection: &Detection) -> f32 {
        if detection.score < UNCERTAIN_SCORE {
            self.least_presence.max(CONFIRMING_PRESENCE)
        } else {
            self.least_presence
        }
    }

    /// Recovers the people of a frame, and computes their appearance with `appearance` if given.
    ///
    /// # Errors
    /// If the network, a fit or the encoder of appearance fails.
    pub fn recover(
        &mut self,
        frame: &Frame,
        detections: Vec<Detection>,
        body: &Body,
        appearance: Option<&AppearanceStage>,
    ) -> Result<FramePeople, RecoveryError> {
        let boxes: Vec<BBox> = detections.iter().map(|detection| detection.bbox).collect();
        let matches = match_previous(&boxes, &self.previous);
        let targets: Vec<(BBox, Option<Region>)> = boxes
            .iter()
            .zip(&matches)
            .map(|(&bbox, previous)| (bbox, previous.map(|index| self.previous[index].region)))
            .collect();
        let mut observations = self.network.observe_all(frame, &targets)?;
        remove_duplicates(&mut observations, &detections);
        let fits: Vec<Result<Option<Fit>, RecoveryError>> = observations
            .par_iter()
            .zip(&matches)
            .zip(&detections)
            .map(|((observation, previous), detection)| {
                let is_person =
                    |found: &&PoseObservation| found.landmarks.presence >= self.min_presence(detection);
                let Some(observation) = observation.as_ref().filter(is_person) else {
                    return Ok(None);
                };
                let prior = previous.and_then(|index| self.previous[index].betas.prior());
                match self.fitter.fit(&observation.landmarks, prior, &self.fit) {
                    // landmarks of one person that no body can be fitted to must not end the run
                    Err(FitError::Missing { .. } | FitError::Degenerate { .. }) => Ok(None),
                    fitted => Ok(Some(fitted?)),
                }
            })
            .collect();
        let mut people = FramePeople::default();
        let mut current = Vec::with_capacity(detections.len());
        let mut masks = Vec::new();
        for (((detection, observation), previous), fitted) in
            detections.into_iter().zip(observations).zip(matches).zip(fits)
        {
            let (Some(fitted), Some(observation)) = (fitted?, observation) else {
                people.without_body.push(detection);
                continue;
            };
            let mut betas = previous.map(|index| self.previous[index].betas.clone()).unwrap_or_default();
            betas.push(&fitted.params.betas);
            current.push(PreviousPerson { bbox: detection.bbox, region: observation.next_region, betas });
            let has_mask = detection.mask.is_some();
            people.persons.push(create_person(detection, fitted, &observation, body, frame));
            if appearance.is_some() {
                masks.push((!has_mask).then_some(observation.mask));
            }
        }
        self.previous = current;
        if let Some(appearance) = appearance {
            add_appearance(appearance, &mut people.persons, &masks, frame, body)?;
        }
        Ok(people)
    }
}

/// Computes the appearance of people from PHALP's square crop of each, to which their cameras refer, and their masks in it:
/// those of BlazePose in `masks`, and the persons' where there is none because the detector found one.
fn add_appearance(
    appearance: &AppearanceStage,
    persons: &mut [Person],
    masks: &[Option<RegionMask>],
    frame: &Frame,
    body: &Body,
) -> Result<(), RecoveryError> {
    let frame_error = |source| BlazePoseError::Frame { frame: frame.index, source };
    let rgb = copy_to_host(frame).map_err(frame_error)?;
    let crop = |(person, mask): (&Person, &Option<RegionMask>)| -> Result<Crop, RecoveryError> {
        let square = Square::phalp(&person.detection.bbox);
        let mask = match (mask, &person.mask) {
            (Some(mask), _) => Some(mask::to_crop_mask(mask, &square, CROP_SIDE)),
            (None, Some(mask)) => {
                let error = |source| Hmr2Error::Mask { frame: frame.index, source };
                Some(square.crop_frame_mask(mask, CROP_SIDE).map_err(error)?)
            }
            (None, None) => None,
        };
        Ok(Crop { rgb: square.crop_rgb(&rgb, frame.width, frame.height, CROP_SIDE), mask })
    };
    let crops = persons.par_iter().zip(masks).map(crop).collect::<Result<Vec<Crop>, _>>()?;
    let views: Vec<View> = persons
        .iter()
        .zip(crops)
        .map(|(person, crop)| View { params: &person.params, crop_camera: person.crop_camera, crop })
        .collect();
    let found = appearance.observe(&views, body)?;
    for (person, observed) in persons.iter_mut().zip(found) {
        person.appearance = Some(observed.appearance);
    }
    Ok(())
}

/// Removes observations of a person who is also observed in a better detection. This happens if two boxes around one person
/// overlap too little for non-maximum suppression; their landmarks are then nearly equal.
fn remove_duplicates(observations: &mut [Option<PoseObservation>], detections: &[Detection]) {
    let mut order: Vec<usize> = (0..observations.len()).collect();
    order.sort_by(|&a, &b| detections[b].score.total_cmp(&detections[a].score).then(a.cmp(&b)));
    for (rank, &index) in order.iter().enumerate() {
        let is_duplicate = order[..rank].iter().any(|&better| {
            let pair = observations[better].as_ref().zip(observations[index].as_ref());
            pair.is_some_and(|(better, other)| is_same_person(&better.landmarks, &other.landmarks))
        });
        if is_duplicate {
            observations[index] = None;
        }
    }
}

/// Whether two sets of landmarks are nearly equal; see [`MAX_DUPLICATE_DISTANCE`].
fn is_same_person(a: &Landmarks, b: &Landmarks) -> bool {
    let distance = |&point: &usize| {
        let ([x, y], [other_x, other_y]) = (a.pixels[point], b.pixels[point]);
        (x - other_x).hypot(y - other_y)
    };
    let bounds = a.bounds();
    let mean = SCORED_LANDMARKS.iter().map(distance).sum::<f32>() / SCORED_LANDMARKS.len() as f32;
    mean < MAX_DUPLICATE_DISTANCE * bounds.width().max(bounds.height())
}

/// Creates a person as HMR2 does: camera in PHALP's crop, joints, and position in the frame.
fn create_person(
    detection: Detection,
    fitted: Fit,
    observation: &PoseObservation,
    body: &Body,
    frame: &Frame,
) -> Person {
    let size = (frame.width, frame.height);
    let square = Square::phalp(&detection.bbox);
    let (center, side) = (square.center.map(f64::from), f64::from(square.side));
    let camera = fit::crop_camera(fitted.scale_px_per_m, fitted.offset_px, center, side);
    let confidence =
        LandmarkConfidence { presence: observation.landmarks.presence, joints_sd_mm: fitted.deviation_mm };
    let mut person = hmr2::person_from_params(detection, &square, fitted.params, camera, body, size);
    person.confidence = Some(confidence);
    // the detector's mask, if it found one
    person.mask.get_or_insert_with(|| mask::to_frame_mask(&observation.mask, size.0, size.1));
    person
}

/// Greedy matching by overlap: for each box the index of a person of the previous frame; each person is matched once.
fn match_previous(boxes: &[BBox], previous: &[PreviousPerson]) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (index, bbox) in boxes.iter().enumerate() {
        for (previous_index, person) in previous.iter().enumerate() {
            let overlap = bbox.iou(&person.bbox);
            if overlap >= MIN_OVERLAP {
                pairs.push((overlap, index, previous_index));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut matches, mut taken) = (vec![None; boxes.len()], vec![false; previous.len()]);
    for (_, index, previous_index) in pairs {
        if matches[index].is_none() && !taken[previous_index] {
            matches[index] = Some(previous_index);
            taken[previous_index] = true;
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::landmarks::LANDMARKS;

    fn detection(x: f32, width: f32, score: f32) -> Detection {
        let bbox = BBox { x1: x, y1: 0.0, x2: x + width, y2: 200.0 };
        Detection { bbox, score, input_id: None, mask: None }
    }

    /// An observation of a person of 200 pixels at `x`.
    fn observation(x: f32) -> Option<PoseObservation> {
        let pixels =
            std::array::from_fn(|index| [x + (index % 5) as f32, 200.0 * index as f32 / LANDMARKS as f32]);
        let landmarks =
            Landmarks { pixels, world: [[0.0; 3]; LANDMARKS], visibility: [1.0; LANDMARKS], presence: 0.9 };
        let region = Region { center: [0.0; 2], side: 1.0, rotation_rad: 0.0 };
        let mask =
            RegionMask { mask_from_frame: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], size: 0, values: Vec::new() };
        Some(PoseObservation { landmarks, next_region: region, mask, region, passes: 1 })
    }

    #[test]
    fn a_person_in_two_boxes_is_assigned_to_the_better_box() {
        let detections =
            [detection(0.0, 300.0, 0.3), detection(0.0, 100.0, 0.8), detection(150.0, 100.0, 0.2)];
        let mut observations = vec![observation(48.0), observation(50.0), observation(200.0)];
        remove_duplicates(&mut observations, &detections);
        assert_eq!(observations.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn textures_are_limited_to_the_persons_mask() {
        use crate::appearance::encoder::Encoder;
        use crate::appearance::maps::UvMaps;
        use posebook_core::person::{FrameMask, SmplParams};
        let body = Body::built_in();
        let stage = AppearanceStage::new(Encoder::raw(), UvMaps::bake(&body).unwrap());
        // turned half around x, because y points down in the camera's axes
        let unit = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let half_turn = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
        let params = SmplParams { betas: [0.0; 10], global_orient: half_turn, body_pose: [unit; 23] };
        let detection = detection(50.0, 100.0, 0.9);
        let (square, camera) = (Square::phalp(&detection.bbox), [0.9, 0.0, 0.3]);
        let person = hmr2::person_from_params(detection, &square, params, camera, &body, (200, 200));
        let frame = Frame::new(0, 0.0, 200, 200, vec![90; 200 * 200 * 3]);
        // the whole frame, its left half, and nothing
        let values =
            |end: usize| (0..200 * 200).map(|index| if index % 200 < end { 255 } else { 0 }).collect();
        let mask = |end: usize| {
            let mask_from_frame = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
            Some(RegionMask { mask_from_frame, size: 200, values: values(end) })
        };
        let mut persons = vec![person; 5];
        // the last two have masks of the detector
        for (person, end) in persons[3..].iter_mut().zip([100, 0]) {
            let values: Vec<u8> = values(end);
            let counts = hmr2::mask::rle_counts(&values, 200, 200);
            person.mask = Some(FrameMask { width: 200, height: 200, counts });
        }
        let masks = [mask(200), mask(100), mask(0), None, None];
        add_appearance(&stage, &mut persons, &masks, &frame, &body).unwrap();
        let seen: Vec<usize> = persons
            .iter()
            .map(|person| person.appearance.as_ref().map_or(0, |appearance| appearance.uv.seen_texels()))
            .collect();
        let share = seen[1] as f64 / seen[0] as f64;
        assert!(seen[0] > 10_000 && (0.4..0.65).contains(&share) && seen[2] == 0, "{seen:?}");
        // PHALP counts pixels whose mask is not 0, of which there is one column more at the mask's edge
        assert!(seen[3] >= seen[1] && seen[3] < seen[1] + seen[0] / 50 && seen[4] == 0, "{seen:?}");
        let mut wrong = persons[3..4].to_vec();
        wrong[0].mask.as_mut().unwrap().counts = "1".into();
        let error = add_appearance(&stage, &mut wrong, &[None], &frame, &body).unwrap_err().to_string();
        assert!(error.starts_with("the mask of a person in frame 0 is invalid"), "{error}");
    }

    #[test]
    fn people_of_two_frames_are_matched_by_overlap() {
        let previous = |x: f32| PreviousPerson {
            bbox: detection(x, 100.0, 1.0).bbox,
            region: Region { center: [0.0; 2], side: 1.0, rotation_rad: 0.0 },
            betas: TrackBetas::new(),
        };
        let boxes = [
            detection(10.0, 100.0, 1.0).bbox,
            detection(300.0, 100.0, 1.0).bbox,
            detection(0.0, 100.0, 1.0).bbox,
        ];
        // the first and the last box overlap the same person, the last one more
        assert_eq!(match_previous(&boxes, &[previous(500.0), previous(0.0)]), [None, None, Some(1)]);
        assert_eq!(match_previous(&boxes, &[]), [None; 3]);
    }
}
