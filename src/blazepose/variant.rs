//! The three published networks, and what all of them have in common.
//!
//! Must not know how a network is computed.

use super::footprint::Footprint;
use super::graph::Graph;
use serde::{Deserialize, Serialize};

/// Points that the network gives, auxiliary ones included.
pub const POINTS: usize = 39;
/// Height, width and channels of the network's input: RGB, level / 255.
pub const INPUT: [usize; 3] = [256, 256, 3];
/// Side of the square that the network sees, pixels.
pub const SIDE: usize = 256;
/// Height, width and points of the heatmap.
pub const HEATMAP: [usize; 3] = [64, 64, POINTS];
/// x, y, z, visibility and presence of each point.
pub const LANDMARK_NUMBERS: usize = 5 * POINTS;
/// x, y and z of each point.
pub const WORLD_NUMBERS: usize = 3 * POINTS;

/// The networks of BlazePose GHUM (Google, 2021), from fast to accurate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    Lite,
    Full,
    Heavy,
}

impl Variant {
    pub const ALL: [Variant; 3] = [Variant::Lite, Variant::Full, Variant::Heavy];

    /// As it is written in settings and in the names of files.
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

    /// The network whose weights and biases have so many numbers.
    pub fn of_parameters(parameters: usize) -> Option<Variant> {
        Variant::ALL.into_iter().find(|variant| variant.parameters() == parameters)
    }

    /// Whether a checked graph can be this network's: the same input, as many weights, feature maps as large.
    pub(super) fn check(self, graph: &Graph) -> Result<(), String> {
        let (found, expected) = (Footprint::of(graph), Footprint::of_variant(self));
        if graph.input != INPUT {
            return Err(format!("its input is {:?} instead of {INPUT:?}", graph.input));
        }
        if graph.parameters() != self.parameters() || found != expected {
            let counts = [graph.parameters() as u64, found.crop_bytes, expected.crop_bytes];
            return Err(format!(
                "it has {} weights and {} instead of {} bytes of maps",
                counts[0], counts[1], counts[2]
            ));
        }
        Ok(())
    }

    /// How many numbers its weights and biases have: what a file is known by.
    pub fn parameters(self) -> usize {
        match self {
            Variant::Lite => 1_363_089,
            Variant::Full => 3_169_489,
            Variant::Heavy => 13_751_073,
        }
    }
}
