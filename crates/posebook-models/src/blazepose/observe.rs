//! Runs the network on the people of a frame: chooses each person's region, repeats the network on the refined region, and
//! selects the result to use.
//!
//! Input: a frame, and per person a box and optionally the region from the previous frame. Output: one
//! [`PoseObservation`] per person.

use super::cpu::Output;
use super::decode::{decode, decode_mask};
use super::network::Network;
use super::region::Region;
use super::settings::Settings;
use super::{BlazePoseError, Footprint, Variant};
use crate::device::copy_to_host;
use candle_core::Device;
use posebook_core::frame::Frame;
use posebook_core::landmarks::Landmarks;
use posebook_core::person::{BBox, RegionMask};
use std::path::Path;

/// A network with its settings.
pub struct BlazePose {
    network: Network,
    settings: Settings,
}

/// The network's result for one person.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseObservation {
    /// The landmarks. No person was detected if the presence is below [`Settings::least_presence`].
    pub landmarks: Landmarks,
    /// The region to start from in the next frame.
    pub next_region: Region,
    /// Segmentation mask of the region.
    pub mask: RegionMask,
    /// The region that the network ran on.
    pub region: Region,
    /// Number of times that the network ran for this person.
    pub passes: u8,
}

/// A person's box, and their region from the previous frame if known ([`PoseObservation::next_region`]).
pub type Target = (BBox, Option<Region>);

impl BlazePose {
    /// Reads a safetensors file that [`super::ConvertedNetwork::write`] wrote.
    ///
    /// # Errors
    /// If a setting is out of range, if the file cannot be read or holds another network, or if the device fails.
    pub fn load(path: &Path, settings: Settings, device: &Device) -> Result<BlazePose, BlazePoseError> {
        settings.check()?;
        let network = Network::load(path, device, crate::nn::dtype(settings.precision))?;
        Ok(BlazePose { network, settings })
    }

    /// Uses a network that is already loaded.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn new(network: Network, settings: Settings) -> Result<BlazePose, BlazePoseError> {
        settings.check()?;
        Ok(BlazePose { network, settings })
    }

    /// The settings that it was created with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The published network that is loaded.
    pub fn variant(&self) -> Variant {
        self.network.variant()
    }

    /// Memory that it needs on the CPU.
    pub fn footprint(&self) -> Footprint {
        self.network.footprint()
    }

    /// [`BlazePose::observe_all`] for one person.
    ///
    /// # Errors
    /// As [`BlazePose::observe_all`].
    pub fn observe(
        &self,
        frame: &Frame,
        bbox: &BBox,
        previous: Option<&Region>,
    ) -> Result<Option<PoseObservation>, BlazePoseError> {
        let found = self.observe_all(frame, &[(*bbox, previous.copied())])?;
        Ok(found.into_iter().next().flatten())
    }

    /// Detects the landmarks of people. For each person the network runs on the region from the previous frame; without one
    /// it runs on the square around the box and then on the region that the first pass returned ([`Settings::passes`]). The
    /// result of a later pass is discarded if it has a low presence or its points do not overlap the box; if that happens in
    /// the region from the previous frame, the network starts again from the box.
    ///
    /// The result has one entry per person. It is `None` for a box without a usable square: an area of zero, values that are
    /// not finite, a longer side below two thirds of a pixel, or more than a million pixels away. A person who is not
    /// detected has an entry with a low [`Landmarks::presence`].
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn observe_all(
        &self,
        frame: &Frame,
        people: &[Target],
    ) -> Result<Vec<Option<PoseObservation>>, BlazePoseError> {
        let frame_error = |source| BlazePoseError::Frame { frame: frame.index, source };
        let rgb = copy_to_host(frame).map_err(frame_error)?;
        let frame_size = [frame.width, frame.height];
        let mut searches: Vec<RegionSearch> =
            people.iter().map(|target| RegionSearch::new(target, frame_size, &self.settings)).collect();
        loop {
            let mut pending: Vec<(&mut RegionSearch, Region)> = searches
                .iter_mut()
                .filter_map(|search| search.pending_region.map(|region| (search, region)))
                .collect();
            if pending.is_empty() {
                break;
            }
            let regions: Vec<Region> = pending.iter().map(|(_, region)| *region).collect();
            let observations = self.run_network(&rgb, frame, &regions)?;
            for ((search, _), observation) in pending.iter_mut().zip(observations) {
                search.update(observation, &self.settings);
            }
        }
        Ok(searches.into_iter().map(|search| search.best).collect())
    }

    /// Runs the network once on each region.
    fn run_network(
        &self,
        rgb: &[u8],
        frame: &Frame,
        regions: &[Region],
    ) -> Result<Vec<PoseObservation>, BlazePoseError> {
        let fill = |crop: usize, input: &mut [f32]| {
            regions.get(crop).into_iter().for_each(|region| {
                normalize_pixels(&region.extract_crop(rgb, frame.width, frame.height), input)
            });
        };
        let read = |crop: usize, output: Output| {
            regions.get(crop).map(|region| {
                let decoded = decode(&output, region);
                PoseObservation {
                    landmarks: decoded.landmarks(),
                    next_region: decoded.next_region,
                    mask: decode_mask(&output, region),
                    region: *region,
                    passes: 1,
                }
            })
        };
        Ok(self.network.run(regions.len(), fill, read)?.into_iter().flatten().collect())
    }
}

