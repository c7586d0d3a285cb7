//! Sizes of a frame in a network's input, and boxes in its pixels.

use crate::detect::mask_rcnn::boxes::{Corners, NetworkSize, clip};
use crate::detect::mask_rcnn::config::{Input, InputPadding};
use posebook_core::frame::FrameSize;
use posebook_core::person::BBox;

/// A frame's sizes on its way into the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// The frame.
    pub frame: FrameSize,
    /// The scaled frame, without padding.
    pub network: NetworkSize,
    /// The network's input.
    pub padded: NetworkSize,
}

impl Geometry {
    /// Sizes of a frame that has pixels.
    ///
    /// The shorter side is scaled to `shortest`; if the longer one would exceed `longest`, both sides are multiplied again. Sides
    /// are rounded once, at the end, half up. detectron2 fails where a side would round to 0, at an aspect ratio above `2 longest`;
    /// here it is one pixel.
    pub fn new(input: &Input, frame: FrameSize) -> Geometry {
        let FrameSize { width, height } = frame;
        let (shortest, longest) = (input.shortest as f64, input.longest as f64);
        let scale = shortest / width.min(height) as f64;
        let (mut scaled_height, mut scaled_width) =
            if height < width { (shortest, scale * width as f64) } else { (scale * height as f64, shortest) };
        let longer = scaled_height.max(scaled_width);
        if longer > longest {
            let scale = longest / longer;
            (scaled_height, scaled_width) = (scaled_height * scale, scaled_width * scale);
        }
        let round = |side: f64| ((side + 0.5) as usize).max(1);
        let network = NetworkSize { height: round(scaled_height), width: round(scaled_width) };
        let pad = |side: usize| match input.padding {
            InputPadding::Square(square) => side.max(square),
            InputPadding::Multiple(multiple) => side.next_multiple_of(multiple.max(1)),
        };
        Geometry {
            frame,
            network,
            padded: NetworkSize { height: pad(network.height), width: pad(network.width) },
        }
    }

    /// A box of the network in pixels of the frame, clipped to the frame; `None` if nothing is left. The factors of the
    /// two axes differ, because sides are rounded to pixels.
    pub fn to_frame(&self, corners: Corners) -> Option<BBox> {
        let (width, height) = (self.frame.width, self.frame.height);
        let factors = [
            (width as f64 / self.network.width as f64) as f32,
            (height as f64 / self.network.height as f64) as f32,
        ];
        let scaled = std::array::from_fn(|side| corners[side] * factors[side % 2]);
        let [x1, y1, x2, y2] = clip(scaled, NetworkSize { height, width });
        (x2 > x1 && y2 > y1).then_some(BBox { x1, y1, x2, y2 })
    }

    /// A box of the frame in pixels of the network, not clipped.
    pub fn to_network(&self, bbox: BBox) -> Corners {
        let factors = [
            (self.network.width as f64 / self.frame.width as f64) as f32,
            (self.network.height as f64 / self.frame.height as f64) as f32,
        ];
        let sides = [bbox.x1, bbox.y1, bbox.x2, bbox.y2];
        std::array::from_fn(|side| sides[side] * factors[side % 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::mask_rcnn::config::{Architecture, Config};

    #[test]
    fn a_side_has_at_least_one_pixel_and_at_most_the_longest() {
        for architecture in Architecture::ALL {
            let input = Config::published(architecture).input;
            for (width, height) in [(1, 1), (5000, 3), (3, 5000), (100_000, 1), (7680, 4320), (15, 17)] {
                let geometry = Geometry::new(&input, FrameSize::new(width, height));
                let NetworkSize { height, width } = geometry.network;
                assert!((1..=input.longest).contains(&height) && (1..=input.longest).contains(&width));
                assert!(geometry.padded.height >= height && geometry.padded.width >= width);
                assert_eq!((geometry.padded.height % 32, geometry.padded.width % 32), (0, 0));
            }
        }
    }

    #[test]
    fn each_axis_has_its_own_factor() {
        let input = Config::published(Architecture::Regnety).input;
        let geometry = Geometry::new(&input, FrameSize::new(1280, 720));
        assert_eq!((geometry.network.height, geometry.network.width), (750, 1333));
        assert_eq!((geometry.padded.height, geometry.padded.width), (768, 1344));
        let whole = BBox { x1: 0.0, y1: 0.0, x2: 1280.0, y2: 720.0 };
        assert_eq!(geometry.to_frame([0.0, 0.0, 1333.0, 750.0]), Some(whole));
        assert_eq!(geometry.to_frame([-9.0, -9.0, 2000.0, 2000.0]), Some(whole));
        assert_eq!(geometry.to_network(whole), [0.0, 0.0, 1333.0, 750.0]);
        assert_eq!(geometry.to_frame([1334.0, 0.0, 1340.0, 10.0]), None);
    }
}
