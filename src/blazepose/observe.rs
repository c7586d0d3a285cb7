//! People looked at in a frame: where their region lies, how often it is looked at, and which look counts.
//!
//! Must not know who gives the boxes, nor what is made of landmarks.

use super::cpu::Output;
use super::decode::{decode, mask};
use super::network::Network;
use super::region::Region;
use super::settings::Settings;
use super::{BlazePoseError, Footprint, Variant};
use crate::frame::{Frame, Pixels};
use crate::landmarks::Landmarks;
use crate::person::{BBox, RegionMask};
use candle_core::Device;
use std::borrow::Cow;
use std::path::Path;

/// A network with the settings that people are looked at by.
pub struct BlazePose {
    network: Network,
    settings: Settings,
}

/// What the network says of one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Nobody is seen where the presence is below [`Settings::least_presence`].
    pub landmarks: Landmarks,
    /// The region to look at in the next frame.
    pub next_region: Region,
    pub mask: RegionMask,
    /// The region that was looked at.
    pub region: Region,
    /// How often the network ran for it.
    pub passes: u8,
}

/// A person and where they were in the frame before, if that is known ([`Observation::next_region`]).
pub type Target = (BBox, Option<Region>);

impl BlazePose {
    /// Reads a safetensors file that [`super::Converted::write`] wrote.
    ///
    /// # Errors
    /// If a setting makes no sense, if the file cannot be read or holds another network, or if the device refuses.
    pub fn load(path: &Path, settings: Settings, device: &Device) -> Result<BlazePose, BlazePoseError> {
        settings.check()?;
        let network = Network::load(path, device, settings.precision.dtype())?;
        Ok(BlazePose { network, settings })
    }

    /// Takes a network that is loaded already.
    ///
    /// # Errors
    /// If a setting makes no sense.
    pub fn new(network: Network, settings: Settings) -> Result<BlazePose, BlazePoseError> {
        settings.check()?;
        Ok(BlazePose { network, settings })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn variant(&self) -> Variant {
        self.network.variant()
    }

    /// What it holds in memory.
    pub fn footprint(&self) -> Footprint {
        self.network.footprint()
    }

    /// Looks at one person: [`BlazePose::observe_all`].
    ///
    /// # Errors
    /// As [`BlazePose::observe_all`].
    pub fn observe(
        &self,
        frame: &Frame,
        bbox: &BBox,
        previous: Option<&Region>,
    ) -> Result<Option<Observation>, BlazePoseError> {
        let found = self.observe_all(frame, &[(*bbox, previous.copied())])?;
        Ok(found.into_iter().next().flatten())
    }

    /// Looks at people, each where the frame before says, or else in the square of the box and then where the first
    /// look says. A later look that finds nobody, or points that lie elsewhere than the box, does not count. Where the
    /// region of the frame before shows nobody, or somebody else, the person is looked for from the box.
    ///
    /// The result has one entry per person, `None` for a box that no square can be made of: one without an area or with
    /// numbers that are not finite, with a longer side below two thirds of a pixel, or more than a million pixels away. A person who is not seen has an
    /// entry, with a low [`Landmarks::presence`].
    ///
    /// # Errors
    /// If a graphics card fails.
    pub fn observe_all(
        &self,
        frame: &Frame,
        people: &[Target],
    ) -> Result<Vec<Option<Observation>>, BlazePoseError> {
        let on_frame = |source| BlazePoseError::Frame { frame: frame.index, source };
        let rgb = host_pixels(frame).map_err(on_frame)?;
        let frame_size = [frame.width, frame.height];
        let mut searches: Vec<Search> =
            people.iter().map(|target| Search::begin(target, frame_size, &self.settings)).collect();
        loop {
            let mut open: Vec<(&mut Search, Region)> = searches
                .iter_mut()
                .filter_map(|search| search.look_at.map(|region| (search, region)))
                .collect();
            if open.is_empty() {
                break;
            }
            let regions: Vec<Region> = open.iter().map(|(_, region)| *region).collect();
            let looks = self.look(&rgb, frame, &regions)?;
            for ((search, _), look) in open.iter_mut().zip(looks) {
                search.take(look, &self.settings);
            }
        }
        Ok(searches.into_iter().map(|search| search.kept).collect())
    }

    /// Runs the network on regions.
    fn look(
        &self,
        rgb: &[u8],
        frame: &Frame,
        regions: &[Region],
    ) -> Result<Vec<Observation>, BlazePoseError> {
        let fill = |crop: usize, input: &mut [f32]| {
            regions
                .get(crop)
                .into_iter()
                .for_each(|region| scaled(&region.cut(rgb, frame.width, frame.height), input));
        };
        let read = |crop: usize, output: Output| {
            regions.get(crop).map(|region| {
                let decoded = decode(&output, region);
                Observation {
                    landmarks: decoded.landmarks(),
                    next_region: decoded.next_region,
                    mask: mask(&output, region),
                    region: *region,
                    passes: 1,
                }
            })
        };
        Ok(self.network.run(regions.len(), fill, read)?.into_iter().flatten().collect())
    }
}

/// Levels to what the network takes, 0 to 1.
pub fn scaled(levels: &[u8], input: &mut [f32]) {
    for (value, &level) in input.iter_mut().zip(levels) {
        *value = f32::from(level) / 255.0;
    }
}

/// The frame's pixels on the host.
fn host_pixels(frame: &Frame) -> candle_core::Result<Cow<'_, [u8]>> {
    match frame.pixels() {
        Pixels::Host(rgb) => Ok(Cow::Borrowed(rgb)),
        Pixels::Device(rgb) => Ok(Cow::Owned(rgb.flatten_all()?.to_vec1()?)),
    }
}

