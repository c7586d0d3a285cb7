//! The `render` table of an experiment: what the overlay video shows, in which colors, size and rate.
//!
//! Keys and words are those of PHALP's `render` settings. Without them, the overlay has the source's size and rate.

use super::palettes::Colors;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Largest width of a video, pixels: a side panel next to it still fits the encoder.
const LARGEST_WIDTH: usize = 8192;
/// Smallest width of a video, pixels.
const SMALLEST_WIDTH: usize = 16;

/// The `render` table of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenderSettings {
    /// Which people are drawn, and how: `HUMAN_MESH`, `GHOST_MASK`, `TRACKID_3_BBOX` and so on.
    #[serde(rename = "type")]
    pub content: Content,
    /// Colors of the tracks.
    pub colors: Colors,
    /// Width of the video in pixels, and of each panel if there are two; rounded down to an even number. Without it, the
    /// source's. The height follows from the source's aspect ratio, and is even as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_resolution: Option<usize>,
    /// Frames per second of the video. Without it, frames have the source's times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Whether a second panel shows the bodies from the side.
    pub side_view: bool,
}

/// A setting of the overlay is out of range, or `type` is not understood.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RenderError {
    /// `render.type` is not understood.
    #[error(
        "`render.type` is `{given}`, {problem}; write HUMAN (people seen in the frame), GHOST (lost ones, too) or \
         TRACKID_<number> (one person; with GHOST also while lost), and one of MESH, MASK and BBOX, joined by `_`, such as \
         HUMAN_MESH, GHOST_MASK or TRACKID_3_BBOX"
    )]
    Type {
        /// The value.
        given: String,
        /// What is wrong.
        problem: String,
    },
    /// The width is out of range.
    #[error(
        "`render.output_resolution` is {0}, but a video is {SMALLEST_WIDTH} to {LARGEST_WIDTH} pixels wide; leave it out for \
         the source's width"
    )]
    Width(usize),
    /// The rate is out of range.
    #[error(
        "`render.fps` is {0}, but a video has more than 0 and at most 1000 frames per second; leave it out for the source's \
         rate"
    )]
    Fps(f64),
}

impl RenderSettings {
    /// Checks that the values are in range.
    ///
    /// # Errors
    /// If the width or the rate is out of range.
    pub fn check(&self) -> Result<(), RenderError> {
        if let Some(width) = self.output_resolution
            && !(SMALLEST_WIDTH..=LARGEST_WIDTH).contains(&width)
        {
            return Err(RenderError::Width(width));
        }
        match self.fps {
            Some(fps) if !(fps > 0.0 && fps <= 1000.0) => Err(RenderError::Fps(fps)),
            _ => Ok(()),
        }
    }

    /// Width and height of one panel for frames of `width` by `height` pixels: the source's if no width is set, otherwise
    /// even ones, and the height is PHALP's `int(height * output_resolution / width)`.
    pub fn panel_size(&self, width: usize, height: usize) -> (usize, usize) {
        let Some(wanted) = self.output_resolution else { return (width, height) };
        let scaled = (height as f64 * (wanted as f64 / width.max(1) as f64)) as usize;
        ((wanted & !1).max(2), (scaled & !1).max(2))
    }
}

/// What is drawn for a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// The body's surface, the skeleton, and a box with the track id.
    #[default]
    Mesh,
    /// The segmentation mask, and a box with the track id.
    Mask,
    /// A box with the track id.
    Box,
}

/// What the overlay shows: PHALP's `render.type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Content {
    /// Whether lost tracks are drawn where they were seen last.
    pub ghosts: bool,
    /// The only track that is drawn; all if `None`.
    pub track: Option<u64>,
    /// What is drawn for each person.
    pub shape: Shape,
}

impl From<Content> for String {
    fn from(content: Content) -> String {
        let track = content.track.map_or_else(String::new, |track| format!("TRACKID_{track}_"));
        let who = match (content.ghosts, content.track) {
            (true, _) => "GHOST_",
            (false, None) => "HUMAN_",
            (false, Some(_)) => "",
        };
        let shape = match content.shape {
            Shape::Mesh => "MESH",
            Shape::Mask => "MASK",
            Shape::Box => "BBOX",
        };
        format!("{track}{who}{shape}")
    }
}

impl TryFrom<String> for Content {
    type Error = RenderError;