/// Converts 8-bit values to the network's input range, 0 to 1.
pub fn normalize_pixels(pixels: &[u8], input: &mut [f32]) {
    for (value, &pixel) in input.iter_mut().zip(pixels) {
        *value = f32::from(pixel) / 255.0;
    }
}

/// State of the repeated passes for one person.
struct RegionSearch {
    bbox: BBox,
    /// Width and height of the frame, pixels.
    frame_size: [usize; 2],
    /// The region of the next pass; `None` when finished.
    pending_region: Option<Region>,
    /// Whether `pending_region` is the region from the previous frame.
    is_previous_region: bool,
    /// Remaining passes that start from the box.
    passes_left: u8,
    /// Passes so far.
    passes: u8,
    /// The result so far.
    best: Option<PoseObservation>,
}

impl RegionSearch {
    fn new(&(bbox, previous): &Target, frame_size: [usize; 2], settings: &Settings) -> RegionSearch {
        let from_box = Some(Region::from_box(&bbox, settings.box_scale));
        let from_box = from_box.filter(|region| region.is_usable() && bbox.area() > 0.0);
        let previous = previous.filter(Region::is_usable).filter(|_| from_box.is_some());
        RegionSearch {
            bbox,
            frame_size,
            pending_region: previous.or(from_box),
            is_previous_region: previous.is_some(),
            passes_left: settings.passes,
            passes: 0,
            best: None,
        }
    }

    /// Whether an observation shows this person. Both boxes are clipped to the frame before they are compared: points
    /// outside of the frame are extrapolated, and detections end at its edge.
    fn matches_person(&self, observation: &PoseObservation, settings: &Settings) -> bool {
        let [width, height] = self.frame_size;
        let inside = |bbox: BBox| bbox.clipped_to(width, height);
        let overlap = match (inside(observation.landmarks.bounds()), inside(self.bbox)) {
            (Some(points), Some(bbox)) => points.iou(&bbox),
            _ => 0.0,
        };
        observation.landmarks.presence >= settings.least_presence && overlap >= settings.least_overlap
    }