/// One person being looked for.
struct Search {
    bbox: BBox,
    /// Width and height, pixels.
    frame_size: [usize; 2],
    /// Where to look next; nowhere when the search is over.
    look_at: Option<Region>,
    /// Whether that is the region of the frame before.
    at_previous: bool,
    /// Looks left from the box on.
    left: u8,
    passes: u8,
    kept: Option<Observation>,
}

impl Search {
    fn begin(&(bbox, previous): &Target, frame_size: [usize; 2], settings: &Settings) -> Search {
        let from_box = Some(Region::of_box(&bbox, settings.box_scale));
        let from_box = from_box.filter(|region| region.is_usable() && bbox.area() > 0.0);
        let previous = previous.filter(Region::is_usable).filter(|_| from_box.is_some());
        Search {
            bbox,
            frame_size,
            look_at: previous.or(from_box),
            at_previous: previous.is_some(),
            left: settings.passes,
            passes: 0,
            kept: None,
        }
    }

    /// Whether a look shows this person. Points outside of the frame are guessed, and detections end at its edge: the
    /// parts inside are compared.
    fn is_shown_by(&self, look: &Observation, settings: &Settings) -> bool {
        let [width, height] = self.frame_size;
        let inside = |bbox: BBox| bbox.inside(width, height);
        let overlap = match (inside(look.landmarks.bounds()), inside(self.bbox)) {
            (Some(points), Some(bbox)) => points.iou(&bbox),
            _ => 0.0,
        };
        look.landmarks.presence >= settings.least_presence && overlap >= settings.least_overlap
    }