    fn try_from(given: String) -> Result<Content, RenderError> {
        let wrong = |problem: String| RenderError::Type { given: given.clone(), problem };
        let (mut human, mut ghosts, mut track, mut shapes) = (false, false, None, Vec::new());
        let mut words = given.split('_').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            match word {
                "HUMAN" => human = true,
                "GHOST" => ghosts = true,
                "TRACKID" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    track = Some(number.ok_or_else(|| wrong("and TRACKID has no number".into()))?);
                }
                "MESH" => shapes.push(Shape::Mesh),
                "MASK" => shapes.push(Shape::Mask),
                "BBOX" => shapes.push(Shape::Box),
                _ => return Err(wrong(format!("and there is no `{word}`"))),
            }
        }
        if human && ghosts {
            return Err(wrong("but HUMAN leaves out what GHOST adds".into()));
        }
        if !human && !ghosts && track.is_none() {
            return Err(wrong("which does not say who is drawn".into()));
        }
        match shapes.as_slice() {
            [shape] => Ok(Content { ghosts, track, shape: *shape }),
            [] => Err(wrong("which does not say what is drawn".into())),
            _ => Err(wrong("but only one of MESH, MASK and BBOX can be drawn".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RenderSettings, String> {
        toml::from_str::<RenderSettings>(text).map_err(|error| error.message().to_string())
    }

    #[test]
    fn words_of_the_type_are_understood() {
        for (text, ghosts, track, shape) in [
            ("HUMAN_MESH", false, None, Shape::Mesh),
            ("HUMAN_MASK", false, None, Shape::Mask),
            ("GHOST_BBOX", true, None, Shape::Box),
            ("GHOST_MESH", true, None, Shape::Mesh),
            ("TRACKID_12_MESH", false, Some(12), Shape::Mesh),
            ("TRACKID_0_GHOST_MASK", true, Some(0), Shape::Mask),
        ] {
            let content = Content::try_from(text.to_string()).unwrap();
            assert_eq!(content, Content { ghosts, track, shape }, "{text}");
            assert_eq!(String::from(content), text);
        }
        let same = |a: &str, b: &str| Content::try_from(a.to_string()) == Content::try_from(b.to_string());
        assert!(same("MESH_HUMAN", "HUMAN_MESH") && same("TRACKID_2_HUMAN_MASK", "TRACKID_2_MASK"));
    }

    #[test]
    fn other_words_are_errors_that_list_the_words() {
        for (text, problem) in [
            ("HUMAN_MESH_TEX_S", "there is no `TEX`"),
            ("human_mesh", "there is no `human`"),
            ("HUMAN", "does not say what is drawn"),
            ("MESH", "does not say who is drawn"),
            ("", "does not say who is drawn"),
            ("TRACKID_MESH", "TRACKID has no number"),
            ("TRACKID_-1_MESH", "TRACKID has no number"),
            ("HUMAN_MESH_BBOX", "only one of"),
            ("HUMAN_GHOST_MESH", "leaves out what GHOST adds"),
        ] {
            let error = parse(&format!("type = \"{text}\"")).unwrap_err();
            let lists = ["HUMAN", "GHOST", "TRACKID_<number>", "MESH", "MASK", "BBOX"];
            assert!(error.contains(problem) && lists.iter().all(|word| error.contains(word)), "{error}");
        }
        assert!(parse("colors = \"rainbow\"").unwrap_err().contains("slahmr"));
        assert!(parse("color = 1").unwrap_err().contains("unknown field"));
    }

    #[test]
    fn settings_survive_the_round_trip_and_are_checked() {
        let text = "type = \"TRACKID_3_MASK\"\ncolors = \"slahmr\"\noutput_resolution = 1440\nfps = 30.0\nside_view = true\n";
        let settings = parse(text).unwrap();
        assert_eq!(toml::to_string(&settings).unwrap(), text);
        assert_eq!(settings.check(), Ok(()));
        let default = RenderSettings::default();
        assert_eq!(parse(&toml::to_string(&default).unwrap()), Ok(default.clone()));
        let with_width =
            |width| RenderSettings { output_resolution: Some(width), ..RenderSettings::default() };
        for width in [0, 15, 8193, usize::MAX] {
            assert_eq!(with_width(width).check(), Err(RenderError::Width(width)));
        }
        for fps in [0.0, -1.0, f64::INFINITY, 1e9] {
            let settings = RenderSettings { fps: Some(fps), ..RenderSettings::default() };
            assert_eq!(settings.check(), Err(RenderError::Fps(fps)));
        }
        let nan = RenderSettings { fps: Some(f64::NAN), ..RenderSettings::default() };
        assert!(nan.check().is_err());
    }

    #[test]
    fn panels_have_even_sides_unless_they_are_the_sources() {
        let size = |wanted, width, height| {
            RenderSettings { output_resolution: wanted, ..RenderSettings::default() }
                .panel_size(width, height)
        };
        assert_eq!(size(None, 641, 361), (641, 361));
        assert_eq!(size(Some(1440), 640, 360), (1440, 810));
        assert_eq!(size(Some(1440), 641, 361), (1440, 810));
        assert_eq!(size(Some(321), 640, 362), (320, 180));
        assert_eq!(size(Some(16), 4000, 10), (16, 2));
    }
}
