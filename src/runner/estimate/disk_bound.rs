//! A bound of the bytes that a run writes, from sizes alone: no trial run is made.
//!
//! In: settings, and the number and size of frames. Out: bytes of scratch images, the overlay and tables together. The bound is for
//! filmed and drawn material; noise may exceed it, so that free space is to be watched while a run goes on. The number of people
//! is not known before a run: four are assumed in every frame.

use crate::experiment::Settings;
use crate::experiment::phalp_settings::TrackOptions;
use crate::runner::Plan;
use crate::runner::job::clips::Clip;
use posebook_video::{Extract, Mode, Store};

/// Bytes of a pixel in an extracted JPEG file with a quality up to 95. Filmed frames take 0.2 to 0.6.
const JPEG_BYTES: f64 = 1.0;
/// The same with a higher quality.
const FINE_JPEG_BYTES: f64 = 2.0;
/// Highest quality of [`JPEG_BYTES`].
const JPEG_QUALITY: u8 = 95;
/// Bytes of a pixel in an extracted PNG file: three samples and the filter's byte of each row.
const PNG_BYTES: f64 = 3.1;
/// Bytes of a file's header and metadata.
const IMAGE_HEADER_BYTES: f64 = 1024.0;
/// Bytes of a pixel in the overlay, which is H.264 at CRF 20. Filmed frames of 1920 x 1080 take 0.02 to 0.04.
const OVERLAY_BYTES: f64 = 0.06;
/// Bytes of an overlay's frame beside those of its pixels: small frames are drawn over with sharp lines.
const OVERLAY_FRAME_BYTES: f64 = 4096.0;
/// Assumed number of people in a frame.
const PEOPLE: f64 = 4.0;
/// Bytes of a person: the row log, the table in the work folder and in the results, PHALP's .pkl.
const PERSON_BYTES: f64 = 16.0 * 1024.0;
/// Bytes of a person's embedding in the same files.
const EMBEDDING_BYTES: f64 = 112.0 * 1024.0;
/// Bytes of a frame's rows, and of ten samples of memory.
const FRAME_BYTES: f64 = 8.0 * 1024.0;
/// Bytes of everything that does not depend on the length.
const FIXED_BYTES: f64 = 4.0 * 1024.0 * 1024.0;
/// Bytes of a reconstructed person: a drawing, a mesh of 6890 vertices as text, arrays.
const IMAGE_PERSON_BYTES: f64 = 2.0 * 1024.0 * 1024.0;

/// Bytes that `posebook track` writes for `frames` frames of `size`: width and height in pixels.
pub fn of_video(settings: &Settings, options: &TrackOptions, size: (usize, usize), frames: usize) -> u64 {
    let overlay = if options.render {
        let (width, height) = settings.render.panel_size(size.0, size.1);
        let panels = if settings.render.side_view { 2 } else { 1 };
        (panels * width * height) as f64 * OVERLAY_BYTES + OVERLAY_FRAME_BYTES
    } else {
        0.0
    };
    let per_frame = scratch_frame_bytes(settings, size) + overlay + rows_frame_bytes(settings);
    (frames as f64 * per_frame + FIXED_BYTES) as u64
}

/// Bytes that `posebook reconstruct` writes for one image of `size`.
pub fn of_image(size: (usize, usize)) -> u64 {
    ((size.0 * size.1) as f64 * PNG_BYTES + PEOPLE * IMAGE_PERSON_BYTES) as u64
}

/// Bytes that an experiment writes: rows of all runs, in the store and in the report, and the images of the run with the most.
pub fn of_plan(plan: &Plan) -> u64 {
    let (mut rows, mut scratch) = (FIXED_BYTES, 0.0_f64);
    for run in &plan.runs {
        let (frames, size) = match &run.clip {
            Clip::Ready(clip) => (clip.frames, (clip.width, clip.height)),
            Clip::NotGenerated { frames, size, .. } => {
                (frames.unwrap_or(0), size.map_or((0, 0), |size| (size.width, size.height)))
            }
            Clip::Unavailable { .. } => continue,
        };
        let video = &run.settings.video;
        let frames = (frames * video.loops()).div_ceil(video.every().max(1)) as f64;
        rows += 2.0 * frames * rows_frame_bytes(&run.settings);
        scratch = scratch.max(frames * scratch_frame_bytes(&run.settings, size));
    }
    (rows + scratch) as u64
}

/// Bytes of one frame's scratch file; 0 where none is written.
fn scratch_frame_bytes(settings: &Settings, size: (usize, usize)) -> f64 {
    let pixels = (size.0 * size.1) as f64;
    match settings.video.mode() {
        Ok(Mode::Extract(Extract { store: Store::Jpeg, quality })) => {
            let is_fine = quality.is_some_and(|quality| quality > JPEG_QUALITY);
            pixels * if is_fine { FINE_JPEG_BYTES } else { JPEG_BYTES } + IMAGE_HEADER_BYTES
        }
        Ok(Mode::Extract(Extract { store: Store::Png, .. })) => pixels * PNG_BYTES + IMAGE_HEADER_BYTES,
        _ => 0.0,
    }
}

/// Bytes of one frame's rows in all tables.
fn rows_frame_bytes(settings: &Settings) -> f64 {
    let embedding = if settings.appearance.results { EMBEDDING_BYTES } else { 0.0 };
    FRAME_BYTES + PEOPLE * (PERSON_BYTES + embedding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Override;

    fn bytes(given: &[&str], frames: usize) -> u64 {
        let mut table = toml::Table::from_iter([("dataset".to_string(), "one video".into())]);
        for Override { key, value, .. } in Override::parse_all(given).unwrap() {
            crate::experiment::overrides::set(&mut table, &key, value);
        }
        let settings = Settings::from_table(table).unwrap();
        of_video(&settings, &TrackOptions::default(), (640, 360), frames)
    }

    #[test]
    fn images_and_embeddings_add_to_the_bound() {
        let streamed = bytes(&[], 100);
        let pixels = 640 * 360 * 100;
        let more = |given: &[&str]| bytes(given, 100) - streamed;
        assert_eq!(more(&["video.mode=extract-jpeg"]), pixels + 102_400);
        assert!(more(&["video.mode=extract-png"]) > 3 * pixels);
        assert_eq!(more(&["video.mode=extract-memory"]), 0);
        assert!(more(&["appearance.results=true"]) > 100 * 4 * 4096 * 4);
        assert!(bytes(&[], 200) < 2 * streamed);
        let unrendered = TrackOptions { render: false, ..TrackOptions::default() };
        let table = toml::Table::from_iter([("dataset".to_string(), "one video".into())]);
        let settings = Settings::from_table(table).unwrap();
        assert!(of_video(&settings, &unrendered, (640, 360), 100) < streamed);
    }
}