    /// Takes what a look shows, and decides whether and where to look again.
    fn take(&mut self, look: Observation, settings: &Settings) {
        self.passes = self.passes.saturating_add(1);
        let is_shown = self.is_shown_by(&look, settings);
        self.look_at = None;
        if std::mem::take(&mut self.at_previous) {
            match is_shown {
                true => self.kept = Some(look),
                false => self.look_at = Some(Region::of_box(&self.bbox, settings.box_scale)),
            }
        } else {
            self.left = self.left.saturating_sub(1);
            // the first look stands where a later one shows nobody, or somebody else
            if self.kept.is_none() || is_shown {
                if self.left > 0 && look.next_region.is_usable() {
                    self.look_at = Some(look.next_region);
                }
                self.kept = Some(look);
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.passes = self.passes;
            if !kept.next_region.is_usable() {
                kept.next_region = kept.region;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landmarks::LANDMARKS;

    const BOX: BBox = BBox { x1: 100.0, y1: 100.0, x2: 200.0, y2: 300.0 };

    const FRAME: [usize; 2] = [640, 360];

    /// A look at a person whose points fill a box.
    fn look(bbox: BBox, presence: f32, next_side: f64) -> Observation {
        let mut pixels = [bbox.center(); LANDMARKS];
        (pixels[0], pixels[1]) = ([bbox.x1, bbox.y1], [bbox.x2, bbox.y2]);
        let region = Region { center: [1.0, 2.0], side: 300.0, rotation: 0.0 };
        Observation {
            landmarks: Landmarks {
                pixels,
                world: [[0.0; 3]; LANDMARKS],
                visibility: [1.0; LANDMARKS],
                presence,
            },
            next_region: Region { side: next_side, rotation: 0.25, ..region },
            mask: RegionMask { mask_from_frame: region.crop_from_frame(), size: 0, values: Vec::new() },
            region,
            passes: 1,
        }
    }

    fn away() -> BBox {
        BBox { x1: 500.0, x2: 600.0, ..BOX }
    }

    #[test]
    fn a_person_is_looked_at_twice_without_an_earlier_region() {
        let settings = Settings::default();
        let mut search = Search::begin(&(BOX, None), FRAME, &settings);
        assert_eq!(search.look_at, Some(Region { center: [150.0, 200.0], side: 300.0, rotation: 0.0 }));
        search.take(look(BOX, 0.9, 250.0), &settings);
        assert_eq!(search.look_at.map(|region| region.side), Some(250.0));
        search.take(look(BOX, 0.8, 240.0), &settings);
        assert_eq!(search.look_at, None);
        let kept = search.kept.unwrap();
        assert_eq!((kept.landmarks.presence, kept.passes, kept.next_region.side), (0.8, 2, 240.0));
    }

    #[test]
    fn a_look_at_somebody_else_does_not_count() {
        let settings = Settings::default();
        for (second, presence) in [(away(), 0.99), (BOX, 0.4)] {
            let mut search = Search::begin(&(BOX, None), FRAME, &settings);
            search.take(look(BOX, 0.9, 250.0), &settings);
            search.take(look(second, presence, 250.0), &settings);
            let kept = search.kept.unwrap();
            assert_eq!((kept.landmarks.presence, kept.passes), (0.9, 2));
        }
    }

    #[test]
    fn an_earlier_region_is_looked_at_once_and_left_where_it_shows_somebody_else() {
        let settings = Settings::default();
        let previous = Region { center: [140.0, 190.0], side: 222.0, rotation: 0.1 };
        let mut search = Search::begin(&(BOX, Some(previous)), FRAME, &settings);
        assert_eq!(search.look_at, Some(previous));
        search.take(look(BOX, 0.9, 250.0), &settings);
        assert_eq!((search.look_at, search.kept.map(|kept| kept.passes)), (None, Some(1)));
        let mut search = Search::begin(&(BOX, Some(previous)), FRAME, &settings);
        search.take(look(away(), 0.9, 250.0), &settings);
        assert_eq!(search.look_at.map(|region| region.side), Some(300.0));
        search.take(look(BOX, 0.9, 250.0), &settings);
        search.take(look(BOX, 0.7, 250.0), &settings);
        assert_eq!(search.kept.map(|kept| kept.passes), Some(3));
    }

    #[test]
    fn a_person_cut_by_the_edge_is_compared_inside_the_frame() {
        let settings = Settings::default();
        let cut = BBox { y1: 260.0, y2: 360.0, ..BOX };
        let search = Search::begin(&(cut, None), FRAME, &settings);
        let whole = BBox { y2: 900.0, ..cut };
        assert!(cut.iou(&whole) < 0.3 && search.is_shown_by(&look(whole, 0.9, 1.0), &settings));
        assert!(!search.is_shown_by(&look(BBox { y1: 400.0, ..whole }, 0.9, 1.0), &settings));
    }

    #[test]
    fn useless_regions_are_not_looked_at() {
        let settings = Settings::default();
        for bbox in
            [BBox { x1: f32::NAN, ..BOX }, BBox { x2: 100.0, y2: 100.0, ..BOX }, BBox { x2: 1e20, ..BOX }]
        {
            assert!(Search::begin(&(bbox, None), FRAME, &settings).look_at.is_none());
        }
        let previous = Region { center: [f64::NAN; 2], side: 3.0, rotation: 0.0 };
        let mut search = Search::begin(&(BOX, Some(previous)), FRAME, &settings);
        assert!(!search.at_previous);
        // a network that gives no region leaves the one that was looked at
        search.take(look(BOX, 0.9, 0.0), &settings);
        assert_eq!((search.look_at, search.kept.map(|kept| kept.next_region.side)), (None, Some(300.0)));
    }
}
