//! The three published networks and their common input and output shapes.

use serde::{Deserialize, Serialize};

/// Number of points that the network outputs, including auxiliary ones.
pub const POINTS: usize = 39;
/// Height, width and channels of the network's input: RGB, 8-bit values / 255.
pub const INPUT_SHAPE: [usize; 3] = [256, 256, 3];
/// Side of the network's square input, pixels.
pub const INPUT_SIDE: usize = 256;
/// Height, width and points of the heatmap.
pub const HEATMAP_SHAPE: [usize; 3] = [64, 64, POINTS];
/// x, y, z, visibility and presence of each point.
pub const LANDMARK_VALUES: usize = 5 * POINTS;
/// x, y and z of each point.
pub const WORLD_VALUES: usize = 3 * POINTS;

/// The networks of BlazePose GHUM (Google, 2021), from fast to accurate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// The fastest.
    Lite,
    /// The default of MediaPipe.
    Full,
    /// The most accurate.
    Heavy,
}

impl Variant {
    /// All variants, fastest first.
    pub const ALL: [Variant; 3] = [Variant::Lite, Variant::Full, Variant::Heavy];

    /// Name in settings and file names.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Lite => "lite",
            Variant::Full => "full",
            Variant::Heavy => "heavy",
        }
    }

    /// Name of the published file.
    pub fn tflite_name(self) -> String {
        format!("pose_landmark_{}.tflite", self.name())
    }

    /// Identifies the network by its number of parameters.
    pub fn from_parameter_count(parameters: usize) -> Option<Variant> {
        Variant::ALL.into_iter().find(|variant| variant.parameter_count() == parameters)
    }

    /// Number of weights and biases; identifies the network.
    pub fn parameter_count(self) -> usize {
        match self {
            Variant::Lite => 1_363_089,
            Variant::Full => 3_169_489,
            Variant::Heavy => 13_751_073,
        }
    }
}