    /// Processes the result of a pass and decides whether and where to run another one.
    fn update(&mut self, observation: PoseObservation, settings: &Settings) {
        self.passes = self.passes.saturating_add(1);
        let is_match = self.matches_person(&observation, settings);
        self.pending_region = None;
        if std::mem::take(&mut self.is_previous_region) {
            match is_match {
                true => self.best = Some(observation),
                false => self.pending_region = Some(Region::from_box(&self.bbox, settings.box_scale)),
            }
        } else {
            self.passes_left = self.passes_left.saturating_sub(1);
            // the first result is used if a later one does not show this person
            if self.best.is_none() || is_match {
                if self.passes_left > 0 && observation.next_region.is_usable() {
                    self.pending_region = Some(observation.next_region);
                }
                self.best = Some(observation);
            }
        }
        if let Some(best) = &mut self.best {
            best.passes = self.passes;
            if !best.next_region.is_usable() {
                best.next_region = best.region;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::landmarks::LANDMARKS;

    const BOX: BBox = BBox { x1: 100.0, y1: 100.0, x2: 200.0, y2: 300.0 };

    const FRAME: [usize; 2] = [640, 360];

    /// An observation of a person whose points fill a box.
    fn observation(bbox: BBox, presence: f32, next_side: f64) -> PoseObservation {
        let mut pixels = [bbox.center(); LANDMARKS];
        (pixels[0], pixels[1]) = ([bbox.x1, bbox.y1], [bbox.x2, bbox.y2]);
        let region = Region { center: [1.0, 2.0], side: 300.0, rotation_rad: 0.0 };
        PoseObservation {
            landmarks: Landmarks {
                pixels,
                world: [[0.0; 3]; LANDMARKS],
                visibility: [1.0; LANDMARKS],
                presence,
            },
            next_region: Region { side: next_side, rotation_rad: 0.25, ..region },
            mask: RegionMask { mask_from_frame: region.crop_from_frame(), size: 0, values: Vec::new() },
            region,
            passes: 1,
        }
    }

    fn distant_box() -> BBox {
        BBox { x1: 500.0, x2: 600.0, ..BOX }
    }

    #[test]
    fn the_network_runs_twice_without_a_previous_region() {
        let settings = Settings::default();
        let mut search = RegionSearch::new(&(BOX, None), FRAME, &settings);
        assert_eq!(
            search.pending_region,
            Some(Region { center: [150.0, 200.0], side: 300.0, rotation_rad: 0.0 })
        );
        search.update(observation(BOX, 0.9, 250.0), &settings);
        assert_eq!(search.pending_region.map(|region| region.side), Some(250.0));
        search.update(observation(BOX, 0.8, 240.0), &settings);
        assert_eq!(search.pending_region, None);
        let best = search.best.unwrap();
        assert_eq!((best.landmarks.presence, best.passes, best.next_region.side), (0.8, 2, 240.0));
    }

    #[test]
    fn a_result_that_shows_another_person_is_discarded() {
        let settings = Settings::default();
        for (second, presence) in [(distant_box(), 0.99), (BOX, 0.4)] {
            let mut search = RegionSearch::new(&(BOX, None), FRAME, &settings);
            search.update(observation(BOX, 0.9, 250.0), &settings);
            search.update(observation(second, presence, 250.0), &settings);
            let best = search.best.unwrap();
            assert_eq!((best.landmarks.presence, best.passes), (0.9, 2));
        }
    }

    #[test]
    fn a_previous_region_needs_one_pass_and_is_discarded_if_it_shows_another_person() {
        let settings = Settings::default();
        let previous = Region { center: [140.0, 190.0], side: 222.0, rotation_rad: 0.1 };
        let mut search = RegionSearch::new(&(BOX, Some(previous)), FRAME, &settings);
        assert_eq!(search.pending_region, Some(previous));
        search.update(observation(BOX, 0.9, 250.0), &settings);
        assert_eq!((search.pending_region, search.best.map(|best| best.passes)), (None, Some(1)));
        let mut search = RegionSearch::new(&(BOX, Some(previous)), FRAME, &settings);
        search.update(observation(distant_box(), 0.9, 250.0), &settings);
        assert_eq!(search.pending_region.map(|region| region.side), Some(300.0));
        search.update(observation(BOX, 0.9, 250.0), &settings);
        search.update(observation(BOX, 0.7, 250.0), &settings);
        assert_eq!(search.best.map(|best| best.passes), Some(3));
    }

    #[test]
    fn boxes_are_compared_inside_the_frame() {
        let settings = Settings::default();
        let clipped = BBox { y1: 260.0, y2: 360.0, ..BOX };
        let search = RegionSearch::new(&(clipped, None), FRAME, &settings);
        let full_box = BBox { y2: 900.0, ..clipped };
        assert!(
            clipped.iou(&full_box) < 0.3
                && search.matches_person(&observation(full_box, 0.9, 1.0), &settings)
        );
        assert!(!search.matches_person(&observation(BBox { y1: 400.0, ..full_box }, 0.9, 1.0), &settings));
    }

    #[test]
    fn unusable_regions_are_skipped() {
        let settings = Settings::default();
        for bbox in
            [BBox { x1: f32::NAN, ..BOX }, BBox { x2: 100.0, y2: 100.0, ..BOX }, BBox { x2: 1e20, ..BOX }]
        {
            assert!(RegionSearch::new(&(bbox, None), FRAME, &settings).pending_region.is_none());
        }
        let previous = Region { center: [f64::NAN; 2], side: 3.0, rotation_rad: 0.0 };
        let mut search = RegionSearch::new(&(BOX, Some(previous)), FRAME, &settings);
        assert!(!search.is_previous_region);
        // without a usable next region the current one is used
        search.update(observation(BOX, 0.9, 0.0), &settings);
        assert_eq!(
            (search.pending_region, search.best.map(|best| best.next_region.side)),
            (None, Some(300.0))
        );
    }
}
