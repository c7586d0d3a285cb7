//! The `[hmr2]` settings of an experiment.

use super::Hmr2Error;
use crate::nn::AttentionPath;
use posebook_core::labels::Precision;
use serde::{Deserialize, Serialize};

/// Largest accepted number of crops or frames in a batch.
const MAX_BATCH: usize = 4096;
/// Largest accepted side of the ratio that boxes are widened to.
const MAX_ASPECT_SIDE: u32 = 4096;

/// The `[hmr2]` table of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Crops in a batch; peak memory grows with it.
    pub batch: usize,
    /// Frames whose people are batched. More use a GPU better, but the first frame waits for the last.
    pub frames: usize,
    /// The floating-point format of weights and activations.
    pub precision: Precision,
    /// How the backbone's attention is computed.
    pub attention: Attention,
    /// Width and height of the aspect ratio that boxes are widened to before the square of their longer side is cropped.
    #[serde(skip_serializing_if = "BoxAspect::is_default")]
    pub expand_bbox_shape: BoxAspect,
}

/// The aspect ratio that boxes are widened to: `[192, 256]` as in 4D-Humans, or `"none"` as in PHALP itself, which crops the
/// square of the longer side of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BoxAspect {
    /// Width and height, at least 1 each.
    Widened([u32; 2]),
    /// Boxes are not widened.
    Unchanged(Unchanged),
}

/// The word for boxes that are not widened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unchanged {
    /// `"none"`.
    None,
}

impl Default for BoxAspect {
    fn default() -> BoxAspect {
        BoxAspect::Widened([192, 256])
    }
}

impl BoxAspect {
    fn is_default(&self) -> bool {
        *self == BoxAspect::default()
    }

    /// Width and height of the ratio; `None` if boxes are not widened.
    pub fn ratio(self) -> Option<[f32; 2]> {
        match self {
            BoxAspect::Widened(ratio) => Some(ratio.map(|side| side as f32)),
            BoxAspect::Unchanged(Unchanged::None) => None,
        }
    }
}

/// How attention is computed; equal in exact arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attention {
    /// Products and a softmax: on every device, in every precision.
    Plain,
    /// FlashAttention, one kernel that never stores the scores (Dao et al. 2022): on a GPU, in half precision, in a
    /// build with the feature `flash-attn`.
    Flash,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            batch: 8,
            frames: 1,
            precision: Precision::F32,
            attention: Attention::Plain,
            expand_bbox_shape: BoxAspect::default(),
        }
    }
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// If a number of crops or frames or a side of a ratio is out of range, or FlashAttention is combined with single
    /// precision.
    pub fn validate(&self) -> Result<(), Hmr2Error> {
        for (name, value) in [("batch", self.batch), ("frames", self.frames)] {
            if !(1..=MAX_BATCH).contains(&value) {
                let what = format!("hmr2.{name} is {value}; it has to be between 1 and {MAX_BATCH}");
                return Err(Hmr2Error::Config { what });
            }
        }
        if let BoxAspect::Widened(ratio) = self.expand_bbox_shape
            && !ratio.iter().all(|side| (1..=MAX_ASPECT_SIDE).contains(side))
        {
            let what = format!(
                "hmr2.expand_bbox_shape is {ratio:?}; it has to be two numbers between 1 and {MAX_ASPECT_SIDE}, such as \
                 [192, 256], or \"none\""
            );
            return Err(Hmr2Error::Config { what });
        }
        if self.attention == Attention::Flash && self.precision == Precision::F32 {
            let what = "hmr2.attention = \"flash\" is for half precision; set hmr2.precision to bf16 or f16";
            return Err(Hmr2Error::Config { what: what.into() });
        }
        Ok(())
    }
}

impl Attention {
    /// The path of [`crate::nn::SelfAttention`] that this setting chooses.
    pub fn path(self) -> AttentionPath {
        match self {
            Attention::Plain => AttentionPath::Inference,
            Attention::Flash => AttentionPath::Flash,
        }
    }

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Attention::Plain => "plain",
            Attention::Flash => "flash",
        }
    }
}
