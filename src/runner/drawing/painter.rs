//! Draws the images of an overlay video as the settings `render` say.
//!
//! In: frames in order with their rows. Out: one image per frame; with `render.side_view` two panels next to each other.

use super::lost::LostTracks;
use super::people::{self, Shown};
use crate::experiment;
use crate::runner::RunnerError;
use posebook_core::frame::Frame;
use posebook_models::body::Body;
use posebook_notebook::tables::PersonRow;
use posebook_synth::render::overlay::Overlay;
use posebook_synth::render::{RenderSettings, RgbImage, Shape};

/// Width of the border of a frame with which a shot starts, pixels of the image.
const SHOT_BORDER: usize = 4;
/// Color of that border.
const SHOT_COLOR: [u8; 3] = [230, 0, 0];
/// Background of the side view.
const SIDE_COLOR: [u8; 3] = [24, 26, 30];

/// Draws one frame after the other.
pub struct Painter<'a> {
    settings: &'a RenderSettings,
    body: &'a Body,
    overlay: Overlay,
    lost: Option<LostTracks>,
    side: Option<SideView>,
}

/// The second panel, and both panels in one image.
struct SideView {
    overlay: Overlay,
    joined: RgbImage,
}

impl<'a> Painter<'a> {
    /// A painter for a run with these settings and frames of `width` by `height` pixels.
    pub fn new(
        settings: &'a experiment::Settings,
        body: &'a Body,
        (width, height): (usize, usize),
    ) -> Painter<'a> {
        let render = &settings.render;
        let (width, height) = render.panel_size(width, height);
        let joined = RgbImage { width: 0, height: 0, rgb: Vec::new() };
        Painter {
            settings: render,
            body,
            overlay: Overlay::sized(width, height),
            lost: render.content.ghosts.then(|| LostTracks::new(settings.phalp.max_age_track)),
            side: render.side_view.then(|| SideView { overlay: Overlay::sized(width, height), joined }),
        }
    }

    /// Width and height of the images for frames of `width` by `height` pixels.
    pub fn image_size(settings: &RenderSettings, width: usize, height: usize) -> (usize, usize) {
        let (width, height) = settings.panel_size(width, height);
        (if settings.side_view { 2 * width } else { width }, height)
    }

    /// Draws the rows of the next frame over it.
    ///
    /// # Errors
    /// If a mask cannot be read.
    pub fn paint(
        &mut self,
        frame: &Frame,
        people: &[PersonRow],
        starts_shot: bool,
    ) -> Result<&RgbImage, RunnerError> {
        let Painter { settings, body, overlay, lost, side } = self;
        if let Some(lost) = lost {
            lost.push(people);
        }
        let content = settings.content;
        let now = people.iter().map(|row| (row, false));
        let lost = lost.iter().flat_map(LostTracks::rows).map(|row| (row, true));
        let needs_body = content.shape != Shape::Box || settings.side_view;
        let shown: Vec<Shown> = lost
            .chain(now)
            .filter(|(row, _)| content.track.is_none_or(|track| row.track == Some(track)))
            .filter_map(|(row, is_lost)| Shown::new(row, is_lost, settings.colors))
            .map(|shown| if needs_body { shown.with_body(body) } else { shown })
            .collect();
        let size = (frame.width, frame.height);
        overlay.begin(frame);
        match content.shape {
            Shape::Mesh => people::draw_meshes(overlay, size, &shown, body),
            Shape::Mask => people::draw_masks(overlay, size, &shown, body)?,
            Shape::Box => people::draw_boxes(overlay, &shown),
        }
        if starts_shot {
            overlay.draw_border(SHOT_BORDER, SHOT_COLOR);
        }
        let Some(SideView { overlay: panel, joined }) = side else { return Ok(overlay.image()) };
        panel.begin_beside(overlay, SIDE_COLOR);
        people::draw_side_view(panel, size, &shown, body);
        let (left, right) = (overlay.image(), panel.image());
        if (joined.width, joined.height) != (left.width + right.width, left.height) {
            *joined = RgbImage::filled(left.width + right.width, left.height, SIDE_COLOR);
        }
        joined.paste(left, 0, 0);
        joined.paste(right, left.width, 0);
        Ok(joined)
    }
}

#[cfg(test)]
mod tests;
